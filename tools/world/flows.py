"""TCP between modules and platform: the carrier's way for segments, and the platform's end of each connection.

The module's end is the module's (`tools/module/modem/stream.py`). What stands behind a public address is a server of
the world's loop (`tools/world/streams.py`).
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tools.world.streams import MemoryTransport
from tools.world.tcp import ACK, CLOSED, RESET, SYN, TIME_WAIT, End, Listener, Segment, refusal

if TYPE_CHECKING:
    from tools.world.network import Network

Address = tuple[str, int]

NAT_IDLE_S = 300.0
"""A carrier forgets an idle TCP flow after some minutes: Quectel's FAQ advises a heartbeat of 4 at most
(quecpython.md §5.3)."""

PLATFORM_DELAY_S = 0.04
"""How long the platform's acknowledgement waits for data to go with: Linux's least."""

NAT_ADDRESS, FIRST_OUTSIDE = "100.64.0.1", 20000
"""Who the platform sees: a carrier's address, shared by its modules (RFC 6598), and ports in turn."""


class Flow:
    """One connection through the NAT. One that is `forgotten` lets nothing through in either direction."""

    def __init__(self, network: "Network", local: Address, remote: Address, outside: int) -> None:
        self.network, self.local, self.remote = network, local, remote
        self.used_us = network.loop.now_us
        self.forgotten = False
        self.outside = (NAT_ADDRESS, outside)
        self.transport: MemoryTransport | None = None
        listener = Listener(self._data, self._closed, opened=self._opened)
        self.end = End(self._transmit, network.loop.call_later, listener, network.draw_sequence(), PLATFORM_DELAY_S)

    def arrive(self, segment: Segment) -> None:
        """A segment of the module reaches the platform."""
        if self.network.listening(self.remote) is None and self.end.state == CLOSED:
            self._transmit(refusal(segment))
        else:
            self.end.receive(segment)

    def drop(self) -> None:
        """The platform's end goes without a word, as with a NAT that has lost its table."""
        self.forgotten = True

    def _transmit(self, segment: Segment) -> None:
        self.network.flows.down(self, segment)

    def _opened(self) -> None:
        server = self.network.listening(self.remote)
        if server is None:
            self.end.abort()
        else:
            self.transport = server.accept(self.outside, self.end.write, self._ended)

    def _ended(self, abortive: bool) -> None:
        if abortive:
            self.end.abort()
        else:
            self.end.close()

    def _data(self, data: bytes) -> None:
        if self.transport is not None:
            self.transport.arrive(data)

    def _closed(self, error: int) -> None:
        if self.transport is not None:
            self.transport.finish(OSError(error, "connection lost") if error else None)


class Flows:
    """The connections of one network. `legs` are the modules' ends, by address: what takes their segments."""

    def __init__(self, network: "Network") -> None:
        self.network = network
        self.legs: dict[Address, Callable[[Segment, Address], None]] = {}
        self.refusals = 0
        self._flows: dict[tuple[Address, Address], Flow] = {}
        self._outside = FIRST_OUTSIDE
        self.nat_idle_s = NAT_IDLE_S
        self.half_open = False
        """Whether a forgotten flow's segments vanish; else the platform resets what it does not know."""

    def up(self, local: Address, segment: Segment, remote: Address) -> None:
        """One segment of a module."""
        network = self.network
        lost = network.draw("up") or network.listening(remote) is None and not network.serves(remote)
        network.record("up", segment, lost, local, remote)
        flow = self._flow(local, remote, segment)
        if lost:
            network.events.emit("network", "lost", "up", bytes=len(segment.data))
        elif flow is not None:
            network.carry(flow.arrive, segment)
        elif not self.half_open and not segment.flags & RESET:
            self.refusals += 1
            network.carry(self._land, local, remote, refusal(segment))

    def _flow(self, local: Address, remote: Address, segment: Segment) -> Flow | None:
        """The flow of a segment; a SYN makes one, also where the platform's end has been through (RFC 9293 §3.10.7.4:
        TIME-WAIT)."""
        flow = self._flows.get((local, remote))
        if flow is not None and self.network.loop.now_us - flow.used_us > self.nat_idle_s * 1e6:
            flow.drop()
        if flow is not None and not flow.forgotten:
            flow.used_us = self.network.loop.now_us
            over = flow.end.state == TIME_WAIT or flow.end.state == CLOSED and flow.end.expected
            if not segment.flags & SYN or not over:
                return flow
        if not segment.flags & SYN:
            return None
        self._outside += 1
        flow = self._flows[local, remote] = Flow(self.network, local, remote, self._outside)
        return flow

    def down(self, flow: Flow, segment: Segment) -> None:
        """One segment of the platform."""
        network = self.network
        if self.network.loop.now_us - flow.used_us > self.nat_idle_s * 1e6:
            flow.drop()
        lost = network.draw("down") or flow.forgotten
        network.record("down", segment, lost, flow.local, flow.remote)
        if flow.forgotten:
            network.dropped += 1
            network.events.emit("network", "dropped", "NAT flow forgotten", bytes=len(segment.data), raw=segment.data)
        elif lost:
            network.events.emit("network", "lost", "down", bytes=len(segment.data))
        else:
            flow.used_us = network.loop.now_us
            network.carry(self._land, flow.local, flow.remote, segment)

    def _land(self, local: Address, remote: Address, segment: Segment) -> None:
        leg = self.legs.get(local)
        if leg is not None:
            leg(segment, remote)
        elif segment.data or not segment.flags & ACK:
            self.network.dropped += 1
            self.network.events.emit("network", "dropped", "nobody listens", bytes=len(segment.data), raw=segment.data)

    def forget(self) -> None:
        """The NAT is restarted."""
        for flow in self._flows.values():
            flow.drop()

    def close(self) -> None:
        """Every connection is gone, without a word."""
        for flow in self._flows.values():
            flow.end.vanish()
            if flow.transport is not None:
                flow.transport.finish(OSError(104, "the world is over"))
        self._flows.clear()

    def live(self) -> list[Any]:
        """Flows whose platform end is up."""
        return [flow for flow in self._flows.values() if flow.end.state != CLOSED]
