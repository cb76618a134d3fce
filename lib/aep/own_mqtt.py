"""AEP over MQTT and MQTTS by our own client: the session that the cycle sees.

A report goes by QoS 1 and is acknowledged by its PUBACK. The platform subscribes for the device, so that commands come
unasked: on `device_control` for a transparent product, on a service's identifier for one with a thing model.
"""

from micropython import const

from aep import refusals, topics
from aep import session as s
from aep.connected import Connected
from aep.stream_faults import BadFrame, NotConfirmed
from link.fault import Fault
from mqtt import client as c
from mqtt import packet as p

_ANSWER = const(10000)  # ms for the answer to CONNECT, SUBSCRIBE or PINGREQ; estimate: TCP repeats meanwhile
_PUBACK = const(20000)  # ms for the answer to a report; estimate


class Session(Connected):
    """See aep/session.py."""

    def __init__(self, settings: dict, saved: dict, clock, numbers, jitter: int, device, keep, note, persist) -> None:
        Connected.__init__(self, settings, saved, clock, numbers, jitter, device, keep, note, persist)
        self._client = c.Client("", "", "", True, 0)  # another with each connection
        self._events = {}  # what has come and somebody waits for: {event: its values}
        self._under_way = ()  # type: tuple  # (packet id, topic, payload) of a report that nobody has acknowledged

    def send(self, payload: bytes, until: int, sure: bool = False, service: int = 0, task=None) -> int:
        """One report or answer. Raises NotConfirmed, ConnectionLost or BadFrame."""
        topic = topics.topic_of(self._settings, service)
        if not sure and self._settings["report.type"] == "non":
            self._client.publish(topic, payload, 0, 0)
            self._flush()
            return s.HANDED_OVER
        # A clean session ended with its connection: what was under way in it is not repeated [MQTT-3.1.2-6]
        again = self._under_way[1:] == (topic, payload) and not self._settings["mqtt.clean"]
        number = self._under_way[0] if again else self._packet_id()
        self._under_way = (number, topic, payload)
        self._client.publish(topic, payload, 1, number, again)
        self._ended(self._confirmed, until)
        self._under_way = ()
        return s.ACKNOWLEDGED

    def _confirmed(self, until: int) -> None:
        """The report under way is acknowledged."""
        if not self._answered(p.ACKED, min(until, self.clock.now() + _PUBACK), self._under_way[0]):
            raise NotConfirmed("no PUBACK")

    def _connect(self, address: str):
        from link.streams import Stream

        found = self._settings
        if found["protocol"] != "mqtts":
            return Stream(address, found["server.port"], self.clock)
        return Stream(address, found["server.port"], self.clock, found["server.host"], topics.ca_of(found, self.clock))

    def _greet(self, until: int) -> None:
        found = self._settings
        identity = found["device.id"]
        self._client = client = c.Client(
            identity, found["mqtt.user"] or identity, found["device.token"], found["mqtt.clean"] == 1,
            found["mqtt.keepalive"],
        )  # fmt: skip
        client.connect()
        if not self._answered(p.CONNECTED, min(until, self.clock.now() + _ANSWER)):
            raise s.Silent("no answer to CONNECT from " + self._server)
        if found["mqtt.subscribe"]:
            client.subscribe(self._packet_id(), found["mqtt.subscribe"], 1)
            if not self._answered(p.SUBSCRIBED, min(until, self.clock.now() + _ANSWER)):
                raise NotConfirmed("no answer to SUBSCRIBE")
            if self._events[p.SUBSCRIBED][1] == p.FAILED:
                raise refusals.Refused("the subscription is refused")

    def _sign(self, until: int) -> None:
        self._client.ping()
        if not self._answered(p.PONG, min(until, self.clock.now() + _ANSWER)):
            raise NotConfirmed("ping not answered")

    def _silence(self, settings: dict) -> int:
        return settings["mqtt.keepalive"]

    def _part(self, stream) -> None:
        self._client.disconnect()
        try:
            stream.send(self._client.take())
        except Fault:  # then it ends without
            pass

    def _answered(self, event: int, until: int, number=None) -> bool:
        """Sends what is to be sent and waits for an event, of this packet id; False at `until`."""
        self._events.pop(event, None)
        self._flush()
        return self._until(
            lambda: event in self._events and (number is None or self._events[event][0] == number), until
        )

    def _wait(self, until: int) -> bool:
        """As Connected's; a wait longer than the keep-alive has signs of life in it [MQTT-3.1.2-23]. That they are
        answered `_sign` alone looks at."""
        due = self.renewal(0, self._settings)
        if due is None or due >= until:
            return Connected._wait(self, until)
        if not Connected._wait(self, due):
            self._client.ping()
            self._flush()
        return True

    def _flush(self) -> None:
        data = self._client.take()
        if data:
            self._send(data)
            self._signed = self.clock.now()  # whatever is sent is a sign of life [MQTT-3.1.2-24]

    def _take(self, data: bytes) -> None:
        good = True
        try:
            self._client.feed(data)
        except p.Malformed:  # what came before it counts
            good = False
        while True:
            event = self._client.next()
            if event is None:
                break
            if event[0] == p.REFUSED:
                raise topics.refused(event[1])
            if event[0] == p.MESSAGE:
                self._counted()
                self._held.append((event[4], event[1], event[2]))
            else:
                self._events[event[0]] = event[1:]
        self._store()
        if not good:
            raise BadFrame("no packet of MQTT's")

    def _store(self) -> None:
        Connected._store(self)
        self._flush()

    def _stored(self, row: tuple) -> bool:
        """What is malformed is acknowledged as well, or it would come with every connection; in the order in which all
        came [MQTT-4.6.0-2]."""
        number, topic, payload = row
        if self._down(*topics.downlink(self._settings, topic, payload)) == s.BUSY:
            return False
        if number:
            self._client.acknowledge(number)
        return True

    def _packet_id(self) -> int:
        """1-65535, never one of before."""
        while True:
            number = self.numbers.next("mid") & 0xFFFF
            if number:
                return number
