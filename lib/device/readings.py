"""Readings: declared in app.py, taken when they are due, put into the outbox as one entry per service.

    @reading("water_flow", every=hours(6), digits=3)
    def total_flow():
        return meter.litres() / 1000

A reading that raises is skipped and counted; the others are taken. Nothing here knows how an entry is sent.
"""

import ujson
from micropython import const

from link.fault import NoFlash
from store.outbox import PAYLOAD_LIMIT, TooLong

DATA_REPORT = const(1)  # service ids of AEP's standard water meter (ctwing.md §2.6)
SIGNAL_REPORT = const(2)
RESERVED = ("taskId", "serviceId", "id", "t", "act_result", "reason")  # of an uplink: no field may be called so

_DIGITS = const(9)  # decimals at most; a float of 64 bits has 15 digits in all

_declared = []
_outbox = []  # the present one


def dropped() -> int:
    """For app.py: reports that were dropped because the outbox was full, since installation."""
    return _outbox[0].dropped if _outbox else 0


def minutes(count: int) -> int:
    """Seconds."""
    return count * 60


def hours(count: int) -> int:
    """Seconds."""
    return count * 3600


def days(count: int) -> int:
    """Seconds."""
    return count * 86400


def whole(value, highest: int = 0x7FFFFFFF) -> bool:
    """It is a whole number 0…highest."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= highest


def reading(*fields: str, every: int = 0, digits: int = 0, service: int = 1):  # dialect: keyword-only - like prose
    """Declares a reading. The function returns its value, or a tuple of as many values as there are fields: numbers
    (sent with `digits` decimals), bool, str, or None. None alone means "no value now": it is asked again once the
    network is there, and at the next wake. `every` in seconds: it is taken at the first wake after that time, 0 at
    every wake. `service` is the report's service id."""

    why = ""
    if not fields or [field for field in fields if not isinstance(field, str) or not field]:
        why = "names of fields are wanted, in parentheses"
    elif not whole(every):
        why = "every is not a whole number of seconds"
    elif not whole(digits, _DIGITS):
        why = "digits is not 0-%d" % _DIGITS
    elif not whole(service):
        why = "service is not a whole number"
    else:
        for i, field in enumerate(fields):
            if field in RESERVED + fields[:i] or [row for row in _declared if row[3] == service and field in row[0]]:
                why = "the name %s is taken" % field
    if why:
        raise ValueError("reading %s: %s" % (fields, why))

    def declare(function):
        _declared.append((fields, every, digits, service, function))
        return function

    return declare


