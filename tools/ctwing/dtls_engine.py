"""What the DTLS front asks of whoever speaks DTLS for it: one engine, and a session for each peer. No I/O."""

from collections.abc import Hashable, Mapping
from typing import Protocol


class Session(Protocol):
    """One peer. `identity` is known once the client has told it; `established` from the last Finished to the end;
    `begun`: there is something to keep; `fresh`: the last datagram was authenticated and newer than all before, so that
    its source may be the peer's new address (RFC 9146 §6); `suite` names what was agreed on."""

    identity: str
    fresh: bool

    @property
    def established(self) -> bool: ...

    @property
    def begun(self) -> bool: ...

    @property
    def resumed(self) -> bool: ...

    @property
    def connection_id(self) -> bytes: ...

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
