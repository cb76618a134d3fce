"""AEP over our own LwM2M client (ctwing.md §2, guide §4.1.3.1): the session that the cycle sees.

On a wake from power-off with a saved registration inside its lifetime one Update resumes it (the carrier's NAT has
forgotten us, so the platform must learn our address before it can answer a notification). A session whose socket was
kept reports at once. Anything else registers anew and waits for the Observe on 19/0/0, without which nothing may be
reported; where wakes are no nearer than the lifetime is long, that is every wake.
"""

from micropython import const

from aep import session as s
from aep.registration import LONGEST, SAVED, Registration  # noqa: F401 - SAVED is the module's face
from aep.shortcuts import DIRECT, SHORT_RETRIES, SHORT_TIMEOUT, UPDATE
from device import events, orders
from link import sockets
from link.fault import Fault
from m2m import client as c
from m2m import objects

_SOONEST = const(60000)  # ms from one round of notifications to the next, whatever periods the server sets


def endpoint(settings: dict, imei: str, imsi: str) -> str:
    """The endpoint name in the product's format: imei, urn:imei or urn:imei-imsi (ctwing.md §2.1)."""
    form = settings["lwm2m.endpoint"]
    if form == "imei":
        return imei
    if form == "urn:imei":
        return "urn:imei:" + imei
    return "urn:imei-imsi:%s-%s" % (imei, imsi)


def ends(saved: dict):
    """Unix time at which the platform forgets a saved session, 0 where it knows none; None: never."""
    return saved["at"] + saved["lt"] if saved.get("loc") else 0


def session(settings: dict, saved: dict):
    """The class of the session by setting, whatever was saved. What DTLS needs is loaded for DTLS alone."""
    if settings["security"] != "psk":
        return Session
    try:
        from aep import lwm2m_dtls
    except ImportError:
        raise Fault("this tree was built without DTLS")
    return lwm2m_dtls.Session


