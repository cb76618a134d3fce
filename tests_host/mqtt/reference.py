"""What a server's bytes mean, read a second time by other means than lib/mqtt: regular expressions, struct, CPython's
own UTF-8. What the client makes of the same bytes is held against it."""

import re
import struct

LIMIT = 1100
CONNACK, PUBACK, SUBACK, PINGRESP = 0x20, 0x40, 0x90, 0xD0
FIXED = {CONNACK: 2, PUBACK: 2, SUBACK: 3, PINGRESP: 0}

HEADS = rb"[\x20\x40\x90\xd0\x30-\x33\x3a\x3b]"
HEADER = re.compile(HEADS + rb"([\x80-\xff]{0,3}[\x00-\x7f])", re.DOTALL)
BEGUN = re.compile(HEADS + rb"([\x80-\xff]{0,3})", re.DOTALL)


def read(data: bytes, started: bool, clean: bool) -> tuple[list[tuple], bool]:
    """(events, whether a packet behind them can be no server's) of all that came. `started`: a CONNECT was sent."""
    events: list[tuple] = []
    state = "asked" if started else "closed"
    while data:
        header = HEADER.match(data)
        if header is None:
            begun = BEGUN.fullmatch(data)
            return events, begun is None or _length(begun[1]) > LIMIT
        size = _length(header[1])
        if size > LIMIT or FIXED.get(data[0], size) != size:
            return events, True
        if len(data) < header.end() + size:
            return events, False
        event = _event(data[0], data[header.end() : header.end() + size])
        answer = event is not None and event[0] in ("connected", "refused")
        if event is None or state != ("asked" if answer else "open") or (clean and event == ("connected", True)):
            return events, True
        if answer:
            state = "open" if event[0] == "connected" else "closed"
        events.append(event)
        data = data[header.end() + size :]
    return events, False


def _length(digits: bytes) -> int:
    return sum((digit & 0x7F) << 7 * at for at, digit in enumerate(digits))


def _event(head: int, body: bytes) -> tuple | None:
    if head == PINGRESP:
        return ("pong",)
    if head == CONNACK:
        if body in (b"\0\0", b"\1\0"):
            return ("connected", body[0] == 1)
        return ("refused", body[1]) if body in [bytes([0, code]) for code in range(1, 6)] else None
    if head in (PUBACK, SUBACK):
        number = struct.unpack(">H", body[:2])[0]
        if not number or (head == SUBACK and body[2] not in (0, 1, 128)):
            return None
        return ("acked", number) if head == PUBACK else ("subscribed", number, body[2])
    return _message(head, body)


def _message(head: int, body: bytes) -> tuple | None:
    qos, dup = head >> 1 & 3, bool(head & 8)
    try:
        size = struct.unpack_from(">H", body)[0]
        topic = struct.unpack_from(f">{size}s", body, 2)[0].decode("utf-8", "strict")
        number = struct.unpack_from(">H", body, 2 + size)[0] if qos else 0
    except (struct.error, UnicodeDecodeError):
        return None
    if not topic or re.search("[\0+#]", topic) or bool(number) != bool(qos):
        return None
    return ("message", topic, body[2 + size + 2 * qos :], qos, number, dup)
