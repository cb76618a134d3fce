"""The client under whatever comes: it never raises, answers at most once, and observes nothing but what may be."""

from hypothesis import given, settings
from hypothesis import strategies as st

from coap import exchange as x
from coap import message as m
from m2m import client as c
from m2m import objects

SEGMENTS = st.sampled_from([b"19", b"0", b"1", b"3", b"4", b"8", b"9", b"rd", b"", b"\xff", b"19/0/0"]) | st.binary()
OPTIONS = st.lists(
    st.tuples(st.just(m.URI_PATH), SEGMENTS)
    | st.tuples(st.sampled_from([m.OBSERVE, m.CONTENT_FORMAT, m.ACCEPT, m.LOCATION_PATH, 23]), st.binary(max_size=4)),
    max_size=6,
)
MESSAGES = st.builds(
    lambda kind, code, mid, token, options, payload: m.encode(m.Message(kind, code, mid, token, options, payload)),
    st.sampled_from([m.CON, m.NON, m.ACK, m.RST]),
    st.sampled_from([m.EMPTY, m.GET, m.POST, m.PUT, m.CREATED, m.CHANGED, m.CONTENT, m.NOT_FOUND]),
    st.integers(0, 8), st.sampled_from([b"", b"\x00", b"\x01", b"\x02", b"tokn"]), OPTIONS, st.binary(max_size=20),
)  # fmt: skip
STEPS = st.lists(MESSAGES | st.binary(max_size=30) | st.sampled_from(["register", "update", "notify"]), max_size=40)
EVENTS = range(c.REGISTERED, c.ASKED + 1)


@settings(max_examples=600, deadline=None, derandomize=True)
@given(STEPS)
def test_whatever_comes_is_answered_at_most_once_and_never_raises(steps):
    mids = iter(range(10**6))
    exchange = x.Exchange(lambda: next(mids) & 7, 320)
    kept = []
    client = c.Client(exchange, objects.Tree(lambda *path: 1), lambda payload: kept.append(payload) or m.CHANGED)
    for now, step in enumerate(steps):
        if isinstance(step, bytes):
            event = client.receive(step, now)
            assert event is None or event[0] in EVENTS
            assert event is None or event[0] != c.WRITTEN or kept[-1] == event[1]
            assert len(exchange.out) <= 1
        elif exchange.busy():
            client.poll(now)
        elif step == "register":
            client.register(now, "me", 300, "U")
        elif step == "update":
            client.update(now)
        elif objects.UPLINK in client.tokens:
            client.notify(now, b"x", now)
        exchange.out.clear()
        assert set(client.tokens) <= {"19/0/0", "3/0"}
        assert isinstance(client.location, str)
