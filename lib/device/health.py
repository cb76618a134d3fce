"""What the device knows of its own past: why it booted, what failed and how often; counters, and the journal."""

import log
from micropython import const
from misc import Power

from device import events
from store.shape import shaped

_JUMP = const(60)  # s: what the network corrects beyond this is worth a word
# One text: a tuple of them takes 600 bytes more.
_REASONS = "unknown,power key,reset,battery,RTC,watchdog,USB,charger,PSM,dump"

_log = log.getLogger("health")


class Health:
    """`record` keeps wakes given up in a row and counters over power-off, `journal` (store.journal.Journal) what
    happened when. `fault` is the code of the last fault, 0 for none; `boot` the last power-on that came to an end of
    its own."""

    def __init__(self, record, journal) -> None:
        self._record = record
        self._journal = journal
        saved = shaped(record.load(), {"counters": {}, "row": 0, "not_before": 0, "fault": 0, "boot": 0})
        self.reason = Power.powerOnReason()
        self.in_a_row = saved["row"]
        self.not_before = saved["not_before"]  # Unix time before which the platform is not tried again
        self.fault = saved["fault"]
        self.boot = saved["boot"]
        self._written = dict(saved)
        self.counters = {name: n for name, n in saved["counters"].items() if isinstance(n, int)}

    def reason_text(self) -> str:
        """The reset reason in words (quecpython.md §3.6)."""
        names = _REASONS.split(",")
        return names[self.reason] if 0 <= self.reason < len(names) else str(self.reason)

    def count(self, name: str) -> None:
        """One more of `name`."""
        self.counters[name] = self.counters.get(name, 0) + 1

    def note(self, code: int, value: int = 0) -> None:
        """An event of device/events.py for the journal."""
        self._journal.note(code, value)

    def clock_changed(self, before: int, now: int, passed: int) -> None:
        """Unix time before and after something that took so many seconds; 0 where it was unknown."""
        if not before and now:
            self.note(events.CLOCK_SET)
        elif before and abs(now - before - passed) > _JUMP:
            jump = now - before - passed
            self.note(events.CLOCK_AHEAD if jump > 0 else events.CLOCK_BACK, abs(jump))

    def failed(self, what: str, which: str, error: Exception) -> None:
        """A user's function raised: counted, logged, and the device goes on."""
        self.count(what + "_failed")
        _log.error("%s %s failed: %r", what, which, error)

    def write(self, record, value: dict, what: str) -> None:
        """Saves what can be done without for a while: where the flash refuses it is counted, and the wake goes on."""
        try:
            record.save(value)
        except OSError as error:
            self.failed("flash", what, error)
            self.note(events.NO_FLASH, error.args[0])

    def faulted(self, fault) -> None:
        """A fault of the link or session."""
        self.fault = fault.code
        self.count("fault_%d" % fault.code)
        self.note(events.FAULT, fault.code)
        name = repr(fault).split("(")[0]  # not every image has type(x).__name__ (quecpython.md §1.2)
        _log.error("E%d %s: %s. %s", fault.code, name, fault, fault.hint())

    def well(self) -> None:
        """The platform has acknowledged something."""
        self.fault = self.in_a_row = self.not_before = 0

    def save(self, now: int, boot: int) -> None:
        """Writes what changed, nothing where nothing did, and the journal. `boot` is the number of this power-on,
        which counts as ended with a fault in a row: a wake without one is known by its session."""
        if self.in_a_row:
            self.boot = boot
        state = {
            "counters": dict(self.counters),
            "row": self.in_a_row,
            "not_before": self.not_before,
            "fault": self.fault,
            "boot": self.boot,
        }
        if state != self._written:
            self.write(self._record, state, "health")
            self._written = state
        self._journal.flush(boot, now)
