# runs in: cpython, vm
"""Alerts of every kind at every moment, servers that resume what they must not, saved sessions that are in doubt, and
the end of the record numbers."""

from dtls import client as c
from dtls import saved
from dtls.record import DtlsError
from tests_host.dtls import scripted_server as s
from tests_host.dtls.rig import FATAL, IDENTITY, PSK, WARNING, Rig, Watched

STEPS = ("hello", "asked", "keys", "changed", "open")
PHASES = {"hello": 1, "asked": 1, "keys": 2, "changed": 2, "open": 3}
LAST = (1 << 48) - 1  # the last record number
SESSION = bytes(range(32))


def of(step):
    return Rig(step), 1 if step in ("changed", "open") else 0


def test_a_fatal_alert_of_any_number_ends_the_session_without_an_answer():
    for step in STEPS:
        for alert in range(1, 256):
            rig, epoch = of(step)
            assert not rig.receive(rig.server.record(s.ALERT, bytes([FATAL, alert]), epoch))
            error = rig.client.error
            assert rig.client.state == c.CLOSED
            assert (error.alert, error.ours, error.phase) == (alert, False, PHASES[step])
            assert rig.client.deadline() is None and not rig.watched.poll(100000)


def test_an_alert_that_is_not_fatal_has_no_effect_unless_it_closes():
    for step in STEPS:
        rig, epoch = of(step)
        for level in (0, WARNING, 3, 255):
            for alert in range(1, 256):
                rig.receive(rig.server.record(s.ALERT, bytes([level, alert]), epoch))
                assert rig.unmoved(), (step, level, alert)


def test_close_notify_is_answered_in_a_session_and_ends_everything():
    for step in STEPS:
        for level in (WARNING, FATAL):
            rig, epoch = of(step)
            answer = rig.receive(rig.server.record(s.ALERT, bytes([level, s.CLOSE_NOTIFY]), epoch))
            assert rig.client.state == c.CLOSED and rig.client.error.alert == s.CLOSE_NOTIFY
            assert len(answer) == (1 if step == "open" else 0)
            if answer:
                assert rig.server.heard[-1] == (1, s.ALERT, bytes([WARNING, s.CLOSE_NOTIFY]))


def test_an_alert_of_another_length_is_a_decode_error():
    for step in STEPS:
        for body in (b"", b"\x02", b"\x01", b"\x02\x28\x00", b"\x01\x00\x01\x00", bytes(400)):
            rig, epoch = of(step)
            rig.receive(rig.server.record(s.ALERT, body, epoch))
            assert rig.ended(s.DECODE), (step, body)


def test_our_alert_is_protected_from_the_change_of_cipher_on():
    for step in ("hello", "asked"):
        rig = Rig(step)
        rig.message(s.CERTIFICATE, b"")
        assert rig.server.heard[-1][0] == 0
    for step in ("keys", "changed"):
        rig, epoch = of(step)
        rig.message(s.CERTIFICATE, b"", epoch)
        assert rig.server.heard[-1] == (1, s.ALERT, bytes([FATAL, s.UNEXPECTED]))


def test_no_record_of_the_server_counts_behind_one_that_ended_the_session():
    rig = Rig("open")
    end = rig.server.record(s.ALERT, bytes([FATAL, 80]), 1)
    rig.receive(end + rig.server.record(s.DATA, b"command", 1) + rig.server.record(s.HANDSHAKE, b"\x00" * 12, 1))
    assert rig.client.inbox == [] and not rig.watched.datagrams
    try:
        rig.watched.send(b"report")
    except DtlsError as error:
        assert error is rig.client.error
    else:
        raise AssertionError("sent")
    assert not rig.watched.close()


# -- a session that is resumed -----------------------------------------------------------------------------------------


def resuming(suite=s.CCM_8, extended=True, **changed):
    """A rig whose client offers a session; the server goes on with it, or as `changed` says."""
    old = Rig("open", suite, extended=extended, session_id=SESSION).client
    server = {"suite": suite, "extended": extended, "session_id": SESSION, "master": old.master}
    server.update(changed.get("server", {}))
    return Rig(resume=old.resumption(), suites=(s.CCM_8, s.CBC), **server)


