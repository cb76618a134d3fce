"""aep.native_mqtt: the firmware's MQTT client under supervision (quecpython.md §3.10), against a broker that answers as
it is told to, in both engines."""

import random
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest

from tests_host.module.bench import Bench
from tests_host.module.broker import CONNECT, DISCONNECT, NAME, PINGREQ, PUBACK, PUBLISH, SUBSCRIBE, Broker, message
from tools.ctwing.tls import Authority

BOTH = pytest.mark.parametrize("engine", ["vm", "cpython"])
FAST = "cpython"
TREE = Path(__file__).parents[2] / "lib"
FILES = ("aep/native_mqtt.py", "aep/session.py", "aep/refusals.py", "aep/topics.py", "aep/stream_faults.py",
         "link/fault.py", "link/clock.py")

BEGIN = f"""
import usys
usys.path.insert(0, '/usr/a')
import _thread, utime
from aep import native_mqtt as n, session as s
from link.clock import Clock
from link.fault import Fault
clock = Clock()
settings = {{'device.id': 'dev', 'device.token': 'secret', 'mqtt.user': '', 'mqtt.clean': 0, 'mqtt.keepalive': 240,
            'server.port': 5683}}
def native(honest=False, arrived=None, server='{NAME}', **named):
    return n.Native(settings, server, clock, honest, None, arrived, **named)
def soon(seconds=30):
    return clock.now() + seconds * 1000
def tried(call, *args):
    began = clock.now()
    try:
        out = call(*args)
    except Fault as error:
        out = type(error).__name__, error.code
    return out, (clock.now() - began) // 1000
def left():
    return [ident for ident in range(2, 40) if _thread.threadIsRunning(ident)]
"""
END = "\nfrom misc import Power\nPower.powerDown()\n"


def bench_of(engine: str, broker: Broker, *, tells: bool = False, **options) -> Bench:
    bench = Bench(engine, **options)
    bench.module.profile = bench.profile = replace(bench.profile, umqtt_tells=tells)
    broker.serve(bench)
    return bench


def run(engine: str, main: str, broker: Broker, *, tells: bool = False, **options) -> list[str]:
    """What the application printed."""
    bench = bench_of(engine, broker, tells=tells, **options)
    return boot(bench, main)


def boot(bench: Bench, main: str) -> list[str]:
    files = {f"a/{name}": (TREE / name).read_text() for name in FILES}
    bench.run(BEGIN + textwrap.dedent(main) + END, files=files)
    assert not bench.events.of("crash"), bench.events.of("crash")[0].text
    assert not any("Unhandled" in line for line in bench.printed()), bench.printed()
    return bench.printed()


# -- what it does -----------------------------------------------------------------------------------------------------


@BOTH
def test_a_session_from_connect_to_disconnect_leaves_no_thread_and_no_connection(engine):
    broker = Broker()
    assert run(engine, """
        c = native()
        c.connect(soon())
        c.subscribe('topic/event', soon())
        print(c.publish('topic/data', b'{}', 1, soon()) == s.HANDED_OVER, c.receive(soon(1)))
        c.close()
        c.close()
        print(left())
    """, broker) == ["True None", "[]"]
    kinds = broker.kinds()
    assert kinds[:3] == [CONNECT, SUBSCRIBE, PUBLISH] and kinds[-1] == DISCONNECT and broker.open() == 0
    assert broker.came[0][2] == b"\0\4MQTT\4\xc0\0\0" + b"\0\3dev\0\3dev\0\6secret"


@BOTH
def test_a_message_is_received_and_acknowledged(engine):
    broker = Broker()
    broker.on_packet = lambda kind: kind == PUBLISH and broker.links[0].transport.write(
        message(b"device_control", b"on", 1, 7))
    assert run(engine, """
        c = native(arrived=lambda topic, payload: print('arrived', payload) or True)
        c.connect(soon())
        c.publish('t', b'x', 1, soon())
        print(c.receive(soon()))
        c.close()
    """, broker) == ["arrived b'on'", "(b'device_control', b'on')"]
    assert PUBACK in broker.kinds()


@BOTH
def test_a_message_that_finds_no_room_is_not_acknowledged_and_holds_up_nothing(engine):
    """Where it ended the connection, no report went up as long as there was no room."""
    broker = Broker()
    broker.on_packet = lambda kind: kind == SUBSCRIBE and broker.links[0].transport.write(message(b"t", b"on", 1, 7))
    assert run(engine, """
        c = native(True, arrived=lambda topic, payload: False)
        c.connect(soon())
        print(c.untaken, tried(c.subscribe, 'topic/event', soon()), c.untaken)
        print(c.publish('t', b'x', 1, soon()) == s.ACKNOWLEDGED, c.receive(soon(1)))
        c.close()
        print(left())
    """, broker, tells=True) == ["False (None, 0) True", "True None", "[]"]
    assert PUBACK not in broker.kinds() and broker.kinds()[-1] == DISCONNECT and broker.open() == 0


