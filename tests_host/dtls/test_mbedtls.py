"""Mbed TLS judges our client over loopback, in real time, in CPython and in the VM. Skips without python-mbedtls."""

import pytest

from dtls import client as c
from dtls import record as r
from tests_host.dtls.driven import EVERYWHERE, session
from tests_host.dtls.mbed import CIPHERS, MbedTls

LARGE = bytes(at & 255 for at in range(1000))
BAD_RECORD_MAC, UNKNOWN_IDENTITY = 20, 115  # RFC 5246 §7.2, RFC 4279 §2

everywhere = pytest.mark.parametrize("where", EVERYWHERE, ids="-".join)
both = pytest.mark.parametrize("suite", [c.CCM_8, c.CBC], ids=["ccm", "cbc"])


@everywhere
@both
def test_a_whole_session(where, suite):
    steps = [("send", b"hello"), ("hear", 1), ("send", LARGE), ("hear", 2), ("close", 0)]
    with MbedTls() as server:
        told = session(where, server.port, steps, suites=[suite])
    assert told.inbox == [b"hello", LARGE] and server.said == b"hello" + LARGE
    assert told.error is None and told.suite == suite and told.dropped == told.retransmitted == 0
    assert "closed" in next(iter(server.peers.values())).error  # "... connection is going to be closed"


@everywhere
@both
def test_the_servers_end_is_answered(where, suite):
    with MbedTls() as server:
        server.ends_on = b"go"
        told = session(where, server.port, [("send", b"go"), ("hear", 1), ("ended", 0)], suites=[suite])
    assert told.error[1:] == [r.DATA_PHASE, r.CLOSE_NOTIFY, False] and told.inbox == [b"go"]
    assert [(way, data[0]) for way, data in told.log[-2:]] == [("<", r.ALERT), (">", r.ALERT)]


@everywhere
def test_a_handshake_with_cookie_costs_six_datagrams_and_559_bytes(where):
    with MbedTls() as server:
        told = session(where, server.port)
    assert told.sizes() == [80, -60, 112, -131, 109, -67] and sum(map(abs, told.sizes())) == 559


@everywhere
@pytest.mark.parametrize(
    ("wrong", "phase", "alert"),
    [
        ({"psk": b"another"}, r.KEYS, BAD_RECORD_MAC),
        ({"identity": b"another"}, r.KEYS, UNKNOWN_IDENTITY),
        ({"suites": [0xC0A5]}, r.HELLO, r.HANDSHAKE_FAILURE),
    ],
    ids=["key", "identity", "suite"],
)
def test_what_is_wrong_is_an_alert_of_its_own(where, wrong, phase, alert):
    with MbedTls() as server:
        told = session(where, server.port, **wrong)
    assert told.error[1:] == [phase, alert, False]


@everywhere
def test_a_session_it_never_keeps_is_made_anew(where):
    with MbedTls(CIPHERS) as server:
        first = session(where, server.port, [("close", 0)])
        again = session(where, server.port, [("send", b"x"), ("hear", 1)], resume=first.session, seed=2)
    assert not again.resumed and again.inbox == [b"x"]
