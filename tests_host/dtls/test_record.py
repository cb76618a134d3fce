# runs in: cpython, vm, old
"""Records byte by byte: their layout, what their MAC covers, and the replay window. Laid out here by hand from RFC 6347
§4.1, RFC 6655 §3, RFC 5246 §6.2.3.2 and RFC 9146 §4 and §5, with no code of the room but its AES and HMAC."""

from ubinascii import unhexlify

from dtls import (
    cbc,
    ccm,
    soft_aes,  # noqa: F401 - the old VM gets only what a test file names
    soft_aes_inverse,  # noqa: F401
)
from dtls import record as r
from dtls.primitives import decryptor, encryptor, hmac, keyed
from dtls.record import Window

BLOCK_CCM = bytes(range(40))
BLOCK_CBC = bytes(range(96))
ABOVE = 0x123456789ABC  # a sequence number of all 6 bytes


def of_server(block, sizes):
    """The server's protection: the key block with each pair exchanged."""
    out, at = b"", 0
    for size in sizes:
        out += block[at + size : at + 2 * size] + block[at : at + size]
        at += 2 * size
    return out


def test_a_plain_record_is_thirteen_bytes_and_its_content():
    assert r.plain(r.ALERT, ABOVE, b"\x01\x00") == unhexlify("15fefd0000123456789abc00020100")


def test_a_ccm_record_has_the_number_then_data_and_mac():
    sealed = r.seal(ccm.Protection(BLOCK_CCM), r.DATA, ABOVE, b"hello", b"")
    number = unhexlify("0001123456789abc")
    assert sealed[:13] == unhexlify("17fefd") + number + b"\x00\x15" and len(sealed) == 13 + 8 + 5 + 8
    assert sealed[13:21] == number  # the part of the nonce that is sent: epoch and sequence number
    nonce = BLOCK_CCM[32:36] + number  # the client's salt in front
    extra = number + unhexlify("17fefd0005")
    assert ccm.unseal(encryptor(BLOCK_CCM[:16]), nonce, extra, sealed[21:], 8) == b"hello"


def test_a_record_costs_29_bytes_under_ccm_and_30_and_the_id_with_a_connection_id():
    for count in (0, 1, 64):
        assert len(r.seal(ccm.Protection(BLOCK_CCM), r.DATA, 1, bytes(count), b"")) == count + 29
        for cid in (b"\x01", bytes(255)):
            assert len(r.seal(ccm.Protection(BLOCK_CCM), r.DATA, 1, bytes(count), cid)) == count + 30 + len(cid)


def test_a_record_with_a_connection_id_hides_its_type():
    cid = unhexlify("abcdef")
    sealed = r.seal(ccm.Protection(BLOCK_CCM), r.ALERT, ABOVE, b"\x01\x00", cid)
    number = unhexlify("0001123456789abc")
    assert sealed[:14] == unhexlify("19fefd") + number + cid and sealed[14:16] == b"\x00\x13"
    # RFC 9146 §5.3: placeholder, tls12_cid, size of the id, tls12_cid, version, epoch and number, id, length
    extra = b"\xff" * 8 + b"\x19\x03\x19\xfe\xfd" + number + cid + b"\x00\x03"
    plain = ccm.unseal(encryptor(BLOCK_CCM[:16]), BLOCK_CCM[32:36] + number, extra, sealed[24:], 8)
    assert plain == b"\x01\x00" + b"\x15"


def test_a_cbc_record_has_an_iv_then_data_mac_and_padding():
    for count in (0, 14, 15, 16, 40):
        data = bytes(range(count))
        sealed = r.seal(cbc.Protection(BLOCK_CBC), r.DATA, ABOVE, data, b"")
        number = unhexlify("0001123456789abc")
        body = sealed[13:]
        assert sealed[:11] == unhexlify("17fefd") + number and sealed[11] << 8 | sealed[12] == len(body)
        decrypt = decryptor(BLOCK_CBC[64:80])
        plain = b""
        for at in range(16, len(body), 16):
            block = decrypt(body[at : at + 16])
            plain += bytes([block[i] ^ body[at - 16 + i] for i in range(16)])
        pad = plain[-1]
        assert plain[-1 - pad :] == bytes([pad]) * (pad + 1) and pad < 16
        inner = plain[: -1 - pad]
        extra = number + b"\x17\xfe\xfd" + bytes([count >> 8, count & 255])
        assert inner == data + hmac(keyed(BLOCK_CBC[:32]), extra + data)


def test_cbc_ivs_differ_from_record_to_record():
    ivs = [r.seal(cbc.Protection(BLOCK_CBC), r.DATA, number, b"x", b"")[13:29] for number in range(6)]
    assert len(set(ivs)) == 6


