"""A network that loses, repeats, reorders and bends datagrams between our client and others' servers: the handshake
comes to its end, and what was sent arrives once, undamaged, or not at all."""

from contextlib import contextmanager

import pytest

from dtls import client as c
from dtls import record as r
from tests_host.dtls.driven import CIPHERS, EVERYWHERE, session
from tests_host.dtls.proxy import BEND, DOWN, DROP, LATE, PASS, TWICE, UP, Proxy, fixed, seeded
from tests_host.dtls.servers import libcoap, openssl

PATIENT = {"timeout": 20, "retries": 8}  # ms; the last wait is 5.1 s
LINES = [b"%02d a line of its own\n" % at for at in range(12)]
SENT = [("send", line) for line in LINES] + [("quiet", 150)]

CPYTHON = EVERYWHERE[0]
# 20 % lost, 20 % twice, 20 % late: (where, seed)
SEEDS = [*((CPYTHON, seed) for seed in (0, 1, 3)), *zip(EVERYWHERE[1:], (4, 5, 6), strict=True)]


@contextmanager
def served(kind):
    """A server that sends back what it decrypts, and what that was. libcoap only answers requests."""
    if kind in CIPHERS.values():
        with openssl(kind) as server:
            yield server
    elif kind == "mbedtls":
        from tests_host.dtls.mbed import MbedTls

        with MbedTls() as server:
            yield server
    else:
        with libcoap(kind) as server:
            yield server


def checked(server, told):
    """That the handshake ended well, and each line came at most once to either side, as it was. Returns how many came
    (to the server, back to us)."""
    assert told.state == c.CONNECTED and told.timely and told.error is None
    counts = []
    for got in (server.said, b"".join(told.inbox)):
        lines = got.splitlines(True)
        assert len(set(lines)) == len(lines) and set(lines) <= set(LINES), lines
        counts.append(len(lines))
    return counts


@pytest.mark.parametrize(("where", "seed"), SEEDS)
@pytest.mark.parametrize("kind", [*CIPHERS.values(), "mbedtls"])
def test_under_loss_repetition_and_reordering(kind, where, seed):
    suite = next((suite for suite, name in CIPHERS.items() if name == kind), c.CCM_8)
    with served(kind) as server, Proxy(server.port, seeded(seed)) as proxy:
        told = session(where, proxy.port, SENT, suites=[suite], seed=seed, **PATIENT)
        there, back = checked(server, told)
    assert proxy.lost and 0 < there <= 12 and back <= there


@pytest.mark.parametrize(("where", "seed"), SEEDS)
@pytest.mark.parametrize("kind", ["coap-server-openssl", "coap-server-gnutls"])
def test_under_loss_with_libcoap(kind, where, seed):
    requests = [bytes([0x40, 1, 0, at]) for at in range(12)]
    steps = [("send", data) for data in requests] + [("quiet", 150)]
    fate = seeded(seed) if kind == "coap-server-openssl" else without_loss_of_the_last_flight(seeded(seed))
    with served(kind) as server, Proxy(server.port, fate) as proxy:
        told = session(where, proxy.port, steps, seed=seed, **PATIENT)
    assert told.state == c.CONNECTED and told.timely and told.error is None and proxy.lost
    mids = [data[3] for data in told.inbox]
    assert len(set(mids)) == len(mids) and set(mids) <= set(range(12))
    assert all(b"libcoap" in data for data in told.inbox)


def without_loss_of_the_last_flight(fate):
    """libcoap's server on GnuTLS 3.7 never repeats that: it discards what asks for it."""

    def kept(way, number, data):
        last = way == DOWN and (data[0] == r.CHANGE_CIPHER_SPEC or data[0] == r.HANDSHAKE and data[4])
        return PASS if last else fate(way, number, data)

    return kept


@pytest.mark.parametrize("seed", range(6))
def test_bent_datagrams_change_nothing_but_the_time(seed):
    # In the handshake a bent datagram may well end it; behind it every bent record is dropped
    fate = seeded(seed, loss=0.1, twice=0.1, late=0.1, bend=0.4)
    with served(CIPHERS[c.CCM_8]) as server, Proxy(server.port, late_start(fate)) as proxy:
        told = session(CPYTHON, proxy.port, SENT, **PATIENT)
        checked(server, told)


def late_start(fate, clean=3):
    """All passes in the first three datagrams of each way: hellos, keys, Finished."""
    return lambda way, number, data: PASS if number < clean else fate(way, number - clean, data)


# Every datagram of a handshake with cookie, by itself: (way, number)
HANDSHAKE = [(UP, 0), (DOWN, 0), (UP, 1), (DOWN, 1), (UP, 2), (DOWN, 2)]
KINDS = [CIPHERS[c.CCM_8], "coap-server-openssl", "coap-server-gnutls", "mbedtls"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("way", "number"), HANDSHAKE)
def test_any_one_datagram_of_the_handshake_may_be_lost(kind, way, number):
    with served(kind) as server, Proxy(server.port, fixed((way, number, DROP))) as proxy:
        told = session(CPYTHON, proxy.port, **PATIENT)
    assert told.state == c.CONNECTED and told.retransmitted >= 1 and proxy.lost == 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fate", [TWICE, LATE])
def test_every_datagram_of_the_handshake_may_come_twice_or_late(kind, fate):
    with served(kind) as server, Proxy(server.port, lambda *which: fate) as proxy:
        told = session(CPYTHON, proxy.port, [("quiet", 100)], **PATIENT)
    assert told.state == c.CONNECTED and told.error is None


@pytest.mark.parametrize("where", EVERYWHERE, ids="-".join)
def test_records_that_come_again_or_out_of_order_are_delivered_once_each(where):
    # mbedtls answers each line by itself: its answers are the 4th datagram and those after it
    fates = fixed((DOWN, 3, TWICE), (DOWN, 4, LATE), (DOWN, 6, TWICE), (DOWN, 7, BEND), (DOWN, 8, LATE))
    with served("mbedtls") as server, Proxy(server.port, fates) as proxy:
        told = session(where, proxy.port, SENT, timeout=1000)
        assert server.said == b"".join(LINES)
    assert sorted(told.inbox) == [line for at, line in enumerate(LINES) if at != 4]
    assert told.inbox != sorted(told.inbox) and told.dropped == 3  # two repetitions, one bent


@pytest.mark.parametrize("where", EVERYWHERE, ids="-".join)
def test_a_finished_that_was_lost_is_asked_for_again(where):
    # The server's last flight: it repeats that when ours comes again (RFC 6347 §4.2.4)
    with served(CIPHERS[c.CCM_8]) as server, Proxy(server.port, fixed((DOWN, 2, DROP), (DOWN, 3, DROP))) as proxy:
        told = session(where, proxy.port, [("send", LINES[0]), ("hear", 1)], timeout=300)
        assert checked(server, told) == [1, 1]
    assert told.retransmitted == 2 and proxy.counts[UP] == 6


@pytest.mark.parametrize("where", EVERYWHERE, ids="-".join)
@pytest.mark.parametrize("lost", [(UP, 2), (DOWN, 1)], ids=["ours", "its"])
def test_a_resumed_handshake_survives_a_loss(where, lost):
    with served(CIPHERS[c.CCM_8]) as server:
        first = session(where, server.port, [("close", 0)])
        with Proxy(server.port, fixed((*lost, DROP))) as proxy:
            steps = [("quiet", 1100), ("send", LINES[0]), ("hear", 1)]
            told = session(where, proxy.port, steps, resume=first.session, seed=2, **PATIENT)
            assert checked(server, told) == [1, 1]
    assert told.resumed
