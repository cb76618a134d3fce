"""MQTT 3.1.1 packets as the platform takes them: amqtt's codec, and the checks it leaves out.

amqtt is used as a codec, as aiocoap is for LwM2M; its Broker is not, because in 0.12.1 it does not do what AEP does:
whoever knows a client id ends that device's session before any password is looked at; a clean session leaves the former
connection open; a keep-alive that is over closes nothing; PUBACK goes out before anything is stored; a command may only
be published to who has subscribed, and waits five seconds for its PUBACK, no more; CONNACK is 0 or 5; one device hears
what another publishes; a timer of one second runs for ever; QoS 3 and packets that end too early keep the connection.
"""

from collections.abc import Coroutine, Mapping
from typing import Any

from amqtt.adapters import BufferReader
from amqtt.errors import AMQTTError, CodecError, MQTTError, NoDataError
from amqtt.mqtt import packet_class
from amqtt.mqtt.connack import ConnackPacket
from amqtt.mqtt.packet import (
    CONNACK,
    CONNECT,
    DISCONNECT,
    PINGREQ,
    PINGRESP,
    PUBACK,
    PUBCOMP,
    PUBLISH,
    PUBREC,
    PUBREL,
    SUBACK,
    SUBSCRIBE,
    UNSUBACK,
    UNSUBSCRIBE,
    MQTTFixedHeader,
)
from amqtt.mqtt.pingresp import PingRespPacket
from amqtt.mqtt.puback import PubackPacket
from amqtt.mqtt.pubcomp import PubcompPacket
from amqtt.mqtt.publish import PublishPacket
from amqtt.mqtt.pubrec import PubrecPacket
from amqtt.mqtt.suback import SubackPacket
from amqtt.mqtt.subscribe import SubscribePacket
from amqtt.mqtt.unsuback import UnsubackPacket
from amqtt.mqtt.unsubscribe import UnsubscribePacket

from tools.ctwing.streams import BadFrame

__all__ = [
    "CONNACK", "CONNECT", "DISCONNECT", "PINGREQ", "PINGRESP", "PUBACK", "PUBCOMP", "PUBLISH", "PUBREC", "PUBREL",
    "SUBACK", "SUBSCRIBE", "UNSUBSCRIBE", "ConnackPacket", "PingRespPacket", "PubackPacket", "PubcompPacket",
    "PublishPacket", "PubrecPacket", "SubackPacket", "SubscribePacket", "UnsubackPacket", "UnsubscribePacket",
]

FLAGS = {CONNECT: 0, PUBACK: 0, PUBREC: 0, PUBREL: 2, PUBCOMP: 0, SUBSCRIBE: 2, UNSUBSCRIBE: 2, PINGREQ: 0,
         DISCONNECT: 0}
"""The low bits of the first byte (MQTT 3.1.1 §2.2.2), for what a client may send; PUBLISH has its own."""
BROKER_FLAGS = {CONNACK: 0, PUBACK: 0, PUBREC: 0, PUBCOMP: 0, SUBACK: 0, UNSUBACK: 0, PINGRESP: 0}
"""The same for what a broker may send that has no message of QoS 2 for its client."""
NAMES = ("type 0", "CONNECT", "CONNACK", "PUBLISH", "PUBACK", "PUBREC", "PUBREL", "PUBCOMP", "SUBSCRIBE", "SUBACK",
         "UNSUBSCRIBE", "UNSUBACK", "PINGREQ", "PINGRESP", "DISCONNECT", "type 15")
PACKET_LIMIT = 4096  # bytes; AEP's own limit is unknown, its SDK sends up to 255 of topic and 1024 of payload (§3.1)
PROTOCOL, OLD_PROTOCOL = b"\x00\x04MQTT\x04", b"\x00\x06MQIsdp"


def kind_of(raw: bytes) -> int:
    return raw[0] >> 4


def next_packet(data: bytes | bytearray, allowed: Mapping[int, int] = FLAGS) -> bytes | None:
    """The first whole packet of these bytes, a client's or such as are `allowed`, None where more must come; raises
    BadFrame."""
    kind, flags = data[0] >> 4, data[0] & 15
    if kind != PUBLISH and allowed.get(kind) != flags:
        raise BadFrame(f"0x{data[0]:02x} begins no packet that a {'client' if allowed is FLAGS else 'broker'} sends")
    if kind == PUBLISH and flags & 6 == 6:
        raise BadFrame("PUBLISH with QoS 3")
    length = 0
    for at in range(1, 5):
        if len(data) <= at:
            return None
        length |= (data[at] & 0x7F) << 7 * (at - 1)
        if at + 1 + length > PACKET_LIMIT:
            raise BadFrame(f"{NAMES[kind]} is longer than {PACKET_LIMIT} bytes")
        if not data[at] & 0x80:
            return bytes(data[:at + 1 + length]) if len(data) > at + length else None
    raise BadFrame(f"{NAMES[kind]} with a length of more than four bytes")


