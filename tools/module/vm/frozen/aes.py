"""`ucryptolib.aes` over this VM's own, which has no counter mode (quecpython.md §1.7)."""

import cryptolib

ECB, CBC, CTR = 1, 2, 6


def aes(key, mode, iv=None):
    return Counting(key, iv) if mode == CTR else cryptolib.aes(key, mode, iv)


class Counting:
    """CTR: data of any length, the key stream goes on from call to call."""

    def __init__(self, key, iv):
        self._block = cryptolib.aes(key, ECB)
        if iv is None or len(iv) != 16:
            raise ValueError("IV")
        self._counter = int.from_bytes(iv, "big")
        self._left = b""
        self._way = 0

    def encrypt(self, data, out=None):
        return self._process(1, data, out)

    def decrypt(self, data, out=None):
        return self._process(2, data, out)

    def _process(self, way, data, out):
        if out is None:
            done = bytearray(len(data))
        elif len(out) < len(data):
            raise ValueError("output too small")
        else:
            done = out
        if self._way not in (0, way):
            raise ValueError("can't encrypt & decrypt")
        self._way = way
        while len(self._left) < len(data):
            self._left += self._block.encrypt(self._counter.to_bytes(16, "big"))
            self._counter = (self._counter + 1) & (1 << 128) - 1
        for i in range(len(data)):
            done[i] = data[i] ^ self._left[i]
        self._left = self._left[len(data) :]
        return bytes(done) if out is None else out
