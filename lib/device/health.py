"""What the device says about itself: why it booted, how often, what failed, and the values of objects 1, 3 and 4."""

import log
from micropython import const
from misc import Power

from link import cell

_LTE_FDD = const(6)  # network bearer (LwM2M 1.0 object 4, resource 0)
# One text: a tuple of them takes 600 bytes more.
_REASONS = "unknown,power key,reset,battery,RTC,watchdog,USB,charger,PSM,dump"

_log = log.getLogger("health")


class Health:
    """`record` keeps boots, faults in a row and counters over power-off. `fault` is the code of the last fault, 0 for
    none."""

    def __init__(self, record) -> None:
        self._record = record
        saved = record.load() or {}
        self.reason = Power.powerOnReason()
        self.counters = saved.get("counters", {})
        self.in_a_row = saved.get("row", 0)
        self.not_before = saved.get("not_before", 0)  # Unix time before which the platform is not tried again
        self.fault = saved.get("fault", 0)
        self._written = dict(saved)
        self.counters = dict(self.counters)  # not the one just noted as written

    def reason_text(self) -> str:
        """The reset reason in words (quecpython.md §3.6)."""
        names = _REASONS.split(",")
        return names[self.reason] if 0 <= self.reason < len(names) else str(self.reason)

    def count(self, name: str) -> None:
        """One more of `name`."""
        self.counters[name] = self.counters.get(name, 0) + 1

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

    def faulted(self, fault) -> None:
        """A fault of the link or session."""
        self.fault = fault.code
        self.in_a_row += 1
        self.count("fault_%d" % fault.code)
        name = repr(fault).split("(")[0]  # not every image has type(x).__name__ (quecpython.md §1.2)
        _log.error("E%d %s: %s. %s", fault.code, name, fault, fault.hint)

    def well(self) -> None:
        """The platform has acknowledged something."""
        self.fault = self.in_a_row = self.not_before = 0

    def save(self) -> None:
        """Writes what changed; nothing where nothing did."""
        state = {
            "counters": dict(self.counters),
            "row": self.in_a_row,
            "not_before": self.not_before,
            "fault": self.fault,
        }
        if state != self._written:
            self.write(self._record, state, "health")
            self._written = state


class Values:
    """Answers the server's reads. `facts` is what is known without asking the modem: "imei", "lifetime", "binding",
    "address"."""

    def __init__(self, facts: dict, health: Health, clock) -> None:
        self._facts = facts
        self._health = health
        self._clock = clock

    def value(self, number: int, resource: int):
        """Value of object `number`, instance 0, or None where this device has none."""
        if number == 1:
            return (1, self._facts["lifetime"], 0, 0, 0, 0, 0, self._facts["binding"])[resource]
        if number == 3:
            return self._device(resource)
        return self._connectivity(resource)

    def _device(self, resource: int):
        if resource == 0:
            return "Quectel"
        if resource == 1:
            return cell.model()
        if resource == 2:
            return self._facts["imei"]
        if resource == 3:
            return cell.firmware()
        if resource == 7:
            return Power.getVbatt()
        if resource == 11:
            return self._health.fault
        if resource == 13:
            return self._clock.unix() or None
        return self._facts["binding"] if resource == 16 else None

    def _connectivity(self, resource: int):
        if resource == 0:
            return _LTE_FDD
        if resource in (2, 3):
            signal = cell.signal()
            return None if signal is None else signal[resource - 2]
        if resource == 4:
            return self._facts["address"]
        serving = cell.serving()
        name = {8: "cid", 9: "mnc", 10: "mcc"}.get(resource)
        return None if serving is None or name is None else serving[name]
