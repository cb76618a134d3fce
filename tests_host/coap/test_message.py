# runs in: cpython, vm, old
"""CoAP messages on the wire (RFC 7252 §3): what is encoded, what is understood, what is refused."""

from ubinascii import hexlify, unhexlify

from coap import message as m


def encoded(kind, code, mid, token=b"", options=(), payload=b""):
    return hexlify(m.encode(m.Message(kind, code, mid, token, options, payload))).decode()


def refusal(data):
    """Whether `decode` takes these bytes for no message."""
    try:
        m.decode(data)
    except m.FormatError:
        return True
    return False


def refused(text):
    return refusal(unhexlify(text))


# encoding


def test_request_of_rfc_7252_figure_16():
    # Appendix A: CON GET, MID 0x7d34, Uri-Path "temperature"
    assert encoded(m.CON, m.GET, 0x7D34, b"", m.path_options(m.URI_PATH, "temperature")) == (
        "40017d34bb" + hexlify(b"temperature").decode()
    )


def test_response_of_rfc_7252_figure_17():
    # with token 0x20 and the payload "22.3 C"
    assert encoded(m.ACK, m.CONTENT, 0x7D35, b"\x20", (), b"22.3 C") == "61457d3520ff32322e332043"


def test_empty_message_is_four_bytes():
    assert encoded(m.ACK, m.EMPTY, 0x3623) == "60003623"
    assert encoded(m.RST, m.EMPTY, 65535) == "7000ffff"


def test_options_go_out_by_number_and_equal_numbers_in_their_order():
    options = [(m.URI_QUERY, b"z"), (m.URI_PATH, b"b"), (m.URI_QUERY, b"a"), (m.URI_PATH, b"a"), (m.OBSERVE, b"")]
    assert encoded(m.CON, m.GET, 1, b"", options) == "40010001" + "60" + "5162" + "0161" + "417a" + "0161"


def test_deltas_and_lengths_have_one_and_two_extended_bytes():
    # RFC 7252 §3.1: 0-12 in the nibble, 13-268 in one more byte, 269-65804 in two
    def option(number, size):
        raw = m.encode(m.Message(m.NON, m.POST, 0, b"", [(number, bytes(size))]))
        assert raw[-size:] == bytes(size) or not size
        return hexlify(raw[4 : len(raw) - size]).decode()

    assert option(12, 12) == "cc"
    assert option(13, 0) == "d000"
    assert option(12, 13) == "cd00"
    assert option(268, 268) == "ddffff"
    assert option(269, 0) == "e00000"
    assert option(12, 269) == "ce0000"
    assert option(65535, 0) == "e0fef2"
    assert option(65535, 1024) == "eefef202f3"


def test_unsigned_options_have_no_leading_zero():
    # RFC 7252 §3.2
    assert [m.uint(n) for n in (0, 1, 255, 256, 11542, 0xFFFFFF)] == [
        b"", b"\x01", b"\xff", b"\x01\x00", b"\x2d\x16", b"\xff\xff\xff",
    ]  # fmt: skip


def test_token_over_8_bytes_is_not_sent():
    assert encoded(m.NON, m.GET, 0, bytes(8)) == "58010000" + "00" * 8
    try:
        m.encode(m.Message(m.NON, m.GET, 0, bytes(9)))
    except ValueError:
        return
    raise AssertionError("nine bytes of token were encoded")


def test_path_becomes_one_option_per_segment():
    assert m.path_options(m.URI_PATH, "/rd/a b/") == [(11, b"rd"), (11, b"a b")]
    assert m.path_options(m.URI_PATH, "") == []


# decoding


def test_what_is_encoded_is_decoded():
    options = [(m.OBSERVE, b"\x01"), (m.URI_PATH, b"19"), (m.URI_PATH, b""), (m.URI_QUERY, bytes(300)), (2049, b"x")]
    for kind in (m.CON, m.NON, m.ACK):
        for token in (b"", b"\x00", b"12345678"):
            for payload in (b"", b"\xff", b"helloworld"):
                code = m.CONTENT
                got = m.decode(m.encode(m.Message(kind, code, 0xBEEF, token, options, payload)))
                assert (got.kind, got.code, got.mid, got.token) == (kind, code, 0xBEEF, token)
                assert got.options == options and got.payload == payload


