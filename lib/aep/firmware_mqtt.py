"""AEP over MQTT and MQTTS by the firmware's client (setting mqtt.engine: native): the session that the cycle sees, on
top of the supervised client of native_mqtt.py.

What this image's `publish` says is believed only where a probe has shown that it tells the truth. The probe is made
once for each version of the firmware, with its first connection: two messages `{}` to the topic `probe`; what it showed
is saved.
"""

from aep import session as s
from aep import topics
from aep.connected import Connected
from aep.native_mqtt import Native
from aep.stream_faults import ConnectionLost
from link import cell

_TOPIC = "probe"


class Session(Connected):
    """See aep/session.py."""

    _stream = None  # type: Native  # type: ignore[assignment]

    def send(self, payload: bytes, until: int, sure: bool = False, service: int = 0, task=None) -> int:
        """One report or answer; HANDED_OVER where this image does not say whether it was acknowledged. Raises
        NotConfirmed or ConnectionLost."""
        stream = self._there()
        qos = 1 if sure or self._settings["report.type"] == "con" else 0
        topic = topics.topic_of(self._settings, service)
        receipt = self._ended(lambda until: stream.publish(topic, payload, qos, until), until)
        self._heard = self._signed = self.clock.now()
        return receipt

    def receive(self, until: int, asleep: bool = False):
        """As Connected's. Asleep, others have run: what found no room before them is asked for by another connection.
        In buffer mode app.py may not have read: it waits for the next wake."""
        if asleep and self._settings["downlink.mode"] == "push" and self._there().untaken:
            raise ConnectionLost("a command that found no room comes again")
        return Connected.receive(self, until, asleep)

    def _lives(self, until: int) -> bool:
        if self._stream.untaken:
            self.close()
            return False
        return Connected._lives(self, until)

    def _connect(self, address: str):
        found = self._settings
        image = cell.firmware()
        if self._image != image:
            self._image = image
            self._honest = 0
        ca = None
        if found["protocol"] == "mqtts":  # the firmware names the server that it was given to TLS
            address, ca = found["server.host"], topics.ca_of(found, self.clock)
        return Native(found, address, self.clock, self._honest == topics.PROVEN, ca, self._arrived)

    def _greet(self, until: int) -> None:
        stream = self._stream
        stream.connect(until)
        if not self._honest:
            self._honest = topics.PROVEN if stream.probe(_TOPIC, b"{}", until) else topics.DISPROVEN
        if self._settings["mqtt.subscribe"]:
            stream.subscribe(self._settings["mqtt.subscribe"], until)

    def _sign(self, until: int) -> None:
        self._there().ping(until)
        self._signed = self.clock.now()

    def _silence(self, settings: dict) -> int:
        return settings["mqtt.keepalive"]

    def _take(self, data) -> None:
        """It was kept when it came."""

    def _arrived(self, topic: bytes, payload: bytes) -> bool:
        """A downlink, before it is acknowledged; False where there is no room for it now. Raises Flooded, UnicodeError
        on what no platform sends."""
        self._counted()
        parts = topics.downlink(self._settings, topic.decode(), payload)
        return self._down(*parts) != s.BUSY
