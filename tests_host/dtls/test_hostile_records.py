# runs in: cpython, vm
"""Records that are cut short, changed, forged, repeated, old, of another epoch, type or version, or too early: they are
dropped without a word (RFC 6347 §4.1.2.7), and the session goes on."""

from ustruct import pack

from dtls import client as c
from dtls import saved
from tests_host.dtls import scripted_server as s
from tests_host.dtls.rig import IDENTITY, PSK, Rig, Watched, held

SUITES = (s.CCM_8, s.CBC)
STEPS = ("hello", "asked", "keys", "changed", "open")


def dropped(rig, datagram):
    """Whether a datagram into a session has no effect but in a count."""
    before, inbox = rig.client.dropped, len(rig.client.inbox)
    rig.receive(datagram)
    return rig.unmoved() and len(rig.client.inbox) == inbox and rig.client.dropped >= before


def test_a_datagram_of_a_handshake_cut_short_anywhere_has_the_effect_of_its_whole_records():
    for suite in SUITES:
        rig = Rig(suite=suite, hint=b"a hint")
        server = rig.server
        records = [server.record(s.HANDSHAKE, whole) for whole in server.hello_flight()]
        for cut in range(len(b"".join(records))):
            rig.receive(b"".join(records)[:cut])
            assert rig.unmoved()
        rig.receive(b"".join(records))
        end = server.last_flight()
        for cut in range(len(end)):
            rig.receive(end[:cut])
            assert rig.unmoved() and rig.client.state == c.SHAKING
        rig.receive(end)
        rig.talk()


def test_a_record_of_data_cut_short_anywhere_is_dropped():
    for suite in SUITES:
        rig = Rig("open", suite)
        record = rig.server.record(s.DATA, b"command", 1)
        for cut in range(len(record)):
            assert dropped(rig, record[:cut])
            fragment = record[13 : 13 + cut]
            if cut < len(record) - 13:
                assert dropped(rig, record[:11] + pack(">H", len(fragment)) + fragment)  # with a length that is right
        rig.receive(record)
        assert rig.client.inbox == [b"command"]
        rig.talk()


def test_a_record_with_any_bit_changed_is_dropped():
    for suite in SUITES:
        rig = Rig("open", suite)
        record = rig.server.record(s.DATA, b"command", 1)
        for at in range(len(record)):
            for bit in range(8):
                assert dropped(rig, record[:at] + bytes([record[at] ^ 1 << bit]) + record[at + 1 :]), (at, bit)
        rig.receive(record)
        assert rig.client.inbox == [b"command"]


def test_a_record_of_data_with_any_other_length_is_dropped():
    for suite in SUITES:
        rig = Rig("open", suite)
        record = rig.server.record(s.DATA, b"command", 1)
        for length in list(range(300)) + [1000, 0x4000, 0x4801, 0xFFFF]:
            if length != len(record) - 13:
                changed = record[:11] + pack(">H", length) + record[13:]
                assert dropped(rig, changed) and dropped(rig, changed + bytes(300))


def test_records_of_other_versions_are_no_records():
    for version in (0xFEFE, 0xFEFC, 0x0303, 0xFDFD, 0, 0xFFFF):
        for step in STEPS:
            rig = Rig(step)
            rig.receive(rig.server.record(s.ALERT, bytes([2, 40]), version=version))
            rig.receive(s.framed(s.HANDSHAKE, 0, 9, s.message(s.CERTIFICATE, rig.server.order, b""), version))
            assert rig.unmoved(), (version, step)
    rig = Rig()  # only a HelloVerifyRequest may have it (RFC 6347 §4.2.1), and nobody protects under it
    assert rig.plain(s.HANDSHAKE, rig.server.verify_request(), version=s.DTLS_1_0)
    for suite in SUITES:
        rig = Rig("open", suite)
        for version in (s.DTLS_1_0, 0x0303):
            assert dropped(rig, rig.server.record(s.DATA, b"command", 1, version=version))
            record = rig.server.record(s.DATA, b"command", 1)
            assert dropped(rig, record[:1] + pack(">H", version) + record[3:])


def test_a_bad_record_takes_those_before_it_along_and_those_behind_it_not():
    rig = Rig("open")
    good = rig.server.record(s.DATA, b"one", 1)
    other = rig.server.record(s.DATA, b"two", 1)
    rig.receive(good + b"\x17\x03\x03" + other)
    assert rig.client.inbox == [b"one"]
    forged = other[:-1] + bytes([other[-1] ^ 1])
    rig.receive(forged + other)
    assert rig.client.inbox == [b"one", b"two"] and rig.unmoved()


def test_records_under_other_keys_or_for_the_other_direction_are_dropped():
    for suite in SUITES:
        rig = Rig("open", suite)
        sent = rig.watched.send(b"report")[0]
        assert dropped(rig, sent)
        other = Rig("keys", suite, extended=False).server
        assert dropped(rig, other.record(s.DATA, b"command", 1, sequence=9))
        assert dropped(rig, s.framed(s.DATA, 1, 9, bytes(64))) and dropped(rig, s.framed(s.DATA, 1, 9, b""))


