"""AES-CCM (NIST SP 800-38C, RFC 3610) and the record protection of TLS_PSK_WITH_AES_128_CCM_8 (RFC 6655) on it."""

from dtls.primitives import encryptor, same

KEY_BLOCK = 40  # two keys of 16 bytes and two salts of 4 (RFC 6655 §3)
_TAG = 8


def seal(encrypt, nonce: bytes, extra: bytes, plain: bytes, tag: int) -> bytes:
    """The ciphertext, and behind it the MAC of `tag` bytes over `extra` and `plain`. `encrypt` takes whole blocks;
    `nonce` has 7-13 bytes, `extra` less than 65,280."""
    mac = _mac(encrypt, nonce, extra, plain, tag)
    stream = _stream(encrypt, nonce, len(plain))
    return _xor(plain, stream[16:]) + _xor(mac[:tag], stream[:tag])


def unseal(encrypt, nonce: bytes, extra: bytes, sealed: bytes, tag: int):
    """The plaintext, or None where the MAC is wrong."""
    count = len(sealed) - tag
    if count < 0:
        return None
    stream = _stream(encrypt, nonce, count)
    plain = _xor(sealed[:count], stream[16:])
    mac = _mac(encrypt, nonce, extra, plain, tag)
    return plain if same(_xor(mac[:tag], stream[:tag]), sealed[count:]) else None


def _mac(encrypt, nonce: bytes, extra: bytes, plain: bytes, tag: int) -> bytes:
    size = 15 - len(nonce)  # bytes of a length
    flags = (0x40 if extra else 0) | tag - 2 << 2 | size - 1
    data = bytes([flags]) + nonce + len(plain).to_bytes(size, "big")
    if extra:
        data += len(extra).to_bytes(2, "big") + extra
        data += bytes(-len(data) & 15)
    data += plain + bytes(-len(plain) & 15)
    chain = bytes(16)
    for at in range(0, len(data), 16):
        chain = encrypt(_xor(chain, data[at : at + 16]))
    return chain


def _stream(encrypt, nonce: bytes, count: int) -> bytes:
    """Key stream: a block for the MAC, then those of `count` bytes."""
    size = 15 - len(nonce)
    head = bytes([size - 1]) + nonce
    return encrypt(b"".join([head + i.to_bytes(size, "big") for i in range((count + 31) >> 4)]))


def _xor(data: bytes, key: bytes) -> bytes:
    """As one big integer: shorter than byte by byte."""
    count = len(data)
    return (int.from_bytes(data, "big") ^ int.from_bytes(key[:count], "big")).to_bytes(count, "big")


class Protection:
    """Both directions of an epoch, from the client's side. `block` is the key block (RFC 5246 §6.3). A record's number
    is its epoch and sequence number, 8 bytes: the part of the nonce that it carries (RFC 6655 §3)."""

    def __init__(self, block: bytes) -> None:
        self._encrypt, self._decrypt = encryptor(block[:16]), encryptor(block[16:32])  # CCM only ever encrypts
        self._salt_out, self._salt_in = block[32:36], block[36:40]

    def seal(self, number: bytes, extra, plain: bytes) -> bytes:
        """A record's fragment. `extra(length)` gives the additional data for a plaintext of that length."""
        return number + seal(self._encrypt, self._salt_out + number, extra(len(plain)), plain, _TAG)

    def unseal(self, extra, fragment: bytes):
        """The plaintext of a record's fragment, or None where it is not the peer's."""
        if len(fragment) < 8 + _TAG:
            return None
        return unseal(self._decrypt, self._salt_in + fragment[:8], extra(len(fragment) - 8 - _TAG), fragment[8:], _TAG)
