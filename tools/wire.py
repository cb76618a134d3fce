"""The network's trace where it is encrypted: read, hashed, and written for Wireshark.

What a device seals only the platform's DTLS front opens: `DtlsFront.opened` has it, by datagram.
"""

import hashlib
import ipaddress
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from tools.ctwing.store import TraceRow
from tools.ctwing.trace import checksum, packet, pcap_head, pcap_record
from tools.world.network import Address, Datagram


def readable(trace: list[Datagram], opened: Mapping[bytes, Sequence[bytes]]) -> list[Datagram]:
    """The trace with what the datagrams said in place of what they were, at their size on the wire. What never arrived,
    and what is of the handshake, stays as it was."""
    if not opened:
        return trace
    return [_opened(datagram, opened.get(datagram.data, ())) for datagram in trace]


def _opened(datagram: Datagram, said: Sequence[bytes]) -> Datagram:
    if len(said) != 1:
        return datagram
    return replace(datagram, data=said[0], sealed=len(datagram.data) - len(said[0]))


def trace_sha256(network: Sequence[Datagram], platform: Iterable[TraceRow]) -> str:
    """SHA-256 over (time in microseconds, direction, length) of every datagram that was sent, lost ones included, and
    then over (time in microseconds, direction, bytes) of the CoAP messages that the platform saw. Datagrams themselves
    cannot be hashed: Mbed TLS draws its part of the keys from the system, so that no two runs encrypt alike. What is
    hashed is equal for every run of a seed, since no length depends on chance."""
    digest = hashlib.sha256()
    for datagram in network:
        digest.update(b"%d %s %d " % (datagram.t_us, datagram.direction.encode(), len(datagram.data)))
    for row in platform:
        digest.update(b"%d %s %d " % (round(row.t * 1e6), row.direction.encode(), len(row.raw)) + row.raw)
    return digest.hexdigest()


def write_raw_pcap(path: str | Path, datagrams: Iterable[Datagram]) -> int:
    """Writes datagrams as they were on the wire, lost ones too; returns how many. With the PSK, tshark opens DTLS:
    `tshark -r FILE -o dtls.psk:HEX`."""
    count = 0
    with open(path, "wb") as file:
        file.write(pcap_head())
        for datagram in datagrams:
            ends = (datagram.local, datagram.remote)
            source, target = ends if datagram.direction == "up" else ends[::-1]
            file.write(pcap_record(datagram.t_us, _packet(datagram.data, source, target, count)))
            count += 1
    return count


def _packet(payload: bytes, source: Address, target: Address, identification: int) -> bytes:
    one, other = (ipaddress.ip_address(end[0]).packed for end in (source, target))
    if len(one) == 4:
        return packet(payload, (one, source[1]), (other, target[1]), identification)
    length = 8 + len(payload)
    ports = struct.pack(">HHH", source[1], target[1], length)
    pseudo = one + other + struct.pack(">IHBB", length, 0, 0, 17)  # RFC 8200 §8.1
    udp = ports + struct.pack(">H", checksum(pseudo + ports + b"\0\0" + payload) or 0xFFFF) + payload
    return struct.pack(">IHBB", 6 << 28, length, 17, 64) + one + other + udp