def test_a_record_sealed_as_another_type_or_number_is_dropped():
    for suite in SUITES:
        rig = Rig("open", suite)
        for kind in (s.CCS, s.ALERT, s.HANDSHAKE, s.CID_RECORD, 0, 255):
            assert dropped(rig, s.framed(kind, 1, 9, rig.server.sealed(s.DATA, b"\x02\x28", 1, 9)))
        assert dropped(rig, s.framed(s.DATA, 1, 8, rig.server.sealed(s.DATA, b"command", 1, 9)))
        assert dropped(rig, s.framed(s.DATA, 1, 9, rig.server.sealed(s.DATA, b"command", 0, 9)))
        assert dropped(rig, s.framed(s.DATA, 1, 9, rig.server.sealed(s.DATA, b"command", 2, 9)))
        rig.sealed(s.DATA, b"command", sequence=9)
        assert rig.client.inbox == [b"command"]


def test_types_that_are_none_are_dropped_in_every_state():
    for step in STEPS:
        rig = Rig(step)
        for kind in list(range(20)) + list(range(24, 256)):
            for epoch in (0, 1) if rig.server.writer is not None else (0,):
                rig.receive(rig.server.record(kind, b"\x01", epoch))
                assert rig.unmoved(), (step, kind, epoch)
        assert not rig.client.inbox


def test_other_epochs_are_dropped_in_every_state():
    for step in STEPS:
        for epoch in (1, 2, 3, 0x100, 0xFFFF):
            if epoch == 1 and step in ("changed", "open"):
                continue
            rig = Rig(step)
            for kind in (s.CCS, s.ALERT, s.HANDSHAKE, s.DATA):
                rig.receive(s.framed(kind, epoch, 5, b"\x02\x28"))
                if rig.server.writer is not None and epoch > 1:
                    rig.receive(s.framed(kind, epoch, 5, rig.server.sealed(kind, b"\x02\x28", epoch, 5)))
                assert rig.unmoved() and not rig.client.inbox, (step, epoch)


def test_a_protected_record_is_not_kept_before_there_are_keys():
    for step in ("hello", "asked"):
        rig = Rig(step)
        holds = held(rig.client)
        rig.receive(s.framed(s.HANDSHAKE, 1, 0, bytes(100)))
        assert rig.unmoved() and held(rig.client) == holds
    rig = Rig("keys")
    holds = held(rig.client)
    for size in (100, 512, 513, 1100):
        rig.receive(s.framed(s.HANDSHAKE, 1, 0, bytes(size)))
        assert rig.unmoved() and held(rig.client) - holds < 550
    rig.go_on()


def test_after_the_handshake_nothing_unprotected_counts():
    for suite in SUITES:
        rig = Rig("open", suite)
        messages = s.message(s.HELLO_REQUEST, 0, b""), s.message(s.SERVER_HELLO, 9, b"")
        for body in (b"\x02\x28", b"\x01\x00", b"\x01", b"", b"data") + messages:
            for kind in (s.CCS, s.ALERT, s.HANDSHAKE, s.DATA):
                assert dropped(rig, rig.server.record(kind, body))
        rig.talk()


def test_data_before_the_end_of_the_handshake_is_dropped():
    for step in STEPS[:-1]:
        rig = Rig(step)
        rig.plain(s.DATA, b"in plain")
        if rig.server.writer is not None:
            rig.sealed(s.DATA, b"too early")
        assert rig.unmoved() and not rig.client.inbox
        if step == "keys":
            rig.plain(s.CCS, b"\x01")
        if step in ("keys", "changed"):
            assert not rig.client.inbox
            rig.sealed(s.HANDSHAKE, rig.server.finished())
            rig.talk()


def test_a_change_of_cipher_counts_once_at_its_time_and_as_it_is():
    for step in ("hello", "asked", "changed"):
        rig = Rig(step)
        rig.plain(s.CCS, b"\x01")
        assert rig.unmoved() and rig.client.state == c.SHAKING
        if step != "changed":
            rig.go("open")
        else:
            rig.sealed(s.HANDSHAKE, rig.server.finished())
        rig.talk()
    rig = Rig()  # in the middle of a flight
    flight = rig.server.hello_flight()
    rig.plain(s.HANDSHAKE, flight[0])
    rig.plain(s.CCS, b"\x01")
    rig.plain(s.HANDSHAKE, flight[1])
    finished = rig.server.finished()
    rig.sealed(s.HANDSHAKE, finished)
    assert rig.client.state == c.SHAKING
    for body in (b"", b"\x00", b"\x02", b"\x01\x01", b"\x01\x00"):
        rig.plain(s.CCS, body)
        assert rig.unmoved() and rig.client.state == c.SHAKING
    rig.sealed(s.CCS, b"\x01")
    assert rig.client.state == c.SHAKING
    rig.plain(s.CCS, b"\x01")
    if rig.client.state == c.SHAKING:  # the protected change took the place of the Finished that waited
        rig.sealed(s.HANDSHAKE, finished)
    rig.talk()


