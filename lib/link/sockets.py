"""usocket's quirks, once. A `Path` carries datagrams to one peer: `send(bytes)` and `receive(until)`; DTLS will wrap it
with the same two. The socket is connected: the firmware's `sendto` takes IPv4 literals only (quecpython.md §3.9)."""

import usocket
from micropython import const

from link.fault import NoName, NoPath

_SLICE = const(5000)  # ms: usocket rounds longer time-outs to 10, 15 or 20 s (quecpython.md §3.9)
_LONG = const(20000)  # ms: one of the long time-outs that all images wait out in full
_LARGEST = const(1280)  # bytes of a datagram; AEP's packets end at 1080 (ctwing.md §2.5)
TIMED_OUT = (110, 11)  # S21 raises EAGAIN where S25 raises ETIMEDOUT


def resolve(host: str, port: int, own: str) -> str:
    """The first address of `host` that can be reached from our own address `own`: an APN may give IPv6 alone (guide
    FAQ). A literal is taken as it is. Raises NoName."""
    if ":" in host:
        return host
    if not host.strip("0123456789."):
        if ":" in own:
            raise NoName(host + ": an IPv4 address, and the APN gives IPv6 alone")
        return host
    try:
        found = usocket.getaddrinfo(host, port)
    except OSError as error:
        raise NoName("%s: error %d" % (host, error.args[0]))
    family = usocket.AF_INET6 if ":" in own else usocket.AF_INET
    for entry in found:
        if entry[0] == family:
            return entry[4][0]
    raise NoName("%s: no address of IPv%d" % (host, 6 if ":" in own else 4))


def resolve_or(host: str, port: int, own: str, last: str) -> tuple:
    """(address, False) as `resolve` gives it, or (`last`, True): that of last time, where the name does not resolve now
    and it is of our own IP version. Raises NoName."""
    try:
        return resolve(host, port, own), False
    except NoName:
        if not last or (":" in last) != (":" in own):
            raise
        return last, True


def patience(left: int):
    """The time-out, in s, of one look in a wait of so many ms: a short one is polled every 100 ms; a long one sleeps in
    slices of 5 s (quecpython.md §3.9)."""
    return _LONG / 1000 if left > 2 * _LONG else min(left, _SLICE) / 1000


class Path:
    """A connected UDP socket. Make it only while a data call is up (creation binds it to the PDP's address), and make a
    new one after NoPath. `own` is a local port to ask for, 0 for any: whether it was free nobody says (quecpython.md
    §3.9). `clock` is link.clock.Clock; `received` counts datagrams of the peer, `strangers` those of
    anybody else: whether the firmware's `connect` keeps them out is not known, so they are dropped here."""

    def __init__(self, address: str, port: int, clock, own: int = 0) -> None:
        self._clock = clock
        self._peer = (address, port)
        self.received = 0
        self.strangers = 0
        self._six = ":" in address
        try:
            self._socket = usocket.socket(usocket.AF_INET6 if self._six else usocket.AF_INET, usocket.SOCK_DGRAM)
        except OSError as error:
            raise NoPath("socket: error %d" % error.args[0])
        try:
            if own:
                self._socket.bind(("", own))
            self._socket.connect((address, port))
        except OSError as error:
            self._socket.close()  # there are few of them (quecpython.md §3.9)
            raise NoPath("connect: error %d" % error.args[0])

    def send(self, data: bytes) -> None:
        """Sends one datagram. Raises NoPath."""
        try:
            count = self._socket.send(data)
        except OSError as error:
            raise NoPath("send: error %d" % error.args[0])
        if count != len(data):
            raise NoPath("send: %d of %d bytes" % (count, len(data)))

    def receive(self, until: int):
        """The next datagram, or None at `until` (clock milliseconds). Raises NoPath.

        An empty datagram makes the firmware's socket report "closed" for ever (quecpython.md §3.9), so it counts as a
        dead socket."""
        while True:
            left = until - self._clock.now()
            if left <= 0:
                return None
            self._socket.settimeout(patience(left))
            try:
                # `recvfrom` can say IPv4 senders only (quecpython.md §3.9)
                data, sender = (self._socket.recv(_LARGEST), None) if self._six else self._socket.recvfrom(_LARGEST)
            except OSError as error:
                if error.args[0] in TIMED_OUT:
                    continue
                raise NoPath("recv: error %d" % error.args[0])
            if not data:
                raise NoPath("recv: the socket reports closed")
            if sender is not None and sender != self._peer:
                self.strangers += 1
                continue
            self.received += 1
            # S25's recv makes a str of the bytes (quecpython.md §3.9)
            return data.encode() if isinstance(data, str) else bytes(data)

    def close(self) -> None:
        """Frees the socket; twice is harmless."""
        self._socket.close()
