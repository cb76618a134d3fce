"""Sessions over a connection to a platform that says nearly what it should: whatever comes, a session ends in a fault
of the device's family or goes well, in bounded time and memory, and the next one with an honest platform is good."""

import contextlib
import runpy
import textwrap
import tracemalloc

import pytest

from aep import session as s
from aep import thing
from device import settings_table
from link.fault import Fault
from tests_host.aep.stream_platform import Mqtt, Stream, Tcp, rooms
from tests_host.aep.test_native_mqtt import BEGIN, END, FILES, TREE, bench_of
from tests_host.module.broker import DISCONNECT, Broker, packet
from tools.things.declaration import SERVICES

SESSIONS = 500
NATIVE_SESSIONS = 60
OPEN, SEND, LISTEN = 200_000, 60_000, 60_000  # ms that the cycle would give
LONGEST = OPEN + 6 * SEND + 2 * LISTEN  # of one hostile session below
LARGEST = 1100  # bytes of a frame; AEP's end at 1080 (ctwing.md §2.5)
MEMORY = 128 * 1024  # bytes; CPython's take more than MicroPython's

WAYS = {
    "mqtt": ({"protocol": "mqtt"}, lambda seed: Mqtt(seed)),
    "mqtt, thing model": ({"protocol": "mqtt", "payload": "thing-json", "mqtt.subscribe": "t"},
                          lambda seed: Mqtt(seed)),
    "tcp": ({"protocol": "tcp"}, lambda seed: Tcp(seed, "1.0")),
    "tcp 1.1": ({"protocol": "tcp", "payload": "thing-binary", "tcp.version": "1.1"},
                lambda seed: Tcp(seed, "1.1")),
}


class Device:
    """What a session asks of the device, and its keeping of commands, which answers as it is to or as it comes."""

    address, imei = "10.0.0.2", "863318069987727"

    def __init__(self, draw):
        self.draw, self.honest = draw, False

    def keep(self, payload, service=0, task=None):
        assert isinstance(payload, bytes) and len(payload) <= LARGEST
        return s.KEPT if self.honest else self.draw.choice((s.KEPT, s.KEPT, s.DONE, s.BUSY, s.MALFORMED))


def session_over(way, platform, monkeypatch):
    thing.declared.clear()
    runpy.run_path(str(SERVICES))
    changes, _ = WAYS[way]
    Stream.platform = platform
    room = rooms(monkeypatch)[changes["protocol"]]
    settings = {**settings_table.defaults(), "server.host": "180.106.148.146", "server.port": 1883, "device.id": "dev",
                "device.token": "secret", **changes}
    device = Device(platform.draw)
    noted = []
    kind = room.session(settings, {})
    made = kind(settings, {}, platform, platform, 256, device, device.keep,
                lambda code, value=0: noted.append(code), lambda: None)
    return made, device


def service_of(way):
    return 1 if "1.1" in way or "model" in way else 0


def lives(session, platform, service):
    """One wake with it, as the cycle has it."""
    session.open(platform.now() + OPEN)
    for payload in (b"1" * 60, b"2" * 200, b"3" * 60):
        session.send(payload, platform.now() + SEND, service=service)
    while session.receive(platform.now() + 2000) is not None:
        pass
    session.refresh = True
    session.open(platform.now() + OPEN)
    session.settle(platform.now() + SEND, None)


@pytest.mark.parametrize("way", WAYS)
def test_a_hostile_platform_ends_a_session_in_a_fault_and_not_the_next_one(way, monkeypatch):
    platform = WAYS[way][1](f"hostile {way}")
    session, device = session_over(way, platform, monkeypatch)
    ends = set()
    for number in range(SESSIONS):
        platform.hostile, device.honest = platform.draw.choice((0.1, 0.5, 1.0)), False
        began = platform.now()
        try:
            lives(session, platform, service_of(way))
            ends.add(0)
        except Fault as fault:
            ends.add(fault.code)
        assert platform.now() - began <= LONGEST, number
        assert platform.open <= 1
        session.close()
        assert platform.open == 0
        platform.hostile, device.honest = 0.0, True
        lives(session, platform, service_of(way))
        session.close()
    assert {0, 25, 42, 46, 47} <= ends  # good, silent, lost, no frame, not confirmed
    assert platform.opened > SESSIONS


@pytest.mark.parametrize("way", WAYS)
def test_what_a_hostile_platform_says_is_not_heaped_up(way, monkeypatch):
    platform = WAYS[way][1](f"memory {way}")
    session, device = session_over(way, platform, monkeypatch)
    platform.hostile = 0.0
    lives(session, platform, service_of(way))
    session.close()
    tracemalloc.start()
    try:
        for _ in range(40):
            platform.hostile, device.honest = 1.0, False
            with contextlib.suppress(Fault):
                lives(session, platform, service_of(way))
            session.close()
        held = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(True, "*/lib/*")])
    finally:
        tracemalloc.stop()
    assert sum(one.size for one in held.statistics("filename")) < MEMORY


class HostileBroker(Broker):
    """Every other connection meets what Mqtt makes of a broker's answers."""

    def __init__(self, seed):
        super().__init__()
        self.platform = Mqtt(seed)
        self.silent = set(range(16))
        self.on_packet = self.answers

    def answers(self, kind):
        _, first, body = self.came[-1]
        if kind == DISCONNECT:
            self.links[-1].transport.close()
            return
        self.platform.hostile = len(self.links) % 2
        for piece in self.platform.replies(packet(first, body)):
            self.links[-1].transport.write(piece)


@pytest.mark.parametrize("tells", [False, True])
def test_the_firmwares_client_ends_in_a_fault_too_and_leaves_nothing(tells):
    """It swallows much, so its session may seem good; what counts is that the next one is, and that all ends."""
    broker = HostileBroker(f"native {tells}")
    bench = bench_of("cpython", broker, tells=tells)
    main = f"""
        for number in range({NATIVE_SESSIONS}):
            c = native(honest={tells}, arrived=lambda topic, payload: True)
            for call, args in ((c.connect, ()), (c.publish, ('t', b'1' * 60, 1)), (c.ping, ()), (c.receive, ()),
                               (c.publish, ('t', b'2' * 200, 1))):
                out, took = tried(call, *(args + (soon(),)))
                assert took <= 60, (call, took)
                if isinstance(out, tuple) and isinstance(out[1], int):
                    print(number & 1, out[1])
                    break
            else:
                print(number & 1, 0)
            c.close()
        utime.sleep(5)
        print('left', left())
    """
    bench.run(BEGIN + textwrap.dedent(main) + END, files={f"a/{name}": (TREE / name).read_text() for name in FILES})
    assert not bench.events.of("crash")
    # The firmware acknowledges in threads of its own, which say so when their socket has gone.
    printed = [line for line in bench.printed() if line[:2] in ("0 ", "1 ", "le")]
    assert printed[-1] == "left []" and len(printed) == NATIVE_SESSIONS + 1 and broker.open() == 0
    assert {line for line in printed if line[0] == "1"} == {"1 0"}
    assert len({line for line in printed if line[0] == "0"}) >= 3
