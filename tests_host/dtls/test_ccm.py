# runs in: cpython, vm, old
"""AES-CCM on the packet vectors of RFC 3610 §8, and what it refuses. NIST's files are test_cavp.py's."""

from ubinascii import hexlify, unhexlify

from dtls import (
    ccm,
    soft_aes,  # noqa: F401 - the old VM gets only what a test file names
)
from dtls.primitives import encryptor

# Vectors 1-12: one key, the last 6 bytes of the nonce, and 00 01 02 … as header and data.
FIRST_KEY, FIRST_NONCE = unhexlify("c0c1c2c3c4c5c6c7c8c9cacbcccdcecf"), unhexlify("a0a1a2a3a4a5")
# (bytes of the MAC, bytes of the header, first 7 bytes of the nonce, bytes in all, sealed)
FIRST = (
    (8, 8, "00000003020100", 31, "588c979a61c663d2f066d0c2c0f989806d5f6b61dac38417e8d12cfdf926e0"),
    (8, 8, "00000004030201", 32, "72c91a36e135f8cf291ca894085c87e3cc15c439c9e43a3ba091d56e10400916"),
    (8, 8, "00000005040302", 33, "51b1e5f44a197d1da46b0f8e2d282ae871e838bb64da8596574adaa76fbd9fb0c5"),
    (8, 12, "00000006050403", 31, "a28c6865939a9a79faaa5c4c2a9d4a91cdac8c96c861b9c9e61ef1"),
    (8, 12, "00000007060504", 32, "dcf1fb7b5d9e23fb9d4e131253658ad86ebdca3e51e83f077d9c2d93"),
    (8, 12, "00000008070605", 33, "6fc1b011f006568b5171a42d953d469b2570a4bd87405a0443ac91cb94"),
    (10, 8, "00000009080706", 31, "0135d1b2c95f41d5d1d4fec185d166b8094e999dfed96c048c56602c97acbb7490"),
    (10, 8, "0000000a090807", 32, "7b75399ac0831dd2f0bbd75879a2fd8f6cae6b6cd9b7db24c17b4433f434963f34b4"),
    (10, 8, "0000000b0a0908", 33, "82531a60cc24945a4b8279181ab5c84df21ce7f9b73f42e197ea9c07e56b5eb17e5f4e"),
    (10, 12, "0000000c0b0a09", 31, "07342594157785152b074098330abb141b947b566aa9406b4d999988dd"),
    (10, 12, "0000000d0c0b0a", 32, "676bb20380b0e301e8ab79590a396da78b834934f53aa2e9107a8b6c022c"),
    (10, 12, "0000000e0d0c0b", 33, "c0ffa0d6f05bdb67f24d43a4338d2aa4bed7b20e43cd1aa31662e7ad65d6db"),
)

