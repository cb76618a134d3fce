# runs in: cpython, vm
"""Handshake messages in fragments (RFC 6347 §4.2.3): in any order, doubled, overlapping, contradictory, beyond the
message, empty, by the thousand. They lead to the message, to its alert or to nothing, in bounded memory."""

from dtls import client as c
from tests_host.dtls import scripted_server as s
from tests_host.dtls.rig import Rig, held

HELD = 6000  # bytes, as `held` counts: 4 messages of 512 among them


def flight(**server):
    """(rig, its server's first flight as whole messages)."""
    rig = Rig(**server)
    return rig, rig.server.hello_flight()


def test_a_server_hello_in_two_parts_cut_anywhere_in_either_order():
    count = len(flight(cid=b"cid")[1][0]) - 12
    for cut in range(count + 1):
        for swapped in (False, True):
            rig, whole = flight(cid=b"cid")
            parts = s.pieces_of(whole[0], cut)
            for part in (parts[::-1] if swapped else parts):
                rig.plain(s.HANDSHAKE, part)
            rig.plain(s.HANDSHAKE, whole[1])
            rig.go_on()


def test_parts_of_one_byte_in_order_and_backwards():
    for backwards in (False, True):
        rig, whole = flight()
        parts = s.pieces_of(whole[0], *range(1, len(whole[0]) - 12))
        for part in (parts[::-1] if backwards else parts):
            rig.plain(s.HANDSHAKE, part)
        rig.plain(s.HANDSHAKE, whole[1])
        rig.go_on()


def test_parts_of_several_messages_mixed_in_one_record():
    rig, whole = flight(hint=b"a longer hint")
    hello, hint = s.pieces_of(whole[0], 10, 30), s.pieces_of(whole[1], 3, 9)
    rig.plain(s.HANDSHAKE, hint[2] + hello[1] + whole[2] + hello[0] + hint[0] + hint[1] + hello[2])
    rig.go_on()


def test_more_holes_than_are_noted_are_filled_by_the_next_flight():
    rig, whole = flight()
    parts = s.pieces_of(whole[0], *range(1, len(whole[0]) - 12))
    for part in parts[::2] + parts[1::2]:  # 8 islands are noted
        rig.plain(s.HANDSHAKE, part)
    assert rig.unmoved()
    rig.plain(s.HANDSHAKE, whole[0] + whole[1])
    rig.go_on()


def test_8_islands_of_a_message_are_noted():
    for count in (8, 9):
        rig, whole = flight()
        parts = s.pieces_of(whole[0], *range(1, 2 * count))
        for part in parts[0::2] + parts[1::2]:
            rig.plain(s.HANDSHAKE, part)
        rig.watched.receive(rig.server.record(s.HANDSHAKE, whole[1]))
        assert (rig.client.suite == s.CCM_8) == (count == 8)


def test_a_message_out_of_turn_is_judged_by_its_first_part():
    rig = Rig()
    rig.plain(s.HANDSHAKE, s.message(s.CERTIFICATE, 0, b"", 0, None, 500))
    assert rig.ended(s.UNEXPECTED)


def test_overlapping_and_doubled_parts():
    rig, whole = flight()
    body = whole[0][12:]
    for start, end in ((0, 10), (5, 20), (0, 10), (30, len(body)), (30, 31), (15, 35), (0, len(body))):
        rig.plain(s.HANDSHAKE, s.message(s.SERVER_HELLO, 0, body[start:end], start, None, len(body)))
    rig.plain(s.HANDSHAKE, whole[1])
    rig.go_on()


def test_a_message_with_a_part_of_another_content_leads_to_no_session():
    for first in (True, False):
        rig, whole = flight()
        body = whole[0][12:]
        wrong = s.message(s.SERVER_HELLO, 0, bytes(10), 10, None, len(body))
        halves = s.pieces_of(whole[0], 15)
        halves.insert(0 if first else 1, wrong)
        for part in halves:
            rig.plain(s.HANDSHAKE, part)
        rig.server.transcript = b""  # whatever it believes, it is not what came
        rig.watched.receive(rig.server.record(s.HANDSHAKE, whole[1]))
        if rig.server.writer is None:
            rig.server.master = bytes(48)
            rig.server.derive()
        rig.watched.receive(rig.server.last_flight())
        assert rig.client.state != c.CONNECTED


def test_parts_that_contradict_one_another_are_illegal():
    start = s.message(s.SERVER_HELLO, 0, bytes(10), 0, None, 40)
    for other in (
        s.message(s.SERVER_HELLO, 0, bytes(10), 10, None, 41),
        s.message(s.SERVER_HELLO, 0, bytes(10), 10, None, 20),
        s.message(s.VERIFY_REQUEST, 0, bytes(10), 10, None, 40),
    ):
        for both in ((start, other), (other, start)):
            rig = Rig()
            rig.plain(s.HANDSHAKE, both[0])
            assert rig.unmoved()
            rig.plain(s.HANDSHAKE, both[1])
            assert rig.ended(s.ILLEGAL)
    rig = Rig()  # of a message whose turn has not come
    rig.plain(s.HANDSHAKE, s.message(s.SERVER_KEY, 2, b"\x00", 0, None, 2))
    rig.plain(s.HANDSHAKE, s.message(s.SERVER_DONE, 2, b"\x00", 1, None, 2))
    assert rig.ended(s.ILLEGAL)


def test_parts_of_a_finished_in_both_epochs_do_not_make_one():
    rig = Rig("keys")
    parts = s.pieces_of(rig.server.finished(), 6)
    rig.plain(s.HANDSHAKE, parts[0])
    rig.plain(s.CCS, b"\x01")
    rig.sealed(s.HANDSHAKE, parts[1])
    assert rig.ended(s.ILLEGAL)


