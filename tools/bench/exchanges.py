"""Datagrams and bytes by what they are for, from the local AEP's trace: the same count for whoever plays the device.

`tools/figures.py` says what each datagram is; here the platform's further requests are told from a registration's own.
"""

from collections.abc import Sequence

from aiocoap import Message
from aiocoap.numbers.codes import GET

from tools import figures
from tools.ctwing.store import TraceRow
from tools.ctwing.transfer import DATA_UP
from tools.world.network import Datagram

DEVICE, PLATFORM = ("10.1.0.1", 49152), ("221.229.214.202", 5683)
"""Over IPv4, so 28 bytes of headers are counted with each datagram (tools/world/network.py)."""

FURTHER = "further"
"""What the platform asks of a device that has registered beside the Observe of 19/0/0 (ctwing.md §2.2)."""

Count = dict[str, int]


def kinds(rows: Sequence[TraceRow]) -> list[tuple[str, int]]:
    """For each datagram (what it belongs to, its bytes on the wire)."""
    trace = [Datagram(round(row.t * 1e6), row.direction, row.raw, False, DEVICE, PLATFORM) for row in rows]
    further: set[int] = set()  # MIDs of such requests
    out = []
    for datagram, kind in zip(trace, figures.classify(trace), strict=True):
        if kind == figures.SESSION:
            message = Message.decode(datagram.data)
            path = "/" + "/".join(message.opt.uri_path)
            if datagram.direction == "down" and message.code is GET and path != DATA_UP:
                further.add(message.mid)
                kind = FURTHER
            elif datagram.direction == "up" and message.mid in further and not message.code.is_request():
                kind = FURTHER
        out.append((kind, datagram.wire_bytes))
    return out


def count(rows: Sequence[TraceRow], *wanted: str) -> Count:
    """{"datagrams", "bytes"} of these kinds, or of all."""
    return _sum([size for kind, size in kinds(rows) if not wanted or kind in wanted])


def each_way(rows: Sequence[TraceRow], *wanted: str) -> dict[str, Count]:
    """The same, {"up", "down"}."""
    found = list(zip(rows, kinds(rows), strict=True))
    return {way: _sum([size for row, (kind, size) in found if row.direction == way and kind in wanted])
            for way in ("up", "down")}


def _sum(sizes: Sequence[int]) -> Count:
    return {"datagrams": len(sizes), "bytes": sum(sizes)}
