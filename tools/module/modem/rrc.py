"""The radio connection (RRC): set up by traffic or signalling, ended by the network's inactivity timer or AT+QSCLKEX.

    idle -> connected    traffic after a set-up, a page, signalling (attach, TAU)
    connected -> idle    inactivity, enhanced sleep, right after signalling that carried no data
"""

import random
from asyncio import TimerHandle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tools.module.profiles.networks import Carrier, Span

US = 1_000_000


@dataclass(frozen=True)
class Armed:
    """AT+QSCLKEX in force (quecpython.md §4.3). `works`: this arming is not one that has no effect."""

    no_data_s: int
    retry_min: int
    at_us: int
    works: bool
    lag_us: int


class Rrc:
    """`later` runs steps that a detach cancels; `changed` is told of each change, `idled` when the connection ended."""

    def __init__(self, board: Any, carrier: Carrier, rng: random.Random, later: Callable[..., TimerHandle],
                 changed: Callable[[], None], idled: Callable[[], None]) -> None:
        self.board, self.carrier, self._rng = board, carrier, rng
        self._later, self._changed, self._idled = later, changed, idled
        self.state = "idle"
        self.armed: Armed | None = None
        self.idle_us = board.loop.now_us  # since when it is idle
        self._ready_us = 0  # from when the connection carries data
        self._last_us = 0  # last traffic
        self._datagrams = 0
        self._inactivity_us = 0
        self._timer: TimerHandle | None = None

    @property
    def connected(self) -> bool:
        return self.state == "connected"

    @property
    def being_paged(self) -> bool:
        return not self.connected and self._ready_us > self.board.loop.now_us

    def carry(self, *, paged: bool = False, lost_cell: bool = False) -> float:
        """Seconds until one datagram can go: set-up when idle, before it the page for a downlink (`paged`) or finding
        the cell again (`lost_cell`)."""
        now = self.board.loop.now_us
        if not self.connected and not self.being_paged:
            wait_us = 0
            if paged:
                wait_us = self._rng.randint(0, self.carrier.paging_cycle_ms) * 1000
            elif lost_cell:
                wait_us = self.draw_us(self.carrier.resync_ms)
            self._ready_us = now + wait_us + self.draw_us(self.carrier.rrc_setup_ms)
            if paged:
                self._later(wait_us / US, self.open)
            else:
                self.open()
        ready = max(now, self._ready_us)
        self._datagrams += 1
        self._touch(ready)
        return (ready - now) / US

    def arm(self, mode: int, no_data_s: int = 3, retry_min: int = 10) -> None:
        """AT+QSCLKEX. It takes effect in autosleep (quecpython.md §4.3); the carrier's `release_refusal` makes some
        armings fail, as the guide's three tries imply (guide §6.1)."""
        self.armed = None
        if mode:
            works = self._rng.random() >= self.carrier.release_refusal
            lag = self.draw_us(self.carrier.release_ms)
            self.armed = Armed(no_data_s, retry_min, self.board.loop.now_us, works, lag)
        self.schedule()

    def signal(self, span: Span, then: Callable[..., None], *args: Any) -> None:
        """An exchange of signalling, then `then(*args)`. When it opened the connection itself and no data came, the
        network ends it at once: the request carries no "active" flag (TS 24.301 §5.5.3.2; inferred)."""
        alone = not self.connected
        self.open()
        before = self._datagrams
        self._stop()

        def done() -> None:
            then(*args)
            if alone and self._datagrams == before:
                self._stop()
                self._timer = self._later(self.draw_us(self.carrier.drop_ms) / US, self.close, "network")
            else:
                self._touch(self.board.loop.now_us)

        self._later(self.draw_us(span) / US, done)

    def open(self) -> None:
        """Connected from now on."""
        if self.connected:
            return
        self._changed()  # books what was idle until now
        self.state = "connected"
        self._inactivity_us = self.draw_us(self.carrier.inactivity_ms)
        self._touch(max(self.board.loop.now_us, self._ready_us))
        self.board.events.emit("module", "rrc", "connected")
        self._changed()

    def close(self, by: str) -> None:
        """Idle from now on."""
        if not self.connected:
            return
        self._stop()
        self.state = "idle"
        self.idle_us = self.board.loop.now_us
        self._ready_us = 0
        self.board.events.emit("module", "rrc", "idle", by=by)
        self._idled()
        self._changed()

    def schedule(self) -> None:
        """Sets the end of the connection anew: something it depends on has changed."""
        self._stop()
        if not self.connected:
            return
        at, by = self._last_us + self._inactivity_us, "network"
        armed = self.armed
        if armed is not None and armed.works and self.board.radio.autosleep:
            early = max(self._last_us, armed.at_us) + armed.no_data_s * US + armed.lag_us
            at, by = min((at, by), (early, "module"))
        self._timer = self._later((at - self.board.loop.now_us) / US, self.close, by)

    def draw_us(self, span: Span) -> int:
        return self._rng.randint(*span) * 1000

    def _touch(self, at_us: int) -> None:
        self._last_us = max(self._last_us, at_us)
        self.schedule()

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
