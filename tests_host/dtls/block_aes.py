"""AES-128 on whole blocks for tests, called as ucryptolib's: the interpreter's own, else (MicroPython 1.13 on a PC has
none) the room's, which FIPS 197's vectors judge."""

try:
    from ucryptolib import aes
except ImportError:
    from dtls.soft_aes import Aes128

    def aes(key, mode):
        return Aes128(key)


ECB = 1
