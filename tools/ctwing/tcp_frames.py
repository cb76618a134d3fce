"""Frames of AEP's TCP protocol (ctwing.md §4.1): one byte of type, two bytes big-endian for lengths and results.

Pure: bytes in, frames out. There is no checksum and no escape, so after one bad byte nothing of a stream can be read.
"""

from tools.ctwing.streams import BadFrame

LOGIN, UPLINK, DOWNLINK, HEARTBEAT, LOGIN_RESULT, BEAT = 0x01, 0x02, 0x03, 0x04, 0x05, 0x06
UPLINK_ACK, DOWNLINK_ACK = 0x82, 0x83
NAMES = {
    LOGIN: "login", UPLINK: "uplink", DOWNLINK: "downlink", HEARTBEAT: "heartbeat", LOGIN_RESULT: "login result",
    BEAT: "heartbeat reply", UPLINK_ACK: "uplink acknowledged", DOWNLINK_ACK: "downlink acknowledged",
}
FRAME_LIMIT = 4096  # bytes; AEP's own limit is unknown, its SDKs have buffers of 1 to 2 KB (ctwing.md §4.1)
OK, UNKNOWN_ERROR, NOT_REGISTERED, NOT_AUTHENTIC, ALREADY = range(5)  # login results, guide §4.3.3
STANDARD = b"2.0"  # the version whose login has six more strings: module, chip, software, IMEI, ICCID, IMSI


def frame(kind: int, body: bytes) -> bytes:
    """A frame with one length before its body."""
    return bytes([kind]) + len(body).to_bytes(2, "big") + body


def result_frame(kind: int, result: int) -> bytes:
    return bytes([kind]) + result.to_bytes(2, "big")


def next_frame(data: bytes | bytearray) -> bytes | None:
    """The first whole frame of a device's bytes, None where more must come; raises BadFrame."""
    if not data:
        return None
    if data[0] == HEARTBEAT:
        return bytes(data[:1])
    if data[0] == LOGIN:
        strings = _strings(data)
        return None if strings is None else bytes(data[:1 + sum(2 + len(one) for one in strings)])
    if data[0] not in (UPLINK, DOWNLINK_ACK):
        raise BadFrame(f"type 0x{data[0]:02x} is none that a device sends")
    body = _string(data, 1)
    return None if body is None else bytes(data[:3 + len(body)])


def login_strings(raw: bytes) -> list[bytes]:
    """Device id, password, version, and six more with version 2.0, of a whole login frame."""
    strings = _strings(raw)
    assert strings is not None
    return strings


def _strings(data: bytes | bytearray) -> list[bytes] | None:
    strings: list[bytes] = []
    at = 1
    while len(strings) < (9 if strings[2:3] == [STANDARD] else 3):
        one = _string(data, at)
        if one is None:
            return None
        strings.append(one)
        at += 2 + len(one)
    return strings


def _string(data: bytes | bytearray, at: int) -> bytes | None:
    """The length and its bytes at this place, None where more must come."""
    if len(data) < at + 2:
        return None
    end = at + 2 + int.from_bytes(data[at:at + 2], "big")
    if end > FRAME_LIMIT:
        raise BadFrame(f"the frame is longer than {FRAME_LIMIT} bytes")
    return bytes(data[at + 2:end]) if len(data) >= end else None


def one_line(raw: bytes) -> str:
    """A frame for a person."""
    name, body = NAMES.get(raw[0], f"type 0x{raw[0]:02x}") if raw else "nothing", raw[3:]
    if raw[:1] == bytes([LOGIN]):
        try:
            strings = _strings(raw)
        except BadFrame as error:
            return f"{name}: {error}"
        return f"{name} " + " ".join(repr(one)[1:] for one in strings or [raw[1:]])
    if raw[:1] == bytes([LOGIN_RESULT]):
        return f"{name} {int.from_bytes(raw[1:], 'big')}"
    return f"{name} {len(body)} bytes {body[:200]!r}" if body else name
