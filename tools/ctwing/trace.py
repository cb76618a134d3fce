"""The platform's byte-exact trace as one line per datagram, and as a pcap file that tshark and Wireshark dissect.

The datagrams are the very bytes of the wire; the IPv4 and UDP headers are made here, with right checksums. Frames of
MQTT and TCP lie in TCP segments of their own, one after another; those of MQTTS as they are within TLS. Every device
has one address of its own for good (its NAT port changes at each PSM wake), so that a dissector can follow tokens.
"""

import struct
from collections import Counter
from collections.abc import Iterable
from ipaddress import ip_address
from pathlib import Path

from aiocoap import Message

from tools.ctwing import mqtt_packets, tcp_frames
from tools.ctwing.store import TraceRow
from tools.world.coap import KINDS, Malformed, decode
from tools.world.network import Datagram

LINKTYPE_RAW = 101  # packets begin with the IP header (tcpdump.org/linktypes.html)
COAP_PORT = 5683
TCP, UDP = 6, 17  # protocol numbers
PLATFORM = (221, 229, 214, 202)  # the platform's published address, ctwing.md §1.2
DEVICE_NET = (10, 1)  # devices get 10.1.0.1, 10.1.0.2, … in the order they appear
STRANGER_NET = (10, 2)  # peers that never registered
STREAM_PORTS = {"TCP": 8996, "MQTT": 1883, "MQTTS": 1883}  # where dissectors look for them; MQTTS is opened already
DEVICE_PORT = 49152  # first port of the dynamic range (RFC 6335 §6): a port no dissector claims


def row_line(row: TraceRow) -> str:
    """A row for a person, in the words of its protocol."""
    lines = {"TCP": tcp_frames.one_line, "MQTT": mqtt_packets.one_line, "MQTTS": mqtt_packets.one_line}
    return lines.get(_protocol(row), one_line)(row.raw)


def _protocol(row: TraceRow) -> str:
    """What a stream's peer is said to speak, "" for a datagram's."""
    name = row.peer.rpartition(" by ")[2]
    return name if name in STREAM_PORTS else ""


def one_line(raw: bytes) -> str:
    """A datagram for a person: kind, MID, method or code, path, token, options, payload."""
    try:
        message = decode(raw)
    except Malformed as error:
        return f"malformed: {error}"
    parts = [KINDS[message.mtype], str(message.mid), _what(message)]
    if message.token:
        parts.append("token " + message.token.hex())
    opt = message.opt
    for name, value in (
        ("Location", "/".join(opt.location_path) or None), ("Observe", opt.observe), ("Format", opt.content_format),
        ("Accept", opt.accept), ("Block1", _block(opt.block1)), ("Block2", _block(opt.block2)),
    ):
        if value is not None:
            parts.append(f"{name} {_plain(value)}")
    if message.payload:
        parts.append(_payload(message.payload))
    return " ".join(parts)


def _what(message: Message) -> str:
    if not message.code.is_request():
        return message.code.dotted if message.code else "empty"
    query = "?" + "&".join(message.opt.uri_query) if message.opt.uri_query else ""
    return f"{message.code.name} /{'/'.join(message.opt.uri_path)}{query}"


def _plain(value: object) -> str:
    return str(int(value)) if isinstance(value, int) else str(value)


def _block(value: tuple[int, bool, int] | None) -> str | None:
    if value is None:
        return None
    number, more, exponent = value
    return f"{number}{'+' * more}/{16 << exponent}"


def _payload(payload: bytes) -> str:
    """The text where it can be shown, at most 200 characters; otherwise so many bytes."""
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        return f"{len(payload)} bytes"
    if not text.isprintable():
        return f"{len(payload)} bytes"
    return repr(text[:200]) + "…" * (len(text) > 200)


