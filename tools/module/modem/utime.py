"""`utime`: the RTC's local time, the firmware's fixed UTC+8 conversions, ticks, sleeping (quecpython.md §1.6).

The RTC counts local time. It is kept as `nv.rtc_offset_us`, the difference to the world's time, so that it goes on
while the module is off; never set, it begins at 2000-01-01 with every power-on.
"""

import calendar
import time
from typing import Any

from tools.module.board import Board, Firmware

UNSET_DATE = calendar.timegm((2000, 1, 1, 0, 0, 0))
BEIJING = 8 * 3600
"""`mktime` and `localtime(secs)` take UTC+8 for granted, whatever the zone is set to (quecpython.md §1.6)."""

TICKS_MASK = 0x3FFFFFFF
TICKS_AT_BOOT = 0x3FFFF000
"""4.1 s before the wrap, so that every power-on meets it (quecpython.md §7, point 9)."""

ZONE = "time_zone"  # nv.values: hours set by setTimeZone or NITZ


def zone_hours(board: Board) -> int:
    """The zone in hours; 0 until NITZ or the application has set one (inferred)."""
    return board.nv.values.get(ZONE, 0)


def rtc_us(board: Board) -> int:
    """The RTC: its local date and time as microseconds since 1970 as if it were UTC."""
    if board.nv.rtc_offset_us is None:
        return UNSET_DATE * 1_000_000 + board.loop.now_us - board.booted_us
    return board.loop.now_us + board.nv.rtc_offset_us


def set_rtc_local(board: Board, local_us: int) -> None:
    """Sets the RTC's local date and time, as `RTC.datetime(...)` does."""
    board.nv.rtc_offset_us = local_us - board.loop.now_us


def set_rtc(board: Board, unix_seconds: int, hours: int = 8) -> None:
    """Sets RTC and zone from Unix time, as NITZ does; China is UTC+8."""
    board.nv.values[ZONE] = hours
    set_rtc_local(board, (unix_seconds + hours * 3600) * 1_000_000)


def fields(seconds: int) -> tuple[int, ...]:
    """(year, month, day, hour, minute, second, weekday with Monday = 0, day of the year)."""
    broken = time.gmtime(seconds)
    return (*broken[:6], broken.tm_wday, broken.tm_yday)


class Utime(Firmware):
    NAME = "utime"

    def localtime(self, seconds: int | None = None) -> tuple[int, ...]:
        """The RTC's local time; of a Unix time, its UTC+8."""
        if seconds is None:
            return fields(rtc_us(self.board) // 1_000_000)
        return fields(int(seconds) + BEIJING)

    def mktime(self, local: Any) -> int:
        """Unix seconds of an 8- or 9-tuple taken for UTC+8."""
        if len(local) not in (8, 9):
            raise TypeError("mktime needs a tuple of length 8 or 9")
        return calendar.timegm(tuple(int(part) for part in local[:6])) - BEIJING

    def time(self) -> int:
        """RTC seconds, converted like `mktime(localtime())`: Unix time only where the zone is UTC+8. What it counts
        varies by platform (quecpython.md §1.6)."""
        return rtc_us(self.board) // 1_000_000 - BEIJING

    def setTimeZone(self, hours: int) -> int:
        """-12 to 12; local time moves with it (inferred)."""
        if not -12 <= hours <= 12:
            raise ValueError("time zone out of range")
        moved = (hours - zone_hours(self.board)) * 3_600_000_000
        self.board.nv.values[ZONE] = hours
        if self.board.nv.rtc_offset_us is not None:
            self.board.nv.rtc_offset_us += moved
        return 0

    def getTimeZone(self) -> int:
        return zone_hours(self.board)

    # -- ticks: period 2**30 ---------------------------------------------------------------------------------------

    def ticks_ms(self) -> int:
        """Goes on in light sleep; whether it does on the module is unknown (quecpython.md §1.6): inferred."""
        return (TICKS_AT_BOOT + self.board.uptime_ms()) & TICKS_MASK

    def ticks_us(self) -> int:
        return (TICKS_AT_BOOT + self.board.loop.now_us - self.board.booted_us) & TICKS_MASK

    def ticks_cpu(self) -> int:
        return self.ticks_us()

    def ticks_add(self, ticks: int, delta: int) -> int:
        return (ticks + delta) & TICKS_MASK

    def ticks_diff(self, end: int, start: int) -> int:
        """-2**29 to 2**29 - 1."""
        return ((end - start + 0x20000000) & TICKS_MASK) - 0x20000000

    # -- sleeping: callbacks run meanwhile (quecpython.md §1.5) ----------------------------------------------------

    async def sleep(self, seconds: float) -> None:
        await self._sleep_ms(round(seconds * 1000))

    async def sleep_ms(self, milliseconds: int) -> None:
        await self._sleep_ms(int(milliseconds))

    async def sleep_us(self, microseconds: int) -> None:
        """Rounded up to whole milliseconds, one at least."""
        await self._sleep_ms(max(1, -(-int(microseconds) // 1000)))

    async def _sleep_ms(self, milliseconds: int) -> None:
        await self.board.wait(max(0, milliseconds) / 1000)
