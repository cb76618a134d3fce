"""The platform's MQTT front: who may connect, what comes up on which topic, how commands go down (ctwing.md §3).

The device need not subscribe: the platform has done that for it, so commands are published to whoever is connected.
Packets are amqtt's (mqtt_packets.py says why its broker is not). The platform keeps no MQTT session: `session present`
is never set, and what a device has not acknowledged goes back to the command cache. Wills and the retain flag are taken
and mean nothing. Unknown of AEP, and decided here: a newcomer takes its device's connection over, as MQTT says; an id
nobody has is CONNACK 2, a wrong token 4, a device of another protocol or a cancelled one 5.
"""

import asyncio
from typing import Any

from tools.ctwing import mqtt_packets as p
from tools.ctwing import store as db
from tools.ctwing import things
from tools.ctwing.faults import Faults
from tools.ctwing.store import Command, Device, Store
from tools.ctwing.streams import BadFrame, Connection, Link, StreamFront
from tools.things import decode
from tools.things.model import ModelError
from tools.world.events import Events

CONTROL_TOPIC = "device_control"  # ctwing.md §3.2; a DTU subscribes to a longer one that ends so
TOPIC, PAYLOAD = 255, 1024  # bytes at most, as AEP's own SDK has it (ctwing.md §3.1); the platform's are unknown
LOGIN_TIME = 30.0  # seconds for a CONNECT; an estimate
TAKEN_OVER = "another connection of the device took over"
ACCEPTED, BAD_PROTOCOL, BAD_IDENTIFIER, UNAVAILABLE, BAD_PASSWORD, NOT_AUTHORISED = range(6)  # MQTT 3.1.1 §3.2.2.3