def test_a_session_goes_on_under_new_keys():
    for suite in (s.CCM_8, s.CBC):
        for extended in (True, False):
            rig = resuming(suite, extended)
            rig.plain(s.HANDSHAKE, rig.server.hello_flight()[0])
            rig.receive(rig.server.last_flight())
            assert rig.client.resumed
            rig.talk()


def test_a_session_resumed_under_another_suite_or_binding_is_refused():
    for suite, other in ((s.CCM_8, s.CBC), (s.CBC, s.CCM_8)):
        for extended in (True, False):
            for changed in ({"suite": other}, {"extended": not extended}, {"suite": other, "extended": not extended}):
                rig = resuming(suite, extended, server=changed)
                rig.plain(s.HANDSHAKE, rig.server.hello_flight()[0])
                assert rig.ended(s.HANDSHAKE_FAILURE) and not rig.client.resumed


def test_any_other_session_id_leads_to_a_whole_handshake():
    for count in range(33):
        other = SESSION[:count] if count < 32 else b"\xff" + SESSION[1:]
        rig = resuming(server={"session_id": other, "master": b""})
        rig.plain(s.HANDSHAKE, b"".join(rig.server.hello_flight()))
        rig.receive(rig.server.last_flight())
        assert not rig.client.resumed
        rig.talk()


def test_a_resuming_server_must_not_go_on_with_the_key_exchange():
    for kind in range(1, 26):
        rig = resuming()
        rig.plain(s.HANDSHAKE, rig.server.hello_flight()[0])
        rig.message(kind, b"")
        assert rig.ended(s.UNEXPECTED), kind
        assert rig.server.heard[-1][0] == 0  # our ChangeCipherSpec comes last


def test_a_resumed_finished_wrong_in_plain_or_early_is_no_end_of_the_handshake():
    rig = resuming()
    rig.plain(s.HANDSHAKE, rig.server.hello_flight()[0])
    rig.plain(s.CCS, b"\x01")
    rig.message(s.FINISHED, bytes(12), 1)
    assert rig.ended(s.DECRYPT) and rig.client.error.phase == 2
    rig = resuming()
    rig.plain(s.HANDSHAKE, rig.server.hello_flight()[0])
    rig.plain(s.HANDSHAKE, rig.server.finished())
    assert rig.ended(s.UNEXPECTED)
    rig = resuming()
    rig.plain(s.HANDSHAKE, rig.server.hello_flight()[0])
    early = rig.server.record(s.HANDSHAKE, rig.server.finished(), 1)
    rig.receive(early)
    assert rig.unmoved() and rig.client.state == c.SHAKING
    rig.plain(s.CCS, b"\x01")
    rig.talk()


def test_a_server_that_repeats_its_resumed_finished_gets_ours_a_bounded_number_of_times():
    rig = resuming()
    rig.plain(s.HANDSHAKE, rig.server.hello_flight()[0])
    finished = rig.server.finished()
    rig.plain(s.CCS, b"\x01")
    ours = len(rig.sealed(s.HANDSHAKE, finished))
    assert ours == 1
    heard = s.message(s.FINISHED, 1, finished[12:])
    for _ in range(100):
        ours += len(rig.watched.receive(rig.server.record(s.HANDSHAKE, heard, 1)))
    assert 1 < ours <= 10 and rig.client.state == c.CONNECTED
    rig.talk()
    assert not rig.watched.receive(rig.server.record(s.HANDSHAKE, heard, 1))


def test_data_of_the_server_says_that_it_has_our_finished():
    rig = resuming()
    rig.plain(s.HANDSHAKE, rig.server.hello_flight()[0])
    rig.plain(s.CCS, b"\x01")
    finished = rig.server.finished()
    rig.sealed(s.HANDSHAKE, finished)
    rig.talk()
    assert not rig.watched.receive(rig.server.record(s.HANDSHAKE, finished, 1))
    rig.talk()


