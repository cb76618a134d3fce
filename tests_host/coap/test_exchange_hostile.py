"""The message layer under whatever comes: it never raises, keeps a bounded state, and tells each end once."""

from hypothesis import given, settings
from hypothesis import strategies as st

from coap import exchange as x
from coap import message as m

KEPT = 8 + 4  # the peer's messages remembered, our NONs that may be reset

KINDS = st.sampled_from([m.CON, m.NON, m.ACK, m.RST])
CODES = st.sampled_from([m.EMPTY, m.GET, m.PUT, m.CHANGED, m.CONTENT, m.NOT_FOUND])
SHAPED = st.builds(
    lambda kind, code, mid, token, options: m.encode(m.Message(kind, code, mid, token, options)),
    KINDS, CODES, st.integers(0, 20), st.sampled_from([b"", b"\x01", b"tokn"]),
    st.lists(st.tuples(st.sampled_from([6, 11, 12, 23]), st.binary(max_size=3)), max_size=3),
)  # fmt: skip
DATAGRAMS = SHAPED | st.binary(max_size=40)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("receive"), DATAGRAMS, st.integers(0, 100_000)),
        st.tuples(st.just("poll"), st.just(b""), st.integers(0, 100_000)),
        st.tuples(st.sampled_from(["request", "report", "non"]), st.just(b""), st.just(0)),
    ),
    max_size=60,
)


class Play:
    """An exchange, its own idea of what is outstanding, and everything that was sent."""

    def __init__(self):
        self.mids = iter(range(10**9))
        self.exchange = x.Exchange(lambda: next(self.mids) & 0xFFFF, 320)
        self.now = 0
        self.asked = self.ended = self.received = self.requests = 0

    def step(self, kind, data, wait):
        self.now += wait
        exchange = self.exchange
        if kind == "receive":
            self.received += 1
            before = exchange.malformed + exchange.duplicates + exchange.stray
            event = exchange.receive(data, self.now)
            counted = exchange.malformed + exchange.duplicates + exchange.stray - before
            assert counted <= 1 and not (counted and event), "counted as useless and yet told"
            self.told(event)
        elif kind == "poll":
            self.told(exchange.poll(self.now))
        elif kind == "non":
            exchange.send(m.Message(m.NON, m.CONTENT, next(self.mids) & 0xFFFF, b"tokn"), self.now)
        elif not exchange.busy():
            code, token = (m.POST, b"\x01") if kind == "request" else (m.CONTENT, b"tokn")
            self.asked += 1
            exchange.send(m.Message(m.CON, code, next(self.mids) & 0xFFFF, token), self.now)

    def told(self, event):
        if event is None:
            return
        if event[0] == x.REQUEST:
            self.exchange.respond(event[1], m.CHANGED)
        elif event[0] in (x.ACKED, x.RESPONSE, x.TIMEOUT):
            self.ended += 1


@settings(max_examples=500, deadline=None, derandomize=True)
@given(STEPS)
def test_whatever_comes_state_is_bounded_and_every_end_is_told_once(steps):
    play = Play()
    exchange = play.exchange
    for step in steps:
        play.step(*step)
        assert len(exchange.out) <= 1, "one datagram in, at most one out"
        exchange.out.clear()
        assert sum(len(value) for value in vars(exchange).values() if isinstance(value, list)) <= KEPT
        assert exchange.busy() == (exchange.deadline() is not None)
    assert play.ended <= play.asked
    if exchange.busy():
        assert exchange.deadline() <= play.now + 16 * 2500 * 2, "a timeout comes whatever was received"


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.lists(DATAGRAMS, max_size=30))
def test_an_outstanding_request_ends_within_coaps_bound_whatever_comes(datagrams):
    exchange = Play().exchange
    exchange.send(m.Message(m.CON, m.POST, 5, b"\x01"), 0)
    now = 0
    for data in datagrams:
        now += 10
        exchange.receive(data, now)
    while exchange.busy():
        now = exchange.deadline()
        exchange.poll(now)
    assert now <= 2500 * 31  # 2 s × 1.25, doubled four times (RFC 7252 §4.8.2)
