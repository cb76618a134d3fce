"""AEP over our own LwM2M client: socket, m2m and coap put together (ctwing.md §2, guide §4.1.3.1).

On a wake from power-off with a saved registration inside its lifetime one Update resumes it (the carrier's NAT has
forgotten us, so the platform must learn our address before it can answer a notification). A session whose socket was
kept reports at once. Anything else registers anew and waits for the Observe on 19/0/0, without which nothing may be
reported; where wakes are no nearer than the lifetime is long, that is every wake.
"""

import ubinascii
from micropython import const

from aep import session as s
from aep.shortcuts import DIRECT, SHORT_RETRIES, SHORT_TIMEOUT, UPDATE, Shortcuts
from coap import exchange
from coap import message as m
from device import events, orders
from link import sockets
from link.fault import NoName
from m2m import client as c
from m2m import objects
from store.shape import of_type, shaped

_OBSERVE_WAIT = const(12000)  # ms for the Observe after Register: one lost and repeated request is inside
_OBSERVE_LIMIT = const(45000)  # ms: the longest a learned wait grows; estimate
_SLACK = const(60)  # s before the lifetime's end within which a registration counts as over
_FLOOD = const(256)  # datagrams between two of our openings; a wake with a command has six; estimate
_SOONEST = const(60000)  # ms from one round of notifications to the next, whatever periods the server sets
_LONGEST = const(86400)  # s: the longest lifetime that is documented
# What `saved` gives, and what stands for it on a new device
_FORM = const(1)  # another one means other things: it is not resumed
SAVED = {
    "form": 0, "server": "", "ep": "", "loc": "", "tok": {}, "attr": {}, "forms": {}, "marks": {}, "state": "",
    "at": 0, "since": 0, "lt": 0, "b": "", "addr": "", "learn": {},
}  # fmt: skip
_ASKING = (c.ASKED, c.OBSERVED, c.CANCELLED)
_CODES = {s.KEPT: m.CHANGED, s.MALFORMED: m.BAD_REQUEST, s.BUSY: m.UNAVAILABLE}

# What a refused Register means. (A refused Update means no more than that we register.)
_REFUSALS = {
    m.BAD_REQUEST: s.BadRequest,
    m.UNAUTHORIZED: s.NotProvisioned,
    m.FORBIDDEN: s.NotProvisioned,
    m.PRECONDITION_FAILED: s.WrongVersion,
}


def endpoint(form: str, imei: str, imsi: str) -> str:
    """The endpoint name in the product's format: imei, urn:imei or urn:imei-imsi (ctwing.md §2.1)."""
    if form == "imei":
        return imei
    if form == "urn:imei":
        return "urn:imei:" + imei
    return "urn:imei-imsi:%s-%s" % (imei, imsi)