# -- a session that was saved ------------------------------------------------------------------------------------------


def loads(kept):
    """Whether a session is taken; where not, the client has nothing of it."""
    client = c.Client(IDENTITY, PSK)
    taken = saved.load(kept, client)
    assert taken in (True, False) and taken == (client.state == c.CONNECTED) == (client.block != b"")
    return taken


DOUBTS = {
    "suite": (0, -1, 0xC0A9, 0x00A8, 1 << 64),
    "seq": (0, -1, LAST + 1, 1 << 64),
    "high": (-1, LAST + 1, 1 << 64),
    "block": ("", "zz", "é", "00", "00" * 39, "00" * 41, "00" * 95, "00" * 97, "0" * 79, "00" * 400),
    "cid": ("0", "zz", "é", "00" * 256),
    "sid": ("0", "zz", "é", "00" * 33),
    "master": ("", "0", "zz", "é", "00" * 47, "00" * 49),
    "ext": (),
}


def test_a_saved_session_that_is_in_doubt_is_not_used():
    for suite in (s.CCM_8, s.CBC):
        kept = saved.dump(Rig("open", suite, session_id=SESSION, cid=b"cid").client, 10)
        assert loads(kept) and set(kept) == set(DOUBTS)
        for name in kept:
            for wrong in (None, [], {}, (), 1.5, b"", b"00", "", 1, True):
                if type(wrong) is not type(kept[name]):
                    assert not loads(with_field(kept, name, wrong)), (name, wrong)
            for wrong in DOUBTS[name]:
                assert not loads(with_field(kept, name, wrong)), (name, wrong)
            changed = dict(kept)
            del changed[name]
            assert not loads(changed), name
        assert not loads(with_field(kept, "suite", s.CBC if suite == s.CCM_8 else s.CCM_8))
        assert not loads({})


def with_field(kept, name, value):
    changed = dict(kept)
    changed[name] = value
    return changed


def test_where_the_record_numbers_end_nothing_is_said_any_more():
    rig = Rig("open")
    kept = saved.dump(rig.client, LAST)
    client = c.Client(IDENTITY, PSK)
    assert saved.load(kept, client)
    rig.client, rig.watched = client, Watched(client, LAST)
    rig.talk()
    for call in (lambda: rig.watched.send(b"report"), lambda: rig.watched.send(b"")):
        try:
            call()
        except DtlsError as error:
            assert error.phase == 3
        else:
            raise AssertionError("sent")
    rig.message(s.HELLO_REQUEST, b"", 1)
    assert rig.unmoved() and client.state == c.CONNECTED
    rig.message(s.CERTIFICATE, b"", 1)
    assert client.state == c.CLOSED and client.error.alert == s.UNEXPECTED and not rig.watched.datagrams
    client = c.Client(IDENTITY, PSK)
    assert saved.load(saved.dump(Rig("open").client, LAST), client)
    watched = Watched(client, LAST)
    watched.send(b"last")
    assert watched.close() == [] and client.state == c.CLOSED
    kept["seq"] = LAST + 1
    assert not saved.load(kept, c.Client(IDENTITY, PSK))


def test_numbers_are_reserved_before_they_are_used_whatever_is_said():
    rig = Rig()
    reserved = []

    def reserve():
        reserved.append(rig.client.sequence)
        rig.client.limit = rig.client.sequence + 2

    rig.client.limit, rig.client.reserve = 0, reserve
    rig.go("keys")
    for _ in range(3):
        rig.watched.poll(rig.client.deadline())
    rig.receive(rig.server.last_flight())
    rig.message(s.HELLO_REQUEST, b"", 1)
    rig.talk()
    rig.message(s.HELLO_REQUEST, b"", 1)
    rig.hear(rig.watched.close())
    assert reserved == [0, 2, 4, 6] and rig.client.sequence == 8
