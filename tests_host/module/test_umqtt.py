"""The stand-in of the firmware's `umqtt`: what it does, and each defect by name (quecpython.md §3.10)."""

import struct
import textwrap
from dataclasses import replace

import pytest

from tests_host.module.bench import Bench
from tests_host.module.broker import (
    CONNECT,
    DISCONNECT,
    NAME,
    PINGREQ,
    PUBACK,
    PUBLISH,
    SUBSCRIBE,
    Broker,
    message,
)

BOTH = pytest.mark.parametrize("engine", ["vm", "cpython"])
FAST = "cpython"

BEGIN = f"""
import _thread, utime, umqtt
from umqtt import MQTTClient
def client(*rest, **named):
    return MQTTClient('dev', '{NAME}', 5683, 'user', 'secret', *rest, **named)
def since(began):
    return utime.ticks_diff(utime.ticks_ms(), began)
def reading(c):
    at = -1
    try:
        while at != utime.ticks_ms():
            at = utime.ticks_ms()
            print(c.wait_msg())
    except Exception as error:
        print('reader:', error)
"""

END = "from misc import Power\nPower.powerDown()\n"


def run(engine: str, main: str, broker: Broker | None = None, *, tells: bool = False, tls=None) -> list[str]:
    """What the application printed."""
    bench = Bench(engine)
    bench.module.profile = bench.profile = replace(bench.profile, umqtt_tells=tells)
    (broker or Broker()).serve(bench, tls)
    bench.run(BEGIN + textwrap.dedent(main) + END)
    assert not bench.events.of("crash"), bench.events.of("crash")[0].text
    return bench.printed()


# -- what it does -----------------------------------------------------------------------------------------------------


@BOTH
def test_connect_publish_subscribe_receive_disconnect(engine):
    broker = Broker()
    lines = run(engine, """
        c = client()
        c.set_callback(lambda topic, msg: print(topic, msg))
        print(c.get_mqttsta(), c.connect(), c.get_mqttsta())
        print(c.subscribe('topic/event', 1), c.publish('topic/data', b'{}'))
        c.ping()
        print(c.wait_msg())
        c.disconnect()
        print(c.get_mqttsta())
    """, broker)
    assert lines == ["-1 0 0", "None None", "b'\\xd0'", "-1"]
    assert broker.kinds() == [CONNECT, SUBSCRIBE, PUBLISH, PINGREQ, DISCONNECT] and broker.open() == 0
    assert broker.came[0][2] == b"\0\4MQTT\4\xc2\0\0" + b"\0\3dev\0\4user\0\6secret"
    assert broker.came[2][2] == b"\0\x0atopic/data{}"


def test_the_same_segments_go_from_both_engines():
    traces = []
    for engine in ("vm", "cpython"):
        bench = Bench(engine)
        Broker().serve(bench)
        bench.run(BEGIN + textwrap.dedent("""
            c = client(10)
            c.connect()
            _thread.start_new_thread(reading, (c,))
            for i in range(4):
                c.publish('t', b'x' * i, qos=1)
                utime.sleep(7)
            c.disconnect()
            utime.sleep(10)
        """) + END)
        traces.append((bench.network.trace_sha256(), bench.printed()))
    assert traces[0] == traces[1]


@BOTH
def test_a_message_reaches_the_callback_and_is_acknowledged_in_a_thread_of_its_own(engine):
    broker = Broker()
    broker.on_packet = lambda kind: kind == PINGREQ and broker.links[0].transport.write(
        message(b"device_control", b"on", 1, 77))
    assert run(engine, """
        c = client()
        c.set_callback(lambda topic, msg: print(topic, msg))
        c.connect()
        c.ping()
        print(c.wait_msg(), c.wait_msg())
        utime.sleep(1)
    """, broker) == ["b'device_control' b'on'", "None b'\\xd0'"]
    assert broker.came[-1] == (PUBACK, 0x40, struct.pack("!H", 77))


@pytest.mark.parametrize(("switch", "text"), [("refuse", "4"), ("fin", "107"), ("no name", "DNS"), ("silent", "110")])
def test_a_connect_that_fails_is_a_value_error_with_a_number(switch, text):
    broker = Broker()
    broker.refuse = 4 if switch == "refuse" else 0
    broker.silent = {CONNECT} if switch in ("silent", "fin") else set()
    if switch == "fin":
        broker.on_packet = lambda kind: broker.links[0].transport.close()
    name = "'nowhere'" if switch == "no name" else f"'{NAME}'"
    lines = run(FAST, f"""
        began = utime.ticks_ms()
        try:
            MQTTClient('dev', {name}, 5683).connect()
        except ValueError as error:
            print(error)
        print(since(began) // 1000)
    """, broker)
    assert text in lines[0] and int(lines[1]) in {"110": (20,), "DNS": (2, 3)}.get(text, (0,))


