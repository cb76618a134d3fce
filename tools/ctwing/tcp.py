"""The platform's TCP front: login, reports, commands, heartbeats, and who is kept out (ctwing.md §4, guide §4.3.3).

Unknown of AEP, and decided here: a connection is closed after a refused login and after bytes that are no frame; the
frames of version 2.0 are those of 1.1 where the product has a thing model, otherwise those of 1.0; a device that is
logged in keeps its connection, the newcomer gets result 4; before its login a connection has one heartbeat's time too.
"""

import asyncio
from collections import deque

from tools.ctwing import store as db
from tools.ctwing import tcp_frames as f
from tools.ctwing import things
from tools.ctwing.faults import Faults
from tools.ctwing.store import Command, Store
from tools.ctwing.streams import Connection, Link, StreamFront
from tools.things.model import ModelError
from tools.world.events import Events

HEARTBEAT_TIME = 300  # seconds, guide §4.3.3
CONNECTS, CONNECTS_TIME, BAN_TIME = 30, 60.0, 7200.0  # so many from one address in so many seconds, ctwing.md §4.2
MESSAGE_ERROR = b"\0\1"  # result of an uplink that is none of the product's, ctwing.md §4.1
VERSIONS = {b"1.0": "TCP 1.0", b"1.1": "TCP 1.1", b"2.0": "TCP 2.0"}


class Gate:
    """Who may connect: an address that does so too often is kept out for two hours."""

    def __init__(self) -> None:
        self._connects: dict[str, deque[float]] = {}
        self._banned: dict[str, tuple[float, float]] = {}  # until when, and for how many seconds in all

    def connects(self, host: str, now: float) -> str:
        """Counts a connection; why it is not let in, "" where it is."""
        self._connects = {one: times for one, times in self._connects.items() if times[-1] > now - CONNECTS_TIME}
        self._banned = {one: ban for one, ban in self._banned.items() if ban[0] > now}
        if host in self._banned:
            return f"banned for {self._banned[host][0] - now:.0f} s more"
        times = self._connects.setdefault(host, deque(maxlen=CONNECTS + 1))
        times.append(now)
        if len(times) > CONNECTS and times[0] > now - CONNECTS_TIME:
            self.ban(host, now, BAN_TIME)
            return f"banned for {BAN_TIME:.0f} s: over {CONNECTS} connections in {CONNECTS_TIME:.0f} s"
        return ""

    def ban(self, host: str, now: float, seconds: float) -> None:
        self._banned[host] = now + seconds, seconds

    def bans(self, now: float) -> dict[str, float]:
        """Who is kept out, for how many seconds in all."""
        return {host: seconds for host, (until, seconds) in self._banned.items() if until > now}

    def lift(self, host: str) -> None:
        """Lets it in again, and counts its connections anew."""
        for known in (self._banned, self._connects):
            known.pop(host, None)


