"""The MQTT front, asked by packets made by hand: who may connect, what is stored and acknowledged, how commands go, and
what closes a connection. Outside clients are in test_mqtt_judges.py."""

import asyncio
import random

import pytest

from tests_host.ctwing.stream_device import TOKEN, connect, mqtt, publish, real, short
from tools.ctwing import mqtt as front
from tools.ctwing import mqtt_packets

JSON = b'{"temp":22.5,"humi":78}'  # the guide's, §4.2.3


async def connected(here, **settings):
    """A device that is logged in: its id, its stream."""
    device = here.create(protocol="mqtt")
    stream = await here.connect("mqtt")
    assert await stream.ask(connect(device, TOKEN, **settings), 4) == "20020000"
    return device, stream


@pytest.mark.parametrize(("qos", "answer", "acknowledged"), [(0, "", False), (1, "40020007", True)])
@real()
async def test_a_report_on_any_topic_is_stored_and_then_acknowledged(here, qos, answer, acknowledged):
    device, stream = await connected(here)
    raw = publish("topic/data", JSON, qos, 7)
    stream.send(raw + mqtt(0xC0, b""))
    assert (await stream.get(len(answer) // 2 + 2)).hex() == answer + "d000"
    uplink, = here.aep.uplinks(device)
    assert (uplink.payload, uplink.topic, uplink.acknowledged) == (JSON, "topic/data", acknowledged)
    assert (uplink.kind, uplink.mid) == (f"MQTT QoS {qos}", 7 if qos else 0)
    assert raw in [row.raw for row in here.aep.trace(device)]


@real()
async def test_a_report_of_qos_2_is_stored_once_however_often_it_comes(here):
    device, stream = await connected(here)
    for flags in (0, 8):
        assert await stream.ask(publish("t", JSON, 2, 7, flags), 4) == "50020007"
    assert await stream.ask("62020007", 4) == "70020007"
    assert [uplink.acknowledged for uplink in here.aep.uplinks(device)] == [True]
    assert await stream.ask(publish("t", JSON, 2, 7), 4) == "50020007"
    assert len(here.aep.uplinks(device)) == 2


@pytest.mark.parametrize("payload", [b"hello", b"", b'{"a":NaN}', b"\xff\xfe", b"[" * 1020, '{"a":1}'.encode("utf-16")])
@real()
async def test_what_is_no_json_is_acknowledged_and_dropped_and_the_trace_says_so(here, payload):
    device, stream = await connected(here)
    assert await stream.ask(publish("t", payload, 1), 4) == "40020001"
    assert here.aep.uplinks(device) == []
    assert "no JSON" in here.reasons("discarded")[0]
    assert [row.note for row in here.aep.trace(device) if row.note] == ["dropped: t: the payload is no JSON"]


@pytest.mark.parametrize(("topic", "payload", "why"), [
    ("t" * 256, JSON, "a topic of 256 bytes, 255 at most"), ("阀" * 86, JSON, "a topic of 258 bytes, 255 at most"),
    ("t", b'{"a":"' + b"x" * 1017 + b'"}', "a payload of 1025 bytes, 1024 at most"),
])
@real()
async def test_what_is_longer_than_the_sdk_sends_is_dropped_and_the_connection_goes_on(here, topic, payload, why):
    device, stream = await connected(here)
    assert await stream.ask(publish(topic, payload, 1), 4) == "40020001"
    assert here.aep.uplinks(device) == [] and here.reasons("discarded")[0].endswith(why)
    assert await stream.ask(publish("t" * 255, b'{"a":"' + b"x" * 1016 + b'"}', 1, 2), 4) == "40020002"
    assert len(here.aep.uplinks(device)) == 1


@pytest.mark.parametrize(("settings", "code"), [
    ({"device": "15436586000000000000000"}, 2), ({"device": ""}, 2), ({"token": "wrong"}, 4), ({"token": None}, 4),
    ({"user": None, "token": None}, 4), ({"protocol": b"\0\4MQTT\5"}, 1), ({"protocol": b"\0\4MQTT\3"}, 1),
    ({"protocol": b"\0\6MQIsdp\3"}, 1), ({"device": "tcp"}, 5),
])
@real()
async def test_who_may_not_connect_is_told_with_a_code_and_disconnected(here, settings, code):
    device = here.create(protocol="mqtt")
    other = here.aep.create_product("other", protocol="tcp") if settings.get("device") == "tcp" else 0
    if other:
        settings["device"] = here.aep.create_device(other, name="m", number="1", token=TOKEN)
    stream = await here.connect("mqtt")
    stream.send(connect(**{"device": device, "token": TOKEN, **settings}))
    assert (await stream.closed()).hex() == f"2002000{code}"
    assert f"login result {code}" in here.reasons("rejected")[0]
    assert not here.aep.device(device).online and here.aep.registrations(device) == []


@pytest.mark.parametrize("user", [None, "", "tywl_EC800E", "\u6c34" * 70])
@real()
async def test_any_user_name_is_taken_where_there_is_one(here, user):
    device = here.create(protocol="mqtt")
    stream = await here.connect("mqtt")
    stream.send(connect(device, TOKEN if user is not None else None, user=user))
    assert (await stream.get(4)).hex() == ("20020000" if user is not None else "20020004")


@real()
async def test_a_refused_stranger_leaves_the_device_connected_and_a_true_newcomer_takes_over(here):
    device, first = await connected(here)
    stranger = await here.connect("mqtt")
    stranger.send(connect(device, "wrong"))
    await stranger.closed()
    assert await first.ask(mqtt(0xC0, b""), 2) == "d000"
    for flags in (0, 2):
        second = await here.connect("mqtt")
        assert await second.ask(connect(device, TOKEN, flags=flags), 4) == "20020000"
        assert await first.closed() == b"" and here.aep.device(device).online
        first = second
    assert [row.reason for row in here.aep.registrations(device)] == [
        "another connection of the device took over"] * 2 + [None]


@real()
async def test_a_cached_command_comes_without_a_subscription_and_is_delivered_with_its_puback(here):
    device = here.create(protocol="mqtt")
    here.aep.command(device, JSON.decode())
    here.aep.command(device, "two")
    stream = await here.connect("mqtt")
    assert await stream.ask(connect(device, TOKEN), 4) == "20020000"
    assert await stream.get(43) == mqtt(0x32, short("device_control") + b"\0\1" + JSON)
    assert await stream.silent(0.1) and here.aep.commands(device)[0].status == "SENT"
    stream.send("40020009")  # of nothing under way
    assert await stream.ask("40020001", 23) == mqtt(0x32, short("device_control") + b"\0\2two").hex()
    stream.send(mqtt(0xE0, b""))
    await stream.closed()
    first, second = here.aep.commands(device)
    assert (first.status, first.result, second.status) == ("DELIVERED", "PUBACK", "SAVED")
    assert here.aep.registrations(device)[0].reason == "disconnected" and len(here.reasons("stray")) == 1


@pytest.mark.parametrize(("content", "body"), [
    ('{"a": 1}', b'{"taskId":1,"payload":{"a":1}}'), ("NaN", b'{"taskId":1,"payload":"NaN"}'),
    (r'"\ud800"', rb'{"taskId":1,"payload":"\"\\ud800\""}'), ("\u9600", '{"taskId":1,"payload":"\u9600"}'.encode()),
])
@real(mqtt_wrapped=True)
async def test_a_command_may_be_wrapped_with_its_task(here, content, body):
    device, stream = await connected(here)
    here.aep.command(device, content)
    packet = mqtt(0x32, short("device_control") + b"\0\1" + body)
    assert await stream.get(len(packet)) == packet


@real()
async def test_a_command_that_is_not_acknowledged_waits_for_the_next_connection(here, monkeypatch):
    monkeypatch.setattr("tools.ctwing.streams.ACK_TIME", 0.2)

    device, stream = await connected(here)
    here.aep.command(device, "one")
    assert await stream.get(23)
    await asyncio.sleep(0.3)
    assert (here.aep.commands(device)[0].status, here.aep.commands(device)[0].result) == ("SAVED", "no answer")
    again = await here.connect("mqtt")
    assert await again.ask(connect(device, TOKEN), 4) == "20020000"
    assert (await again.get(23)).endswith(b"\0\1one")


@real()
async def test_a_dtus_own_topic_gets_the_commands_where_it_is_subscribed(here):
    device, stream = await connected(here)
    topic = f"mqtt/2000/15436586/{device}/dn/device_control"
    topics = short("topic/event") + b"\0" + short(topic) + b"\2"
    assert await stream.ask(mqtt(0x82, b"\0\5" + topics), 6) == "900400050001"
    here.aep.command(device, "one")
    packet = mqtt(0x32, short(topic) + b"\0\1one")
    assert await stream.get(len(packet)) == packet
    assert await stream.ask(mqtt(0xA2, b"\0\6" + short("topic/event")), 4) == "b0020006"


@real()
async def test_silence_of_one_and_a_half_keep_alives_ends_the_session(here, monkeypatch):
    device, stream = await connected(here, keep_alive=2)
    begin = here.loop.time()
    assert await stream.closed() == b""
    assert 2.5 < here.loop.time() - begin < 4
    assert here.aep.registrations(device)[0].reason == "no packet for 3 s"


@real()
async def test_a_connection_without_connect_is_closed(here, monkeypatch):
    monkeypatch.setattr(front, "LOGIN_TIME", 0.1)

    assert await (await here.connect("mqtt")).closed() == b""
    assert "no login" in here.reasons("malformed")[0]


# hostile bytes


@pytest.mark.parametrize(("wire", "reason"), [
    ("c000", "PINGREQ before CONNECT"), ("0000", "0x00"), ("f000", "0xf0"), ("20020000", "0x20"), ("d000", "0xd0"),
    ("11", "0x11"), ("1080808080", "more than four"), ("10ffff7f", "longer than"), ("1000", "another protocol"),
    ("100700044d51545404", "CONNECT"), ("474554202f20485454502f312e310d0a", "0x47"),
    (mqtt(0x10, b"\0\4MQTT\4\2\0\0").hex(), "CONNECT"), (mqtt(0x10, b"\0\4MQTT\4\3\0\0\0\1a").hex(), "reserved"),
    (mqtt(0x10, b"\0\4MQTT\4\x42\0\0\0\1a\0\1b").hex(), "without a user name"),
    (mqtt(0x10, b"\0\4MQTT\4\2\0\0\0\5a").hex(), "CONNECT"), (mqtt(0x10, b"\0\4MQTT\4\2\0\0\0\1ab").hex(), "wrong"),
    (mqtt(0x10, b"\0\4MQTT\4\2\0\0\0\2\xff\xfe").hex(), "wrong"),
    (mqtt(0x10, b"\0\4MQTT\4\xc2\0\0\0\1a\0\1b").hex(), "missing"),
    (mqtt(0x10, b"\0\4MQTT\4\x06\0\0\0\1a\0\1b").hex(), "CONNECT"),
])
@real()
async def test_what_no_device_sends_first_closes_the_connection_with_a_reason(here, wire, reason):
    here.create(protocol="mqtt")
    stream = await here.connect("mqtt")
    stream.send(wire)
    stream.writer.write_eof()
    assert await stream.closed() == b""
    assert reason in here.reasons("malformed")[0]
    assert any(reason in row.note for row in here.aep.trace())


@pytest.mark.parametrize(("wire", "reason"), [
    (publish("t", b"1", 3).hex(), "QoS 3"), (publish("", b"1").hex(), "empty"), (publish("a\0", b"1").hex(), "zero"),
    (publish("a/#", b"1").hex(), "wildcard"), (publish("t", b"1", 1, 0).hex(), "packet id 0"),
    (mqtt(0x30, b"\0\x09ab").hex(), "PUBLISH"), (mqtt(0x30, b"\0").hex(), "PUBLISH"),
    (mqtt(0x30, b"\0\2\xff\xfe{}").hex(), "wrong"), (mqtt(0x30, b"x" * 5000).hex(), "longer than"),
    (mqtt(0x82, b"\0\1").hex(), "no topic"), (mqtt(0x82, b"\0\1\0\1a\3").hex(), "QoS 3"),
    *[(mqtt(0x82, b"\0\1" + short(text) + b"\1").hex(), f"no topic filter: {text!r}")
      for text in ("", "a\0b", "a/#/b", "#/a", "a#", "+a", "a/b+/c")],
    (mqtt(0xA2, b"\0\1" + short("a/#/b")).hex(), "no topic filter"),
    (mqtt(0x80, b"\0\1\0\1a\0").hex(), "0x80"), (mqtt(0xA2, b"\0\1\0\5a").hex(), "UNSUBSCRIBE"),
    (mqtt(0x40, b"\0").hex(), "PUBACK"), (mqtt(0xC0, b"x").hex(), "wrong"), (mqtt(0xE0, b"x").hex(), "wrong"),
    (connect("d", "t").hex(), "a second time"), ("90030001" + "00", "0x90"),
])
@real()
async def test_what_it_may_not_send_later_ends_its_session(here, wire, reason):
    device, stream = await connected(here)
    stream.send(wire)
    assert await stream.closed() == b"" and not here.aep.device(device).online
    assert reason in here.reasons("malformed")[0] and reason in here.aep.registrations(device)[0].reason


def test_any_bytes_of_a_trace_have_a_line():
    draw = random.Random(8)
    for _ in range(5000):
        raw = bytes([draw.randrange(256), draw.randrange(40)]) + draw.randbytes(draw.randint(0, 30))
        assert mqtt_packets.one_line(raw[:draw.randint(0, len(raw))])


def test_any_bytes_are_cut_and_read_or_refused():
    draw = random.Random(7)
    refused = read = 0
    samples = [connect("15436586863318069987727", TOKEN), publish("topic/data", JSON, 1), publish("t", b"", 2),
               b"\xc0\0", mqtt(0x82, b"\0\1" + short("a/b") + b"\1"), mqtt(0xA2, b"\0\1" + short("a")),
               mqtt(0x40, b"\0\1")]
    for _ in range(4000):
        data = bytearray(draw.choice(samples))
        for _ in range(draw.randint(0, 3)):
            data[draw.randrange(len(data))] = draw.randrange(256)
        if draw.random() < 0.3:
            data = data[:draw.randint(1, len(data))] + draw.randbytes(draw.randint(0, 9))
        try:
            raw = mqtt_packets.next_packet(data)
            if raw is not None:
                assert data.startswith(raw) and mqtt_packets.one_line(raw)
                assert mqtt_packets.decoded(raw) is not None
                read += 1
        except mqtt_packets.BadFrame as error:
            assert str(error)
            refused += 1
    assert refused > 1000 and read > 500


@pytest.mark.parametrize("seed", range(3))
@real()
async def test_a_storm_of_random_packets_leaves_the_front_serving(here, seed):
    device = here.create(protocol="mqtt")
    draw = random.Random(seed)
    for n in range(25):
        stream = await here.connect("mqtt")
        if n % 2:
            assert await stream.ask(connect(device, TOKEN), 4) == "20020000"
        body = draw.randbytes(draw.randint(0, 200))
        stream.send(mqtt(draw.choice((0x10, 0x30, 0x32, 0x34, 0x40, 0x82, 0xA2, 0xC0, 0x62)), body))
        stream.writer.write_eof()
        await stream.closed()
        await here.until(lambda: not here.aep.device(device).online)
    stream = await here.connect("mqtt")
    assert await stream.ask(connect(device, TOKEN), 4) == "20020000"
