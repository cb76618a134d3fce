# runs in: cpython, vm, old
"""What a server may ask beside the daily round (LwM2M 1.0 §5.4): Write, Write-Attributes, Execute, Discover."""

from ubinascii import unhexlify

from coap import exchange as x
from coap import message as m
from m2m import client as c
from m2m import manage, notices, objects, tlv

BLOB = m.uint(m.OPAQUE)
TEXT = m.uint(m.TEXT)
TREE = m.uint(m.TLV)


class Device:
    """Notes what it was told to do."""

    def __init__(self):
        self.code = m.CHANGED
        self.done = []
        self.values = {(1, 1): 300, (3, 0): "Quectel", (3, 6): [1, 5], (3, 9): 88, (4, 2): -102, (4, 8): 94537995}

    def value(self, number, resource):
        assert objects.kind(number, resource)[0] in "RB", "asked for what cannot be read"
        return self.values.get((number, resource))

    def write(self, number, values, replace):
        self.done.append((number, values, replace))
        return self.code

    def execute(self, number, resource, arguments):
        self.done.append((number, resource, arguments))
        return self.code


class Rig:
    def __init__(self, device=None):
        self.device = device or Device()
        self.mid = 0
        self.exchange = x.Exchange(lambda: 1, 256)
        self.client = c.Client(self.exchange, objects.Tree(self.device), lambda payload: m.CHANGED)

    def ask(self, code, path, payload=b"", form=None, query=(), options=()):
        """The platform asks; returns our answer, after seeing that the event is ASKED."""
        self.mid += 1
        options = m.path_options(m.URI_PATH, path) + list(options)
        options += [(m.URI_QUERY, item) for item in query]
        if form is not None:
            options.append((m.CONTENT_FORMAT, form))
        event = self.client.receive(m.encode(m.Message(m.CON, code, self.mid, b"tk", options, payload)), self.mid)
        assert event == (c.ASKED, path) and len(self.exchange.out) == 1
        return m.decode(self.exchange.out.pop())

    def limit(self, path, *query):
        return self.ask(m.PUT, path, query=query).code

    def discover(self, path):
        answer = self.ask(m.GET, path, options=[(m.ACCEPT, m.uint(m.LINK_FORMAT))])
        assert answer.code == m.CONTENT and answer.uint(m.CONTENT_FORMAT) == m.LINK_FORMAT
        return answer.payload.decode()


# Write


def test_a_resource_is_written_in_text_or_tlv():
    # LwM2M 1.0 §5.4.3, §6.4
    rig = Rig()
    for form, payload in ((TEXT, b"300"), (None, b"300"), (TREE, tlv.resource(1, 300))):
        assert rig.ask(m.PUT, "1/0/1", payload, form).code == m.CHANGED
        assert rig.device.done.pop() == (1, {1: 300}, False)


def test_values_come_in_their_types():
    cases = (
        ("1/0/6", b"1", True), ("1/0/6", b"0", False), ("1/0/7", b"UQ", "UQ"), ("3/0/14", b"+08:00", "+08:00"),
        ("3/0/13", b"1795392000", 1795392000), ("1/0/2", b"-1", -1), ("5/0/1", b"coap://a/b", "coap://a/b"),
        ("1/0/7", b"", ""), ("3/0/15", "\u4e0a\u6d77".encode(), "\u4e0a\u6d77"),
    )  # fmt: skip
    for path, payload, value in cases:
        rig = Rig()
        assert rig.ask(m.PUT, path, payload, TEXT).code == m.CHANGED
        number, values, replace = rig.device.done[0]
        assert values == {int(path.split("/")[2]): value} and not replace, path
        assert isinstance(values[int(path.split("/")[2])], type(value))
        assert rig.ask(m.PUT, path, tlv.resource(int(path.split("/")[2]), value), TREE).code == m.CHANGED
        assert rig.device.done[0] == rig.device.done[1]


