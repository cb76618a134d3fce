"""Answers as the platform reads them: OMA-TLV as a tree of instances, resources and values; text as text.

LwM2M 1.0 §6.4.3. Types of resources are not in the bytes; those of the objects that AEP's devices have are in TYPES,
anything else stays opaque. It shares nothing with what runs on the device.
"""

from typing import Any

TEXT, LINKS, TLV = 0, 40, 11542  # content formats, RFC 7252 §12.3 and LwM2M 1.0 §6.4
INSTANCE, PART, MULTIPLE, RESOURCE = range(4)  # the type's two bits
DEPTH = 3  # instance, resource, resource instance

STRING, INTEGER, BOOLEAN = "string", "integer", "boolean"

# Object -> resource -> type, LwM2M 1.0 annex E.
TYPES: dict[int, dict[int, str]] = {
    1: {0: INTEGER, 1: INTEGER, 2: INTEGER, 3: INTEGER, 5: INTEGER, 6: BOOLEAN, 7: STRING},
    3: {0: STRING, 1: STRING, 2: STRING, 3: STRING, 6: INTEGER, 7: INTEGER, 8: INTEGER, 9: INTEGER, 10: INTEGER,
        11: INTEGER, 13: INTEGER, 14: STRING, 15: STRING, 16: STRING, 17: STRING, 18: STRING, 19: STRING, 20: INTEGER,
        21: INTEGER},
    4: {0: INTEGER, 1: INTEGER, 2: INTEGER, 3: INTEGER, 4: STRING, 5: STRING, 6: INTEGER, 7: STRING, 8: INTEGER,
        9: INTEGER, 10: INTEGER},
    5: {1: STRING, 3: INTEGER, 5: INTEGER, 6: STRING, 7: STRING, 8: INTEGER, 9: INTEGER},
}


class BadTlv(ValueError):
    """Bytes that are no OMA-TLV."""


def decode(data: bytes, path: str) -> Any:
    """The values under `path` ("/3", "/3/0", "/3/0/9"): {"instance": {"resource": value}}, without the levels that the
    path names. A value is text, a number, a bool, {"hex": digits} where it is opaque, or a dict by resource instance.
    Raises BadTlv."""
    parts = [part for part in path.split("/") if part]
    if not parts or not all(part.isdigit() for part in parts):
        raise BadTlv(f"{path!r} is no path of an object")
    kinds = TYPES.get(int(parts[0]), {})
    found = _entries(data, kinds, None if len(parts) < 3 else int(parts[2]), 0)
    levels = [entry[0] for entry in found]
    tree = _merged(found)
    if len(parts) == 2 and levels == [INSTANCE] or len(parts) >= 3 and len(tree) == 1:
        return next(iter(tree.values()))  # the level that the path has named already
    return tree


def _merged(found: list[tuple[int, int, Any]]) -> dict[str, Any]:
    return {str(number): value for _, number, value in found}


def _entries(data: bytes, kinds: dict[int, str], resource: int | None, depth: int) -> list[tuple[int, int, Any]]:
    """(type, identifier, value) of each entry of one level; `resource`: whose instances these are."""
    if depth >= DEPTH:
        raise BadTlv("nested too deep")
    at, out = 0, []
    while at < len(data):
        kind, number, body, at = _entry(data, at)
        if kind == INSTANCE and depth:
            raise BadTlv("an object instance inside another")
        if kind in (INSTANCE, MULTIPLE):
            value: Any = _merged(_entries(body, kinds, number if kind == MULTIPLE else None, depth + 1))
        else:
            value = _value(body, kinds.get(resource if kind == PART and resource is not None else number, ""))
        out.append((kind, number, value))
    return out


def _entry(data: bytes, at: int) -> tuple[int, int, bytes, int]:
    """One entry: its type, identifier and body, and where the next begins."""
    head = data[at]
    wide, width = 1 + (head >> 5 & 1), head >> 3 & 3
    start = at + 1 + wide + width
    if start > len(data):
        raise BadTlv(f"a head is cut short at byte {at}")
    number = int.from_bytes(data[at + 1 : at + 1 + wide], "big")
    size = int.from_bytes(data[at + 1 + wide : start], "big") if width else head & 7
    if start + size > len(data):
        raise BadTlv(f"the value of {number} is cut short: {size} bytes at byte {start}")
    return head >> 6, number, data[start : start + size], start + size


def _value(body: bytes, kind: str) -> Any:
    if kind == INTEGER and len(body) in (1, 2, 4, 8):
        return int.from_bytes(body, "big", signed=True)
    if kind == BOOLEAN and body in (b"\0", b"\1"):
        return body == b"\1"
    if kind == STRING:
        try:
            return body.decode()
        except UnicodeDecodeError:
            pass
    return {"hex": body.hex()}


def readable(body: bytes, path: str, content_format: int | None) -> Any:
    """What a body says: values where it is TLV, text where it is that; otherwise None."""
    try:
        if content_format == TLV:
            return decode(body, path)
        return body.decode() if content_format in (None, TEXT, LINKS) else None
    except (BadTlv, UnicodeDecodeError):
        return None
