"""Hash, MAC, key derivation and block cipher of DTLS: the firmware's where the image has them, else our own.

The only import site of the firmware's crypto modules, none of which is certain to be there (quecpython.md §1.3, §1.7).
"""

try:
    from uhashlib import sha256 as _sha256
except ImportError:
    try:
        from hashlib import sha256 as _sha256  # type: ignore[assignment]  # frozen in EIGEN images (quecpython.md §1.3)
    except ImportError:
        _sha256 = None  # type: ignore[assignment]

try:
    from ucryptolib import aes as _aes
except ImportError:
    _aes = None  # type: ignore[assignment,misc]

_ECB = 1  # ucryptolib's mode; an object serves one direction (quecpython.md §1.7)


def usable() -> bool:
    """Whether the image has what no fall-back replaces."""
    return _sha256 is not None


def sha256(data: bytes) -> bytes:
    """FIPS 180-4."""
    return _sha256(data).digest()


def keyed(key: bytes) -> tuple:
    """A key as `hmac` takes it (RFC 2104): its inner and outer block."""
    if len(key) > 64:
        key = sha256(key)
    key = key + bytes(64 - len(key))
    return bytes([byte ^ 0x36 for byte in key]), bytes([byte ^ 0x5C for byte in key])


def hmac(key: tuple, data: bytes) -> bytes:
    """HMAC-SHA-256 under a `keyed` key. The firmware's hash objects cannot be copied (quecpython.md §1.7)."""
    inner = _sha256(key[0])
    inner.update(data)
    outer = _sha256(key[1])
    outer.update(inner.digest())
    return outer.digest()


def prf(secret: bytes, label: bytes, seed: bytes, count: int) -> bytes:
    """`count` bytes of TLS 1.2's pseudo-random function (RFC 5246 §5)."""
    key = keyed(secret)
    seed = label + seed
    out = b""
    chain = seed
    while len(out) < count:
        chain = hmac(key, chain)
        out += hmac(key, chain + seed)
    return out[:count]


def same(one: bytes, other: bytes) -> bool:
    """Whether both are equal; takes as long wherever they differ."""
    if len(one) != len(other):
        return False
    differ = 0
    for i in range(len(one)):
        differ |= one[i] ^ other[i]
    return differ == 0


def encryptor(key: bytes):
    """A function that encrypts whole blocks under AES-128, each by itself (FIPS 197)."""
    if _aes is not None:
        return _aes(key, _ECB).encrypt
    from dtls.soft_aes import Aes128

    return Aes128(key).encrypt


def decryptor(key: bytes):
    """The way back."""
    if _aes is not None:
        return _aes(key, _ECB).decrypt
    from dtls.soft_aes import Aes128

    return Aes128(key).decrypt