def test_values_are_bytes_whatever_the_buffer_was():
    data = bytearray(unhexlify("44010001aabbccdd6105ff01"))
    for buffer in (data, memoryview(data)):
        got = m.decode(buffer)
        assert type(got.token) is bytes and type(got.payload) is bytes and type(got.options[0][1]) is bytes
        assert got.token == unhexlify("aabbccdd") and got.payload == b"\x01" and got.options == [(6, b"\x05")]


def test_options_are_asked_by_number():
    got = m.Message(m.CON, m.GET, 1, b"", [(11, b"3"), (11, b"0"), (6, b""), (12, b"\x2d\x16")])
    assert got.path() == "3/0" and got.all(11) == [b"3", b"0"] and got.all(15) == []
    assert got.uint(m.OBSERVE) == 0 and got.uint(m.CONTENT_FORMAT) == 11542 and got.uint(m.ACCEPT) is None


def test_leading_zeros_of_an_unsigned_option_are_understood():
    # RFC 7252 §3.2: a recipient must be prepared for them
    assert m.Message(m.CON, m.GET, 1, b"", [(m.OBSERVE, b"\x00\x00\x01")]).uint(m.OBSERVE) == 1


def test_an_unsigned_option_that_is_too_long_counts_as_absent():
    # RFC 7252 §5.4.3 and §5.10: Content-Format and Accept have 0-2 bytes; RFC 7641 §2: Observe 0-3
    options = [(m.OBSERVE, bytes(4)), (m.CONTENT_FORMAT, bytes(3)), (m.ACCEPT, bytes(3))]
    got = m.Message(m.CON, m.GET, 1, b"", options)
    assert [got.uint(number) for number, _ in options] == [None] * 3


def test_path_bytes_outside_ascii_are_question_marks():
    assert m.Message(m.CON, m.GET, 1, b"", [(11, b"1\x00\xff"), (11, b"~")]).path() == "1??/~"


def test_path_keeps_what_is_printable():
    assert m.Message(m.CON, m.GET, 1, b"", [(11, b" ~!"), (11, b"\x1f\x7f")]).path() == " ~!/??"


def test_a_slash_inside_a_segment_is_no_separator():
    # RFC 7252 §5.10.1: a segment may hold any character, so ("19/0/0",) is not ("19", "0", "0")
    assert m.Message(m.CON, m.GET, 1, b"", [(11, b"19/0/0")]).path() == "19?0?0"


def test_request_codes_are_0_01_to_0_31():
    codes = [code for code in range(256) if m.Message(m.CON, code, 1).is_request()]
    assert codes == list(range(1, 32))


def test_codes_are_those_of_the_rfc_and_written_as_people_do():
    # RFC 7252 §12.1.2
    codes = (
        m.CREATED, m.DELETED, m.CHANGED, m.CONTENT, m.BAD_REQUEST, m.UNAUTHORIZED, m.BAD_OPTION, m.FORBIDDEN,
        m.NOT_FOUND, m.METHOD_NOT_ALLOWED, m.NOT_ACCEPTABLE, m.PRECONDITION_FAILED, m.REQUEST_TOO_LARGE,
        m.UNSUPPORTED_FORMAT, m.UNAVAILABLE,
    )  # fmt: skip
    assert " ".join([m.dotted(code) for code in codes]) == (
        "2.01 2.02 2.04 2.05 4.00 4.01 4.02 4.03 4.04 4.05 4.06 4.12 4.13 4.15 5.03"
    )
    assert [m.dotted(code) for code in (m.EMPTY, m.GET, m.POST, m.PUT, m.DELETE)] == [
        "0.00", "0.01", "0.02", "0.03", "0.04",
    ]  # fmt: skip


def test_options_and_formats_are_those_of_the_registry():
    # RFC 7252 §12.2, §12.3; RFC 7641 §2; RFC 6690 §7.1; OMA LwM2M 1.0 §6.4
    assert (m.OBSERVE, m.LOCATION_PATH, m.URI_PATH, m.CONTENT_FORMAT, m.URI_QUERY, m.ACCEPT) == (6, 8, 11, 12, 15, 17)
    assert (m.TEXT, m.LINK_FORMAT, m.OPAQUE, m.TLV) == (0, 40, 42, 11542)


# refusing


def test_shorter_than_a_header_is_refused():
    for size in range(4):
        assert refusal(b"\x40\x01\x00\x01"[:size])
    assert not refused("40010001")


def test_other_versions_are_refused():
    # RFC 7252 §3: silently ignored
    for first in ("00", "80", "c0"):
        assert refused(first + "010001")


