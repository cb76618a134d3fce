"""What the platform's MQTT and TCP fronts have in common: who is logged in, what came up, which command goes next.

A device that is connected can be written to at any time, so commands go at once, one after another where the protocol
acknowledges them. Frames and packets are tcp.py's and mqtt.py's.
"""

import asyncio
import random
import socket
import ssl
import struct
from collections import deque
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from tools.ctwing import store as db
from tools.ctwing.commands import CommandLog
from tools.ctwing.exchange import Address
from tools.ctwing.faults import Faults
from tools.ctwing.session import Session
from tools.ctwing.store import Command, Device, Product, Store
from tools.ctwing.tls import Secured
from tools.world.events import Events

PAUSE = 0.05  # seconds between a login and the first command; an estimate
RAW_LIMIT = 4096  # bytes of what is no frame that are kept in the trace
MERGE_TIME, SPLIT_TIME = 0.2, 0.02  # seconds that frames wait for others, and between the bytes of one
NOISE = 64  # bytes
FOREIGN = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"
ACK_TIME = 30.0  # seconds a device has to acknowledge a command before it waits again; an estimate


@dataclass(eq=False)
class Link:
    """A device's connection from its login to its end. `busy` is the command that is not acknowledged yet; `lifetime`
    the seconds of silence after which the platform closes it, 0: any; `observed` the topics it subscribed to."""

    device: Device
    product: Product
    address: Address
    peer: str
    lifetime: int
    binding: str
    connection: "Connection"
    registration: int = 0
    busy: Command | None = None
    due: asyncio.TimerHandle | None = None
    expiry: asyncio.TimerHandle | None = None
    observed: dict[str, str] = field(default_factory=dict)
    power_mode: str = "DRX"
    stirred: bool = False  # a sign of life is being followed up


class Front(Protocol):
    """What the console needs of the front of any protocol."""

    def session(self, device: str, /) -> Session | Link | None: ...

    def wake(self, device: str, /, *, flush: bool) -> None: ...

    def end(self, device: str, reason: str, /) -> None: ...

    def close(self) -> None: ...


class BadFrame(ValueError):
    """Bytes that no device may send; nothing after them on this connection can be read."""


class Connection(asyncio.Protocol):
    """One connection: cuts the stream into frames, and writes them. `name` is how the trace calls its protocol."""

    def __init__(self, front: "StreamFront", name: str) -> None:
        self.front, self.name, self.buffer = front, name, bytearray()
        self.link: Link | None = None
        self.transport: Any = None
        self.timer: asyncio.TimerHandle | None = None
        self.address: Address = ()
        self.peer = ""
        self.who = ""  # the device that logs in, for the fault switches
        self.waiting: deque[bytes] = deque()  # what a fault switch holds back
        self.flow: asyncio.TimerHandle | None = None

    @property
    def device(self) -> str | None:
        return self.link.device.id if self.link is not None else None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.address = transport.get_extra_info("peername")[:2]
        self.peer = f"{self.address[0]}:{self.address[1]} by {self.name}"
        self.front.connected(self)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while self.buffer and not self.transport.is_closing():
            try:
                raw = self.front.cut(self.buffer)
            except BadFrame as error:
                self.front.malformed(self, bytes(self.buffer[:RAW_LIMIT]), str(error))
                return
            if raw is None:
                return
            del self.buffer[:len(raw)]
            row = self.front.traced("up", self, raw)
            if not self.front.deaf(self, row):
                self.front.received(self, raw, row)

    def pause_writing(self) -> None:
        self.front.malformed(self, b"", "the device does not read what it asks for")
        self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.front.lost(self, "closed by the device" if exc is None else f"connection lost: {exc}")

    def send(self, raw: bytes) -> None:
        hostile = self.front.faults.take("hostile-frames", self.who)
        if hostile is not None:
            raw = self.front.hostile(hostile)
        self.front.traced("down", self, raw)
        split, merged = (self.front.faults.take(name, self.who) for name in ("split-frames", "merge-frames"))
        if not (split or merged or self.waiting):
            self.transport.write(raw)
            return
        if merged and self.waiting and not split:
            self.waiting[-1] += raw
        else:
            self.waiting.extend([raw[at:at + 1] for at in range(len(raw))] if split else [raw])
        if self.flow is None:
            self.flow = self.front.loop.call_later(MERGE_TIME if merged else 0.0, self._on)

    def _on(self) -> None:
        self.transport.write(self.waiting.popleft())
        self.flow = self.front.loop.call_later(SPLIT_TIME, self._on) if self.waiting else None

    def close(self) -> None:
        for timer in (self.timer, self.flow):
            if timer is not None:
                timer.cancel()
        if self.waiting:
            self.transport.write(b"".join(self.waiting))
            self.waiting.clear()
        self.transport.close()

    def reset(self) -> None:
        """Ends it by RST; a socket of this computer would say FIN."""
        sock = self.transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()


