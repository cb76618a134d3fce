"""The platform's reading of OMA-TLV: the specification's own example, and bytes from anyone."""

import contextlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tools.ctwing.tlv import BadTlv, decode, readable

DEVICE = bytes.fromhex(  # LwM2M 1.0 §6.4.3.1, the single-instance example of a Device object
    "c800144f70656e204d6f62696c6520416c6c69616e6365c801164c69676874776569676874204d324d20436c69656e74"
    "c80209333435303030313233c303312e30860641000141010588070842000ed842011388870841007d42010384c10964c10a0f83"
    "0b410000c40d5182428fc60e2b30323a3030c11055"
)
VALUES = {
    "0": "Open Mobile Alliance", "1": "Lightweight M2M Client", "2": "345000123", "3": "1.0", "6": {"0": 1, "1": 5},
    "7": {"0": 3800, "1": 5000}, "8": {"0": 125, "1": 900}, "9": 100, "10": 15, "11": {"0": 0}, "13": 1367491215,
    "14": "+02:00", "16": "U",
}


def test_the_specifications_device_object_reads_as_it_says():
    assert decode(DEVICE, "/3/0") == VALUES


def test_instances_are_a_level_of_their_own_only_where_the_path_leaves_them_open():
    whole = b"\x08\x00\x79" + DEVICE
    assert len(DEVICE) == 0x79 and decode(whole, "/3") == {"0": VALUES} and decode(whole, "/3/0") == VALUES


@pytest.mark.parametrize(("data", "path", "value"), [
    ("c10964", "/3/0/9", 100), ("860641000141010 5".replace(" ", ""), "/3/0/6", {"0": 1, "1": 5}),
    ("c109ff", "/3/0/9", -1), ("c40900010000", "/3/0/9", 65536), ("c309010203", "/3/0/9", {"hex": "010203"}),
    ("c10601", "/1/0/6", True), ("c10602", "/1/0/6", {"hex": "02"}), ("c200fffe", "/3/0/0", {"hex": "fffe"}),
    ("e1012c05", "/99/0/300", {"hex": "05"}), ("c000", "/3/0/0", ""), ("", "/3/0", {}),
])
def test_a_value_has_its_resources_type_or_is_shown_as_hex(data, path, value):
    assert decode(bytes.fromhex(data), path) == value


@pytest.mark.parametrize(("data", "path", "text"), [
    ("c1", "/3/0", "head"), ("c809", "/3/0", "head"), ("c109", "/3/0", "cut short"), ("c80905aa", "/3/0", "cut short"),
    ("02000200", "/3", "cut short|instance"), ("0600040002 0000 00".replace(" ", ""), "/3", "inside"),
    ("c10964", "", "no path"), ("c10964", "/x", "no path"),
])
def test_bytes_that_are_no_tlv_are_refused(data, path, text):
    with pytest.raises(BadTlv, match=text):
        decode(bytes.fromhex(data), path)


@given(st.binary(max_size=64), st.sampled_from(["/3", "/3/0", "/3/0/6", "/19/0/0", "/1/0/6"]))
@example(b"\x86\x06" * 30, "/3/0")
def test_any_bytes_are_read_or_refused(data, path):
    with contextlib.suppress(BadTlv):
        decode(data, path)


@pytest.mark.parametrize(("body", "content_format", "value"), [
    (b"\xc1\x09\x64", 11542, 100), (b"\xc1\x09", 11542, None), ("é".encode(), 0, "é"), (b"\xff", 0, None),
    (b"</3/0>", 40, "</3/0>"), (b"text", 42, None), (b"text", None, "text"),
])
def test_what_cannot_be_read_is_none(body, content_format, value):
    assert readable(body, "/3/0/9", content_format) == value
