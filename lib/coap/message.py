"""CoAP messages (RFC 7252 §3): bytes to `Message` and back. No I/O, no clock, no randomness.

What comes from the network is hostile until decoded: `decode` raises `FormatError` and nothing else, and keeps at most
`MAX_OPTIONS` options.
"""

from micropython import const

CON = const(0)
NON = const(1)
ACK = const(2)
RST = const(3)

EMPTY = const(0x00)
GET = const(0x01)
POST = const(0x02)
PUT = const(0x03)
DELETE = const(0x04)
CREATED = const(0x41)  # 2.01
DELETED = const(0x42)  # 2.02
CHANGED = const(0x44)  # 2.04
CONTENT = const(0x45)  # 2.05
BAD_REQUEST = const(0x80)  # 4.00
UNAUTHORIZED = const(0x81)  # 4.01
BAD_OPTION = const(0x82)  # 4.02
FORBIDDEN = const(0x83)  # 4.03
NOT_FOUND = const(0x84)  # 4.04
METHOD_NOT_ALLOWED = const(0x85)  # 4.05
NOT_ACCEPTABLE = const(0x86)  # 4.06
PRECONDITION_FAILED = const(0x8C)  # 4.12
REQUEST_TOO_LARGE = const(0x8D)  # 4.13
UNSUPPORTED_FORMAT = const(0x8F)  # 4.15
UNAVAILABLE = const(0xA3)  # 5.03

OBSERVE = const(6)  # RFC 7641
LOCATION_PATH = const(8)
URI_PATH = const(11)
CONTENT_FORMAT = const(12)
URI_QUERY = const(15)
ACCEPT = const(17)

TEXT = const(0)
LINK_FORMAT = const(40)
OPAQUE = const(42)
TLV = const(11542)  # OMA LwM2M 1.0 §6.4

# Critical options (odd numbers, RFC 7252 §5.4.1) that we understand -> longest value (§5.10), and which of them repeat.
# 3, 7: Uri-Host, Uri-Port; 23, 27: Block2, Block1 (RFC 7959 §2.1). Not If-Match and If-None-Match: no operation of
# LwM2M 1.0 has them, and a condition that is not checked must not be passed over.
_UNDERSTOOD = {3: 255, 7: 2, URI_PATH: 255, URI_QUERY: 255, ACCEPT: 2, 23: 3, 27: 3}
_REPEATABLE = (URI_PATH, URI_QUERY)

MAX_OPTIONS = const(32)
_VERSION = const(0x40)
_MARKER = const(0xFF)


class FormatError(ValueError):
    """The datagram is not a CoAP message (RFC 7252 §3). No text: nobody would read it, and it would cost 270 bytes."""


class Message:
    """One message: `kind` CON/NON/ACK/RST, `code` one byte (class << 5 | detail), `mid` 0-65535, `token` 0-8 bytes,
    `options` a list of (number, value bytes) in any order, `payload` bytes."""

    def __init__(self, kind: int, code: int, mid: int, token: bytes = b"", options=(), payload: bytes = b"") -> None:
        self.kind = kind
        self.code = code
        self.mid = mid
        self.token = token
        self.options = list(options)
        self.payload = payload

    def all(self, number: int) -> list:
        """Values of every option with this number, in order."""
        return [value for n, value in self.options if n == number]

    def uint(self, number: int):
        """Value of the first option with this number as an unsigned integer (RFC 7252 §3.2), or None. One that is too
        long counts as absent (§5.4.3): over 3 bytes for Observe and the Block options, 2 for the others here."""
        for n, value in self.options:
            if n == number:
                return to_uint(value) if len(value) <= (3 if n == OBSERVE or n > ACCEPT else 2) else None
        return None

    def path(self) -> str:
        """Uri-Path as "a/b/c"; what no path of ours has is replaced by "?": bytes outside ASCII, "/" in a segment."""
        return "/".join([_ascii(part) for part in self.all(URI_PATH)])

    def critical(self) -> int:
        """The first critical option that we do not understand (RFC 7252 §5.4.1), or 0. One that is too long (§5.4.3) or
        repeated where it must not be (§5.4.5) is none that we understand. `options` must be as `decode` gives them."""
        last = 0
        for n, value in self.options:
            if n & 1 and (len(value) > _UNDERSTOOD.get(n, -1) or n == last and n not in _REPEATABLE):
                return n
            last = n
        return 0

    def is_request(self) -> bool:
        """A method code 0.01-0.31."""
        return 0 < self.code < 32


