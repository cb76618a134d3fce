"""DTLS records: their layout, the data their MAC covers, and the replay window (RFC 6347 §4.1, RFC 9146)."""

from micropython import const
from ustruct import pack, unpack_from

VERSION = const(0xFEFD)  # DTLS 1.2
_VERSION_1_0 = const(0xFEFF)

CHANGE_CIPHER_SPEC = const(20)
ALERT = const(21)
HANDSHAKE = const(22)
DATA = const(23)
_CID = const(25)  # tls12_cid: the type inside is the true one (RFC 9146 §4)

_HEADER = const(13)
_WINDOW = const(64)  # sequence numbers (RFC 6347 §4.1.2.6)
_NUMBERS = const(0x1000000000000)  # 2**48 in an epoch

# Alerts (RFC 5246 §7.2, RFC 4279 §4)
CLOSE_NOTIFY = const(0)
UNEXPECTED_MESSAGE = const(10)
HANDSHAKE_FAILURE = const(40)
ILLEGAL_PARAMETER = const(47)
DECODE_ERROR = const(50)
DECRYPT_ERROR = const(51)
PROTOCOL_VERSION = const(70)
INTERNAL_ERROR = const(80)
NO_RENEGOTIATION = const(100)
UNSUPPORTED_EXTENSION = const(110)

# Where a session ended
HELLO = const(1)  # before the server had said anything that only a DTLS server says
KEYS = const(2)  # after our ClientKeyExchange and Finished: identity or key
DATA_PHASE = const(3)  # the handshake was good


class DtlsError(Exception):
    """The end of a session. `phase` is HELLO, KEYS or DATA_PHASE; `alert` the number of the alert, -1 where there was
    none; `ours` whether we sent it. The text holds no secret."""

    def __init__(self, text: str, phase: int, alert: int = -1, ours: bool = False) -> None:
        super().__init__(text)  # MicroPython's Exception has no __init__ to be named
        self.phase = phase
        self.alert = alert
        self.ours = ours


class Abort(DtlsError):
    """What came must end the session with this alert. Does not leave the room."""

    def __init__(self, alert: int, text: str) -> None:
        super().__init__(text, 0, alert, True)


def records(datagram: bytes) -> list:
    """[(type, epoch, sequence number, fragment)] of a datagram, up to what is no record of DTLS 1.0 or 1.2."""
    found = []
    at = 0
    while at + _HEADER <= len(datagram):
        kind, version, epoch, high, low, length = unpack_from(">BHHHIH", datagram, at)
        at += _HEADER
        # A HelloVerifyRequest may say 1.0 (RFC 6347 §4.2.1); a MAC covers 1.2
        if version != VERSION and (epoch or version != _VERSION_1_0) or at + length > len(datagram):
            break
        found.append((kind, epoch, high << 32 | low, datagram[at : at + length]))
        at += length
    return found


def number(epoch: int, sequence: int) -> bytes:
    """Epoch and sequence number as records carry them."""
    return pack(">HHI", epoch, sequence >> 32, sequence & 0xFFFFFFFF)


def plain(kind: int, sequence: int, body: bytes) -> bytes:
    """A record of epoch 0."""
    return pack(">BH", kind, VERSION) + number(0, sequence) + pack(">H", len(body)) + body


def seal(protection, kind: int, sequence: int, body: bytes, cid: bytes) -> bytes:
    """A record of epoch 1; with a connection id where the server wants one in it (RFC 9146 §4)."""
    which = number(1, sequence)
    if cid:
        head = pack(">BH", _CID, VERSION) + which + cid
        sealed = protection.seal(which, lambda length: _cid_extra(which, cid, length), body + bytes([kind]))
    else:
        head = pack(">BH", kind, VERSION) + which
        sealed = protection.seal(which, lambda length: which + pack(">BHH", kind, VERSION, length), body)
    return head + pack(">H", len(sealed)) + sealed


def unseal(protection, kind: int, sequence: int, fragment: bytes):
    """The content of a record of epoch 1 that came in, None where it is not the peer's. Records towards us carry no
    connection id: ours is empty."""
    which = number(1, sequence)
    return protection.unseal(lambda length: which + pack(">BHH", kind, VERSION, length), fragment)


def _cid_extra(which: bytes, cid: bytes, length: int) -> bytes:
    """RFC 9146 §5.1 and §5.3."""
    head = pack(">IIBBBH", 0xFFFFFFFF, 0xFFFFFFFF, _CID, len(cid), _CID, VERSION)
    return head + which + cid + pack(">H", length)


class Window:
    """Which sequence numbers came: `high` is the greatest, -1 before the first; bit i of `seen` stands for high - i."""

    def __init__(self, high: int = -1, seen: int = 0) -> None:
        self.high = high
        self.seen = seen

    def fresh(self, sequence: int) -> bool:
        """Whether it has not come yet, as far as the window reaches."""
        back = self.high - sequence
        return back < 0 or back < _WINDOW and not self.seen >> back & 1

    def take(self, sequence: int) -> None:
        """It came, and was the peer's."""
        ahead = sequence - self.high
        if ahead > 0:
            self.seen = (self.seen << ahead if ahead < _WINDOW else 0) & (1 << _WINDOW) - 1 | 1
            self.high = sequence
        else:
            self.seen |= 1 << -ahead


def spent(sequence: int) -> bool:
    """Whether an epoch has no such sequence number any more (RFC 6347 §4.1)."""
    return sequence >= _NUMBERS