class Readings:
    """Takes what is due. `record` (a store.record.Record) keeps when each was last taken, as Unix time, 0 where that
    was unknown; `health` counts failures."""

    def __init__(self, record, health) -> None:
        self._record = record
        self._health = health
        saved = record.load() or {}
        self._last = {key: saved[key] for key in saved if whole(saved[key])}
        self._up = {}  # {key: ms since power-on} of those taken in this power-on

    def due(self, now: int, up: int, interval: int) -> list:
        """The declared readings to take at `now` (Unix seconds, 0: unknown), `up` ms after power-on, when wakes are
        `interval` s apart. A wake may come a little early, so a tenth of the interval counts as due.

        What was taken before this power-on is due as well where the time is unknown: rather too often than never."""
        out = []
        for index, row in enumerate(_declared):
            key = _key(row)
            wait = max(row[1], interval) - interval // 10
            last = self._last.get(key, 0)
            late = not now or now >= last + wait or now < last
            if key in self._up:
                late = up - self._up[key] >= wait * 1000
            if late:
                out.append(index)
        return out

    def last(self) -> int:
        """Unix time of the last wake on schedule, by the readings taken most often: the oldest of them, since one that
        had to wait for the network comes late. 0 while unknown."""
        often = min([row[1] for row in _declared] or [0])
        times = [self._last.get(_key(row), 0) for row in _declared if row[1] == often]
        return min([time for time in times if time] or [0])

    def take(self, indices: list, now: int, stamp: dict, outbox) -> int:
        """Takes these readings and stores them, one entry per service where they fit; returns the number of entries.
        One that raises, has no value or cannot be stored stays due. `stamp` is added to each entry, with "u", the ms
        since power-on: what tells its time later when `now` is 0."""
        _outbox[:] = [outbox]
        services = {}
        for index in indices:
            row = _declared[index]
            pairs = self._ask(row)
            if pairs:
                services.setdefault(row[3], []).append((row, pairs))
        count = 0
        stored = []
        for service in sorted(services):
            asked = services[service]
            while asked:
                fit, entry = _fit(asked, {"s": service, "t": now}, stamp)
                if self._put(entry, asked[0], outbox):
                    count += 1
                    stored.extend(asked[:fit])
                asked = asked[fit:]
        for row, _ in stored:
            self._last[_key(row)] = now
            self._up[_key(row)] = stamp["u"]
        if stored:
            self._health.write(self._record, self._last, "readings")
        return count

    def settle(self, now: int) -> None:
        """The time has become known: what was taken before, in this wake, counts as taken now."""
        unset = [key for key in self._up if not self._last[key]]
        for key in unset:
            self._last[key] = now
        if unset:
            self._health.write(self._record, self._last, "readings")

    def _ask(self, row: tuple) -> list:
        """The fields of one reading as [name, JSON text]; [] where there is no value."""
        fields, _, digits, _, function = row
        try:
            values = function()
            if values is None:
                return []
            if len(fields) == 1:
                values = (values,)
            elif not isinstance(values, (tuple, list)) or len(values) != len(fields):
                raise ValueError("not a tuple of %d values" % len(fields))
            return [[fields[i], literal(values[i], digits)] for i in range(len(fields)) if values[i] is not None]
        except Exception as error:  # dialect: broad - app.py is the user's
            self._health.failed("reading", fields[0], error)
            return []

    def _put(self, entry: dict, first: tuple, outbox) -> bool:
        try:
            outbox.put(entry, size(entry))
        except OSError as error:  # what waits is delivered all the same, which makes room
            self._health.faulted(NoFlash("error %d, nothing is stored" % error.args[0]))
            return False
        except TooLong as error:
            self._health.failed("reading", first[0][0][0], error)
            return False
        return True


def _fit(asked: list, head: dict, stamp: dict):
    """(count, entry): as many of these readings as one payload takes, at least one."""
    count = len(asked)
    while True:
        entry = dict(stamp)
        entry.update(head)
        entry["f"] = [pair for _, pairs in asked[:count] for pair in pairs]
        if count == 1 or size(entry) <= PAYLOAD_LIMIT:
            return count, entry
        count -= 1


def literal(value, digits: int) -> str:
    """A value as JSON. Text, not a number, from here on: both ends then agree on every digit. Raises TooLong for what
    no payload could hold, before the heap has to."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        text = value if len(value) > PAYLOAD_LIMIT else ujson.dumps(value)
    elif isinstance(value, int) and not digits:
        text = "%d" % value
    elif isinstance(value, (int, float)):
        text = "%.*f" % (digits, value)
        if "n" in text:  # nan, inf
            raise ValueError("not a number")
    else:
        raise ValueError("a reading is a number, bool or text")
    if len(text) > PAYLOAD_LIMIT:
        raise TooLong("a value of %d characters" % len(text))
    return text


def size(entry: dict) -> int:
    """Bytes of the entry as a payload, at most: with the largest id and time."""
    return len(payload(4294967295, entry, 4294967295).encode())


def payload(number: int, entry: dict, when: int) -> str:
    """The JSON object of one entry (DESIGN §3): an answer's taskId first, then serviceId, id, t (unless unknown),
    fields."""
    parts = []
    if "task" in entry:
        parts.append('"taskId":%d' % entry["task"])
    parts.append('"serviceId":%d,"id":%d' % (entry["s"], number))
    if when:
        parts.append('"t":%d' % when)
    for name, text in entry["f"]:
        parts.append(ujson.dumps(name) + ":" + text)
    return "{" + ",".join(parts) + "}"


def _key(row: tuple) -> str:
    return "%d.%s" % (row[3], row[0][0])