def test_a_package_is_written_as_opaque():
    rig = Rig()
    for form, payload in ((BLOB, b"\x00\xff"), (None, b"\x00\xff"), (TREE, tlv.resource(0, b"\x00\xff"))):
        assert rig.ask(m.PUT, "5/0/0", payload, form).code == m.CHANGED
        assert rig.device.done.pop() == (5, {0: b"\x00\xff"}, False)


def test_an_instance_is_replaced_by_put_and_updated_by_post():
    rig = Rig()
    payload = tlv.resource(1, 300) + tlv.resource(7, "U") + tlv.resource(6, True)
    for data in (payload, tlv.instance(0, payload)):  # §6.4.3: with or without the instance around it
        for code, replace in ((m.PUT, True), (m.POST, False)):
            assert rig.ask(code, "1/0", data, TREE).code == m.CHANGED
            assert rig.device.done.pop() == (1, {1: 300, 7: "U", 6: True}, replace)


def test_what_the_device_answers_to_a_write_is_passed_on():
    rig = Rig()
    rig.device.code = m.BAD_REQUEST
    assert rig.ask(m.PUT, "1/0/1", b"1").code == m.BAD_REQUEST


def test_content_that_makes_no_sense_is_a_bad_request_and_writes_nothing():
    cases = (
        ("1/0/1", b"", TEXT), ("1/0/1", b"x", TEXT), ("1/0/1", b"1.5", TEXT), ("1/0/1", b"+1", TEXT),
        ("1/0/1", b" 1", TEXT), ("1/0/1", b"1e3", TEXT), ("1/0/1", b"9" * 21, TEXT), ("1/0/6", b"2", TEXT),
        ("1/0/1", b"\xc2\xb2", TEXT), ("1/0/7", b"\xff", TEXT), ("1/0/6", b"true", TEXT), ("1/0/1", b"--1", TEXT),
        ("1/0/1", b"", TREE), ("1/0/1", tlv.resource(2, 1), TREE), ("1/0/1", tlv.multiple(1, (1,)), TREE),
        ("1/0/1", unhexlify("C301000001"), TREE), ("1/0/1", unhexlify("C001"), TREE), ("1/0/1", b"\xff", TREE),
        ("1/0/6", tlv.resource(6, 2), TREE), ("1/0/7", unhexlify("C107FF"), TREE), ("1/0", b"", TREE),
        ("1/0", tlv.resource(1, 1) + tlv.resource(1, 1), TREE), ("1/0", tlv.resource(1, 1) + b"\xc1", TREE),
        ("1/0", tlv.instance(0, b""), TREE), ("1/0/1", tlv.instance(0, tlv.resource(1, 1)), TREE),
        ("1/0", tlv.instance(0, tlv.instance(0, tlv.resource(1, 1))), TREE), ("1/0", b"", None),
        ("1/0", tlv.instance(1, tlv.resource(1, 1)), TREE),
    )  # fmt: skip
    rig = Rig()
    for path, payload, form in cases:
        assert rig.ask(m.PUT, path, payload, form).code == m.BAD_REQUEST, (path, payload)
        assert rig.device.done == [], (path, payload)


def test_a_write_of_several_is_all_or_nothing():
    rig = Rig()
    for bad, code in (
        (tlv.resource(0, 5), m.METHOD_NOT_ALLOWED), (tlv.resource(4, 5), m.METHOD_NOT_ALLOWED),
        (tlv.resource(30, 5), m.NOT_FOUND), (tlv.resource(6, 7), m.BAD_REQUEST),
    ):  # fmt: skip
        assert rig.ask(m.POST, "1/0", tlv.resource(1, 300) + bad, TREE).code == code
    assert rig.device.done == []


