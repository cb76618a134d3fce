"""The network between modules and platform: latency, loss and a carrier's NAT, over real UDP on loopback.

A module speaks to public addresses; `serve` says which loopback socket stands behind each. What goes through is kept
byte by byte in `trace`. Radio is not here: that is the module's (`tools/module/modem/radio.py`).
"""

import asyncio
import hashlib
import ipaddress
import random
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from tools.world.clock import WorldLoop
from tools.world.events import Events
from tools.world.flows import Flows
from tools.world.streams import MemoryServer
from tools.world.tcp import Segment

Address = tuple[str, int]

OPEN, REFUSED, MUTE = "open", "refused", "mute"

NO_SUCH_NAME = -2
"""What lwIP's resolver says of an unknown name (quecpython.md §3.9)."""

FORGOTTEN_KEPT = 64
"""Endpoints of forgotten NAT bindings that stay open, so that what still comes for them is seen to be dropped."""

HOLD_UP_MS, SECOND_MS = (300, 2500), (5, 400)
"""How much later a datagram that is held up arrives, and the second copy of one that is duplicated: estimates."""

HEADERS = {4: 28, 6: 48}
"""Bytes of IP and UDP headers (RFC 791, RFC 8200, RFC 768)."""

TCP_MORE, SYN_OPTION = 12, 4
"""How much longer TCP's header is than UDP's, and the option (largest segment) of one with SYN (RFC 9293 §3.1)."""


@dataclass(frozen=True)
class Datagram:
    """One datagram, or one segment of TCP, recorded when its sender let it go. `local` is the module's address,
    `remote` the platform's. `lost`: it never arrived. `segment` tells what TCP's header says."""

    t_us: int
    direction: str  # "up" or "down"
    data: bytes
    lost: bool
    local: Address
    remote: Address
    segment: Segment | None = None

    @property
    def wire_bytes(self) -> int:
        """Its length with IP and UDP or TCP headers."""
        tcp = 0 if self.segment is None else TCP_MORE + SYN_OPTION * bool(self.segment.flags & 2)
        return len(self.data) + HEADERS[6 if ":" in self.local[0] else 4] + tcp


@dataclass(eq=False)
class _Binding:
    """One NAT binding: the external loopback endpoint that stands for (module address, remote). One that is `forgotten`
    lets nothing back in."""

    local: Address
    remote: Address
    used_us: int
    forgotten: bool = False
    transport: asyncio.DatagramTransport | None = None
    waiting: list[bytes] = field(default_factory=list)  # sent while the endpoint was being made


class Leg:
    """A module's UDP endpoint: what its socket sends and receives through."""

    def __init__(self, network: "Network", local: Address, on_datagram: Callable[[bytes, Address], None]) -> None:
        self.network, self.local, self.on_datagram = network, local, on_datagram

    def send(self, data: bytes, remote: Address) -> None:
        """Lets one datagram go; nobody says whether it arrives."""
        self.network.up(self.local, data, remote)

    def close(self) -> None:
        """From now on nothing is received; what is under way goes on. Twice is harmless."""
        if self.network.legs.get(self.local) is self:
            del self.network.legs[self.local]