def test_what_the_server_seals_is_taken_and_nothing_that_was_changed():
    for module, block, sizes in ((ccm, BLOCK_CCM, (16, 4)), (cbc, BLOCK_CBC, (32, 16))):
        server, client = module.Protection(of_server(block, sizes)), module.Protection(block)
        for count in (0, 20):
            data = bytes(range(count))
            kind, epoch, sequence, fragment = r.records(r.seal(server, r.DATA, 7, data, b""))[0]
            assert (kind, epoch, sequence) == (r.DATA, 1, 7)
            assert r.unseal(client, kind, sequence, fragment) == data
            assert r.unseal(client, r.ALERT, sequence, fragment) is None
            assert r.unseal(client, kind, 8, fragment) is None
            assert r.unseal(server, kind, sequence, fragment) is None  # its own, reflected
            for at in range(0, len(fragment), 3):
                wrong = bytearray(fragment)
                wrong[at] ^= 0x10
                assert r.unseal(client, kind, sequence, bytes(wrong)) is None, (count, at)
            for cut in range(0, len(fragment), 5):
                assert r.unseal(client, kind, sequence, fragment[:cut]) is None


def padded(size, pad, last, mac_right=True):
    """A CBC fragment as a forger with the keys would make it: `pad` bytes of padding, each `last`."""
    data = bytes(size)
    extra = r.number(1, 0) + b"\x17\xfe\xfd" + bytes([size >> 8, size & 255])
    mac = hmac(keyed(BLOCK_CBC[32:64]), extra + data)
    plain = data + (mac if mac_right else bytes(32)) + bytes([last]) * pad + bytes([pad])
    encrypt = encryptor(BLOCK_CBC[80:96])
    out = chain = bytes(16)
    for at in range(0, len(plain), 16):
        chain = encrypt(bytes([chain[i] ^ plain[at + i] for i in range(16)]))
        out += chain
    return out


def test_cbc_padding_of_every_right_size_is_taken_and_no_other():
    client = cbc.Protection(BLOCK_CBC)
    for pad in (0, 15, 31, 255):
        size = -(32 + pad + 1) % 16
        assert r.unseal(client, r.DATA, 0, padded(size, pad, pad)) == bytes(size), pad
        assert r.unseal(client, r.DATA, 0, padded(size, pad, pad, False)) is None
        if pad:
            assert r.unseal(client, r.DATA, 0, padded(size, pad, pad ^ 1)) is None
    # all padding, no room for a MAC
    encrypt = encryptor(BLOCK_CBC[80:96])
    chain = out = bytes(16)
    for _ in range(3):
        chain = encrypt(bytes([chain[i] ^ 47 for i in range(16)]))
        out += chain
    assert r.unseal(client, r.DATA, 0, out) is None


def test_a_datagram_of_several_records_and_what_ends_it():
    one, two = r.plain(r.HANDSHAKE, 1, b"abc"), r.plain(r.ALERT, 2, b"")
    parsed = [(r.HANDSHAKE, 0, 1, b"abc"), (r.ALERT, 0, 2, b"")]
    assert r.records(one + two) == parsed
    assert r.records(b"") == []
    for tail in (b"\x16", one[:-1], one[:12], b"\x16\x03\x03" + one[3:], bytes(40)):
        assert r.records(one + two + tail) == parsed, tail
    assert r.records(one[:2] + b"\xff" + one[3:]) == [parsed[0]]  # DTLS 1.0, as a HelloVerifyRequest may say
    far = r.records(unhexlify("17fefdfffffffffffffffe0000"))
    assert far == [(r.DATA, 0xFFFF, 0xFFFFFFFFFFFE, b"")]


def test_every_sequence_number_is_taken_once_in_any_order():
    window = Window()
    order = [5, 0, 3, 1, 4, 2, 63, 64, 9, 100, 37, 99]
    for number in order:
        assert window.fresh(number), number
        window.take(number)
    for number in order:
        assert not window.fresh(number), number
    assert window.high == 100


def test_the_window_is_64_numbers_wide():
    window = Window()
    window.take(1000)
    assert window.fresh(1000 - 63) and not window.fresh(1000 - 64) and not window.fresh(0) and not window.fresh(1000)
    window.take(1000 - 63)
    assert not window.fresh(1000 - 63)
    window.take(1001)
    assert not window.fresh(1000 - 63)  # out of it now
    assert not window.fresh(1000) and window.fresh(999)


def test_a_great_leap_forgets_what_was_and_keeps_64_bits():
    window = Window()
    for number in range(70):
        window.take(number)
    window.take(2**48 - 1)
    assert window.high == 2**48 - 1 and window.seen == 1
    for back in range(63, 0, -1):
        assert window.fresh(window.high - back)
        window.take(window.high - back)
    assert window.seen == 2**64 - 1 and not window.fresh(69)
    for step in (1, 62, 63, 64, 65):
        other = Window(10**6, 2**64 - 1)
        other.take(10**6 + step)
        assert other.seen == ((2**64 - 1) << step & 2**64 - 1 if step < 64 else 0) | 1, step


def test_the_last_number_of_an_epoch_is_not_exceeded():
    assert not r.spent(2**48 - 1) and r.spent(2**48)
