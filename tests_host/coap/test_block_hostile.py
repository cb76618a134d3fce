"""Blocks in any order from anyone, against a reference of the text (RFC 7959 §2.5), and our two sides through a network
that loses and doubles."""

from hypothesis import given, settings
from hypothesis import strategies as st

from coap import block as b
from coap import exchange as x
from coap import message as m
from coap import pull as p

sure = settings(max_examples=300, deadline=None, derandomize=True)  # the same cases in every run
LIFETIME = 247000  # ms

BLOCKS = st.lists(
    st.tuples(
        st.sampled_from(["next", "next", "next", "again", "skip", "first"]),
        st.booleans(),  # more
        st.sampled_from([0, 2, 2, 2, 5, 6]),  # szx
        st.sampled_from([0, 0, 0, 0, -1, 1]),  # bytes beside the block's size
        st.sampled_from(["a", "a", "a", "b"]),  # path
        st.sampled_from([0, 1, 1000, LIFETIME - 1, LIFETIME]),  # ms since the block before
    ),
    max_size=30,
)


class Reference:
    """What RFC 7959 says of the blocks of one write at a time, kept as a list of them."""

    def __init__(self):
        self.path, self.blocks, self.when = None, [], 0

    def code(self, path, number, more, size, data, now):
        """(code, whole body or None)."""
        held = sum(len(part) for part in self.blocks)
        fresh = self.path == path and now - self.when < LIFETIME
        if number == 0:
            fresh, held, blocks = True, 0, []
        else:
            blocks = self.blocks
        self.path, self.blocks = None, []
        if not fresh or number * size != held:
            return "4.08", None
        if len(data) > size or (more and len(data) != size):
            return "4.00", None
        if held + len(data) > 1024 or (more and held + len(data) == 1024):
            return "4.13", None
        if not more:
            return "2.04", b"".join([*blocks, data])
        self.path, self.blocks, self.when = path, [*blocks, data], now
        return "2.31", None


@sure
@given(BLOCKS)
def test_blocks_in_any_order_are_assembled_as_the_reference_does(steps):
    exchange, reference = x.Exchange(lambda: 1), Reference()
    now = held = 0
    for mid, (where, more, szx, beside, path, wait) in enumerate(steps):
        now += wait
        size = 16 << szx
        number = {"next": held // size, "again": max(held // size - 1, 0), "skip": held // size + 1, "first": 0}[where]
        data = bytes([mid]) * max(size + beside, 0)
        options = [(m.URI_PATH, path.encode()), (b.BLOCK1, m.uint(number << 4 | more << 3 | szx))]
        event = exchange.receive(m.encode(m.Message(m.CON, m.PUT, mid, b"", options, data)), now)
        code, body = reference.code(path, number, more, size, data, now)
        assert (event is None) == (body is None)
        if event is not None:
            assert event[1].payload == body
            exchange.respond(event[1], m.CHANGED)
        answer = m.decode(exchange.out.pop())
        assert m.dotted(answer.code) == code and not exchange.out
        held = len(exchange.blockwise()._parts)
        assert held <= 1024


class Line:
    """Our puller and our server with a network between them that does as `fates` says: lost, doubled or carried."""

    def __init__(self, body, fates):
        self.body, self.fates = body, fates
        self.mids = iter(range(1, 0xFFFF))
        self.asking, self.serving = x.Exchange(lambda: next(self.mids), 256), x.Exchange(lambda: 1)
        self.got = []

    def carry(self, out, to, now):
        """Events at `to`."""
        events = []
        while out:
            data = out.pop(0)
            fate = self.fates.pop() if self.fates else 1
            events += [event for event in (to.receive(data, now) for _ in range(fate)) if event]
        return events

    def run(self, pull):
        now = 0
        pull.ask(now)
        while True:
            for event in self.carry(self.asking.out, self.serving, now):
                self.serving.respond(event[1], m.CONTENT, (), self.body)
            ends = self.carry(self.serving.out, self.asking, now)
            if not ends and not self.asking.out:
                now = self.asking.deadline()
                timeout = self.asking.poll(now)
                ends = [timeout] if timeout else []
            for event in ends:
                end = pull.take(event, now)
                if end is not None:
                    return end


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    st.sampled_from([0, 1, 15, 16, 17, 511, 512, 513, 1024, 1300, 4096, 4097, 9000]),
    st.integers(3, 6), st.lists(st.sampled_from([0, 1, 1, 2]), max_size=60),
)  # fmt: skip
def test_a_body_comes_through_a_bad_network_whole_in_order_and_once(size, szx, fates):
    body = bytes(at * 31 & 255 for at in range(size))
    line = Line(body, fates)
    got = bytearray()

    def sink(at, data):
        assert at == len(got)
        got.extend(data)

    end = line.run(p.Pull(line.asking, [(m.URI_PATH, b"fw")], sink, 10000, szx))
    assert body.startswith(got)
    assert end in ((p.PULLED, size), (p.BROKEN, p.SILENT)) and (end[0] != p.PULLED or got == body)


ANSWERS = st.lists(
    st.tuples(
        st.sampled_from([m.CONTENT, m.CONTENT, m.CONTENT, m.NOT_FOUND]),
        st.lists(
            st.tuples(st.just(23), st.integers(0, 40).map(m.uint) | st.binary(max_size=4))
            | st.tuples(st.sampled_from([4, 28, 9]), st.binary(max_size=4)),
            max_size=3,
        ),
        st.sampled_from([0, 1, 16, 32, 512, 1024]),
    ),
    max_size=12,
)


@sure
@given(ANSWERS, st.integers(0, 6))
def test_a_hostile_server_ends_a_pull_or_gives_its_bytes_in_order(answers, szx):
    mids = iter(range(1, 99))
    exchange = x.Exchange(lambda: next(mids))
    got = []

    def sink(at, data):
        assert at == sum(got)
        got.append(len(data))

    pull = p.Pull(exchange, [], sink, 2000, szx)
    pull.ask(0)
    for code, options, size in answers:
        asked = m.decode(exchange.out.pop())
        event = exchange.receive(m.encode(m.Message(m.ACK, code, asked.mid, asked.token, options, bytes(size))), 1)
        if event is None:  # not understood: our request is still out
            exchange.out.append(m.encode(asked))
            continue
        end = pull.take(event, 1)
        assert sum(got) <= 2000 and (end is None) == bool(exchange.out)
        if end is not None:
            return
