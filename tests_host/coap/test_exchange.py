# runs in: cpython, vm, old
"""The message layer towards one peer (RFC 7252 §4): schedule, short cuts, de-duplication, resets, strays."""

from ubinascii import unhexlify

from coap import exchange as x
from coap import message as m

LIFETIME = 247000  # ms, EXCHANGE_LIFETIME


class Mids:
    def __init__(self, first=0x3623):
        self.next = first - 1

    def __call__(self):
        self.next += 1
        return self.next


def fresh(jitter=256, timeout=2000, retries=4):
    return x.Exchange(Mids(), jitter, timeout, retries)


def request(mid=1, token=b"\x01", kind=m.CON):
    return m.Message(kind, m.POST, mid, token, m.path_options(m.URI_PATH, "rd"))


def report(mid=1, kind=m.CON):
    return m.Message(kind, m.CONTENT, mid, b"tokn", [(m.OBSERVE, b"\x05")], b"x")


def raw(kind, code, mid, token=b"", options=(), payload=b""):
    return m.encode(m.Message(kind, code, mid, token, options, payload))


def empty(kind, mid):
    return raw(kind, m.EMPTY, mid)


def sent(exchange):
    out = exchange.out[:]
    del exchange.out[:]
    return out


def run_out(exchange, since=0):
    """[time of each retransmission], (event, time of the end): polled only when `deadline` says so."""
    times = []
    while True:
        now = exchange.deadline()
        assert now is not None
        event = exchange.poll(now)
        if event is not None:
            return times, (event, now - since)
        times += [now - since] * len(sent(exchange))


# retransmission


def test_retransmissions_double_from_ack_timeout_and_end_in_one_timeout():
    # RFC 7252 §4.2 and §4.8.2: sent at 0, 2, 6, 14, 30 s; given up at 62 s (MAX_TRANSMIT_WAIT / 1.5)
    exchange = fresh()
    exchange.send(report(7), 0)
    first = sent(exchange)
    assert first == [m.encode(report(7))] and exchange.busy()
    assert run_out(exchange) == ([2000, 6000, 14000, 30000], ((x.TIMEOUT, 7), 62000))
    assert not exchange.busy() and exchange.deadline() is None and exchange.retransmitted == 4
    assert exchange.poll(10**9) is None and sent(exchange) == []


def test_the_schedule_is_stretched_by_the_jitter_up_to_one_and_a_half():
    # ACK_RANDOM_FACTOR 1.5: 93 s in all
    exchange = fresh(jitter=384)
    exchange.send(request(), 500)
    sent(exchange)
    assert run_out(exchange, 500) == ([3000, 9000, 21000, 45000], ((x.TIMEOUT, 1), 93000))


def test_every_retransmission_is_the_same_bytes():
    exchange = fresh()
    message = report()
    exchange.send(message, 0)
    first = sent(exchange)[0]
    message.payload = b"changed"
    for now in (2000, 6000, 14000, 30000):
        exchange.poll(now)
        assert sent(exchange) == [first]


def test_nothing_is_sent_again_before_it_is_due():
    exchange = fresh()
    exchange.send(request(), 0)
    sent(exchange)
    assert exchange.deadline() == 2000 and exchange.poll(1999) is None and sent(exchange) == []
    assert exchange.poll(2000) is None and len(sent(exchange)) == 1 and exchange.deadline() == 6000


def test_a_late_poll_sends_once_and_waits_its_whole_time():
    exchange = fresh()
    exchange.send(request(), 0)
    sent(exchange)
    assert exchange.poll(20000) is None and len(sent(exchange)) == 1 and exchange.deadline() == 24000


