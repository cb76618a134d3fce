"""`machine`: pins, RTC, watchdog, timers, UARTs (quecpython.md §3.7). The water meter hangs on UART1."""

import datetime as dt
from asyncio import TimerHandle
from typing import Any

from tools.module.board import Board, Firmware, Thing
from tools.module.modem import utime
from tools.module.modem.watermeter import WaterMeter

PINS = {f"GPIO{n}": n for n in range(1, 42)}
"""Which of them a package brings out differs by board; the numbers are inferred from the names."""


class Pin(Thing):
    """Pin(gpio, direction, pull, level). An input reads what the world puts on it (`Machine.drive`)."""

    CONSTANTS = {**PINS, "IN": 0, "OUT": 1, "PULL_DISABLE": 0, "PULL_PU": 1, "PULL_PD": 2}

    def __init__(self, board: Board, gpio: int, direction: int = 0, pull: int = 0, level: int = 0) -> None:
        super().__init__(board)
        if gpio not in PINS.values():
            raise ValueError("no such pin")
        self._gpio, self._direction = gpio, direction
        self._levels: dict[int, int] = board.firmware["machine"].levels
        if direction == 1:
            self._levels[gpio] = level
        else:
            self._levels.setdefault(gpio, int(pull == 1))

    def read(self) -> int:
        return self._levels[self._gpio]

    def write(self, level: int) -> int:
        if self._direction != 1 or level not in (0, 1):
            return -1
        self._levels[self._gpio] = level
        return 0

    def get_dir(self) -> int:
        return self._direction

    def set_dir(self, direction: int) -> int:
        if direction not in (0, 1):
            return -1
        self._direction = direction
        return 0


class ExtInt(Thing):
    """ExtInt(gpio, mode, pull, cb); cb((gpio, edge)), edge 0 rising, 1 falling. Both edges at once are not supported on
    EC600E/EC800E; how the constructor says so is unknown: ValueError is inferred."""

    CONSTANTS = {**PINS, "IRQ_RISING": 0, "IRQ_FALLING": 1, "IRQ_RISING_FALLING": 2, "PULL_DISABLE": 0, "PULL_PU": 1,
                 "PULL_PD": 2}

    def __init__(self, board: Board, gpio: int, mode: int, pull: int, callback: int | None) -> None:
        super().__init__(board)
        if gpio not in PINS.values():
            raise ValueError("no such pin")
        if mode not in (0, 1):
            raise ValueError("mode not supported")
        self._gpio, self._mode, self._callback = gpio, mode, callback
        self._on = False
        self._counts = [0, 0]
        machine = board.firmware["machine"]
        machine.levels.setdefault(gpio, int(pull == 1))
        machine.watchers.append(self)

    def enable(self) -> int:
        self._on = True
        return 0

    def disable(self) -> int:
        self._on = False
        return 0

    def line(self) -> int:
        return self._gpio

    def read_count(self, is_reset: int = 0) -> list[int]:
        """[rising, falling]."""
        counts = list(self._counts)
        if is_reset:
            self.count_reset()
        return counts

    def count_reset(self) -> int:
        self._counts = [0, 0]
        return 0

    def read_level(self) -> int:
        return self.board.firmware["machine"].levels[self._gpio]

    def _edge(self, gpio: int, edge: int) -> None:
        if gpio == self._gpio and self._on and edge == self._mode:
            self._counts[edge] += 1
            self.board.call_back(self._callback, (gpio, edge))


def _local_us(when: Any) -> int | None:
    """Microseconds since 1970 of (y, mo, d, wday, h, mi, s, 0), taken as the RTC's own time; None if it is no date."""
    if not isinstance(when, (tuple, list)) or len(when) != 8:
        return None
    try:
        moment = dt.datetime(when[0], when[1], when[2], when[4], when[5], when[6], tzinfo=dt.timezone.utc)
    except (TypeError, ValueError):
        return None
    return int(moment.timestamp()) * 1_000_000