class StreamFront:
    silence = "no heartbeat"  # what ends a device that says nothing
    endless = b"\x03\xff\xff"  # the beginning of the longest frame that the protocol can say

    def __init__(self, loop: asyncio.AbstractEventLoop, events: Events, store: Store, faults: Faults) -> None:
        self.loop, self.events, self.store, self.faults = loop, events, store, faults
        self.log = CommandLog(loop, events, store)
        self._links: dict[str, Link] = {}  # by device id
        self._connections: set[Connection] = set()
        self._servers: list[asyncio.AbstractServer] = []
        self._noise = random.Random(self.silence)

    # what each protocol does in its own way

    def cut(self, data: bytearray) -> bytes | None:
        """The first whole frame, None where more must come; raises BadFrame."""
        raise NotImplementedError

    def received(self, connection: Connection, raw: bytes, row: int) -> None:
        """A frame, which is this row of the trace."""
        raise NotImplementedError

    def deliver(self, link: Link, command: Command) -> bool:
        """Sends a command; whether the device will acknowledge it."""
        raise NotImplementedError

    # connections

    async def serve(self, name: str, host: str, port: int, tls: ssl.SSLContext | None = None) -> tuple[str, int]:
        """Opens the front; returns the address it listens on."""

        def accept() -> asyncio.BaseProtocol:
            connection = Connection(self, name)
            return connection if tls is None else Secured(self.loop, connection, tls, partial(self.insecure, name))

        server = await self.loop.create_server(accept, host, port)
        self._servers.append(server)
        address = server.sockets[0].getsockname()
        return address[0], address[1]

    def close(self) -> None:
        """Closes the front; its devices have been ended."""
        for server in self._servers:
            server.close()
        self._servers.clear()
        for connection in list(self._connections):
            connection.close()

    def insecure(self, name: str, address: Address, reason: str) -> None:
        """A TLS handshake failed."""
        reason = "TLS handshake: " + reason
        self._emit("malformed", f"{address[0]}:{address[1]} by {name} closed: {reason}", raw=b"", reason=reason,
                   device=None)

    def connected(self, connection: Connection) -> None:
        self._connections.add(connection)

    def hurries(self, connection: Connection, seconds: float) -> None:
        """A new connection has so long for its login."""
        connection.timer = self.loop.call_later(seconds, self.malformed, connection, b"", f"no login for {seconds} s")

    def lost(self, connection: Connection, reason: str) -> None:
        """The connection is no more."""
        self._connections.discard(connection)
        connection.close()
        self._over(connection, reason)

    def deaf(self, connection: Connection, row: int) -> bool:
        """Whether this frame is not read, on purpose."""
        struck = bool(self.faults.take("half-open", connection.who))
        if struck:
            self.store.note(row, "not read: half-open")
        return struck

    def hostile(self, kind: str) -> bytes:
        """What goes down instead of a frame."""
        return self._noise.randbytes(NOISE) if kind == "noise" else self.endless if kind == "long" else FOREIGN

    def malformed(self, connection: Connection, raw: bytes, reason: str) -> None:
        """Closes a connection that cannot go on, and says why."""
        if raw:
            self.store.note(self.traced("up", connection, raw), reason)
        self._emit("malformed", f"{connection.peer} closed: {reason}", raw=raw, reason=reason, device=connection.device)
        self._over(connection, reason)
        connection.close()

    def _over(self, connection: Connection, reason: str) -> None:
        if connection.device is not None and self.session(connection.device) is connection.link:
            self.end(connection.device, reason)

    # for the console

    def session(self, device: str) -> Link | None:
        """The living connection of a device."""
        return self._links.get(device)

    def wake(self, device: str, *, flush: bool) -> None:
        """A command was saved for a device on-line."""
        self._soon(self._links[device], 0.0)

    def end(self, device: str, reason: str) -> None:
        """The device is off-line from now on, and its connection closed."""
        link = self._links.pop(device, None)
        if link is None:
            return
        for timer in (link.due, link.expiry):
            if timer is not None:
                timer.cancel()
        self.store.end_registration(link.registration, self.loop.time(), reason)
        if link.busy is not None:
            self.log.take_back(link.busy.id, reason)
        self._emit("offline", f"{link.device.name} is off-line: {reason}", device=device, reason=reason)
        self.log.uncached(device, reason)
        link.connection.close()

    # for the protocols

    def _emit(self, kind: str, text: str, **data: object) -> None:
        self.events.emit("aep", kind, text, **data)

    def traced(self, direction: str, connection: Connection, raw: bytes) -> int:
        return self.store.add_trace(self.loop.time(), direction, connection.peer, raw, connection.device)

    def refused(self, connection: Connection, row: int, device: Device | None, code: int, why: str) -> None:
        """A login that is not accepted; the connection ends when it has been told."""
        self.store.note(row, why)
        if device is not None:
            self.store.adopt(row, connection.peer, device.id)
        self._emit("rejected", f"login result {code} to {connection.peer}: {why}", code=code,
                   device=device.id if device is not None else None)
        connection.close()

    def logged_in(self, link: Link, row: int) -> None:
        """The device is on-line; `row` is its login in the trace."""
        now, device = self.loop.time(), link.device
        link.registration = self.store.open_registration(device.id, now, link.peer, link.lifetime, link.binding, "")
        if device.life_cycle != db.ACTIVATED:
            self.store.set_life_cycle(device.id, db.ACTIVATED, now)
        self.store.adopt(row, link.peer, device.id)
        self._links[device.id] = link.connection.link = link
        if link.connection.timer is not None:
            link.connection.timer.cancel()
        self.expects(link)
        self._emit("login", f"{device.id} from {link.peer}, {link.binding}", device=device.id, address=link.address,
                   binding=link.binding, lifetime=link.lifetime)
        self._emit("online", f"{device.name} is on-line", device=device.id)
        if self.faults.take("close-after-login", device.id):
            self.end(device.id, "closed on purpose")
        else:
            self._soon(link)

    def alive(self, link: Link) -> None:
        """A heartbeat: the device's silence counts from now."""
        self.store.update_registration(link.registration, self.loop.time(), link.peer, link.lifetime, link.binding)
        self.expects(link)
        self._stirs(link)

    def expects(self, link: Link) -> None:
        if link.expiry is not None:
            link.expiry.cancel()
        if link.lifetime:
            reason = f"{self.silence} for {link.lifetime} s"
            link.expiry = self.loop.call_later(link.lifetime, self.end, link.device.id, reason)

    def dropped(self, link: Link, row: int, payload: bytes, why: str) -> None:
        """A report that does not fit the product; the platform does not keep it."""
        self.store.note(row, f"dropped: {why}")
        self._emit("discarded", why, device=link.device.id, payload=payload, reason=why)

    def withheld(self, link: Link) -> bool:
        """Whether a report is not taken, on purpose; with reset-report the connection ends with it."""
        reset = self.faults.take("reset-report", link.device.id)
        if reset:
            link.connection.reset()
        return bool(reset or self.faults.take("drop-report", link.device.id))

    def uplink(self, link: Link, payload: bytes, kind: str, found: dict[str, Any] | None = None, *, mid: int = 0,
               topic: str = "", service: int = 0) -> int:
        """Stores what came up, `found` in it by the product's services; returns its number."""
        device = link.device.id
        if found is not None and "taskId" in found:
            self.log.answered(device, found["taskId"], payload)
        number = self.store.add_uplink(device, self.loop.time(), payload, mid, b"", kind, topic, service)
        self._emit("uplink", f"{len(payload)} bytes, {kind}", device=device, uplink=number, payload=payload, mid=mid,
                   topic=topic, service=service, type=kind)
        self._stirs(link)
        return number

    def acknowledged(self, link: Link, status: str, result: str) -> None:
        """What the device says to the command under way; the next follows."""
        if link.busy is None:
            return
        command, link.busy = link.busy, None
        if link.due is not None:
            link.due.cancel()
        self.log.finish(command.id, status, result)
        if self.faults.take("repeat-commands", link.device.id):
            self.deliver(link, command)
        self._soon(link, 0.0)

    # commands

    def _soon(self, link: Link, pause: float = PAUSE) -> None:
        self.loop.call_later(pause, self._proceed, link)

    def _stirs(self, link: Link) -> None:
        """A sign of life: what waits may go, as after a login."""
        if not link.stirred:
            link.stirred = True
            self.loop.call_later(PAUSE, self._again, link)

    def _again(self, link: Link) -> None:
        link.stirred = False
        self._proceed(link)

    def _proceed(self, link: Link) -> None:
        device = link.device.id
        while link.busy is None and self._links.get(device) is link:
            waiting = self.store.commands(device, db.SAVED)
            if not waiting:
                return
            if self.faults.take("half-open", device):
                return
            command = waiting[0]
            self.log.sent(command, f"{len(command.content)} bytes, {link.binding}", task=command.task)
            if self.deliver(link, command):
                link.busy = command
                link.due = self.loop.call_later(ACK_TIME, self._overdue, link)
            else:
                self.log.finish(command.id, db.DELIVERED, "sent")

    def _overdue(self, link: Link) -> None:
        """It is not sent again before the device's next sign of life: it may have it."""
        if link.busy is not None:
            command, link.busy = link.busy, None
            self.log.take_back(command.id, "no answer")
