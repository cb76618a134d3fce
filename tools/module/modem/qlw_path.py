"""The way of the modem's own LwM2M client to its server: UDP on PDP 1, through the module's radio."""

from collections.abc import Callable

from tools.module.board import Board
from tools.module.modem.usocket import free_port, ports_of

Address = tuple[str, int]


class Plain:
    """One endpoint. `heard(datagram)` is called with what the server says. It dies with the address that it was bound
    to, as a socket of the application does (tools/module/modem/usocket.py; inferred)."""

    def __init__(self, board: Board, peer: Address, heard: Callable[[bytes], None]) -> None:
        self.board, self.peer, self.heard = board, peer, heard
        self._ip = self._own()
        port = free_port(board)
        self._leg = board.network.open_udp(self._ip or "0.0.0.0", port, self._arrive)
        ports_of(board).add(port)
        self._next_us = 0
        self._open = True
        board.on_power_off.append(self.close)

    def start(self, ready: Callable[[bool], None]) -> None:
        """Calls `ready(True)` once something may be sent; False where nothing ever may."""
        ready(self.alive)

    @property
    def alive(self) -> bool:
        return self._open and self._ip is not None and self._own() == self._ip

    def send(self, data: bytes) -> None:
        """One datagram, as soon as the radio carries it."""
        self._let_go(data)

    def close(self) -> None:
        """Twice is harmless."""
        if self._open:
            self._open = False
            ports_of(self.board).discard(self._leg.local[1])
            self._leg.close()

    def _own(self) -> str | None:
        return self.board.radio.ip6 if ":" in self.peer[0] else self.board.radio.ip

    def _let_go(self, data: bytes) -> None:
        if not self.alive:
            return
        delay = self.board.radio.traffic("up") or 0.0
        now = self.board.loop.now_us
        self._next_us = max(self._next_us, now + round(delay * 1e6))
        self.board.later((self._next_us - now) / 1e6, self._on_air, data)

    def _on_air(self, data: bytes) -> None:
        if self.alive:
            self._leg.send(data, self.peer)

    def _arrive(self, data: bytes, sender: Address) -> None:
        delay = self.board.radio.traffic("down") if self.alive else None
        if delay is None:
            self.board.events.emit("module", "unreached", "downlink", bytes=len(data), raw=data)
        elif sender == self.peer:
            self.board.later(delay, self._land, data)

    def _land(self, data: bytes) -> None:
        if self.alive:
            self._received(data)

    def _received(self, data: bytes) -> None:
        self.heard(data)