def test_a_keep_alive_shorter_than_five_seconds_is_refused():
    assert run(FAST, """
        for keepalive in (1, 4, 5, 0):
            try:
                client(keepalive)
                print(keepalive)
            except ValueError:
                pass
    """) == ["5", "0"]


# -- publish ----------------------------------------------------------------------------------------------------------


@BOTH
def test_publish_says_none_whether_a_puback_came_or_not(engine):
    """The 1.13 port."""
    broker = Broker()
    assert run(engine, """
        c = client()
        c.connect()
        _thread.start_new_thread(reading, (c,))
        began = utime.ticks_ms()
        print(c.publish('t', b'x', qos=1), since(began) < 1000)
    """, broker) == ["None", "None True"]
    silent = Broker()
    silent.silent = {PUBLISH}
    assert run(engine, """
        c = client()
        c.connect()
        _thread.start_new_thread(reading, (c,))
        began = utime.ticks_ms()
        print(c.publish('t', b'x', qos=1), since(began) // 1000)
    """, silent) == ["None 5"]


def test_publish_waits_in_vain_when_no_other_thread_reads():
    broker = Broker()
    assert run(FAST, """
        c = client()
        c.connect()
        began = utime.ticks_ms()
        print(c.publish('t', b'x', qos=1), since(began) // 1000)
    """, broker) == ["None 5"]
    assert broker.kinds() == [CONNECT, PUBLISH]


@pytest.mark.parametrize("tells", [False, True])
def test_publish_swallows_every_exception(tells):
    assert run(FAST, """
        c = client()
        c.connect()
        c.close()
        print(c.publish('t', b'x', qos=1), c.publish('t', b'x'), c.publish('t', b'x', qos=2), c.publish(None, 5))
    """, tells=tells) == [" ".join(["False" if tells else "None"] * 4)]


@BOTH
@pytest.mark.parametrize("answered", [True, False])
def test_on_a_mended_image_publish_tells_whether_a_puback_came(engine, answered):
    broker = Broker()
    broker.silent = set() if answered else {PUBLISH}
    lines = run(engine, """
        c = client()
        c.connect()
        _thread.start_new_thread(reading, (c,))
        print(c.publish('t', b'x', qos=1), c.publish('t', b'x'))
    """, broker, tells=True)
    assert lines[-1] == f"{answered} True"


# -- reading ----------------------------------------------------------------------------------------------------------


@BOTH
def test_fin_makes_wait_msg_return_none_at_once_and_the_caller_spins(engine):
    broker = Broker()
    broker.fin_after_connack = True
    assert run(engine, """
        c = client()
        c.connect()
        utime.sleep(1)
        began = utime.ticks_ms()
        print([c.wait_msg() for _ in range(5)], since(began), c.get_mqttsta())
    """, broker) == ["[None, None, None, None, None] 0 0"]


@BOTH
def test_check_msg_on_plain_tcp_breaks_the_connection(engine):
    assert run(engine, """
        c = client(reconn=False)
        c.set_callback(print)
        c.error_register_cb(lambda text: print('told', text))
        c.connect()
        try:
            c.check_msg()
        except OSError as error:
            print(error.args[0], c.get_mqttsta())
    """) == ["told 11", "11 -1"]


def test_with_reconn_an_error_is_followed_by_connects_for_ever():
    broker = Broker()
    broker.silent = {PINGREQ}

    def refuse(kind):
        if kind == PINGREQ:
            broker.refuse = 3
            broker.links[0].transport.abort()
    broker.on_packet = refuse
    lines = run(FAST, """
        c = client()
        c.error_register_cb(print)
        c.connect()
        _thread.start_new_thread(c.wait_msg, ())
        c.ping()
        began = utime.ticks_ms()
        utime.sleep(60)
    """, broker)
    assert lines == ["reconnect_start"]
    assert broker.kinds().count(CONNECT) > 6  # after 6, 7, 8 … s


def test_an_exception_of_the_callback_escapes_into_the_handling_of_a_broken_connection():
    broker = Broker()
    broker.on_packet = lambda kind: kind == PINGREQ and broker.links[0].transport.write(message(b"t", b"x"))
    assert run(FAST, """
        def bad(topic, msg):
            raise KeyError('mine')
        c = client(reconn=False)
        c.set_callback(bad)
        c.connect()
        c.ping()
        try:
            c.wait_msg()
        except KeyError:
            print('KeyError', c.get_mqttsta())
    """, broker) == ["KeyError -1"]


def test_no_packet_is_too_large_for_it():
    broker = Broker()
    endless = b"\x30\xff\xff\xff\x7f" + b"x" * 99
    broker.on_packet = lambda kind: kind == PINGREQ and broker.links[0].transport.write(endless)
    assert run(FAST, """
        c = client(reconn=False)
        c.connect()
        c.ping()
        _thread.start_new_thread(reading, (c,))
        utime.sleep(100)
        print('still reading')
    """, broker) == ["still reading"]


