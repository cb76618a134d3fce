"""What the DTLS front asks of whoever speaks DTLS for it: one engine, and a session for each peer. No I/O. And what the
front and the engines know of records."""

from collections.abc import Hashable, Mapping
from typing import Protocol

# RFC 6347 §4.1, RFC 9146 §4: kinds of records, and the bytes before what a record without a connection id says.
CIPHER_CHANGE, ALERT, HANDSHAKE, DATA, CID_DATA = 20, 21, 22, 23, 25
HEADER = 13
CLIENT_HELLO = 1
FATAL, BAD_RECORD_MAC = 2, 20

ALERTS = {
    0: "close_notify", 10: "unexpected_message", 20: "bad_record_mac", 40: "handshake_failure",
    47: "illegal_parameter", 50: "decode_error", 51: "decrypt_error", 70: "protocol_version",
    71: "insufficient_security", 80: "internal_error", 90: "user_canceled", 110: "unsupported_extension",
    115: "unknown_psk_identity",
}  # fmt: skip
"""RFC 5246 §7.2, RFC 4279 §6."""


class Session(Protocol):
    """One peer. `identity` is known once the client has told it; `established` from the last Finished to the end;
    `ended` says why the last session ended ("alert 115 sent"); `begun`: there is something to keep; `fresh`: the last
    datagram was authenticated and newer than all before, so that its source may be the peer's new address (RFC 9146
    §6); `suite` names what was agreed on, as IANA does; `address` is whom cookies are made for, the front's to set."""

    identity: str
    ended: str
    fresh: bool
    address: Hashable

    @property
    def established(self) -> bool: ...

    @property
    def begun(self) -> bool: ...

    @property
    def resumed(self) -> bool: ...

    @property
    def connection_id(self) -> bytes: ...

    @property
    def suite(self) -> str: ...

    def receive(self, datagram: bytes) -> tuple[list[bytes], list[bytes]]:
        """(datagrams to send, plaintexts). Whatever comes, no exception."""
        ...

    def send(self, plaintext: bytes) -> list[bytes]:
        """The datagrams that carry it; none where no session is established."""
        ...

    def close(self) -> list[bytes]:
        """Says close_notify, where a session is established, and forgets it."""
        ...


class Engine(Protocol):
    """`keys`: identity -> PSK."""

    keys: Mapping[str, bytes]

    def session(self, address: Hashable) -> Session:
        """For a peer not known yet."""
        ...

    def owner(self, datagram: bytes) -> Session | None:
        """The session whose connection id the datagram bears."""
        ...


def client_hello(datagram: bytes) -> bytes:
    """The ClientHello that a datagram begins with, from its message header on; empty where it is none."""
    if len(datagram) <= HEADER or datagram[0] != HANDSHAKE or datagram[3:5] != b"\0\0":
        return b""
    return datagram[HEADER:] if datagram[HEADER] == CLIENT_HELLO else b""


def records(datagram: bytes) -> list[bytes]:
    """Its whole records without connection ids, from the first on."""
    found, end = [], 0
    while len(datagram) - end >= HEADER:
        start, end = end, end + HEADER + int.from_bytes(datagram[end + 11 : end + HEADER], "big")
        if end <= len(datagram):
            found.append(datagram[start:end])
    return found


def plain_alert(code: int) -> bytes:
    """A fatal alert in a record of epoch 0."""
    return bytes([ALERT, 0xFE, 0xFD]) + bytes(8) + bytes([0, 2, FATAL, code])


def in_words(ended: str) -> str:
    """ "alert 20 sent" with the alert's name."""
    number = next((int(word) for word in ended.split() if word.isdigit()), None)
    return f"{ended}: {ALERTS[number]}" if number in ALERTS else ended
