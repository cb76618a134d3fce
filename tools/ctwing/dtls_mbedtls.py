"""Mbed TLS as the DTLS front's engine: python-mbedtls's buffer API, one buffer per peer (no connection ids, no
resumption).

Its retransmission timer runs in real time and is never asked: the server repeats a flight when the client does.
"""

import contextlib
from collections.abc import Hashable, Iterator, Mapping

from mbedtls import tls
from mbedtls.exceptions import TLSError

from tools.ctwing import dtls_own_messages as h
from tools.ctwing.dtls_own_records import split

SUITES = ("TLS-PSK-WITH-AES-128-CCM-8", "TLS-PSK-WITH-AES-128-CBC-SHA256")
CLOSED, FATAL, RECONNECT = "0x7880", "0x7780", "0x6780"
"""Codes of close_notify, a fatal alert, and a client that begins anew, as the library's errors begin (ssl.h)."""

STEPS = 40  # of the handshake for one datagram; it takes about ten
TAKE = 1 << 14  # bytes of the outgoing buffer at a time


def _is_hello(datagram: bytes) -> bool:
    """Whether it is a whole ClientHello, and nothing else."""
    try:
        (record,) = split(datagram, 0)
        (fragment,) = h.fragments(record.body)
        return fragment.kind == h.CLIENT_HELLO and bool(h.ClientHello.decode(fragment.body))
    except ValueError:  # of which Malformed is one
        return False


class _Asked(Mapping[str, bytes]):
    """The keys as they are looked up: the only place where the library tells an identity."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        self._keys = keys
        self.last = ""

    def __getitem__(self, identity: str) -> bytes:
        self.last = identity
        return self._keys[identity]

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)


class Engine:
    """See tools/ctwing/dtls_engine.py. One context for all: it has the secret of the cookies."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        self.keys = keys
        self.asked = _Asked(keys)
        self.context = tls.ServerContext(tls.DTLSConfiguration(
            pre_shared_key_store=self.asked, ciphers=SUITES, validate_certificates=False,
            lowest_supported_version=tls.DTLSVersion.DTLSv1_2,
        ))

    def session(self, address: Hashable) -> "Session":
        return Session(self, address)

    def owner(self, datagram: bytes) -> "Session | None":
        return None


class Session:
    """See tools/ctwing/dtls_engine.py."""

    def __init__(self, engine: Engine, address: Hashable) -> None:
        self._engine = engine
        self._cookie = repr(address).encode()
        self._buffer = self._new()
        self._ended = False
        self._hello = b""  # what the session began with, once it is established
        self._first = b""
        self._verified = False
        self.identity = ""
        self.fresh = False

    @property
    def established(self) -> bool:
        return not self._ended and self._step() == "HANDSHAKE_OVER"

    @property
    def begun(self) -> bool:
        return self._verified and not self._ended

    @property
    def resumed(self) -> bool:
        return False

    @property
    def connection_id(self) -> bytes:
        return b""

    def receive(self, datagram: bytes) -> tuple[list[bytes], list[bytes]]:
        out: list[bytes] = []
        plain: list[bytes] = []
        if self._ended or not datagram or datagram == self._hello:
            return out, plain  # a ClientHello that comes once more would end the session: the library's port reuse
        live = self.established
        if live and datagram[3:5] != b"\0\1" and not _is_hello(datagram):
            return out, plain  # the library would end the session
        try:
            self._buffer.receive_from_network(datagram)
            if not live:
                self._begin(datagram, out)
            while self.established and (data := bytes(self._buffer.read(TAKE))):
                plain.append(data)
        except tls.WantReadError:
            pass
        except TLSError as error:
            self._failed(str(error), live, datagram, out)
        self._take(out)
        return out, plain

    def send(self, plaintext: bytes) -> list[bytes]:
        out: list[bytes] = []
        if self.established:
            self._buffer.write(plaintext)
            self._take(out)
        return out

    def close(self) -> list[bytes]:
        out: list[bytes] = []
        if self.established:
            with contextlib.suppress(tls.WantWriteError):
                self._buffer.shutdown()
            self._take(out)
        self._ended = True
        return out

    def _begin(self, datagram: bytes, out: list[bytes]) -> None:
        self._first = self._first or datagram
        self._engine.asked.last = ""
        try:
            self._shake(out)
        finally:
            self.identity = self._engine.asked.last or self.identity
            self._hello = self._first if self.established else b""

    def _failed(self, error: str, live: bool, datagram: bytes, out: list[bytes]) -> None:
        """The library's word for what came. Whatever else an established session cannot read has no effect."""
        if live and RECONNECT in error:  # a ClientHello with a good cookie: a handshake begins (RFC 6347 §4.2.8)
            self.identity, self._first = "", b""
            with contextlib.suppress(tls.WantReadError):
                self._begin(datagram, out)
        elif not live:
            self._ended = self.begun  # an alert has been written
            if not self._verified:
                self._buffer = self._new()
        elif CLOSED in error or FATAL in error:
            self._ended = True

    def _step(self) -> str:
        return tls.HandshakeStep(self._buffer._handshake_state).name

    def _new(self) -> tls.TLSWrappedBuffer:
        made = self._engine.context.wrap_buffers()
        made.setcookieparam(self._cookie)
        return made

    def _shake(self, out: list[bytes]) -> None:
        """The handshake as far as it comes."""
        for _ in range(STEPS):
            if self.established:
                return
            try:
                self._buffer.do_handshake()
                self._verified |= self._step() == "CLIENT_KEY_EXCHANGE"
            except tls.WantWriteError:
                self._take(out)
            except tls.HelloVerifyRequest:  # what comes next is a handshake from its beginning
                self._take(out)
                self._buffer = self._new()
                return

    def _take(self, out: list[bytes]) -> None:
        """What was written is one datagram."""
        data = bytes(self._buffer.peek_outgoing(TAKE))
        if data:
            self._buffer.consume_outgoing(len(data))
            out.append(data)
