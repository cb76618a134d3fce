# runs in: cpython, vm
"""Handshake messages that no honest server sends at that moment, or at all: each is answered with its alert (RFC 5246
§7.2) or has no effect. Fragments are test_hostile_fragments.py's, records test_hostile_records.py's."""

from ustruct import pack

from dtls import client as c
from tests_host.dtls import scripted_server as s
from tests_host.dtls.rig import IDENTITY, Rig, held

STEPS = ("hello", "asked", "keys", "changed")
FIRST = (s.VERIFY_REQUEST, s.SERVER_HELLO)
AWAITED = {"hello": FIRST, "asked": FIRST, "keys": (s.FINISHED,), "changed": (s.FINISHED,)}
CID = s.extension(s.CONNECTION_ID, b"\x01q")
EMS = s.extension(s.EXTENDED_MASTER, b"")
PLAIN = s.extension(s.RENEGOTIATION, b"\x00")

# Fields of a ServerHello -> the alert
HELLOS = [
    ({"version": s.DTLS_1_0}, s.VERSION),
    ({"version": 0xFEFC}, s.VERSION),
    ({"version": 0x0303}, s.VERSION),
    ({"suite": s.CBC}, s.ILLEGAL),
    ({"suite": 0}, s.ILLEGAL),
    ({"suite": 0x00FF}, s.ILLEGAL),  # offered, and no suite: RFC 5746's signal
    ({"suite": 0xC0A9}, s.ILLEGAL),
    ({"compression": 1}, s.ILLEGAL),
    ({"compression": 255}, s.ILLEGAL),
    ({"session_id": bytes(33)}, s.DECODE),
    ({"session_id": bytes(255)}, s.DECODE),
    ({"extensions": s.extension(0xABCD, b"")}, s.UNSUPPORTED),
    ({"extensions": s.extension(35, b"")}, s.UNSUPPORTED),
    ({"extensions": s.extension(22, b"")}, s.UNSUPPORTED),
    ({"extensions": EMS + EMS}, s.DECODE),
    ({"extensions": CID + CID}, s.DECODE),
    ({"extensions": PLAIN + EMS + PLAIN}, s.DECODE),
    ({"extensions": s.extension(s.RENEGOTIATION, b"\x01a")}, s.HANDSHAKE_FAILURE),  # RFC 5746 §3.4
    ({"extensions": s.extension(s.RENEGOTIATION, b"\x0c" + bytes(12))}, s.HANDSHAKE_FAILURE),
    ({"extensions": s.extension(s.RENEGOTIATION, b"")}, s.HANDSHAKE_FAILURE),
    ({"extensions": s.extension(s.EXTENDED_MASTER, b"\x00")}, s.DECODE),
    ({"extensions": s.extension(s.CONNECTION_ID, b"")}, s.DECODE),
    ({"extensions": s.extension(s.CONNECTION_ID, b"\x01")}, s.DECODE),
    ({"extensions": s.extension(s.CONNECTION_ID, b"\x00a")}, s.DECODE),
    ({"extensions": s.extension(s.CONNECTION_ID, b"\x02a")}, s.DECODE),
    ({"extensions": s.extension(s.CONNECTION_ID, b"\x01ab")}, s.DECODE),
]


def test_a_server_hello_that_answers_something_else_ends_the_handshake_with_its_alert():
    for step in ("hello", "asked"):
        for fields, alert in HELLOS:
            rig = Rig(step)
            rig.message(s.SERVER_HELLO, rig.server.hello_body(**fields))
            assert rig.ended(alert), (step, fields, rig.client.error)
            assert not rig.client.cid and rig.client.error.phase == 1


def test_an_ended_handshake_hears_and_says_nothing_more():
    rig = Rig()
    rig.message(s.SERVER_HELLO, rig.server.hello_body(compression=1))
    rig.server.order = 0
    assert not rig.plain(s.HANDSHAKE, b"".join(rig.server.hello_flight()))
    assert not rig.watched.poll(100000) and rig.client.deadline() is None and rig.client.state == c.CLOSED


