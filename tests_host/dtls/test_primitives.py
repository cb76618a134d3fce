# runs in: cpython, vm, old
"""Hash, MAC and key derivation on published vectors. NIST's longer files are test_cavp.py's."""

from ubinascii import hexlify, unhexlify

from dtls.primitives import hmac, keyed, prf, same, sha256

# FIPS 180-4's examples (csrc.nist.gov, SHA256.pdf), and the empty message: (message, hash)
HASHES = (
    (b"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    (b"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    (
        b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
    ),
    (b"a" * 1000, "41edece42d63e8d9bf515a9ba6932e1c20cbc9f5a5d134645adb5db1b9737ea3"),
)

# RFC 4231 §4.2-4.8, without the truncated one: (key, data, MAC)
MACS = (
    (b"\x0b" * 20, b"Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
    (
        b"Jefe", b"what do ya want for nothing?",
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
    ),
    (b"\xaa" * 20, b"\xdd" * 50, "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"),
    (bytes(range(1, 26)), b"\xcd" * 50, "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"),
    (
        b"\xaa" * 131, b"Test Using Larger Than Block-Size Key - Hash Key First",
        "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
    ),
    (
        b"\xaa" * 131,
        b"This is a test using a larger than block-size key and a larger than block-size data. The key needs to be hash"
        b"ed before being used by the HMAC algorithm.",
        "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
    ),
)  # fmt: skip


def test_hashes_of_fips_180():
    for message, digest in HASHES:
        assert hexlify(sha256(message)).decode() == digest


def test_macs_of_rfc_4231():
    for key, data, mac in MACS:
        assert hexlify(hmac(keyed(key), data)).decode() == mac


def test_a_keyed_key_serves_many_messages():
    key = keyed(MACS[0][0])
    first = hmac(key, MACS[0][1])
    assert hmac(key, b"another") != first and hmac(key, MACS[0][1]) == first


def test_the_prf_of_tls_1_2_gives_the_public_vector():
    # P_SHA256, ietf.org/mail-archive/web/tls/current/msg03416.html
    wanted = (
        "e3f229ba727be17b8d122620557cd453c2aab21d07c3d495329b52d4e61edb5a6b301791e90d35c9c9a46b4e14baf9af"
        "0fa022f7077def17abfd3797c0564bab4fbc91666e9def9b97fce34f796789baa48082d122ee42c5a72e5a5110fff70187347b66"
    )
    secret, seed = unhexlify("9bbe436ba940f017b17652849a71db35"), unhexlify("a0ba9f936cda311827a6f796ffd5198c")
    for count in (100, 1, 12, 32, 33, 48, 64, 96):
        assert hexlify(prf(secret, b"test label", seed, count)).decode() == wanted[: 2 * count]


def test_same_is_equality_of_content_and_size():
    assert same(b"", b"") and same(b"abc", b"abc")
    for one, other in ((b"abc", b"abd"), (b"abc", b"bbc"), (b"abc", b"ab"), (b"", b"a"), (b"\x00", b"\x80")):
        assert not same(one, other) and not same(other, one)