# Vectors 13-24: (bytes of the MAC, bytes of the header, first 7 bytes of the nonce, header and data, sealed)
SECOND_KEY, SECOND_NONCE = unhexlify("d7828d13b2b0bdc325a76236df93cc6b"), unhexlify("3c9696766cfa")
SECOND = (
    (8, 8, "00412b4ea9cdbe",
     "0be1a88bace018b108e8cf97d820ea258460e96ad9cf5289054d895ceac47c",
     "4cb97f86a2a4689a877947ab8091ef5386a6ffbdd080f8e78cf7cb0cddd7b3"),
    (8, 8, "0033568ef7b263",
     "63018f76dc8a1bcb9020ea6f91bdd85afa0039ba4baff9bfb79c7028949cd0ec",
     "4ccb1e7ca981befaa0726c55d378061298c85c92814abc33c52ee81d7d77c08a"),
    (8, 8, "00103fe4133671",
     "aa6cfa36cae86b40b916e0eacc1c00d7dcec68ec0b3bbb1a02de8a2d1aa346132e",
     "b1d23a2220ddc0ac900d9aa03c61fcf4a559a4417767089708a776796edb723506"),
    (8, 12, "00764c63b8058e",
     "d0d0735c531e1becf049c24412daac5630efa5396f770ce1a66b21f7b2101c",
     "14d253c3967b70609b7cbb7c499160283245269a6f49975bcadeaf"),
    (8, 12, "00f8b678094e3b",
     "77b60f011c03e1525899bcaee88b6a46c78d63e52eb8c546efb5de6f75e9cc0d",
     "5545ff1a085ee2efbf52b2e04bee1e2336c73e3f762c0c7744fe7e3c"),
    (8, 12, "00d560912d3f70",
     "cd9044d2b71fdb8120ea60c06435acbafb11a82e2f071d7ca4a5ebd93a803ba87f",
     "009769ecabdf48625594c59251e6035722675e04c847099e5ae0704551"),
    (10, 8, "0042fff8f1951c",
     "d85bc7e69f944fb88a19b950bcf71a018e5e6701c91787659809d67dbedd18",
     "bc218daa947427b6db386a99ac1aef23ade0b52939cb6a637cf9bec2408897c6ba"),
    (10, 8, "00920f40e56cdc",
     "74a0ebc9069f5b371761433c37c5a35fc1f39f406302eb907c6163be38c98437",
     "5810e6fd25874022e80361a478e3e9cf484ab04f447efff6f0a477cc2fc9bf548944"),
    (10, 8, "0027ca0c7120bc",
     "44a3aa3aae6475caa434a8e58500c6e41530538862d686ea9e81301b5ae4226bfa",
     "f2beed7bc5098e83feb5b31608f8e29c38819a89c8e776f1544d4151a4ed3a8b87b9ce"),
    (10, 12, "005b8ccbcd9af8",
     "ec46bb63b02520c33c49fd70b96b49e21d621741632875db7f6c9243d2d7c2",
     "31d750a09da3ed7fddd49a2032aabf17ec8ebf7d22c8088c666be5c197"),
    (10, 12, "003ebe94044b9a",
     "47a65ac78b3d594227e85e71e2fcfbb880442c731bf95167c8ffd7895e337076",
     "e882f1dbd38ce3eda7c23f04dd65071eb41342acdf7e00dccec7ae52987d"),
    (10, 12, "008d493b30ae8b",
     "6e37a6ef546d955d34ab6059abf21c0b02feb88f856df4a37381bce3cc128517d4",
     "f32905b88a641b04b9c9ffb58cc390900f3da12ab16dce9e82efa16da62059"),
)  # fmt: skip


def vectors():
    for tag, header, nonce, count, sealed in FIRST:
        yield FIRST_KEY, unhexlify(nonce) + FIRST_NONCE, tag, header, bytes(range(count)), sealed
    for tag, header, nonce, data, sealed in SECOND:
        yield SECOND_KEY, unhexlify(nonce) + SECOND_NONCE, tag, header, unhexlify(data), sealed


def test_packet_vectors_of_rfc_3610_both_ways():
    count = 0
    for key, nonce, tag, header, data, sealed in vectors():
        encrypt = encryptor(key)
        assert hexlify(ccm.seal(encrypt, nonce, data[:header], data[header:], tag)).decode() == sealed
        assert ccm.unseal(encrypt, nonce, data[:header], unhexlify(sealed), tag) == data[header:]
        count += 1
    assert count == 24


def test_one_bit_changed_anywhere_gives_no_plaintext():
    key, nonce, tag, header, data, sealed = next(vectors())
    encrypt, sealed = encryptor(key), unhexlify(sealed)
    for at in range(len(sealed)):
        wrong = bytearray(sealed)
        wrong[at] ^= 1 << at % 8
        assert ccm.unseal(encrypt, nonce, data[:header], bytes(wrong), tag) is None, at
    for extra in (b"", data[: header - 1], data[: header + 1], b"\x80" + data[1:header]):
        assert ccm.unseal(encrypt, nonce, extra, sealed, tag) is None
    assert ccm.unseal(encrypt, b"\x01" + nonce[1:], data[:header], sealed, tag) is None


def test_what_is_cut_short_gives_no_plaintext():
    key, nonce, tag, header, data, sealed = next(vectors())
    sealed = unhexlify(sealed)
    for count in range(len(sealed)):
        assert ccm.unseal(encryptor(key), nonce, data[:header], sealed[:count], tag) is None, count


def test_a_record_is_refused_that_has_no_room_for_nonce_and_mac():
    protection = ccm.Protection(bytes(range(40)))
    for count in range(16):
        assert protection.unseal(lambda length: b"", bytes(count)) is None


def test_no_data_and_no_header():
    for tag in (4, 8, 16):
        sealed = ccm.seal(encryptor(bytes(16)), bytes(12), b"", b"", tag)
        assert len(sealed) == tag and ccm.unseal(encryptor(bytes(16)), bytes(12), b"", sealed, tag) == b""
