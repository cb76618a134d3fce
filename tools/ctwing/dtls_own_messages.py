"""Handshake messages of our own DTLS server: what of a client is read, what of a server is written, fragments of both.

RFC 6347 §4.2, RFC 5246 §7.4, RFC 4279 §2, RFC 9146 §3.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

HELLO_REQUEST, CLIENT_HELLO, SERVER_HELLO, HELLO_VERIFY_REQUEST = 0, 1, 2, 3
CERTIFICATE, SERVER_KEY_EXCHANGE, SERVER_HELLO_DONE, CLIENT_KEY_EXCHANGE, FINISHED = 11, 12, 14, 16, 20

EXTENDED_MASTER_SECRET, CONNECTION_ID, RENEGOTIATION_INFO = 23, 54, 0xFF01
RENEGOTIATION_SCSV = 0x00FF  # RFC 5746 §3.3

# Alerts, RFC 5246 §7.2 and RFC 4279 §2.
CLOSE_NOTIFY, UNEXPECTED_MESSAGE, BAD_RECORD_MAC, HANDSHAKE_FAILURE = 0, 10, 20, 40
DECODE_ERROR, DECRYPT_ERROR, PROTOCOL_VERSION, INTERNAL_ERROR, NO_RENEGOTIATION, UNKNOWN_PSK_IDENTITY = (
    50, 51, 70, 80, 100, 115)  # fmt: skip
WARNING, FATAL = 1, 2

HEADER = 12  # type, length, message_seq, fragment_offset, fragment_length
MESSAGE_LIMIT = 4096  # openssl's longest ClientHello is 300 bytes; an identity of RFC 4279 §5.3 has 128
IDENTITY_LIMIT = 128


class Malformed(ValueError):
    """Bytes that are no such message."""


class Fatal(Exception):
    """The handshake ends with this alert."""

    def __init__(self, alert: int) -> None:
        super().__init__(f"alert {alert}")
        self.alert = alert


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, length: int) -> bytes:
        self.at += length
        if self.at > len(self.data):
            raise Malformed(f"cut short at byte {len(self.data)}")
        return self.data[self.at - length : self.at]

    def number(self, width: int) -> int:
        return int.from_bytes(self.take(width), "big")

    def vector(self, width: int) -> bytes:
        return self.take(self.number(width))

    def end(self) -> None:
        if self.at != len(self.data):
            raise Malformed(f"{len(self.data) - self.at} bytes too many")


def _words(data: bytes) -> tuple[int, ...]:
    if len(data) % 2:
        raise Malformed("half a suite")
    return struct.unpack(f"!{len(data) // 2}H", data)


@dataclass(frozen=True)
class ClientHello:
    """`rest`: all but the cookie, which the cookie is made of (RFC 6347 §4.2.1)."""

    version: int
    random: bytes
    session_id: bytes
    cookie: bytes
    suites: tuple[int, ...]
    compressions: bytes
    extensions: dict[int, bytes]
    rest: bytes

    @classmethod
    def decode(cls, body: bytes) -> "ClientHello":
        """Raises Malformed."""
        reader = _Reader(body)
        version, random, session_id = reader.number(2), reader.take(32), reader.vector(1)
        before = reader.at
        cookie = reader.vector(1)
        rest = body[:before] + body[reader.at :]
        suites, compressions = _words(reader.vector(2)), reader.vector(1)
        extensions: dict[int, bytes] = {}
        if reader.at < len(body):
            inner = _Reader(reader.vector(2))
            while inner.at < len(inner.data):
                kind = inner.number(2)
                if kind in extensions:
                    raise Malformed(f"extension {kind} twice")
                extensions[kind] = inner.vector(2)
        reader.end()
        if len(session_id) > 32:
            raise Malformed("a session id of more than 32 bytes")
        return cls(version, random, session_id, cookie, suites, compressions, extensions, rest)

    def connection_id(self) -> bytes | None:
        """The id that the client wants in records to it, RFC 9146 §3; None where it offers none. Raises Malformed."""
        if CONNECTION_ID not in self.extensions:
            return None
        reader = _Reader(self.extensions[CONNECTION_ID])
        cid = reader.vector(1)
        reader.end()
        return cid


@dataclass(frozen=True)
class ServerHello:
    version: int
    random: bytes
    session_id: bytes
    suite: int
    compression: int
    extensions: tuple[tuple[int, bytes], ...]

    def encode(self) -> bytes:
        body = struct.pack("!H", self.version) + self.random + _vector(1, self.session_id)
        body += struct.pack("!HB", self.suite, self.compression)
        if not self.extensions:
            return body
        return body + _vector(2, b"".join(struct.pack("!H", kind) + _vector(2, data) for kind, data in self.extensions))


def _vector(width: int, data: bytes) -> bytes:
    return len(data).to_bytes(width, "big") + data


def hello_verify_request(version: int, cookie: bytes) -> bytes:
    return struct.pack("!H", version) + _vector(1, cookie)


def server_key_exchange(hint: bytes) -> bytes:
    return _vector(2, hint)


def connection_id(cid: bytes) -> bytes:
    """The extension's data, RFC 9146 §3."""
    return _vector(1, cid)


