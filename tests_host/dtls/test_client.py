# runs in: cpython, vm, old
"""The client on sessions recorded with OpenSSL: every byte it says, its timers, its errors by phase, its counters."""

from ubinascii import unhexlify

from dtls import (
    cbc,  # noqa: F401 - the old VM gets only what a test file names
    ccm,
    handshake,  # noqa: F401
    soft_aes,  # noqa: F401
    soft_aes_inverse,  # noqa: F401
)
from dtls import client as c
from dtls import record as r

try:
    from tests_host.dtls import recorded
except ImportError:  # the old VM gets modules of this folder by their bare names
    import recorded

IDENTITY, PSK = b"868543060974334", b"TYvoiTk34D3NZ6GN"
PING = b"ping\n"
RETRIES = 4
# Numbers of the server's datagrams: with ServerHello, with Finished, with its first data
HELLO, ENDING, ECHO = 1, 2, 3


def client(suites=(c.CCM_8,), **options):
    return c.Client(IDENTITY, PSK, suites, **options)


def started(now=0, **options):
    one = client(**options)
    one.start(now, unhexlify(recorded.RANDOM))
    return one


def out(one):
    """What it said, taken away."""
    said = one.out[:]
    del one.out[:]
    return said


def theirs(session=recorded.CCM):
    return [unhexlify(data) for way, data in session if way == "<"]


def at(step, now=0, **options):
    """A client that has taken the server's datagrams before number `step`; the flight it is waiting with is out."""
    one = started(now, **options)
    for data in theirs()[:step]:
        out(one)
        one.receive(data, now)
    return one


def replayed(session, one, resume=None):
    """Drives `one` through a recorded session; holds that it says the same."""
    one.start(0, unhexlify(recorded.RANDOM), resume)
    said = 0
    for way, data in session:
        data = unhexlify(data)
        if way == "<":
            one.receive(data, 0)
            continue
        if not one.out and data[0] == r.DATA:
            one.send(PING)
        elif not one.out and data[0] == r.ALERT:
            one.close()
        assert one.out.pop(0) == data
        said += 1
    assert not one.out
    return said


# -- what it says ------------------------------------------------------------------------------------------------------


def test_every_byte_of_a_ccm_session_is_the_recorded_one():
    one = client()
    assert replayed(recorded.CCM, one) == 5
    assert one.inbox == [PING] and one.error is None and one.state == c.CLOSED and one.suite == c.CCM_8
    assert one.extended and not one.resumed and one.dropped == one.retransmitted == 0 and one.cid == b""


def test_every_byte_of_a_cbc_session_is_the_recorded_one():
    one = client((c.CBC,))
    assert replayed(recorded.CBC, one) == 5
    assert one.inbox == [PING] and one.suite == c.CBC


def test_every_byte_of_a_resumed_session_is_the_recorded_one():
    first, again = client(), client()
    replayed(recorded.CCM, first)
    assert len(first.resumption()[0]) == 32
    assert replayed(recorded.AGAIN, again, first.resumption()) == 5
    assert again.resumed and again.inbox == [PING] and again.resumption() == first.resumption()


def test_nothing_is_resumed_before_a_session_and_without_an_id():
    assert client().resumption() is None and started().resumption() is None


# -- timers ------------------------------------------------------------------------------------------------------------


def silence(one, now):
    """Polls at every deadline until the session ends: the times, and the datagrams said at them."""
    out(one)
    times, said = [], []
    while one.deadline() is not None:
        due = one.deadline()
        one.poll(due - 1)
        assert not one.out, "too early"
        one.poll(due)
        times.append(due - now)
        said += out(one)
        assert len(times) < 40
    return times, said


def test_a_hello_that_is_not_answered_is_sent_again_after_1_2_4_8_and_given_up_after_16_seconds():
    one = started(5000)
    first = out(one)
    times, said = silence(one, 5000)
    assert times == [1000, 3000, 7000, 15000, 31000]  # RFC 6347 §4.2.4.1
    assert len(said) == RETRIES == one.retransmitted
    for number, data in enumerate(first + said):  # the same message under a new record number
        assert data[:11] == unhexlify("16fefd0000") + number.to_bytes(6, "big") and data[13:] == first[0][13:]
    assert one.state == c.CLOSED
    assert (one.error.phase, one.error.alert, one.error.ours) == (r.HELLO, -1, False)


def test_keys_that_are_not_answered_are_sent_again_under_new_numbers():
    one = at(ENDING, 700)
    first = out(one)
    times, said = silence(one, 700)
    assert times == [1000, 3000, 7000, 15000, 31000] and len(said) == RETRIES
    numbers = []
    for data in first + said:
        key, change, finished = r.records(data)
        assert (key[0], key[1], change[0], change[1], finished[:2]) == (r.HANDSHAKE, 0, 20, 0, (r.HANDSHAKE, 1))
        assert finished[3][:8] == r.number(1, finished[2])  # the nonce goes with it
        numbers.append((key[2], change[2], finished[2]))
    assert numbers == [(2 + 2 * i, 3 + 2 * i, i) for i in range(RETRIES + 1)]
    assert (one.error.phase, one.error.alert) == (r.KEYS, -1)