def test_a_protected_change_of_cipher_is_dropped():
    for suite in SUITES:
        rig = Rig("changed", suite)
        for body in (b"\x01", b"", b"\x01\x01"):
            assert dropped(rig, rig.server.record(s.CCS, body, 1))
        rig.sealed(s.HANDSHAKE, rig.server.finished())
        for body in (b"\x01", b"", b"\x01\x01"):
            assert dropped(rig, rig.server.record(s.CCS, body, 1))
        rig.talk()


def test_every_record_of_a_session_counts_once():
    for suite in SUITES:
        rig = Rig(suite=suite)
        flight = rig.server.record(s.HANDSHAKE, b"".join(rig.server.hello_flight()))
        rig.receive(flight)
        end = rig.server.last_flight()
        rig.receive(end)
        records = [rig.server.record(s.DATA, bytes([at]), 1) for at in range(60)]
        for record in records:
            rig.receive(record)
        assert rig.client.inbox == [bytes([at]) for at in range(60)]
        for record in [flight, end] + records + [b"".join(records[:30])]:
            assert dropped(rig, record)
        rig.talk()


def test_the_window_is_64_records_wide():
    rig = Rig("open")
    for at in range(1, 100):
        if at % 2:
            rig.sealed(s.DATA, b"odd", sequence=at)
    assert rig.client.inbox == [b"odd"] * 50
    for at in range(0, 100, 2):  # 99 was the newest: 36 is the oldest in it
        assert (at >= 36) == (not dropped(rig, rig.server.record(s.DATA, b"even", 1, at))), at
    for at in range(100):
        assert dropped(rig, rig.server.record(s.DATA, b"again", 1, at))


def test_a_leap_moves_the_window_by_as_much():
    for leap in (62, 63, 64, 65, 66, 1000, (1 << 32) - 1, 1 << 32, (1 << 48) - 2):
        rig = Rig("open")
        rig.sealed(s.DATA, b"before", sequence=1)
        rig.sealed(s.DATA, b"leap", sequence=1 + leap)
        assert rig.client.inbox == [b"before", b"leap"]
        for at in (0, 1, 1 + leap):
            assert dropped(rig, rig.server.record(s.DATA, b"again", 1, at)), (leap, at)
        for back in (1, 2, 61, 62, 63, 64, 65):
            at = 1 + leap - back
            if at > 1:
                assert (back < 64) == (not dropped(rig, rig.server.record(s.DATA, b"late", 1, at))), (leap, back)
                assert dropped(rig, rig.server.record(s.DATA, b"late", 1, at))


def test_a_forged_number_does_not_move_the_window():
    rig = Rig("open")
    assert dropped(rig, s.framed(s.DATA, 1, (1 << 48) - 1, bytes(40)))
    rig.talk()


def test_padding_of_every_length_is_taken_and_wrong_in_any_byte_dropped():
    rig = Rig("open", s.CBC)
    writer = rig.server.writer
    for pad in range(256):
        sequence = 100 + pad
        data = b"command, command"[: 16 - (pad + 1) % 16]  # with 32 of MAC: whole blocks
        which = pack(">HHI", 1, 0, sequence)
        mac = s.hmac(writer._mac_key, which + pack(">BHH", s.DATA, s.DTLS_1_2, len(data)) + data)
        padded = data + mac + bytes([pad]) * (pad + 1)
        first = len(padded) - pad - 1
        for at in [first, len(padded) - 1] + list(range(first, len(padded), 1 if pad in (7, 255) else 50)):
            changed = padded[:at] + bytes([padded[at] ^ 1]) + padded[at + 1 :]
            assert dropped(rig, s.framed(s.DATA, 1, sequence, writer.chained(which, changed))), (pad, at)
        rig.receive(s.framed(s.DATA, 1, sequence, writer.chained(which, padded)))
        assert rig.client.inbox.pop() == data


def test_a_length_of_padding_beyond_the_record_is_dropped():
    rig = Rig("open", s.CBC)
    for size in (48, 64, 96, 512):
        for pad in range(256):
            plain = bytes([pad]) * size
            assert dropped(rig, s.framed(s.DATA, 1, 9, rig.server.writer.chained(b"number", plain)))
    for size in (0, 1, 15, 16, 31, 32, 33, 47, 48, 49, 63, 65):
        assert dropped(rig, s.framed(s.DATA, 1, 9, bytes(size)))


def test_records_of_no_content_are_no_end():
    for suite in SUITES:
        rig = Rig("open", suite)
        rig.sealed(s.DATA, b"")
        assert rig.client.inbox == [b""]
        rig.talk()


def test_a_restored_session_hears_only_what_is_newer_than_all_it_heard():
    for suite in SUITES:
        rig = Rig("open", suite)
        records = [rig.server.record(s.DATA, b"command", 1) for at in range(5)]
        for record in records[:2] + records[3:]:
            rig.receive(record)
        kept = saved.dump(rig.client, rig.client.sequence + 10)
        other = c.Client(IDENTITY, PSK)
        assert saved.load(kept, other)
        rig.client, rig.watched = other, Watched(other, rig.client.sequence + 10)
        for record in records:
            assert dropped(rig, record)
        assert not rig.client.inbox
        rig.talk()