class RTC(Thing):
    """The clock, wday 0 = Sunday. An alarm that fell due before `register_callback` is delivered there (S25, EIGEN).
    Whether it switches on a module that is off is the profile's `rtc_alarm_wakes`: documented for EC600U/EC200U only.
    """

    SINGLETON = True

    def __init__(self, board: Board) -> None:
        super().__init__(board)
        self._callback: int | None = None
        self._alarm_us: int | None = board.nv.alarm_us
        self._timer: TimerHandle | None = None
        self._due = False
        if self._alarm_us is not None:
            self._arm()

    def datetime(self, when: Any = None) -> Any:
        """(y, mo, d, wday, h, mi, s, 0); with eight numbers sets the clock: 0, or -1."""
        if when is None:
            y, mo, d, h, mi, s, monday_based, _ = utime.fields(utime.rtc_us(self.board) // 1_000_000)
            return (y, mo, d, (monday_based + 1) % 7, h, mi, s, 0)
        local_us = _local_us(when)
        if local_us is None:
            return -1
        utime.set_rtc_local(self.board, local_us)
        return 0

    def set_alarm(self, when: Any) -> int:
        local_us = _local_us(when)
        if local_us is None:
            return -1
        self._alarm_us = self.board.loop.now_us + local_us - utime.rtc_us(self.board)
        return 0

    def enable_alarm(self, enable: int) -> int:
        if enable not in (0, 1) or (enable and self._alarm_us is None):
            return -1
        if self._timer is not None:
            self._timer.cancel()
        self.board.nv.alarm_us = self._alarm_us if enable else None
        if enable:
            self._arm()
        return 0

    def register_callback(self, callback: int | None) -> int:
        """cb(None)."""
        self._callback = callback
        if self._due:
            self._due = False
            self.board.call_back(callback, None)
        return 0

    def _arm(self) -> None:
        assert self._alarm_us is not None
        self._timer = self.board.later((self._alarm_us - self.board.loop.now_us) / 1e6, self._fire)

    def _fire(self) -> None:
        self.board.nv.alarm_us = None
        if self._callback is None:
            self._due = True
        self.board.call_back(self._callback, None)


class WDT(Thing):
    """WDT(period in seconds): a software dog; constructing it again starts it anew. False when it cannot be had (here:
    a period that is not a positive int; inferred). Not fed in time: reset with reason 5. Feeding a
    stopped one starts it again (inferred)."""

    def __init__(self, board: Board, period: int) -> None:
        super().__init__(board)
        self._machine = board.firmware["machine"]
        if type(period) is not int or period <= 0:
            self.refused = True
            return
        self._period = period
        self.feed()

    def feed(self) -> int:
        self.stop()
        self._machine.dog = self.board.later(self._period, self._bite)
        return 0

    def stop(self) -> int:
        if self._machine.dog is not None:
            self._machine.dog.cancel()
            self._machine.dog = None
        return 0

    def _bite(self) -> None:
        self.board.nv.values["down_reason"] = 5
        self.board.doom("watchdog", f"not fed for {self._period} s")


class Timer(Thing):
    """Timer(n): start(period=ms, mode=ONE_SHOT/PERIODIC, callback=cb), stop(). cb gets None here; on the module it gets
    the timer itself, which cannot cross to the application."""

    CONSTANTS = {"Timer0": 0, "Timer1": 1, "Timer2": 2, "Timer3": 3, "ONE_SHOT": 0, "PERIODIC": 1}

    def __init__(self, board: Board, number: int) -> None:
        super().__init__(board)
        if number not in (0, 1, 2, 3):
            raise ValueError("no such timer")
        self._timer: TimerHandle | None = None

    def start(self, period: int, mode: int, callback: int | None) -> int:
        if period <= 0 or mode not in (0, 1):
            return -1
        self.stop()
        self._timer = self.board.later(period / 1000, self._fire, period / 1000, mode, callback)
        return 0

    def stop(self) -> int:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return 0

    def _fire(self, seconds: float, mode: int, callback: int | None) -> None:
        self._timer = self.board.later(seconds, self._fire, seconds, mode, callback) if mode else None
        self.board.call_back(callback, None)


class UART(Thing):
    """UART(n, baud, databits, parity, stopbits, flow). `read` takes what is there and never waits (inferred)."""

    CONSTANTS = {"UART0": 0, "UART1": 1, "UART2": 2}

    def __init__(self, board: Board, number: int, baud: int = 115200, databits: int = 8, parity: int = 0,
                 stopbits: int = 1, flow: int = 0) -> None:
        super().__init__(board)
        if number not in (0, 1, 2):
            raise ValueError("no such UART")
        self._number, self._baud = number, baud
        self._received = bytearray()
        self._callback: int | None = None
        self._peer: WaterMeter | None = board.firmware["machine"].lines.get(number)
        if self._peer is not None:
            self._peer.send = self._arrive

    def any(self) -> int:
        return len(self._received)

    def read(self, count: int) -> bytes:
        data = bytes(self._received[:count])
        del self._received[:count]
        return data

    def readline(self) -> bytes:
        """Up to and with the newline; what there is, when there is none (inferred)."""
        return self.read(self._received.find(b"\n") + 1 or len(self._received))

    async def write(self, data: bytes | str) -> int:
        """The count, after the time the line takes: 10 bits a byte."""
        data = data.encode() if isinstance(data, str) else data
        if self._peer is not None:
            await self.board.radio.work(len(data) * 10 / self._baud)
            self._peer.receive(bytes(data))
        return len(data)

    def set_callback(self, callback: int | None) -> int:
        """cb([result, port, bytes waiting]); 0."""
        self._callback = callback
        return 0

    def close(self) -> int:
        if self._peer is not None:
            self._peer.send = lambda line: None
        return 0

    def _arrive(self, data: bytes) -> None:
        self._received += data
        self.board.changed.set()
        self.board.call_back(self._callback, [0, self._number, len(self._received)])


class Machine(Firmware):
    NAME = "machine"
    CLASSES = {"Pin": Pin, "ExtInt": ExtInt, "RTC": RTC, "WDT": WDT, "Timer": Timer, "UART": UART}

    def __init__(self, board: Board) -> None:
        super().__init__(board)
        self.levels: dict[int, int] = {}
        self.watchers: list[ExtInt] = []
        self.lines: dict[int, WaterMeter] = {1: WaterMeter(board)}
        self.dog: TimerHandle | None = None

    def _drive(self, gpio: int, level: int) -> None:
        """The world changes a pin; not the application's."""
        if self.levels.get(gpio, 0) != level:
            self.levels[gpio] = level
            for watcher in self.watchers:
                watcher._edge(gpio, 0 if level else 1)
            self.board.changed.set()
