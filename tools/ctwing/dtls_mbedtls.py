"""DTLS of the platform by Mbed TLS 2.28 (python-mbedtls): a server that nobody here wrote. Its Python has no API
for connection ids, and nothing is resumed.

Its own timers run in real time, the platform's clock may be the world's; they are set so long that they never strike:
a flight is sent again when the client sends its own again. Cookies live for 60 s of real time.
"""

from collections.abc import Hashable, Iterator, Mapping
from typing import Any

from mbedtls import tls
from mbedtls.exceptions import TLSError

from tools.ctwing.dtls_engine import ALERT, HEADER, client_hello, records
from tools.world.mbedtls import DATAGRAM_LIMIT, NEVER_S, OVER, PLAINTEXT_LIMIT, SUITES

PROTECTED = b"\0\1"  # the epoch of what is under the session's keys
CLOSE_NOTIFY, FATAL_ALERT = 0x7880, 0x7780  # MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY, …_FATAL_ALERT_MESSAGE


class Asked(Mapping[str, bytes]):
    """The keys of the platform, and which identity was asked for last: the library does not tell."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        self._keys, self.last = keys, ""

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
        self.keys, self.asked = keys, Asked(keys)
        self.context = tls.ServerContext(tls.DTLSConfiguration(
            validate_certificates=False, ciphers=SUITES, lowest_supported_version=tls.DTLSVersion.DTLSv1_2,
            pre_shared_key_store=self.asked, handshake_timeout_min=NEVER_S, handshake_timeout_max=NEVER_S))

    def session(self, address: Hashable) -> "Session":
        return Session(self, address)

    def owner(self, datagram: bytes) -> None:
        return None


class Session:
    """One peer. A ClientHello begins a handshake, in a buffer of its own; once there is a session it has no effect, nor
    has any other record that is not protected: the library would leave the session for many of them."""

    def __init__(self, engine: Engine, address: Hashable) -> None:
        self._engine, self.address = engine, address
        self._buffer: Any = None
        self._hello = b""  # the message that began this handshake, to know its repeats
        self.identity = self.ended = self.suite = ""
        self.established = self.fresh = False

    @property
    def begun(self) -> bool:
        return self._buffer is not None

    @property
    def resumed(self) -> bool:
        return False

    @property
    def connection_id(self) -> bytes:
        return b""

    def receive(self, datagram: bytes) -> tuple[list[bytes], list[bytes]]:
        self.fresh = False
        if len(datagram) > DATAGRAM_LIMIT:
            return [], []
        if self.established:
            datagram = b"".join(record for record in records(datagram) if record[3:5] == PROTECTED)
            if datagram:
                self._buffer.receive_from_network(datagram)
            return self._read([])
        hello = client_hello(datagram)
        if hello and hello != self._hello:
            self._end("")
            self._buffer, self._hello = self._engine.context.wrap_buffers(), hello
            self._buffer.setcookieparam(repr(self.address).encode())
        if self._buffer is None:
            return [], []
        self._buffer.receive_from_network(datagram)
        out = self._shake_hands()
        return self._read(out) if self.established else (out, [])

    def send(self, plaintext: bytes) -> list[bytes]:
        if not self.established:
            return []
        self._buffer.write(plaintext)
        return self._outgoing()

    def close(self) -> list[bytes]:
        out = []
        if self.established:
            self._buffer.shutdown()
            out = self._outgoing()
        self._end("closed")
        return out

    def _end(self, why: str) -> None:
        self._buffer, self._hello, self.identity, self.suite, self.established = None, b"", "", "", False
        self.ended = why

    def _shake_hands(self) -> list[bytes]:
        """As far as what has come allows. Each step's output is one datagram: the library flushes once in a step."""
        out: list[bytes] = []
        asked, buffer = self._engine.asked, self._buffer
        asked.last = ""
        while buffer._handshake_state.name != OVER:
            try:
                buffer.do_handshake()
            except tls.WantWriteError:
                pass
            except tls.WantReadError:
                out += self._outgoing()
                break
            except tls.HelloVerifyRequest:
                out += self._outgoing()
                self._end("")
                return out
            except TLSError as error:
                out += self._outgoing()
                self._end(_why(error, out))
                return out
            out += self._outgoing()
        self.identity = asked.last or self.identity
        if buffer._handshake_state.name == OVER:
            self.established, self.fresh = True, True
            self.suite = buffer.cipher().replace("-", "_")  # as in the IANA registry
        return out

    def _read(self, out: list[bytes]) -> tuple[list[bytes], list[bytes]]:
        """What the records say; a repeat of the client's last flight is answered by ours."""
        plain: list[bytes] = []
        room = bytearray(PLAINTEXT_LIMIT)
        while True:
            try:
                size = self._buffer.readinto(room, len(room))
            except tls.WantReadError:
                out += self._outgoing()
                break
            except TLSError as error:
                out += self._outgoing()
                self._end(_why(error, out))
                break
            plain.append(bytes(room[:size]))
        self.fresh |= bool(plain)
        return out, plain

    def _outgoing(self) -> list[bytes]:
        data = self._buffer.peek_outgoing(len(self._buffer._output_buffer))
        self._buffer.consume_outgoing(len(data))
        return [data] if data else []


def _why(error: Any, out: list[bytes]) -> str:
    """Why a session ended: the alert that was sent or came, or the library's own words."""
    for datagram in out:
        if datagram[0] == ALERT and datagram[3:5] == b"\0\0":
            return f"alert {datagram[HEADER + 1]} sent"
    words = {CLOSE_NOTIFY: "close_notify received", FATAL_ALERT: "alert received"}
    return words.get(error.err or 0, error.msg or type(error).__name__)