class Network:
    """One carrier's network. The same seed gives the same latency and loss to the same sequence of datagrams.

    `loss` is the share of datagrams lost in each direction, `latency_ms` the least and the greatest delay of one,
    `nat_idle_s` how long a binding outlives its last datagram: carriers forget UDP within a minute or a few
    (none is published; the vendor SDK assumes 30 s, ctwing.md §2.7). What sends again afterwards gets another port
    outside; with `nat_keeps_port` the same one, as IPv6 always does: there a firewall forgets, and nothing is
    translated.
    """

    def __init__(
        self,
        loop: WorldLoop,
        events: Events,
        *,
        seed: int,
        loss: float = 0.0,
        latency_ms: tuple[int, int] = (35, 60),
        nat_idle_s: float = 60.0,
        nat_keeps_port: bool = False,
    ) -> None:
        self.loop, self.events = loop, events
        self.loss, self.latency_ms, self.nat_idle_s = loss, latency_ms, nat_idle_s
        self.nat_keeps_port = nat_keeps_port
        self.trace: list[Datagram] = []
        self.legs: dict[Address, Leg] = {}
        self.duplicated = 0.0  # share of datagrams that arrive twice
        self.held_up = 0.0  # share that is overtaken by what is sent after it
        self.blackout_until = 0.0  # world seconds until which nothing arrives
        self.names_fail = False  # the carrier's name servers do not answer
        self.ports = OPEN  # what a SYN meets: OPEN, REFUSED where nobody listens, MUTE where there is no host
        self.dropped = 0  # downlinks that found no binding, no module or a stranger's address
        self._latency = random.Random(f"{seed}/latency")
        self._loss = {way: random.Random(f"{seed}/loss/{way}") for way in ("up", "down")}
        self._disorder = random.Random(f"{seed}/disorder")
        self._served: dict[Address, Address] = {}
        self._streams: dict[Address, Address] = {}  # those behind which a server of streams stands
        self.flows = Flows(self)
        self._sequences = random.Random(f"{seed}/sequences")
        self._names: dict[str, list[str]] = {}
        self._bindings: dict[tuple[Address, Address], _Binding] = {}
        self._forgotten: deque[_Binding] = deque()
        self._makers: set[asyncio.Task] = set()

    # -- the platform's side -------------------------------------------------------------------------------------

    def serve(self, ip: str, port: int, real: Address, names: Iterable[str] = ()) -> None:
        """Routes the public address (ip, port) to the loopback socket `real`; `names` resolve to `ip`."""
        self._served[str(ipaddress.ip_address(ip)), port] = real
        for name in names:
            known = self._names.setdefault(name.lower(), [])
            if ip not in known:
                known.append(ip)

    def serve_stream(self, ip: str, port: int, real: Address) -> None:
        """Routes the public address (ip, port) of TCP to a server of the loop."""
        self._streams[str(ipaddress.ip_address(ip)), port] = real

    def listening(self, remote: Address) -> MemoryServer | None:
        """The server behind a public address, None where nobody listens."""
        real = self._streams.get(remote) if self.ports == OPEN else None
        return None if real is None else self.loop.servers.get(real[1])

    def serves(self, remote: Address) -> bool:
        """Whether there is a host at all: one that answers a SYN to a closed port with RST."""
        return self.ports != MUTE and remote[0] in {ip for ip, _ in (*self._served, *self._streams)}

    def name(self, name: str, addresses: Iterable[str]) -> None:
        """From now on `name` resolves to these."""
        self._names[name.lower()] = [str(ipaddress.ip_address(ip)) for ip in addresses]

    def resolve(self, name: str, family: int = 0) -> list[str]:
        """Addresses of `name` in `family` (2, 10, or 0 for any), literals as they are. Raises OSError(-2)."""
        try:
            found = [str(ipaddress.ip_address(name))]
        except ValueError:
            found = [] if self.names_fail else self._names.get(name.lower(), [])
        found = [ip for ip in found if family == 0 or (family == 10) == (":" in ip)]
        if not found:
            raise OSError(NO_SUCH_NAME)
        return found

    def forget_bindings(self) -> None:
        """The NAT is restarted: every binding is gone."""
        for binding in list(self._bindings.values()):
            self._forget(binding)
        self.flows.forget()

    async def close(self) -> None:
        """Closes every loopback endpoint and connection."""
        self.flows.close()
        for task in list(self._makers):
            await task
        while self._bindings:
            self._discard(self._bindings.popitem()[1])
        while self._forgotten:
            self._discard(self._forgotten.popleft())

    # -- the modules' side ---------------------------------------------------------------------------------------

    def open_udp(self, ip: str, port: int, on_datagram: Callable[[bytes, Address], None]) -> Leg:
        """A module's endpoint; `on_datagram(data, (ip, port))` is called for each datagram that arrives."""
        leg = Leg(self, (ip, port), on_datagram)
        self.legs[ip, port] = leg
        return leg

    def up(self, local: Address, data: bytes, remote: Address) -> None:
        """One datagram from a module."""
        lost = self._draw("up") or remote not in self._served
        self.trace.append(Datagram(self.loop.now_us, "up", data, lost, local, remote))
        delay = self._delay()
        binding = self._bind(local, remote)
        if lost:
            self.events.emit("network", "lost", "up", bytes=len(data))
        else:
            self._carry(delay, self._out, binding, data)

    def inject(self, data: bytes, sender: Address) -> int:
        """A datagram of a stranger to every endpoint of the modules, as if their NATs had let it in; to how many."""
        for leg in list(self.legs.values()):
            self.trace.append(Datagram(self.loop.now_us, "down", data, False, leg.local, sender))
            self.loop.call_later(self.latency_ms[0] / 1000, self._arrive, leg.local, sender, data)
        return len(self.legs)

    # -- for tools/world/flows.py ----------------------------------------------------------------------------------

    def draw(self, direction: str) -> bool:
        """Whether the next packet of this direction is lost."""
        return self._draw(direction)

    def draw_sequence(self) -> int:
        """A first sequence number."""
        return self._sequences.getrandbits(32)

    def record(self, direction: str, segment: Segment, lost: bool, local: Address, remote: Address) -> None:
        self.trace.append(Datagram(self.loop.now_us, direction, segment.data, lost, local, remote, segment))

    def carry(self, land: Callable[..., None], *args: Any) -> None:
        """Lands a segment after its delay."""
        self._carry(self._delay(), land, *args)

    # -- what was on the wire ------------------------------------------------------------------------------------

    def mark(self) -> int:
        """A place in the trace; `since(mark)` counts from there."""
        return len(self.trace)

    def since(self, mark: int = 0) -> dict[str, int]:
        """Datagrams and wire bytes (headers included), up and down, from `mark` on."""
        out = {"datagrams_up": 0, "datagrams_down": 0, "bytes_up": 0, "bytes_down": 0}
        for datagram in self.trace[mark:]:
            out["datagrams_" + datagram.direction] += 1
            out["bytes_" + datagram.direction] += datagram.wire_bytes
        return out

    def trace_sha256(self, content: Callable[[Datagram], bytes] = lambda datagram: datagram.data) -> str:
        """SHA-256 over (time in microseconds, direction, length, content) of everything sent, lost ones included."""
        digest = hashlib.sha256()
        for d in self.trace:
            digest.update(b"%d %s %d " % (d.t_us, d.direction.encode(), len(d.data)) + content(d))
            if d.segment is not None:
                digest.update(b"%d %d %d " % (d.segment.flags, d.segment.seq, d.segment.ack))
        return digest.hexdigest()

    # -- inside --------------------------------------------------------------------------------------------------

    def _draw(self, direction: str) -> bool:
        """Whether the next datagram of this direction is lost."""
        return (self._loss[direction].random() < self.loss) | (self.loop.time() < self.blackout_until)

    def _carry(self, delay: float, land: Callable[..., None], *args: Any) -> None:
        """Lands a datagram after its delay: later where it is held up, twice where it is duplicated."""
        if self.held_up and self._disorder.random() < self.held_up:
            delay += self._disorder.randint(*HOLD_UP_MS) / 1000
        self.loop.call_later(delay, land, *args)
        if self.duplicated and self._disorder.random() < self.duplicated:
            self.loop.call_later(delay + self._disorder.randint(*SECOND_MS) / 1000, land, *args)

    def _delay(self) -> float:
        """The next datagram's latency in seconds, of whole milliseconds."""
        return self._latency.randint(*self.latency_ms) / 1000

    def _bind(self, local: Address, remote: Address) -> _Binding:
        key = (local, remote)
        for each in list(self._bindings.values()):
            self._expire(each)
        binding = self._bindings.get(key)
        if binding is None:
            binding = self._bindings[key] = _Binding(local, remote, self.loop.now_us)
            maker = self.loop.create_task(self._make_endpoint(binding))
            self._makers.add(maker)
            maker.add_done_callback(self._makers.discard)
        elif binding.forgotten:
            self._forgotten.remove(binding)
            binding.forgotten = False
        binding.used_us = self.loop.now_us
        return binding

    async def _make_endpoint(self, binding: _Binding) -> None:
        transport, _ = await self.loop.create_datagram_endpoint(
            lambda: _External(self, binding), local_addr=("127.0.0.1", 0)
        )
        binding.transport = transport
        for data in binding.waiting:
            self._out(binding, data)
        binding.waiting.clear()

    def _expire(self, binding: _Binding) -> None:
        """Forgets it if nothing went through for too long."""
        if self.loop.now_us - binding.used_us > self.nat_idle_s * 1e6:
            self._forget(binding)

    def _forget(self, binding: _Binding) -> None:
        """The way back is closed, until the module sends again if it is to have the same port."""
        if binding.forgotten:
            return
        binding.forgotten = True
        self._forgotten.append(binding)
        if not (self.nat_keeps_port or ":" in binding.local[0]):
            del self._bindings[binding.local, binding.remote]
        if len(self._forgotten) > FORGOTTEN_KEPT:
            oldest = self._forgotten.popleft()
            if self._bindings.get((oldest.local, oldest.remote)) is oldest:
                del self._bindings[oldest.local, oldest.remote]
            self._discard(oldest)

    def _discard(self, binding: _Binding) -> None:
        if binding.transport is not None:
            binding.transport.close()

    def _out(self, binding: _Binding, data: bytes) -> None:
        """An uplink leaves the NAT."""
        if binding.transport is None:
            binding.waiting.append(data)
        else:
            binding.transport.sendto(data, self._served[binding.remote])

    def down(self, binding: _Binding, data: bytes, sender: Address) -> None:
        """A datagram of the platform reaches the NAT's outside."""
        self._expire(binding)
        reason = ""
        if sender != self._served.get(binding.remote):
            reason = "not the peer's address"
        elif binding.forgotten:
            reason = "NAT binding forgotten"
        lost = self._draw("down") or bool(reason)
        self.trace.append(Datagram(self.loop.now_us, "down", data, lost, binding.local, binding.remote))
        delay = self._delay()
        if reason:
            self.dropped += 1
            self.events.emit("network", "dropped", reason, bytes=len(data), raw=data)
        elif lost:
            self.events.emit("network", "lost", "down", bytes=len(data))
        else:
            binding.used_us = self.loop.now_us
            self._carry(delay, self._arrive, binding.local, binding.remote, data)

    def _arrive(self, local: Address, sender: Address, data: bytes) -> None:
        """A downlink arrives at the module's address."""
        leg = self.legs.get(local)
        if leg is None:
            self.dropped += 1
            self.events.emit("network", "dropped", "nobody listens", bytes=len(data), raw=data)
        else:
            leg.on_datagram(data, sender)


class _External(asyncio.DatagramProtocol):
    """A binding's endpoint on loopback, where the platform answers to."""

    def __init__(self, network: Network, binding: _Binding) -> None:
        self.network, self.binding = network, binding

    def datagram_received(self, data: bytes, addr: Address) -> None:
        self.network.down(self.binding, data, addr[:2])
