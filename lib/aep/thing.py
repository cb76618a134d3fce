"""Thing-model payloads: the services a product declares, and their values as compact binary or JSON. No I/O.

    service(1, "data_report", REPORT, field("water_flow", FLOAT, unit="m3", low=0, high=99999))

A service is one message of the product, as the platform's console lists it. Compact binary is big-endian and has no
tags: fields follow each other in the order of their declaration (ctwing.md §2.6). So every declared field has a value
in every message: one that an entry lacks is sent as its `empty`, in JSON too, since the platform drops what does not
match the definition (ctwing.md §3.3).
"""

import ujson
import ustruct
from micropython import const

from link.fault import WAIT, Fault

# Kinds of services: the first byte of their frames
REPORT = const(0x02)
WIRELESS = const(0x03)
COMMAND = const(0x06)
EVENT = const(0x07)
RESPONSE = const(0x86)

# Types of fields
ENUM = const(1)  # 1 byte
INT32 = const(2)
FLOAT = const(3)
DOUBLE = const(4)
TEXT = const(5)  # 2 bytes of length and UTF-8, or of a fixed `size`, short ones filled up with zeros
BOOL = const(6)  # 1 byte
TIMESTAMP = const(7)  # 8 bytes, whole; `unit` says of what

_ANSWER = const(1000)  # added to the command's service id (ctwing.md §2.6)

_LONGEST = const(512)  # bytes of a text: those of a payload (ctwing.md §2.5)
_SHOWN = const(40)  # characters of a value in a message

# type: (struct's letter, bytes, lowest, highest)
_TYPES = {
    ENUM: ("B", 1, 0, 255),
    INT32: ("i", 4, -0x80000000, 0x7FFFFFFF),
    FLOAT: ("f", 4, -3.4028234e38, 3.4028234e38),
    DOUBLE: ("d", 8, -1.7976931348623157e308, 1.7976931348623157e308),
    TEXT: ("", 0, 0, _LONGEST),
    BOOL: ("B", 1, None, None),
    TIMESTAMP: ("q", 8, 0, 0x7FFFFFFFFFFFFFFF),
}
_KINDS = (REPORT, WIRELESS, COMMAND, EVENT, RESPONSE)

declared = {}
"""{service id: (identifier, kind, fields)}, a field being (name, type, unit, low, high, empty, size, values)."""


class ThingError(ValueError):
    """A declaration, value or payload is wrong. The text names service, field and range."""


class BadServices(Fault):
    """services.py is missing or wrong: what goes up and what comes down cannot be understood."""

    code = 18
    action = WAIT


def field(name: str, kind: int, unit: str = "", low=None, high=None, empty=None, size: int = 0, values=None):
    """A field of `service`. `low` and `high` bound a number, or the bytes of a text; `values` names those of an ENUM,
    {0: "closed", 1: "open"}, and there are no others; `size` is the length of a TEXT that has a fixed one; `empty` is
    sent where an entry has no value for it. Without `empty` every entry must have one."""
    return (name, kind, unit, low, high, empty, size, values)


def service(number: int, identifier: str, kind: int, *fields) -> None:
    """Declares a service by its id and identifier as they are on the platform. Raises ThingError."""
    names = [row[0] for row in fields]
    why = ""
    if not _whole(number) or not 0 < number <= 0xFFFF:
        why = "the id is not 1-65535"
    elif not isinstance(identifier, str) or _length(identifier) < 1 or [c for c in "+#\0" if c in identifier]:
        why = "the identifier is a text without + and #"  # it is MQTT's topic
    elif kind not in _KINDS:
        why = "the kind is none of REPORT, EVENT, WIRELESS, COMMAND, RESPONSE"
    elif number in declared or number_of(identifier):
        why = "declared twice"
    elif not fields:
        why = "it has no field"
    for i, row in enumerate(fields):
        why = why or _wrong(row) or (names[i] + " is there twice" if names[i] in names[:i] else "")
    if why:
        raise ThingError("service %s %s: %s" % (number, identifier, why))
    declared[number] = (identifier, kind, list(fields))


def verify() -> None:
    """All services are declared. Raises ThingError where a command could not be answered."""
    for number in sorted(declared):
        if declared[number][1] == COMMAND and declared.get(number + _ANSWER, ("", 0))[1] != RESPONSE:
            raise ThingError("service %d %s: no RESPONSE %d" % (number, declared[number][0], number + _ANSWER))