def test_a_finished_in_protected_parts_is_one():
    for cut in range(13):
        rig = Rig("changed")
        parts = s.pieces_of(rig.server.finished(), cut)
        rig.sealed(s.HANDSHAKE, parts[1])
        rig.sealed(s.HANDSHAKE, parts[0])
        rig.talk()


def test_a_part_beyond_its_message_is_a_decode_error():
    for offset, count, length in (
        (0, 11, 10), (10, 1, 10), (5, 6, 10), (11, 0, 10), (0xFFFFFF, 1, 10), (0xFFFFFF, 0, 10), (1, 512, 512),
    ):  # fmt: skip
        rig = Rig()
        rig.plain(s.HANDSHAKE, s.message(s.SERVER_HELLO, 0, bytes(count), offset, None, length))
        assert rig.ended(s.DECODE), (offset, count, length)


def test_a_part_longer_than_its_record_is_a_decode_error():
    for count in (1, 40, 41, 512, 65536):
        rig = Rig()
        body = bytes(count - 1 if count < 512 else 40)
        rig.plain(s.HANDSHAKE, s.message(s.SERVER_HELLO, 0, body, 0, count, max(count, 500)))
        assert rig.ended(s.DECODE), count


def test_a_message_header_cut_short_is_a_decode_error_behind_a_message_too():
    for before in (b"", s.message(s.SERVER_HELLO, 3, b"")):
        for cut in range(1, 12):
            rig = Rig()
            rig.plain(s.HANDSHAKE, before + s.message(s.SERVER_HELLO, 0, b"")[:cut])
            assert rig.ended(s.DECODE)


def test_a_record_of_messages_cut_short_anywhere_ends_or_waits():
    rig, whole = flight(hint=b"a hint")
    body = b"".join(whole)
    edges = [sum([len(one) for one in whole[:count]]) for count in range(len(whole))]
    for cut in range(len(body)):
        rig = Rig()
        rig.plain(s.HANDSHAKE, body[:cut])
        assert (rig.unmoved() if cut in edges else rig.ended(s.DECODE)), cut


def test_every_wrong_byte_of_a_message_header_ends_the_handshake_or_leaves_it_waiting():
    rig, whole = flight()
    ends = {}
    for at in range(1, 12):
        for wrong in range(256):
            if wrong == whole[0][at]:
                continue
            rig = Rig()
            rig.plain(s.HANDSHAKE, whole[0][:at] + bytes([wrong]) + whole[0][at + 1 :])
            end = None
            if rig.client.error is None:
                assert rig.unmoved() and held(rig.client) < HELD
                rig.plain(s.HANDSHAKE, s.message(s.SERVER_DONE, 0, b""))  # a ServerHello is still what it waits for
                assert rig.client.error is not None, (at, wrong)
            else:
                end = rig.client.error.alert
                assert rig.ended(end)
            ends.setdefault(at, set()).add(end)
    assert ends[1] == {s.INTERNAL} and ends[2] == {s.INTERNAL, None}  # 309 bytes may still come
    assert ends[3] == {s.DECODE, None}  # shorter than its part, or the rest may come
    assert ends[4] == ends[5] == {None}  # another message_seq
    assert ends[6] == ends[7] == ends[8] == ends[9] == ends[10] == {s.DECODE}
    assert s.DECODE in ends[11]  # less than its part: what follows is no message


def test_empty_parts_have_no_effect():
    rig, whole = flight()
    length = len(whole[0]) - 12
    for offset in range(length + 1):
        rig.plain(s.HANDSHAKE, s.message(s.SERVER_HELLO, 0, b"", offset, None, length))
        assert rig.unmoved()
    rig.plain(s.HANDSHAKE, b"")
    rig.plain(s.HANDSHAKE, whole[0] + whole[1])
    rig.go_on()


def test_a_thousand_parts_are_held_in_bounded_memory():
    rig, whole = flight()
    for at in range(1000):
        order, offset = at * 7 % 4, at * 13 % 500
        kind = s.SERVER_HELLO if order == 0 else s.SERVER_KEY
        rig.plain(s.HANDSHAKE, s.message(kind, order, bytes(at % 3), offset, None, 512))
        assert rig.unmoved() and held(rig.client) < HELD
    assert held(rig.client) > 2000
    rig = Rig()
    for start in range(0, 1000, 100):
        parts = [s.message(s.SERVER_HELLO, 0, b"", at * 7 % 512, None, 512) for at in range(start, start + 100)]
        rig.plain(s.HANDSHAKE, b"".join(parts))
        assert rig.unmoved() and held(rig.client) < HELD


def test_a_message_that_was_taken_is_held_in_the_transcript_alone():
    rig, whole = flight(hint=bytes(500))
    rig.plain(s.HANDSHAKE, whole[0])
    before = held(rig.client)
    rig.plain(s.HANDSHAKE, whole[1])
    assert held(rig.client) - before == len(whole[1])


def test_a_message_that_never_becomes_whole_ends_with_the_last_wait():
    rig, whole = flight()
    rig.plain(s.HANDSHAKE, s.pieces_of(whole[0], 20)[0])
    now, sent = 0, 0
    while rig.client.deadline() is not None:
        now = rig.client.deadline()
        sent += len(rig.watched.poll(now))
    assert sent == 4 and now == 1000 * (1 + 2 + 4 + 8 + 16)
    assert rig.client.state == c.CLOSED and rig.client.error.alert == -1 and rig.client.error.phase == 1
