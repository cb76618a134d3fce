"""Which observations beside the uplink's are due (LwM2M 1.0 §5.1.2). Pure: everything comes in.

Without attributes a *state* that changed is told, a *measurement* never: battery, signal, time and memory read
otherwise at every wake, and a meter in PSM would pay two datagrams for millivolts each time. Who wants those says so
with pmax, or with gt, lt or st on the resource itself.

`marks` is {path: [Unix time, what was told]}, plain values that a session saves; what was told is the number itself for
a single integer, else a digest of its state. A path without a mark was told by the answer to its Observe.
"""

from coap.message import digest
from m2m import objects

# object -> resources that are measurements
_MEASURED = {
    3: (7, 8, 9, 10, 13),  # voltage, current, battery level, free memory, time
    4: (2, 3, 6),  # signal, link quality, link utilisation
}


def due(tree, tokens: dict, attributes: dict, marks: dict, now: int) -> list:
    """The paths to tell now (Unix s), in order. Also brings `marks` in line with `tokens`."""
    for path in list(marks):
        if path not in tokens:
            del marks[path]
    out = []
    for path in sorted(tokens):
        if path == objects.UPLINK:
            continue
        if path not in marks:
            told(tree, marks, path, now)
            continue
        since = now - marks[path][0]
        low, high = _periods(tree, attributes, path)
        if since < 0:
            since = low  # the clock was set back; what it was when we told is not known any more
            marks[path][0] = now - low
        if since >= low and (high and since >= high or _changed(tree, path, attributes.get(path, {}), marks[path][1])):
            out.append(path)
    return out


def told(tree, marks: dict, path: str, now: int) -> None:
    """Notes that the server has what `path` reads now."""
    marks[path] = [now, _state(tree, path)]


def next_due(tree, tokens: dict, attributes: dict, marks: dict):
    """Unix time at which the first pmax ends, or None: the latest for the next wake."""
    ends = []
    for path, mark in marks.items():
        low, high = _periods(tree, attributes, path)
        if high and path in tokens:
            ends.append(mark[0] + max(low, high))
    return min(ends) if ends else None


def in_force(attributes: dict, path: str) -> dict:
    """The attributes of a path: its own before its instance's before its object's."""
    out = {}
    parts = path.split("/")
    for depth in range(len(parts)):
        out.update(attributes.get("/".join(parts[: depth + 1]), {}))
    return out


def _periods(tree, attributes: dict, path: str) -> tuple:
    """(pmin, pmax) of a path in seconds, object 1's where nobody set any; pmax 0 is none."""
    found = in_force(attributes, path)
    return found.get("pmin", tree.value(1, 2) or 0), found.get("pmax", tree.value(1, 3) or 0)


def _state(tree, path: str):
    """What a mark holds of `path`: an integer, None where a single integer has no value."""
    ids = objects.known(path)
    measured = _MEASURED.get(ids[0], ())
    if len(ids) < 3:
        return digest(repr([pair for pair in tree.values(ids[0]) if pair[0] not in measured]).encode())
    value = tree.value(ids[0], ids[2])
    if objects.kind(ids[0], ids[2])[1] == "i":
        return value
    return 0 if ids[2] in measured else digest(repr(value).encode())


def _changed(tree, path: str, own: dict, before) -> bool:
    """Something happened that counts: gt or lt was crossed, in whichever direction, or st was reached; without these
    three a state is another."""
    now = _state(tree, path)
    above, below, step = own.get("gt"), own.get("lt"), own.get("st")
    if above is None and below is None and step is None:
        ids = objects.known(path)
        return now != before and not (len(ids) == 3 and ids[2] in _MEASURED.get(ids[0], ()))
    if now is None or before is None:
        return now is not before
    return (
        above is not None
        and (now > above) != (before > above)
        or below is not None
        and (now < below) != (before < below)
        or step is not None
        and abs(now - before) >= step
    )
