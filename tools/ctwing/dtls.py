"""The platform's DTLS front, on a port of its own (AEP: 5684): sessions with devices, PSK by identity (ctwing.md §2.7).

What comes out of a session goes into the LwM2M front like any datagram, under an address of four parts that says so;
what is sent there goes back through the session. Nothing here waits or repeats: a server answers. Whoever has not
proved his address with a cookie is not kept.
"""

import asyncio
import random
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tools.ctwing.dtls_engine import (
    ALERT,
    BAD_RECORD_MAC,
    CID_DATA,
    CIPHER_CHANGE,
    DATA,
    HANDSHAKE,
    Engine,
    Session,
    client_hello,
    in_words,
    plain_alert,
)
from tools.ctwing.exchange import SECURE, Address, is_secure
from tools.ctwing.faults import Faults
from tools.ctwing.lwm2m import Lwm2mFront
from tools.ctwing.store import Device, Store
from tools.world.events import Events

PEERS = 1000  # sessions at a time: the one unheard longest goes
HALF_OPEN = 64  # handshakes under way at a time: the oldest goes
HALF_OPEN_S = 60.0  # seconds that one may take: the longest wait of a client before it sends again (RFC 6347 §4.2.4.1)
COUNTED = (CIPHER_CHANGE, ALERT, HANDSHAKE)  # what a handshake's datagrams begin with

Source = tuple[str, int]


class Keys(Mapping[str, bytes]):
    """PSK by identity, of the devices whose product asks for DTLS. The identity is the IMEI. `asked` is the last one;
    who is refused is told."""

    def __init__(self, store: Store, faults: Faults, events: Events) -> None:
        self._store, self._faults, self._events = store, faults, events
        self.asked = ""

    def __getitem__(self, identity: str) -> bytes:
        self.asked = identity
        device = self._store.device_by("imei", identity)
        if device is None or not device.psk:
            why = "its product is plain: use port 5683, or a product with DTLS"
            if device is None:
                why = "no device has this IMEI: create it, check the identity"
            self._events.emit("aep", "dtls-refused", f"{identity[:40]!r}: {why}", identity=identity,
                              device=device.id if device else None)
            raise KeyError(identity)
        wrong = self._faults.take("wrong-psk", device.id)
        return bytes.fromhex(device.psk)[::-1] + b"?" if wrong else bytes.fromhex(device.psk)

    def __iter__(self) -> Iterator[str]:
        return (device.imei for device in self._store.devices() if device.psk)

    def __len__(self) -> int:
        return sum(1 for _ in self)


@dataclass(eq=False)
class Peer:
    """Who is at an address. `number` is that of the session, 0 while it shakes hands; `identity` the one it gave last,
    right or wrong; `hello` is what its handshake began with; `datagrams` and `size` (bytes) are of the handshake, both
    ways."""

    session: Session
    address: Source
    began: float
    number: int = 0
    identity: str = ""
    hello: bytes = b""
    datagrams: int = 0
    size: int = 0

    @property
    def name(self) -> Address:
        """As the LwM2M front knows it: another session is another endpoint (RFC 7252 §9.1)."""
        return (*self.address, SECURE, self.number)

    def count(self, datagrams: list[bytes]) -> None:
        told = [datagram for datagram in datagrams if datagram[0] in COUNTED]
        self.datagrams, self.size = self.datagrams + len(told), self.size + sum(map(len, told))


