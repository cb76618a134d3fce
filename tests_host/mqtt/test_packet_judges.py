"""The codec against another: amqtt's, packet by packet in both directions, and bytes from anyone against a second
reading of them."""

import asyncio

from amqtt.adapters import BufferReader
from amqtt.mqtt import packet_class
from amqtt.mqtt.connack import ConnackPacket
from amqtt.mqtt.packet import MQTTFixedHeader
from amqtt.mqtt.pingresp import PingRespPacket
from amqtt.mqtt.puback import PubackPacket
from amqtt.mqtt.publish import PublishPacket
from amqtt.mqtt.suback import SubackPacket
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mqtt import packet as p
from tests_host.mqtt import reference
from tests_host.mqtt.fuzzing import KINDS, Input, heard

sure = settings(derandomize=True, deadline=None, max_examples=200)  # the same cases in every run
hostile = settings(sure, max_examples=1000)

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=60)
TOPIC = st.text(st.characters(exclude_characters="\0+#", exclude_categories=["Cs"]), min_size=1, max_size=60)
NUMBER = st.integers(1, 0xFFFF)
PAYLOAD = st.binary(max_size=300) | st.binary(min_size=16200, max_size=16500)


def theirs(data):
    """The packet that amqtt reads, all of these bytes."""

    async def read():
        reader = BufferReader(data)
        fixed = await MQTTFixedHeader.from_stream(reader)
        assert len(data) == fixed.bytes_length + fixed.remaining_length
        return await packet_class(fixed).from_stream(reader, fixed_header=fixed)

    return asyncio.run(read())


def ours(packet):
    """The event of a packet that amqtt wrote."""
    data = bytes(packet.to_bytes())
    start, end = p.first(data, 0)
    assert end == len(data)
    return p.decode(data, 0, start, end)


@sure
@given(TEXT, TEXT, TEXT, st.booleans(), st.integers(0, 0xFFFF))
def test_amqtt_reads_our_connect(client_id, user, password, clean, keep_alive):
    read = theirs(p.connect(client_id, user, password, clean, keep_alive))
    assert (read.proto_name, read.proto_level, read.reserved_flag) == ("MQTT", 4, False)
    assert (read.will_flag, read.will_qos, read.will_retain_flag) == (False, 0, False)
    assert (read.username_flag, read.username, read.password_flag, read.password) == (True, user, True, password)
    assert (read.clean_session_flag, read.keep_alive) == (clean, keep_alive)
    assert read.client_id == client_id or not client_id  # amqtt gives such a client one


@sure
@given(TOPIC, PAYLOAD, st.integers(0, 1), NUMBER, st.booleans())
def test_amqtt_reads_our_publish(topic, payload, qos, number, dup):
    data = p.publish(topic, payload, qos, number, dup)
    read = theirs(data)
    assert (read.topic_name, read.data or b"", read.qos, read.retain_flag) == (topic, payload, qos, False)
    assert (read.packet_id, read.dup_flag) == ((number, dup) if qos else (None, False))
    same = PublishPacket.build(topic, payload, read.packet_id, read.dup_flag, qos, False)
    assert data == bytes(same.to_bytes())


@sure
@given(NUMBER, TOPIC, st.integers(0, 1))
def test_amqtt_reads_our_subscribe_and_puback(number, topic, qos):
    read = theirs(p.subscribe(number, topic, qos))
    assert (read.variable_header.packet_id, read.payload.topics) == (number, [(topic, qos)])
    assert theirs(p.acknowledge(number)).packet_id == number


def test_amqtt_reads_our_pingreq_and_disconnect():
    assert [type(theirs(data)).__name__ for data in (p.PINGREQ, p.DISCONNECT)] == ["PingReqPacket", "DisconnectPacket"]


@sure
@given(TOPIC, st.binary(max_size=800), st.integers(0, 1), NUMBER, st.booleans(), st.booleans())
def test_we_read_amqtts_publish(topic, payload, qos, number, dup, retain):
    packet = PublishPacket.build(topic, payload, number if qos else None, dup and qos == 1, qos, retain)
    assert ours(packet) == (p.MESSAGE, topic, payload, qos, number if qos else 0, dup and qos == 1)


@sure
@given(NUMBER, st.sampled_from([0, 1, 0x80]))
def test_we_read_amqtts_puback_and_suback(number, code):
    assert ours(PubackPacket.build(number)) == (p.ACKED, number)
    assert ours(SubackPacket.build(number, [code])) == (p.SUBSCRIBED, number, code)


def test_we_read_amqtts_connack_and_pingresp():
    assert ours(PingRespPacket.build()) == (p.PONG,)
    for present in (0, 1):
        assert ours(ConnackPacket.build(present, 0)) == (p.CONNECTED, present == 1)
    for code in range(1, 6):
        assert ours(ConnackPacket.build(0, code)) == (p.REFUSED, code)


HOSTILE = st.binary(max_size=60) | st.tuples(
    st.sampled_from([0x20, 0x30, 0x32, 0x3A, 0x40, 0x90, 0xD0]), st.binary(max_size=80)
).map(lambda parts: bytes([parts[0], len(parts[1])]) + parts[1])


@hostile
@given(st.lists(HOSTILE, max_size=4).map(b"".join), st.integers(1, 20), st.booleans())
@example(b"\x30\x80", 1, True)
@example(b"\x32\x05\x00\x01t\x00\x00", 2, False)
@example(b"\x30\xff\xff\xff\xff\x00", 9, True)
def test_bytes_from_anyone_are_what_the_reference_takes_them_for(data, size, clean):
    data = b"\x20\x02\x00\x00" + data
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    events, broken = heard(Input(True, clean, False, pieces))
    assert ([(KINDS[event[0]], *event[1:]) for event in events], broken) == reference.read(data, True, clean)
