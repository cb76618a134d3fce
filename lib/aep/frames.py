"""AEP's frames over TCP (ctwing.md §4.1, guide §4.3.3): a type of one byte, then fields whose length comes first in two
bytes, big-endian. There is no checksum and no sequence, so whatever does not fit ends the connection. No I/O."""

import ustruct
from micropython import const

from aep.stream_faults import BadFrame

LOGIN = const(1)
UPLINK = const(2)
DOWNLINK = const(3)
HEARTBEAT = const(4)
LOGGED_IN = const(5)
HEARTBEAT_ANSWER = const(6)
UPLINK_ANSWER = const(0x82)
DOWNLINK_ANSWER = const(0x83)

_LARGEST = const(1100)  # bytes of a field; AEP's packets end at 1080 (ctwing.md §2.5)
_FIXED = {LOGGED_IN: 2, HEARTBEAT_ANSWER: 0}  # bytes behind the type; the others have a length first
_LENGTHS = (DOWNLINK, UPLINK_ANSWER)


def field(data: bytes) -> bytes:
    """Length and bytes."""
    return ustruct.pack(">H", len(data)) + data


def login(device: str, token: str, version: str, more: list) -> bytes:
    """01; `more` are version 2.0's: module, chip, software version, IMEI, ICCID, IMSI."""
    out = b"\x01" + field(device.encode()) + field(token.encode()) + field(version.encode())
    for text in more:
        out += field(text.encode())
    return out


def uplink(data: bytes) -> bytes:
    """02, transparent."""
    return b"\x02" + field(data)


def report(message: int, service: int, params: bytes) -> bytes:
    """02 of a thing model."""
    return b"\x02" + field(ustruct.pack(">HH", message, service) + params)


def answer(task: int, result: int, service: int = 0, params: bytes = b"") -> bytes:
    """83: result 0 received, 1 done with data, 2 failed (ctwing.md §4.1)."""
    body = ustruct.pack(">HH", task, result)
    return b"\x83" + field(body + ustruct.pack(">H", service) + params if service else body)


class Parser:
    """Frames out of a stream that comes in any pieces."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> list:
        """[(type, body), ...] of what is whole now. Raises BadFrame; the rest is not to be read then."""
        held = self._held + data
        out = []
        while held:
            kind = held[0]
            if kind in _FIXED:
                begin, end = 1, 1 + _FIXED[kind]
            elif kind in _LENGTHS:
                if len(held) < 3:
                    break
                begin, end = 3, 3 + (held[1] << 8 | held[2])
                if end > 3 + _LARGEST:
                    raise BadFrame("a frame of %d bytes" % end)
            else:
                raise BadFrame("type 0x%02x" % kind)
            if len(held) < end:
                break
            out.append((kind, held[begin:end]))
            held = held[end:]
        self._held = held
        return out


def numbers(body: bytes) -> tuple:
    """The first two numbers of a body, of 16 bits each. Raises BadFrame."""
    if len(body) < 4:
        raise BadFrame("a body of %d bytes" % len(body))
    return ustruct.unpack(">HH", body[:4])