class DtlsFront(asyncio.DatagramProtocol):
    """In front of `inner`, which sends through `sendto`. Nothing that a peer sends raises.

    Who shakes hands anew where a session was heard gets a peer of his own, and the session ends when he is through (RFC
    6347 §4.2.8 asks for less: a cookie)."""

    def __init__(self, engine: Engine, keys: Keys, inner: Lwm2mFront, events: Events, store: Store) -> None:
        self.engine, self.keys, self.inner, self.events, self.store = engine, keys, inner, events, store
        self.loop, self.faults = inner.loop, inner.faults
        self._owned: OrderedDict[int, Peer] = OrderedDict()  # by id() of the session, the one unheard longest first
        self._peers: dict[Source, Peer] = {}  # by address: whose session was last heard there
        self._coming: OrderedDict[Source, Peer] = OrderedDict()  # by address: who shakes hands there, oldest first
        self._numbered: dict[int, Peer] = {}  # those with a session, by its number
        self._greeted: OrderedDict[Source, Peer] = OrderedDict()  # for what was counted before the cookie came back
        self._number = 0
        self.opened: dict[bytes, bytes] | None = None  # datagram -> what it carried, where somebody wants to know
        self._transport: asyncio.DatagramTransport | None = None
        inner.secure, inner.identity_at = self, self.identity

    # asyncio's side

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Address) -> None:
        source = (addr[0], addr[1])
        hello = client_hello(data)
        if not data or (hello and self.faults.take("silent-handshake", "")):
            return
        peer = self._peer(data, source, hello)
        if peer is None:
            self._unknown(data, source)
            return
        peer.count([data])
        self.keys.asked = ""
        out, plain = peer.session.receive(data)
        peer.count(out)
        peer.identity = self.keys.asked or peer.identity
        self._note([data], plain)
        if not self._lost(peer):
            self._send(out, source)
        peer.hello = hello or peer.hello
        self._settle(peer, source)
        for datagram in plain:
            if peer.number:
                self.inner.datagram_received(datagram, peer.name)

    def error_received(self, error: Exception) -> None:
        self.events.emit("aep", "dtls", f"ICMP: {error}")

    # the LwM2M front's side

    def knows(self, address: Address) -> bool:
        """Whether the session of this address lives."""
        return address[3] in self._numbered

    def sendto(self, data: bytes, address: Address) -> None:
        """Sends through the session of this address, if it lives, to wherever it was last heard."""
        peer = self._numbered.get(address[3])
        if peer is not None:
            out = peer.session.send(data)
            self._note(out, [data])
            self._send(out, peer.address)

    def identity(self, address: Address) -> str:
        """Who is at this address, "" where there is no session."""
        peer = self._numbered.get(address[3]) if is_secure(address) else None
        return peer.session.identity if peer is not None else ""

    # service

    def restart(self) -> None:
        """Forgets every session without a word."""
        for peer in [*self._owned.values(), *self._coming.values()]:
            self._drop(peer)

    def close(self) -> None:
        """Forgets every session and closes the endpoint."""
        self.restart()
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    def forget(self, device: Device, *, say: bool) -> None:
        """Ends the sessions of a device, with a word or without one."""
        known = [*self._owned.values(), *self._coming.values()]
        for peer in [one for one in known if one.identity == device.imei]:
            out = peer.session.close()
            if say:
                self._send(out, peer.address)
            self._drop(peer)

    # who it is

    def _peer(self, data: bytes, source: Source, hello: bytes) -> Peer | None:
        """Whose datagram it is, by connection id or by address."""
        owner = self.engine.owner(data)
        if owner is not None:
            return self._owned.get(id(owner))
        here, coming = self._peers.get(source), self._coming.get(source)
        if hello:
            late = here is not None and here.hello == hello  # what its session began with comes again
            return None if late else coming or self._new(source)
        return coming if coming is not None and (here is None or data[0] in COUNTED) else here

    def _new(self, source: Source) -> Peer:
        peer = Peer(self.engine.session(source), source, self.loop.time())
        greeted = self._greeted.pop(source, peer)
        peer.datagrams, peer.size = greeted.datagrams, greeted.size
        return peer

    def _unknown(self, data: bytes, source: Source) -> None:
        """A record of no session: nothing is said, as most servers do (RFC 6347 §4.1.2.7)."""
        if data[0] in (DATA, CID_DATA) and self.faults.take("alert-unknown-session", ""):
            self._send([plain_alert(BAD_RECORD_MAC)], source)

    # what becomes of it

    def _lost(self, peer: Peer) -> bool:
        """Whether what the server says from the keys on is lost."""
        device = None if peer.number else self._device(peer.identity)
        if device is None:
            return False
        if self.faults.take("silent-keys", device.id):
            peer.session.close()
            return True
        return bool(peer.session.established and self.faults.take("lost-finished", device.id))

    def _settle(self, peer: Peer, source: Source) -> None:
        """After a datagram: a handshake goes on or is over, a session has moved or ended."""
        session = peer.session
        if not session.begun or (peer.number and not session.established):
            if session.ended:
                what = "session" if peer.number else "handshake"
                self._tell(peer, f"the {what} has ended: {in_words(session.ended)}", reason=session.ended)
            self._drop(peer)
            self._greeted[source] = peer
            while len(self._greeted) > HALF_OPEN:
                self._greeted.popitem(last=False)
        elif peer.number:
            if session.fresh and source != peer.address:
                self._move(peer, source)
            self._place(peer)
        elif session.established:
            self._established(peer)
        elif self._coming.get(source) is not peer:
            self._make_room()
            self._coming[source] = peer

    def _make_room(self) -> None:
        """For another handshake; who has to go is told nothing."""
        late = [peer for peer in self._coming.values() if peer.began + HALF_OPEN_S <= self.loop.time()]
        for peer in late or [*self._coming.values()][: 1 - HALF_OPEN]:
            self._drop(peer)

    def _place(self, peer: Peer) -> None:
        """It is at its address; whose session was there before is found by a connection id, or not at all."""
        former = self._peers.get(peer.address, peer)
        if former is not peer and not former.session.connection_id:
            self._tell(former, "the session has ended: another is there now", reason="replaced")
            self._drop(former)
        self._owned[id(peer.session)] = self._peers[peer.address] = peer
        self._owned.move_to_end(id(peer.session))

    def _established(self, peer: Peer) -> None:
        session = peer.session
        self._coming.pop(peer.address, None)
        while len(self._owned) >= PEERS:
            self._drop(next(iter(self._owned.values())))
        self._place(peer)
        self._number += 1
        peer.number = self._number
        self._numbered[peer.number] = peer
        how = "resumed" if session.resumed else "new"
        cid = f", connection id of {len(session.connection_id)} bytes" if session.connection_id else ""
        self._tell(peer, f"{how} session, handshake of {peer.datagrams} datagrams, {peer.size} bytes, "
                   f"{session.suite}{cid}", how=how, suite=session.suite, datagrams=peer.datagrams, bytes=peer.size)
        peer.datagrams = peer.size = 0

    def _move(self, peer: Peer, source: Source) -> None:
        """RFC 9146 §6: an authenticated record that is newer than all before came from there."""
        if self._peers.get(peer.address) is peer:
            del self._peers[peer.address]
        peer.address = peer.session.address = source
        self._tell(peer, "the session goes on from there")

    def _drop(self, peer: Peer) -> None:
        """Without a word, also for the engine."""
        peer.session.close()
        self._owned.pop(id(peer.session), None)
        self._numbered.pop(peer.number, None)
        for places in (self._peers, self._coming):
            if places.get(peer.address) is peer:
                del places[peer.address]

    def _tell(self, peer: Peer, text: str, **data: object) -> None:
        device, who = self._device(peer.identity), peer.identity or "a peer"
        self.events.emit("aep", "dtls", f"{who} at {peer.address[0]}:{peer.address[1]}: {text}",
                         device=device.id if device else None, identity=peer.identity, **data)

    def _note(self, datagrams: list[bytes], plain: list[bytes]) -> None:
        if self.opened is not None and len(datagrams) == len(plain) == 1:
            self.opened[datagrams[0]] = plain[0]

    def _device(self, identity: str) -> Device | None:
        return self.store.device_by("imei", identity) if identity else None

    def _send(self, datagrams: list[bytes], address: Source) -> None:
        if self._transport is not None:
            for datagram in datagrams:
                self._transport.sendto(datagram, address)


def engine_named(name: str, keys: Keys, seed: int, connection_id: int) -> tuple[str, Engine]:
    """The engine of this name, and the name of the one it is: our own stands in where Mbed TLS is not installed."""
    if name == "mbedtls":
        try:
            from tools.ctwing import dtls_mbedtls
        except ImportError:  # python-mbedtls has no wheel for this Python
            pass
        else:
            return name, dtls_mbedtls.Engine(keys)
    from tools.ctwing import dtls_own

    return "own", dtls_own.Engine(keys, random.Random(f"{seed}/dtls"), dtls_own.Options(cid=connection_id))