def test_session_ids_of_0_to_32_bytes_are_taken():
    for count in range(33):
        rig = Rig("open", session_id=bytes(range(count)))
        assert rig.client.session_id == bytes(range(count))


def test_connection_ids_of_0_to_255_bytes_are_used_where_one_was_offered_and_refused_where_not():
    for count in range(256):
        cid = bytes([count]) * count
        rig = Rig("open", cid=cid)
        sent = rig.hear(rig.watched.send(b"report"))
        assert rig.server.heard[-1] == (1, s.DATA, b"report") and len(sent[0]) == 6 + 29 + count + (1 if count else 0)
        rig = Rig(offer_cid=False)
        extension = s.extension(s.CONNECTION_ID, bytes([count]) + cid)
        rig.message(s.SERVER_HELLO, rig.server.hello_body(extensions=extension))
        assert rig.ended(s.UNSUPPORTED)


def test_a_server_hello_cut_short_anywhere_or_longer_than_it_says_is_a_decode_error():
    rig = Rig(session_id=b"session", cid=b"cid")
    body = rig.server.hello_body()
    without = 38 + 7  # where extensions may be left out
    for cut in range(len(body)):
        rig = Rig()
        rig.message(s.SERVER_HELLO, body[:cut])
        assert (rig.client.error is None if cut == without else rig.ended(s.DECODE)), cut
    for more in (b"\x00", b"\x00\x00", bytes(100)):
        rig = Rig()
        rig.message(s.SERVER_HELLO, body + more)
        assert rig.ended(s.DECODE)


def test_every_wrong_length_in_a_server_hello_is_a_decode_error():
    body = Rig(session_id=b"session", cid=b"cid").server.hello_body()
    right = {34: 7, 46: body[46], 50: 1, 55: 0, 59: 4, 60: 3}  # offset of a length's last byte: what it says
    ends = []
    for at in right:
        assert body[at] == right[at]
        for wrong in range(256):
            if wrong == right[at]:
                continue
            rig = Rig()
            rig.message(s.SERVER_HELLO, body[:at] + bytes([wrong]) + body[at + 1 :])
            assert rig.client.error is not None and rig.ended(rig.client.error.alert), (at, wrong)
            ends.append(rig.client.error.alert)
    # A session id or extension of another length may lead to another suite, type or content
    assert set(ends) <= {s.DECODE, s.ILLEGAL, s.HANDSHAKE_FAILURE, s.UNSUPPORTED} and ends.count(s.DECODE) > 1200


def test_cookies_of_0_to_255_bytes_come_back_under_the_same_random():
    for count in range(256):
        rig = Rig()
        cookie = bytes([255 - count]) * count
        rig.message(s.VERIFY_REQUEST, pack(">HB", s.DTLS_1_0, count) + cookie)
        hello = rig.server.heard[-1][2]
        first = rig.server.heard[0][2]
        assert hello[5] == 1 and hello[12:47] == first[12:47] and first[47] == 0
        assert hello[47] == count and hello[48 : 48 + count] == cookie and hello[48 + count :] == first[48:]


def test_a_verify_request_cut_short_anywhere_or_longer_is_a_decode_error():
    body = pack(">HB", s.DTLS_1_0, 20) + bytes(20)
    for wrong in [body[:cut] for cut in range(len(body))] + [body + b"\x00", body + bytes(200)]:
        rig = Rig()
        rig.message(s.VERIFY_REQUEST, wrong)
        assert rig.ended(s.DECODE)


def test_the_fourth_verify_request_and_one_after_the_server_hello_are_unexpected():
    rig = Rig()
    for _ in range(3):
        assert len(rig.plain(s.HANDSHAKE, rig.server.verify_request())) == 1
        assert rig.server.heard[-1][1] == s.HANDSHAKE
    rig.plain(s.HANDSHAKE, rig.server.verify_request())
    assert rig.ended(s.UNEXPECTED)
    rig = Rig()
    rig.plain(s.HANDSHAKE, rig.server.hello_flight()[0])
    rig.server.order = 1
    rig.plain(s.HANDSHAKE, rig.server.verify_request())
    assert rig.ended(s.UNEXPECTED)


