"""AEP over our own LwM2M client: socket, m2m and coap put together (ctwing.md §2, guide §4.1.3.1).

On a wake with a saved registration inside its lifetime one Update resumes it (the carrier's NAT has forgotten us, so
the platform must learn our address before it can answer a notification). Anything else registers anew and waits for
the Observe on 19/0/0, without which nothing may be reported.
"""

import ubinascii
from micropython import const

from aep import session as s
from coap import exchange
from coap import message as m
from link import sockets
from m2m import client as c
from m2m import objects

# The Update that resumes is a short cut: two tries, about 6 s, never CoAP's own 62-93 s with the radio on (DESIGN §4).
# Estimate: an answer takes 1 s even where the radio connection is set up first; with jitter the waits are 1.6-2.4 s and
# twice that.
_SHORT_TIMEOUT = const(1600)
_SHORT_RETRIES = const(1)
_OBSERVE_WAIT = const(12000)  # ms for the Observe after Register: one lost and repeated request is inside
_SLACK = const(60)  # s before the lifetime's end within which a registration counts as over
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
    `value(object, resource)` gives what the device says about itself; `keep` as the contract says."""

    def __init__(self, settings: dict, saved: dict, endpoint: str, clock, numbers, jitter: int, value, keep) -> None:
        self._settings = settings
        self._clock = clock
        self._numbers = numbers
        self._endpoint = endpoint
        self._server = "%s:%d" % (settings["server.host"], settings["server.port"])
        self._path = None  # type: sockets.Path  # type: ignore[assignment]
        self._downlinks = []
        self.resumed = False
        self.exchange = exchange.Exchange(
            self._next_mid, jitter, settings["lwm2m.ack_timeout"], settings["lwm2m.retries"]
        )

        def store(payload: bytes) -> int:
            return _CODES[keep(payload)]

        self.client = c.Client(self.exchange, objects.Tree(value), store)
        self._at = 0  # Unix time of the last Register or Update that the platform answered; 0: unknown
        self._lifetime = 0  # as the platform knows it, and so the next
        self._bound = ""
        self._binding = "UQ" if settings["power.mode"] == "psm" else "U"  # queue mode or not (ctwing.md §2.1)
        if saved.get("server") == self._server and saved.get("ep") == endpoint:
            self.client.location = saved["loc"]
            self.client.tokens = {path: ubinascii.unhexlify(token) for path, token in saved["tok"].items()}
            self._at = saved["at"]
            self._lifetime = saved["lt"]
            self._bound = saved.get("b", "")

    def open(self, until: int) -> None:
        """Resumes by Update or registers; returns once reports may be sent.
        Raises link.fault.NoName or NoPath, or one of aep.session's errors."""
        if self._path is None:
            address = sockets.resolve(self._settings["server.host"], self._settings["server.port"])
            self._path = sockets.Path(address, self._settings["server.port"], self._clock)
        self.resumed = self.resumable() and self._resume(until)
        if not self.resumed:
            self._register(until)

    def resumable(self) -> bool:
        """A registration is saved, observed, and inside its lifetime as far as we know the time."""
        if not self.client.location or objects.UPLINK not in self.client.tokens:
            return False
        now = self._clock.unix()
        return not now or not self._at or now < self.expires() - _SLACK

    def expires(self) -> int:
        """Unix time at which the platform will forget us, 0 where there is no registration or no clock."""
        return self._at + self._lifetime if self._at else 0

    def send(self, payload: bytes, until: int) -> int:
        """One confirmable report; returns ACKNOWLEDGED. Raises SessionLost, Silent or NoPath."""
        if objects.UPLINK not in self.client.tokens:
            raise s.SessionLost("not observed")
        self.client.notify(self._clock.now(), payload, self._numbers.next("seq"))
        event = self._until((c.DELIVERED, c.LOST, c.SILENT), until)
        if event is None or event[0] == c.SILENT:
            raise s.Silent("report not acknowledged")
        if event[0] == c.LOST:
            raise s.SessionLost("reset in answer to a report")
        return s.ACKNOWLEDGED

    def receive(self, until: int):
        """The next downlink's payload, or None at `until`. Raises NoPath."""
        if not self._downlinks:
            self._until((c.WRITTEN,), until)
        return self._downlinks.pop(0) if self._downlinks else None

    def saved(self) -> dict:
        """{} where there is nothing to resume."""
        if not self.client.location:
            return {}
        return {
            "server": self._server,
            "ep": self._endpoint,
            "loc": self.client.location,
            "tok": {path: ubinascii.hexlify(token).decode() for path, token in self.client.tokens.items()},
            "at": self._at,
            "lt": self._lifetime,
            "b": self._bound,
        }

    def close(self) -> None:
        """Closes the socket; the registration stays, for the next wake."""
        if self._path is not None:
            self._path.close()
            self._path = None  # type: ignore[assignment]

    def _resume(self, until: int) -> bool:
        lifetime = self._settings["lwm2m.lifetime"]
        changed = lifetime if lifetime != self._lifetime else 0
        binding = self._binding if self._binding != self._bound else ""
        self.client.update(self._clock.now(), changed, binding, _SHORT_TIMEOUT, _SHORT_RETRIES)
        event = self._until((c.UPDATED, c.REFUSED, c.SILENT), until)
        if event is None or event[0] != c.UPDATED:
            return False
        self._agreed()
        return True

    def _register(self, until: int) -> None:
        lifetime = self._settings["lwm2m.lifetime"]
        self.client.register(self._clock.now(), self._endpoint, lifetime, self._binding)
        event = self._until((c.REGISTERED, c.REFUSED, c.SILENT), until)
        if event is None or event[0] == c.SILENT:
            raise s.Silent("no answer to Register from " + self._server)
        if event[0] == c.REFUSED:
            text = "Register answered " + (m.dotted(event[1]) if event[1] else "by a reset")
            raise _REFUSALS.get(event[1], s.Refused)(text)
        self._agreed()
        limit = min(until, self._clock.now() + _OBSERVE_WAIT)
        while objects.UPLINK not in self.client.tokens:
            if self._until((c.OBSERVED,), limit) is None:
                raise s.NotObserved("no Observe on 19/0/0")

    def _agreed(self) -> None:
        """The platform has answered 2.01 or 2.04: it knows what we told it, and the lifetime begins anew."""
        self._at, self._lifetime, self._bound = self._clock.unix(), self._settings["lwm2m.lifetime"], self._binding

    def _until(self, kinds: tuple, until: int):
        """Sends, receives and answers until an event of one of `kinds`; None at `until`, our own message given up."""
        clock, path, client = self._clock, self._path, self.client
        while True:
            self._flush()
            now = clock.now()
            due = self.exchange.deadline()
            data = path.receive(until if due is None or due > until else due)
            event = client.poll(clock.now()) if data is None else client.receive(data, clock.now())
            self._flush()
            if event is not None:
                if event[0] == c.WRITTEN:
                    self._downlinks.append(event[1])
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
        return self._numbers.next("mid") & 0xFFFF
