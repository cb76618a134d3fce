"""One power-on of a simulated module: what QuecPython's modules have in common.

Behaviour (`tools/module/modem/`) is ordinary Python that never knows which engine runs the application. An engine
hands every call of the application to `Board.call`; everything that takes time on the module waits in `Board.wait`,
where callbacks are delivered and where the power may go (PSM, power-down, a cut).
"""

import asyncio
import functools
import inspect
import random
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tools.world.clock import WorldLoop
from tools.world.events import Events
from tools.world.network import Network

QUEUED = 64
"""Callbacks that may wait for the application: the scheduler's depth in S21 (quecpython.md §1.5); newer images have a
queue of unknown length. What comes beyond is lost (inferred: as MicroPython's own scheduler does)."""


BUSY_CALLS, BUSY_S = 200, 0.01
"""After so many calls at one instant so many seconds pass (a call is some 50 µs on the module: estimate). Computing
takes no time here, so a thread that calls and never waits would stop the world. The application makes some 50 calls at
one instant."""


class PowerOff(BaseException):
    """The application stops here for ever. `how`: psm, down, restart, cut, watchdog, exit (it ended by itself)."""

    def __init__(self, how: str, detail: str = "") -> None:
        super().__init__(how, detail)
        self.how, self.detail = how, detail


@dataclass
class Identity:
    """Who the module is. The defaults are the guide's example device (guide §6)."""

    imei: str = "868543060974334"
    imsi: str = "460115472446714"
    iccid: str = "89860320845515190439"


@dataclass
class NonVolatile:
    """What outlives power-off outside the file system: settings the modem keeps, the RTC, and wake-up causes."""

    values: dict[str, Any] = field(default_factory=dict)  # e.g. "psm": [mode, tau_unit, tau, act_unit, act]
    rtc_offset_us: int | None = None  # RTC minus world time; None: never set, the RTC starts at its default date
    alarm_us: int | None = None


class Firmware:
    """Base of one QuecPython module's behaviour.

    Public methods are the module's functions, under QuecPython's names; an `async` one takes the module's time.
    `CONSTANTS` are its constants, `CLASSES` its classes (subclasses of `Thing`). They return None, bool, int, float,
    str, bytes, tuple or list, and raise OSError(errno), ValueError or TypeError as the firmware does. A bytearray
    argument is the caller's own: what is written into it is copied back. `MODULE_IS_CLASS` names the class that stands
    in `usys.modules` itself (osTimer: quecpython.md §1.3).
    """

    NAME = ""
    MODULE_IS_CLASS = ""
    CONSTANTS: dict[str, Any] = {}
    CLASSES: dict[str, type["Thing"]] = {}

    def __init__(self, board: "Board") -> None:
        self.board = board


class Thing:
    """Base of an object the application holds (a socket, a timer, a watchdog). `refused` makes its constructor give
    False, as `machine.WDT` does. Of a `STATIC` class the functions are called on the class itself (`misc.Power`); a
    `SINGLETON` constructs the same object again (`machine.RTC`)."""

    CONSTANTS: dict[str, Any] = {}
    STATIC = False
    SINGLETON = False
    refused = False

    def __init__(self, board: "Board", *args: Any) -> None:
        self.board = board


