"""One uplink's payload out of the oldest entries of the outbox; a thing model's is device/things.py's."""

from device import readings
from store.outbox import PAYLOAD_LIMIT


def batch(cycle):
    """([(id,), ...], payload, what else `session.send` takes, first whether a command's answer is in it) of the next
    uplink: as many of the oldest entries as fit, an array where there are several. ([], b"", ()) where nothing waits.
    """
    way = cycle.commands.way
    if way is not None and way.model:
        return way.model.batch(cycle)
    # An entry on flash takes about 3/2 of its payload: no more are read than could fit.
    found = cycle.outbox.batch(cycle.settings.values["report.batch"], 2 * PAYLOAD_LIMIT)
    parts, total, sure = [], 1, False
    for number, entry in found:
        if cycle.commands.unfinished(entry.get("task")):
            break
        part = readings.payload(number, entry, when(cycle, entry)).encode()
        if parts and total + len(part) + 1 > PAYLOAD_LIMIT:
            break
        parts.append(part)
        sure = sure or "task" in entry
        total += len(part) + 1
    if not parts:
        return [], b"", ()
    rows = [row[:1] for row in found[: len(parts)]]  # the ids: the entries are not needed any more
    return rows, parts[0] if len(parts) == 1 else b"[" + b",".join(parts) + b"]", (sure,)


def when(cycle, entry: dict) -> int:
    """An entry's time, 0 where it is not known. One that was taken in this power-on, before the network told the time,
    knows it by now."""
    if entry["t"] or entry.get("b") != cycle.boots:
        return entry["t"]
    now, stamp = cycle.stamp()
    return now - (stamp["u"] - entry["u"]) // 1000 if now else 0


def span(rows: list) -> str:
    """The ids of a batch, for the log."""
    first, last = rows[0][0], rows[-1][0]
    return str(first) if first == last else "%d to %d" % (first, last)
