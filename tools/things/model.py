"""A product's services as the host side knows them, whichever file they come from; and what may be said of one."""

import math
from dataclasses import dataclass, field

REPORT, WIRELESS, COMMAND, EVENT, RESPONSE = "REPORT", "WIRELESS", "COMMAND", "EVENT", "RESPONSE"
FRAMES = {REPORT: 0x02, WIRELESS: 0x03, COMMAND: 0x06, EVENT: 0x07, RESPONSE: 0x86}
"""First byte of each kind's frame in LwM2M's compact binary (ctwing.md §2.6)."""

ENUM, INT32, FLOAT, DOUBLE, TEXT, BOOL, TIMESTAMP = "ENUM", "INT32", "FLOAT", "DOUBLE", "TEXT", "BOOL", "TIMESTAMP"

LONGEST = 512
"""Bytes of a payload (ctwing.md §2.5)."""

RANGES: dict[str, tuple[float, float] | None] = {
    ENUM: (0, 255), INT32: (-(2**31), 2**31 - 1), FLOAT: (-3.4028234e38, 3.4028234e38), DOUBLE: (-math.inf, math.inf),
    TEXT: (0, LONGEST), BOOL: None, TIMESTAMP: (0, 2**63 - 1),
}  # fmt: skip
"""Types with what they can say, a TEXT in bytes."""

WHOLE = (ENUM, INT32, TEXT, TIMESTAMP)
"""Types whose range is in whole numbers."""

ANSWER = 1000  # added to a command's service id


class ModelError(ValueError):
    """The services cannot be so; the text names the service and the field."""


@dataclass(frozen=True)
class Field:
    """As lib/aep/thing.py's `field`."""

    name: str
    type: str
    unit: str = ""
    low: float | None = None
    high: float | None = None
    empty: float | str | bool | None = None
    size: int = 0
    values: dict[int, str] | None = None


@dataclass(frozen=True)
class Service:
    """As lib/aep/thing.py's `service`. `title` is the platform's name for people, "" where there is none."""

    id: int
    identifier: str
    kind: str
    fields: list[Field] = field(default_factory=list)
    title: str = ""


def check(services: list[Service]) -> None:
    """Raises ModelError unless a device can have these services."""
    ids: set[int] = set()
    identifiers: set[str] = set()
    for service in services:
        who = f"service {service.id} {service.identifier}"
        if not _whole(service.id) or not 0 < service.id <= 0xFFFF:
            raise ModelError(f"{who}: the id is not 1-65535")
        if not isinstance(service.identifier, str) or not service.identifier:
            raise ModelError(f"{who}: it has no identifier")
        if set("+#\0") & set(service.identifier) or any("\ud800" <= c <= "\udfff" for c in service.identifier):
            raise ModelError(f"{who!r}: the identifier is no topic of MQTT: + or # is in it, or what is no text")
        if service.kind not in FRAMES:
            raise ModelError(f"{who}: {service.kind} is none of {', '.join(FRAMES)}")
        if service.id in ids or service.identifier in identifiers:
            raise ModelError(f"{who}: declared twice")
        if not service.fields:
            raise ModelError(f"{who}: it has no field")
        for one in service.fields:
            _check_field(who, one)
        names = [one.name for one in service.fields]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ModelError(f"{who}: {twice} is there twice")
        ids.add(service.id)
        identifiers.add(service.identifier)
    responses = {service.id for service in services if service.kind == RESPONSE}
    for service in services:
        if service.kind == COMMAND and service.id + ANSWER not in responses:
            raise ModelError(f"service {service.id} {service.identifier}: no RESPONSE {service.id + ANSWER}")


def _check_field(who: str, one: Field) -> None:
    if not isinstance(one.name, str) or not one.name:
        raise ModelError(f"{who}: a field has no name")
    who = f"{who}: {one.name}"
    if one.type not in RANGES:
        raise ModelError(f"{who}: {one.type} is none of {', '.join(RANGES)}")
    if one.size and (one.type != TEXT or not _whole(one.size) or not 0 < one.size <= LONGEST):
        raise ModelError(f"{who}: a size goes with TEXT, and is at most {LONGEST}")
    if one.values is not None and (one.type != ENUM or not one.values
                                   or not all(_whole(n) and 0 <= n <= 255 for n in one.values)):
        raise ModelError(f"{who}: values go with ENUM, and are 0-255")
    bounds = RANGES[one.type]
    for bound in (one.low, one.high):
        if bound is not None and not (bounds and _number(bound) and bounds[0] <= bound <= bounds[1]):
            raise ModelError(f"{who}: {bound!r} is beyond {one.type}")
    if one.low is not None and one.high is not None and one.low > one.high:
        raise ModelError(f"{who}: its range ends before it begins")
    if one.empty is not None and not allowed(one, one.empty):
        raise ModelError(f"{who}: empty {one.empty!r} is not a value of it")


def allowed(one: Field, value: object) -> bool:
    """Whether a field may have this value."""
    if one.type == BOOL:
        return isinstance(value, bool)
    if one.type == TEXT:
        if not isinstance(value, str):
            return False
        size = len(value.encode(errors="surrogatepass"))
        return size <= one.size if one.size else (one.low or 0) <= size <= (LONGEST if one.high is None else one.high)
    if not _number(value) or (one.type in WHOLE and not isinstance(value, int)):
        return False
    assert isinstance(value, int | float)
    if one.values is not None:
        return value in one.values
    bounds = RANGES[one.type]
    assert bounds is not None
    low, high = bounds[0] if one.low is None else one.low, bounds[1] if one.high is None else one.high
    return low <= value <= high


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