class Session(Registration):
    """See aep/session.py; it is made as a Registration is."""

    closes = False  # its socket need not be closed before the radio connection is released
    _path = None  # type: sockets.Path  # type: ignore[assignment]
    _told = -_SOONEST  # when observers were last told something, clock milliseconds

    def open(self, until: int) -> None:
        """Resumes or registers; returns once reports may be sent.
        Raises link.fault.NoName or NoPath, or one of aep.session's errors."""
        self._count = 0
        warm = self._path is not None
        if not warm:
            self._path = self._path_to(self._resolved(), until)
        self._cut = self._short_cut(warm) if not self.refresh and self._stays() else ""
        self.resumed = self.direct = self._cut != ""
        if self.direct:
            return
        self.refresh = False
        self.resumed = self.resumable() and self._try_update(until)
        if not self.resumed:
            self._register(until)

    def send(self, payload: bytes, until: int, sure: bool = False, service: int = 0, task=None) -> int:
        """One report; returns ACKNOWLEDGED, or HANDED_OVER where reports are sent without confirmation and this one
        need not be `sure`. Raises SessionLost, Silent or NoPath."""
        confirmed = sure or self._settings["report.type"] == "con"
        if self.direct and confirmed:
            self.direct = False
            ended = self._report(payload, until, SHORT_TIMEOUT, SHORT_RETRIES)
            self.shortcuts.outcome(self._cut, ended == c.DELIVERED)
            if ended == c.DELIVERED:
                return s.ACKNOWLEDGED
            self.note(events.SHORT_CUT, 1)
            self.refresh = True
            sent = self._sent
            self.open(until)
            if self.exchange.late == sent:  # its acknowledgement came after all
                return s.ACKNOWLEDGED
        if not confirmed:
            self._observed()
            self.client.notify(self.clock.now(), payload, self.numbers.next("seq"), False)
            self._flush()
            self._owed = True
            return s.HANDED_OVER
        ended = self._report(payload, until, 0, -1)
        if ended == c.LOST:
            raise s.SessionLost("reset in answer to a report")
        if ended != c.DELIVERED:
            raise s.Silent("report not acknowledged")
        return s.ACKNOWLEDGED

    def receive(self, until: int, asleep: bool = False):
        """The next downlink's payload, or None at `until`; `asleep`, also as soon as the server has asked something
        else. Raises NoPath or Flooded."""
        if not self._downlinks:
            self.wait((c.WRITTEN, c.ASKED) if asleep else (c.WRITTEN,), until)
        return self._downlinks.pop(0) if self._downlinks else None

    def due(self, settings: dict) -> bool:
        """Whether something beside reports is to be told: `settle` does it."""
        return self._owes(settings) or self._notices() != []

    def settle(self, until: int, settings: dict) -> None:
        """Tells observers of other paths what is due, and updates the registration where that is asked for: by
        `settings`, which may have changed since, or by the server. Raises as `send`."""
        for path in self._notices():
            from aep import observers

            self._told = self.clock.now()
            if path in self.client.tokens:  # the server may have cancelled it while another was told
                observers.tell(self, path, until)
        if self._owes(settings):
            self._settings = settings
            if orders.take(orders.UPDATE):
                self.note(events.UPDATE_ASKED)
            if not self._update(until):
                self.refresh = True  # and where that is refused as well, it registers
                raise s.SessionLost("Update refused or not answered")

    def next_due(self) -> int:
        """Unix time at which an observer's longest period ends, 0 where none is set."""
        if not self.client.attributes and not self._device.server:
            return 0
        from aep import observers

        return observers.next_due(self) or 0

    def renewal(self, heard: int, settings: dict):
        """When the platform is to hear of a kept session at the latest (clock ms), or None; it was last heard at
        `heard`."""
        from aep import renewal

        return renewal.renewal(self, heard, settings)

    def deregister(self, until: int) -> None:
        """Ends the registration; the platform shows the device as off-line (guide: AT+QLWDEREG)."""
        from aep import seldom

        if self.client.location:
            seldom.deregister(self, until)
            self._at = 0
            self._alive = -1

    def strangers(self) -> int:
        """Datagrams that came from somebody else than the platform."""
        return 0 if self._path is None else self._path.strangers

    def close(self) -> None:
        """Closes the socket; the registration stays, for the next wake."""
        if self._path is not None:
            self._path.close()
            self._path = None  # type: ignore[assignment]

    # -- inside ----------------------------------------------------------------------------------------------------

    def _path_to(self, address: str, until: int):
        """The way for datagrams. Raises NoPath."""
        return sockets.Path(address, self._settings["server.port"], self.clock)

    def _resolved(self) -> str:
        """The platform's address. Raises NoName."""
        host, port = self._settings["server.host"], self._settings["server.port"]
        self._address, kept = sockets.resolve_or(host, port, self._device.address, self._address)
        if kept:
            self.note(events.NAME_KEPT)
        return self._address

    def _short_cut(self, warm: bool) -> str:
        """The short cut by which a report may go at once, "" where there is none. `warm`: the socket was kept."""
        # The platform's answer will find us: it was heard just now, or has been seen to answer to where we are
        near = warm and (self.clock.now() - self._heard < s.NAT_IDLE or self.shortcuts.worth(DIRECT))
        return DIRECT if near else ""

    def _try_update(self, until: int) -> bool:
        if not self.shortcuts.worth(UPDATE):
            return False
        good = self._update(until)
        self.shortcuts.outcome(UPDATE, good)
        if not good:
            self.note(events.SHORT_CUT, 2)
            if self._lifetime > LONGEST and self.clock.unix() - self._since >= LONGEST:
                self.shortcuts.learned["lt"] = 0  # accepted, but not honoured
                self.note(events.SHORT_CUT, 3)
        return good

    def _report(self, payload: bytes, until: int, timeout: int, retries: int) -> int:
        """The event in which a confirmable report ended, SILENT where time was up."""
        self._observed()
        sequence = self.numbers.next("seq")
        self._owed = True
        self._sent = self.client.notify(self.clock.now(), payload, sequence, timeout=timeout, retries=retries)
        event = self.wait((c.DELIVERED, c.LOST, c.SILENT), until)
        return c.SILENT if event is None else event[0]

    def _observed(self) -> None:
        if objects.UPLINK not in self.client.tokens:
            raise s.SessionLost("not observed")

    def _owes(self, settings: dict) -> bool:
        """An Update: the guide's way after each exchange, or by order."""
        return self._owed and settings["lwm2m.update"] == "each_exchange" or orders.UPDATE in orders.pending

    def _notices(self) -> list:
        """Paths other than 19/0/0 whose observer is to be told something now."""
        client, device = self.client, self._device
        others = [path for path in client.tokens if path != objects.UPLINK]
        now = self.clock.unix()
        if not others or not now or self.clock.now() < self._told + _SOONEST:
            return []
        state = device.state(others)
        unasked = not client.attributes and not device.server and not [p for p in others if p not in self.marks]
        if unasked and state == self._state:
            return []
        from aep import observers

        found = observers.due(self, now)
        if not found:
            self._state = state
        return found
