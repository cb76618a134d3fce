"""MQTT 3.1.1 control packets (OASIS standard, 2014): those a client sends, and those a server may send it. No I/O.

What comes from the network is hostile until decoded: `first` and `decode` raise `Malformed` and nothing else. QoS 2,
will and retained messages of our own have no user here.
"""

from micropython import const

# Events: what a packet of the server means, tuples that begin with one of these.
CONNECTED = const(1)  # (CONNECTED, session present): the server still had our session
REFUSED = const(2)  # (REFUSED, code 1-5): CONNACK's return code (§3.2.2.3)
ACKED = const(3)  # (ACKED, packet id): the server has this QoS 1 message of ours
MESSAGE = const(4)  # (MESSAGE, topic, payload, qos, packet id or 0, dup)
SUBSCRIBED = const(5)  # (SUBSCRIBED, packet id, code): the QoS granted, or FAILED
PONG = const(6)  # (PONG,)

FAILED = const(0x80)  # SUBACK: the subscription was refused

LIMIT = const(1100)  # bytes of remaining length: AEP's payloads of at most 1,024, topic and id (ctwing.md §3.1)

PINGREQ = b"\xc0\x00"
DISCONNECT = b"\xe0\x00"

_CONNACK = const(0x20)
_PUBACK = const(0x40)
_SUBACK = const(0x90)
_PINGRESP = const(0xD0)

# First byte of what a server may send us -> remaining length, -1 where that varies. A SUBACK has one return code, as
# each SUBSCRIBE of ours has one topic. PUBLISH: QoS 0, 1, and 1 repeated, each also as a retained one; a QoS 0 message
# is never a repeat [MQTT-3.3.1-2], and QoS 2 nobody has asked for.
_SIZES = {
    _CONNACK: 2, _PUBACK: 2, _SUBACK: 3, _PINGRESP: 0, 0x30: -1, 0x31: -1, 0x32: -1, 0x33: -1, 0x3A: -1, 0x3B: -1,
}  # fmt: skip


class Malformed(ValueError):
    """No server may send this. No text, as with coap.message.FormatError."""


def connect(client_id: str, user: str, password: str, clean: bool, keep_alive: int) -> bytes:
    """CONNECT (§3.1) with user name and password; `keep_alive` in seconds, 0: none."""
    head = b"\x00\x04MQTT\x04" + bytes([0xC2 if clean else 0xC0]) + _number(keep_alive)
    return _framed(0x10, head + _text(client_id) + _text(user) + _text(password))


def publish(topic: str, payload: bytes, qos: int, packet_id: int, dup: bool) -> bytes:
    """PUBLISH (§3.3) with QoS 0, which has no packet id [MQTT-2.3.1-5] and no DUP [MQTT-3.3.1-2], or QoS 1."""
    if not qos:
        return _framed(0x30, _text(topic) + payload)
    return _framed(0x3A if dup else 0x32, _text(topic) + _number(packet_id) + payload)


def acknowledge(packet_id: int) -> bytes:
    """PUBACK (§3.4)."""
    return _framed(_PUBACK, _number(packet_id))


def subscribe(packet_id: int, topic: str, qos: int) -> bytes:
    """SUBSCRIBE (§3.8) to one topic filter."""
    return _framed(0x82, _number(packet_id) + _text(topic) + bytes([qos]))


def first(data: bytes, at: int):
    """(beginning of what follows the fixed header, end) of the packet at `at` (§2.2), None while the end or the length
    has not come. Raises Malformed as soon as this packet cannot become one of a server's."""
    if at >= len(data):
        return None
    expected = _SIZES.get(data[at])
    if expected is None:
        raise Malformed  # a client's packet, reserved, flags [MQTT-2.2.2-2], QoS 2 or 3 [MQTT-3.3.1-4]
    size = shift = 0
    for start in range(at + 1, min(at + 5, len(data))):
        size |= (data[start] & 0x7F) << shift
        shift += 7
        if size > LIMIT:
            raise Malformed
        if data[start] < 0x80:
            if expected not in (-1, size):
                raise Malformed
            end = start + 1 + size
            return (start + 1, end) if end <= len(data) else None
    if shift == 28:
        raise Malformed  # a fifth byte of length
    return None


def decode(data: bytes, at: int, start: int, end: int) -> tuple:
    """The event of the packet at `at`, `start` and `end` as `first` gave them. Raises Malformed."""
    head = data[at]
    if head == _PINGRESP:
        return (PONG,)
    if head & 0xF0 == 0x30:
        return _message(data, head, start, end)
    if head == _CONNACK:
        present, code = data[start], data[start + 1]
        if present > 1 or code > 5 or present and code:  # reserved; [MQTT-3.2.2-4]
            raise Malformed
        return (REFUSED, code) if code else (CONNECTED, present == 1)
    number = _packet_id(data, start)
    if head == _PUBACK:
        return (ACKED, number)
    code = data[start + 2]
    if code not in (0, 1, FAILED):  # 2 was not asked for; the others [MQTT-3.9.3-2]
        raise Malformed
    return (SUBSCRIBED, number, code)


def _message(data: bytes, head: int, start: int, end: int) -> tuple:
    qos = head >> 1 & 1
    begin = start + 2
    if end < begin:
        raise Malformed
    at = begin + (data[start] << 8 | data[start + 1])
    body = at + 2 * qos
    if body > end:
        raise Malformed
    topic = _topic(data[begin:at])
    return (MESSAGE, topic, data[body:end], qos, _packet_id(data, at) if qos else 0, head & 8 != 0)


def _topic(data: bytes) -> str:
    """A topic name: UTF-8 [MQTT-1.5.3-1] without U+0000 [MQTT-1.5.3-2], no wildcard [MQTT-3.3.2-2], not empty
    [MQTT-4.7.3-1]. Checked here, because `decode` checks less in MicroPython, and nothing where str is bytes."""
    more = low = high = 0
    for byte in data:
        if more:
            if not low <= byte <= high:
                raise Malformed
            more -= 1
            low, high = 0x80, 0xBF
        elif byte >= 0x80:
            if not 0xC2 <= byte <= 0xF4:
                raise Malformed
            # The second byte's range leaves out what is too long, surrogates, and what is over U+10FFFF (RFC 3629 §4)
            more = 1 + (byte >= 0xE0) + (byte >= 0xF0)
            low = 0xA0 if byte == 0xE0 else 0x90 if byte == 0xF0 else 0x80
            high = 0x9F if byte == 0xED else 0x8F if byte == 0xF4 else 0xBF
        elif byte in (0x00, 0x23, 0x2B):  # "#", "+"
            raise Malformed
    if more or not data:
        raise Malformed
    return data.decode()


def _packet_id(data: bytes, at: int) -> int:
    """Never 0: of a PUBLISH [MQTT-2.3.1-1], and so of what answers ours."""
    number = data[at] << 8 | data[at + 1]
    if not number:
        raise Malformed
    return number


def _number(value: int) -> bytes:
    return bytes([value >> 8, value & 0xFF])


def _text(value: str) -> bytes:
    """A string with its length, which counts bytes (§1.5.3)."""
    data = value.encode()
    return _number(len(data)) + data


def _framed(head: int, body: bytes) -> bytes:
    """`body` behind a fixed header; the length takes 1-4 bytes of seven bits, the lowest first (§2.2.3)."""
    out = bytearray([head])
    size = len(body)
    while size > 0x7F:
        out.append(size & 0x7F | 0x80)
        size >>= 7
    out.append(size)
    return bytes(out) + body