class TcpFront(StreamFront):
    """`any_frame`: any frame counts as a heartbeat, not only 04 (which of them AEP counts is unknown)."""

    def __init__(self, loop: asyncio.AbstractEventLoop, events: Events, store: Store, faults: Faults, *,
                 any_frame: bool = False) -> None:
        super().__init__(loop, events, store, faults)
        self.any_frame = any_frame
        self.gate = Gate()

    def connected(self, connection: Connection) -> None:
        super().connected(connection)
        why = self.gate.connects(connection.address[0], self.loop.time())
        if why:
            self._emit("rejected", f"{connection.peer}: {why}", code="banned")
            connection.transport.abort()
            return
        self.hurries(connection, HEARTBEAT_TIME)

    def cut(self, data: bytearray) -> bytes | None:
        return f.next_frame(data)

    # what comes

    def received(self, connection: Connection, raw: bytes, row: int) -> None:
        link = connection.link
        if link is None:
            if raw[0] == f.LOGIN:
                self._login(connection, raw, row)
            else:
                self._wrong(connection, row, f"a {f.NAMES[raw[0]]} before the login")
            return
        if raw[0] == f.HEARTBEAT and not self.faults.take("silent-beat", link.device.id):
            connection.send(bytes([f.BEAT]))
        if raw[0] == f.HEARTBEAT or self.any_frame:
            self.alive(link)
        if raw[0] == f.UPLINK:
            self._uplink(link, raw[3:], row)
        elif raw[0] == f.DOWNLINK_ACK:
            self._downlink_acked(link, raw[3:], row)
        elif raw[0] == f.LOGIN:
            self._wrong(connection, row, "a login on a connection that is logged in")

    def _wrong(self, connection: Connection, row: int, reason: str) -> None:
        self.store.note(row, reason)
        self.malformed(connection, b"", reason)

    def _login(self, connection: Connection, raw: bytes, row: int) -> None:
        strings = f.login_strings(raw)
        name, password, version = (one.decode(errors="replace") for one in strings[:3])
        device = self.store.device(name)
        connection.who = device.id if device is not None else ""
        result, why = self._judged(name, password, strings[2])
        connection.send(f.result_frame(f.LOGIN_RESULT, result))
        if result or device is None:
            self.refused(connection, row, device, result, why)
            return
        self.end(device.id, "another connection of the device took over")
        product = self.store.product(device.product)
        assert product is not None
        self.logged_in(Link(device, product, connection.address, connection.peer, HEARTBEAT_TIME, f"TCP {version}",
                            connection), row)

    def _judged(self, name: str, password: str, version: bytes) -> tuple[int, str]:
        """The result of a login, and why it is not OK (guide §4.3.3)."""
        device = self.store.device(name)
        product = self.store.product(device.product) if device is not None else None
        if device is None or product is None or product.protocol != "tcp" or device.life_cycle == db.CANCELLED:
            return f.NOT_REGISTERED, f"no TCP product has a device {name[:80]!r}"
        if password != device.token:
            return f.NOT_AUTHENTIC, f"the password of {name} is not its token (特征串)"
        refused = self.faults.take("refuse-login", name)
        if refused:
            return refused, "the switch refuse-login is on"
        if version not in VERSIONS:
            return f.UNKNOWN_ERROR, f"version {version[:20]!r} is none of 1.0, 1.1, 2.0"
        if version != f.STANDARD and (version == b"1.0") != product.transparent:
            return f.UNKNOWN_ERROR, "version 1.0 is for transparent products, 1.1 for those with a thing model"
        if name in self._links and not self.faults.take("take-over", name):
            return f.ALREADY, f"{name} is logged in from {self._links[name].peer}"
        return f.OK, ""

    def ban(self, device: str, seconds: float) -> None:
        """Keeps out the address from which a device connected last, and closes its connection."""
        host = self._host(device)
        if host:
            self.gate.ban(host, self.loop.time(), seconds)
            self.end(device, "its address is banned")

    def bans(self) -> dict[str | None, float]:
        """Which devices are kept out, as far as their address is known, for how many seconds in all; None: anybody."""
        hosts = self.gate.bans(self.loop.time())
        known = [(device.id, self._host(device.id)) for device in self.store.devices()] if hosts else []
        found: dict[str | None, float] = {device: hosts[host] for device, host in known if host in hosts}
        return {None: max(hosts.values()), **found} if hosts else {}

    def lift(self, device: str | None) -> bool:
        """Ends the ban of a device's address, or all; whether there was one."""
        hosts = list(self.gate.bans(self.loop.time()))
        if device is not None:
            hosts = [host for host in hosts if host == self._host(device)]
        for host in hosts:
            self.gate.lift(host)
            self._emit("switch", f"ban is off: {host} may connect again", switch="ban", what="off", device=device)
        return bool(hosts)

    def _host(self, device: str) -> str:
        """The address from which a TCP device connected last, "" where it never did."""
        before = self.store.registrations(device)
        return before[-1].peer.rpartition(":")[0] if before and before[-1].binding.startswith("TCP") else ""

    def _uplink(self, link: Link, body: bytes, row: int) -> None:
        if self.withheld(link):
            return
        if link.product.transparent:
            self.uplink(link, body, link.binding)
            return
        if len(body) < 4:
            self._wrong(link.connection, row, "an uplink without message id and service id")
            return
        message, service = int.from_bytes(body[:2], "big"), int.from_bytes(body[2:4], "big")
        try:
            found = things.read(link.product, service, body[4:])
        except ModelError as error:
            self.dropped(link, row, body[4:], str(error))
            link.connection.send(f.frame(f.UPLINK_ACK, body[:2] + MESSAGE_ERROR))
            return
        number = self.uplink(link, body[4:], link.binding, found, mid=message, service=service)
        if not self.faults.take("drop-ack", link.device.id):
            link.connection.send(f.frame(f.UPLINK_ACK, body[:2] + b"\0\0"))
            self.store.acknowledge(number, self.loop.time())

    # commands

    def deliver(self, link: Link, command: Command) -> bool:
        head = b"" if link.product.transparent else (command.task << 16 | command.service).to_bytes(4, "big")
        link.connection.send(f.frame(f.DOWNLINK, head + command.content))
        return not link.product.transparent

    def _waits_again(self, link: Link, task: int, result: int, answer: bytes) -> bool:
        """Whether it is of a command that was sent over a connection that ended, and now need not be sent again."""
        found = next((one for one in self.store.commands(link.device.id, db.SAVED) if one.task == task and one.sent_at),
                     None)
        if found is None:
            return False
        if answer:
            self.log.answered(link.device.id, task, answer)
        self.log.finish(found.id, db.DELIVERED if result in (0, 1) else db.FAILED, str(result))
        return True

    def _downlink_acked(self, link: Link, body: bytes, row: int) -> None:
        """83: task, result, and with result 1 the service and parameters of an answer."""
        if link.product.transparent or len(body) < 4:
            why = "version 1.0 has none" if link.product.transparent else "it is cut short"
            self._wrong(link.connection, row, f"a downlink acknowledgement: {why}")
            return
        task, result = int.from_bytes(body[:2], "big"), int.from_bytes(body[2:4], "big")
        if link.busy is None or task != link.busy.task:
            if self._waits_again(link, task, result, body[4:]):
                return
            self._emit("stray", f"an acknowledgement of task {task}, which is not under way", device=link.device.id,
                       task=task)
            return
        if body[4:]:
            self.log.answered(link.device.id, task, body[4:])
        self.acknowledged(link, db.DELIVERED if result in (0, 1) else db.FAILED, str(result))
