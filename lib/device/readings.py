"""Readings: declared in app.py, taken when they are due, put into the outbox as one entry per service.

    @reading("water_flow", every=hours(6), digits=3)
    def total_flow():
        return meter.litres() / 1000

A reading that raises is skipped and counted; the others are taken. Nothing here knows how an entry is sent.
"""

import ujson
from micropython import const

DATA_REPORT = const(1)  # service ids of AEP's standard water meter (ctwing.md §2.6)
SIGNAL_REPORT = const(2)

_declared = []


def minutes(count: int) -> int:
    """Seconds."""
    return count * 60


def hours(count: int) -> int:
    """Seconds."""
    return count * 3600


def days(count: int) -> int:
    """Seconds."""
    return count * 86400


def reading(*fields: str, every: int = 0, digits: int = 0, service: int = 1):  # dialect: keyword-only - like prose
    """Declares a reading. The function returns its value, or a tuple of as many values as there are fields: numbers
    (sent with `digits` decimals), bool, str, or None. None alone means "no value now": it is asked again once the
    network is there, and at the next wake. `every` in seconds: it is taken at the first wake after that time, 0 at
    every wake. `service` is the report's service id."""

    def declare(function):
        _declared.append((fields, every, digits, service, function))
        return function

    return declare


class Readings:
    """Takes what is due. `record` (a store.record.Record) keeps when each was last taken; `health` counts failures."""

    def __init__(self, record, health) -> None:
        self._record = record
        self._health = health
        self._last = record.load() or {}

    def due(self, now: int, interval: int) -> list:
        """The declared readings to take at `now` (Unix seconds, 0: unknown) when wakes are `interval` s apart. A wake
        may come a little early, so a tenth of the interval counts as due."""
        out = []
        for index, row in enumerate(_declared):
            last = self._last.get(_key(row), 0)
            after = last + max(row[1], interval) - interval // 10
            if _key(row) not in self._last or (now and now >= after) or now < last:
                out.append(index)
        return out

    def next(self, now: int, interval: int) -> int:
        """Unix time of the next reading, counted from `now`."""
        lasts = [self._last.get(_key(row), 0) + max(row[1], interval) for row in _declared]
        return max(now + 1, min(lasts)) if lasts else now + interval

    def take(self, indices: list, now: int, stamp: dict, outbox) -> int:
        """Takes these readings and stores them, one entry per service; returns the number of entries. One that raises
        or has no value stays due. `stamp` is added to each entry: what tells its time later when `now` is 0."""
        services = {}
        taken = []
        for index in indices:
            fields, _, digits, service, function = _declared[index]
            try:
                values = function()
                if values is None:
                    continue
                if len(fields) == 1:
                    values = (values,)
                pairs = [[f, literal(v, digits)] for f, v in zip(fields, values) if v is not None]  # noqa: B905
            except Exception as error:  # dialect: broad - app.py is the user's
                self._health.failed("reading", fields[0], error)
                continue
            taken.append(index)
            services.setdefault(service, []).extend(pairs)
        count = 0
        for service in sorted(services):
            pairs = services[service]
            if pairs:
                entry = dict(stamp)
                entry.update({"s": service, "t": now, "f": pairs})
                outbox.put(entry, size(entry))
                count += 1
        if taken:
            for index in taken:
                self._last[_key(_declared[index])] = now
            self._record.save(self._last)
        return count

    def settle(self, now: int) -> None:
        """The time has become known: what was taken before, in this wake, counts as taken now."""
        unset = [key for key, when in self._last.items() if not when]
        for key in unset:
            self._last[key] = now
        if unset:
            self._record.save(self._last)


def literal(value, digits: int) -> str:
    """A value as JSON. Text, not a number, from here on: both ends then agree on every digit."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        text = "%.*f" % (digits, value)
        if "n" in text:  # nan, inf
            raise ValueError("not a number")
        return text
    if isinstance(value, str):
        return ujson.dumps(value)
    raise ValueError("a reading is a number, bool or text")


def size(entry: dict) -> int:
    """Bytes of the entry as a payload, at most: with the largest id and time."""
    return len(payload(4294967295, entry, 4294967295))


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