def identifier(number: int) -> str:
    """The identifier of a service, which is its topic in MQTT (ctwing.md §3.3). Raises ThingError."""
    return _service(number)[0]


def fields(number: int) -> list:
    """Its fields, as in `declared`. Raises ThingError."""
    return _service(number)[2]


def of_kind(number: int, kind: int) -> None:
    """Raises ThingError unless a service of this kind is declared so."""
    if _service(number)[1] != kind:
        raise ThingError("service %d %s is of another kind" % (number, identifier(number)))


def number_of(identifier: str) -> int:
    """The id of a service by its identifier, 0 where none is declared so."""
    for number in declared:
        if declared[number][0] == identifier:
            return number
    return 0


# -- values ------------------------------------------------------------------------------------------------------------


def complete(number: int, texts: dict, somehow: bool = False) -> list:
    """[(field, value, JSON text), ...] of a service, in order, out of {name: JSON text}. What is not declared is left
    out. `somehow`: what it lacks, or has wrong, is empty, or what is nearest to 0. Raises ThingError."""
    out = []
    for row in fields(number):
        value = _value(texts[row[0]]) if row[0] in texts else row[5]
        text = texts.get(row[0])
        good = value is not None and _good(row, value)
        if not good and somehow:
            value, text, good = _nothing(row), None, True
        if not good:
            raise ThingError(_complaint(number, row, value))
        out.append((row, value, ujson.dumps(value) if text is None else text))
    return out


def check(number: int, given: dict) -> None:
    """Raises ThingError unless these values of a message are declared so, and none is missing."""
    for row in fields(number):
        if row[0] not in given or not _good(row, given[row[0]]):
            raise ThingError(_complaint(number, row, given.get(row[0])))


def unknown(number: int, texts: dict) -> list:
    """Names that the service does not declare."""
    names = [row[0] for row in fields(number)]
    return [name for name in sorted(texts) if name not in names]


# -- compact binary ----------------------------------------------------------------------------------------------------


def packed(found: list) -> bytes:
    """What `complete` gave, as compact binary."""
    out = b""
    for row, value, _ in found:
        if row[1] != TEXT:
            out += ustruct.pack(">" + _TYPES[row[1]][0], value)
            continue
        raw = value.encode()
        out += raw + bytes(row[6] - len(raw)) if row[6] else ustruct.pack(">H", len(raw)) + raw
    return out


def unpacked(number: int, data: bytes) -> dict:
    """{name: value} of a service's fields in compact binary, ranges checked. Raises ThingError."""
    out = {}
    at = 0
    for row in fields(number):
        size = row[6] or _TYPES[row[1]][1]
        if row[1] == TEXT and not size:
            size = ustruct.unpack(">H", data[at : at + 2])[0] if at + 2 <= len(data) else 0
            at += 2
        raw = data[at : at + size]
        at += size
        if at > len(data):
            raise ThingError("%s: %s is cut short" % (identifier(number), row[0]))
        value = _text(raw, row[6]) if row[1] == TEXT else ustruct.unpack(">" + _TYPES[row[1]][0], raw)[0]
        if row[1] == BOOL and value in (0, 1):
            value = value == 1
        if not _good(row, value):
            raise ThingError(_complaint(number, row, value))
        out[row[0]] = value
    if at != len(data):
        raise ThingError("%s: %d bytes where %d are declared" % (identifier(number), len(data), at))
    return out


def frame(number: int, body: bytes, task=None) -> bytes:
    """A service's fields with the head that LwM2M has (ctwing.md §2.6)."""
    head = ustruct.pack(">BH", _service(number)[1], number)
    if task is not None:
        head += ustruct.pack(">H", task)
    return head + ustruct.pack(">H", len(body)) + body


def command(data: bytes):
    """(service id, taskId, fields in compact binary) of a command's frame. Raises ThingError."""
    if len(data) < 7 or data[0] != COMMAND:
        raise ThingError("no frame of a command")
    number, task, size = ustruct.unpack(">HHH", data[1:7])
    if size != len(data) - 7:
        raise ThingError("command %d: %d bytes where its frame says %d" % (number, len(data) - 7, size))
    return number, task, data[7:]


