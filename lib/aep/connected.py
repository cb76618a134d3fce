"""What sessions over a connection share, MQTT's and TCP's: how it is made, listened to and kept (ctwing.md §3, §4).

A connection costs a handshake and, where it is kept, a sign of life; so with PSM there is one per wake, closed before
the radio connection is released (guide §6.1), and where the device sleeps lightly one that is kept.
"""

from micropython import const

from aep import session as s
from aep.refusals import Flooded
from aep.stream_faults import ConnectionLost, NotConfirmed
from device import events, orders
from link import sockets
from store.shape import shaped

_APART = const(10000)  # ms between two connects: 30 a minute are a ban of two hours (ctwing.md §4.2)
_FLOOD = const(256)  # messages between two of our openings; estimate
_QUEUE = const(8)  # downlinks that wait to be received; more of them say nothing more
_HELD = const(16)  # and that there was no room for: AEP's own SDK queues 5 to 20 (ctwing.md §2.5); estimate
SAVED = {"server": "", "addr": "", "honest": 0, "image": ""}  # type: dict

_last = [-_APART]  # when the last connect was tried, clock milliseconds


def endpoint(settings: dict, imei: str, imsi: str) -> str:
    """Who we are to the platform."""
    return settings["device.id"]


def ends(saved: dict):
    """When the platform forgets us: never, None."""