def test_a_message_that_no_platform_sends_is_not_acknowledged_and_ends_the_connection():
    broker = Broker()
    broker.on_packet = lambda kind: kind == PINGREQ and broker.links[0].transport.write(message(b"t", b"on", 1, 7))
    assert run(FAST, """
        def arrived(topic, payload):
            raise Fault('a flood')
        c = native(arrived=arrived)
        c.connect(soon())
        print(tried(c.ping, soon()))
        utime.sleep(5)
        print(left())
    """, broker) == ["(('ConnectionLost', 42), 0)", "[]"]
    assert PUBACK not in broker.kinds() and broker.open() == 0


@BOTH
def test_what_arrives_is_taken_while_nothing_else_of_ours_runs(engine):
    """A message that comes while the application works waits until it calls again."""
    broker = Broker()
    bench = bench_of(engine, broker)
    broker.on_packet = lambda kind: kind == PUBLISH and bench.loop.call_later(1, broker.links[0].transport.write,
                                                                             message(b"t", b"on", 1, 7))
    assert boot(bench, """
        working = []
        c = native(arrived=lambda topic, payload: print('arrived', working) or True)
        c.connect(soon())
        c.publish('t', b'x', 0, soon())
        print(c.receive(clock.now() + 100))
        working.append(1)
        utime.sleep(5)
        working.pop()
        print(c.receive(soon()))
        c.close()
    """) == ["None", "arrived []", "(b't', b'on')"]


# -- what a receipt is worth ------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize(("tells", "honest", "answered", "end"), [
    (True, True, True, "(1, 0)"), (True, True, False, "(('NotConfirmed', 47), 5)"),
    (True, False, True, "(2, 0)"), (False, False, True, "(2, 0)"), (False, False, False, "(2, 5)"),
    (False, True, True, "(('NotConfirmed', 47), 0)"),
])
def test_acknowledged_counts_only_where_the_image_tells_the_truth(engine, tells, honest, answered, end):
    broker = Broker()
    broker.silent = set() if answered else {PUBLISH}
    assert run(engine, f"""
        c = native({honest})
        c.connect(soon())
        print(tried(c.publish, 't', b'x', 1, soon()))
        c.close()
        print(left())
    """, broker, tells=tells) == [end, "[]"]


def test_handed_over_needs_an_answered_ping_behind_it():
    broker = Broker()
    broker.silent = {PUBLISH, PINGREQ}
    assert run(FAST, """
        c = native()
        c.connect(soon())
        print(tried(c.publish, 't', b'x', 1, soon()))
        print(left())
    """, broker)[0] == "(('NotConfirmed', 47), 15)"


def test_qos_0_is_handed_over_without_more():
    broker = Broker()
    assert run(FAST, """
        c = native(True)
        c.connect(soon())
        print(tried(c.publish, 't', b'x', 0, soon()))
        c.close()
    """, broker, tells=True) == ["(2, 0)"]
    assert broker.kinds()[:2] == [CONNECT, PUBLISH]


@pytest.mark.parametrize(("tells", "answered", "honest"), [
    (True, True, True), (False, True, False), (True, False, False), (False, False, False),
])
def test_the_probe_finds_whether_publish_tells_the_truth(tells, answered, honest):
    broker = Broker()
    broker.silent = set() if answered else {PUBLISH}
    assert run(FAST, """
        c = native()
        c.connect(soon())
        print(c.probe('t', b'x', soon()), c.honest)
        c.close()
    """, broker, tells=tells) == [f"{honest} {honest}"]


# -- each defect, survived --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("code", "fault"), [
    (1, "WrongVersion"), (2, "NotProvisioned"), (3, "Refused"), (4, "NotProvisioned"), (5, "NotProvisioned"),
])
def test_a_connack_that_refuses_is_a_fault_with_a_hint(code, fault):
    broker = Broker()
    broker.refuse = code
    assert run(FAST, """
        c = native()
        out = tried(c.connect, soon())
        print(out[0][0], left())
    """, broker) == [f"{fault} []"]
    assert broker.open() == 0


@pytest.mark.parametrize(("server", "fault", "seconds"), [
    ("nowhere", "('NoName', 14)", 2), ("192.0.2.7", "('NoConnection', 41)", 20), (NAME, "('Silent', 25)", 10),
])
def test_a_connect_that_fails_leaves_nothing_open(server, fault, seconds):
    broker = Broker()
    broker.silent = {CONNECT}
    lines = run(FAST, f"""
        c = native(server='{server}')
        print(tried(c.connect, soon({10 if server == NAME else 60})))
        utime.sleep(20)
        print(left())
    """, broker)
    assert lines[0].startswith(f"({fault}, ") and lines[1] == "[]" and broker.open() == 0
    assert seconds <= int(lines[0].split()[-1][:-1]) <= seconds + 4


