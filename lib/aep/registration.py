"""Our registration with the platform and the messages beneath it: socket, m2m and coap put together (ctwing.md §2).

What the contract asks of a session is lwm2m.py's, on top of this.
"""

import ubinascii
from micropython import const

from aep import session as s
from aep.shortcuts import SHORT_RETRIES, SHORT_TIMEOUT, Shortcuts
from coap import exchange
from coap import message as m
from m2m import client as c
from m2m import objects
from store.shape import of_type, shaped

_OBSERVE_WAIT = const(12000)  # ms for the Observe after Register: one lost and repeated request is inside
_OBSERVE_LIMIT = const(45000)  # ms: the longest a learned wait grows; estimate
_SLACK = const(60)  # s before the lifetime's end within which a registration counts as over
_FLOOD = const(256)  # datagrams between two of our openings; a wake with a command has six; estimate
LONGEST = const(86400)  # s: the longest lifetime that is documented
# What `saved` gives, and what stands for it on a new device
_FORM = const(1)  # another one means other things: it is not resumed
SAVED = {
    "form": 0, "server": "", "ep": "", "loc": "", "tok": {}, "attr": {}, "forms": {}, "marks": {}, "state": "",
    "at": 0, "since": 0, "lt": 0, "b": "", "addr": "", "learn": {},
}  # fmt: skip
_ASKING = (c.ASKED, c.OBSERVED, c.CANCELLED)
_CODES = {s.KEPT: m.CHANGED, s.DONE: m.CHANGED, s.MALFORMED: m.BAD_REQUEST, s.BUSY: m.UNAVAILABLE}


class Registration:
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
        self._state = ""  # of the device, when nothing was to be told
        saved = shaped(saved, SAVED)  # an older tree may have saved less
        same = saved["server"] == self._server and saved["form"] == _FORM
        if same:
            self._address = saved["addr"]
        elif saved["server"]:
            device.server.clear()  # another server has written it
        self.shortcuts = Shortcuts(dict(saved["learn"]) if same else {})
        if same and saved["ep"] == device.endpoint:
            self._restore(saved)

    def _restore(self, saved: dict) -> None:
        """The registration of an earlier power-on."""
        try:
            for path in saved["tok"]:
                if objects.known(path):  # another tree may have let be observed what this one has not
                    self.client.tokens[path] = ubinascii.unhexlify(saved["tok"][path])
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

    # -- registering -----------------------------------------------------------------------------------------------

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
        return self._lifetime if lifetime == LONGEST < self._lifetime else lifetime

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
        if lifetime != LONGEST or self._settings["report.interval"] + _SLACK < lifetime:
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
            from aep import seldom

            raise seldom.refused(event[1])
        self._agreed(lifetime)

    def _agreed(self, lifetime: int) -> None:
        """The platform has answered 2.01 or 2.04: it knows what we told it, and the lifetime begins anew."""
        self._at, self._lifetime, self._bound = self.clock.unix(), lifetime, self._device.binding
        self._alive = self.clock.now()
        self._owed = False

    # -- messages --------------------------------------------------------------------------------------------------

    def wait(self, kinds: tuple, until: int):
        """Sends, receives and answers until an event of one of `kinds`; None at `until`, our own message given up."""
        clock, path, client = self.clock, self._path, self.client  # type: ignore[attr-defined]
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
                    from aep.refusals import Flooded

                    raise Flooded("%d datagrams" % self._count)
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
            self._path.send(out.pop(0))  # type: ignore[attr-defined]

    def _next_mid(self) -> int:
        return self.numbers.next("mid") & 0xFFFF
