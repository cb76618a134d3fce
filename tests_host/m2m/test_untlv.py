# runs in: cpython, vm, old
"""TLV that a server wrote (LwM2M 1.0 §6.4.3): the specification's own examples, and what is no TLV."""

from ubinascii import unhexlify

from m2m import tlv, untlv


def refused(reader, data):
    try:
        reader(data)
    except untlv.BadTlv:
        return True
    return False


def test_the_single_instance_example_of_the_specification():
    # §6.4.3.1, the start of object 3's instance: maker, model, power sources, battery level, time
    data = unhexlify(
        "C800144F70656E204D6F62696C6520416C6C69616E6365C801164C69676874776569676874204D324D20436C69656E74"
        "8606410001410105C10964C40D5182428F"
    )
    entries = untlv.entries(data)
    assert [entry[:2] for entry in entries] == [(untlv.RESOURCE, 0), (untlv.RESOURCE, 1), (untlv.MULTIPLE, 6),
                                                (untlv.RESOURCE, 9), (untlv.RESOURCE, 13)]  # fmt: skip
    assert entries[0][2] == b"Open Mobile Alliance" and untlv.integer(entries[4][2]) == 1367491215
    inner = untlv.entries(entries[2][2])
    assert [(shape, number, untlv.integer(value)) for shape, number, value in inner] == [
        (untlv.ITEM, 0, 1), (untlv.ITEM, 1, 5),
    ]  # fmt: skip


def test_the_multiple_instance_example_of_the_specification():
    # §6.4.3.2: two instances of the access control object
    data = unhexlify("08000EC10001C101008302417F07C1037F" "080112C10003C101008706417F0761013601C1037F".replace(" ", ""))
    (shape, number, value), second = untlv.entries(data)
    assert (shape, number) == (untlv.INSTANCE, 0) and second[:2] == (untlv.INSTANCE, 1)
    assert untlv.entries(value) == [
        (untlv.RESOURCE, 0, b"\x01"), (untlv.RESOURCE, 1, b"\x00"), (untlv.MULTIPLE, 2, b"\x41\x7f\x07"),
        (untlv.RESOURCE, 3, b"\x7f"),
    ]  # fmt: skip


def test_what_we_write_is_read():
    data = tlv.resource(0, "Quectel") + tlv.resource(300, bytes(300)) + tlv.multiple(7, (3600, -1))
    data += tlv.instance(2, tlv.resource(9, 88)) + tlv.resource(5, bytes(255))
    first, second, third, fourth, last = untlv.entries(data)
    assert first == (untlv.RESOURCE, 0, b"Quectel") and second == (untlv.RESOURCE, 300, bytes(300))
    assert [untlv.integer(value) for _, _, value in untlv.entries(third[2])] == [3600, -1]
    assert fourth == (untlv.INSTANCE, 2, tlv.resource(9, 88)) and last == (untlv.RESOURCE, 5, bytes(255))


def test_a_length_has_up_to_three_bytes():
    assert untlv.entries(unhexlify("D8050000") + b"\x02ab") == [(untlv.RESOURCE, 5, b"ab")]


def test_nothing_is_no_entry():
    assert untlv.entries(b"") == [] and untlv.entries(unhexlify("C005")) == [(untlv.RESOURCE, 5, b"")]


def test_what_is_cut_short_is_refused():
    data = tlv.resource(300, bytes(300))
    for size in range(1, len(data)):
        assert refused(untlv.entries, data[:size]), size
    for text in ("C1", "C105", "E100", "C8", "C805", "D005FF", "D8FFFFFFFF", "C805FF00", "C00541"):
        assert refused(untlv.entries, unhexlify(text)), text


def test_a_level_has_at_most_32_entries():
    assert len(untlv.entries(unhexlify("C005") * 32)) == 32
    assert refused(untlv.entries, unhexlify("C005") * 33)


def test_integers_have_1_2_4_or_8_bytes():
    for value in (0, 1, -1, 127, -128, 128, -129, 32768, 0x7FFFFFFF, -0x80000000, 1 << 40, -(1 << 63), (1 << 63) - 1):
        assert untlv.integer(tlv.integer(value)) == value
    for size in (0, 3, 5, 6, 7, 9):
        assert refused(untlv.integer, bytes(size)), size
