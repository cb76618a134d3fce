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
    right or wrong; `datagrams` and `size` (bytes) are of the handshake, both ways."""

    session: Session
    address: Source
    began: float
    number: int = 0
    identity: str = ""
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
    """In front of `inner`, which sends through `sendto`. Nothing that a peer sends raises."""

    def __init__(self, engine: Engine, keys: Keys, inner: Lwm2mFront, events: Events, store: Store) -> None:
        self.engine, self.keys, self.inner, self.events, self.store = engine, keys, inner, events, store
        self.loop, self.faults = inner.loop, inner.faults
        self._owned: OrderedDict[int, Peer] = OrderedDict()  # by id() of the session, the one unheard longest first
        self._peers: dict[Source, Peer] = {}  # by address: who was last heard there
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
        peer = self._peer(data, source) or (self._new(source) if hello else None)
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
        """Sends through the session of this address, to wherever it was last heard."""
        peer = self._numbered[address[3]]
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
        for peer in list(self._owned.values()):
            self._drop(peer)

    def close(self) -> None:
        """Forgets every session and closes the endpoint."""
        self.restart()
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    def forget(self, device: Device, *, say: bool) -> None:
        """Ends the sessions of a device, with a word or without one."""
        for peer in [one for one in self._owned.values() if one.identity == device.imei]:
            out = peer.session.close()
            if say:
                self._send(out, peer.address)
            self._drop(peer)

    # who it is

    def _peer(self, data: bytes, source: Source) -> Peer | None:
        """Whose datagram it is, by connection id or by address; whoever shakes hands where one with an id was heard is
        somebody new: that one may be elsewhere by now."""
        owner = self.engine.owner(data)
        if owner is not None:
            return self._owned.get(id(owner))
        peer = self._peers.get(source)
        return None if peer is not None and client_hello(data) and peer.session.connection_id and peer.number else peer

    def _new(self, source: Source) -> Peer:
        """Somebody new; makes room first."""
        under_way = [peer for peer in self._owned.values() if not peer.number]
        late = [peer for peer in under_way if peer.began + HALF_OPEN_S <= self.loop.time()]
        for peer in late or under_way[: 1 - HALF_OPEN]:
            self._drop(peer)
        while len(self._owned) >= PEERS:
            self._drop(next(iter(self._owned.values())))
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
        """After a datagram: a session has begun, moved or ended."""
        session, had = peer.session, peer.number
        if had and not session.established:
            self._ended(peer)
        if not session.begun:
            if session.ended and not had:
                self._tell(peer, f"the handshake has ended: {in_words(session.ended)}", reason=session.ended)
            self._drop(peer)
            self._greeted[source] = peer
            while len(self._greeted) > HALF_OPEN:
                self._greeted.popitem(last=False)
            return
        if peer.number and session.fresh and source != peer.address:
            self._move(peer, source)
        self._place(peer)
        if session.established and not peer.number:
            self._established(peer)

    def _place(self, peer: Peer) -> None:
        """It is at its address; whoever was there before is found by a connection id, or not at all."""
        former = self._peers.get(peer.address, peer)
        if former is not peer and not former.session.connection_id:
            self._drop(former)
        self._owned[id(peer.session)] = self._peers[peer.address] = peer
        self._owned.move_to_end(id(peer.session))

    def _established(self, peer: Peer) -> None:
        session = peer.session
        self._number += 1
        peer.number = self._number
        self._numbered[peer.number] = peer
        how = "resumed" if session.resumed else "new"
        cid = f", connection id of {len(session.connection_id)} bytes" if session.connection_id else ""
        self._tell(peer, f"{how} session, {session.suite}, handshake of {peer.datagrams} datagrams, {peer.size} "
                   f"bytes{cid}", how=how, suite=session.suite, datagrams=peer.datagrams, bytes=peer.size)
        peer.datagrams = peer.size = 0

    def _move(self, peer: Peer, source: Source) -> None:
        """RFC 9146 §6: an authenticated record that is newer than all before came from there."""
        if self._peers.get(peer.address) is peer:
            del self._peers[peer.address]
        peer.address = peer.session.address = source
        self._tell(peer, "the session goes on from there")

    def _ended(self, peer: Peer) -> None:
        """The session is over; the peer may have begun another handshake."""
        why = peer.session.ended or "a new handshake"
        self._tell(peer, f"the session has ended: {in_words(why)}", reason=why)
        del self._numbered[peer.number]
        peer.number, peer.began = 0, self.loop.time()

    def _drop(self, peer: Peer) -> None:
        """Without a word, also for the engine."""
        if self._owned.pop(id(peer.session), None) is not None:
            peer.session.close()
        self._numbered.pop(peer.number, None)
        if self._peers.get(peer.address) is peer:
            del self._peers[peer.address]

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