def test_an_answer_begins_the_waits_anew():
    one = started()
    one.poll(one.deadline())
    one.poll(one.deadline())
    assert one.deadline() == 7000
    one.receive(theirs()[0], 3500)
    assert one.deadline() == 4500
    one.receive(theirs()[1], 4000)
    assert one.deadline() == 5000 and one.retransmitted == 2


def test_timeout_and_retries_are_the_callers():
    one = started(timeout=50, retries=1)
    times, said = silence(one, 0)
    assert times == [50, 150] and len(said) == 1
    one = started(retries=0)
    assert silence(one, 0)[0] == [1000]


def test_nothing_is_due_without_a_handshake():
    for one in (client(), at(ECHO), at(ECHO)):
        assert one.deadline() is None
        one.poll(10**9)
        assert one.retransmitted == 0
    one.close()
    assert one.deadline() is None


def resumed():
    """A client behind an abbreviated handshake; its last flight is out."""
    first, one = client(), client()
    replayed(recorded.CCM, first)
    one.start(0, unhexlify(recorded.RANDOM), first.resumption())
    for data in theirs(recorded.AGAIN)[:2]:
        out(one)
        one.receive(data, 0)
    assert one.state == c.CONNECTED and one.deadline() is None
    return one


def from_server(one, kind, sequence, body):
    """A record of the server: the key block with each pair exchanged."""
    block = one.block
    server = ccm.Protection(block[16:32] + block[:16] + block[36:40] + block[32:36])
    return r.seal(server, kind, sequence, body, b"")


def test_the_last_flight_of_a_resumed_handshake_goes_again_when_asked_for_and_so_many_times():
    one = resumed()
    first = out(one)
    assert len(first) == 1
    one.receive(theirs(recorded.AGAIN)[1], 10)  # the very same records: repetitions
    assert out(one) == [] and one.dropped
    said = []
    for number in range(20, 30):  # Finished again, in new records
        one.receive(from_server(one, r.HANDSHAKE, number, b"\x14" + bytes(23)), 10)
        said += out(one)
    assert len(said) == RETRIES and [len(data) for data in said] == [len(first[0])] * RETRIES


def test_the_last_flight_is_done_with_once_data_came():
    one = resumed()
    out(one)
    one.receive(from_server(one, r.DATA, 20, PING), 10)
    one.receive(from_server(one, r.HANDSHAKE, 21, b"\x14" + bytes(23)), 10)
    assert out(one) == [] and one.inbox == [PING] and one.state == c.CONNECTED


# -- errors by phase ---------------------------------------------------------------------------------------------------


def alert(number, level=2, sequence=9):
    return r.plain(r.ALERT, sequence, bytes([level, number]))


def test_an_alert_ends_the_handshake_in_its_phase():
    for step, phase in ((0, r.HELLO), (HELLO, r.HELLO), (ENDING, r.KEYS)):
        one = at(step)
        out(one)
        one.receive(alert(r.HANDSHAKE_FAILURE), 0)
        assert one.state == c.CLOSED and out(one) == []
        assert (one.error.phase, one.error.alert, one.error.ours) == (phase, r.HANDSHAKE_FAILURE, False)


def test_a_warning_ends_nothing():
    one = started()
    one.receive(alert(90, 1), 0)
    assert one.state == c.SHAKING and one.deadline() == 1000


def test_a_closing_server_ends_the_handshake():
    one = started()
    one.receive(alert(r.CLOSE_NOTIFY, 1), 0)
    assert one.state == c.CLOSED and (one.error.phase, one.error.alert) == (r.HELLO, 0)


def test_an_alert_without_protection_ends_no_session():
    one = at(ECHO)
    for level in (1, 2):
        one.receive(alert(r.HANDSHAKE_FAILURE, level), 0)
        one.receive(alert(r.CLOSE_NOTIFY, level), 0)
    assert one.state == c.CONNECTED and one.dropped == 4 and out(one)[1:] == []


def test_a_wrong_key_makes_the_servers_finished_useless_and_ends_in_silence():
    one = c.Client(IDENTITY, b"another", (c.CCM_8,))
    one.start(0, unhexlify(recorded.RANDOM))
    for data in theirs()[:3]:
        one.receive(data, 0)
    assert one.state == c.SHAKING and one.dropped == 1
    silence(one, 0)
    assert one.error.phase == r.KEYS


def test_no_error_tells_the_key():
    for one in (started(), at(ENDING)):
        silence(one, 0)
        assert "TYvo" not in str(one.error) and "868543060974334" not in str(one.error)


# -- a session ---------------------------------------------------------------------------------------------------------


