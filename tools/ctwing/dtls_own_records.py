"""Records of our own DTLS server: keys, how a record is sealed and opened, and which numbers have been seen.

RFC 6347 §4.1, RFC 6655 §3 (CCM_8), RFC 5246 §6.2.3.2 (CBC with HMAC), RFC 9146 §4 and §5 (connection ids). The
primitives are `cryptography`'s. Not hardened against timing: it serves a test platform.
"""

import hashlib
import hmac
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESCCM

CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE, APPLICATION_DATA, TLS12_CID = 20, 21, 22, 23, 25
KINDS = (CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE, APPLICATION_DATA, TLS12_CID)
DTLS_1_0, DTLS_1_2 = 0xFEFF, 0xFEFD
HEADER = 13  # type, version, epoch, number, length; a connection id stands before the length
PLAINTEXT_LIMIT = 1 << 14  # RFC 5246 §6.2.1
WINDOW = 64  # RFC 6347 §4.1.2.6

PSK_AES_128_CCM_8, PSK_AES_128_CBC_SHA256 = 0xC0A8, 0x00AE
NAMES = {
    PSK_AES_128_CCM_8: "TLS_PSK_WITH_AES_128_CCM_8",
    PSK_AES_128_CBC_SHA256: "TLS_PSK_WITH_AES_128_CBC_SHA256",
}


class BadRecord(ValueError):
    """A record that does not open with these keys."""


class Source(Protocol):
    """Where randomness comes from: a `random.Random` of a seed, or the system's."""

    def randbytes(self, n: int, /) -> bytes: ...


@dataclass(frozen=True)
class Record:
    """`body` is what follows the length: plaintext before `seal` and after `open`, otherwise protected. `cid` is empty
    but in a tls12_cid record."""

    kind: int
    version: int
    epoch: int
    number: int
    cid: bytes
    body: bytes

    @property
    def sequence(self) -> bytes:
        """Epoch and number as one field of eight bytes."""
        return struct.pack("!Q", self.epoch << 48 | self.number)

    def encode(self) -> bytes:
        head = struct.pack("!BH", self.kind, self.version) + self.sequence + self.cid
        return head + struct.pack("!H", len(self.body)) + self.body

    def additional(self, length: int) -> bytes:
        """What is authenticated beside the plaintext of `length` bytes: RFC 5246 §6.2.3.3; RFC 9146 §5.3 and §5.1 where
        the record has a connection id."""
        if self.kind != TLS12_CID:
            return self.sequence + struct.pack("!BHH", self.kind, self.version, length)
        head = b"\xff" * 8 + bytes([TLS12_CID, len(self.cid), TLS12_CID]) + struct.pack("!H", self.version)
        return head + self.sequence + self.cid + struct.pack("!H", length)


def split(datagram: bytes, cid_length: int) -> Iterator[Record]:
    """The records of a datagram, up to the first that is none. `cid_length`: of the connection ids that we gave."""
    at = 0
    while len(datagram) - at >= HEADER:
        kind, version, sequence = struct.unpack_from("!BHQ", datagram, at)
        cid = cid_length if kind == TLS12_CID else 0
        start = at + HEADER + cid
        if kind not in KINDS or version >> 8 != 0xFE or kind == TLS12_CID and not cid or start > len(datagram):
            return
        end = start + int.from_bytes(datagram[start - 2 : start], "big")
        if end > len(datagram):
            return
        number = sequence & (1 << 48) - 1
        yield Record(kind, version, sequence >> 48, number, datagram[at + 11 : at + 11 + cid], datagram[start:end])
        at = end


def wrap(content: bytes, kind: int, padding: int) -> bytes:
    """DTLSInnerPlaintext of RFC 9146 §4: the content, its real type, zeros."""
    return content + bytes([kind]) + bytes(padding)


def unwrap(inner: bytes) -> tuple[int, bytes]:
    """The real type and the content. Raises BadRecord where there is no type."""
    stripped = inner.rstrip(b"\0")
    if not stripped:
        raise BadRecord("an inner plaintext without a type")
    return stripped[-1], stripped[:-1]


class Protection(Protocol):
    """One direction of one epoch."""

    def seal(self, record: Record) -> Record: ...

    def open(self, record: Record) -> Record:
        """Raises BadRecord."""


class Ccm8:
    """AES-128-CCM with a tag of 8 bytes; the explicit nonce is epoch and number (RFC 6655 §3)."""

    def __init__(self, key: bytes, salt: bytes) -> None:
        self._aead = AESCCM(key, tag_length=8)
        self._salt = salt

    def seal(self, record: Record) -> Record:
        explicit = record.sequence
        data = self._aead.encrypt(self._salt + explicit, record.body, record.additional(len(record.body)))
        return replace(record, body=explicit + data)

    def open(self, record: Record) -> Record:
        length = len(record.body) - 16
        if not 0 <= length <= PLAINTEXT_LIMIT:
            raise BadRecord(f"{len(record.body)} bytes in an AEAD record")
        nonce, data = self._salt + record.body[:8], record.body[8:]
        try:
            return replace(record, body=self._aead.decrypt(nonce, data, record.additional(length)))
        except InvalidTag:
            raise BadRecord("the tag is wrong") from None


