# runs in: cpython, vm, old
"""A session that is written down goes on, byte by byte; what was damaged while it lay there is refused."""

import ujson
from ubinascii import unhexlify

from dtls import (
    cbc,
    ccm,
    handshake,  # noqa: F401 - the old VM gets only what a test file names
    saved,
    soft_aes,  # noqa: F401
    soft_aes_inverse,  # noqa: F401
)
from dtls import client as c

try:
    from tests_host.dtls import recorded
except ImportError:  # the old VM gets modules of this folder by their bare names
    import recorded

PING = b"ping\n"


def fresh():
    return c.Client(b"868543060974334", b"TYvoiTk34D3NZ6GN")


def shaken(session=recorded.CCM, suite=c.CCM_8):
    """A client behind the recorded handshake, and the datagrams that come after it."""
    one = c.Client(b"868543060974334", b"TYvoiTk34D3NZ6GN", (suite,))
    one.start(0, unhexlify(recorded.RANDOM))
    theirs = [unhexlify(data) for way, data in session if way == "<"]
    for data in theirs[:3]:
        one.receive(data, 0)
    assert one.state == c.CONNECTED
    del one.out[:]
    return one, theirs


def ours(session, number):
    return unhexlify([data for way, data in session if way == ">"][number])


def kept(one, sequence=1):
    return ujson.loads(ujson.dumps(saved.dump(one, sequence)))


def test_a_session_goes_on_where_it_was():
    for session, suite in ((recorded.CCM, c.CCM_8), (recorded.CBC, c.CBC)):
        one, theirs = shaken(session, suite)
        other = fresh()
        assert saved.load(kept(one), other)
        other.send(PING)
        assert other.out.pop() == ours(session, 3)
        other.receive(theirs[3], 0)
        assert other.inbox == [PING] and other.state == c.CONNECTED and other.deadline() is None
        assert other.resumption() == one.resumption() and other.suite == suite
        other.receive(theirs[4], 0)
        assert other.state == c.CLOSED


def test_what_came_before_is_not_taken_again():
    one, theirs = shaken()
    one.receive(theirs[3], 0)
    other = fresh()
    assert saved.load(kept(one), other)
    for data in theirs[:4]:
        other.receive(data, 0)
    assert other.inbox == [] and other.dropped and not other.out and other.state == c.CONNECTED


def test_records_go_on_from_the_number_it_was_told():
    one, _ = shaken()
    other = fresh()
    assert saved.load(kept(one, 4000), other)
    other.send(PING)
    assert other.out[0][5:11] == (4000).to_bytes(6, "big") == other.out[0][15:21]


def test_a_connection_id_goes_on_too():
    one, _ = shaken()
    one.cid = b"12345678"
    other = fresh()
    assert saved.load(kept(one), other) and other.cid == one.cid
    other.send(PING)
    assert other.out[0][0] == 25 and other.out[0][11:19] == one.cid and len(other.out[0]) == 5 + 30 + 8


def test_it_is_plain_values():
    value = saved.dump(shaken()[0], 1)
    assert sorted(value) == sorted(saved.SAVED)
    for name in value:
        assert type(value[name]) is type(saved.SAVED[name])


def test_every_missing_field_is_refused():
    whole = kept(shaken()[0])
    for name in saved.SAVED:
        other = dict(whole)
        del other[name]
        assert saved.load(other, fresh()) is False, name
    assert saved.load({}, fresh()) is False


def test_every_field_of_another_kind_is_refused():
    whole = kept(shaken()[0])
    for name in saved.SAVED:
        for value in (None, 1, 1.5, "", "00", b"00", [], {}, True, [1], {"a": 1}):
            if type(value) is not type(saved.SAVED[name]):
                other = dict(whole)
                other[name] = value
                assert saved.load(other, fresh()) is False, (name, value)


def test_every_text_that_is_no_hex_is_refused():
    whole = kept(shaken()[0])
    for name in ("block", "cid", "sid", "master"):
        for value in ("z", "zz", "0", "000", "0x", "é", "00é", whole["block"][:-1], whole["block"][:-2] + "xy"):
            other = dict(whole)
            other[name] = value
            assert saved.load(other, fresh()) is False, (name, value)


def test_every_wrong_size_is_refused():
    whole = kept(shaken()[0])
    right = {"block": (ccm.KEY_BLOCK,), "master": (48,), "sid": range(33), "cid": range(256)}
    for name in right:
        for size in list(range(50)) + [95, 96, 97, 255, 256, 300]:
            other = dict(whole)
            other[name] = "5a" * size
            assert saved.load(other, fresh()) is (size in right[name]), (name, size)


def test_every_wrong_number_is_refused():
    whole = kept(shaken()[0])
    for name, good, bad in (
        ("seq", (1, 2**32, 2**48 - 1), (0, -1, 2**48, 2**64)),
        ("high", (0, 1, 2**48 - 1), (-1, -(2**40), 2**48, 2**64)),
        ("suite", (c.CCM_8,), (0, 1, -1, c.CBC, 0xC0A4, 0x1C0A8, 2**64)),  # CBC: its keys are longer
    ):
        for value in good + bad:
            other = dict(whole)
            other[name] = value
            assert saved.load(other, fresh()) is (value in good), (name, value)


def test_keys_of_one_suite_do_not_serve_another():
    whole = kept(shaken(recorded.CBC, c.CBC)[0])
    assert saved.load(whole, fresh()) and len(whole["block"]) == 2 * cbc.KEY_BLOCK
    whole["suite"] = c.CCM_8
    assert saved.load(whole, fresh()) is False
