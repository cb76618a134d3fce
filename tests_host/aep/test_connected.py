"""Sessions over a connection that is kept: what counts as a sign of life, and what waits without harm."""

from itertools import pairwise

import pytest

from aep import session as s
from aep.refusals import Flooded
from aep.stream_faults import ConnectionLost, NotConfirmed
from tests_host.aep.stream_platform import Mqtt, Tcp
from tests_host.aep.test_connections_hostile import session_over

BEAT, KEEP_ALIVE = 240_000, 3600_000  # ms, the defaults
VALVE = b"\x03\x00\x05\x00\x01\x1f\x41\x01"  # task 1 of service 8001


class Calm:
    """Nothing is left to chance: no commands but those that a test gives."""

    come = b""

    def replies(self, data):
        out = b"".join(self.answer(data)) + self.come
        self.come = b""
        return [out[at : at + 1024] for at in range(0, len(out), 1024)]


class CalmTcp(Calm, Tcp):
    pass


class CalmMqtt(Calm, Mqtt):
    pass


def opened(way, platform, monkeypatch, keep=None):
    session, device = session_over(way, platform, monkeypatch)
    if keep is not None:
        session._keep = keep
    else:
        device.honest = True
    session.open(platform.now() + 200_000)
    return session


def test_only_a_heartbeat_counts_as_a_sign_of_life_of_tcp(monkeypatch):
    """Whether anything else resets the platform's 300 s is not known (ctwing.md §4.2)."""
    platform = CalmTcp(1, "1.1")
    session = opened("tcp 1.1", platform, monkeypatch, keep=lambda *_: s.DONE)
    login = session.renewal(0, session._settings) - BEAT
    platform.sleep(100_000)
    platform.come = VALVE
    assert session.send(b"1" * 8, platform.now() + 60_000, service=1) == s.ACKNOWLEDGED
    assert session.receive(platform.now() + 2000) == b"\x01"  # and 83 has gone up
    assert session.renewal(0, session._settings) == login + BEAT
    session.settle(platform.now() + 60_000, None)
    assert session.renewal(0, session._settings) > login + BEAT + 100_000


def test_whatever_is_sent_counts_as_a_sign_of_life_of_mqtt(monkeypatch):
    platform = CalmMqtt(1)
    session = opened("mqtt", platform, monkeypatch)
    before = session.renewal(0, session._settings)
    platform.sleep(100_000)
    session.send(b"{}", platform.now() + 60_000)
    assert session.renewal(0, session._settings) >= before + 100_000


def test_a_long_wait_over_mqtt_has_signs_of_life_in_it(monkeypatch):
    """No two packets are further apart than the keep-alive [MQTT-3.1.2-23], whatever is waited for."""
    platform = CalmMqtt(1)
    session = opened("mqtt", platform, monkeypatch)
    session._settings["mqtt.keepalive"] = 5
    sent, answer = [], platform.answer

    def heard(data):
        sent.append((platform.now(), data))
        return [] if data[0] >> 4 == 3 else answer(data)

    platform.answer = heard
    assert session.receive(platform.now() + 12_000) is None
    assert [data for _, data in sent] == 2 * [b"\xc0\x00"]
    with pytest.raises(NotConfirmed):
        session.send(b"{}", platform.now() + 60_000)
    times = [when for when, _ in sent]
    assert max(later - earlier for earlier, later in pairwise(times)) <= 5000
    assert platform.now() - times[-1] <= 5000


@pytest.mark.parametrize("way", ["tcp 1.1", "mqtt"])
def test_a_known_command_that_is_repeated_again_and_again_takes_no_memory(way, monkeypatch):
    platform = CalmTcp(1, "1.1") if way == "tcp 1.1" else CalmMqtt(1)
    session = opened(way, platform, monkeypatch, keep=lambda *_: s.DONE)
    platform.come = 200 * (VALVE if way == "tcp 1.1" else b"\x32\x07\x00\x01t\x00\x07{}")
    session.send(b"1" * 8, platform.now() + 60_000, service=1 if way == "tcp 1.1" else 0)
    platform.sleep(1000)
    count = 0
    while session.receive(platform.now() + 2000) is not None:
        count += 1
    assert 1 <= count <= 16


def test_a_command_that_waits_for_room_is_no_flood(monkeypatch):
    """In light sleep it is tried again with each look, every two minutes."""
    platform = CalmTcp(1, "1.0")
    verdicts = [s.BUSY] * 1000 + [s.KEPT]
    session = opened("tcp", platform, monkeypatch, keep=lambda *_: verdicts.pop(0))
    platform.come = b"\x03\x00\x02on"
    session.send(b"1" * 8, platform.now() + 60_000)
    for _ in range(990):
        assert session.receive(platform.now() + 100) is None
    while verdicts:
        found = session.receive(platform.now() + 100)
    assert found == b"on"


def command_of(way, number):
    """A command that says so of itself."""
    text = b"c%d" % number
    if way == "mqtt":
        return b"\x32\x07\x00\x01t" + bytes((0, number)) + text
    head = bytes((0, number)) + b"\x1f\x41" if way == "tcp 1.1" else b""
    return b"\x03\x00" + bytes((len(head + text),)) + head + text