def test_a_server_key_exchange_that_is_no_hint_is_a_decode_error():
    body = pack(">H", 6) + b"a hint"
    for wrong in [body[:cut] for cut in range(len(body))] + [body + b"!", b"\x01\x06a hint", b"\x00\x05a hint"]:
        rig = Rig()
        rig.plain(s.HANDSHAKE, rig.server.hello_flight()[0])
        rig.message(s.SERVER_KEY, wrong, order=1)
        assert rig.ended(s.DECODE)


def test_hints_of_0_to_500_bytes_are_taken():
    for count in (0, 1, 128, 500):
        Rig("open", hint=bytes(count))


def test_a_server_hello_done_with_content_is_a_decode_error():
    for count in (1, 2, 255, 512):
        rig = Rig()
        rig.plain(s.HANDSHAKE, rig.server.hello_flight()[0])
        rig.message(s.SERVER_DONE, bytes(count), order=1)
        assert rig.ended(s.DECODE)


def test_each_message_is_taken_at_its_turn_only():
    for step in STEPS:
        for kind in range(1, 26):
            if kind in AWAITED[step]:
                continue
            rig = Rig(step)
            rig.message(kind, bytes(12), 1 if step == "changed" else 0)
            assert rig.ended(s.UNEXPECTED), (step, kind)
            assert rig.client.error.phase == (1 if step in ("hello", "asked") else 2)


def test_between_the_messages_of_a_flight_only_the_next_ones_are_taken():
    for heard, awaited in ((1, (s.SERVER_KEY, s.SERVER_DONE)), (2, (s.SERVER_DONE,))):
        for kind in range(1, 26):
            if kind in awaited:
                continue
            rig = Rig(hint=b"a hint")
            rig.plain(s.HANDSHAKE, b"".join(rig.server.hello_flight()[:heard]))
            rig.message(kind, b"\x00\x00", order=heard)
            assert rig.ended(s.UNEXPECTED), (heard, kind)


def test_messages_in_one_record_keep_their_order_too():
    for kind in range(1, 26):
        if kind in (s.SERVER_KEY, s.SERVER_DONE):
            continue
        rig = Rig()
        rig.plain(s.HANDSHAKE, rig.server.hello_flight()[0] + s.message(kind, 1, bytes(12)))
        assert rig.ended(s.UNEXPECTED), kind


def test_a_hello_request_means_nothing_in_a_handshake():
    for step in STEPS:
        for order in (0, 1, 2, 3, 65535):
            rig = Rig(step)
            rig.message(s.HELLO_REQUEST, b"", 1 if step == "changed" else 0, order)
            assert rig.unmoved() and rig.client.state == c.SHAKING


def test_a_hello_request_with_content_is_unexpected():
    rig = Rig()
    rig.message(s.HELLO_REQUEST, b"a")
    assert rig.ended(s.UNEXPECTED)


def test_in_a_session_a_hello_request_is_refused_and_any_other_message_but_finished_ends_it():
    rig = Rig("open")
    for _ in range(3):
        rig.message(s.HELLO_REQUEST, b"", 1)
        assert rig.server.heard[-1] == (1, s.ALERT, bytes([1, s.NO_RENEGOTIATION])) and rig.client.state == c.CONNECTED
    for kind in range(1, 256):
        rig = Rig("open")
        rig.message(kind, bytes(12), 1)
        assert (rig.unmoved() if kind == s.FINISHED else rig.ended(s.UNEXPECTED)), kind
    rig = Rig("open")
    rig.sealed(s.HANDSHAKE, b"")
    assert rig.ended(s.UNEXPECTED)


def test_messages_of_the_past_and_far_ahead_have_no_effect():
    for step in ("asked", "keys"):
        now = {"asked": 1, "keys": 2}[step]
        for order in list(range(now)) + [now + 4, now + 5, now + 255, 0x7FFF, 0xFFFF]:
            for kind in (s.VERIFY_REQUEST, s.SERVER_HELLO, s.SERVER_DONE, s.FINISHED, s.CERTIFICATE):
                rig = Rig(step)
                holds = held(rig.client)
                for length in (0, 12, 500, 513):
                    rig.plain(s.HANDSHAKE, s.message(kind, order, b"", 0, None, length))
                assert rig.unmoved() and held(rig.client) == holds, (step, order, kind)
    rig.go_on()


