"""The frozen `hashlib` of EIGEN images: SHA-256 and SHA-224 in Python (FIPS 180-4; quecpython.md §1.3, §1.7). Unlike
uhashlib's its objects can be copied and asked again, and they are slow."""

_K = (
    0x428A2F98, 0x71374491, 0xB5C0FBCF, 0xE9B5DBA5, 0x3956C25B, 0x59F111F1, 0x923F82A4, 0xAB1C5ED5,
    0xD807AA98, 0x12835B01, 0x243185BE, 0x550C7DC3, 0x72BE5D74, 0x80DEB1FE, 0x9BDC06A7, 0xC19BF174,
    0xE49B69C1, 0xEFBE4786, 0x0FC19DC6, 0x240CA1CC, 0x2DE92C6F, 0x4A7484AA, 0x5CB0A9DC, 0x76F988DA,
    0x983E5152, 0xA831C66D, 0xB00327C8, 0xBF597FC7, 0xC6E00BF3, 0xD5A79147, 0x06CA6351, 0x14292967,
    0x27B70A85, 0x2E1B2138, 0x4D2C6DFC, 0x53380D13, 0x650A7354, 0x766A0ABB, 0x81C2C92E, 0x92722C85,
    0xA2BFE8A1, 0xA81A664B, 0xC24B8B70, 0xC76C51A3, 0xD192E819, 0xD6990624, 0xF40E3585, 0x106AA070,
    0x19A4C116, 0x1E376C08, 0x2748774C, 0x34B0BCB5, 0x391C0CB3, 0x4ED8AA4A, 0x5B9CCA4F, 0x682E6FF3,
    0x748F82EE, 0x78A5636F, 0x84C87814, 0x8CC70208, 0x90BEFFFA, 0xA4506CEB, 0xBEF9A3F7, 0xC67178F2,
)


def _turned(word, count):
    return (word >> count | word << 32 - count) & 0xFFFFFFFF


def _next(state, block):
    """The state after one more block (§6.2.2)."""
    w = [int.from_bytes(block[i : i + 4], "big") for i in range(0, 64, 4)]
    for i in range(16, 64):
        x, y = w[i - 15], w[i - 2]
        x = _turned(x, 7) ^ _turned(x, 18) ^ x >> 3
        y = _turned(y, 17) ^ _turned(y, 19) ^ y >> 10
        w.append((w[i - 16] + x + w[i - 7] + y) & 0xFFFFFFFF)
    a, b, c, d, e, f, g, h = state
    for i in range(64):
        one = h + (_turned(e, 6) ^ _turned(e, 11) ^ _turned(e, 25)) + (e & f ^ ~e & g) + _K[i] + w[i]
        two = (_turned(a, 2) ^ _turned(a, 13) ^ _turned(a, 22)) + (a & b ^ a & c ^ b & c)
        a, b, c, d, e, f, g, h = (one + two) & 0xFFFFFFFF, a, b, c, (d + one) & 0xFFFFFFFF, e, f, g
    after = (a, b, c, d, e, f, g, h)
    return [(state[i] + after[i]) & 0xFFFFFFFF for i in range(8)]


class sha256:
    digest_size = 32
    block_size = 64
    _start = (
        0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19,
    )

    def __init__(self, data=b""):
        self._state = self._start
        self._rest = b""
        self._length = 0
        self.update(data)

    def update(self, data):
        self._length += len(data)
        self._rest += bytes(data)
        whole = len(self._rest) // 64 * 64
        for i in range(0, whole, 64):
            self._state = _next(self._state, self._rest[i : i + 64])
        self._rest = self._rest[whole:]

    def copy(self):
        twin = type(self)()
        twin._state, twin._rest, twin._length = self._state, self._rest, self._length
        return twin

    def digest(self):
        last = self.copy()
        zeros = (55 - self._length) % 64
        last.update(b"\x80" + bytes(zeros) + (self._length * 8).to_bytes(8, "big"))
        return b"".join([word.to_bytes(4, "big") for word in last._state])[: self.digest_size]

    def hexdigest(self):
        return "".join(["%02x" % byte for byte in self.digest()])


class sha224(sha256):
    digest_size = 28
    _start = (
        0xC1059ED8, 0x367CD507, 0x3070DD17, 0xF70E5939, 0xFFC00B31, 0x68581511, 0x64F98FA7, 0xBEFA4FA4,
    )
