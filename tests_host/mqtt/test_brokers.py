"""mosquitto and amqtt judge the client in real time, with paho on their other side: what it publishes paho gets byte
for byte and the reverse, sessions that outlive their connection, repeats, silence, refusals (clauses of MQTT 3.1.1).

amqtt 0.12.1 leaves the standard: messages of QoS 0 come with the subscription's QoS [MQTT-3.8.4-6], one that was not
acknowledged when the link broke, or within 5 s, is lost [MQTT-4.4.0-1], a clean session is kept for one that is not
[MQTT-3.1.2-6], silence ends nothing [MQTT-3.1.2-24], nor does a second connection that asks for a clean session end the
first [MQTT-3.1.4-2]. There mosquitto judges alone."""

import time

import pytest

from mqtt import client as c
from mqtt import packet as p
from tests_host.mqtt.brokers import BROKERS
from tests_host.mqtt.over_tcp import Device, Peer

DOWN = "device_control"
ALL_BYTES = bytes(range(256))
QUIET_S = 0.3  # real time in which a broker would have spoken


@pytest.fixture(params=list(BROKERS), scope="module")
def broker(request, tmp_path_factory):
    """(name, port)."""
    with BROKERS[request.param](tmp_path_factory.mktemp(request.param)) as port:
        yield request.param, port


@pytest.fixture
def port(broker):
    return broker[1]


@pytest.fixture
def meter(request):
    """A client id of the test's own."""
    return request.node.name


only_mosquitto = pytest.mark.parametrize("broker", ["mosquitto"], indirect=True)


def arriving(broker, qos):
    """The QoS in which a message of `qos` comes to a subscription of 1."""
    return 1 if broker[0] == "amqtt" else qos


# messages


def test_paho_gets_what_we_publish_byte_for_byte(broker, port, meter):
    with Peer(port, "topic/#", "水表/#") as peer, Device(port, meter) as device:
        for at, payload in enumerate((b"", b"x", b'{"temp":22.5,"humi":78}', ALL_BYTES, bytes(1024), bytes(17000))):
            for topic in ("topic/data", "水表/数据"):
                device.report(topic, payload, 1 + at)
                assert peer.heard() == (topic, payload, 1)
                device.client.publish(topic, payload, 0, 0)
                device.flush()
                assert peer.heard() == (topic, payload, arriving(broker, 0))
        device.leave()


def test_we_get_what_paho_publishes_byte_for_byte(broker, port, meter):
    with Device(port, meter) as device, Peer(port) as peer:
        device.client.subscribe(1, "down/#", 1)
        assert device.expect(p.SUBSCRIBED) == (p.SUBSCRIBED, 1, 1)
        seen = set()
        for payload in (b"", b"x", b'{"on":1}', ALL_BYTES, bytes(p.LIMIT - 20)):
            for topic in ("down/x", "down/命令"):
                for qos in (0, 1):
                    peer.publish(topic, payload, qos)
                    event = device.expect(p.MESSAGE)
                    assert event[1:4] == (topic, payload, arriving(broker, qos)) and event[5] is False
                    assert bool(event[4]) == bool(event[3])
                    if event[3]:
                        device.client.acknowledge(event[4])
                        seen.add(event[4])
        assert seen and device.event(QUIET_S) is None


def test_subscription_gets_no_more_qos_than_it_asked_for(port, meter):
    with Device(port, meter) as device, Peer(port) as peer:
        device.client.subscribe(1, "down", 0)
        assert device.expect(p.SUBSCRIBED) == (p.SUBSCRIBED, 1, 0)
        peer.publish("down", b"x", 1)
        assert device.expect(p.MESSAGE)[3:5] == (0, 0)


def test_many_messages_at_once_come_in_their_order(port, meter):
    with Device(port, meter) as device, Peer(port) as peer:
        device.client.subscribe(1, "down", 1)
        device.expect(p.SUBSCRIBED)
        for at in range(30):  # more than mosquitto has under way at once
            peer.client.publish("down", b"%d" % at, 1)
        for at in range(30):
            event = device.expect(p.MESSAGE)
            assert event[2] == b"%d" % at
            device.client.acknowledge(event[4])


def test_connect_report_and_disconnect_in_one_piece(port, meter):
    # [MQTT-3.1.4-5]: what follows a CONNECT that is accepted is taken
    with Peer(port, "topic/data") as peer, Device(port, meter, connect=False) as device:
        device.client.connect()
        device.client.publish("topic/data", b"x" * 64, 1, 7)
        assert [device.event(), device.event()] == [(p.CONNECTED, False), (p.ACKED, 7)]
        assert len(device.log[0][1]) > 64 and [way for way, _ in device.log].count(">") == 1
        assert peer.heard() == ("topic/data", b"x" * 64, 1)
        device.leave()


# sessions


def subscribed(port, meter):
    """A session that outlives its connection, with one subscription."""
    with Device(port, meter, clean=False) as device:
        assert device.present is False
        device.client.subscribe(1, DOWN, 1)
        device.expect(p.SUBSCRIBED)
        device.leave()


