"""A small module for the tests of the engines: a firmware of a few lines, and the same main.py in either engine."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from tools.module.board import Board, Firmware, Identity, NonVolatile, PowerOff, Thing
from tools.module.modem.uos import Uos
from tools.module.modem.usocket import Usocket
from tools.module.modem.ussl import Ussl
from tools.module.modem.utime import Utime
from tools.module.module import Module
from tools.world.clock import WorldLoop
from tools.world.events import Events
from tools.world.network import Network

WORLDS: list[WorldLoop] = []
"""Loops of the present test; `conftest.py` closes them at its end."""

PEER = ("221.229.214.202", 5683)


def new_world() -> WorldLoop:
    loop = WorldLoop()
    asyncio.set_event_loop(loop)
    WORLDS.append(loop)
    return loop


@dataclass
class BareProfile:
    """What Module, uos and usocket ask of a profile."""

    usr_blocks: int = 64
    boot_ms: int = 0
    rtc_alarm_wakes: bool = False
    connect_filters: bool = True
    umqtt_tells: bool = False
    absent: dict[str, frozenset[str]] = field(default_factory=dict)
    lacks: frozenset[str] = frozenset({"hashlib"})

    def uname(self) -> tuple[str, ...]:
        return ("sysname=BARE", "nodename=BARE", "release=1.13.0", "version=v", "machine=BARE", "qpyver=V0001")


class Radio:
    """A radio that is always connected; a test may change what it says."""

    def __init__(self) -> None:
        self.ip: str | None = "10.1.2.3"
        self.ip6: str | None = None
        self.has_dns = True
        self.delays: dict[str, float | None] = {"up": 0.0, "down": 0.0}
        self.wakes: float | None = None

    def traffic(self, direction: str) -> float | None:
        return self.delays[direction]

    def tau_expires_at(self) -> float | None:
        return self.wakes


class OsTimer(Thing):
    def start(self, ms: int, cyclic: int, callback: int) -> int:
        self.board.later(ms / 1000, self.board.call_back, callback, None)
        return 0


class Timers(Firmware):
    NAME = "osTimer"
    MODULE_IS_CLASS = "osTimer"
    CLASSES = {"osTimer": OsTimer}


class Power(Thing):
    STATIC = True
    CONSTANTS = {"PSM": 8}

    def powerOnReason(self) -> int:
        return self.board.reason

    def powerDown(self) -> None:
        raise PowerOff("down")


class Misc(Firmware):
    NAME = "misc"
    CLASSES = {"Power": Power}


class Dog(Thing):
    def __init__(self, board: Board, period: int) -> None:
        super().__init__(board)
        self.refused = period > 100
        self.fed = 0

    def feed(self) -> int:
        self.fed += 1
        return self.fed


class Rtc(Thing):
    SINGLETON = True
    alarm = 0

    def set_alarm(self, at: int) -> None:
        self.alarm = at

    def get_alarm(self) -> int:
        return self.alarm


class Machine(Firmware):
    NAME = "machine"
    CLASSES = {"WDT": Dog, "RTC": Rtc}


class Probe(Firmware):
    """Functions that show what crosses the border between application and firmware."""

    NAME = "probe"
    CONSTANTS = {"NAME": "probe", "PAIR": (1, b"\x00\xff")}

    def same(self, value: Any) -> Any:
        return value

    def kind(self, value: Any) -> str:
        return type(value).__name__

    def fill(self, buffer: bytearray, start: int = 0) -> None:
        buffer[start : start + 2] = b"ok"

    def refuse(self, what: str) -> None:
        raise {"os": OSError(-2), "value": ValueError("range"), "type": TypeError("int")}[what]

    def defect(self, kind: str) -> None:
        if kind == "lookup":
            raise LookupError("a stand-in with a defect")
        if kind == "file":
            open("/nowhere/defect").close()
        b"\xff".decode()  # a ValueError by inheritance

    def absent_here(self) -> None:
        pass

    def call_back(self, callback: int, argument: Any) -> None:
        self.board.call_back(callback, argument)


class Bench:
    """One module on a network of its own; `run(main=...)` is one power-on."""

    def __init__(self, engine: str, *, profile: BareProfile | None = None, loss: float = 0.0, **options: Any) -> None:
        self.loop = new_world()
        self.events = Events(self.loop.time)
        self.network = Network(self.loop, self.events, seed=1, loss=loss)
        self.radio = Radio()
        self.profile = profile or BareProfile(absent={"probe": frozenset({"absent_here"})})
        self.module = Module(self.loop, self.network, self.events, profile=self.profile, engine=engine, fit=self._fit,
                             **options)

    def _fit(self, board: Board) -> None:
        board.radio = self.radio
        for firmware in (Utime, Uos, Usocket, Ussl, Timers, Misc, Machine, Probe):
            board.firmware[firmware.NAME] = firmware(board)

    def run(self, main: str = "", reason: int = 3, files: dict[str, str] | None = None) -> PowerOff:
        """Boots `main` and other files of /usr; says how the power went."""
        texts = {**(files or {}), **({"main.py": main} if main else {})}
        self.module.flash.install({name: text.encode() for name, text in texts.items()})
        return self.loop.run_until_complete(self.module.power_on(reason))

    def printed(self) -> list[str]:
        """What the application printed, line by line."""
        return [event.text for event in self.events.of("console")]


class BareBoard:
    """A board without an engine, with `firmware` on it: `ask("utime.time")` is a call of the application."""

    def __init__(self, *firmware: type[Firmware], nv: NonVolatile | None = None,
                 loop: WorldLoop | None = None) -> None:
        self.loop = loop or new_world()
        self.events = Events(self.loop.time)
        self.network = Network(self.loop, self.events, seed=1, latency_ms=(50, 50))
        self.radio = Radio()
        self.nv = nv or NonVolatile()
        self._firmware = firmware
        self.power_on()

    def power_on(self) -> None:
        """The first power-on, or the next one."""
        self.board = Board(self.loop, self.network, self.events, profile=BareProfile(), identity=Identity(), nv=self.nv,
                           seed="1", reason=3)
        self.board.radio = self.radio
        for each in self._firmware:
            self.board.firmware[each.NAME] = each(self.board)

    def ask(self, name: str, *args: Any) -> Any:
        return self.loop.run_until_complete(self.board.call(name, list(args)))

    def took(self, name: str, *args: Any) -> tuple[Any, float]:
        """(result or errno, virtual seconds) of a call."""
        began = self.loop.now_us
        try:
            result = self.ask(name, *args)
        except OSError as error:
            result = error.args[0]
        return result, (self.loop.now_us - began) / 1e6

    def sleep(self, seconds: float) -> None:
        self.loop.run_until_complete(self.board.wait(seconds))