class MqttFront(StreamFront):
    """`wrapped`: transparent commands go as {"taskId": …, "payload": …}, not bare (ctwing.md §10: unknown)."""

    silence = "no packet"
    endless = b"\x32\xff\xff\xff\x7f"

    def __init__(self, loop: asyncio.AbstractEventLoop, events: Events, store: Store, faults: Faults, *,
                 wrapped: bool = False) -> None:
        super().__init__(loop, events, store, faults)
        self.wrapped = wrapped
        self._ids: dict[Link, int] = {}  # of the command under way
        self._unreleased: dict[Link, set[int]] = {}  # QoS 2 messages that are stored, and may come again

    def connected(self, connection: Connection) -> None:
        super().connected(connection)
        self.hurries(connection, LOGIN_TIME)

    def cut(self, data: bytearray) -> bytes | None:
        return p.next_packet(data)

    def received(self, connection: Connection, raw: bytes, row: int) -> None:
        try:
            self._received(connection, raw, row)
        except BadFrame as error:
            self.store.note(row, str(error))
            self.malformed(connection, b"", str(error))

    def _received(self, connection: Connection, raw: bytes, row: int) -> None:
        kind, link = p.kind_of(raw), connection.link
        if (kind == p.CONNECT) == (link is not None):
            raise BadFrame(f"{p.NAMES[kind]} {'a second time' if link else 'before CONNECT'}")
        if link is None:
            self._connect(connection, raw, row)
            return
        packet = p.decoded(raw)
        self.alive(link)
        if kind == p.PUBLISH:
            self._publish(link, packet, row)
        elif kind == p.PUBACK:
            self._puback(link, packet.packet_id)
        elif kind == p.DISCONNECT:
            self.end(link.device.id, "disconnected")
        else:
            self._answer(link, kind, packet)

    # connecting

    def _connect(self, connection: Connection, raw: bytes, row: int) -> None:
        body = raw[2 if raw[1] < 0x80 else 3:]
        if not body.startswith(p.PROTOCOL):
            if not body.startswith((p.PROTOCOL[:-1], p.OLD_PROTOCOL)):
                raise BadFrame("CONNECT: another protocol than MQTT")
            self._connack(connection, BAD_PROTOCOL)
            self.refused(connection, row, None, BAD_PROTOCOL, "only MQTT 3.1.1 is served (protocol level 4)")
            return
        packet = p.decoded(raw)
        name = packet.client_id
        device = self.store.device(name)
        connection.who = device.id if device is not None else ""
        code, why = self._judged(name, device, packet)
        if code or device is None:
            self._connack(connection, code)
            self.refused(connection, row, device, code, why)
            return
        self.end(device.id, TAKEN_OVER)
        self._accept(connection, device, packet, row)

    def _accept(self, connection: Connection, device: Device, packet: Any, row: int) -> None:
        self._connack(connection, ACCEPTED)
        self.logged_in(self._link(connection, device, packet), row)

    def _link(self, connection: Connection, device: Device, packet: Any) -> Link:
        product = self.store.product(device.product)
        assert product is not None
        # A client may be silent for one and a half times its keep-alive, in whole s here [MQTT-3.1.2-24]
        return Link(device, product, connection.address, connection.peer, (packet.keep_alive * 3 + 1) // 2,
                    connection.name, connection)

    def _judged(self, name: str, device: Device | None, packet: Any) -> tuple[int, str]:
        if device is None:
            return BAD_IDENTIFIER, f"client id {name[:80]!r} is no device id (product id and device number)"
        product = self.store.product(device.product)
        if product is None or product.protocol != "mqtt" or device.life_cycle == db.CANCELLED:
            return NOT_AUTHORISED, f"{name} is no device of an MQTT product in use"
        if not packet.password_flag or packet.password != device.token:
            return BAD_PASSWORD, f"the password of {name} is not its token (特征串)"
        refused = self.faults.take("refuse-connect", name)
        if refused:
            return refused, "the switch refuse-connect is on"
        return ACCEPTED, ""

    def _connack(self, connection: Connection, code: int) -> None:
        connection.send(p.ConnackPacket.build(0, code).to_bytes())

    # what comes up

    def _publish(self, link: Link, packet: Any, row: int) -> None:
        if self.withheld(link):
            return
        mid = packet.packet_id or 0
        stored = self._unreleased.setdefault(link, set())
        number = None
        if packet.qos < 2 or mid not in stored:
            number = self._report(link, packet, row)
        if packet.qos == 2:
            stored.add(mid)
        if packet.qos and not self.faults.take("drop-ack", link.device.id):
            answer = p.PubackPacket if packet.qos == 1 else p.PubrecPacket
            link.connection.send(answer.build(mid).to_bytes())
            if number is not None:
                self.store.acknowledge(number, self.loop.time())

    def _report(self, link: Link, packet: Any, row: int) -> int | None:
        """Stores a report, or drops it as the platform does: without a word to the device."""
        topic = packet.topic_name
        for what, size, most in (("topic", len(topic.encode()), TOPIC), ("payload", len(packet.data), PAYLOAD)):
            if size > most:
                self.dropped(link, row, packet.data, f"{topic[:40]}: a {what} of {size} bytes, {most} at most")
                return None
        try:
            decode.json_of(packet.data)
            found = things.read(link.product, topic, packet.data)
        except ModelError as error:
            self.dropped(link, row, packet.data, f"{topic}: {error}")
            return None
        return self.uplink(link, packet.data, f"{link.binding} QoS {packet.qos}", found, mid=packet.packet_id or 0,
                           topic=topic)

    def _answer(self, link: Link, kind: int, packet: Any) -> None:
        send = link.connection.send
        if kind == p.PINGREQ:
            if not self.faults.take("silent-beat", link.device.id):
                send(p.PingRespPacket.build().to_bytes())
        elif kind == p.SUBSCRIBE:
            topics = packet.payload.topics
            link.observed.update((topic, topic) for topic, _ in topics)
            send(p.SubackPacket.build(packet.variable_header.packet_id, [min(qos, 1) for _, qos in topics]).to_bytes())
        elif kind == p.UNSUBSCRIBE:
            for topic in packet.payload.topics:
                link.observed.pop(topic, None)
            send(p.UnsubackPacket.build(packet.variable_header.packet_id).to_bytes())
        elif kind == p.PUBREL:
            self._unreleased.get(link, set()).discard(packet.packet_id)
            send(p.PubcompPacket.build(packet.packet_id).to_bytes())
        else:
            self._stray(link, f"{p.NAMES[kind]} of a message that was not sent with QoS 2")

    # commands

    def deliver(self, link: Link, command: Command) -> bool:
        mid = self._ids[link] = self._ids.get(link, 0) % 0xFFFF + 1
        topic, body = self._message(link, command)
        link.connection.send(p.PublishPacket.build(topic, body, mid, False, 1, False).to_bytes())
        return True

    def _message(self, link: Link, command: Command) -> tuple[str, bytes]:
        """Topic and payload of a command."""
        service = things.service_named(link.product, command.service)
        topic = next((one for one in link.observed if one.endswith(f"/dn/{CONTROL_TOPIC}")), CONTROL_TOPIC)
        if service is not None:
            topic = service.identifier
        return topic, things.wrapped(command) if self.wrapped or service is not None else command.content

    def _puback(self, link: Link, mid: int) -> None:
        # One that is not under way any more was given up and waits to be sent again
        late = next((one for one in self.store.commands(link.device.id, db.SAVED) if one.sent_at), None)
        if mid != self._ids.get(link) or (link.busy or late) is None:
            self._stray(link, f"PUBACK of id {mid}, which is not under way")
        elif link.busy is not None:
            self.acknowledged(link, db.DELIVERED, "PUBACK")
        elif late is not None:
            self.log.finish(late.id, db.DELIVERED, "PUBACK")

    def _stray(self, link: Link, text: str) -> None:
        self._emit("stray", text, device=link.device.id)

    def end(self, device: str, reason: str) -> None:
        link = self._links.get(device)
        super().end(device, reason)
        if link is not None:
            self._ids.pop(link, None)
            self._unreleased.pop(link, None)
