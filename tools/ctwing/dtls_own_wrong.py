"""What our own DTLS server may do wrong on purpose, by name: for tests of a client that has to notice."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from tools.ctwing import dtls_own_messages as h
from tools.ctwing import dtls_own_records as r

PSK_AES_128_GCM_SHA256, PSK_AES_256_CCM_8 = 0x00A8, 0xC0A9
UNKNOWN_EXTENSION = 0xABCD  # RFC 8701's like: assigned to nothing


@dataclass(frozen=True)
class Piece:
    """What one or more records are made of. `message` is a handshake message's type; its number, and what a Finished
    says, come when it is sent."""

    kind: int
    epoch: int
    body: bytes = b""
    message: int = -1


Flight = list[Piece]


def said(message: int, body: bytes = b"", epoch: int = 0) -> Piece:
    """A handshake message."""
    return Piece(r.HANDSHAKE, epoch, body, message)


def alert(level: int, code: int, epoch: int) -> Piece:
    return Piece(r.ALERT, epoch, bytes([level, code]))


CIPHER_CHANGE = (Piece(r.CHANGE_CIPHER_SPEC, 0, b"\1"), said(h.FINISHED, epoch=1))


# The ServerHello.


def _unoffered_suite(hello: h.ServerHello, asked: h.ClientHello) -> h.ServerHello:
    others = (r.PSK_AES_128_CCM_8, r.PSK_AES_128_CBC_SHA256, PSK_AES_128_GCM_SHA256, PSK_AES_256_CCM_8, 0x0000)
    return replace(hello, suite=next(suite for suite in others if suite not in asked.suites))


def _unoffered_extension(hello: h.ServerHello, asked: h.ClientHello) -> h.ServerHello:
    return replace(hello, extensions=(*hello.extensions, (UNKNOWN_EXTENSION, b"")))


def _unoffered_cid(hello: h.ServerHello, asked: h.ClientHello) -> h.ServerHello:
    if h.CONNECTION_ID in asked.extensions:
        return hello
    return replace(hello, extensions=(*hello.extensions, (h.CONNECTION_ID, h.connection_id(b"unasked!"))))


def _repeated_extension(hello: h.ServerHello, asked: h.ClientHello) -> h.ServerHello:
    return replace(hello, extensions=hello.extensions + hello.extensions[:1])


def _compression(hello: h.ServerHello, asked: h.ClientHello) -> h.ServerHello:
    return replace(hello, compression=1)  # DEFLATE, RFC 3749


def _version(hello: h.ServerHello, asked: h.ClientHello) -> h.ServerHello:
    return replace(hello, version=r.DTLS_1_0)


def _session_id(hello: h.ServerHello, asked: h.ClientHello) -> h.ServerHello:
    return replace(hello, session_id=bytes(byte ^ 0xFF for byte in hello.session_id) or bytes(32))


HELLO: dict[str, Callable[[h.ServerHello, h.ClientHello], h.ServerHello]] = {
    "unoffered-suite": _unoffered_suite,
    "unoffered-extension": _unoffered_extension,
    "unoffered-cid": _unoffered_cid,
    "repeated-extension": _repeated_extension,
    "compression": _compression,
    "version": _version,
    "session-id": _session_id,  # in an abbreviated handshake another than was asked for, otherwise just another one
}


# The order of a flight.


def _after(message: int, *pieces: Piece) -> Callable[[Flight], Flight]:
    """`pieces` follow that message."""

    def change(flight: Flight) -> Flight:
        out: Flight = []
        for piece in flight:
            out += (piece, *pieces) if piece.message == message else (piece,)
        return out

    return change


def _finished_first(flight: Flight) -> Flight:
    return flight[:-2] + [flight[-1], flight[-2]] if flight[-1].message == h.FINISHED else flight


def _no_ccs(flight: Flight) -> Flight:
    return [piece for piece in flight if piece.kind != r.CHANGE_CIPHER_SPEC]


def _hello_last(flight: Flight) -> Flight:
    return flight[1:] + flight[:1] if flight[0].message == h.SERVER_HELLO else flight


def _hello_twice(flight: Flight) -> Flight:
    return flight[:1] + flight if flight[0].message == h.SERVER_HELLO else flight


def _plain_finished(flight: Flight) -> Flight:
    return [replace(piece, epoch=0) if piece.message == h.FINISHED else piece for piece in flight]


FLIGHT: dict[str, Callable[[Flight], Flight]] = {
    "finished-before-ccs": _finished_first,
    "no-ccs": _no_ccs,
    "ccs-after-hello": _after(h.SERVER_HELLO, Piece(r.CHANGE_CIPHER_SPEC, 0, b"\1")),
    "plain-finished": _plain_finished,
    "hello-last": _hello_last,
    "hello-twice": _hello_twice,
    "certificate": _after(h.SERVER_HELLO, said(h.CERTIFICATE, bytes(3))),
    "hint-after-done": _after(h.SERVER_HELLO_DONE, said(h.SERVER_KEY_EXCHANGE, h.server_key_exchange(b"late"))),
    "done-twice": _after(h.SERVER_HELLO_DONE, said(h.SERVER_HELLO_DONE)),
    "data-in-plain": _after(h.SERVER_HELLO, Piece(r.APPLICATION_DATA, 0, b"in plain")),
}


# What follows the last flight, or stands in the place of one.


def later(code: int) -> dict[str, Flight]:
    """`code`: of the fatal alerts."""
    return {
        "hello-request": [said(h.HELLO_REQUEST, epoch=1)],
        "alert-later": [alert(h.FATAL, code, 1)],
        "alert-in-plain": [alert(h.FATAL, code, 0)],  # forged by anyone: not to be heeded
        "close-notify": [alert(h.WARNING, h.CLOSE_NOTIFY, 1)],
    }


INSTEAD = {"alert-to-hello": h.SERVER_HELLO, "alert-to-finished": h.FINISHED}
"""A fatal alert instead of the flight that has this message."""

FINISHED, MAC_OF_FINISHED, MAC_OF_DATA = "finished", "mac-of-finished", "mac-of-data"
"""A wrong verify_data; a wrong last byte of the record of a Finished, or of every record of data."""

NAMES = frozenset({*HELLO, *FLIGHT, *later(0), *INSTEAD, FINISHED, MAC_OF_FINISHED, MAC_OF_DATA})
