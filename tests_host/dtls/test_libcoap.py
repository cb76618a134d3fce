"""libcoap's servers on OpenSSL and on GnuTLS judge our client over loopback, in real time, in CPython and in the VM."""

import re
import signal

import pytest

from coap import block
from coap import message as m
from dtls import client as c
from dtls import record as r
from tests_host.dtls.driven import EVERYWHERE, IDENTITY, PSK, session
from tests_host.dtls.servers import libcoap

GET = m.encode(m.Message(m.CON, m.GET, 1, b"t1"))
BODY = bytes(65 + at % 26 for at in range(900))
PUT = m.encode(m.Message(m.CON, m.PUT, 2, b"t2", [*m.path_options(m.URI_PATH, "example_data")], BODY))
READ = m.encode(
    m.Message(
        m.CON, m.GET, 3, b"t3", [*m.path_options(m.URI_PATH, "example_data"), (block.BLOCK2, block.pack(0, False, 6))]
    )
)
SHORT = {"timeout": 50, "retries": 2}  # for a peer that will not answer

SERVERS = ["coap-server-openssl", "coap-server-gnutls"]

everywhere = pytest.mark.parametrize("where", EVERYWHERE, ids="-".join)
each = pytest.mark.parametrize("name", SERVERS)


def hints(told):
    """The identity hints among the server's messages: ServerKeyExchange is message 12 (RFC 4279 §2)."""
    plain = b"".join(data for way, data in told.log[: told.shaken] if way == "<")
    return re.findall(rb"\x0c\x00\x00.\x00.\x00\x00\x00\x00\x00.\x00.(hint|CoAP)", plain, re.DOTALL)


@everywhere
@each
@pytest.mark.parametrize("hint", ["hint", ""])
def test_requests_are_answered_and_the_end_is_told(where, name, hint):
    steps = [("send", GET), ("hear", 1), ("send", PUT), ("hear", 2), ("send", READ), ("hear", 3), ("close", 0)]
    with libcoap(name, "-h", hint) as server:
        told = session(where, server.port, steps)
    answers = [m.decode(data) for data in told.inbox]
    assert [(one.kind, one.mid, one.token) for one in answers] == [(m.ACK, at, b"t%d" % at) for at in (1, 2, 3)]
    assert answers[0].payload.startswith(b"This is a test server")
    assert answers[1].code in (m.CHANGED, m.CREATED) and answers[2].payload == BODY
    assert told.error is None and told.dropped == told.retransmitted == 0
    assert hints(told) == ([hint.encode()] if hint else [])
    assert [(way, data[0]) for way, data in told.log[-2:]] == [(">", r.ALERT), ("<", r.ALERT)]


@everywhere
def test_cbc_is_taken_by_gnutls(where):
    with libcoap("coap-server-gnutls") as server:
        told = session(where, server.port, [("send", GET), ("hear", 1), ("close", 0)], suites=[c.CBC])
    assert told.suite == c.CBC and len(told.inbox) == 1 and told.error is None


@everywhere
@each
def test_a_wrong_key_is_silence_after_our_keys(where, name):
    with libcoap(name) as server:
        told = session(where, server.port, psk=b"another", **SHORT)
    assert told.error[1:] == [r.KEYS, -1, False] and told.keys_sent() == 3


@each
def test_a_wrong_identity_is_silence_after_our_keys(tmp_path, name):
    # libcoap has a default key for identities it does not know
    known = tmp_path / "identities"
    known.write_text(f"hint,{IDENTITY.decode()},{PSK.decode()}\n")
    with libcoap(name, "-h", "hint", "-k", "unlikely", "-i", str(known)) as server:
        right = session(EVERYWHERE[0], server.port, [("send", GET), ("hear", 1), ("close", 0)])
        wrong = session(EVERYWHERE[0], server.port, identity=b"868543060974335", **SHORT)
    assert right.error is None and len(right.inbox) == 1
    assert wrong.error[1:] == [r.KEYS, -1, False]


@everywhere
@pytest.mark.parametrize(("name", "suite"), [(SERVERS[0], c.CBC), (SERVERS[1], 0x00FE)])
def test_no_common_suite_is_an_alert_at_hello(where, name, suite):
    with libcoap(name) as server:
        told = session(where, server.port, suites=[suite])
    assert told.error[1:] == [r.HELLO, r.HANDSHAKE_FAILURE, False]


@everywhere
@each
def test_a_session_that_is_offered_again_goes_on_or_begins_anew(where, name):
    steps = [("send", GET), ("hear", 1), ("close", 0)]
    with libcoap(name) as server:
        first = session(where, server.port, steps)
        again = session(where, server.port, steps, resume=first.session, seed=2)
    assert len(again.inbox) == 1 and again.error is None
    assert again.resumed == (name == "coap-server-openssl") == (again.session == first.session)


@each
def test_the_servers_end_is_answered(name):
    with libcoap(name) as server:
        server.after(b"call custom handler", lambda: server.process.send_signal(signal.SIGINT))
        told = session(EVERYWHERE[0], server.port, [("send", GET), ("hear", 1), ("ended", 0)])
    assert told.error[1:] == [r.DATA_PHASE, r.CLOSE_NOTIFY, False]
    assert [(way, data[0]) for way, data in told.log[-2:]] == [("<", r.ALERT), (">", r.ALERT)]
