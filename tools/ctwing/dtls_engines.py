"""What the DTLS front needs of a DTLS server without I/O, the choice of one, and what both know of records.

There are two: Mbed TLS (dtls_mbedtls.py), where its wheels exist, and our own (dtls_own.py), which has connection ids.
"""

import random
from collections.abc import Hashable, Mapping
from typing import Protocol

# RFC 6347 §4.1, RFC 9146 §4: kinds of records, and the bytes before what a record says without a connection id.
CIPHER_CHANGE, ALERT, HANDSHAKE, DATA, CID_DATA = 20, 21, 22, 23, 25
HEADER = 13
CLIENT_HELLO = 1
FATAL, BAD_RECORD_MAC = 2, 20

ALERTS = {
    0: "close_notify", 10: "unexpected_message", 20: "bad_record_mac", 40: "handshake_failure",
    47: "illegal_parameter", 50: "decode_error", 51: "decrypt_error", 70: "protocol_version",
    71: "insufficient_security", 80: "internal_error", 90: "user_canceled", 110: "unsupported_extension",
    115: "unknown_psk_identity",
}
"""RFC 5246 §7.2, RFC 4279 §6."""

ENGINES = ("mbedtls", "own")


class Peer(Protocol):
    """One peer's handshake and session. Whatever datagram comes, no exception.

    `identity`: the PSK identity, "" until it is known. `established`: from the last Finished to the end. `begun`: there
    is something to keep; a peer that only got a HelloVerifyRequest has not begun. `ended` says why the last session
    ended ("alert 115 sent"). `fresh`: the last datagram had an authenticated record newer than all before, so that its
    source may become the peer's address (RFC 9146 §6). `suite`: its name in the IANA registry, "" while
    there is none."""

    address: Hashable  # whom cookies are made for: the front's to change

    @property
    def identity(self) -> str: ...

    @property
    def established(self) -> bool: ...

    @property
    def begun(self) -> bool: ...

    @property
    def ended(self) -> str: ...

    @property
    def fresh(self) -> bool: ...

    @property
    def suite(self) -> str: ...

    def receive(self, datagram: bytes) -> tuple[list[bytes], list[bytes]]:
        """(datagrams to send, plaintexts)."""

    def send(self, plaintext: bytes) -> list[bytes]:
        """The datagrams that carry it; none where no session is established."""

    def close(self) -> list[bytes]:
        """Says close_notify, where a session is established, and forgets it."""


class Engine(Protocol):
    """A DTLS server for any number of peers. Keys are asked for at every handshake, by identity."""

    def session(self, address: Hashable) -> Peer:
        """For a peer not known yet. It need not be kept while `begun` is False."""

    def owner(self, datagram: bytes) -> Peer | None:
        """The session whose connection id the first record bears, whoever sent it; None: go by the address."""


def made(name: str | None, keys: Mapping[str, bytes], chance: random.Random) -> tuple[str, Engine]:
    """The engine of this name, or (None) Mbed TLS where it is installed; and its name. The one place that imports
    them: python-mbedtls has no wheel for Python 3.13 or ARM. Raises ImportError where the one asked for is missing."""
    if name != "own":
        try:
            from tools.ctwing import dtls_mbedtls
        except ImportError:
            if name is not None:
                raise
        else:
            return "mbedtls", dtls_mbedtls.Engine(keys)
    from tools.ctwing import dtls_own

    return "own", dtls_own.Engine(keys, chance)


def client_hello(datagram: bytes) -> bytes:
    """The ClientHello that a datagram begins with, from its message header on; empty where it is none."""
    if len(datagram) <= HEADER or datagram[0] != HANDSHAKE or datagram[3:5] != b"\0\0":
        return b""
    return datagram[HEADER:] if datagram[HEADER] == CLIENT_HELLO else b""


def kinds(datagram: bytes) -> list[int]:
    """The kinds of its records, up to the first with a connection id or cut short."""
    found: list[int] = []
    while len(datagram) >= HEADER and datagram[0] != CID_DATA:
        found.append(datagram[0])
        datagram = datagram[HEADER + int.from_bytes(datagram[11:13], "big") :]
    return found


def plain_alert(code: int) -> bytes:
    """A fatal alert in a record of epoch 0."""
    return bytes([ALERT, 0xFE, 0xFD]) + bytes(8) + bytes([0, 2, FATAL, code])
