"""The platform's DTLS front, on a port of its own (AEP: 5684): sessions with devices, PSK by identity (ctwing.md §2.7).

What comes out of a session goes into the LwM2M front like any datagram, under an address of four parts that says so;
what is sent there goes back through the session.
"""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tools.ctwing.dtls_engine import Engine, Session
from tools.ctwing.exchange import SECURE, Address, is_secure
from tools.ctwing.faults import Faults
from tools.ctwing.lwm2m import Lwm2mFront
from tools.ctwing.store import Device, Store
from tools.world.events import Events

PEERS = 1000  # sessions at a time, and handshakes under way: the oldest goes
ENGINES = ("mbedtls", "own")


class Keys(Mapping[str, bytes]):
    """PSK by identity, of the devices whose product asks for DTLS. The identity is the IMEI."""

    def __init__(self, store: Store, faults: Faults) -> None:
        self._store, self._faults = store, faults

    def __getitem__(self, identity: str) -> bytes:
        device = self._store.device_by("imei", identity)
        if device is None or not device.psk:
            raise KeyError(identity)
        wrong = self._faults.take("wrong-psk", device.id)
        return bytes.fromhex(device.psk)[::-1] + b"?" if wrong else bytes.fromhex(device.psk)

    def __iter__(self) -> Iterator[str]:
        return (device.imei for device in self._store.devices() if device.psk)

    def __len__(self) -> int:
        return sum(1 for _ in self)


@dataclass(eq=False)
class Peer:
    """A session, and where it was last heard. `told`: its handshake has been reported."""

    session: Session
    number: int
    address: tuple[str, int]
    told: bool = False
    datagrams: int = 0
    bytes: int = 0

    @property
    def name(self) -> Address:
        """As the LwM2M front knows it."""
        return (*self.address, SECURE, self.number)