def decoded(raw: bytes) -> Any:
    """amqtt's packet; raises BadFrame for what is none, or would not be written so."""
    try:
        packet = _now(_read(raw))
    except (AMQTTError, MQTTError, CodecError, NoDataError, ValueError) as error:
        raise BadFrame(f"{NAMES[kind_of(raw)]}: {error}") from None
    if kind_of(raw) == CONNECT and packet.client_id_is_random:
        packet.payload.client_id = ""  # amqtt draws one
    if packet.to_bytes() != raw:
        raise BadFrame(f"{NAMES[kind_of(raw)]}: a length or a text in it is wrong")
    why = _checked(kind_of(raw), packet)
    if why:
        raise BadFrame(f"{NAMES[kind_of(raw)]}: {why}")
    return packet


async def _read(raw: bytes) -> Any:
    reader = BufferReader(raw)
    header = await MQTTFixedHeader.from_stream(reader)
    if header is None:
        raise NoDataError("cut short")
    return await packet_class(header).from_stream(reader, header)


def _now(work: Coroutine[Any, Any, Any]) -> Any:
    """What a coroutine returns that waits for nothing: a buffer has all its bytes at once."""
    try:
        work.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("a buffer was waited for")


def _checked(kind: int, packet: Any) -> str:
    """What the standard forbids and the codec lets pass; "" where nothing."""
    if kind == CONNECT and packet.reserved_flag:
        return "the reserved flag is set [MQTT-3.1.2-3]"
    if kind == CONNECT and _lacks(packet):
        return "a field that its flags announce is missing"
    if kind == CONNECT and packet.password_flag and not packet.username_flag:
        return "a password without a user name [MQTT-3.1.2-22]"
    if kind == PUBLISH and (not packet.topic_name or "\0" in packet.topic_name):
        return "the topic is empty or has a zero in it [MQTT-4.7.3-1]"
    if kind in (PUBLISH, SUBSCRIBE, UNSUBSCRIBE) and packet.variable_header.packet_id == 0:
        return "packet id 0 [MQTT-2.3.1-1]"
    if kind in (SUBSCRIBE, UNSUBSCRIBE) and not packet.payload.topics:
        return "no topic [MQTT-3.8.3-3]"
    filters = packet.payload.topics if kind in (SUBSCRIBE, UNSUBSCRIBE) else []
    for one in filters:
        text = one if kind == UNSUBSCRIBE else one[0]
        if not _filters(text):
            return f"no topic filter: {text[:40]!r} [MQTT-4.7]"
    if kind == SUBSCRIBE and any(qos > 2 for _, qos in packet.payload.topics):
        return "QoS 3 or more [MQTT-3.8.3-4]"
    return ""


def _filters(text: str) -> bool:
    """Whether this is a topic filter: # is a level by itself and the last, + one by itself (MQTT 3.1.1 §4.7.1)."""
    *levels, last = text.split("/")
    wild = any("#" in one or ("+" in one and one != "+") for one in levels)
    return bool(text) and "\0" not in text and not wild and (last in ("#", "+") or not set("#+") & set(last))


def _lacks(packet: Any) -> bool:
    return ((packet.username_flag and packet.username is None) or (packet.password_flag and packet.password is None)
            or (packet.will_flag and packet.will_message is None))


def one_line(raw: bytes) -> str:
    """A packet for a person, whoever sent it."""
    kind = kind_of(raw) if raw else 0
    try:
        packet = _now(_read(raw))
    except (AMQTTError, MQTTError, CodecError, NoDataError, ValueError, IndexError) as error:
        return f"{NAMES[kind]}: {error}"
    if kind == PUBLISH:
        head = f"PUBLISH QoS {packet.qos}{' DUP' * packet.dup_flag}"
        mid = f" id {packet.packet_id}" if packet.packet_id is not None else ""
        return f"{head}{mid} {packet.topic_name}: {packet.data[:200]!r}"
    if kind == CONNECT:
        return (f"CONNECT {packet.client_id}, keep-alive {packet.keep_alive} s"
                f"{', clean session' * packet.clean_session_flag}")
    if kind == 2:
        return f"CONNACK {packet.variable_header.return_code}"
    if kind in (SUBSCRIBE, UNSUBSCRIBE):
        return f"{NAMES[kind]} id {packet.variable_header.packet_id} {packet.payload.topics}"
    identity = getattr(packet.variable_header, "packet_id", None)
    return NAMES[kind] + (f" id {identity}" if identity is not None else "")