def test_another_format_is_unsupported():
    # 11543 is LwM2M's JSON
    rig = Rig()
    for path, form in (("1/0/1", m.OPAQUE), ("5/0/0", m.TEXT), ("1/0", m.TEXT), ("1/0", 11543), ("1/0/1", 11543)):
        assert rig.ask(m.PUT, path, b"1", m.uint(form)).code == m.UNSUPPORTED_FORMAT, path
    assert rig.ask(m.POST, "3/0/4", b"1", TREE).code == m.UNSUPPORTED_FORMAT
    assert rig.device.done == []


def test_what_cannot_be_written_is_not_allowed():
    rig = Rig()
    for path in ("1/0/0", "3/0/0", "3/0/9", "4/0/8", "3/0/4", "3", "1", "19", "19/0", "19/1", "19/0/0"):
        assert rig.ask(m.PUT, path, b"1").code == m.METHOD_NOT_ALLOWED, path
    assert rig.device.done == []


# Execute, Create, Delete


def test_what_can_be_executed_is_executed_with_its_arguments():
    rig = Rig()
    for path, payload in (("3/0/4", b""), ("3/0/12", b""), ("1/0/4", b""), ("1/0/8", b""), ("5/0/2", b"0='a',1")):
        assert rig.ask(m.POST, path, payload).code == m.CHANGED
        number, _, resource = path.split("/")
        assert rig.device.done.pop() == (int(number), int(resource), payload)
    assert rig.ask(m.POST, "3/0/4", b"", TEXT).code == m.CHANGED
    rig.device.code = m.METHOD_NOT_ALLOWED
    assert rig.ask(m.POST, "5/0/2").code == m.METHOD_NOT_ALLOWED


def test_what_cannot_be_executed_is_not_allowed_and_a_factory_reset_is_not_there():
    rig = Rig()
    for path in ("3/0/0", "1/0/1", "5/0/0", "19/0/0", "19/1/0"):
        assert rig.ask(m.POST, path).code == m.METHOD_NOT_ALLOWED, path
    assert rig.ask(m.POST, "3/0/5").code == m.NOT_FOUND
    assert rig.device.done == []


def test_nothing_is_created_or_deleted():
    rig = Rig()
    for path in ("1", "3", "5", "19"):
        assert rig.ask(m.POST, path, tlv.instance(1, tlv.resource(1, 1)), TREE).code == m.METHOD_NOT_ALLOWED
    for path in ("1/0", "3/0/9", "5", "19/0/0"):
        assert rig.ask(m.DELETE, path).code == m.METHOD_NOT_ALLOWED
    assert rig.device.done == []


def test_wrong_methods_are_not_allowed_and_ask_the_device_nothing():
    # RFC 7252 §5.9.2.6; 5 is FETCH (RFC 8132)
    asked = []
    rig = Rig(lambda number, resource: asked.append(resource))  # a device that is a function takes no Write
    cases = ((m.POST, "3/0/9"), (m.PUT, "1/0/1"), (m.PUT, "3/0"), (m.DELETE, "3/0"), (m.POST, "19/1/0"),
             (m.DELETE, "19/1/0"), (m.PUT, "19/0/0"), (m.GET, "19/1/0"), (5, "3/0"), (31, "19/0/0"),
             (m.POST, "3/0/4"))  # fmt: skip
    for code, path in cases:
        assert rig.ask(code, path).code == m.METHOD_NOT_ALLOWED, path
    assert asked == []


# Write-Attributes


def test_periods_are_set_at_every_level_and_limits_on_a_number():
    # §5.1.2, §5.4.4
    rig = Rig()
    assert rig.limit("3", b"pmin=10", b"pmax=60") == m.CHANGED
    assert rig.limit("3/0", b"pmax=3600") == m.CHANGED
    assert rig.limit("3/0/9", b"pmin=0", b"gt=80.5", b"lt=20", b"st=5") == m.CHANGED
    assert rig.limit("4/0/2", b"lt=-110") == m.CHANGED
    assert rig.client.attributes == {
        "3": {"pmin": 10, "pmax": 60}, "3/0": {"pmax": 3600},
        "3/0/9": {"pmin": 0, "gt": 80.5, "lt": 20, "st": 5}, "4/0/2": {"lt": -110},
    }  # fmt: skip
    assert rig.device.done == []