def test_data_is_for_a_session_only():
    for one in (client(), started(), at(ENDING)):
        waiting = len(one.out)
        try:
            one.send(b"x")
        except r.DtlsError as error:
            assert error.args[0] == "not connected"
        else:
            raise AssertionError("sent")
        assert len(one.out) == waiting
    one = at(ENDING)
    silence(one, 0)
    try:
        one.send(b"x")
    except r.DtlsError as error:
        assert error is one.error
    else:
        raise AssertionError("sent")


def test_closing_is_told_once_and_only_in_a_session():
    for one in (client(), started(), at(ENDING)):
        out(one)
        one.close()
        assert one.state == c.CLOSED and one.error is None and out(one) == []
    one = at(ECHO)
    out(one)
    one.close()
    one.close()
    assert len(out(one)) == 1
    one.receive(theirs()[ECHO], 0)
    assert one.inbox == []


def test_what_comes_again_is_delivered_once_and_counted():
    one = at(ECHO)
    echo = theirs()[ECHO]
    for _ in range(3):
        one.receive(echo, 0)
    assert one.inbox == [PING] and one.dropped == 2
    for data in theirs()[:3]:  # the handshake's
        one.receive(data, 0)
    assert one.inbox == [PING] and one.state == c.CONNECTED and one.dropped > 4


def test_what_is_no_record_of_the_server_is_dropped():
    one = at(ECHO)
    echo = theirs()[ECHO]
    bent = echo[:-1] + bytes([echo[-1] ^ 1])
    other_epoch = echo[:4] + b"\x02" + echo[5:]
    for data in (b"", b"x", bent, echo[:-1], other_epoch, r.plain(r.DATA, 1, b"plain"), bytes(100)):
        one.receive(data, 0)
    assert one.inbox == [] and one.state == c.CONNECTED and one.dropped == 3
    one.receive(bent + echo, 0)  # what is behind it in the datagram is looked at
    assert one.inbox == [PING]


def test_a_session_that_is_closed_by_the_server_says_so_too():
    one = at(ECHO)
    out(one)
    one.send(PING)
    one.receive(theirs()[ECHO], 0)
    one.receive(theirs()[4], 0)
    assert one.state == c.CLOSED and (one.error.phase, one.error.alert) == (r.DATA_PHASE, 0)
    assert [data[0] for data in out(one)] == [r.DATA, r.ALERT] and one.inbox == [PING]


# -- record numbers ----------------------------------------------------------------------------------------------------


def limited(limit, grant):
    """A session with a limit; `grant` is what reserve() raises it by, or an error."""
    one = at(ECHO)
    out(one)
    asked = []

    def reserve():
        asked.append(one.sequence)
        if isinstance(grant, Exception):
            raise grant
        one.limit += grant

    one.limit, one.reserve = limit, reserve
    return one, asked


def numbers(said):
    return [r.records(data)[0][2] for data in said]


def test_numbers_are_reserved_before_they_are_used():
    one, asked = limited(3, 4)
    for _ in range(8):
        one.send(b"x")
    assert numbers(out(one)) == [1, 2, 3, 4, 5, 6, 7, 8] and asked == [3, 7]


def test_no_record_leaves_where_its_number_could_not_be_reserved():
    one, asked = limited(2, OSError(5))
    one.send(b"x")
    for _ in range(2):
        try:
            one.send(b"y")
        except OSError:
            continue
        raise AssertionError("sent")
    assert numbers(out(one)) == [1] and one.sequence == 2 and asked == [2, 2] and one.state == c.CONNECTED
    one.limit = 3
    one.send(b"z")
    assert numbers(out(one)) == [2]


def test_an_alert_without_a_number_to_be_had_is_left_out():
    for data, state in ((b"\x00" * 12, c.CONNECTED), (b"\x0b" + bytes(11), c.CLOSED)):  # HelloRequest, Certificate
        one, asked = limited(1, OSError(5))
        one.receive(from_server(one, r.HANDSHAKE, 20, data), 0)
        assert out(one) == [] and asked == [1] and one.state == state
    for end in (lambda one: one.close(), lambda one: one.receive(from_server(one, r.ALERT, 20, b"\x01\x00"), 0)):
        one, asked = limited(1, OSError(5))
        end(one)
        assert out(one) == [] and asked == [1] and one.state == c.CLOSED
    one = at(ECHO)
    out(one)
    one.sequence = 2**48
    one.close()
    assert out(one) == [] and one.state == c.CLOSED


def test_without_a_limit_nothing_is_reserved():
    one, asked = limited(None, OSError(5))
    for _ in range(100):
        one.send(b"x")
    assert asked == [] and len(out(one)) == 100


def test_the_last_number_of_the_epoch_is_used_and_none_after_it():
    one = at(ECHO)
    out(one)
    one.sequence = 2**48 - 1
    one.send(b"x")
    try:
        one.send(b"y")
    except r.DtlsError as error:
        assert error.phase == r.DATA_PHASE
    else:
        raise AssertionError("a number twice")
    assert numbers(out(one)) == [2**48 - 1]