def checksum(data: bytes) -> int:
    """Internet checksum (RFC 1071)."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def packet(payload: bytes, source: tuple[bytes, int], target: tuple[bytes, int], identification: int = 0) -> bytes:
    """`payload` in UDP (RFC 768) in IPv4 (RFC 791) or IPv6 (RFC 8200); an end is (4 or 16 address bytes, port)."""
    length = 8 + len(payload)
    ports = struct.pack(">HHH", source[1], target[1], length)
    # RFC 768: a computed zero is sent as all ones, zero would mean "no checksum"
    total = _sum(UDP, ports + b"\0\0" + payload, source, target) or 0xFFFF
    return _in_ip(UDP, ports + struct.pack(">H", total) + payload, source, target, identification)


def segment(payload: bytes, source: tuple[bytes, int], target: tuple[bytes, int], numbers: tuple[int, int],
            identification: int = 0) -> bytes:
    """`payload` in a TCP segment (RFC 9293) with these sequence and acknowledgement numbers, PSH and ACK."""
    head = struct.pack(">HHIIHH", source[1], target[1], *(number & 0xFFFFFFFF for number in numbers), 0x5018, 0xFFFF)
    total = struct.pack(">HH", _sum(TCP, head + bytes(4) + payload, source, target), 0)
    return _in_ip(TCP, head + total + payload, source, target, identification)


def _sum(protocol: int, data: bytes, source: tuple[bytes, int], target: tuple[bytes, int]) -> int:
    """With the pseudo header; the sum of IPv6's longer fields is the same."""
    return checksum(source[0] + target[0] + struct.pack(">BBH", 0, protocol, len(data)) + data)


def _in_ip(protocol: int, data: bytes, source: tuple[bytes, int], target: tuple[bytes, int], identification: int
           ) -> bytes:
    ends = source[0] + target[0]
    if len(source[0]) == 16:
        return struct.pack(">IHBB", 6 << 28, len(data), protocol, 64) + ends + data
    head = struct.pack(">BBHHHBB", 0x45, 0, 20 + len(data), identification & 0xFFFF, 0, 64, protocol)
    return head + struct.pack(">H", checksum(head + b"\0\0" + ends)) + ends + data


def write_pcap(path: str | Path, rows: Iterable[TraceRow]) -> int:
    """Writes the rows as a pcap file; returns how many packets it holds."""
    hosts: dict[str, bytes] = {}
    sent: Counter[tuple[str, str]] = Counter()  # bytes of a connection so far, by its peer and the direction
    packets = []
    for row in rows:
        protocol = _protocol(row)
        port = int(row.peer.partition(" by ")[0].rpartition(":")[2]) if protocol else DEVICE_PORT
        end, platform = (_host(hosts, row), port), (bytes(PLATFORM), STREAM_PORTS.get(protocol, COAP_PORT))
        source, target = (end, platform) if row.direction == "up" else (platform, end)
        if not protocol:
            packets.append((row.t, packet(row.raw, source, target, row.id)))
            continue
        other = "down" if row.direction == "up" else "up"
        numbers = sent[row.peer, row.direction] + 1, sent[row.peer, other] + 1
        packets.append((row.t, segment(row.raw, source, target, numbers, row.id)))
        sent[row.peer, row.direction] += len(row.raw)
    return write_packets(path, packets)


def write_raw_pcap(path: str | Path, datagrams: Iterable[Datagram]) -> int:
    """Writes datagrams of the network as they were on the wire, lost ones too; returns how many. With the PSK DTLS is
    opened: `tshark -r FILE -o dtls.psk:HEX`."""
    packets = []
    for number, one in enumerate(datagrams):
        up = one.direction == "up"
        source, target = [(ip_address(host).packed, port)
                          for host, port in ((one.local, one.remote) if up else (one.remote, one.local))]
        packets.append((one.t_us / 1e6, packet(one.data, source, target, number)))
    return write_packets(path, packets)


def write_packets(path: str | Path, packets: Iterable[tuple[float, bytes]]) -> int:
    """Writes (seconds, IP packet) as a classic pcap with microseconds; returns how many there were."""
    count = 0
    with open(path, "wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, LINKTYPE_RAW))
        for t, data in packets:
            seconds, micros = divmod(round(t * 1e6), 1_000_000)
            file.write(struct.pack("<IIII", seconds & 0xFFFFFFFF, micros, len(data), len(data)) + data)
            count += 1
    return count


def _host(hosts: dict[str, bytes], row: TraceRow) -> bytes:
    """The address of this row's device or, for a stranger, of its peer."""
    net, name = (STRANGER_NET, row.peer) if row.device is None else (DEVICE_NET, row.device)
    if name not in hosts:
        number = sum(1 for address in hosts.values() if tuple(address[:2]) == net) + 1
        hosts[name] = bytes(net) + struct.pack(">H", number)
    return hosts[name]
