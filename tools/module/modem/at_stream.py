"""A TCP connection of the modem's own, for AT+QI… and AT+QMT…: name, handshake, bytes both ways, end. It goes through
the module's radio as a socket of the application does (tools/module/modem/stream.py)."""

from collections.abc import Callable

from tools.module.board import Board
from tools.module.modem.stream import DELAY_S
from tools.module.modem.usocket import DNS_MS, free_port, is_ipv4, ports_of
from tools.world.tcp import CLOSED, TIME_WAIT, End, Listener, Segment

Address = tuple[str, int]


class Stream:
    """`opened(good)` is told once, `data(bytes)` what comes, `ended()` that the peer has ended it."""

    def __init__(self, board: Board, host: str, port: int, opened: Callable[[bool], None],
                 data: Callable[[bytes], None], ended: Callable[[], None]) -> None:
        self.board, self._opened, self._data, self._ended = board, opened, data, ended
        self._host, self._remote_port = host, port
        self._stands = False
        self._next_us = 0
        self._ip = ""
        self._port = free_port(board)
        ports_of(board).add(self._port)
        listener = Listener(lambda data: self._data(data), lambda error: self._gone(), opened=self._open)
        self._end = End(self._transmit, board.later, listener, board.rng.getrandbits(32), DELAY_S)
        literal = is_ipv4(host) or ":" in host
        wait = 0.0 if literal else (board.radio.traffic("up") or 0.0) + board.rng.randint(*DNS_MS) / 1000
        board.later(wait, self._resolved)
        board.on_power_off.append(self._end.vanish)

    @property
    def stands(self) -> bool:
        return self._stands

    def write(self, data: bytes) -> None:
        if self._stands:
            self._end.write(data)

    def close(self) -> None:
        """FIN behind what was sent; nothing more is told."""
        self._opened, self._data, self._ended = lambda good: None, lambda data: None, lambda: None
        self._stands = False
        self._end.close()
        self._left()

    def _resolved(self) -> None:
        radio = self.board.radio
        family = 10 if radio.ip is None else 2 if radio.ip6 is None else 0
        try:
            remote = self.board.network.resolve(self._host, family)[0]
        except OSError:
            self._gone()
            return
        own = radio.ip6 if ":" in remote else radio.ip
        if own is None:
            self._gone()
            return
        self._ip, self._peer = own, (remote, self._remote_port)
        self.board.network.flows.legs[own, self._port] = self._arrives
        self._end.connect()

    def _open(self) -> None:
        self._stands = True
        self._opened(True)

    def _gone(self) -> None:
        stood, self._stands = self._stands, False
        self._end.close()
        self._left()
        if stood:
            self._ended()
        else:
            self._opened(False)

    def _transmit(self, segment: Segment) -> None:
        now = self.board.loop.now_us
        self._next_us = max(self._next_us, now + round((self.board.radio.traffic("up") or 0.0) * 1e6))
        self.board.later((self._next_us - now) / 1e6, self._on_air, segment)

    def _on_air(self, segment: Segment) -> None:
        if self._ip in (self.board.radio.ip, self.board.radio.ip6):
            self.board.network.flows.up((self._ip, self._port), segment, self._peer)
        self._left()

    def _arrives(self, segment: Segment, sender: Address) -> None:
        delay = self.board.radio.traffic("down")
        if delay is not None and sender == self._peer:
            self.board.later(delay, self._lands, segment)

    def _lands(self, segment: Segment) -> None:
        self._end.receive(segment)
        self._left()

    def _left(self) -> None:
        """The port is free once nobody needs it."""
        if self._end.state in (CLOSED, TIME_WAIT) and not self._stands:
            ports_of(self.board).discard(self._port)
            if self.board.network.flows.legs.get((self._ip, self._port)) == self._arrives:
                del self.board.network.flows.legs[self._ip, self._port]