class Connected:
    """See aep/session.py; it is made as lwm2m.Session is. A protocol gives `_greet(until)`, which makes the connection
    ours, `_sign(until)`, a sign of life, `_take(data)`, which looks at what has come, and `_stored(row)`."""

    closes = True  # before the radio connection is released
    resumed = False
    direct = False

    def __init__(self, settings: dict, saved: dict, clock, numbers, jitter: int, device, keep, note, persist) -> None:
        self._settings = settings
        self.clock = clock
        self.numbers = numbers
        self._device = device
        self._keep = keep
        self.note = note
        self._server = "%s:%d" % (settings["server.host"], settings["server.port"])
        saved = shaped(saved, SAVED)
        self._address = saved["addr"] if saved["server"] == self._server else ""
        self._honest = saved["honest"]  # what was found of the firmware's client, in this version of the firmware
        self._image = saved["image"]
        self._stream = None
        self._downlinks = []
        # Downlinks as they came, that there was no room for yet: [what it is acknowledged by, ...], 0 where by nothing
        self._held = []
        self._count = 0
        self._heard = 0  # when the platform was last heard, clock milliseconds
        self._signed = 0  # when what it takes for a sign of life was last sent
        self.refresh = False  # the next opening is a sign of life

    # -- the contract ----------------------------------------------------------------------------------------------

    def open(self, until: int) -> None:
        """Connects and greets, or shows that a kept connection lives. Waits where another connect was just now.
        Raises NoName, NoPath, or one of aep.session's and aep.stream_faults' errors."""
        self._count = 0
        self.resumed = self._stream is not None and self._lives(until)
        self.refresh = False
        if self.resumed:
            return
        address = self._resolved()
        wait = _last[0] + _APART - self.clock.now()
        if wait > 0:
            self.clock.sleep(wait)
        _last[0] = self.clock.now()
        self._stream = self._connect(address)
        self._heard = self._signed = self.clock.now()
        self._ended(self._greet, until)

    def receive(self, until: int, asleep: bool = False):
        """The next downlink's payload, or None at `until`. Raises ConnectionLost, BadFrame or Flooded."""
        self._store()  # others have run meanwhile
        while not self._downlinks:
            if not self._wait(until):
                return None
        return self._downlinks.pop(0)

    def due(self, settings: dict) -> bool:
        """Whether something beside reports is to be told."""
        return orders.UPDATE in orders.pending

    def settle(self, until: int, settings: dict) -> None:
        """A sign of life, by order."""
        orders.take(orders.UPDATE)
        self._ended(self._sign, until)

    def next_due(self) -> int:
        return 0

    def renewal(self, heard: int, settings: dict):
        """When a kept connection needs a sign of life (clock ms), or None."""
        every = self._silence(settings)
        return None if not every else self._signed + 1000 * every

    def deregister(self, until: int) -> None:
        """Says good-bye."""
        self.note(events.DEREGISTERED)
        self.close()

    def strangers(self) -> int:
        return 0

    def saved(self) -> dict:
        """What the next power-on needs."""
        return {"server": self._server, "addr": self._address, "honest": self._honest, "image": self._image}

    def close(self) -> None:
        """Ends the connection."""
        stream, self._stream = self._stream, None
        if stream is not None:
            self._part(stream)
            stream.close()
        self._forget()

    # -- inside ----------------------------------------------------------------------------------------------------

    def _connect(self, address: str):
        from link.streams import Stream

        return Stream(address, self._settings["server.port"], self.clock)

    def _part(self, stream) -> None:
        """The last word on a connection that is about to be closed."""

    def _resolved(self) -> str:
        """The platform's address. Raises NoName."""
        host, port = self._settings["server.host"], self._settings["server.port"]
        self._address, kept = sockets.resolve_or(host, port, self._device.address, self._address)
        if kept:
            self.note(events.NAME_KEPT)
        return self._address

    def _lives(self, until: int) -> bool:
        """Whether a kept connection can still be used; one that a NAT has forgotten says so, or nothing at all."""
        if not self.refresh and self.clock.now() - self._heard <= s.NAT_IDLE:
            return True
        try:
            self._ended(self._sign, until)
        except (ConnectionLost, NotConfirmed):
            self.note(events.PATH_LOST)
            return False
        return True

    def _ended(self, step, what):
        """What `step(what)` gives; a connection on which it fails is closed, so that the next opening makes another."""
        good = False
        try:
            out = step(what)
            good = True
        finally:
            if not good:
                self._lose()
        return out

    def _there(self):
        """The connection. Raises ConnectionLost where there is none."""
        if self._stream is None:
            raise ConnectionLost("there is no connection")
        return self._stream

    def _lose(self) -> None:
        """Closes without a word."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None
        self._forget()

    def _forget(self) -> None:
        """What was to be acknowledged comes again with another connection, and could not be on that one."""
        self._held = [row for row in self._held if not row[0]]

    def _send(self, data: bytes) -> None:
        self._ended(self._there().send, data)

    def _wait(self, until: int) -> bool:
        """Receives once and looks at it; False at `until`."""
        stream = self._there()
        good = False
        try:
            data = stream.receive(until)
            if data is not None:
                self._heard = self.clock.now()
                self._take(data)
            good = True
        finally:
            if not good:
                self._lose()
        return data is not None

    def _counted(self) -> None:
        """One more message has come. Raises Flooded."""
        self._count += 1
        if self._count > _FLOOD:
            raise Flooded("%d messages" % self._count)

    def _down(self, payload: bytes, service: int = 0, task=None) -> int:
        """A downlink is kept; returns what `keep` does."""
        kept = self._keep(payload, service, task) if service else self._keep(payload)
        if kept in (s.KEPT, s.DONE) and len(self._downlinks) < _QUEUE:
            self._downlinks.append(payload)
        return kept

    def _store(self) -> None:
        """Keeps what is held, in the order in which it came. The platform says nothing again on a connection that
        stands [MQTT-4.4.0-1], so what there is no room for waits here until others have run."""
        while self._held and self._stored(self._held[0]):
            self._held.pop(0)
        del self._held[_HELD:]

    def _until(self, done, until: int) -> bool:
        """Waits until `done()`; False at `until`."""
        while not done():
            if not self._wait(until):
                return False
        return True

    # A protocol's own; here for whoever reads.

    def _greet(self, until: int) -> None:
        raise NotImplementedError

    def _sign(self, until: int) -> None:
        raise NotImplementedError

    def _take(self, data: bytes) -> None:
        raise NotImplementedError

    def _stored(self, row: tuple) -> bool:
        """Keeps a downlink of `_held` and acknowledges it; False where there is no room for it now."""
        raise NotImplementedError

    def _silence(self, settings: dict) -> int:
        """Seconds without a word of ours after which a kept connection needs one; 0: none."""
        raise NotImplementedError