@BOTH
def test_nobody_connects_while_the_thread_of_a_connect_before_has_not_ended(engine, monkeypatch):
    """A name look-up has no time-out and cannot be broken off."""
    monkeypatch.setattr("tools.module.modem.usocket.DNS_MS", (8000, 8000))
    assert run(engine, """
        c = native(server='nowhere')
        print(tried(c.connect, soon(2)))
        print(left(), tried(native().connect, soon(1)))
        utime.sleep(50)
        d = native()
        print(left(), tried(d.connect, soon(60))[0])
        d.close()
        print(left())
    """, Broker()) == ["(('Silent', 25), 5)", "[2] (('NoConnection', 41), 1)", "[] None", "[]"]


@BOTH
def test_fin_is_noticed_though_wait_msg_says_none_for_ever(engine):
    broker = Broker()
    broker.fin_after_connack = True
    assert run(engine, """
        c = native()
        c.connect(soon())
        print(tried(c.receive, soon()))
        print(left())
    """, broker) == ["(('ConnectionLost', 42), 0)", "[]"]


def test_a_publish_behind_a_fin_is_lost_and_said_so():
    broker = Broker()
    broker.fin_after_connack = True
    out = run(FAST, """
        c = native()
        c.connect(soon())
        utime.sleep(1)
        print(tried(c.publish, 't', b'x', 1, soon())[0])
        print(left())
    """, broker)
    assert out == ["('ConnectionLost', 42)", "[]"]


def test_pings_keep_a_quiet_connection():
    broker = Broker()
    assert run(FAST, """
        c = native()
        c.connect(soon())
        print(c.receive(soon(3600)))
        c.close()
    """, broker) == ["None"]
    assert broker.kinds().count(PINGREQ) == 15  # one each 240 s, and that of the end


def test_a_connection_that_a_nat_has_forgotten_is_noticed():
    broker = Broker()
    assert run(FAST, """
        settings['mqtt.keepalive'] = 1000
        c = native()
        c.connect(soon())
        print(tried(c.receive, soon(3600))[0])
        utime.sleep(10)
        print(left())
    """, broker) == ["('ConnectionLost', 42)", "[]"]


def test_silence_is_broken_by_pings_and_an_unanswered_one_ends_the_connection():
    broker = Broker()
    broker.silent = {PINGREQ}
    assert run(FAST, """
        c = native()
        c.connect(soon())
        print(tried(c.receive, soon(3600)))
        utime.sleep(10)
        print(left())
    """, broker) == ["(('NotConfirmed', 47), 250)", "[]"]


def test_a_reset_is_noticed():
    broker = Broker()
    broker.on_packet = lambda kind: kind == PINGREQ and broker.links[0].transport.abort()
    assert run(FAST, """
        c = native()
        c.connect(soon())
        print(tried(c.ping, soon()))
        print(tried(c.publish, 't', b'x', 1, soon()), left())
    """, broker) == ["(('ConnectionLost', 42), 0)", "(('ConnectionLost', 42), 0) []"]


@pytest.mark.parametrize("error", ["OSError(104)", "ValueError('type')"])
@pytest.mark.parametrize("call", ["publish", "ping", "probe"])
def test_whatever_a_call_of_the_firmware_raises_ends_the_connection_and_is_no_fault_of_the_flash(call, error):
    broker = Broker()
    lines = run(FAST, f"""
        def broken(*_):
            raise {error}
        c = native()
        c.connect(soon())
        c._client.publish = c._client.ping = broken
        args = {{'publish': ('t', b'x', 1), 'ping': (), 'probe': ('t', b'x')}}['{call}']
        print(tried(getattr(c, '{call}'), *(args + (soon(),))))
        utime.sleep(5)
        print(left())
    """, broker)
    assert lines[0].startswith("(('ConnectionLost', 42), ") and lines[1:] == ["[]"] and broker.open() == 0


def test_no_thread_pings_behind_our_back():
    broker = Broker()
    assert run(FAST, """
        c = native()
        c.connect(soon())
        print(c.receive(soon(200)), left())
    """, broker) == ["None [2]"]
    assert broker.kinds() == [CONNECT]


def test_an_image_without_umqtt_is_a_fault():
    bench = Bench(FAST)
    bench.module.profile = bench.profile = replace(bench.profile, lacks=bench.profile.lacks | {"umqtt"})
    assert boot(bench, "print(tried(native().connect, soon()))\n") == ["(('NoConnection', 41), 0)"]


