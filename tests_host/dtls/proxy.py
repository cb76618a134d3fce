"""A network on loopback between a client and a server that loses, repeats, delays and bends datagrams, by a seed or by
a fixed schedule."""

import select
import socket
import threading
import time
from collections.abc import Callable
from random import Random

UP, DOWN = ">", "<"  # to the server, to the client

PASS, DROP, TWICE, LATE, BEND = "pass", "drop", "twice", "late", "bend"
LATE_S = 0.03  # a late datagram waits for the next one of its way, or so long

# What becomes of the n-th datagram of a way, from 0, with this content
Fate = Callable[[str, int, bytes], str]


def seeded(seed: int, loss: float = 0.2, twice: float = 0.2, late: float = 0.2, bend: float = 0.0) -> Fate:
    """Each fate with its probability; a way's datagrams have the same fates in every run."""
    draws = {way: Random(f"{seed}{way}") for way in (UP, DOWN)}

    def fate(way: str, number: int, data: bytes) -> str:
        draw = draws[way].random()
        for name, share in ((DROP, loss), (TWICE, twice), (LATE, late), (BEND, bend)):
            if draw < share:
                return name
            draw -= share
        return PASS

    return fate


def fixed(*fates: tuple[str, int, str]) -> Fate:
    """(way, number, fate) of those that do not just pass."""
    named = {(way, number): fate for way, number, fate in fates}
    return lambda way, number, data: named.get((way, number), PASS)


class Proxy:
    """`with Proxy(port, fate) as proxy:` clients of `proxy.port` talk to the server at `port`, each from an address of
    its own. `delivered` has (seconds, way, datagram, the client's address) as they left here."""

    def __init__(self, port: int, fate: Fate = fixed()) -> None:  # noqa: B008 - a function without state
        self.fate = fate
        self.target = ("127.0.0.1", port)
        self.front = self._bound()
        self.port = self.front.getsockname()[1]
        self.backs: dict[tuple[str, int], socket.socket] = {}
        self.counts = {UP: 0, DOWN: 0}
        self.held: list[tuple[float, str, bytes, tuple[str, int]]] = []
        self.delivered: list[tuple[float, str, bytes, tuple[str, int]]] = []
        self.lost = 0
        self._open = True
        self._thread = threading.Thread(target=self._run, daemon=True)

    @staticmethod
    def _bound() -> socket.socket:
        found = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        found.bind(("127.0.0.1", 0))
        return found

    def __enter__(self) -> "Proxy":
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._open = False
        self._thread.join()
        for one in (self.front, *self.backs.values()):
            one.close()

    def _run(self) -> None:
        while self._open:
            ready, _, _ = select.select([self.front, *self.backs.values()], [], [], 0.01)
            for one in ready:
                self._take(one)
            for late in [late for late in self.held if late[0] < time.monotonic()]:
                self._release(late)

    def _take(self, one: socket.socket) -> None:
        try:
            data, source = one.recvfrom(4096)
        except ConnectionRefusedError:  # the server is gone
            return
        if one is self.front:
            way, client = UP, source
            if client not in self.backs:
                self.backs[client] = self._bound()
        else:
            way, client = DOWN, next(address for address, back in self.backs.items() if back is one)
        number = self.counts[way]
        self.counts[way] += 1
        fate = self.fate(way, number, data)
        if fate == DROP:
            self.lost += 1
            return
        if fate == LATE:
            self.held.append((time.monotonic() + LATE_S, way, data, client))
            return
        if fate == BEND:
            at = number * 7 % len(data)
            data = data[:at] + bytes([data[at] ^ 0x40]) + data[at + 1 :]
        for _ in range(2 if fate == TWICE else 1):
            self._deliver(way, data, client)
        for late in [late for late in self.held if late[1] == way]:
            self._release(late)

    def _release(self, late: tuple[float, str, bytes, tuple[str, int]]) -> None:
        self.held.remove(late)
        self._deliver(*late[1:])

    def _deliver(self, way: str, data: bytes, client: tuple[str, int]) -> None:
        self.delivered.append((time.time(), way, data, client))
        if way == UP:
            self.backs[client].sendto(data, self.target)
        else:
            self.front.sendto(data, client)
