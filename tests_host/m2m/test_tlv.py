# runs in: cpython, vm, old
"""OMA TLV (LwM2M 1.0 §6.4.3) against the specification's own examples and a reader written from its text."""

from ubinascii import hexlify, unhexlify

from m2m import tlv


def text(data):
    return hexlify(data).decode().upper()


def read(data):
    """[(kind of identifier, id, value)] of TLV bytes, by the table of §6.4.3."""
    out, at = [], 0
    while at < len(data):
        kind = data[at]
        at += 1
        number = data[at]
        at += 1
        if kind & 0x20:
            number = number << 8 | data[at]
            at += 1
        width = kind >> 3 & 3
        size = kind & 7
        if width:
            size = 0
            for byte in data[at : at + width]:
                size = size << 8 | byte
            at += width
        out.append((kind >> 6, number, data[at : at + size]))
        at += size
    assert at == len(data)
    return out


def test_an_instance_holds_its_resources_behind_its_length():
    # §6.4.3: bits 7-6 00; bits 2-0 are a length below 8, else 000
    assert text(tlv.instance(0, bytes(3))) == "0300" + "00" * 3
    assert text(tlv.instance(0, bytes(8))) == "080008" + "00" * 8
    assert text(tlv.instance(1, bytes(256))) == "10010100" + "00" * 256


def test_single_instance_example_of_the_specification():
    # LwM2M 1.0 §6.4.3.1, object 3: maker, model, serial, firmware, battery, memory, time, offset, binding
    assert text(tlv.resource(0, "Open Mobile Alliance")) == "C800144F70656E204D6F62696C6520416C6C69616E6365"
    assert text(tlv.resource(1, "Lightweight M2M Client")) == "C801164C69676874776569676874204D324D20436C69656E74"
    assert text(tlv.resource(2, "345000123")) == "C80209333435303030313233"
    assert text(tlv.resource(3, "1.0")) == "C303312E30"
    assert text(tlv.resource(9, 100)) == "C10964"
    assert text(tlv.resource(10, 15)) == "C10A0F"
    assert text(tlv.resource(13, 1367491215)) == "C40D5182428F"
    assert text(tlv.resource(14, "+02:00")) == "C60E2B30323A3030"
    assert text(tlv.resource(16, "U")) == "C11055"


def test_multiple_resource_examples_of_the_specification():
    # §6.4.3.1: power sources 1 and 5; voltages 3800 and 5000 mV; currents 125 and 900 mA; error code 0
    assert text(tlv.multiple(6, (1, 5))) == "8606410001410105"
    assert text(tlv.multiple(7, (3800, 5000))) == "88070842000ED842011388"
    assert text(tlv.multiple(8, (125, 900))) == "870841007D42010384"
    assert text(tlv.multiple(11, (0,))) == "830B410000"


def test_integers_take_1_2_4_or_8_bytes_of_twos_complement():
    for value, expected in (
        (0, "00"), (-1, "FF"), (127, "7F"), (-128, "80"), (128, "0080"), (-129, "FF7F"), (-102, "9A"),
        (32767, "7FFF"), (-32768, "8000"), (32768, "00008000"), (-32769, "FFFF7FFF"),
        (0x7FFFFFFF, "7FFFFFFF"), (-0x80000000, "80000000"),
        (0x80000000, "0000000080000000"), (-0x80000001, "FFFFFFFF7FFFFFFF"),
        (0x7FFFFFFFFFFFFFFF, "7FFFFFFFFFFFFFFF"),
    ):  # fmt: skip
        assert text(tlv.integer(value)) == expected, value


def test_booleans_are_one_byte():
    assert text(tlv.resource(6, True)) == "C10601" and text(tlv.resource(6, False)) == "C10600"


def test_lengths_move_out_of_the_type_at_8_and_256_bytes():
    assert text(tlv.resource(5, bytes(7))[:2]) == "C705"
    assert text(tlv.resource(5, bytes(8))[:3]) == "C80508"
    assert text(tlv.resource(5, bytes(255))[:3]) == "C805FF"
    assert text(tlv.resource(5, bytes(256))[:4]) == "D0050100"
    assert tlv.resource(5, b"") == unhexlify("C005")


def test_ids_over_255_take_two_bytes():
    assert text(tlv.resource(255, b"a")) == "C1FF61"
    assert text(tlv.resource(256, b"a")) == "E1010061"
    assert text(tlv.resource(65535, bytes(300))[:5]) == "F0FFFF012C"


def test_text_is_utf_8_and_its_length_is_in_bytes():
    assert tlv.resource(0, "\u79fb\u8fdc") == unhexlify("C600") + "\u79fb\u8fdc".encode()


def test_what_is_written_can_be_read():
    data = tlv.resource(0, "Quectel") + tlv.resource(300, bytes(300))
    data += tlv.multiple(7, (3600, -1)) + tlv.resource(9, 88)
    first, second, third, last = read(data)
    assert first == (3, 0, b"Quectel") and second == (3, 300, bytes(300)) and last == (3, 9, b"X")
    assert third[:2] == (2, 7) and read(third[2]) == [(1, 0, b"\x0e\x10"), (1, 1, b"\xff")]