def test_a_short_cut_has_its_own_bounds():
    # DESIGN §4: two tries and about 6 s; with every jitter between 4.8 and 7.2 s
    for jitter, end in ((256, 4800), (320, 6000), (384, 7200)):
        exchange = fresh(jitter)
        exchange.send(request(), 0, 1600, 1)
        sent(exchange)
        assert run_out(exchange) == ([end // 3], ((x.TIMEOUT, 1), end))


def test_no_retransmission_at_all_can_be_asked_for():
    exchange = fresh()
    exchange.send(request(), 0, 3000, 0)
    sent(exchange)
    assert run_out(exchange) == ([], ((x.TIMEOUT, 1), 3000))


def test_an_exchange_after_a_short_cut_has_coaps_bounds_again():
    exchange = fresh()
    exchange.send(request(), 0, 1600, 1)
    sent(exchange)
    run_out(exchange)
    exchange.send(request(2), 10000)
    sent(exchange)
    assert run_out(exchange, 10000)[1] == ((x.TIMEOUT, 2), 62000)


def test_a_forgotten_message_is_not_sent_again():
    exchange = fresh()
    exchange.send(request(), 0)
    exchange.cancel()
    sent(exchange)
    assert not exchange.busy() and exchange.deadline() is None and exchange.poll(99999) is None
    assert exchange.receive(raw(m.ACK, m.CHANGED, 1, b"\x01"), 5) is None and exchange.stray == 1


def test_a_non_is_sent_once():
    exchange = fresh()
    exchange.send(report(3, m.NON), 0)
    assert len(sent(exchange)) == 1 and not exchange.busy() and exchange.deadline() is None


def test_one_confirmable_message_is_outstanding_and_a_second_puts_nothing_on_the_wire():
    # NSTART = 1, RFC 7252 §4.7
    exchange = fresh()
    exchange.send(report(7), 0)
    sent(exchange)
    try:
        exchange.send(report(8), 10)
    except RuntimeError:
        assert sent(exchange) == [] and exchange.deadline() == 2000
        assert exchange.receive(empty(m.ACK, 7), 20)[0] == x.ACKED
        return
    raise AssertionError("two confirmable messages were outstanding")


# answers to ours


def test_an_acknowledgement_ends_a_notification_and_comes_once():
    exchange = fresh()
    exchange.send(report(7), 0)
    sent(exchange)
    event = exchange.receive(empty(m.ACK, 7), 40)
    assert event[0] == x.ACKED and event[1].mid == 7 and not exchange.busy()
    assert exchange.receive(empty(m.ACK, 7), 50) is None and exchange.stray == 1  # of a retransmission
    assert sent(exchange) == []


def test_a_piggybacked_response_needs_our_mid_and_our_token():
    exchange = fresh()
    exchange.send(request(7, b"\x07"), 0)
    sent(exchange)
    assert exchange.receive(raw(m.ACK, m.CHANGED, 8, b"\x07"), 1) is None
    assert exchange.receive(raw(m.ACK, m.CHANGED, 7, b"\x08"), 2) is None
    assert exchange.receive(raw(m.ACK, m.CHANGED, 7), 3) is None
    assert exchange.stray == 3 and exchange.busy() and sent(exchange) == []
    event = exchange.receive(raw(m.ACK, m.CHANGED, 7, b"\x07"), 4)
    assert event[0] == x.RESPONSE and event[1].code == m.CHANGED and not exchange.busy()


def test_a_reset_ends_ours():
    for message in (report(7), request(7)):
        exchange = fresh()
        exchange.send(message, 0)
        sent(exchange)
        assert exchange.receive(empty(m.RST, 8), 1) is None and exchange.busy() and exchange.stray == 1
        assert exchange.receive(empty(m.RST, 7), 2) == (x.RESET, 7) and not exchange.busy()
        assert sent(exchange) == []


def test_a_reset_of_one_of_our_last_four_nons_is_told():
    exchange = fresh()
    for mid in range(1, 6):
        exchange.send(report(mid, m.NON), 0)
    assert exchange.receive(empty(m.RST, 2), 1) == (x.RESET, 2)
    assert exchange.receive(empty(m.RST, 1), 1) is None and exchange.stray == 1
    assert exchange.receive(empty(m.ACK, 3), 1) is None and exchange.stray == 2


def test_a_separate_response_is_acknowledged():
    # RFC 7252 §5.2.2
    exchange = fresh()
    exchange.send(request(7, b"\x07"), 0)
    sent(exchange)
    assert exchange.receive(empty(m.ACK, 7), 100) is None and exchange.busy()
    event = exchange.receive(raw(m.CON, m.CHANGED, 900, b"\x07"), 3000)
    assert event[0] == x.RESPONSE and event[1].code == m.CHANGED
    assert sent(exchange) == [empty(m.ACK, 900)] and not exchange.busy()


def test_a_response_that_overtakes_its_acknowledgement_counts():
    exchange = fresh()
    exchange.send(request(7, b"\x07"), 0)
    sent(exchange)
    assert exchange.receive(raw(m.NON, m.CHANGED, 900, b"\x07"), 50)[0] == x.RESPONSE
    assert sent(exchange) == [] and not exchange.busy()
    assert exchange.receive(empty(m.ACK, 7), 60) is None and exchange.stray == 1


def test_a_repeated_separate_response_is_acknowledged_again_and_not_told_again():
    # RFC 7252 §4.5: our ACK was lost; a RST would tell the platform that we know nothing of it
    exchange = fresh()
    exchange.send(request(7, b"\x07"), 0)
    response = raw(m.CON, m.CHANGED, 900, b"\x07")
    exchange.receive(response, 100)
    sent(exchange)
    for now in (2100, 6100, 100 + LIFETIME - 1):
        assert exchange.receive(response, now) is None and sent(exchange) == [empty(m.ACK, 900)]
    assert exchange.duplicates == 3 and exchange.stray == 0


def test_an_empty_acknowledgement_stops_retransmission_and_moves_the_end_nowhere():
    for bounds, end in (((), 62000), ((1600, 1), 4800)):  # CoAP's own, and a short cut's
        for acknowledged in ((100,), (100, 4000, 4700)):  # repeated by the network: no later end
            exchange = fresh()
            exchange.send(request(7, b"\x07"), 0, *bounds)
            sent(exchange)
            for now in acknowledged:
                assert exchange.receive(empty(m.ACK, 7), now) is None
            assert run_out(exchange) == ([], ((x.TIMEOUT, 7), end))


def test_an_empty_acknowledgement_of_a_retransmission_moves_the_end_nowhere():
    exchange = fresh()
    exchange.send(request(7, b"\x07"), 0)
    exchange.poll(2000)
    exchange.poll(6000)
    sent(exchange)
    exchange.receive(empty(m.ACK, 7), 6050)
    assert run_out(exchange) == ([], ((x.TIMEOUT, 7), 62000))


# what the peer begins


def test_a_repeated_request_gets_the_same_bytes_and_is_not_told_again():
    # RFC 7252 §4.2, §4.5
    exchange = fresh()
    write = raw(m.CON, m.PUT, 44299, b"tokn", m.path_options(m.URI_PATH, "19/1/0"), b"valve")
    event = exchange.receive(write, 0)
    assert event[0] == x.REQUEST and event[1].payload == b"valve"
    exchange.respond(event[1], m.CHANGED, [(m.CONTENT_FORMAT, b"")], b"done")
    first = sent(exchange)
    assert first == [raw(m.ACK, m.CHANGED, 44299, b"tokn", [(m.CONTENT_FORMAT, b"")], b"done")]
    for now in (10, 2000, LIFETIME - 1):
        assert exchange.receive(write, now) is None and sent(exchange) == first
    assert exchange.duplicates == 3


def test_a_mid_means_a_new_request_after_exchange_lifetime():
    exchange = fresh()
    write = raw(m.CON, m.PUT, 5, b"a")
    exchange.respond(exchange.receive(write, 1000)[1], m.CHANGED)
    assert exchange.receive(write, 1000 + LIFETIME - 1) is None
    assert exchange.receive(write, 1000 + LIFETIME)[0] == x.REQUEST


def test_a_repetition_before_the_answer_is_there_is_only_counted():
    exchange = fresh()
    write = raw(m.CON, m.PUT, 5, b"a")
    assert exchange.receive(write, 0)[0] == x.REQUEST
    assert exchange.receive(write, 1) is None and exchange.duplicates == 1 and sent(exchange) == []


def test_the_last_eight_requests_are_remembered():
    exchange = fresh()
    for mid in range(9):
        exchange.respond(exchange.receive(raw(m.CON, m.PUT, mid), mid)[1], m.CHANGED)
    sent(exchange)
    for mid in range(1, 9):
        assert exchange.receive(raw(m.CON, m.PUT, mid), 100) is None
        assert sent(exchange) == [raw(m.ACK, m.CHANGED, mid)]
    assert exchange.receive(raw(m.CON, m.PUT, 0), 100)[0] == x.REQUEST


def test_a_non_request_gets_a_non_of_our_own_and_its_repetition_nothing():
    # RFC 7252 §5.2.3, §4.5
    exchange = fresh()
    ask = raw(m.NON, m.GET, 5, b"tk")
    exchange.respond(exchange.receive(ask, 0)[1], m.NOT_FOUND)
    assert sent(exchange) == [raw(m.NON, m.NOT_FOUND, 0x3623, b"tk")]
    assert exchange.receive(ask, 10) is None and exchange.duplicates == 1 and sent(exchange) == []


def test_a_request_is_served_while_ours_is_outstanding():
    exchange = fresh()
    exchange.send(report(7), 0)
    sent(exchange)
    event = exchange.receive(raw(m.CON, m.PUT, 7, b"a"), 10)  # the peer's ids are its own
    exchange.respond(event[1], m.CHANGED)
    assert sent(exchange) == [raw(m.ACK, m.CHANGED, 7, b"a")] and exchange.busy()
    assert exchange.receive(empty(m.ACK, 7), 20)[0] == x.ACKED


def test_a_ping_is_answered_by_a_reset():
    # RFC 7252 §4.3
    exchange = fresh()
    assert exchange.receive(unhexlify("4000beef"), 0) is None
    assert sent(exchange) == [unhexlify("7000beef")] and exchange.stray == 0


def test_the_bounds_are_coaps_own_where_none_are_given():
    # RFC 7252 §4.8: ACK_TIMEOUT 2 s, ACK_RANDOM_FACTOR 1 to 1.5, MAX_RETRANSMIT 4
    exchange = x.Exchange(Mids())
    exchange.send(report(), 0)
    count = 0
    assert 2000 <= exchange.deadline() <= 3000
    while exchange.poll(exchange.deadline()) is None:
        count += 1
    assert count == 4


def test_a_response_to_nothing_of_ours_is_reset_if_it_is_confirmable():
    # RFC 7252 §4.2, §4.3
    exchange = fresh()
    assert exchange.receive(raw(m.CON, m.CONTENT, 77, b"who"), 0) is None
    assert sent(exchange) == [empty(m.RST, 77)]
    assert exchange.receive(raw(m.NON, m.CONTENT, 78, b"who"), 0) is None
    assert exchange.receive(raw(m.ACK, m.CONTENT, 79, b"who"), 0) is None
    assert sent(exchange) == [] and exchange.stray == 3


def test_a_content_in_the_acknowledgement_of_a_notification_acknowledges_nothing():
    # RFC 7252 §4.2: only a request can be answered in its ACK
    exchange = fresh()
    exchange.send(report(7), 0)
    assert exchange.receive(raw(m.ACK, m.CONTENT, 7, b"tokn"), 1) is None
    assert exchange.receive(raw(m.NON, m.CONTENT, 8, b"tokn"), 1) is None
    assert exchange.busy() and exchange.stray == 2


def test_an_unknown_critical_option_rejects_a_response():
    # RFC 7252 §5.4.1: a piggybacked one is ignored, a separate one reset
    exchange = fresh()
    exchange.send(request(7, b"\x07"), 0)
    sent(exchange)
    assert exchange.receive(raw(m.ACK, m.CONTENT, 7, b"\x07", [(9, b"\x08")]), 1) is None and sent(exchange) == []
    assert exchange.receive(raw(m.CON, m.CONTENT, 9, b"\x07", [(9, b"\x08")]), 2) is None
    assert sent(exchange) == [empty(m.RST, 9)] and exchange.stray == 2 and exchange.busy()
    assert exchange.receive(raw(m.ACK, m.CHANGED, 7, b"\x07", [(10, b"\x08")]), 3)[0] == x.RESPONSE


def test_an_unknown_critical_option_rejects_a_non_request_and_leaves_a_con_to_the_layer_above():
    # RFC 7252 §5.4.1: only a CON is answered 4.02
    exchange = fresh()
    assert exchange.receive(raw(m.NON, m.GET, 7, b"a", [(9, b"")]), 1) is None
    assert sent(exchange) == [] and exchange.stray == 1
    assert exchange.receive(raw(m.CON, m.GET, 8, b"a", [(9, b"")]), 1)[1].critical() == 9


def test_what_is_no_message_is_counted_and_changes_nothing():
    exchange = fresh()
    exchange.send(request(7, b"\x07"), 0)
    sent(exchange)
    rubbish = (b"", b"\x40", b"\x00" * 20, b"\xff" * 20, unhexlify("6f000007"), unhexlify("60440007ff"))
    for count, data in enumerate(rubbish):
        assert exchange.receive(data, 10) is None and exchange.malformed == count + 1
    assert sent(exchange) == [] and exchange.busy() and exchange.deadline() == 2000


def test_a_repeated_non_response_is_told_once():
    # RFC 7252 §4.3, §4.5
    exchange = fresh()
    exchange.send(request(7, b"\x07"), 0)
    response = raw(m.NON, m.CHANGED, 900, b"\x07")
    assert exchange.receive(response, 100)[0] == x.RESPONSE
    sent(exchange)
    exchange.send(request(8, b"\x07"), 200)  # even where the token came back
    sent(exchange)
    assert exchange.receive(response, 300) is None and exchange.duplicates == 1 and exchange.busy()


def test_a_response_after_the_end_is_a_stray_and_reset_if_it_is_confirmable():
    # RFC 7252 §4.2: nobody waits for it any more
    exchange = fresh()
    exchange.send(request(7, b"\x07"), 0, 1000, 0)
    sent(exchange)
    assert run_out(exchange)[1] == ((x.TIMEOUT, 7), 1000)
    assert exchange.receive(raw(m.ACK, m.CHANGED, 7, b"\x07"), 1001) is None and sent(exchange) == []
    assert exchange.receive(raw(m.CON, m.CHANGED, 900, b"\x07"), 1002) is None
    assert sent(exchange) == [empty(m.RST, 900)] and exchange.stray == 2


def test_a_separate_response_to_an_earlier_request_answers_no_later_one():
    # RFC 7252 §5.3.1: tokens of two bytes differ where message ids have a byte in common
    exchange = fresh()
    exchange.send(request(0x0107, b"\x01\x07"), 0, 1000, 0)
    run_out(exchange)
    exchange.send(request(0x0207, b"\x02\x07"), 2000)
    sent(exchange)
    assert exchange.receive(raw(m.CON, m.CHANGED, 900, b"\x01\x07"), 2100) is None and exchange.busy()
    assert sent(exchange) == [empty(m.RST, 900)]
    assert exchange.receive(raw(m.CON, m.CHANGED, 901, b"\x02\x07"), 2200)[0] == x.RESPONSE


def test_a_ping_disturbs_nothing_that_is_under_way():
    exchange = fresh()
    exchange.send(report(7), 0)
    sent(exchange)
    assert exchange.receive(empty(m.CON, 7), 10) is None and sent(exchange) == [empty(m.RST, 7)]
    assert exchange.busy() and exchange.deadline() == 2000 and exchange.receive(empty(m.ACK, 7), 20)[0] == x.ACKED


def test_a_reset_of_our_answer_to_a_non_request_is_no_event():
    # RFC 7252 §4.3: it is about no notification of ours
    exchange = fresh()
    exchange.respond(exchange.receive(raw(m.NON, m.GET, 5, b"tk"), 0)[1], m.NOT_FOUND)
    sent(exchange)
    assert exchange.receive(empty(m.RST, 0x3623), 10) is None and exchange.stray == 1


def test_the_peers_message_ids_are_its_own_and_all_numbers_will_do():
    # RFC 7252 §4.4
    exchange = fresh()
    for mid in (0xFFFF, 0):
        exchange.send(report(mid), 0)
        assert exchange.receive(raw(m.CON, m.PUT, mid, b"a"), 1)[0] == x.REQUEST
        assert exchange.receive(empty(m.ACK, mid), 2)[0] == x.ACKED