@pytest.mark.parametrize("way", ["mqtt", "tcp", "tcp 1.1"])
def test_commands_that_find_no_room_wait_in_order_on_a_connection_that_stands(way, monkeypatch):
    """Nobody sends them again: MQTT repeats with another connection only [MQTT-4.4.0-1]."""
    platform = CalmMqtt(1) if way == "mqtt" else CalmTcp(1, way[4:] or "1.0")
    room, kept, sent = [2], [], []
    session = opened(way, platform, monkeypatch,
                     keep=lambda payload, *_: kept.append(payload) or s.KEPT if len(kept) < room[0] else s.BUSY)
    platform.come = b"".join(command_of(way, number) for number in range(1, 6))
    session.send(b"1" * 8, platform.now() + 60_000, service=1 if way == "tcp 1.1" else 0)
    answer, platform.answer = platform.answer, lambda data: sent.append(data) or answer(data)
    for room[0] in range(2, 8):
        session.receive(platform.now() + 2000)
        assert kept == [b"c%d" % number for number in range(1, min(room[0], 5) + 1)]
    if way == "mqtt":
        assert b"".join(sent) == b"".join(b"\x40\x02\x00" + bytes((number,)) for number in range(3, 6))


@pytest.mark.parametrize("way", ["mqtt", "tcp 1.1"])
def test_what_found_no_room_is_not_acknowledged_on_another_connection(way, monkeypatch):
    """There it comes again, by another packet id."""
    platform = CalmMqtt(1) if way == "mqtt" else CalmTcp(1, "1.1")
    verdict = [s.BUSY]
    session = opened(way, platform, monkeypatch, keep=lambda *_: verdict[0])
    platform.come = command_of(way, 7)
    session.send(b"1" * 8, platform.now() + 60_000, service=1 if way == "tcp 1.1" else 0)
    session.close()
    verdict[0] = s.DONE
    session.open(platform.now() + 200_000)
    sent = platform.given
    assert session.receive(platform.now() + 2000) is None and platform.given == sent


@pytest.mark.parametrize("way", ["mqtt", "tcp"])
def test_a_connection_that_takes_nothing_is_made_anew_for_an_unconfirmed_report_too(way, monkeypatch):
    platform = CalmMqtt(1) if way == "mqtt" else CalmTcp(1, "1.0")
    session = opened(way, platform, monkeypatch)
    session._settings["report.type"] = "non"

    def broken(_):
        raise ConnectionLost("send: error 104")

    session._stream.send = broken
    with pytest.raises(ConnectionLost):
        session.send(b"{}", platform.now() + 60_000)
    session.open(platform.now() + 200_000)
    assert not session.resumed and session.send(b"{}", platform.now() + 60_000) == s.HANDED_OVER


@pytest.mark.parametrize(("clean", "flags"), [(0, 0x3A), (1, 0x32)])
def test_a_report_is_a_repeat_only_where_the_platforms_session_outlived_the_connection(clean, flags, monkeypatch):
    """[MQTT-3.1.2-6], [MQTT-4.4.0-1]"""
    platform = CalmMqtt(1)
    session = opened("mqtt", platform, monkeypatch)
    session._settings["mqtt.clean"] = clean
    sent, answer, deaf = [], platform.answer, [True]

    def heard(data):
        sent.append(data)
        return [] if deaf[0] and data[0] >> 4 == 3 else answer(data)

    platform.answer = heard
    with pytest.raises(NotConfirmed):
        session.send(b"{}", platform.now() + 60_000)
    deaf[0] = False
    session.open(platform.now() + 200_000)
    assert session.send(b"{}", platform.now() + 60_000) == s.ACKNOWLEDGED
    first, second = [data for data in sent if data[0] >> 4 == 3]
    assert (first[0], second[0]) == (0x32, flags)
    assert (first[14:16] == second[14:16]) == (flags == 0x3A)  # the packet id, behind "topic/data"


@pytest.mark.parametrize(("payload", "frame"), [
    (b"\1\0", b"\x83\0\x08\0\x09\0\1\x23\x29\1\0"), (b"", b"\x83\0\4\0\x09\0\2"),
])
def test_an_answer_that_has_no_payload_says_that_the_command_failed(payload, frame, monkeypatch):
    platform = CalmTcp(1, "1.1")
    session = opened("tcp 1.1", platform, monkeypatch)
    sent, answer = [], platform.answer
    platform.answer = lambda data: sent.append(data) or answer(data)
    assert session.send(payload, platform.now() + 60_000, sure=True, service=9001, task=9) == s.HANDED_OVER
    assert sent == [frame + b"\4"]


def test_a_frame_of_no_service_is_no_command(monkeypatch):
    """What is answered by its service's response would never be."""
    platform = CalmTcp(1, "1.1")
    sent = []
    session = opened("tcp 1.1", platform, monkeypatch, keep=lambda *_: s.KEPT)
    answer, platform.answer = platform.answer, lambda data: sent.append(data) or answer(data)
    platform.come = b"\x03\x00\x06\x00\x09\x00\x00on"
    session.send(b"1" * 8, platform.now() + 60_000, service=1)
    assert session.receive(platform.now() + 2000) is None
    assert sent[-1] == b"\x83\x00\x04\x00\x09\x00\x02"


def test_a_flood_of_commands_ends_the_session(monkeypatch):
    platform = CalmTcp(1, "1.0")
    session = opened("tcp", platform, monkeypatch, keep=lambda *_: s.KEPT)
    platform.come = 300 * b"\x03\x00\x02on"
    with pytest.raises(Flooded):
        session.send(b"1" * 8, platform.now() + 60_000)
        while session.receive(platform.now() + 2000) is not None:
            pass