def test_clean_session_knows_nothing_of_before(port, meter):
    for _ in range(2):
        with Device(port, meter) as device:
            assert device.present is False  # [MQTT-3.2.2-1]
            device.leave()


def test_message_waits_in_the_session_for_the_next_connection(port, meter):
    subscribed(port, meter)
    with Peer(port) as peer:
        peer.publish(DOWN, b'{"on":1}', 1)
    with Device(port, meter, clean=False) as device:
        assert device.present is True  # [MQTT-3.2.2-2]
        event = device.expect(p.MESSAGE)
        assert event[1:4] == (DOWN, b'{"on":1}', 1)
        device.client.acknowledge(event[4])
        device.client.ping()
        device.expect(p.PONG)
        device.leave()
    with Device(port, meter, clean=False) as device:
        assert device.present is True and device.event(QUIET_S) is None


def test_clean_session_ends_the_one_that_was_kept(broker, port, meter):
    subscribed(port, meter)
    with Peer(port) as peer:
        peer.publish(DOWN, b"lost", 1)
    with Device(port, meter, clean=True) as device:
        assert device.present is False and device.event(QUIET_S) is None  # [MQTT-3.1.2-6]
        device.leave()
    with Device(port, meter, clean=False) as device:
        assert device.present is (broker[0] == "amqtt") and device.event(QUIET_S) is None


@only_mosquitto
def test_message_that_was_not_acknowledged_comes_again_after_a_reconnect(port, meter):
    subscribed(port, meter)
    with Device(port, meter, clean=False) as device, Peer(port) as peer:
        peer.publish(DOWN, b"once", 1)
        first = device.expect(p.MESSAGE)
        assert first[5] is False
    with Device(port, meter, clean=False) as device:
        again = device.expect(p.MESSAGE)
        assert again == first[:5] + (True,)  # [MQTT-4.4.0-1]
        device.client.acknowledge(again[4])
        device.client.ping()
        device.expect(p.PONG)
        device.leave()
    with Device(port, meter, clean=False) as device:
        assert device.event(QUIET_S) is None


def test_repeat_of_a_report_is_acknowledged_and_may_be_told_by_its_content_only(port, meter):
    with Peer(port, "topic/data") as peer:
        with Device(port, meter, clean=False) as device:
            device.client.publish("topic/data", b"id 5", 1, 300)
            device.flush()
            assert peer.heard() == ("topic/data", b"id 5", 1)  # and the link is cut before its PUBACK is read
        with Device(port, meter, clean=False) as device:
            device.report("topic/data", b"id 5", 300, dup=True)
            message = peer.messages.get(timeout=20)
            assert message.payload == b"id 5" and message.dup is False  # [MQTT-3.3.1-3]
            device.leave()


@only_mosquitto
def test_second_connection_of_a_client_ends_the_first(port, meter):
    with Device(port, meter) as first, Device(port, meter) as second:
        assert first.closed()  # [MQTT-3.1.4-2]
        second.report("topic/data", b"x", 1)


# silence


@only_mosquitto
def test_server_drops_who_is_silent_for_longer_than_the_keep_alive(port, meter):
    with Device(port, meter, keep_alive=1) as device:
        start = time.monotonic()
        assert device.closed(8)  # [MQTT-3.1.2-24]
        assert time.monotonic() - start > 0.9


def test_pings_in_time_keep_the_connection(port, meter):
    wait = 5000
    with Device(port, meter, keep_alive=1) as device:
        sent, pings, start = time.monotonic(), 0, time.monotonic()
        while time.monotonic() - start < 2.5:
            due, dead = c.deadlines(1, int(sent * 1000), None, wait)
            assert time.monotonic() * 1000 < dead
            time.sleep(max(due / 1000 - time.monotonic(), 0))
            device.client.ping()
            sent = time.monotonic()
            device.expect(p.PONG)
            pings += 1
        assert pings >= 3
        device.report("topic/data", b"x", 1)


# refusals


@pytest.mark.parametrize("who", [{"password": "wrong"}, {"user": "stranger"}, {"password": ""}])
def test_who_is_not_known_is_refused_and_the_server_closes(port, meter, who):
    with Device(port, meter, connect=False, **who) as device:
        device.client.connect()
        kind, code = device.event()
        assert kind == p.REFUSED and code in (4, 5)
        assert device.closed()  # [MQTT-3.2.2-5]


def test_session_without_a_client_id_is_refused(port):
    with Device(port, "", clean=False, connect=False) as device:
        device.client.connect()
        assert device.event() == (p.REFUSED, 2)  # [MQTT-3.1.3-8]
        assert device.closed()


@pytest.mark.parametrize("broker", ["amqtt"], indirect=True)  # mosquitto's access list lets everybody subscribe
def test_subscription_that_is_not_allowed_fails(port, meter):
    with Device(port, meter) as device:
        device.client.subscribe(9, "secret/#", 1)
        assert device.expect(p.SUBSCRIBED) == (p.SUBSCRIBED, 9, p.FAILED)
        device.report("topic/data", b"x", 1)