def test_without_a_thread_to_be_had_it_is_a_fault_and_nothing_is_left():
    broker = Broker()
    assert run(FAST, """
        for _ in range(15):
            _thread.start_new_thread(utime.sleep, (10,))
        print(tried(native().connect, soon()))
        utime.sleep(11)
        c = native()
        print(tried(c.connect, soon())[0])
        c.close()
    """, broker) == ["(('NoConnection', 41), 0)", "None"]


@pytest.mark.parametrize("seed", range(40))
def test_hostile_bytes_end_the_connection_and_nothing_else(seed):
    """Noise, a length without an end, a packet that is cut off."""
    rng = random.Random(seed)
    noise = [
        bytes(rng.choices(range(256), k=rng.randint(1, 300))), b"\x30" + b"\xff" * 400, b"\x40\x00", b"\x30\x01\x00",
        b"\x90\x7f" + bytes(9), b"\x34" + message(b"t", b"qos 2", 1)[1:], b"\xd0" + bytes(200),
    ][seed % 7]
    broker = Broker()
    broker.on_packet = lambda kind: kind == PUBLISH and broker.links[-1].transport.write(noise)
    lines = run(FAST, """
        for _ in range(3):
            c = native()
            c.connect(soon())
            try:
                for _ in range(3):
                    c.publish('t', b'x', 1, soon())
            except Fault as error:
                pass
            c.close()
            utime.sleep(30)
        print(left(), n._running)
    """, broker)
    assert lines[-1] == "[] []" and broker.open() == 0 and len(broker.links) == 3


# -- MQTTS ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority():
    return Authority(1_795_392_000)


def over_tls(authority: Authority, steps: str) -> str:
    return f"ca = {authority.ca_pem!r}\nc = n.Native(settings, '{NAME}', clock, False, ca)\n" + textwrap.dedent(steps)


@BOTH
def test_mqtts_by_a_ca_of_ours(engine, authority):
    broker = Broker()
    broker.on_packet = lambda kind: kind == PUBLISH and broker.links[0].transport.write(message(b"t", b"on", 1, 7))
    bench = Bench(engine)
    broker.serve(bench, authority.context([NAME]))
    assert boot(bench, over_tls(authority, """
        c.connect(soon())
        c.subscribe('t', soon())
        print(c.publish('t', b'x', 1, soon()), c.receive(soon()))
        c.close()
        print(left())
        utime.sleep(5)
    """)) == ["2 (b't', b'on')", "[]"]
    assert broker.open() == 0


def test_mqtts_by_another_ca_is_a_bad_certificate(authority):
    bench = Bench(FAST)
    broker = Broker().serve(bench, Authority(1_795_392_000).context([NAME]))
    assert boot(bench, over_tls(authority, """
        print(tried(c.connect, soon())[0])
        print(left())
    """)) == ["('BadCertificate', 44)", "[]"]
    assert CONNECT not in broker.kinds()


# -- nothing leaks ----------------------------------------------------------------------------------------------------


RECONNECTS = """
import gc
def once(i):
    c = native()
    try:
        c.connect(soon())
        c.publish('t', b'x', 1, soon())
    except Fault as error:
        said[error.code] = said.get(error.code, 0) + 1
    c.close()
said = {}
def some(first, count):
    for i in range(first, first + count):
        once(i)
    gc.collect()
    return gc.mem_alloc()
some(0, 20)
before = some(20, 20)
after = some(40, %d)
utime.sleep(60)
print(sorted(said.items()))
print(after - before, left(), n._running)
"""


@pytest.mark.parametrize(("engine", "count"), [("cpython", 1000), ("vm", 200)])
def test_a_thousand_reconnects_leave_no_socket_no_thread_no_lock_and_no_heap(engine, count):
    """Of every seven connections one is refused, one has no CONNACK in time, one ends with FIN and one with RST."""
    broker = Broker()

    def vary(kind):
        number = len(broker.links) % 7
        broker.refuse = 3 if number == 1 else 0
        broker.silent = {CONNECT} if number == 2 and len(broker.links) < 99 else {PUBLISH} if number == 3 else set()
        broker.fin_after_connack = number == 4
        if number == 5 and kind == PUBLISH:
            broker.links[-1].transport.abort()

    broker.on_packet = vary
    bench = bench_of(engine, broker)
    grown, threads, running = boot(bench, RECONNECTS % count)[-1].split()
    assert int(grown) < 1000 and threads == running == "[]"
    assert broker.open() == 0 and len(broker.links) == count + 40
    assert bench.module.board is not None and len(bench.module.board.firmware["usocket"].ports) <= 4
