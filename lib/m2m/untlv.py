"""Reads OMA TLV (LwM2M 1.0 §6.4.3) that a server wrote: bytes are hostile until read. No I/O."""

from micropython import const

INSTANCE = const(0)  # kinds of an entry, its type's bits 7-6: an object instance
ITEM = const(1)  # one instance of a multiple resource
MULTIPLE = const(2)
RESOURCE = const(3)

_ENTRIES = const(32)  # most entries on one level: more than any object of ours has


class BadTlv(ValueError):
    """The bytes are not TLV, or hold too many entries."""


def entries(data: bytes) -> list:
    """[(kind, id, value bytes)] of one level. What is inside an entry is read by another call, so the reader decides
    how deep it goes. Raises BadTlv."""
    out = []
    at = 0
    while at < len(data):
        head = data[at]
        number, at = _number(data, at + 1, 2 if head & 0x20 else 1)
        size = head & 7
        if head & 0x18:
            size, at = _number(data, at, head >> 3 & 3)
        if at + size > len(data) or len(out) >= _ENTRIES:
            raise BadTlv
        out.append((head >> 6, number, bytes(data[at : at + size])))
        at += size
    return out


def integer(value: bytes) -> int:
    """Two's complement in 1, 2, 4 or 8 bytes. Raises BadTlv."""
    size = len(value)
    if size not in (1, 2, 4, 8):
        raise BadTlv
    number, _ = _number(value, 0, size)
    return number - (1 << 8 * size) if value[0] & 0x80 else number


def _number(data: bytes, at: int, width: int) -> tuple:
    """(unsigned integer, next position)."""
    if at + width > len(data):
        raise BadTlv
    total = 0
    for byte in data[at : at + width]:
        total = total << 8 | byte
    return total, at + width
