"""What our own DTLS server is told to be, what it remembers of sessions that ended, and the state of one handshake."""

from collections import OrderedDict
from dataclasses import dataclass, field

from tools.ctwing import dtls_own_messages as h
from tools.ctwing import dtls_own_records as r
from tools.ctwing import dtls_own_wrong as wrong

SAVED_LIMIT = 64  # sessions that can be resumed: the oldest goes first
MTU = 1200  # bytes of a datagram


@dataclass(frozen=True)
class Options:
    """How the server is. `wrong` and what follows are for tests of a client."""

    cookie: int = 32  # bytes of the cookie of a HelloVerifyRequest; 0: no cookie is asked for
    suites: tuple[int, ...] = (r.PSK_AES_128_CCM_8, r.PSK_AES_128_CBC_SHA256)  # the first that the client has too
    extended_master_secret: bool = True
    hint: bytes | None = None  # PSK identity hint; None: no ServerKeyExchange
    cid: int = 8  # bytes of the connection ids given; 0: none is negotiated
    cid_padding: int = 0  # zeros in records to a client that has a connection id (RFC 9146 §4)
    resumption: bool = True
    restart: bool = True  # a ClientHello with a cookie begins anew where a session lives (RFC 6347 §4.2.8)
    unknown_identity: int = h.UNKNOWN_PSK_IDENTITY  # or DECRYPT_ERROR: both allowed by RFC 4279 §2
    unreadable_finished: int | None = h.BAD_RECORD_MAC  # what a wrong PSK looks like; None: dropped without a word
    wrong: tuple[str, ...] = ()  # names of dtls_own_wrong.py
    alert: int = h.INTERNAL_ERROR  # code of the fatal alerts among them
    fragment: int = MTU - 100  # bytes of a handshake message in one record
    reorder: bool = False  # the records of a flight come in any order
    one_each: bool = False  # a datagram for each record

    def __post_init__(self) -> None:
        unknown = set(self.wrong) - wrong.NAMES
        if unknown:
            raise ValueError(f"{', '.join(sorted(unknown))}: none of {', '.join(sorted(wrong.NAMES))}")


@dataclass(frozen=True)
class Saved:
    """What a later handshake may resume: as long as the identity still has this key."""

    identity: str
    psk: bytes
    suite: int
    master: bytes
    extended: bool


class Kept(OrderedDict[bytes, Saved]):
    """The sessions that can be resumed, by id."""

    def __setitem__(self, session_id: bytes, saved: Saved) -> None:
        super().__setitem__(session_id, saved)
        while len(self) > SAVED_LIMIT:
            self.popitem(last=False)


HELLO, KEYS, CIPHER, FINISHED, OPEN = "hello", "keys", "cipher", "finished", "open"
"""What comes next: ClientHello, ClientKeyExchange, ChangeCipherSpec, Finished, application data."""


@dataclass
class State:
    """One handshake and what it led to."""

    step: str = HELLO
    hello: h.ClientHello | None = None
    hello_seq: int = 0
    server_random: bytes = b""
    session_id: bytes = b""
    suite: int = 0
    extended: bool = False
    resumed: bool = False
    psk: bytes = b""
    master: bytes = b""
    own_cid: bytes = b""  # in records to us
    peer_cid: bytes = b""  # in records to the client
    reader: r.Protection | None = None
    writer: r.Protection | None = None
    window: r.Window = field(default_factory=r.Window)
    transcript: list[bytes] = field(default_factory=list)
    assembly: h.Assembly = field(default_factory=h.Assembly)
    flight: list[tuple[wrong.Piece, bytes]] = field(default_factory=list)  # with the bytes of each record
    next_in: int = 0
    next_out: int = 0
    numbers: list[int] = field(default_factory=lambda: [0, 0])  # of the next record, by epoch
    write_epoch: int = 0
