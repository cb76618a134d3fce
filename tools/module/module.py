"""One simulated module: what outlives a power-on (flash, NV, counters), and one power-on after another.

Which engine runs the application makes no difference to what it does: `vm` is the real MicroPython VM with a bounded
heap, `cpython` runs the same files in this process.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tools.module.board import Board, Identity, NonVolatile, PowerOff
from tools.module.cpython import CPythonEngine
from tools.module.engine import Engine
from tools.module.flash import Flash
from tools.module.vm.engine import VmEngine, empty_heap
from tools.world.clock import WorldLoop
from tools.world.events import Events
from tools.world.network import Network

ENGINES = ("vm", "cpython")

REASONS = {
    0: "unknown", 1: "power key", 2: "reset", 3: "supply", 4: "RTC alarm", 5: "watchdog", 6: "VBUS", 7: "charger",
    8: "PSM wake-up", 9: "after dump",
}
"""What `Power.powerOnReason()` means (quecpython.md §3.6)."""

SYSTEM_CONFIG = ("system_config.json", b'{"replFlag": 0}')
"""`_boot` writes it where it is missing (quecpython.md §2.1)."""


def _fit(board: Board) -> None:
    from tools.module.modem import fit  # here: the stand-ins import the board, not the other way round

    fit(board)


class Module:
    """A module with its SIM. `image_path` keeps the flash in a file; `heap` is what the application has of the VM's
    heap, and `measure_heap` has it collected and measured at every call. `cut_at_program`: the power goes at that flash
    program of the next power-on (1 is the first), and the setting is used up by it. `fit` puts the firmware on a board.
    """

    def __init__(
        self,
        loop: WorldLoop,
        network: Network,
        events: Events,
        *,
        profile: Any,
        identity: Identity | None = None,
        seed: int = 1,
        engine: str = "vm",
        heap: str = "250k",
        measure_heap: bool = False,
        image_path: Path | None = None,
        fit: Callable[[Board], None] = _fit,
    ) -> None:
        if engine not in ENGINES:
            raise ValueError(f"engine {engine!r}: one of {', '.join(ENGINES)}")
        self.loop, self.network, self.events = loop, network, events
        self.profile, self.identity, self.seed = profile, identity or Identity(), seed
        self.engine, self.heap, self.measure_heap = engine, heap, measure_heap
        self.fit = fit
        self.flash = Flash(blocks=profile.usr_blocks, path=image_path)
        self.nv = NonVolatile()
        self.boots = 0
        self.psm_entered = 0
        self.heap_peak = 0
        self.cut_at_program: int | None = None
        self._running: Engine | None = None  # the engine of the present or the last power-on
        self.board: Board | None = None  # of the present or the last power-on
        self.ended: PowerOff | None = None  # how the last power-on ended, None while it lasts
        self._surface: dict[str, Any] | None = None

    async def power_on(self, reason: int) -> PowerOff:
        """One power-on, until the power goes; says how. Anything else that is raised is a defect of the simulation."""
        self.boots += 1
        self.ended = None
        if not self.flash.exists(SYSTEM_CONFIG[0]):
            self.flash.write(*SYSTEM_CONFIG)
        board = self.board = Board(
            self.loop, self.network, self.events, profile=self.profile, identity=self.identity, nv=self.nv,
            seed=f"{self.seed}/{self.identity.imei}/{self.boots}", reason=reason, flash=self.flash,
        )
        self.events.emit("module", "boot", REASONS.get(reason, "?"), reason=reason, boot=self.boots)
        self.fit(board)
        engine = self._running = self._engine(board)
        self._surface = engine.surface()
        self.cut_at_program = None
        try:
            await board.wait(self.profile.boot_ms / 1000)
            await engine.run()
            raise AssertionError("an engine has returned")
        except PowerOff as end:
            self.ended = end
        finally:
            board.power_off()
            self.heap_peak = max(self.heap_peak, board.heap_peak)
        self.psm_entered += self.ended.how == "psm"
        self.events.emit("module", "power", self.ended.how, detail=self.ended.detail)
        return self.ended

    def wakes_at(self) -> float | None:
        """World seconds at which the module powers on by itself: the granted T3412 after PSM, or an RTC alarm where it
        can wake this family (quecpython.md §4.2); None: only a person or the supply wakes it."""
        times = []
        if self.ended is not None and self.ended.how == "psm" and self.board is not None:
            times.append(self.board.radio.tau_expires_at())
        if self.nv.alarm_us is not None and self.profile.rtc_alarm_wakes:
            times.append(self.nv.alarm_us / 1e6)
        return min((t for t in times if t is not None), default=None)

    @property
    def programs(self) -> int:
        """Flash programs of the present or the last power-on, up to its last call."""
        return self._running.programs if self._running is not None else 0

    @property
    def powered(self) -> bool:
        """Whether it is on."""
        return self.board is not None and self.ended is None

    def empty_heap(self) -> int | None:
        """Live heap under an application that does nothing, to be taken from `heap_peak`; None in cpython and before
        the first power-on."""
        if self.engine != "vm" or self._surface is None:
            return None
        return empty_heap(self._surface, self.profile)

    def power_cut(self, detail: str = "supply") -> None:
        """The supply fails now: the application stops where it waits."""
        if self.board is not None:
            self.board.doom("cut", detail)

    def _engine(self, board: Board) -> Engine:
        cut_at = self.cut_at_program
        if self.engine == "cpython":
            return CPythonEngine(board, self.flash, cut_at_program=cut_at)
        return VmEngine(board, self.flash, cut_at_program=cut_at, heap=self.heap, measure_heap=self.measure_heap)
