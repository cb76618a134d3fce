# runs in: cpython, vm, old
"""What a server reads of the object tree: paths, formats, and what this device has not."""

from ubinascii import unhexlify

from coap import message as m
from m2m import objects, tlv

# object, resource -> operations of LwM2M 1.0 appendix E.1, E.3, E.4, E.6; M: holds instances
STANDARD = {
    1: "0R 1RW 2RW 3RW 4E 5RW 6RW 7RW 8E",
    3: "0R 1R 2R 3R 4E 6RM 7RM 8RM 9R 10R 11RM 12E 13RW 14RW 15RW 16R 17R 18R 19R 20R 21R",
    4: "0R 1RM 2R 3R 4RM 5RM 6R 7RM 8R 9R 10R",
    5: "0W 1W 2E 3R 5R 6R 7R 8RM 9R",
}

VALUES = {
    (1, 0): 1, (1, 1): 86400, (1, 7): "UQ",
    (1, 6): True, (3, 0): "Quectel", (3, 6): [1, 5], (3, 14): "+08:00",
    (3, 2): "868543060974334", (3, 7): 3600, (3, 9): 88, (3, 11): 0, (3, 13): 1795392000,
    (5, 3): 0, (4, 0): 5, (4, 1): [6], (4, 2): -102, (4, 4): "10.1.2.3", (4, 8): 94537995,
}  # fmt: skip

asked = []


def value(number, resource):
    asked.append((number, resource))
    return VALUES.get((number, resource))


def read(path, accept=None):
    return objects.Tree(value).read(path, accept)


def test_links_name_what_can_be_asked():
    # ctwing.md §2.1: China Telecom's SDK's; object 0 is omitted
    assert objects.LINKS == b'</>;rt="oma.lwm2m",</1/0>,</3/0>,</4/0>,</5>,</19/0>,</19/1>'


def test_an_instance_is_tlv_of_what_the_device_has():
    # LwM2M 1.0 appendix E.4: voltage and error code hold instances; ctwing.md §2.2: the platform's Observe 3/0
    assert read("3/0") == (
        m.CONTENT,
        m.TLV,
        tlv.resource(0, "Quectel") + tlv.resource(2, "868543060974334") + tlv.multiple(6, (1, 5))
        + tlv.multiple(7, (3600,)) + tlv.resource(9, 88) + tlv.multiple(11, (0,)) + tlv.resource(13, 1795392000)
        + tlv.resource(14, "+08:00"),
    )  # fmt: skip


def test_the_addresses_of_object_4_hold_instances():
    # appendix E.5
    assert tlv.multiple(4, ("10.1.2.3",)) in read("4/0")[2]


def test_an_object_is_tlv_of_its_one_instance():
    # LwM2M 1.0 §5.4.1: the instance id may be left out
    for number in (1, 3, 4, 5):
        code, form, payload = read(str(number))
        assert (code, form) == (m.CONTENT, m.TLV)
        assert payload == tlv.instance(0, read(str(number) + "/0")[2])


def test_a_resource_is_text():
    assert read("3/0/0") == (m.CONTENT, m.TEXT, b"Quectel")
    assert read("4/0/2") == (m.CONTENT, m.TEXT, b"-102")
    assert read("4/0/8") == (m.CONTENT, m.TEXT, b"94537995")  # the platform's GET, ctwing.md §2.2


def test_a_boolean_is_a_digit_and_a_byte():
    # LwM2M 1.0 appendix C
    assert read("1/0/6") == (m.CONTENT, m.TEXT, b"1")
    assert read("1/0/6", m.TLV) == (m.CONTENT, m.TLV, unhexlify("C10601"))
    no = objects.Tree(lambda number, resource: False)
    assert [no.read("1/0/6", form)[2] for form in (None, m.TLV)] == [b"0", unhexlify("C10600")]