def test_limits_at_the_edge_of_what_makes_sense_are_taken():
    # §5.1.2: pmax not below pmin; lt + 2 * st below gt
    for query in (
        (b"pmin=60", b"pmax=60"), (b"pmin=0", b"pmax=1"), (b"pmax=1073741823",), (b"lt=1", b"gt=2"),
        (b"lt=1", b"gt=4", b"st=1"), (b"st=0.5",),
    ):  # fmt: skip
        assert Rig().limit("3/0/9", *query) == m.CHANGED, query
    assert Rig().limit("3/0/9", b"lt=1", b"gt=3", b"st=1") == m.BAD_REQUEST


def test_an_attribute_without_a_value_goes_and_the_others_stay():
    rig = Rig()
    rig.limit("3/0", b"pmin=10", b"pmax=60")
    assert rig.limit("3/0", b"pmin") == m.CHANGED and rig.client.attributes == {"3/0": {"pmax": 60}}
    assert rig.limit("3/0", b"pmax=", b"pmin=5") == m.CHANGED and rig.client.attributes == {"3/0": {"pmin": 5}}
    assert rig.limit("3/0", b"pmin=") == m.CHANGED and rig.client.attributes == {}


def test_a_query_that_makes_no_sense_changes_nothing():
    rig = Rig()
    rig.limit("3/0/9", b"pmin=10", b"lt=20")
    for query in (
        (b"pmin=1", b"pmax=x"), (b"pmax=5",), (b"pmax=0",), (b"pmin=-1",), (b"pmin=1.5",), (b"pmin=99999999999",),
        (b"pmax=1073741824",), (b"gt=20",), (b"gt=10",), (b"gt=24", b"st=2"), (b"st=0",), (b"st=-1",), (b"gt=nan",),
        (b"gt=1e3",), (b"gt=inf",), (b"gt=1_0",), (b"gt=.",), (b"gt=1.",), (b"gt=\xc2\xb2",), (b"gt=1.2.3",),
        (b"ver=1",), (b"",), (b"=5",), (b"PMIN=1",), (b"\xff=1",), (b"pmin=5", b"dim=2"), (b"gt=" + b"9" * 21,),
        (b"pmin=1=2",),
    ):  # fmt: skip
        assert rig.limit("3/0/9", *query) == m.BAD_REQUEST, query
        assert rig.client.attributes == {"3/0/9": {"pmin": 10, "lt": 20}}, query
    assert rig.ask(m.PUT, "3/0/9", b"88", TEXT, (b"pmin=5",)).code == m.BAD_REQUEST  # a Write has no query
    assert rig.device.done == []


def test_limits_are_for_single_numbers():
    rig = Rig()
    for path in ("3", "3/0", "3/0/0", "3/0/7", "3/0/13", "1/0/6"):
        for name in (b"gt=1", b"lt=1", b"st=1"):
            assert rig.limit(path, name) == m.BAD_REQUEST, path
    assert rig.client.attributes == {}


def test_attributes_are_for_what_can_be_observed_and_is_there():
    rig = Rig()
    for path, code in (
        ("3/0/4", m.METHOD_NOT_ALLOWED), ("5/0/0", m.METHOD_NOT_ALLOWED), ("19/0/0", m.METHOD_NOT_ALLOWED),
        ("19/1/0", m.METHOD_NOT_ALLOWED), ("3/0/5", m.NOT_FOUND), ("7", m.NOT_FOUND),
    ):  # fmt: skip
        assert rig.limit(path, b"pmin=5") == code, path
    assert rig.client.attributes == {}


def test_a_downlink_with_a_query_is_still_a_downlink():
    rig = Rig()
    options = m.path_options(m.URI_PATH, "19/1/0") + [(m.URI_QUERY, b"x=1")]
    event = rig.client.receive(m.encode(m.Message(m.CON, m.PUT, 7, b"tk", options, b"valve")), 0)
    assert event == (c.WRITTEN, b"valve")