@BOTH
def test_subscribe_does_not_see_what_another_thread_reads(engine):
    broker = Broker()
    lines = run(engine, """
        c = client(reconn=False)
        c.set_callback(print)
        c.connect()
        _thread.start_new_thread(reading, (c,))
        utime.sleep(1)
        began = utime.ticks_ms()
        try:
            c.subscribe('t')
        except OSError as error:
            print(error.args[0], since(began) // 1000)
    """, broker)
    assert lines == ["b'\\x90'", "110 5"]


def test_a_refused_subscription_is_only_logged():
    broker = Broker()
    broker.suback = 0x80
    assert run(FAST, """
        c = client()
        try:
            c.subscribe('t')
        except AssertionError:
            print('needs a callback')
        c.set_callback(print)
        c.connect()
        print(c.subscribe('t'))
    """, broker) == ["needs a callback", "None"]


# -- keep-alive and locks ---------------------------------------------------------------------------------------------


@BOTH
def test_a_keep_alive_starts_a_thread_that_wakes_every_five_seconds(engine):
    broker = Broker()
    times = []
    bench = Bench(engine)
    broker.on_packet = lambda kind: kind == PINGREQ and times.append(round(bench.loop.time()) % 1000)
    broker.serve(bench)
    bench.run(BEGIN + textwrap.dedent("""
        c = client(20)
        c.connect()
        _thread.start_new_thread(reading, (c,))
        utime.sleep(62)
        print(_thread.threadIsRunning(2), _thread.threadIsRunning(3))
    """) + END)
    begun = times[0] - 20
    assert [t - begun for t in times] == [20, 40, 60] and bench.printed()[-1] == "True True"


def test_a_ping_that_finds_the_lock_taken_is_missed():
    broker = Broker()
    run(FAST, """
        c = client(20)
        c.connect()
        c._lock.acquire()
        utime.sleep(58)
    """, broker)
    assert PINGREQ not in broker.kinds()


def test_a_ping_that_nobody_answers_is_noticed_when_the_next_is_due():
    broker = Broker()
    broker.silent = {PINGREQ}
    assert run(FAST, """
        c = client(20, reconn=False)
        c.connect()
        _thread.start_new_thread(reading, (c,))
        for _ in range(9):
            utime.sleep(5)
            print(c.get_mqttsta())
    """, broker) == ["0"] * 8 + ["reader: 9", "-1"]


@BOTH
def test_disconnect_deletes_the_lock_that_another_thread_waits_for(engine):
    assert run(engine, """
        c = client()
        c.connect()
        c._lock.acquire()
        ident = _thread.start_new_thread(c.publish, ('t', b'x'))
        utime.sleep(1)
        c._lock.release()
        c.disconnect()
        utime.sleep(60)
        print(_thread.threadIsRunning(ident))
    """) == ["True"]


def test_disconnect_returns_while_the_ping_thread_lives_on():
    assert run(FAST, """
        c = client(20)
        c.connect()
        utime.sleep(1)
        c.disconnect()
        print(_thread.threadIsRunning(2))
        utime.sleep(6)
        print(_thread.threadIsRunning(2))
    """) == ["True", "False"]


def test_a_reconnect_kills_the_ping_thread_while_it_holds_the_lock():
    assert run(FAST, """
        c = client(5)
        c.connect()
        lock = c._lock
        class Slow:
            def write(self, data):
                utime.sleep(100)
        c.sock, real = Slow(), c.sock
        utime.sleep(6)
        c.sock = real
        print(lock.locked(), c._pinger)
        c.close()
        _thread.start_new_thread(c.wait_msg, ())
        utime.sleep(200)
        print(lock.locked(), _thread.threadIsRunning(2))
    """)[-2:] == ["True 2", "True False"]


# -- connecting -------------------------------------------------------------------------------------------------------


def test_an_empty_client_id_is_left_out_with_its_length():
    broker = Broker()
    run(FAST, f"""
        MQTTClient('', '{NAME}', 5683, 'u', 'p').connect()
    """, broker)
    assert broker.came[0][2] == b"\0\4MQTT\4\xc2\0\0" + b"\0\1u\0\1p"


@BOTH
def test_server_hostname_in_ssl_params_is_one_too_many(engine):
    assert run(engine, f"""
        c = MQTTClient('dev', '{NAME}', 5683, ssl=True, ssl_params={{'server_hostname': '{NAME}'}})
        try:
            c.connect()
        except ValueError as error:
            print(error)
    """) == ["MQTT connect failed: function got multiple values for argument 'server_hostname'"]


def test_a_failed_connect_leaves_its_socket_open():
    broker = Broker()
    broker.silent = {CONNECT}
    run(FAST, """
        try:
            client().connect()
        except ValueError:
            pass
    """, broker)
    assert broker.open() == 1
