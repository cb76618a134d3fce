"""What a server does beside reading, observing and sending downlinks (LwM2M 1.0 §5.4): Write, Write-Attributes,
Execute, Discover. `m2m.client` imports this at the first such request.

Every answer is given at once: a Write is answered 2.04 when the device has taken the value, also where its effect comes
later. Bounds: attributes of at most 16 paths, a path's own five.
"""

from micropython import const

from coap import message as m
from m2m import objects, untlv
from m2m.untlv import BadTlv

_PATHS = const(16)
_PERIOD = const(0x3FFFFFFF)  # s, 34 years: the longest pmin and pmax, and a small integer on the module
_NAMES = {b"pmin": "pmin", b"pmax": "pmax", b"gt": "gt", b"lt": "lt", b"st": "st"}


def manage(tree, attributes: dict, request, path: str) -> tuple:
    """Does what a request asks for that is no Read, on a path that is known; returns the answer: code, options,
    payload."""
    ids = objects.known(path)
    if request.code == m.GET and ids[0] != 19:
        links = _discover(tree, attributes, ids, path)
        if links is None:
            return m.NOT_FOUND, [], b""
        return m.CONTENT, [(m.CONTENT_FORMAT, m.uint(m.LINK_FORMAT))], links
    return _operate(tree, attributes, request, ids, path), [], b""


def _operate(tree, attributes: dict, request, ids: list, path: str) -> int:
    """Everything but Discover is answered with a code alone."""
    if request.code == m.PUT and request.all(m.URI_QUERY):
        return _limit(attributes, request, ids, path)
    if ids[0] == 19 or not hasattr(tree.device, "write"):
        return m.METHOD_NOT_ALLOWED
    form = request.uint(m.CONTENT_FORMAT)
    if request.code == m.POST and len(ids) == 3:
        return _execute(tree.device, ids, form, request.payload)
    if request.code in (m.PUT, m.POST) and len(ids) > 1:
        return _write(tree.device, ids, form, request.payload, request.code == m.PUT and len(ids) == 2)
    return m.METHOD_NOT_ALLOWED  # Create, Delete, and methods of no operation


