"""Sessions over a connection that is kept: what counts as a sign of life, and what waits without harm."""

import pytest

from aep import session as s
from aep.refusals import Flooded
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


def test_a_flood_of_commands_ends_the_session(monkeypatch):
    platform = CalmTcp(1, "1.0")
    session = opened("tcp", platform, monkeypatch, keep=lambda *_: s.KEPT)
    platform.come = 300 * b"\x03\x00\x02on"
    with pytest.raises(Flooded):
        session.send(b"1" * 8, platform.now() + 60_000)
        while session.receive(platform.now() + 2000) is not None:
            pass