def encode(message: Message) -> bytes:
    """The message on the wire. Options are sorted by number; equal numbers keep their order."""
    token = message.token
    if len(token) > 8:
        raise ValueError("token over 8 bytes")
    out = bytearray(4)
    out[0] = _VERSION | message.kind << 4 | len(token)
    out[1] = message.code
    out[2] = message.mid >> 8
    out[3] = message.mid & 0xFF
    out.extend(token)
    last = 0
    # The position keeps equal numbers in order: MicroPython's sort is not stable.
    for number, _, value in sorted([(n, at, value) for at, (n, value) in enumerate(message.options)]):
        delta, size = number - last, len(value)
        last = number
        out.append(_nibble(delta) << 4 | _nibble(size))
        _extend(out, delta)
        _extend(out, size)
        out.extend(value)
    if message.payload:
        out.append(_MARKER)
        out.extend(message.payload)
    return bytes(out)


def decode(data: bytes) -> Message:
    """The message in a datagram.

    Raises FormatError on anything RFC 7252 §3 calls a format error: version, reserved code class, token length 9-15,
    an Empty message with more than a header, truncated options, the reserved nibble 15, a marker with no payload; and
    on what nobody may send: an Empty NON, a request in an ACK, a RST with a code (§4.2, §4.3).
    """
    if len(data) < 4:
        raise FormatError  # shorter than a header
    kind, code = data[0] >> 4 & 3, data[1]
    end = 4 + (data[0] & 15)
    if data[0] & 0xC0 != _VERSION:
        raise FormatError  # version
    if end > 12 or end > len(data):
        raise FormatError  # token
    _check_code(kind, code, len(data))
    message = Message(kind, code, data[2] << 8 | data[3], bytes(data[4:end]))
    at = end
    number = 0
    while at < len(data):
        head = data[at]
        at += 1
        if head == _MARKER:
            if at == len(data):
                raise FormatError  # payload marker without payload
            message.payload = bytes(data[at:])
            return message
        delta, at = _take(data, at, head >> 4)
        length, at = _take(data, at, head & 0x0F)
        number += delta
        if at + length > len(data):
            raise FormatError  # truncated option
        if number > 65535 or len(message.options) >= MAX_OPTIONS:
            raise FormatError  # options
        message.options.append((number, bytes(data[at : at + length])))
        at += length
    return message


def uint(value: int) -> bytes:
    """An option's unsigned integer: big-endian, no leading zero, 0 is empty (RFC 7252 §3.2)."""
    out = b""
    while value:
        out = bytes([value & 0xFF]) + out
        value >>= 8
    return out


def to_uint(value: bytes) -> int:
    """The reverse of `uint`."""
    total = 0
    for byte in value:
        total = total << 8 | byte
    return total


def path_options(number: int, path: str) -> list:
    """Options for "a/b/c": one per segment."""
    return [(number, part.encode()) for part in path.split("/") if part]


def digest(data: bytes) -> int:
    """24 bits that tell contents apart: Bernstein's hash, so that all stays in the module's small integers."""
    out = 5381
    for byte in data:
        out = (out * 33 ^ byte) & 0xFFFFFF
    return out


def dotted(code: int) -> str:
    """A code as people write it: 0x45 is "2.05"."""
    return "%d.%02d" % (code >> 5, code & 31)


def _ascii(value: bytes) -> str:
    return "".join([chr(byte) if 32 <= byte < 127 and byte != 47 else "?" for byte in value])


def _nibble(value: int) -> int:
    return value if value < 13 else 13 if value < 269 else 14


def _extend(out: bytearray, value: int) -> None:
    if value >= 269:
        out.append(value - 269 >> 8)
        out.append(value - 269 & 0xFF)
    elif value >= 13:
        out.append(value - 13)


def _check_code(kind: int, code: int, size: int) -> None:
    if code >> 5 in (1, 6, 7):
        raise FormatError  # reserved code class
    if code == EMPTY and (size > 4 or kind == NON):
        raise FormatError  # empty message with content, or empty NON
    if kind == RST and code != EMPTY or kind == ACK and 0 < code < 32:
        raise FormatError  # reset with a code, or request in an acknowledgement


def _take(data: bytes, at: int, nibble: int):
    """(value, next position) of an option's delta or length (RFC 7252 §3.1)."""
    width = nibble - 12 if nibble > 12 else 0
    if nibble == 15:
        raise FormatError  # reserved option nibble
    if at + width > len(data):
        raise FormatError  # truncated option header
    if width == 1:
        return data[at] + 13, at + 1
    if width == 2:
        return (data[at] << 8 | data[at + 1]) + 269, at + 2
    return nibble, at
