"""OpenSSL's s_server judges our client over loopback, in real time, in CPython and in the VM."""

import pytest

from dtls import client as c
from dtls import record as r
from tests_host.dtls.driven import CIPHERS, EVERYWHERE, session
from tests_host.dtls.servers import openssl

LINE = b"one line\n"
LARGE = bytes(65 + at % 26 for at in range(999)) + b"\n"  # 1,000 bytes
ALERTS = {c.CCM_8: 31, c.CBC: 77}  # bytes of an alert's datagram
SHORT = {"timeout": 50, "retries": 2}  # for a peer that will not answer

everywhere = pytest.mark.parametrize("where", EVERYWHERE, ids="-".join)
both = pytest.mark.parametrize("suite", CIPHERS, ids=CIPHERS.values())


@everywhere
@both
@pytest.mark.parametrize("options", [("-listen",), ()], ids=["listen", "accept"])
def test_a_whole_session(where, suite, options):
    steps = [("send", LINE), ("hear", 1), ("send", LARGE), ("hear", 2), ("close", 0)]
    with openssl(CIPHERS[suite], *options) as server:
        told = session(where, server.port, steps, suites=[suite])
        assert server.hears(LINE + LARGE)
    assert told.timely and told.error is None and told.suite == suite and told.extended and not told.resumed
    assert told.inbox == [LINE, LARGE] and told.dropped == told.retransmitted == 0
    # Our close_notify, and its own
    assert [(way, data[0], len(data)) for way, data in told.log[-2:]] == [
        (">", r.ALERT, ALERTS[suite]), ("<", r.ALERT, ALERTS[suite]),
    ]  # fmt: skip


@everywhere
def test_a_handshake_with_cookie_costs_six_datagrams_and_535_bytes(where):
    with openssl(CIPHERS[c.CCM_8], "-listen") as server:
        told = session(where, server.port, [("send", bytes(64)), ("quiet", 100)])
    assert told.sizes() == [80, -48, 100, -131, 109, -67]
    assert sum(map(abs, told.sizes())) == 535
    assert len(told.log[told.shaken][1]) == 64 + 29


def test_the_offer_of_a_connection_id_is_five_bytes_in_each_hello():
    with openssl(CIPHERS[c.CCM_8]) as server:
        told = session(EVERYWHERE[0], server.port, offer_cid=False)
    assert told.sizes() == [75, -48, 95, -131, 109, -67]


@everywhere
def test_the_suite_that_both_have_is_taken_best_first(where):
    with openssl("PSK-AES128-CCM8:PSK-AES128-CBC-SHA256") as server:
        told = [session(where, server.port, [("close", 0)], suites=suites) for suites in ([c.CCM_8, c.CBC], [c.CBC])]
    assert [one.suite for one in told] == [c.CCM_8, c.CBC]


@everywhere
@both
def test_a_wrong_key_is_silence_after_our_keys(where, suite):
    with openssl(CIPHERS[suite], "-listen") as server:
        told = session(where, server.port, psk=b"another", suites=[suite], **SHORT)
    assert told.state == c.CLOSED and told.error[1:] == [r.KEYS, -1, False] and told.keys_sent() == 3


@everywhere
def test_no_common_suite_is_an_alert_at_hello(where):
    with openssl(CIPHERS[c.CCM_8]) as server:
        told = session(where, server.port, suites=[c.CBC])
    assert told.error[1:] == [r.HELLO, r.HANDSHAKE_FAILURE, False]


@everywhere
def test_nobody_there_is_silence_at_hello(where):
    with openssl(CIPHERS[c.CCM_8]) as server:
        port = server.port
    told = session(where, port, **SHORT)
    assert told.error[1:] == [r.HELLO, -1, False] and told.sizes() == [80, 80, 80]


@everywhere
@both
def test_a_session_is_resumed_by_its_id(where, suite):
    with openssl(CIPHERS[suite]) as server:
        first = session(where, server.port, [("close", 0)], suites=[suite])
        steps = [("send", LINE), ("hear", 1), ("close", 0)]
        again = session(where, server.port, steps, suites=[suite], resume=first.session, seed=2)
        assert server.hears(LINE)
    assert again.resumed and again.inbox == [LINE] and again.error is None
    assert again.session == first.session and len(first.session[0]) == 64
    assert [size > 0 for size in again.sizes()] == [True, False, True, False, True]  # one flight less


@everywhere
def test_a_session_the_server_does_not_know_is_made_anew(where):
    with openssl(CIPHERS[c.CCM_8]) as server:
        forgotten = ["ab" * 32, "cd" * 48, c.CCM_8, True]
        told = session(where, server.port, [("send", LINE), ("hear", 1)], resume=forgotten)
    assert told.state == c.CONNECTED and not told.resumed and told.inbox == [LINE]
    assert told.session[:2] != forgotten[:2]


@everywhere
def test_renegotiation_is_refused(where):
    with openssl(CIPHERS[c.CCM_8], echo=False) as server:
        # s_server then sends a HelloRequest, and takes a refusal for a failure
        server.after(b"hello", lambda: server.tell(b"r\n"))
        told = session(where, server.port, [("send", b"hello"), ("ended", 0)])
        assert server.hears(b"no renegotiation")
    assert told.error[1:] == [r.DATA_PHASE, r.HANDSHAKE_FAILURE, False]
    assert [data[0] for way, data in told.log[told.shaken :] if way == ">"] == [r.DATA, r.ALERT]
