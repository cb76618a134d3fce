"""The record protection of TLS_PSK_WITH_AES_128_CBC_SHA256 (RFC 5246 §6.2.3.2, RFC 5487): MAC, then pad, then encrypt.

The second choice, loaded only where a server wants it. A record with wrong padding is hashed like one with a wrong MAC
(RFC 5246 §6.2.3.2), and neither is answered.
"""

from dtls.primitives import decryptor, encryptor, hmac, keyed, same

KEY_BLOCK = 96  # two MAC keys of 32 bytes and two keys of 16
_MAC = 32


class Protection:
    """As dtls.ccm's."""

    def __init__(self, block: bytes) -> None:
        self._mac_out, self._mac_in = keyed(block[:32]), keyed(block[32:64])
        self._encrypt, self._decrypt = encryptor(block[64:80]), decryptor(block[80:96])

    def seal(self, number: bytes, extra, plain: bytes) -> bytes:
        """As dtls.ccm's. The IV is the record's number encrypted: never repeated, and nobody can foretell it
        (NIST SP 800-38A appendix C)."""
        data = plain + hmac(self._mac_out, extra(len(plain)) + plain)
        pad = 15 - (len(data) & 15)
        data += bytes([pad]) * (pad + 1)
        chain = self._encrypt(number + bytes(8))
        out = [chain]
        for at in range(0, len(data), 16):
            block = int.from_bytes(chain, "big") ^ int.from_bytes(data[at : at + 16], "big")
            chain = self._encrypt(block.to_bytes(16, "big"))
            out.append(chain)
        return b"".join(out)

    def unseal(self, extra, fragment: bytes):
        """As dtls.ccm's."""
        size = len(fragment) - 16
        if size < _MAC + 1 or size & 15:
            return None
        block = int.from_bytes(self._decrypt(fragment[16:]), "big") ^ int.from_bytes(fragment[:-16], "big")
        data = block.to_bytes(size, "big")
        pad = data[-1]
        good = pad + 1 + _MAC <= size
        if not good:
            pad = 0
        end = size - 1 - pad
        wrong = 0
        for i in range(1, min(256, size - _MAC) + 1):  # as many as there may be, whatever `pad` says
            if i <= pad + 1:
                wrong |= data[-i] ^ pad
        if wrong:
            good = False
            end = size - 1
        plain = data[: end - _MAC]
        right = same(hmac(self._mac_in, extra(len(plain)) + plain), data[end - _MAC : end])
        return plain if right and good else None