class Changed:
    """Wakes everyone who waits, as often as something changed. Each waiter is woken for itself: no thread can miss a
    change because another one has taken note of it."""

    def __init__(self, loop: WorldLoop) -> None:
        self._loop = loop
        self._waiters: list[asyncio.Future[None]] = []

    def set(self) -> None:
        """Something that a waiting application depends on has changed."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def wait(self, seconds: float | None) -> None:
        """Until the next `set`, or for `seconds`; what was set before does not count."""
        waiter = self._loop.create_future()
        timer = None if seconds is None else self._loop.call_later(seconds, _wake, waiter)
        self._waiters.append(waiter)
        try:
            await waiter
        finally:
            self._waiters.remove(waiter)
            if timer is not None:
                timer.cancel()


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


@dataclass(frozen=True)
class Handle:
    """An object of the firmware as an argument of a call: `ussl.wrap_socket(socket)`."""

    number: int


@functools.cache
def members(owner: type, base: type) -> list[str]:
    """Names of the functions that `owner` offers to the application."""
    return sorted(
        name for name, value in inspect.getmembers(owner, inspect.isfunction)
        if not name.startswith("_") and not hasattr(base, name)
    )


class Board:
    """One power-on. `reason` is what `Power.powerOnReason()` says (quecpython.md §3.6)."""

    def __init__(
        self,
        loop: WorldLoop,
        network: Network,
        events: Events,
        *,
        profile: Any,
        identity: Identity,
        nv: NonVolatile,
        seed: str,
        reason: int,
        flash: Any = None,
    ) -> None:
        self.loop, self.network, self.events = loop, network, events
        self.profile, self.identity, self.nv, self.reason, self.flash = profile, identity, nv, reason, flash
        self.rng = random.Random(seed)
        self.booted_us = loop.now_us
        self.firmware: dict[str, Any] = {}  # of Firmware, by module name
        self.things: dict[int, Thing] = {}
        self._only: dict[type[Thing], int] = {}  # handles of static classes and singletons
        self.changed = Changed(loop)  # set whenever something a waiting application depends on has changed
        self.callbacks: list[tuple[int, Any]] = []  # (callback id, its one argument), waiting for the application
        self.deliver: Callable[[int, Any], Any] | None = None  # the engine's: runs one callback to its end
        self._delivering = False
        self.power_off_at: Callable[[], float | None] = lambda: None  # when PSM would cut the power, as things are
        self.on_power_off: list[Callable[[], None]] = []
        self.radio: Any = None  # tools/module/modem/radio.py; fitted like the next two by modem.fit
        self.meter: Any = None  # tools/module/modem/meter.py
        self.sim: Any = None  # tools/module/modem/sim.py
        self.doomed: BaseException | None = None  # set by `doom` and `fail`
        self._timers: weakref.WeakSet[asyncio.TimerHandle] = weakref.WeakSet()
        self.calls = 0
        self._instant = (0, 0)  # (microsecond, number of calls made at it)
        self.heap_peak = 0

    # -- the application's calls ---------------------------------------------------------------------------------

    def surface(self) -> dict[str, Any]:
        """What this family's firmware offers: {module: {functions, constants, classes: {name: {methods, constants,
        static}}, is_class}}. The engines build the application's modules from it and from nothing else."""
        out: dict[str, Any] = {}
        for name, firmware in self.firmware.items():
            lacked = [n.partition(".")[2] for n in self.profile.lacks if n.startswith(name + ".")]
            absent = {*self.profile.absent.get(name, ()), *lacked}
            kind: type = type(firmware)
            out[name] = {
                "functions": [n for n in members(kind, Firmware) if n not in absent],
                "constants": {k: v for k, v in firmware.CONSTANTS.items() if k not in absent},
                "classes": {
                    k: {"methods": [m for m in members(cls, Thing) if f"{k}.{m}" not in absent],
                        "constants": cls.CONSTANTS, "static": cls.STATIC}
                    for k, cls in firmware.CLASSES.items() if k not in absent
                },
                "is_class": firmware.MODULE_IS_CLASS,
            }
        return out

    async def call(self, name: str, args: list[Any], named: dict[str, Any] | None = None) -> Any:
        """Runs `module.function`, `module.Class` (gives a handle, or False), `module.StaticClass.function` or
        `@handle.method`; `named` are its keyword arguments."""
        self.calls += 1
        args = [self.things[value.number] if isinstance(value, Handle) else value for value in args]
        owner, _, member = name.partition(".")
        if owner.startswith("@"):
            target = getattr(self.things[int(owner[1:])], member)
        else:
            firmware = self.firmware[owner]
            member, _, function = member.partition(".")
            cls = firmware.CLASSES.get(member)
            if cls is None:
                target = getattr(firmware, member)
            elif function:
                target = getattr(self.things[self._construct(cls, [], {})], function)
            else:
                return self._construct(cls, args, named or {}) or False
        result = target(*args, **(named or {}))
        return await result if inspect.isawaitable(result) else result

    def _construct(self, cls: type[Thing], args: list[Any], named: dict[str, Any]) -> int:
        """The handle of a new object, or of the only one of its class; 0 if its constructor refused."""
        if cls in self._only:
            return self._only[cls]
        thing = cls(self, *args, **named)
        if thing.refused:
            return 0
        handle = len(self.things) + 1
        self.things[handle] = thing
        if cls.STATIC or cls.SINGLETON:
            self._only[cls] = handle
        return handle

    # -- time ----------------------------------------------------------------------------------------------------

    def uptime_ms(self) -> int:
        """Milliseconds since this power-on."""
        return (self.loop.now_us - self.booted_us) // 1000

    async def take_time(self) -> None:
        """Lets time pass, and other threads work, under an application that calls without an end."""
        now, made = self._instant
        self._instant = (self.loop.now_us, made + 1 if now == self.loop.now_us else 1)
        if self._instant[1] > BUSY_CALLS:
            await self.wait(BUSY_S)

    def call_back(self, callback: int | None, argument: Any) -> None:
        """Queues a callback of the application; it runs while the application waits."""
        if callback is None:
            return
        if len(self.callbacks) >= QUEUED:
            self.events.emit("module", "overflow", "callback lost", waiting=QUEUED)
            return
        self.callbacks.append((callback, argument))
        self.changed.set()

    def later(self, seconds: float, action: Callable[..., object], *args: Any) -> asyncio.TimerHandle:
        """Runs `action` after `seconds`, unless the power goes before."""
        handle = self.loop.call_later(max(0.0, seconds), action, *args)
        self._timers.add(handle)
        return handle

    def doom(self, how: str, detail: str = "") -> None:
        """The power goes as soon as the application waits (a watchdog that was not fed, `Forcehib`)."""
        self.fail(PowerOff(how, detail))

    def fail(self, end: BaseException) -> None:
        """What ends this power-on: every thread of the application gets it where it waits."""
        self.doomed = self.doomed or end
        self.changed.set()

    async def wait(self, seconds: float | None, until: Callable[[], Any] = lambda: False) -> bool:
        """Parks a thread of the application for `seconds` (None: for ever) or until `until()`; True if that came to
        hold.

        Callbacks are delivered meanwhile, each by one thread. Raises PowerOff('psm') when the module powers down in
        PSM.
        """
        end = None if seconds is None else self.loop.time() + seconds
        while True:
            if self.doomed is not None:
                raise self.doomed
            while self.callbacks and not self._delivering:  # one at a time: they come from one queue (§1.5)
                await self._deliver(*self.callbacks.pop(0))
            if until():
                return True
            now = self.loop.time()
            if end is not None and end - now < 1e-6:
                return False
            cut = self.power_off_at()
            if cut is not None and cut - now < 1e-6:
                raise PowerOff("psm")
            limits = [t - now for t in (end, cut) if t is not None]
            await self.changed.wait(min(limits) if limits else None)

    async def _deliver(self, callback: int, argument: Any) -> None:
        """Runs one callback. A thread may be stopped in it: the next is delivered by another one."""
        assert self.deliver is not None
        self._delivering = True
        try:
            await self.deliver(callback, argument)
        finally:
            self._delivering = False
            if self.callbacks:
                self.changed.set()

    def power_off(self) -> None:
        """Everything that dies with the power: timers, sockets, the radio's activity."""
        for hook in self.on_power_off:
            hook()
        for handle in list(self._timers):
            handle.cancel()
        self._timers.clear()