class Session:
    """See aep/session.py. `settings` is {name: value}; `saved` what `saved()` once gave, or {}; `clock` a
    link.clock.Clock; `numbers` a store.record.Numbers with "mid" and "seq"; `jitter` 256-384 (coap/exchange.py);
    `device` says and does what the server asks (device/values.py), with our own `imei`, `endpoint`, `address` and
    `binding`; `keep` as the contract says; `note(code, value)` is the journal's, `persist()` keeps `saved()`."""

    def __init__(self, settings: dict, saved: dict, clock, numbers, jitter: int, device, keep, note, persist) -> None:
        self._settings = settings
        self.clock = clock
        self.numbers = numbers
        self._device = device
        self.note = note
        self._persist = persist
        self._server = "%s:%d" % (settings["server.host"], settings["server.port"])
        self._path = None  # type: sockets.Path  # type: ignore[assignment]
        self._downlinks = []
        self._count = 0  # datagrams since the last opening
        self._heard = -s.NAT_IDLE  # when the platform was last heard, clock milliseconds
        self._owed = False  # reports went up since the last Update
        self._sent = -1  # message id of the last report
        self._alive = -1  # when the platform last took our registration for alive, clock ms; -1: before power-on
        self._awaited = 0  # how often the Observe of the present registration was waited for
        self.resumed = False
        self.direct = False  # opened without a message; the first report will show whether that was right
        self.refresh = False  # the next opening sends an Update, whatever it could do without
        self._cut = ""  # the short cut by which it was opened so
        self.exchange = exchange.Exchange(
            self._next_mid, jitter, settings["lwm2m.ack_timeout"], settings["lwm2m.retries"]
        )

        def store(payload: bytes) -> int:
            return _CODES[keep(payload)]

        self.client = c.Client(self.exchange, objects.Tree(device), store)
        self._at = 0  # Unix time of the last Register or Update that the platform answered; 0: unknown
        self._since = 0  # Unix time of the Register
        self._lifetime = 0  # as the platform knows it, and so the next
        self._bound = ""
        self._address = ""  # the platform's, as it was last resolved
        self.marks = {}  # {path: [when, what]}: what observers of other paths were last told
        self._told = -_SOONEST  # when observers were last told something, clock milliseconds
        self._state = ""  # of the device, when nothing was to be told
        saved = shaped(saved, SAVED)  # an older tree may have saved less
        same = saved["server"] == self._server and saved["form"] == _FORM
        if same:
            self._address = saved["addr"]
        self.shortcuts = Shortcuts(dict(saved["learn"]) if same else {})
        if same and saved["ep"] == device.endpoint:
            self._restore(saved)

    def _restore(self, saved: dict) -> None:
        """The registration of an earlier power-on."""
        try:
            self.client.tokens = {path: ubinascii.unhexlify(token) for path, token in saved["tok"].items()}
        except (TypeError, ValueError):  # not ours
            return
        self.client.location = saved["loc"]
        self.client.attributes = of_type(saved["attr"], dict)
        self.client.forms = of_type(saved["forms"], int)
        self.marks = of_type(saved["marks"], list)
        self._state = saved["state"]
        self._at = saved["at"]
        self._since = saved["since"] or self._at
        self._lifetime = saved["lt"]
        self._bound = saved["b"]

    # -- the contract --------------------------------------------------------------------------------------------

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

    def resumable(self) -> bool:
        """A registration is saved, observed, and inside its lifetime as far as we know the time."""
        if not self.client.location or objects.UPLINK not in self.client.tokens:
            return False
        left = self.left()
        return left is None or left > _SLACK

    def left(self):
        """Seconds until the platform forgets us, None where that is not known: by our own clock within a power-on, by
        the time of day over a power-off."""
        if self._alive >= 0:
            return self._lifetime - (self.clock.now() - self._alive) // 1000
        now = self.clock.unix()
        return self._at + self._lifetime - now if now and self._at else None

    def lifetime(self) -> int:
        """Seconds, as the platform knows it."""
        return self._lifetime

    def send(self, payload: bytes, until: int, sure: bool = False) -> int:
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

    def _owes(self, settings: dict) -> bool:
        """An Update: the guide's way after each exchange, or by order."""
        return self._owed and settings["lwm2m.update"] == "each_exchange" or orders.UPDATE in orders.pending

    def next_due(self) -> int:
        """Unix time at which an observer's longest period ends, 0 where none is set."""
        if not self.client.attributes and not self._device.server:
            return 0
        from aep import observers

        return observers.next_due(self) or 0

    def deregister(self, until: int) -> None:
        """Ends the registration; the platform shows the device as off-line (guide: AT+QLWDEREG)."""
        from aep import seldom

        if self.client.location:
            seldom.deregister(self, until)
            self._at = 0
            self._alive = -1

    def saved(self) -> dict:
        """What the next power-on needs to resume, and what was learned."""
        return {
            "form": _FORM,
            "server": self._server,
            "ep": self._device.endpoint,
            "loc": self.client.location,
            "tok": {path: ubinascii.hexlify(token).decode() for path, token in self.client.tokens.items()},
            "attr": dict(self.client.attributes),
            "forms": dict(self.client.forms),
            "marks": dict(self.marks),
            "state": self._state,
            "at": self._at,
            "since": self._since,
            "lt": self._lifetime,
            "b": self._bound,
            "addr": self._address,
            "learn": dict(self.shortcuts.learned),
        }

    def strangers(self) -> int:
        """Datagrams that came from somebody else than the platform."""
        return 0 if self._path is None else self._path.strangers

    def close(self) -> None:
        """Closes the socket; the registration stays, for the next wake."""
        if self._path is not None:
            self._path.close()
            self._path = None  # type: ignore[assignment]

    # -- opening -------------------------------------------------------------------------------------------------

    def _path_to(self, address: str, until: int):
        """The way for datagrams. Raises NoPath."""
        return sockets.Path(address, self._settings["server.port"], self.clock)

    def _resolved(self) -> str:
        """The platform's address. Raises NoName."""
        host, port = self._settings["server.host"], self._settings["server.port"]
        try:
            address = sockets.resolve(host, port, self._device.address)
        except NoName:
            if not self._address or (":" in self._address) != (":" in self._device.address):
                raise
            self.note(events.NAME_KEPT)
            return self._address
        self._address = address
        return address

    def _short_cut(self, warm: bool) -> str:
        """The short cut by which a report may go at once, "" where there is none. `warm`: the socket was kept."""
        # The platform's answer will find us: it was heard just now, or has been seen to answer to where we are
        near = warm and (self.clock.now() - self._heard < s.NAT_IDLE or self.shortcuts.worth(DIRECT))
        return DIRECT if near else ""

    def _stays(self) -> bool:
        """The registration needs no Update before the wake after next."""
        left = self.left()
        lasts = left is None or left > 2 * self._settings["report.interval"]
        return self.resumable() and lasts and self._unchanged()

    def _unchanged(self) -> bool:
        return self._wanted() == self._lifetime and self._bound == self._device.binding

    def _wanted(self) -> int:
        """The lifetime by setting, or what the probe was granted beyond it."""
        lifetime = self._settings["lwm2m.lifetime"]
        return self._lifetime if lifetime == _LONGEST < self._lifetime else lifetime

    def _try_update(self, until: int) -> bool:
        if not self.shortcuts.worth(UPDATE):
            return False
        good = self._update(until)
        self.shortcuts.outcome(UPDATE, good)
        if not good:
            self.note(events.SHORT_CUT, 2)
            if self._lifetime > _LONGEST and self.clock.unix() - self._since >= _LONGEST:
                self.shortcuts.learned["lt"] = 0  # accepted, but not honoured
                self.note(events.SHORT_CUT, 3)
        return good

    def _update(self, until: int) -> bool:
        lifetime = self._wanted()
        changed = lifetime if lifetime != self._lifetime else 0
        binding = self._device.binding if self._device.binding != self._bound else ""
        self.client.update(self.clock.now(), changed, binding, SHORT_TIMEOUT, SHORT_RETRIES)
        event = self.wait((c.UPDATED, c.REFUSED, c.SILENT), until)
        if event is None or event[0] != c.UPDATED:
            return False
        self._agreed(lifetime)
        return True

    def _register(self, until: int) -> None:
        """Registers and waits for the Observe. Where it did not come the first time it is only waited for again."""
        if self._awaited != 1 or not self.client.location:
            self._awaited = 0
            lifetime = self._settings["lwm2m.lifetime"]
            if not self._probe(lifetime, until):
                self.ask(lifetime, until)
            self._since = self._at
            self.marks = {}
        self._awaited += 1
        start = self.clock.now()
        learned = self.shortcuts.learned
        wait = max(_OBSERVE_WAIT, min(2 * learned.get("o", 0), _OBSERVE_LIMIT))
        while objects.UPLINK not in self.client.tokens:
            if self.wait((c.OBSERVED,), min(until, start + wait)) is None:
                learned["o"] = wait
                raise s.NotObserved("no Observe on 19/0/0 within %d s" % ((self.clock.now() - start) // 1000))
        self._awaited = 0

    def _probe(self, lifetime: int, until: int) -> bool:
        """Registers with a longer lifetime where that would save the Register of every wake; False where it did not."""
        if lifetime != _LONGEST or self._settings["report.interval"] + _SLACK < lifetime:
            return False
        from aep import seldom

        return seldom.probe(self, until)

    def ask(self, lifetime: int, until: int) -> None:
        """Registers with this lifetime. Raises Silent or what the refusal means."""
        self.client.register(self.clock.now(), self._device.endpoint, lifetime, self._device.binding)
        event = self.wait((c.REGISTERED, c.REFUSED, c.SILENT), until)
        if event is None or event[0] == c.SILENT:
            raise s.Silent("no answer to Register from " + self._server)
        if event[0] == c.REFUSED:
            text = "Register answered " + (m.dotted(event[1]) if event[1] else "by a reset")
            raise _REFUSALS.get(event[1], s.Refused)(text)
        self._agreed(lifetime)

    def _agreed(self, lifetime: int) -> None:
        """The platform has answered 2.01 or 2.04: it knows what we told it, and the lifetime begins anew."""
        self._at, self._lifetime, self._bound = self.clock.unix(), lifetime, self._device.binding
        self._alive = self.clock.now()
        self._owed = False

    # -- messages ------------------------------------------------------------------------------------------------

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

    def wait(self, kinds: tuple, until: int):
        """Sends, receives and answers until an event of one of `kinds`; None at `until`, our own message given up."""
        clock, path, client = self.clock, self._path, self.client
        while True:
            self._flush()
            now = clock.now()
            due = self.exchange.deadline()
            data = path.receive(until if due is None or due > until else due)
            if data is None:
                event = client.poll(clock.now())
            else:
                self._heard = clock.now()
                self._count += 1
                if self._count > _FLOOD:
                    raise s.Flooded("%d datagrams" % self._count)
                event = client.receive(data, self._heard)
                if event is not None and event[0] in _ASKING and not self._awaited:
                    self._persist()  # what was asked is on flash before it is answered
            self._flush()
            if event is not None:
                if event[0] == c.WRITTEN:
                    self._downlinks.append(event[1])
                elif event[0] == c.OBSERVED:
                    self.marks.pop(event[1], None)  # told by the answer
                if event[0] in kinds:
                    return event
            if now >= until:
                self.exchange.cancel()
                return None

    def _flush(self) -> None:
        out = self.exchange.out
        while out:
            self._path.send(out.pop(0))

    def _next_mid(self) -> int:
        return self.numbers.next("mid") & 0xFFFF