def test_token_lengths_9_to_15_are_refused_even_when_the_bytes_are_there():
    for size in range(9, 16):
        assert refusal(bytes([0x40 | size]) + unhexlify("010001") + bytes(20))


def test_token_cut_short_is_refused():
    assert refused("44010001010203") and not refused("4401000101020304")


def test_reserved_code_classes_are_refused():
    for code in (0x20, 0x3F, 0xC0, 0xDF, 0xE0, 0xFF):
        assert refusal(bytes([0x40, code, 0, 1]))


def test_empty_message_with_anything_behind_its_header_is_refused():
    # RFC 7252 §4.1
    assert refused("4000000100") and refused("41000001aa") and refused("60000001ff61") and refused("41000001")


def test_messages_that_nobody_may_send_are_refused():
    # RFC 7252 §4.2: an ACK carries a response or nothing, a RST nothing; §4.3: a NON is not empty
    assert refused("50000001") and refused("60010001") and refused("601f0001") and refused("70450001")
    assert not (refused("40000001") or refused("60000001") or refused("70000001") or refused("60450001"))


def test_reserved_nibble_15_is_refused_in_delta_and_length():
    for options in ("f0", "f1ff", "0f", "1f" * 20, "f0000000", "0f" + "00" * 20):
        assert refused("40010001" + options)


def test_truncated_options_are_refused():
    whole = unhexlify("40010001" + "d505" + "0102030405" + "e20100" + "aabb" + "0d00" + "00" * 13)
    assert not refusal(whole)
    ends = (4, 11, 16, len(whole))  # the only places where an option ends
    for size in range(4, len(whole) + 1):
        assert refusal(whole[:size]) == (size not in ends), size


def test_marker_without_payload_is_refused():
    assert refused("40010001ff") and refused("400100016105ff") and not refused("40010001ff00")


def test_option_numbers_over_65535_are_refused():
    assert not refused("40010001e0fef2")
    for more in ("e0fef3", "e0fef310", "e0fef210", "e0fef2e0fef2"):
        assert refused("40010001" + more)


def test_no_more_than_32_options_are_kept():
    assert len(m.decode(unhexlify("40010001" + "00" * m.MAX_OPTIONS)).options) == m.MAX_OPTIONS == 32
    assert refused("40010001" + "00" * 33)


def test_digests_of_contents_that_differ_differ():
    contents = [b"", b"a", b"b", b"ab", b"ba", bytes(600), bytes(601)]
    found = [m.digest(data) for data in contents]
    assert len(set(found)) == 7 and max(found) < 1 << 24 and found == [m.digest(data) for data in contents]


# options that must be understood


def test_critical_options_that_are_not_understood_are_named():
    # RFC 7252 §5.4.1; §5.10: If-Match 1, If-None-Match 5 are not understood here; Block2 23, Block1 27 are
    for number in (1, 5, 9, 13, 35, 39, 65001):
        assert m.Message(m.CON, m.GET, 1, b"", [(m.URI_PATH, b"3"), (number, b"")]).critical() == number


def test_elective_and_understood_options_stand_in_nobodys_way():
    options = [(3, b"host"), (6, b""), (7, b"\x16\x33"), (11, b"3"), (12, b"*"), (15, b"a"), (17, b""), (28, b"")]
    assert m.Message(m.CON, m.GET, 1, b"", options).critical() == 0


def test_a_critical_option_that_is_too_long_is_not_understood():
    # RFC 7252 §5.4.3, lengths of §5.10
    for number, longest in ((3, 255), (7, 2), (11, 255), (15, 255), (17, 2), (23, 3), (27, 3)):
        assert m.Message(m.CON, m.GET, 1, b"", [(number, bytes(longest))]).critical() == 0
        assert m.Message(m.CON, m.GET, 1, b"", [(number, bytes(longest + 1))]).critical() == number


def test_a_critical_option_repeated_against_its_kind_is_not_understood():
    # RFC 7252 §5.4.5: Uri-Host, Uri-Port and Accept appear once
    for number in (3, 7, 17, 23, 27):
        assert m.Message(m.CON, m.GET, 1, b"", [(number, b"1"), (number, b"1")]).critical() == number
    for number in (11, 15):
        assert m.Message(m.CON, m.GET, 1, b"", [(number, b"1"), (number, b"1")]).critical() == 0
