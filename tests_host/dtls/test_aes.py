# runs in: cpython, vm, old
"""AES-128: the examples of FIPS 197, and that the image's own and ours agree. NIST's files are test_cavp.py's."""

from ubinascii import hexlify, unhexlify

from dtls import (
    primitives,
    soft_aes,
    soft_aes_inverse,  # noqa: F401 - the old VM gets only what a test file names
)

# FIPS 197 appendix B and C.1, NIST SP 800-38A F.1.1: (key, plaintext, ciphertext)
EXAMPLES = (
    ("2b7e151628aed2a6abf7158809cf4f3c", "3243f6a8885a308d313198a2e0370734", "3925841d02dc09fbdc118597196a0b32"),
    ("000102030405060708090a0b0c0d0e0f", "00112233445566778899aabbccddeeff", "69c4e0d86a7b0430d8cdb78070b4c55a"),
    (
        "2b7e151628aed2a6abf7158809cf4f3c",
        "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
        "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710",
        "3ad77bb40d7a3660a89ecaf32466ef97f5d3d58503b9699de785895a96fdbaaf"
        "43b1cd7f598ece23881b00e3ed0306887b0c785e27e8ad3f8223207104725dd4",
    ),
)


def test_examples_of_fips_197_both_ways_by_our_own():
    for key, plain, sealed in EXAMPLES:
        aes = soft_aes.Aes128(unhexlify(key))
        assert hexlify(aes.encrypt(unhexlify(plain))).decode() == sealed
        assert hexlify(aes.decrypt(unhexlify(sealed))).decode() == plain


def test_examples_of_fips_197_both_ways_by_what_the_image_has():
    for key, plain, sealed in EXAMPLES:
        key = unhexlify(key)
        assert hexlify(primitives.encryptor(key)(unhexlify(plain))).decode() == sealed
        assert hexlify(primitives.decryptor(key)(unhexlify(sealed))).decode() == plain


def test_both_agree_under_many_keys():
    key, data = bytes(range(16)), bytes(range(100, 148))
    for _ in range(15):  # the next key and data come from the last result
        ours = soft_aes.Aes128(key)
        sealed = primitives.encryptor(key)(data)
        assert ours.encrypt(data) == sealed
        assert ours.decrypt(data) == primitives.decryptor(key)(data)
        assert ours.decrypt(sealed) == data
        key, data = primitives.sha256(sealed + key)[:16], sealed


def test_no_data_gives_none():
    aes = soft_aes.Aes128(bytes(16))
    assert aes.encrypt(b"") == b"" and aes.decrypt(b"") == b""


def test_a_key_of_another_size_is_refused():
    for size in (0, 15, 17, 24, 32):
        try:
            soft_aes.Aes128(bytes(size))
        except ValueError:
            continue
        raise AssertionError(size)
