"""DTLS-PSK around the way of the modem's own LwM2M client: Mbed TLS 2.28 as a client (python-mbedtls), which nobody
here wrote.

Its own timers run in real time and never strike: a handshake that stops is begun anew, so often and so long as another
SDK for AEP does it (ctwing.md §2.7).
"""

from collections.abc import Callable
from typing import Any

from mbedtls import exceptions, tls

from tools.module.board import Board
from tools.module.modem.qlw_path import Address, Plain
from tools.world.mbedtls import DATAGRAM_LIMIT, NEVER_S, OVER, PLAINTEXT_LIMIT, SUITES

TRIES, FIRST_WAIT_S = 3, 4.0
"""Handshakes, and the wait for the first: doubled each time (ctwing.md §2.7: 3 tries, 4-32 s)."""


class Secured(Plain):
    """The same under DTLS with a pre-shared key, always by a full handshake: `dtls_mode` 1 (resumption) asks for what
    Mbed TLS's Python does not offer."""

    def __init__(self, board: Board, peer: Address, heard: Callable[[bytes], None], identity: str, key: bytes) -> None:
        super().__init__(board, peer, heard)
        self._context = tls.ClientContext(tls.DTLSConfiguration(
            validate_certificates=False, ciphers=SUITES, lowest_supported_version=tls.DTLSVersion.DTLSv1_2,
            pre_shared_key=(identity, key), handshake_timeout_min=NEVER_S, handshake_timeout_max=NEVER_S))
        self._buffer: Any = None
        self._ready: Callable[[bool], None] | None = None
        self._tries = 0

    def start(self, ready: Callable[[bool], None]) -> None:
        self._ready = ready
        self._again(0)

    def send(self, data: bytes) -> None:
        if self._ready is None and self._buffer is not None:
            self._buffer.write(data)
            self._flush()

    def close(self) -> None:
        self._buffer = self._ready = None
        super().close()

    def _again(self, tries: int) -> None:
        """Begins a handshake, unless the one before has come to its end meanwhile."""
        if self._ready is None or tries != self._tries:
            return
        if tries == TRIES or not self.alive:
            self._over(False)
            return
        self._tries = tries + 1
        self._buffer = self._context.wrap_buffers(None)
        self._shake_hands()
        self.board.later(FIRST_WAIT_S * 2**tries, self._again, tries + 1)

    def _received(self, data: bytes) -> None:
        if self._buffer is None or len(data) > DATAGRAM_LIMIT:
            return
        self._buffer.receive_from_network(data)
        if self._ready is not None:
            self._shake_hands()
        else:
            self._read()

    def _shake_hands(self) -> None:
        while self._buffer._handshake_state.name != OVER:
            try:
                self._buffer.do_handshake()
            except tls.WantWriteError:
                pass
            except tls.WantReadError:
                self._flush()
                return
            except exceptions.TLSError as error:
                self._flush()
                self.board.events.emit("module", "qlw-dtls", f"handshake refused: {error}")
                self._over(False)
                return
            self._flush()
        self._over(True)

    def _over(self, good: bool) -> None:
        ready, self._ready = self._ready, None
        if ready is not None:
            ready(good)

    def _read(self) -> None:
        room = bytearray(PLAINTEXT_LIMIT)
        while self._buffer is not None:
            try:
                size = self._buffer.readinto(room, len(room))
            except tls.WantReadError:
                self._flush()
                return
            except exceptions.TLSError as error:  # an alert: the session has ended, and nothing more goes through it
                self.board.events.emit("module", "qlw-dtls", f"session ended: {error}")
                self._buffer = None
                return
            self.heard(bytes(room[:size]))

    def _flush(self) -> None:
        data = self._buffer.peek_outgoing(len(self._buffer._output_buffer))
        self._buffer.consume_outgoing(len(data))
        if data:
            self._let_go(data)