def test_a_resource_with_instances_is_tlv_because_text_is_for_single_ones():
    # LwM2M 1.0 §6.4
    assert read("3/0/7") == (m.CONTENT, m.TLV, tlv.multiple(7, (3600,)))
    assert read("3/0/6") == (m.CONTENT, m.TLV, tlv.multiple(6, (1, 5)))
    assert tlv.multiple(6, (1, 5)) == unhexlify("8606410001410105")  # §6.4.3.1
    assert read("4/0/4") == (m.CONTENT, m.TLV, tlv.multiple(4, ("10.1.2.3",)))


def test_a_resource_is_tlv_where_that_is_asked_for():
    assert read("4/0/8", m.TLV) == (m.CONTENT, m.TLV, tlv.resource(8, 94537995))
    assert read("4/0/8", m.TEXT) == (m.CONTENT, m.TEXT, b"94537995")
    assert read("3/0", m.TLV)[:2] == (m.CONTENT, m.TLV)


def test_a_format_we_do_not_speak_is_not_acceptable():
    # RFC 7252 §5.10.4; 11543 is LwM2M's JSON
    for path, accept in (("3/0", 11543), ("3", m.TEXT), ("4/0/8", m.OPAQUE), ("3/0/7", m.TEXT), ("3/0", m.LINK_FORMAT)):
        assert read(path, accept) == (m.NOT_ACCEPTABLE, None, b""), path


def test_the_data_channel_up_reads_empty_whatever_is_accepted():
    # ctwing.md §2.3: prefer an empty first answer; §2.2: Huawei's kind asks with Accept octet-stream
    for accept in (None, m.OPAQUE, m.TEXT, 11543):
        assert read("19/0/0", accept) == (m.CONTENT, m.OPAQUE, b"")


def test_the_data_channel_down_cannot_be_read():
    for path in ("19/1/0", "19/1", "19/0", "19"):
        assert read(path) == (m.METHOD_NOT_ALLOWED, None, b""), path


def test_what_this_device_has_not_is_not_found():
    paths = (
        "", "/", "0", "0/0", "2/0", "3/1", "3/0/5", "3/0/1", "3/0/0/0", "3/0/22", "5/0/4", "5/0/5", "7/0",
        "19/2", "19/0/1", "19/1/1", "19/1/0/0",
        "rd", ".well-known/core", "3/", "3//0", "/3/0", "3/0/", "3/x", "3/-1", "3/ 0", "3/0?", "03/0", "3/00",
        "3/0/65536", "99999999999999999999", "3/0/" + "9" * 200,
    )  # fmt: skip
    for path in paths:
        assert read(path) == (m.NOT_FOUND, None, b""), path


def test_the_resources_are_the_standards():
    for number, text in STANDARD.items():
        expected = {}
        for item in text.split():
            resource = item.rstrip("RWEM")
            expected[int(resource)] = item[len(resource) :]
        for resource in range(40):
            letters = objects.kind(number, resource)
            operations = {"R": "R", "W": "W", "B": "RW", "E": "E", ".": ""}[letters[:1] or "."]
            operations += "M" if "A" <= letters[1:] < "a" and operations else ""
            assert operations == expected.get(resource, ""), (number, resource)


def test_every_readable_resource_that_has_a_value_is_found_and_no_other():
    for number in STANDARD:
        for resource in range(40):
            code = read(str(number) + "/0/" + str(resource))[0]
            if objects.kind(number, resource)[:1] in ("W", "E"):
                assert code == m.METHOD_NOT_ALLOWED, (number, resource)
            else:
                assert code == (m.CONTENT if (number, resource) in VALUES else m.NOT_FOUND), (number, resource)


def test_a_known_path_is_told_without_asking_for_its_value():
    del asked[:]
    for path in ("3", "3/0", "3/0/9", "3/0/4", "4/0/8", "5/0/0", "19", "19/0/0", "19/1/0"):
        assert objects.known(path), path
    assert not objects.known("3/0/5") and not objects.known("19/1/1") and asked == []


def test_ids_are_numbers_of_16_bits_as_lwm2m_writes_them():
    assert objects.numbers("65535/0/9") == [65535, 0, 9]
    for text in ("65536", "", "a", "1/", "+1", "1.0", "01", "1/00"):
        assert objects.numbers(text) is None, text
