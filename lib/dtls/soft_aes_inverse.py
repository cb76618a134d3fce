"""The other direction of soft_aes.py (FIPS 197 §5.3), loaded where CBC opens something."""

from dtls.soft_aes import BOX, COLUMNS, DOUBLE


def _box() -> bytes:
    """The inverse S-box."""
    box = bytearray(256)
    for i in range(256):
        box[BOX[i]] = i
    return bytes(box)


_BACK = _box()
del _box


def decrypt(keys: bytes, data: bytes) -> bytes:
    """Whole blocks, each by itself, under the round keys of one key."""
    out = bytearray(data)
    for at in range(0, len(data), 16):
        out[at : at + 16] = _block(keys, data[at : at + 16])
    return bytes(out)


def _block(keys: bytes, block: bytes) -> bytearray:
    back, double = _BACK, DOUBLE
    state, other = bytearray(block), bytearray(16)
    for i in range(16):
        state[i] ^= keys[160 + i]
    for key in range(144, 0, -16):
        for i in range(16):
            other[i * 5 & 15] = back[state[i]]
        for i in range(16):
            other[i] ^= keys[key + i]
        for i in COLUMNS:  # InvMixColumns: times {04}x^2+{05}, which leaves MixColumns
            a, b, c, d = other[i], other[i + 1], other[i + 2], other[i + 3]
            even, odd = double[double[a ^ c]], double[double[b ^ d]]
            a, b, c, d = a ^ even, b ^ odd, c ^ even, d ^ odd
            whole = a ^ b ^ c ^ d
            state[i] = a ^ whole ^ double[a ^ b]
            state[i + 1] = b ^ whole ^ double[b ^ c]
            state[i + 2] = c ^ whole ^ double[c ^ d]
            state[i + 3] = d ^ whole ^ double[d ^ a]
    for i in range(16):
        other[i * 5 & 15] = back[state[i]]
    for i in range(16):
        other[i] ^= keys[i]
    return other
