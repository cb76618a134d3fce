"""Two clocks: milliseconds since power-on, which only go forward, and Unix time, once the network has told it."""

import utime

# Seconds of 2024-01-01: an RTC that says less was never set (it starts in 2000 or so).
_PLAUSIBLE = 1704067200


class Clock:
    """Counts `utime.ticks_ms`, which wraps at 2**30 (quecpython.md §1.6), into milliseconds that do not wrap. It must
    be read at least every six days."""

    def __init__(self) -> None:
        self._last = utime.ticks_ms()
        self._total = 0

    def now(self) -> int:
        """Milliseconds since power-on."""
        ticks = utime.ticks_ms()
        self._total += utime.ticks_diff(ticks, self._last)
        self._last = ticks
        return self._total

    def unix(self) -> int:
        """Unix time in seconds, or 0 while the RTC was never set.

        `localtime()` is local time and `mktime` takes it for UTC+8 whatever the zone is (quecpython.md §1.6), hence the
        difference to the zone that is set."""
        seconds = utime.mktime(utime.localtime()) + (8 - utime.getTimeZone()) * 3600
        return seconds if seconds > _PLAUSIBLE else 0

    def offset(self) -> str:
        """The zone that is set, as LwM2M writes it: "+08:00"."""
        return "%+03d:00" % utime.getTimeZone()

    def sleep(self, milliseconds: int) -> None:
        """Waits; callbacks run meanwhile."""
        if milliseconds > 0:
            utime.sleep_ms(milliseconds)
