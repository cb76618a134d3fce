"""OMA TLV (LwM2M 1.0 §6.4.3), the part a client of objects 3 and 4 needs: resources with plain values. No I/O."""

from micropython import const

_RESOURCE = const(0xC0)  # type bits 11: resource with value
_MULTIPLE = const(0x80)  # 10: multiple resource, holds instances
_INSTANCE = const(0x40)  # 01: one instance of it


def resource(number: int, value) -> bytes:
    """One resource as TLV. `value` is str, bytes, bool or int (shortest of 1, 2, 4 or 8 bytes, §6.4.3 Appendix C)."""
    return _entry(_RESOURCE, number, _body(value))


def multiple(number: int, values) -> bytes:
    """A multiple resource; its instances are numbered from 0."""
    return _entry(_MULTIPLE, number, b"".join([_entry(_INSTANCE, i, _body(v)) for i, v in enumerate(values)]))


def instance(number: int, resources: bytes) -> bytes:
    """An object instance that holds these resources (type bits 00)."""
    return _entry(0, number, resources)


def _body(value) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, (bytes, bytearray)):
        return bytes(value)
    return integer(int(value))


def _entry(kind: int, number: int, body: bytes) -> bytes:
    size = len(body)
    head = bytes([number]) if number < 256 else bytes([number >> 8, number & 0xFF])
    if number >= 256:
        kind |= 0x20
    if size < 8:
        kind |= size
    elif size < 256:
        kind |= 0x08
        head += bytes([size])
    else:
        kind |= 0x10
        head += bytes([size >> 8, size & 0xFF])
    return bytes([kind]) + head + body


def integer(value: int) -> bytes:
    """Two's complement, big-endian, in 1, 2, 4 or 8 bytes."""
    for width in (1, 2, 4):
        limit = 1 << (8 * width - 1)
        if -limit <= value < limit:
            break
    else:
        width = 8
    return bytes([value >> 8 * (width - 1 - i) & 0xFF for i in range(width)])
