"""The MQTT front with a real mosquitto behind it: AEP's door, and another's broker.

Who may connect, the trace, online rows and fault switches are mqtt.py's. From there each connection is relayed to a
mosquitto (mosquitto.py): CONNACK, acknowledgements, keep-alive, sessions and redelivery are its own. It knows no
publisher, so each device has topics of its own there, which the relay puts before what the device says and takes away
again: `<device>/up/<topic>` for its messages, `<device>/own/<filter>` for its subscriptions, which get nothing, and
`<device>/down/<n>/<topic>` for the n-th command given, to which the relay subscribes in the device's name.

A report is stored once mosquitto has acknowledged it, and only then is the device told; one of QoS 0 in passing.
Otherwise than with mqtt.py alone:
- the session of a device that connects without clean session stays, `session present` says so, and commands that it has
  not acknowledged come again with DUP when it is back: they stay SENT, and expire by their ttl. Commands given while it
  is off-line wait in AEP's cache all the same;
- commands go as they come, none waits for the PUBACK of the one before; without one they are SENT for as long as the
  connection is there;
- subscriptions are granted QoS 2; a topic may have no more than 200 levels; mosquitto closes, without a reason, what it
  takes for wrong. Its log is among the events.

In real time only: the simulated world has no such process.
"""

import asyncio
import itertools
import ssl
from dataclasses import dataclass, field
from typing import Any

from tools.ctwing import mqtt_packets as p
from tools.ctwing import store as db
from tools.ctwing.checks import AepError
from tools.ctwing.faults import Faults
from tools.ctwing.mosquitto import Mosquitto, Pipe, hello
from tools.ctwing.mqtt import TAKEN_OVER, UNAVAILABLE, MqttFront
from tools.ctwing.store import Command, Device, Store
from tools.ctwing.streams import BadFrame, Connection, Link
from tools.world.clock import WorldLoop
from tools.world.events import Events

OUR_ID = 0xFFFF  # of the SUBSCRIBE in a device's name; its SUBACK is the first of a connection


@dataclass
class Kept:
    """What belongs to a session of mosquitto's: QoS 2 messages that are stored and may come again, subscriptions."""

    unreleased: set[int] = field(default_factory=set)
    observed: dict[str, str] = field(default_factory=dict)


class Relay(Pipe):
    """A device's connection to mosquitto. Until that has subscribed, what the device says waits in `early`."""

    def __init__(self, front: "RelayFront", link: Link, packet: Any, row: int) -> None:
        device = link.device.id
        subscribe = p.SubscribePacket.build([(f"{device}/down/#", 1)], OUR_ID).to_bytes()
        super().__init__(hello(device, packet.clean_session_flag, packet.keep_alive) + subscribe)
        self.front, self.link, self.row = front, link, row
        self.clean = packet.clean_session_flag
        self.accepted = False
        self.early: list[tuple[bytes, int]] = []
        self.reports: list[tuple[Any, int]] = []  # of QoS 1 and 2, not yet acknowledged; with their rows of the trace
        self.commands: dict[int, int] = {}  # packet id -> n of those the device has not acknowledged
        self.opening: asyncio.Task[None] | None = None

    def heard(self, raw: bytes) -> None:
        self.front.heard(self, raw)

    def left(self, reason: str) -> None:
        self.front.left(self, reason)

    def pause_writing(self) -> None:
        self.link.connection.transport.pause_reading()

    def resume_writing(self) -> None:
        self.link.connection.transport.resume_reading()

    def close(self) -> None:
        super().close()
        if self.opening is not None:
            self.opening.cancel()


