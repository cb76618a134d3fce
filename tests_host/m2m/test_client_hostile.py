"""The client under whatever comes: it never raises, answers at most once, and its state stays small."""

from hypothesis import example, given, settings
from hypothesis import strategies as st

from coap import exchange as x
from coap import message as m
from m2m import client as c
from m2m import manage, notices, objects, tlv, untlv

sure = settings(max_examples=400, deadline=None, derandomize=True)  # the same cases in every run

READABLE = ("1", "3", "4", "5")
SEGMENTS = st.sampled_from([b"19", b"0", b"1", b"3", b"4", b"5", b"8", b"9", b"rd", b"", b"\xff"]) | st.binary()
PATHS = st.lists(SEGMENTS, max_size=4) | st.sampled_from(
    ["1", "3", "5", "1/0", "3/0", "4/0", "19/0/0", "19/1/0", "3/0/9", "3/0/4", "1/0/1", "1/0/7", "4/0/8", "5/0/0"]
).map(lambda path: [part.encode() for part in path.split("/")])
QUERIES = st.lists(
    st.sampled_from([b"pmin=1", b"pmax=5", b"pmin", b"gt=5", b"lt=1.5", b"st=2", b"pmax="]) | st.binary(max_size=8),
    max_size=3,
)
BLOCKS = st.builds(
    lambda number, more, szx: m.uint(number << 4 | more << 3 | szx),
    st.sampled_from([0, 1, 2, 3, 0xFFFFF]), st.integers(0, 1), st.sampled_from([0, 0, 0, 2, 5, 6, 7]),
)  # fmt: skip
FORMATS = st.sampled_from([m.TEXT, m.OPAQUE, m.TLV, m.LINK_FORMAT, 11543]).map(m.uint)
OTHERS = st.lists(
    st.tuples(st.sampled_from([23, 27]), BLOCKS)
    | st.tuples(st.sampled_from([m.CONTENT_FORMAT, m.ACCEPT]), FORMATS)
    | st.tuples(st.just(m.OBSERVE), st.sampled_from([b"", b"\x01", b"\x02"]))
    | st.tuples(st.sampled_from([m.OBSERVE, m.CONTENT_FORMAT, m.ACCEPT, 8, 9, 28, 60]), st.binary(max_size=4)),
    max_size=3,
)  # fmt: skip
VALUES = st.one_of(
    st.binary(max_size=20), st.sampled_from([b"0", b"1", b"300", bytes(16), bytes(32), bytes(600), bytes(1100)]),
    st.builds(tlv.resource, st.integers(0, 20), st.integers(-5, 300) | st.binary(max_size=5)),
)  # fmt: skip
REQUESTS = st.builds(
    lambda kind, code, mid, token, path, query, options, payload: m.encode(
        m.Message(
            kind, code, mid, token,
            [(m.URI_PATH, part) for part in path] + [(m.URI_QUERY, item) for item in query] + options, payload,
        )
    ),
    st.sampled_from([m.CON, m.CON, m.NON]),
    st.sampled_from([m.GET, m.GET, m.POST, m.PUT, m.DELETE, 5]),
    st.integers(0, 60), st.sampled_from([b"", b"\x01", b"tokn"]), PATHS, QUERIES, OTHERS, VALUES,
)  # fmt: skip
ANSWERS = st.builds(
    lambda kind, code, mid, token, options: m.encode(m.Message(kind, code, mid, token, options)),
    st.sampled_from([m.CON, m.NON, m.ACK, m.RST]),
    st.sampled_from([m.EMPTY, m.CREATED, m.CHANGED, m.CONTENT, m.NOT_FOUND]),
    st.integers(0, 8), st.sampled_from([b"", b"\x00\x00", b"\x00\x01", b"\x00\x02", b"tokn"]), OTHERS,
)  # fmt: skip
ACTIONS = st.sampled_from(["register", "update", "notify", "tell", "late"])
STEPS = st.lists(REQUESTS | ANSWERS | st.binary(max_size=30) | ACTIONS, max_size=40)
EVENTS = range(c.REGISTERED, c.CANCELLED + 1)


class Device:
    """Has a value of its kind everywhere, and looks at what it is given."""

    def value(self, number, resource):
        kind = objects.kind(number, resource)
        assert kind[0] in "RB"
        return {"i": 300, "s": "text", "t": 1795392000, "b": True, "I": [1, 2], "S": ["a" * 400]}[kind[1]]

    def write(self, number, values, replace):
        assert values and replace in (True, False)
        for resource, value in values.items():
            kind = objects.kind(number, resource)
            assert kind[0] in "WB"
            assert isinstance(value, {"i": int, "t": int, "s": str, "o": bytes, "b": bool}[kind[1]])
        return m.CHANGED

    def execute(self, number, resource, arguments):
        assert objects.kind(number, resource)[0] == "E" and isinstance(arguments, bytes)
        return m.CHANGED


