# runs in: cpython, vm, old
"""The firmware's hash and cipher as tests of pure rooms find them in each interpreter: no more than the module has
(quecpython.md §1.7), the cipher not everywhere."""

from ubinascii import unhexlify
from uhashlib import sha256

try:
    from ucryptolib import aes
except ImportError:  # MicroPython 1.10 for node
    aes = None

KEY = unhexlify("000102030405060708090a0b0c0d0e0f")  # FIPS 197, appendix C.1
PLAIN = unhexlify("00112233445566778899aabbccddeeff")
SECRET = unhexlify("69c4e0d86a7b0430d8cdb78070b4c55a")


def test_sha256_takes_its_data_in_parts_and_has_no_copy():
    hash = sha256(b"a")
    hash.update(b"bc")
    for name in ("copy", "hexdigest", "digest_size", "block_size"):
        assert not hasattr(hash, name), name
    # FIPS 180-4's example
    assert hash.digest() == unhexlify("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")


def test_aes_serves_one_direction_an_object():
    if aes is None:
        return
    one, other = aes(KEY, 1), aes(KEY, 1)
    assert one.encrypt(PLAIN) == SECRET and other.decrypt(SECRET) == PLAIN
    for function in (one.decrypt, other.encrypt):
        try:
            function(PLAIN)
        except ValueError:
            continue
        raise AssertionError("both directions")


def test_aes_works_in_place():
    if aes is None:
        return
    buffer = bytearray(PLAIN + PLAIN)
    assert aes(KEY, 1).encrypt(buffer, buffer) is buffer
    assert bytes(buffer) == SECRET + SECRET