def _discover(tree, attributes: dict, ids: list, path: str):
    """The links of what there is at and under `path` (§5.4.2), None for a resource of which this device has no value.
    The first has the attributes that count for it wherever they were set, the others their own."""
    from m2m.notices import in_force

    number = ids[0]
    values = {}
    deeper = [] if len(ids) > 1 else ["%d/0" % number]
    if len(ids) == 3 and objects.kind(number, ids[2])[0] in "RB":
        values[ids[2]] = tree.value(number, ids[2])
        if values[ids[2]] is None:
            return None
    elif len(ids) < 3:
        values = dict(tree.values(number))
        for resource in range(len(objects.RESOURCES[number]) // 2):
            if resource in values or objects.kind(number, resource)[0] in "WE":
                deeper.append("%d/0/%d" % (number, resource))
    links = []
    for each in [path] + deeper:
        own = in_force(attributes, path) if each == path else attributes.get(each, {})
        links.append("</%s>" % each + _shown(values, each, own))
    return ",".join(links).encode()


def _shown(values: dict, path: str, attributes: dict) -> str:
    ids = objects.numbers(path)
    text = ""
    if len(ids) == 3 and isinstance(values.get(ids[2]), list):
        text = ";dim=%d" % len(values[ids[2]])
    for name in sorted(_NAMES.values()):
        if name in attributes:
            text += ";%s=%s" % (name, attributes[name])
    return text


def _limit(attributes: dict, request, ids: list, path: str) -> int:
    """Write-Attributes (§5.4.4): all that the query says or nothing. An attribute without a value goes."""
    if ids[0] == 19:
        return m.METHOD_NOT_ALLOWED  # what goes up on 19/0/0 is what the device has to report, when it has it
    kind = objects.kind(ids[0], ids[2]) if len(ids) == 3 else "R"
    if kind[0] not in "RB":
        return m.METHOD_NOT_ALLOWED
    wanted = dict(attributes.get(path, {}))
    for item in request.all(m.URI_QUERY):
        parts = item.split(b"=", 1)
        name = _NAMES.get(parts[0])
        if name is None or len(name) == 2 and kind[1:] != "i":
            return m.BAD_REQUEST
        wanted.pop(name, None)
        if parts[1:] and parts[1]:
            number = decimal(parts[1])
            if number is None:
                return m.BAD_REQUEST
            wanted[name] = number
    if request.payload or not _sensible(wanted):
        return m.BAD_REQUEST
    if wanted and path not in attributes and len(attributes) >= _PATHS:
        return m.UNAVAILABLE
    attributes.pop(path, None)
    if wanted:
        attributes[path] = wanted
    return m.CHANGED


def _sensible(wanted: dict) -> bool:
    """Periods are whole seconds, the longest from 1; lt, gt and st leave room for each other (§5.1.2)."""
    low, high = wanted.get("pmin", 0), wanted.get("pmax", _PERIOD)
    if not isinstance(low, int) or not isinstance(high, int) or not 0 <= low <= high <= _PERIOD or not high:
        return False
    step = wanted.get("st", 1)
    if step <= 0:
        return False
    if "gt" not in wanted or "lt" not in wanted:
        return True
    return wanted["lt"] + (2 * step if "st" in wanted else 0) < wanted["gt"]


def _execute(device, ids: list, form, payload: bytes) -> int:
    """Execute (§5.4.5). What the arguments mean is the device's to say."""
    if objects.kind(ids[0], ids[2])[0] != "E":
        return m.METHOD_NOT_ALLOWED
    if form not in (None, m.TEXT):
        return m.UNSUPPORTED_FORMAT
    return device.execute(ids[0], ids[2], payload)


def _write(device, ids: list, form, payload: bytes, replace: bool) -> int:
    """Write (§5.4.3) on an instance or a resource: nothing is told to the device before all of it has been read."""
    plain = m.TLV
    if len(ids) == 3:
        kind = objects.kind(ids[0], ids[2])
        if kind[0] not in "WB":
            return m.METHOD_NOT_ALLOWED
        plain = m.OPAQUE if kind[1] == "o" else m.TEXT
    if form is None:
        form = plain
    try:
        if form == m.TLV:
            code, values = _tlv(ids, untlv.entries(payload))
        elif form == plain:
            code, values = m.CHANGED, {ids[2]: _text(kind[1], payload)}
        else:
            return m.UNSUPPORTED_FORMAT
    except ValueError:
        return m.BAD_REQUEST
    return device.write(ids[0], values, replace) if code == m.CHANGED else code


def _tlv(ids: list, entries: list) -> tuple:
    """(2.04 or what is wrong, {resource: value}). Raises ValueError where the content makes no sense."""
    if len(ids) == 2 and len(entries) == 1 and entries[0][:2] == (untlv.INSTANCE, 0):
        entries = untlv.entries(entries[0][2])
    values = {}
    for shape, resource, value in entries:
        if shape != untlv.RESOURCE:
            raise BadTlv
        kind = objects.kind(ids[0], resource) or "."
        if kind[0] == ".":
            return m.NOT_FOUND, None
        if kind[0] not in "WB":
            return m.METHOD_NOT_ALLOWED, None
        if resource in values or resource not in (ids[2:] or [resource]):
            raise BadTlv
        values[resource] = _value(kind[1], value)
    if not values:
        raise BadTlv
    return m.CHANGED, values


def _value(kind: str, value: bytes):
    """What a TLV entry holds."""
    if kind == "o":
        return value
    if kind == "s":
        return value.decode()
    number = untlv.integer(value)
    return _bit(number) if kind == "b" else number


def _text(kind: str, payload: bytes):
    """What a payload in text, or in opaque, holds (§6.4)."""
    if kind == "o":
        return payload
    if kind == "s":
        return payload.decode()
    number = decimal(payload)
    if not isinstance(number, int):
        raise BadTlv
    return _bit(number) if kind == "b" else number


def _bit(number: int) -> bool:
    if number not in (0, 1):
        raise BadTlv
    return number == 1


def decimal(text: bytes):
    """The int or float in "-12.5", or None: no exponent, no sign "+", no blank, at most 20 characters."""
    parts = (text[1:] if text[:1] == b"-" else text).split(b".")
    if len(text) > 20 or len(parts) > 2 or not all([part.isdigit() for part in parts]):
        return None
    return float(text.decode()) if len(parts) == 2 else int(text.decode())