# -- inside ------------------------------------------------------------------------------------------------------------


def _service(number: int) -> tuple:
    if not _whole(number) or number not in declared:  # it may come from a downlink, and be anything
        raise ThingError("service %s is not declared" % (number if _whole(number) else "without a number"))
    return declared[number]


def _wrong(row: tuple) -> str:
    """What is wrong with a field's declaration, ""."""
    name, kind, _, low, high, empty, size, values = row
    if not isinstance(name, str) or not name:
        return "a field's name is a text"
    if kind not in _TYPES:
        return name + " has no type, e.g. INT32"
    if not _whole(size) or not 0 <= size <= _LONGEST or size and kind != TEXT:
        return "%s: size is the length of a TEXT, at most %d" % (name, _LONGEST)
    wrong = [n for n in values or () if not _whole(n) or not 0 <= n <= 255]
    if values is not None and (kind != ENUM or not values or wrong):
        return name + ": values are those of an ENUM, 0-255"
    least, most = _TYPES[kind][2:]
    for bound in (low, high):
        if bound is not None and (least is None or not _number(bound) or not least <= bound <= most):
            return name + ": its range is not one of its type"
    low, high = _bounds(row)
    if low is not None and low > high:
        return name + ": its range ends before it begins"
    if empty is not None and not _good(row, empty):
        return "%s: empty is not %s" % (name, _range(row))
    return ""


def _whole(value) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value) -> bool:
    """Neither text nor bool, nor inf or nan."""
    return _whole(value) or isinstance(value, float) and value - value == 0


def _bounds(row: tuple) -> tuple:
    """(lowest, highest) of a number, or of the bytes of a text; (None, None) of a bool."""
    _, kind, _, low, high, _, size, _ = row
    if size:
        return 0, size
    least, most = _TYPES[kind][2:]
    return least if low is None else low, most if high is None else high


def _good(row: tuple, value) -> bool:
    """Whether a field may have this value."""
    kind, values = row[1], row[7]
    if kind == BOOL:
        return isinstance(value, bool)
    if kind == TEXT:
        if not isinstance(value, str):
            return False
        value = _length(value)
    elif values is not None:
        return _whole(value) and value in values
    elif not (_number(value) if kind in (FLOAT, DOUBLE) else _whole(value)):
        return False
    low, high = _bounds(row)
    return low <= value <= high


def _range(row: tuple) -> str:
    """What a field may be, in words."""
    kind, unit, values = row[1], row[2], row[7]
    if kind == BOOL:
        return "true or false"
    if values is not None:
        return "one of " + ", ".join([str(n) for n in sorted(values)])
    what = "a number" if kind in (FLOAT, DOUBLE) else "a whole number"
    if kind == TEXT:
        what, unit = "a text of", "bytes"
    elif row[3] is None and row[4] is None and kind != ENUM:
        return what
    return ("%s %s-%s %s" % ((what,) + _bounds(row) + (unit,))).strip()


def _complaint(number: int, row: tuple, value) -> str:
    who = identifier(number) + ": " + row[0]
    if value is None:
        return "%s is missing; wanted is %s" % (who, _range(row))
    shown = repr(value)
    return "%s %s is not %s" % (who, shown if len(shown) <= _SHOWN else "of this length", _range(row))


def _nothing(row: tuple):
    """What stands for a field whose value is not known: empty, or what is nearest to 0."""
    kind, empty = row[1], row[5]
    if empty is not None:
        return empty
    if kind == BOOL:
        return False
    low, high = _bounds(row)
    if kind == TEXT:
        return "" if row[6] else " " * low
    return min(row[7]) if row[7] is not None else max(low, min(0, high))


def _value(text: str):
    try:
        return ujson.loads(text)
    except (ValueError, RuntimeError):  # RuntimeError: nested too deep
        return None


def _text(raw: bytes, size: int):
    """The text that these bytes are, None where they are none. One of a fixed size is filled up with zeros."""
    end = len(raw)
    while size and end and not raw[end - 1]:
        end -= 1
    try:
        return raw[:end].decode()
    except ValueError:  # UnicodeError
        return None


def _length(text: str) -> int:
    """Bytes; -1 for half a surrogate pair, which is no text."""
    try:
        return len(text.encode())
    except ValueError:
        return -1
