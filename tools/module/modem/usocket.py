"""`usocket` with lwIP's numbers and the firmware's habits (quecpython.md §3.9).

UDP; TCP is stream.py's. Sending a datagram never blocks: the radio says when it can carry it, and the network takes it
then.
"""

import ipaddress
import math
from collections import deque
from typing import Any

from tools.module.board import Board, Firmware, Thing

AF_INET, AF_INET6 = 2, 10
SOCK_STREAM, SOCK_DGRAM, SOCK_RAW = 1, 2, 3

NO_DATA_CALL, NO_NAME = -1, -2
EBADF, EAGAIN, EINVAL, ENOTCONN, ETIMEDOUT, EHOSTUNREACH = 9, 11, 22, 107, 110, 113

SOCKETS = 15
"""Sockets at once. Unknown for E; U and G have 15 (quecpython.md §3.9)."""

FIRST_PORT, PORTS = 0xC000, 0x3FFF
"""lwIP's range of local ports."""

DNS_MS = (60, 200)
"""A name look-up over the air, without the radio's set-up. Estimate."""

Address = tuple[str, int]


def waiting_time(timeout: float) -> float:
    """Seconds a read really waits. Up to 5 s it is polled each 100 ms; longer ones wait in slices of 5 s: 10 s for 6 to
    14, 15 s for 15 to 19, 20 s for 20 to 24 (quecpython.md §3.9, S25; beyond 24 in the same way: inferred)."""
    whole = int(timeout)
    if whole <= 5:
        return math.ceil(round(timeout * 10, 6)) / 10
    return max(2, whole // 5) * 5.0


def is_ipv4(text: str) -> bool:
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True


class Socket(Thing):
    """One socket; sending and receiving are told of UDP here. It is bound at creation to PDP 1's address of its
    family and dies with it: made without one it is refused, and after the address is gone it can neither send (113,
    inferred) nor receive. Of PDP 2-4, to which the firmware binds where 1 is down, the world has none. What is called
    after `close` gets 9 (inferred)."""

    def __new__(cls, board: Board, family: int = AF_INET, kind: int = SOCK_STREAM, proto: int = 0) -> "Socket":
        from tools.module.modem.stream import StreamSocket  # here: it is a kind of this class

        return super().__new__(StreamSocket if kind == SOCK_STREAM else cls)

    def __init__(self, board: Board, family: int = AF_INET, kind: int = SOCK_STREAM, proto: int = 0) -> None:
        super().__init__(board)
        if kind not in (SOCK_STREAM, SOCK_DGRAM):
            raise OSError(EINVAL)  # inferred
        self._family = family
        own = self._own()
        if own is None:
            raise OSError(NO_DATA_CALL)
        self._ports = ports_of(board)
        if len(self._ports) >= board.nv.values.get("sockets", SOCKETS):
            raise OSError(EINVAL)  # as EIGEN says it
        self._ip: str = own
        self._peer: Address | None = None
        self._timeout: float | None = None
        self._received: deque[tuple[bytes, Address]] = deque()
        self._poisoned = False
        self._closed = False
        self._next_us = 0  # a datagram never overtakes the one sent before it
        self._number = len(board.things)
        self._begin()

    def _begin(self) -> None:
        self._open(free_port(self.board))
        self.board.on_power_off.append(self.close)

    # -- address ---------------------------------------------------------------------------------------------------

    def bind(self, address: Any) -> None:
        """The address is PDP 1's, whatever is said: "" stands for it. lwIP's result is ignored, so a port in use keeps
        the old one. A port has 16 bits, what is above is cut off (inferred); 0 leaves the one from creation."""
        self._check_open()
        port = int(address[1]) & 0xFFFF
        if port and port not in self._ports:
            self._leave()
            self._open(port)

    async def connect(self, address: Any) -> None:
        """Fixes the peer; a name is looked up first. From then on only the peer's datagrams arrive."""
        self._check_open()
        ip = (await look_up(self.board, address[0], self._family))[0]
        self._peer = (ip, int(address[1]))

    # -- up --------------------------------------------------------------------------------------------------------

    def send(self, data: Any) -> Any:
        self._check_open()
        if self._peer is None:
            raise OSError(ENOTCONN)
        return self._send(bytes(data), self._peer)

    def sendall(self, data: Any) -> Any:
        self.send(data)

    def sendto(self, data: Any, address: Any) -> int:
        """Takes a dotted IPv4 address only: no name, no IPv6. Which number refuses them is unknown: -2 is inferred."""
        self._check_open()
        if not is_ipv4(address[0]):
            raise OSError(NO_NAME)
        return self._send(bytes(data), (address[0], int(address[1])))

    def _send(self, data: bytes, peer: Address) -> int:
        if self._dead():
            raise OSError(EHOSTUNREACH)
        if errors := self.board.nv.values.get("send_errors"):  # the world's: what the next calls raise
            raise OSError(errors.pop(0))
        delay = self.board.radio.traffic("up")
        now = self.board.loop.now_us
        self._next_us = max(self._next_us, now + round((delay or 0) * 1e6))
        self.board.later((self._next_us - now) / 1e6, self._on_air, data, peer)
        return len(data)

    def _on_air(self, data: bytes, peer: Address) -> None:
        if not self._dead():
            self._leg.send(data, peer)

    # -- down ------------------------------------------------------------------------------------------------------

    def _arrive(self, data: bytes, sender: Address) -> None:
        """The network has a datagram: the radio must find the module first."""
        delay = None if self._dead() else self.board.radio.traffic("down")
        if delay is None:
            self.board.events.emit("module", "unreached", "downlink", bytes=len(data), raw=data)
        else:
            self.board.later(delay, self._land, data, sender)

    def _land(self, data: bytes, sender: Address) -> None:
        if self._dead() or self._poisoned:  # behind an empty one nothing is ever read
            self.board.events.emit("module", "unreached", "downlink", bytes=len(data), raw=data)
            return
        if self._peer is not None and sender != self._peer and self.board.profile.connect_filters:
            return
        if not data:
            self._poisoned = True  # lwIP's length 0 is taken for "peer closed", for ever
        self._received.append((data, sender))
        self.board.changed.set()

    async def recv(self, size: int) -> bytes:
        """One datagram, cut off at `size`. OSError(110) after the time-out, OSError(11) when not blocking; b'' for ever
        once an empty datagram has come."""
        return (await self._receive(size))[0]

    async def recvfrom(self, size: int) -> tuple[bytes, Any]:
        return await self._receive(size)

    async def _receive(self, size: int) -> tuple[bytes, Address]:
        self._check_open()
        if self._timeout == 0 and not self._ready():
            raise OSError(EAGAIN)
        limit = None if self._timeout is None else waiting_time(self._timeout)
        if not self._ready() and not await self.board.wait(limit, self._ready):
            raise OSError(ETIMEDOUT)
        self._check_open()
        if self._received and self._received[0][0]:
            data, sender = self._received.popleft()
            return data[:size], sender
        return b"", self._peer or ("0.0.0.0", 0)

    # As a stream: TCP's. What the firmware makes of datagrams read so is unknown.

    async def read(self, size: int = -1) -> bytes | None:
        raise OSError(EINVAL)

    async def readline(self) -> bytes | None:
        raise OSError(EINVAL)

    async def readinto(self, buffer: Any) -> int | None:
        raise OSError(EINVAL)

    async def write(self, data: Any) -> int:
        raise OSError(EINVAL)

    def _ready(self) -> bool:
        return bool(self._received) or self._poisoned or self._closed

    # -- the rest --------------------------------------------------------------------------------------------------

    def settimeout(self, seconds: float | None) -> None:
        """None blocks for ever, 0 not at all."""
        self._timeout = seconds

    def setblocking(self, blocking: bool) -> None:
        self._timeout = None if blocking else 0

    def setsockopt(self, level: int, option: int, value: Any) -> None:
        """SO_REUSEADDR changes nothing here; other options do nothing but a warning."""

    def fileno(self) -> int:
        """A small number, -1 once closed."""
        return -1 if self._closed else self._number

    def getsocketsta(self) -> int:
        """A TCP state; a UDP socket has none."""
        return -1 if self._closed else 0

    def close(self) -> None:
        """Frees the socket; twice is harmless."""
        if not self._closed:
            self._closed = True
            self._leave()
            self.board.changed.set()

    def _open(self, port: int) -> None:
        self._leg = self.board.network.open_udp(self._ip, port, self._arrive)
        self._ports.add(port)

    def _leave(self) -> None:
        self._ports.discard(self._leg.local[1])
        self._leg.close()

    def _dead(self) -> bool:
        """Closed, or the address it was bound to is gone (quecpython.md §3.9: recreate after every PDP loss)."""
        return self._closed or self._own() != self._ip

    def _own(self) -> str | None:
        """The address that a socket of this family has now."""
        return self.board.radio.ip6 if self._family == AF_INET6 else self.board.radio.ip

    def _check_open(self) -> None:
        if self._closed:
            raise OSError(EBADF)


def ports_of(board: Board) -> set[int]:
    """Local ports in use on this power-on."""
    return board.firmware[Usocket.NAME].ports


def free_port(board: Board) -> int:
    """A local port by the module's seed; a real one counts up from a random start."""
    used = ports_of(board)
    while True:
        port = FIRST_PORT + board.rng.randrange(PORTS)
        if port not in used:
            return port


async def look_up(board: Board, name: str, family: int = 0) -> list[str]:
    """Addresses of a name. Literals cost nothing; anything else is an exchange with the carrier's server through
    PDP 1. Raises OSError(-2)."""
    if is_ipv4(name) or ":" in name:
        return board.network.resolve(name, family)
    if board.radio.ip is None and board.radio.ip6 is None or not board.radio.has_dns:
        raise OSError(NO_NAME)
    delay = board.radio.traffic("up") or 0.0
    await board.wait(delay + board.rng.randint(*DNS_MS) / 1000)
    board.radio.traffic("down")
    return board.network.resolve(name, family)


class Usocket(Firmware):
    NAME = "usocket"
    CLASSES = {"socket": Socket}
    CONSTANTS = {
        "AF_INET": AF_INET, "AF_INET6": AF_INET6, "SOCK_STREAM": SOCK_STREAM, "SOCK_DGRAM": SOCK_DGRAM,
        "SOCK_RAW": SOCK_RAW, "IPPROTO_IP": 0, "IPPROTO_TCP": 6, "IPPROTO_UDP": 17, "IPPROTO_TCP_SER": 7,
        "TCP_CUSTOMIZE_PORT": 8, "SOL_SOCKET": 0xFFF, "SO_REUSEADDR": 4, "TCP_KEEPALIVE": 2,
    }

    def __init__(self, board: Board) -> None:
        super().__init__(board)
        self.ports: set[int] = set()

    async def getaddrinfo(self, host: str, port: int, *hints: Any) -> list[tuple]:
        """[(family, type, proto, canonical name, (ip, port)), ...]. Raises OSError(-2)."""
        return [
            (AF_INET6 if ":" in ip else AF_INET, SOCK_STREAM, 0, "", (ip, port))
            for ip in await look_up(self.board, host)
        ]
