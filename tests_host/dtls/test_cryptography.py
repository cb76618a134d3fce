"""Record protection against the library `cryptography`: what we seal it opens, what it seals we open."""

import hashlib
import hmac as their_hmac
from random import Random

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESCCM
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dtls import cbc, ccm, primitives, soft_aes
from dtls import record as r

sure = settings(derandomize=True, deadline=None, max_examples=150)  # the same cases in every run

KEYS = st.binary(min_size=16, max_size=16)
NUMBERS = st.integers(0, 2**48 - 1)
KINDS = st.sampled_from([r.ALERT, r.HANDSHAKE, r.DATA])
CIDS = st.binary(max_size=20)
DATA = st.binary(max_size=400)


def theirs(key):
    return Cipher(algorithms.AES(key), modes.ECB())


def test_our_aes_is_theirs_under_random_keys_both_ways():
    random = Random(197)
    for _ in range(200):
        key, data = random.randbytes(16), random.randbytes(16 * random.randrange(1, 5))
        sealed = theirs(key).encryptor().update(data)
        assert soft_aes.Aes128(key).encrypt(data) == sealed
        assert soft_aes.Aes128(key).decrypt(sealed) == data


@sure
@given(KEYS, st.binary(min_size=7, max_size=13), st.binary(max_size=300), DATA, st.sampled_from(range(4, 17, 2)))
def test_ccm_is_theirs_with_every_size_of_nonce_and_mac(key, nonce, extra, data, tag):
    sealed = AESCCM(key, tag_length=tag).encrypt(nonce, data, extra)
    encrypt = primitives.encryptor(key)
    assert ccm.seal(encrypt, nonce, extra, data, tag) == sealed
    assert ccm.unseal(encrypt, nonce, extra, sealed, tag) == data


@sure
@given(KEYS, DATA, st.integers(0, 10**9))
def test_what_they_refuse_we_refuse(key, data, place):
    sealed = bytearray(AESCCM(key, tag_length=8).encrypt(bytes(12), data, b"extra"))
    sealed[place % len(sealed)] ^= 1 << place % 8
    with pytest.raises(InvalidTag):
        AESCCM(key, tag_length=8).decrypt(bytes(12), bytes(sealed), b"extra")
    assert ccm.unseal(primitives.encryptor(key), bytes(12), b"extra", bytes(sealed), 8) is None


@sure
@given(st.binary(min_size=40, max_size=40), KINDS, NUMBERS, DATA, CIDS)
@example(bytes(40), r.DATA, 0, b"", b"")
def test_ccm_records_are_opened_by_them(block, kind, sequence, data, cid):
    record = r.seal(ccm.Protection(block), kind, sequence, data, cid)
    number = b"\0\1" + sequence.to_bytes(6, "big")
    if cid:  # RFC 9146 §5.3
        inner = data + bytes([kind])
        head = b"\x19\xfe\xfd" + number + cid
        extra = b"\xff" * 8 + b"\x19" + bytes([len(cid)]) + head + len(inner).to_bytes(2, "big")
    else:
        inner, head = data, bytes([kind]) + b"\xfe\xfd" + number
        extra = number + bytes([kind]) + b"\xfe\xfd" + len(inner).to_bytes(2, "big")
    assert record[: len(head) + 2] == head + (len(inner) + 16).to_bytes(2, "big")
    fragment = record[len(head) + 2 :]
    assert fragment[:8] == number
    assert AESCCM(block[:16], tag_length=8).decrypt(block[32:36] + number, fragment[8:], extra) == inner


@sure
@given(st.binary(min_size=40, max_size=40), KINDS, NUMBERS, DATA, st.binary(min_size=8, max_size=8))
def test_ccm_records_of_theirs_are_opened_whatever_their_explicit_nonce(block, kind, sequence, data, explicit):
    # RFC 6655 §3: the sender chooses the explicit part of the nonce
    extra = b"\0\1" + sequence.to_bytes(6, "big") + bytes([kind]) + b"\xfe\xfd" + len(data).to_bytes(2, "big")
    sealed = AESCCM(block[16:32], tag_length=8).encrypt(block[36:40] + explicit, data, extra)
    assert r.unseal(ccm.Protection(block), kind, sequence, explicit + sealed) == data


def mac(key, kind, sequence, data):
    """RFC 5246 §6.2.3.1 with RFC 6347 §4.1.2.1's number."""
    head = b"\0\1" + sequence.to_bytes(6, "big") + bytes([kind]) + b"\xfe\xfd" + len(data).to_bytes(2, "big")
    return their_hmac.digest(key, head + data, hashlib.sha256)


@sure
@given(st.binary(min_size=96, max_size=96), KINDS, NUMBERS, DATA)
def test_cbc_records_are_opened_by_them(block, kind, sequence, data):
    record = r.seal(cbc.Protection(block), kind, sequence, data, b"")
    assert record[:11] == bytes([kind]) + b"\xfe\xfd\0\1" + sequence.to_bytes(6, "big")
    fragment = record[13:]
    assert record[11:13] == len(fragment).to_bytes(2, "big")
    cipher = Cipher(algorithms.AES(block[64:80]), modes.CBC(fragment[:16])).decryptor()
    plain = cipher.update(fragment[16:]) + cipher.finalize()
    pad = plain[-1]
    assert plain == data + mac(block[:32], kind, sequence, data) + bytes([pad]) * (pad + 1)


@sure
@given(
    st.binary(min_size=96, max_size=96), KINDS, NUMBERS, DATA, st.binary(min_size=16, max_size=16), st.integers(0, 15)
)
def test_cbc_records_of_theirs_are_opened_whatever_their_padding(block, kind, sequence, data, start, more):
    plain = data + mac(block[32:64], kind, sequence, data)
    pad = 15 - len(plain) % 16 + 16 * more
    plain += bytes([pad]) * (pad + 1)
    cipher = Cipher(algorithms.AES(block[80:96]), modes.CBC(start)).encryptor()
    fragment = start + cipher.update(plain) + cipher.finalize()
    assert r.unseal(cbc.Protection(block), kind, sequence, fragment) == data
    wrong = bytearray(fragment)
    wrong[-17] ^= 1  # the last byte of padding: its length
    assert r.unseal(cbc.Protection(block), kind, sequence, bytes(wrong)) is None


@sure
@given(st.binary(min_size=1, max_size=200), st.binary(max_size=300), st.binary(max_size=100), st.integers(1, 200))
def test_hmac_and_prf_are_theirs(key, data, label, count):
    assert primitives.hmac(primitives.keyed(key), data) == their_hmac.digest(key, data, hashlib.sha256)
    out, chain, seed = b"", label + data, label + data
    while len(out) < count:  # RFC 5246 §5
        chain = their_hmac.digest(key, chain, hashlib.sha256)
        out += their_hmac.digest(key, chain + seed, hashlib.sha256)
    assert primitives.prf(key, label, data, count) == out[:count]