def test_messages_that_came_too_early_wait_for_their_turn():
    for turns in ((2, 1, 0), (1, 0, 2), (1, 2, 0), (2, 0, 1)):
        rig = Rig(hint=b"a hint")
        flight = rig.server.hello_flight()
        for turn in turns:
            rig.plain(s.HANDSHAKE, flight[turn])
        rig.go_on()


def test_a_message_too_early_is_judged_at_its_turn():
    rig = Rig()
    flight = rig.server.hello_flight()
    rig.message(s.CERTIFICATE, bytes(3), order=1)
    assert rig.unmoved()
    rig.plain(s.HANDSHAKE, flight[0])
    assert rig.ended(s.UNEXPECTED)


def test_a_flight_that_comes_again_has_no_effect():
    rig = Rig()
    flight = b"".join(rig.server.hello_flight())
    rig.plain(s.HANDSHAKE, flight)
    for _ in range(3):
        rig.plain(s.HANDSHAKE, flight)
        assert rig.unmoved()
    rig.go_on()


def test_a_finished_that_is_wrong_in_any_byte_is_a_decrypt_error():
    right = Rig("changed").server.finished()
    for at in range(12, len(right)):
        for bit in (0x01, 0x80):
            rig = Rig("changed")
            rig.sealed(s.HANDSHAKE, right[:at] + bytes([right[at] ^ bit]) + right[at + 1 :])
            assert rig.ended(s.DECRYPT) and rig.client.error.phase == 2


def test_a_finished_of_another_length_or_ours_sent_back_is_a_decrypt_error():
    ours = [one for one in Rig("changed").server.heard if one[0] == 1][0][2][12:]
    right = Rig("changed").server.finished()[12:]
    for wrong in [right[:cut] for cut in range(12)] + [right + b"\x00", bytes(12), ours, bytes(512)]:
        rig = Rig("changed")
        rig.message(s.FINISHED, wrong, 1)
        assert rig.ended(s.DECRYPT)


def test_a_finished_in_plain_ends_the_handshake_before_the_change_and_has_no_effect_after_it():
    rig = Rig("keys")
    rig.plain(s.HANDSHAKE, rig.server.finished())
    assert rig.ended(s.UNEXPECTED)
    rig = Rig("changed")
    finished = rig.server.finished()
    rig.plain(s.HANDSHAKE, finished)
    assert rig.unmoved() and rig.client.state == c.SHAKING
    rig.sealed(s.HANDSHAKE, finished)
    assert rig.client.state == c.CONNECTED


def test_a_finished_that_overtook_the_change_is_taken_after_it():
    rig = Rig("keys")
    finished = rig.server.record(s.HANDSHAKE, rig.server.finished(), 1)
    rig.receive(finished)
    assert rig.unmoved() and rig.client.state == c.SHAKING
    rig.plain(s.CCS, b"\x01")
    assert rig.client.state == c.CONNECTED
    rig.receive(finished)
    assert rig.unmoved() and rig.client.dropped == 1


def test_a_wrong_finished_that_overtook_the_change_is_judged_after_it():
    rig = Rig("keys")
    rig.message(s.FINISHED, bytes(12), 1)
    rig.plain(s.CCS, b"\x01")
    assert rig.ended(s.DECRYPT)


def test_messages_longer_than_the_bound_are_refused():
    for order in (0, 1, 3):
        for length in (513, 1000, 65536, 0xFFFFFF):
            rig = Rig()
            rig.plain(s.HANDSHAKE, s.message(s.SERVER_HELLO, order, b"", 0, None, length))
            assert rig.ended(s.INTERNAL)


def test_the_identity_leaves_as_it_was_given():
    rig = Rig("keys")
    key = [one for one in rig.server.heard if one[1] == s.HANDSHAKE and one[2][0] == s.CLIENT_KEY][0][2]
    assert key[12:] == pack(">H", len(IDENTITY)) + IDENTITY