def test_attributes_of_sixteen_paths_are_kept():
    rig = Rig()
    paths = ["4/0/" + str(resource) for resource in range(11)] + ["3/0/0", "3/0/1", "3/0/2", "3/0/3", "1"]
    for path in paths:
        assert rig.limit(path, b"pmin=5") == m.CHANGED
    assert rig.limit("3", b"pmin=5") == m.UNAVAILABLE and rig.limit("1", b"pmin=6") == m.CHANGED
    assert sorted(rig.client.attributes) == sorted(paths)
    assert rig.limit("1", b"pmin") == m.CHANGED and rig.limit("3", b"pmin=5") == m.CHANGED


def test_attributes_outlive_a_registration():
    rig = Rig()
    rig.limit("3/0", b"pmax=60")
    rig.client.register(0, "me", 300, "U")
    assert rig.client.attributes == {"3/0": {"pmax": 60}}


# Discover


def test_an_instance_shows_its_resources_and_their_attributes():
    # §5.4.2: the example's shape
    rig = Rig()
    rig.limit("3/0", b"pmin=10", b"pmax=60")
    rig.limit("3/0/9", b"gt=50", b"lt=42.5")
    assert rig.discover("3/0") == (
        "</3/0>;pmax=60;pmin=10,</3/0/0>,</3/0/4>,</3/0/6>;dim=2,</3/0/9>;gt=50;lt=42.5,</3/0/12>"
    )


def test_an_object_shows_its_instance_too():
    rig = Rig()
    rig.limit("4/0", b"pmin=10")
    assert rig.discover("4") == "</4>,</4/0>;pmin=10,</4/0/2>,</4/0/8>"
    assert rig.discover("5") == "</5>,</5/0>,</5/0/0>,</5/0/1>,</5/0/2>"


def test_a_resource_shows_all_attributes_that_count_for_it():
    rig = Rig()
    rig.limit("3", b"pmin=1", b"pmax=60")
    rig.limit("3/0", b"pmin=10")
    rig.limit("3/0/9", b"st=5")
    assert rig.discover("3/0/9") == "</3/0/9>;pmax=60;pmin=10;st=5"
    assert rig.discover("3/0/6") == "</3/0/6>;dim=2;pmax=60;pmin=10"
    assert rig.discover("3/0/4") == "</3/0/4>;pmax=60;pmin=10"
    assert notices.in_force(rig.client.attributes, "3/0/9") == {"pmin": 10, "pmax": 60, "st": 5}


def test_discover_shows_nothing_of_the_data_channel_and_of_what_is_not_there():
    rig = Rig()
    accept = [(m.ACCEPT, m.uint(m.LINK_FORMAT))]
    for path, code in (
        ("19", m.METHOD_NOT_ALLOWED), ("19/1/0", m.METHOD_NOT_ALLOWED), ("7", m.NOT_FOUND), ("3/0/7", m.NOT_FOUND),
    ):  # fmt: skip
        assert rig.ask(m.GET, path, options=accept).code == code
    assert rig.ask(m.GET, "19/0/0", options=accept).code == m.CONTENT  # as every read of it


def test_discover_is_no_observation():
    rig = Rig()
    rig.ask(m.GET, "3/0", options=[(m.ACCEPT, m.uint(m.LINK_FORMAT)), (m.OBSERVE, b"")])
    assert rig.client.tokens == {}


def test_a_number_is_digits_and_at_most_one_point():
    assert manage.decimal(b"-12.5") == -12.5 and manage.decimal(b"007") == 7 and manage.decimal(b"0") == 0
    assert manage.decimal(b"9" * 20) == 10**20 - 1 and manage.decimal(b"9" * 21) is None
    for text in (b"", b"-", b".5", b"5.", b"1,5", b"0x1", b"1 ", b"\xb2"):
        assert manage.decimal(text) is None, text