def psk_identity(body: bytes) -> bytes:
    """Of a ClientKeyExchange, RFC 4279 §2. Raises Malformed."""
    reader = _Reader(body)
    identity = reader.vector(2)
    reader.end()
    if len(identity) > IDENTITY_LIMIT:
        raise Malformed(f"an identity of {len(identity)} bytes")
    return identity


def message(kind: int, seq: int, body: bytes) -> bytes:
    """A whole message, in one fragment: so it goes into the transcript too (RFC 6347 §4.2.6)."""
    length = len(body).to_bytes(3, "big")
    return bytes([kind]) + length + struct.pack("!H", seq) + bytes(3) + length + body


def cut(whole: bytes, size: int) -> list[bytes]:
    """The message in fragments of up to `size` bytes of body."""
    head, body = whole[:6], whole[HEADER:]
    return [
        head + at.to_bytes(3, "big") + len(body[at : at + size]).to_bytes(3, "big") + body[at : at + size]
        for at in range(0, max(len(body), 1), size)
    ]


@dataclass(frozen=True)
class Fragment:
    kind: int
    length: int
    seq: int
    offset: int
    body: bytes

    @property
    def whole(self) -> bool:
        return len(self.body) == self.length


def fragments(data: bytes) -> Iterator[Fragment]:
    """Those in one record. Raises Malformed."""
    reader = _Reader(data)
    while reader.at < len(data):
        kind, length, seq, offset = reader.number(1), reader.number(3), reader.number(2), reader.number(3)
        body = reader.vector(3)
        if length > MESSAGE_LIMIT or offset + len(body) > length:
            raise Malformed(f"a fragment of {len(body)} bytes at {offset} of {length}")
        yield Fragment(kind, length, seq, offset, body)


class Assembly:
    """One message out of fragments that come in any order, twice and overlapping; one that contradicts the first is
    dropped."""

    def __init__(self) -> None:
        self._shape: tuple[int, int, int] | None = None
        self._body, self._missing = bytearray(), bytearray()

    def add(self, fragment: Fragment) -> bytes | None:
        """The body, once it is whole."""
        shape = (fragment.kind, fragment.length, fragment.seq)
        if self._shape is None:
            self._shape = shape
            self._body, self._missing = bytearray(fragment.length), bytearray(b"\1" * fragment.length)
        if shape != self._shape:
            return None
        end = fragment.offset + len(fragment.body)
        self._body[fragment.offset : end] = fragment.body
        self._missing[fragment.offset : end] = bytes(len(fragment.body))
        return None if any(self._missing) else bytes(self._body)