class Play:
    def __init__(self):
        self.mids = iter(range(10**6))
        self.exchange = x.Exchange(lambda: next(self.mids) & 7, 320)
        self.kept = []
        self.client = c.Client(self.exchange, objects.Tree(Device()), self.keep)
        self.marks = {}
        self.now = 0

    def keep(self, payload):
        self.kept.append(payload)
        return m.CHANGED

    def step(self, step):
        client, exchange = self.client, self.exchange
        self.now += 1
        if isinstance(step, bytes):
            event = client.receive(step, self.now)
            assert event is None or event[0] in EVENTS
            assert event is None or event[0] != c.WRITTEN or self.kept[-1] == event[1]
            assert len(exchange.out) <= 1
            assert all(len(data) <= 1200 for data in exchange.out), "fits into one datagram of a cellular network"
        elif step == "late":
            self.now += 300_000
            client.poll(self.now)
        elif exchange.busy():
            client.poll(self.now)
        elif step == "register":
            client.register(self.now, "me", 300, "U")
        elif step == "update":
            client.update(self.now)
        elif step == "notify" and objects.UPLINK in client.tokens:
            client.notify(self.now, b"x", self.now)
        elif step == "tell":
            self.tell()
        exchange.out.clear()

    def tell(self):
        """As a session does: what is due is notified."""
        client = self.client
        for path in notices.due(client.tree, client.tokens, client.attributes, self.marks, self.now):
            code, form, payload = client.tree.read(path)
            assert code == m.CONTENT
            client.notify(self.now, payload, self.now, False, path, form)
            notices.told(client.tree, self.marks, path, self.now)
            self.exchange.out.clear()

    def small(self):
        client, exchange = self.client, self.exchange
        assert len(client.tokens) <= 8 and len(client.attributes) <= 16 and len(client._told) <= 4
        assert len(self.marks) <= 8
        for path in client.tokens:
            assert path == objects.UPLINK or path.split("/")[0] in READABLE
        for path, own in client.attributes.items():
            assert objects.known(path) and own and set(own) <= {"pmin", "pmax", "gt", "lt", "st"}
            assert own.get("pmin", 0) <= own.get("pmax", 1 << 30)
        if exchange._blocks is not None:
            assert len(exchange._blocks._parts) <= 1024
            assert exchange._blocks._kept is None or len(exchange._blocks._kept[3]) <= 4096
        assert isinstance(client.location, str)


@settings(max_examples=800, deadline=None, derandomize=True)
@given(STEPS)
def test_whatever_comes_is_answered_at_most_once_and_the_state_stays_small(steps):
    play = Play()
    for step in steps:
        play.step(step)
        play.small()


@sure
@given(st.binary(max_size=80))
@example(b"\xf8\x00\x00\xff\xff\xff")
@example(b"\xc0\x00" * 40)
def test_tlv_from_anyone_is_entries_or_its_own_error(data):
    try:
        entries = untlv.entries(data)
    except untlv.BadTlv:
        return
    assert len(entries) <= 32 and sum(len(value) for _, _, value in entries) <= len(data)
    for _, _, value in entries:
        try:
            number = untlv.integer(value)
        except untlv.BadTlv:
            assert len(value) not in (1, 2, 4, 8)
        else:
            assert number == int.from_bytes(value, "big", signed=True)


SHAPES = st.sampled_from([tlv.resource, tlv.instance])


@sure
@given(st.lists(st.tuples(SHAPES, st.integers(0, 65535), st.binary(max_size=300)), max_size=10))
def test_tlv_that_is_written_is_read_back(items):
    data = b"".join(shape(number, value) for shape, number, value in items)
    expected = [
        (untlv.RESOURCE if shape is tlv.resource else untlv.INSTANCE, number, value) for shape, number, value in items
    ]
    assert untlv.entries(data) == expected


@sure
@given(st.binary(max_size=24) | st.from_regex(rb"-?[0-9]{1,12}(\.[0-9]{1,6})?", fullmatch=True))
def test_a_number_of_a_query_is_what_python_reads_or_none(text):
    found = manage.decimal(text)
    if found is None:
        return
    assert isinstance(found, float) == (b"." in text) and len(text) <= 20
    assert found == (float(text) if b"." in text else int(text))


@sure
@given(
    st.lists(QUERIES | st.lists(st.from_regex(rb"(pmin|pmax|gt|lt|st)(=[0-9]{0,3})?", fullmatch=True), max_size=4)),
    st.sampled_from(["3", "3/0", "3/0/9", "3/0/0", "4/0/2"]),
)
def test_a_query_string_changes_all_it_says_or_nothing(queries, path):
    play = Play()
    for mid, query in enumerate(queries):
        before = {name: dict(own) for name, own in play.client.attributes.items()}
        options = m.path_options(m.URI_PATH, path) + [(m.URI_QUERY, item) for item in query]
        play.client.receive(m.encode(m.Message(m.CON, m.PUT, mid, b"", options)), mid)
        code = m.decode(play.exchange.out.pop()).code
        expected = dict(before.get(path, {}))
        for item in query:
            name, _, text = item.partition(b"=")
            expected.pop(name.decode("latin-1"), None)
            if text:
                expected[name.decode("latin-1")] = text
        if code == m.CHANGED and query:
            now = play.client.attributes.get(path, {})
            assert {name: float(value) for name, value in expected.items()} == now
        else:
            assert play.client.attributes == before