class RelayFront(MqttFront):
    def __init__(self, loop: asyncio.AbstractEventLoop, events: Events, store: Store, faults: Faults, *,
                 wrapped: bool = False) -> None:
        if isinstance(loop, WorldLoop):
            raise AepError("mosquitto runs in real time only, the simulated world has no such process: take broker own")
        super().__init__(loop, events, store, faults, wrapped=wrapped)
        self.broker = Mosquitto(loop, events)
        self._relays: dict[Connection, Relay] = {}
        self._kept: dict[str, Kept] = {}  # by device id
        self._given: dict[int, int] = {}  # n -> command id, while mosquitto may have it for its device
        self._numbers = itertools.count(1)

    async def serve(self, name: str, host: str, port: int, tls: ssl.SSLContext | None = None) -> tuple[str, int]:
        """Raises NoBroker where mosquitto does not run."""
        await self.broker.start()
        return await super().serve(name, host, port, tls)

    def close(self) -> None:
        super().close()
        for relay in self._relays.values():
            relay.close()
        self._relays.clear()
        self.broker.stop()

    # a connection's begin and end

    def _accept(self, connection: Connection, device: Device, packet: Any, row: int) -> None:
        connection.transport.pause_reading()
        relay = self._relays[connection] = Relay(self, self._link(connection, device, packet), packet, row)
        relay.opening = self.loop.create_task(self._open(relay))

    async def _open(self, relay: Relay) -> None:
        try:
            await self.broker.connect(relay)
        except OSError as error:
            self.left(relay, str(error))

    def left(self, relay: Relay, reason: str) -> None:
        """mosquitto is gone, or has done with this device."""
        if relay.accepted:
            self.lost(relay.link.connection, reason)
        else:
            self._connack(relay.link.connection, UNAVAILABLE)
            self.refused(relay.link.connection, relay.row, relay.link.device, UNAVAILABLE, reason)

    def lost(self, connection: Connection, reason: str) -> None:
        super().lost(connection, reason)
        self._part(connection)

    def end(self, device: str, reason: str) -> None:
        link = self._links.get(device)
        super().end(device, reason)
        if link is not None:
            relay = self._part(link.connection)
            for command in self.store.commands(device, db.SENT):
                if relay is None or relay.clean or command.expires <= self.loop.time():
                    self._take_back(command, reason)

    def _part(self, connection: Connection) -> Relay | None:
        relay = self._relays.pop(connection, None)
        if relay is not None:
            relay.close()
        return relay

    def _take_back(self, command: Command, reason: str) -> None:
        """mosquitto may still have it, but it does not reach the device any more."""
        self._given = {n: one for n, one in self._given.items() if one != command.id}
        self.log.take_back(command.id, reason)

    def expects(self, link: Link) -> None:
        """Keep-alives are mosquitto's."""

    # what the device says

    def _received(self, connection: Connection, raw: bytes, row: int) -> None:
        relay, kind = self._relays.get(connection), p.kind_of(raw)
        if relay is None:
            super()._received(connection, raw, row)
        elif kind == p.CONNECT:
            raise BadFrame("CONNECT a second time")
        elif connection.link is None:
            relay.early.append((raw, row))
        else:
            packet = p.decoded(raw)
            self.alive(relay.link)
            self._pass_up(relay, kind, packet, raw, row)

    def _pass_up(self, relay: Relay, kind: int, packet: Any, raw: bytes, row: int) -> None:
        link, device = relay.link, relay.link.device.id
        if kind == p.PUBLISH:
            self._report_up(relay, packet, row)
        elif kind == p.SUBSCRIBE:
            topics = packet.payload.topics
            link.observed.update((topic, topic) for topic, _ in topics)
            own = [(f"{device}/own/{topic}", qos) for topic, qos in topics]
            relay.send(p.SubscribePacket.build(own, packet.variable_header.packet_id).to_bytes())
        elif kind == p.UNSUBSCRIBE:
            for topic in packet.payload.topics:
                link.observed.pop(topic, None)
            left = [f"{device}/own/{topic}" for topic in packet.payload.topics]
            relay.send(p.UnsubscribePacket.build(left, packet.variable_header.packet_id).to_bytes())
        elif kind in (p.PUBREC, p.PUBCOMP):
            self._stray(link, f"{p.NAMES[kind]} of a message that was not sent with QoS 2")
        else:
            relay.send(raw)
            if kind == p.PUBACK:
                self._command_acked(relay, packet.packet_id)
            elif kind == p.PUBREL:
                self._kept[device].unreleased.discard(packet.packet_id)
            elif kind == p.DISCONNECT:
                self.end(device, "disconnected")

    def _report_up(self, relay: Relay, packet: Any, row: int) -> None:
        device = relay.link.device.id
        if self.withheld(relay.link):
            return
        passed = p.PublishPacket.build(f"{device}/up/{packet.topic_name}", packet.data, packet.packet_id,
                                       packet.dup_flag, packet.qos, False)
        relay.send(passed.to_bytes())
        if packet.qos:
            relay.reports.append((packet, row))
        else:
            self._report(relay.link, packet, row)

    def _command_acked(self, relay: Relay, mid: int) -> None:
        n = relay.commands.pop(mid, None)
        if n is None:
            self._stray(relay.link, f"PUBACK of id {mid}, which is not under way")
            return
        command = self.store.command(self._given.pop(n, 0))
        if command is not None and command.status == db.SENT:
            self.log.finish(command.id, db.DELIVERED, "PUBACK")
            if self.faults.take("repeat-commands", relay.link.device.id):
                self.deliver(relay.link, command)

    # what mosquitto says

    def heard(self, relay: Relay, raw: bytes) -> None:
        """Raises BadFrame."""
        kind, packet = p.kind_of(raw), p.decoded(raw)
        if kind == p.CONNACK:
            self._connacked(relay, packet.variable_header, raw)
        elif kind == p.SUBACK and relay.link.connection.link is None:
            self._subscribed(relay)
        elif kind == p.PUBLISH:
            self._command_down(relay, packet)
        elif kind in (p.PUBACK, p.PUBREC):
            self._report_acked(relay, packet.packet_id, raw)
        elif kind != p.PINGRESP or not self.faults.take("silent-beat", relay.link.device.id):
            relay.link.connection.send(raw)

    def _connacked(self, relay: Relay, answer: Any, raw: bytes) -> None:
        connection, device = relay.link.connection, relay.link.device
        relay.accepted = True
        connection.send(raw)
        if answer.return_code:
            self.refused(connection, relay.row, device, answer.return_code, "mosquitto refuses it")
        elif not answer.session_parent:
            self._kept[device.id] = Kept()
            for command in self.store.commands(device.id, db.SENT):
                self._take_back(command, "its session is gone")

    def _subscribed(self, relay: Relay) -> None:
        """The device is on-line: a command that is given now reaches it."""
        link = relay.link
        self.end(link.device.id, TAKEN_OVER)  # where two of them connected at once
        link.observed = self._kept[link.device.id].observed
        self.logged_in(link, relay.row)
        early, relay.early = relay.early, []
        for raw, row in early:
            if relay.open:
                self.received(link.connection, raw, row)
        if relay.open:
            link.connection.transport.resume_reading()

    def _report_acked(self, relay: Relay, mid: int, raw: bytes) -> None:
        link = relay.link
        packet, row = next((one for one in relay.reports if one[0].packet_id == mid), (None, 0))
        number, unreleased = None, self._kept[link.device.id].unreleased
        if packet is not None:
            relay.reports.remove((packet, row))
            if packet.qos < 2 or mid not in unreleased:
                number = self._report(link, packet, row)
            if packet.qos == 2:
                unreleased.add(mid)
        if not self.faults.take("drop-ack", link.device.id):
            link.connection.send(raw)
            if number is not None:
                self.store.acknowledge(number, self.loop.time())

    # commands

    def _proceed(self, link: Link) -> None:
        device = link.device.id
        for command in self.store.commands(device, db.SAVED):
            if self._links.get(device) is not link or self.faults.take("half-open", device):
                return
            self.log.sent(command, f"{len(command.content)} bytes, {link.binding}", task=command.task)
            self.deliver(link, command)

    def deliver(self, link: Link, command: Command) -> bool:
        n = next(self._numbers)
        self._given[n] = command.id
        topic, body = self._message(link, command)
        self.broker.publish(f"{link.device.id}/down/{n}/{topic}", body)
        return True

    def _command_down(self, relay: Relay, packet: Any) -> None:
        """Only the platform publishes what comes here. What was taken back meanwhile, or has expired, is acknowledged
        to mosquitto, and goes no further."""
        _, _, n, topic = packet.topic_name.split("/", 3)
        command = self.store.command(self._given.get(int(n), 0))
        if command is None or command.status in (db.EXPIRED, db.FAILED):
            relay.send(p.PubackPacket.build(packet.packet_id).to_bytes())
            return
        relay.commands[packet.packet_id] = int(n)
        down = p.PublishPacket.build(topic, packet.data, packet.packet_id, packet.dup_flag, packet.qos, False)
        relay.link.connection.send(down.to_bytes())
