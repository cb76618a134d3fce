"""The platform's DTLS front: port 5684, before the same message layer as plain CoAP (ctwing.md §2.7).

It knows peers and their sessions; what a session is made of is an engine's (dtls_engines.py). Nothing here waits or
repeats: a server answers. Whoever has not proved his address with a cookie is not kept.
"""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tools.ctwing import dtls_engines as e
from tools.ctwing.checks import key_of
from tools.ctwing.lwm2m import Lwm2mFront
from tools.ctwing.session import Secured

HALF_OPEN = 64  # handshakes at a time; the oldest goes first
HALF_OPEN_S = 60.0  # seconds that one may take: the longest wait of a client before it sends again (RFC 6347 §4.2.4.1)
SESSIONS = 1024  # of which the one unheard longest goes first; Mbed TLS takes about 100 KiB for each
RECORDS_TOLD = (e.CIPHER_CHANGE, e.ALERT, e.HANDSHAKE)  # what a datagram of a handshake begins with


class Wire(NamedTuple):
    """Where a datagram came from or goes to."""

    host: str
    port: int


@dataclass
class Traffic:
    """A handshake in both directions: datagrams, and bytes of UDP payload."""

    datagrams: int = 0
    size: int = 0

    def add(self, datagrams: Iterable[bytes]) -> None:
        for datagram in datagrams:
            if datagram[0] in RECORDS_TOLD:
                self.datagrams += 1
                self.size += len(datagram)


@dataclass(eq=False)
class Link:
    """One peer that is kept. `address`: as whom the message layer knows it, None while the handshake is under way;
    `identity`: the one it named last, right or wrong."""

    peer: e.Peer
    wire: Wire
    began: float
    traffic: Traffic = field(default_factory=Traffic)
    address: Secured | None = None
    identity: str = ""


class Keys(Mapping[str, bytes]):
    """PSKs by identity (the IMEI), looked up when a device shakes hands. Nobody lists them. `asked`: the last one."""

    def __init__(self, front: Lwm2mFront) -> None:
        self._front, self.asked = front, ""

    def __getitem__(self, identity: str) -> bytes:
        self.asked = identity
        device = self._front.store.device_by("imei", identity)
        product = self._front.store.product(device.product) if device is not None else None
        why = "" if product is not None else "no device has this IMEI: create it, check the PSK identity"
        if product is not None and product.encryption != "dtls":
            why = f"its product {product.id} is plain: use port 5683, or a product with DTLS"
        if why or device is None:
            self._front.events.emit("aep", "dtls-refused", f"identity {identity[:40]!r}: {why}", identity=identity)
            raise KeyError(identity)
        key = key_of(device.psk)
        if self._front.faults.take("wrong-psk", device.id):
            return bytes(byte ^ 1 for byte in key)
        return key

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