class CbcSha256:
    """AES-128-CBC over content, HMAC-SHA256 and padding, behind an explicit IV (RFC 5246 §6.2.3.2)."""

    def __init__(self, key: bytes, mac_key: bytes, random: Source) -> None:
        self._key, self._mac_key, self._random = algorithms.AES(key), mac_key, random

    def _mac(self, record: Record, content: bytes) -> bytes:
        return hmac.digest(self._mac_key, record.additional(len(content)) + content, "sha256")

    def seal(self, record: Record) -> Record:
        data = record.body + self._mac(record, record.body)
        fill = 15 - len(data) % 16
        iv = self._random.randbytes(16)
        encryptor = Cipher(self._key, modes.CBC(iv)).encryptor()
        return replace(record, body=iv + encryptor.update(data + bytes([fill]) * (fill + 1)) + encryptor.finalize())

    def open(self, record: Record) -> Record:
        if len(record.body) % 16 or not 64 <= len(record.body) <= PLAINTEXT_LIMIT + 320:
            raise BadRecord(f"{len(record.body)} bytes in a CBC record")
        decryptor = Cipher(self._key, modes.CBC(record.body[:16])).decryptor()
        data = decryptor.update(record.body[16:]) + decryptor.finalize()
        fill = data[-1]
        length = len(data) - fill - 1 - 32
        if length < 0 or data[length + 32 :] != bytes([fill]) * (fill + 1):
            raise BadRecord("the padding is wrong")
        content, mac = data[:length], data[length : length + 32]
        if not hmac.compare_digest(mac, self._mac(record, content)):
            raise BadRecord("the MAC is wrong")
        return replace(record, body=content)


def prf(secret: bytes, label: str, seed: bytes, length: int) -> bytes:
    """RFC 5246 §5 with SHA-256."""
    seed = label.encode() + seed
    out, a = b"", seed
    while len(out) < length:
        a = hmac.digest(secret, a, "sha256")
        out += hmac.digest(secret, a + seed, "sha256")
    return out[:length]


def premaster(psk: bytes) -> bytes:
    """RFC 4279 §2: as many zeros as the key is long, then the key, each with its length."""
    length = struct.pack("!H", len(psk))
    return length + bytes(len(psk)) + length + psk


def digest(messages: list[bytes]) -> bytes:
    return hashlib.sha256(b"".join(messages)).digest()


def _ccm8(key: bytes, mac_key: bytes, salt: bytes, random: Source) -> Protection:
    return Ccm8(key, salt)


def _cbc_sha256(key: bytes, mac_key: bytes, salt: bytes, random: Source) -> Protection:
    return CbcSha256(key, mac_key, random)


# Suite -> length of MAC key, of implicit nonce, and what is made of the parts of the key block.
SUITES: dict[int, tuple[int, int, Callable[[bytes, bytes, bytes, Source], Protection]]] = {
    PSK_AES_128_CCM_8: (0, 4, _ccm8),
    PSK_AES_128_CBC_SHA256: (32, 0, _cbc_sha256),
}


def protections(suite: int, master: bytes, randoms: bytes, random: Source) -> tuple[Protection, Protection]:
    """The client's direction and the server's. `randoms`: the server's, then the client's (RFC 5246 §6.3)."""
    mac, salt, make = SUITES[suite]
    block = prf(master, "key expansion", randoms, 2 * (mac + 16 + salt))
    parts = []
    for length in (mac, 16, salt):
        parts.append((block[:length], block[length : 2 * length]))
        block = block[2 * length :]
    (mac_c, mac_s), (key_c, key_s), (salt_c, salt_s) = parts
    return make(key_c, mac_c, salt_c, random), make(key_s, mac_s, salt_s, random)


class Window:
    """Which record numbers of an epoch have come (RFC 6347 §4.1.2.6): the newest, and a bit for each of the 64 up to
    it."""

    def __init__(self) -> None:
        self.newest = -1
        self._seen = 0

    def is_new(self, number: int) -> bool:
        behind = self.newest - number
        return behind < 0 or behind < WINDOW and not self._seen >> behind & 1

    def take(self, number: int) -> bool:
        """Notes an authenticated record; returns whether it is the newest so far."""
        ahead = number - self.newest
        if ahead > 0:
            self._seen = (self._seen << min(ahead, WINDOW) | 1) & (1 << WINDOW) - 1
            self.newest = number
        else:
            self._seen |= 1 << -ahead
        return ahead > 0
