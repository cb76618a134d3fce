"""What the DTLS front needs of a DTLS server without I/O, and the choice of one.

There are two: Mbed TLS (dtls_mbedtls.py), where its wheels exist, and our own (dtls_own.py).
"""

from collections.abc import Hashable
from typing import Protocol


class Peer(Protocol):
    """One peer's handshake and session. Whatever datagram comes, no exception.

    `identity`: the PSK identity, "" until it is known. `established`: from the last Finished to the end. `begun`: there
    is something to keep; a peer that only got a HelloVerifyRequest has not begun. `ended` says why the last session
    ended. `fresh`: the last datagram had an authenticated record newer than all before, so that its source may become
    the peer's address (RFC 9146 §6)."""

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
    def suite(self) -> str:
        """Its IANA name; "" while there is none."""
        ...

    def receive(self, datagram: bytes) -> tuple[list[bytes], list[bytes]]:
        """(datagrams to send, plaintexts)."""
        ...

    def send(self, plaintext: bytes) -> list[bytes]:
        """The datagrams that carry it; none where no session is established."""
        ...

    def close(self) -> list[bytes]:
        """Says close_notify, where a session is established, and forgets it."""
        ...


class Engine(Protocol):
    """A DTLS server for any number of peers. Keys are asked for at every handshake, by identity."""

    def session(self, address: Hashable) -> Peer:
        """For a peer not known yet. It need not be kept while `begun` is False."""
        ...

    def owner(self, datagram: bytes) -> Peer | None:
        """The session whose connection id the first record bears, whoever sent it; None: go by the address."""
        ...