class DtlsFront(asyncio.DatagramProtocol):
    """Before `front`. `opened`, where a dict is put there, notes what every datagram of a session said."""

    def __init__(self, front: Lwm2mFront) -> None:
        self.front, self.loop, self.faults = front, front.loop, front.faults
        self.counters: Counter[str] = Counter()
        self.opened: dict[bytes, list[bytes]] | None = None
        self._keys = Keys(front)
        self._engine: e.Engine | None = None
        self._transport: asyncio.DatagramTransport | None = None
        self._numbers = 0  # of the last session
        self._links: OrderedDict[Wire, Link] = OrderedDict()  # the one unheard longest first
        self._owners: dict[e.Peer, Link] = {}
        self._sessions: dict[int, Link] = {}
        self._hellos: OrderedDict[Wire, Traffic] = OrderedDict()  # of peers that are not kept yet

    def use(self, engine: str | None) -> str:
        """Chooses the engine by name, or (None) the best there is; returns its name."""
        name, self._engine = e.made(engine, self._keys, self.front.draws.dtls())
        return name

    def _emit(self, kind: str, text: str, link: Link, **data: object) -> None:
        data = {"identity": link.identity, "device": self._device(link.identity), **data}
        self.front.events.emit("aep", kind, text, **data)

    def _device(self, identity: str) -> str:
        device = self.front.store.device_by("imei", identity)
        return device.id if device is not None else ""

    # for the message layer

    def knows(self, address: Secured) -> bool:
        """Whether this session lives: only then can anything be sent to that address."""
        return address.session in self._sessions

    def sendto(self, raw: bytes, address: Secured) -> None:
        """Seals a message for the session; it goes to wherever that was last heard."""
        link = self._sessions[address.session]
        for datagram in link.peer.send(raw):
            if self.opened is not None:
                self.opened[datagram] = [raw]
            self._send(datagram, link.wire)

    # what a user may do

    def forget(self, device: str | None) -> None:
        """Forgets the sessions and handshakes of a device, or (None) all, without a word."""
        for link in self._of(device):
            self._drop(link)

    def say_goodbye(self, device: str | None) -> None:
        """Ends the same with close_notify."""
        for link in self._of(device):
            for datagram in link.peer.close():
                self._send(datagram, link.wire)
            self._ended(link)

    def _of(self, device: str | None) -> list[Link]:
        return [link for link in self._owners.values() if device in (None, self._device(link.identity))]

    # the endpoint

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def error_received(self, error: Exception) -> None:
        self.counters["icmp"] += 1

    def close(self) -> None:
        self.forget(None)
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    def _send(self, datagram: bytes, wire: Wire) -> None:
        if self._transport is not None:
            self.counters["sent"] += 1
            self._transport.sendto(datagram, wire)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        wire = Wire(*addr[:2])
        self.counters["received"] += 1
        if not data or e.client_hello(data) and self.faults.take("silent-handshake", ""):
            return
        link = self._link(data, wire)
        if link is None:
            self.counters["strays"] += 1
            self._stray(data, wire)
            return
        link.traffic.add([data])
        self._keys.asked = ""
        out, plain = link.peer.receive(data)
        link.traffic.add(out)
        link.identity = self._keys.asked or link.identity
        if link.address is not None and link.peer.fresh and wire != link.wire:
            self._move(link, wire)
        out = self._settled(link, out)
        for datagram in out:
            self._send(datagram, wire if link.peer.begun else link.wire)
        if self.opened is not None and plain:
            self.opened[data] = plain
        for raw in plain:
            if link.address is not None:
                self.front.datagram_received(raw, link.address)

    def _link(self, data: bytes, wire: Wire) -> Link | None:
        """Whose datagram it is: the session of its connection id, the peer of this address, or a new one's."""
        if self._engine is None:
            return None
        owner = self._engine.owner(data)
        link = self._owners[owner] if owner in self._owners else self._links.get(wire)
        if link is None and e.client_hello(data):
            self._make_room()
            link = Link(self._engine.session(wire), wire, self.loop.time(), self._hellos.pop(wire, Traffic()))
        return link

    def _stray(self, data: bytes, wire: Wire) -> None:
        """A record of a session that is not known: nothing is said (RFC 6347 §4.1.2.7), but where a switch wants it."""
        if data[0] in (e.DATA, e.CID_DATA) and self.faults.take("alert-unknown-session", ""):
            self._send(e.plain_alert(e.BAD_RECORD_MAC), wire)

    def _make_room(self) -> None:
        """Bounds for handshakes and sessions; dropped without a word."""
        under_way = [link for link in self._owners.values() if link.address is None]
        late = [link for link in under_way if link.began + HALF_OPEN_S <= self.loop.time()]
        for link in late or under_way[:-HALF_OPEN + 1]:
            self._drop(link)
        while len(self._owners) >= SESSIONS:
            self._drop(next(iter(self._links.values())))

    # what becomes of a peer

    def _settled(self, link: Link, out: list[bytes]) -> list[bytes]:
        """Notes what a datagram has changed; returns what of the answer really goes out."""
        peer = link.peer
        if link.address is not None and not peer.established:
            self._ended(link, keep=peer.begun)
        if not peer.begun:
            if peer.ended and link.address is None:
                self._ended(link)
            self._drop(link)
            self._hellos[link.wire] = link.traffic
            while len(self._hellos) > HALF_OPEN:
                self._hellos.popitem(last=False)
            return out
        self._links[link.wire] = self._owners[peer] = link
        self._links.move_to_end(link.wire)
        if peer.established and link.address is None:
            self._shaken(link)
        if any(e.CIPHER_CHANGE in e.kinds(datagram) for datagram in out):
            return [] if self.faults.take("lost-finished", self._device(link.identity)) else out
        return out

    def _shaken(self, link: Link) -> None:
        peer, traffic = link.peer, link.traffic
        self._numbers += 1
        link.address = Secured(*link.wire, peer.identity, self._numbers)
        self._sessions[self._numbers] = link
        text = f"DTLS with {peer.identity}: {peer.suite}, {traffic.datagrams} datagrams, {traffic.size} bytes"
        self._emit("dtls-handshake", text, link, suite=peer.suite, datagrams=traffic.datagrams, bytes=traffic.size,
                   address=link.address)
        link.traffic = Traffic()

    def _move(self, link: Link, wire: Wire) -> None:
        """RFC 9146 §6: an authenticated record that is newer than all before came from there."""
        assert link.address is not None
        former = self._links.get(wire)
        if former is not None:
            self._drop(former)
        if self._links.get(link.wire) is link:
            del self._links[link.wire]
        link.wire = link.peer.address = wire
        link.address = link.address._replace(host=wire.host, port=wire.port)

    def _ended(self, link: Link, *, keep: bool = False) -> None:
        """The session or the handshake is over, and why is known. `keep`: the peer shakes hands anew already."""
        why = link.peer.ended or "a new handshake"
        self._emit("dtls-alert" if "alert" in why else "dtls-closed",
                   f"DTLS with {link.wire.host}:{link.wire.port} is over: {_named(why)}", link, reason=why)
        if keep and link.address is not None:
            del self._sessions[link.address.session]
            link.address, link.began = None, self.loop.time()
        elif not keep:
            self._drop(link)

    def _drop(self, link: Link) -> None:
        if self._links.get(link.wire) is link:
            del self._links[link.wire]
        self._owners.pop(link.peer, None)
        if link.address is not None:
            self._sessions.pop(link.address.session, None)
            link.address = None


def _named(why: str) -> str:
    """"alert 20 sent" with the alert's name."""
    number = next((int(word) for word in why.split() if word.isdigit()), None)
    return f"{why}: {e.ALERTS[number]}" if number in e.ALERTS else why