class DtlsFront(asyncio.DatagramProtocol):
    """In front of `inner`, which sends through `sendto`. Nothing that a peer sends raises."""

    def __init__(self, engine: Engine, inner: Lwm2mFront, events: Events, store: Store) -> None:
        self.engine, self.inner, self.events, self.store, self.faults = engine, inner, events, store, inner.faults
        self._peers: dict[tuple[str, int], Peer] = {}  # by address, oldest first
        self._owned: dict[int, Peer] = {}  # by session
        self._greeted: dict[tuple[str, int], tuple[int, int]] = {}  # datagrams and bytes before there was a peer
        self._number = 0
        self.opened: dict[bytes, bytes] | None = None  # datagram -> what it carried, where somebody wants to know
        self._transport: asyncio.DatagramTransport | None = None
        inner.secure, inner.identity_at = self, self.identity

    # asyncio's side

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Address) -> None:
        source = (addr[0], addr[1])
        owner = self.engine.owner(data)
        peer = self._owned.get(id(owner)) if owner is not None else self._peers.get(source)
        if peer is None:
            peer = Peer(self.engine.session(source), 0, source)
        if self._ignored(peer):
            return
        before = peer.session.identity
        out, plain = peer.session.receive(data)
        peer.datagrams += 1 + len(out)
        peer.bytes += len(data) + sum(map(len, out))
        if peer.told or not self._lost(peer, self._device(peer.session.identity)):
            self._send(out, source)
        self._keep(peer, source)
        self._tell(peer, before)
        self._note([data], plain)
        for datagram in plain:
            self.inner.datagram_received(datagram, peer.name)

    def error_received(self, error: Exception) -> None:
        self.events.emit("aep", "dtls", f"ICMP: {error}")

    # the LwM2M front's side

    def sendto(self, data: bytes, address: Address) -> None:
        """Sends through the session of this address, if it lives."""
        peer = self._peers.get((address[0], address[1]))
        if peer is not None and peer.number == address[3]:
            out = peer.session.send(data)
            self._note(out, [data])
            self._send(out, peer.address)

    def identity(self, address: Address) -> str:
        """Who is at this address, "" where there is no session."""
        peer = self._peers.get((address[0], address[1])) if is_secure(address) else None
        return peer.session.identity if peer is not None and peer.number == address[3] else ""

    # service

    def restart(self) -> None:
        """Forgets every session without a word."""
        for peer in list(self._peers.values()):
            peer.session.close()
            self._drop(peer)

    def close(self) -> None:
        """Forgets every session and closes the endpoint."""
        self.restart()
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    def forget(self, device: Device, *, say: bool) -> None:
        """Ends the sessions of a device, with a word or without one."""
        for peer in [one for one in self._peers.values() if one.session.identity == device.imei]:
            out = peer.session.close()
            if say:
                self._send(out, peer.address)
            self._drop(peer)

    # inside

    def _ignored(self, peer: Peer) -> bool:
        return not peer.told and self.faults.take("silent-handshake", "") is not None

    def _lost(self, peer: Peer, device: Device | None) -> bool:
        """Whether what the server says from the keys on is lost."""
        if device is None:
            return False
        if self.faults.take("silent-keys", device.id):
            peer.session.close()
            return True
        return bool(peer.session.established and self.faults.take("lost-finished", device.id))

    def _keep(self, peer: Peer, source: tuple[str, int]) -> None:
        session = peer.session
        if not session.begun:
            self._greet(source, peer)
            self._drop(peer)
        elif not peer.number:
            self._number += 1
            peer.number = self._number
            self._greet(source, peer)
            del self._greeted[source]
            self._peers[source] = self._owned[id(session)] = peer
            while len(self._peers) > PEERS:
                self._drop(next(iter(self._peers.values())))
        elif source != peer.address and session.fresh:
            del self._peers[peer.address]
            self.events.emit("aep", "dtls", f"{session.identity} goes on from {source[0]}:{source[1]}")
            peer.address = source
            self._peers[source] = peer

    def _greet(self, source: tuple[str, int], peer: Peer) -> None:
        """Counts what was said before the cookie came back, when nothing else is kept of a peer."""
        datagrams, size = self._greeted.pop(source, (0, 0))
        peer.datagrams, peer.bytes = peer.datagrams + datagrams, peer.bytes + size
        self._greeted[source] = peer.datagrams, peer.bytes
        if len(self._greeted) > PEERS:
            del self._greeted[next(iter(self._greeted))]

    def _drop(self, peer: Peer) -> None:
        if self._owned.pop(id(peer.session), None) is not None:
            self._peers.pop(peer.address, None)

    def _tell(self, peer: Peer, before: str) -> None:
        session = peer.session
        if peer.told and session.begun and not session.established:  # it begins anew
            self._number += 1
            peer.told, peer.number, peer.datagrams, peer.bytes = False, self._number, 0, 0
        where = f"{peer.address[0]}:{peer.address[1]}"
        device = self._device(session.identity or before)
        if session.established and not peer.told:
            peer.told = True
            how = "resumed" if session.resumed else "new"
            cid = f", connection id of {len(session.connection_id)} bytes" if session.connection_id else ""
            self.events.emit(
                "aep", "dtls", f"{session.identity} from {where}: {how} session, handshake of {peer.datagrams} "
                f"datagrams, {peer.bytes} bytes{cid}", device=device.id if device else None,
                identity=session.identity, how=how, datagrams=peer.datagrams, bytes=peer.bytes,
            )
        elif peer.number and not session.begun:
            self.events.emit("aep", "dtls", f"{before or 'a peer'} at {where}: the session has ended",
                             device=device.id if device else None)

    def _note(self, datagrams: list[bytes], plain: list[bytes]) -> None:
        if self.opened is not None and len(datagrams) == len(plain) == 1:
            self.opened[datagrams[0]] = plain[0]

    def _device(self, identity: str) -> Device | None:
        return self.store.device_by("imei", identity) if identity else None

    def _send(self, datagrams: list[bytes], address: tuple[str, int]) -> None:
        if self._transport is not None:
            for datagram in datagrams:
                self._transport.sendto(datagram, address)


def engine_named(name: str, keys: Keys, seed: int, connection_id: int) -> Engine:
    """The engine of this name; our own where Mbed TLS is not installed, or a connection id is wanted."""
    if name == "mbedtls" and not connection_id:
        try:
            from tools.ctwing import dtls_mbedtls
        except ImportError:  # python-mbedtls has no wheel for this Python
            pass
        else:
            return dtls_mbedtls.Engine(keys)
    import random

    from tools.ctwing import dtls_own

    return dtls_own.Engine(keys, random.Random(f"{seed}/dtls"), dtls_own.Options(cid=connection_id))
