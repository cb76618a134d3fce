"""AES-128 in Python (FIPS 197), for images without ucryptolib; loaded only there.

Tables of bytes, no words: 32 bits would be big integers on the module. Table look-ups leave traces in a processor's
cache, which nobody else shares here.
"""

DOUBLE = bytes([x << 1 ^ (0x11B if x & 0x80 else 0) for x in range(256)])  # times x in GF(2^8), FIPS 197 §4.2.1
COLUMNS = (0, 4, 8, 12)


def _box() -> bytes:
    """The S-box (FIPS 197 §5.1.1): `p` runs through the field's powers of 3, `q` through their inverses."""
    box = bytearray(256)
    p = q = 1
    while True:
        p ^= DOUBLE[p]
        q ^= q << 1 & 0xFF
        q ^= q << 2 & 0xFF
        q ^= q << 4 & 0xFF
        if q & 0x80:
            q ^= 0x09
        turned = q << 8 | q
        box[p] = (turned >> 8 ^ turned >> 7 ^ turned >> 6 ^ turned >> 5 ^ turned >> 4) & 0xFF ^ 0x63
        if p == 1:
            break
    box[0] = 0x63
    return bytes(box)


BOX = _box()
del _box


class Aes128:
    """A key of 16 bytes, expanded."""

    def __init__(self, key: bytes) -> None:
        if len(key) != 16:
            raise ValueError("key")  # as ucryptolib says it
        round_keys = bytearray(176)
        round_keys[:16] = key
        constant = 1
        for i in range(16, 176, 4):
            word = [round_keys[i - 4], round_keys[i - 3], round_keys[i - 2], round_keys[i - 1]]
            if not i & 15:
                word = [BOX[word[1]] ^ constant, BOX[word[2]], BOX[word[3]], BOX[word[0]]]
                constant = DOUBLE[constant]
            for j in range(4):
                round_keys[i + j] = round_keys[i - 16 + j] ^ word[j]
        self._keys = bytes(round_keys)

    def encrypt(self, data: bytes) -> bytes:
        """Whole blocks, each by itself."""
        out = bytearray(data)
        for at in range(0, len(data), 16):
            out[at : at + 16] = self._encrypt_block(data[at : at + 16])
        return bytes(out)

    def decrypt(self, data: bytes) -> bytes:
        """Whole blocks, each by itself."""
        from dtls import soft_aes_inverse  # for CBC: CCM never does

        return soft_aes_inverse.decrypt(self._keys, data)

    def _encrypt_block(self, block: bytes) -> bytearray:
        box, double, keys = BOX, DOUBLE, self._keys
        state, other = bytearray(block), bytearray(16)
        for i in range(16):
            state[i] ^= keys[i]
        for key in range(16, 160, 16):
            for i in COLUMNS:  # SubBytes, ShiftRows, MixColumns and AddRoundKey of one column
                a, b, c, d = box[state[i]], box[state[i + 5 & 15]], box[state[i + 10 & 15]], box[state[i + 15 & 15]]
                whole = a ^ b ^ c ^ d
                other[i] = a ^ whole ^ double[a ^ b] ^ keys[key + i]
                other[i + 1] = b ^ whole ^ double[b ^ c] ^ keys[key + i + 1]
                other[i + 2] = c ^ whole ^ double[c ^ d] ^ keys[key + i + 2]
                other[i + 3] = d ^ whole ^ double[d ^ a] ^ keys[key + i + 3]
            state, other = other, state
        for i in range(16):
            other[i] = box[state[i * 5 & 15]] ^ keys[160 + i]
        return other
