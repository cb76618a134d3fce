"""What the segments of a connection say: for each the exchange it belongs to, and what it acknowledges.

MQTT's packets (MQTT 3.1.1 §2) and AEP's frames (ctwing.md §4) are cut out of the stream here by their lengths alone, by
no code of the device's or the platform's. Under TLS nothing can be read: then everything counts as the report's.
"""

from collections.abc import Iterator

from tools.world.network import Datagram

REPORT, COMMAND = "report", "command"

PUBLISH, PUBACK = 3, 4
DOWNLINK, UPLINK_ACK, DOWNLINK_ACK = 3, 0x82, 0x83


def packets(protocol: str, data: bytes) -> Iterator[bytes]:
    """The messages of a segment. A sender here cuts one in two only on purpose; the pieces count as the report's."""
    while data:
        size = _mqtt_length(data) if protocol == "mqtt" else _frame_length(data)
        yield data[:size]
        data = data[size:]


def _mqtt_length(data: bytes) -> int:
    size = shift = 0
    for at, byte in enumerate(data[1:5], 1):
        size |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return at + 1 + size
    return len(data)


def _frame_length(data: bytes) -> int:
    if data[0] == 1:  # login: fields to the end
        return len(data)
    return {4: 1, 5: 3, 6: 1}.get(data[0], 3 + int.from_bytes(data[1:3], "big"))


def classify(protocol: str, trace: list[Datagram]) -> list[str]:
    """For each segment of one wake the exchange it belongs to. What carries nothing goes with what it acknowledges."""
    kinds: list[str] = []
    ends: dict[tuple[str, int], str] = {}  # (who sent it, sequence number behind it) -> kind
    asked: set[bytes] = set()  # packet ids and task ids of commands
    for one in trace:
        assert one.segment is not None
        if one.data:
            found = {_kind(protocol, packet, one.direction, asked) for packet in packets(protocol, one.data)}
            kind = COMMAND if found == {COMMAND} else REPORT
        else:
            kind = ends.get(("down" if one.direction == "up" else "up", one.segment.ack), REPORT)
        ends[one.direction, (one.segment.seq + one.segment.length) & 0xFFFFFFFF] = kind
        kinds.append(kind)
    return kinds


def _kind(protocol: str, packet: bytes, direction: str, asked: set[bytes]) -> str:
    if len(packet) < 2:
        return REPORT
    if protocol == "mqtt":
        return _mqtt_kind(packet, direction, asked)
    if packet[0] in (DOWNLINK, DOWNLINK_ACK):
        return COMMAND
    return COMMAND if packet[0] == 2 and b'"taskId"' in packet else REPORT


def _mqtt_kind(packet: bytes, direction: str, asked: set[bytes]) -> str:
    kind, at = packet[0] >> 4, 2 if packet[1] < 0x80 else 3
    if kind == PUBLISH:
        topic = int.from_bytes(packet[at : at + 2], "big")
        number = packet[at + 2 + topic : at + 4 + topic]
        if direction == "down" or b'"taskId"' in packet:
            asked.add(direction.encode() + number)
            return COMMAND
    if kind == PUBACK:
        other = b"up" if direction == "down" else b"down"
        return COMMAND if other + packet[2:4] in asked else REPORT
    return REPORT


def acknowledgement(protocol: str, mid: int) -> bytes:
    """The message with which the platform acknowledges a report of this number."""
    if protocol == "mqtt":
        return bytes([PUBACK << 4, 2]) + mid.to_bytes(2, "big")
    return bytes([UPLINK_ACK, 0, 4]) + mid.to_bytes(2, "big") + b"\0\0"
