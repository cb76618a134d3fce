"""AEP over the module's own LwM2M client, polled by AT commands (ctwing.md §1.6, guide §4.1.3): the session that the
cycle sees. Who that client is differs from image to image: the guide's AT+QLW… (modem_qlw.py), the AEP group AT+NCDP
… (modem_ncdp.py), QuecPython's own `lwm2m` with AT+QLW… for the data (modem_native.py). Each is loaded for itself.

`sendSync` never shows a URC, so `report_ack` is not seen. A report is ACKNOWLEDGED only where a poll says so, which is
the AEP group alone; otherwise it is HANDED_OVER to the modem, which repeats it by itself. The strongest evidence there
is comes later: a command that follows, or that the modem has not said that its registration is gone.

Nothing of the modem's client outlives power-off (guide §6.1), so each wake from PSM registers.
"""

import ubinascii
from micropython import const

try:
    import lwm2m  # type: ignore[import-not-found] # a class, of a few customers' images (quecpython.md §3.13)
except ImportError:
    lwm2m = None

from aep import session as s
from aep.shortcuts import Shortcuts
from device import events, orders
from link import at, cell, sockets
from link.fault import BACK_OFF, Fault, NoModem
from store.shape import shaped

# What a client says of itself.
WAITING = const(0)
READY = const(1)  # registered, and 19/0/0 is observed as far as can be told
REFUSED = const(2)
FAILED = const(3)

GROUPS = ("none", "qlw", "ncdp", "native")  # what an image may have
_GROUP = "q"  # in what was learned: [which of GROUPS, in which version of the firmware], asked for once
_TRIED = "m"  # and how opening by it has gone (aep/shortcuts.py)
_LOCATION = "modem"  # in saved(): a registration that is not our own client's
_REGISTER_WAIT = const(100000)  # ms: CoAP's 93 s with `retransmit` 2,4, and a name look-up
_OBSERVE_WAIT = const(12000)  # ms for the Observe after that, as in registration.py
_DOWN = const(512)  # bytes, the design limit of a downlink (ctwing.md §2.5): a longer one is refused
_MOST = const(16)  # downlinks that are taken out of the modem before one is handed on
_STALE = const(1000)  # ms within which a bad end may still be that of the registration before; estimate
LEAVE_WAIT = const(4000)  # ms for a deregistration: one lost and repeated datagram is inside
_POLL = const(250)  # ms from one look to the next while the radio is on
_POLL_ASLEEP = const(10000)  # and in light sleep: the platform repeats a command for 90 s (RFC 7252 §4.8)
# What `saved` gives: registration.py's, since "auto" may choose our own client at the next wake.
SAVED = {
    "form": 0, "server": "", "ep": "", "loc": "", "tok": {}, "attr": {}, "forms": {}, "marks": {}, "state": "",
    "at": 0, "since": 0, "lt": 0, "b": "", "addr": "", "learn": {},
}  # fmt: skip


def endpoint(settings: dict, imei: str, imsi: str) -> str:
    """As lwm2m.endpoint."""
    form = settings["lwm2m.endpoint"]
    return imei if form == "imei" else form + ":" + imei + ("-" + imsi if form == "urn:imei-imsi" else "")


def ends(saved: dict):
    """As lwm2m.ends."""
    return saved["at"] + saved["lt"] if saved.get("loc") else 0


def session(settings: dict, saved: dict):
    """What makes the session: this file's class, or the better one of the two."""
    return Session if settings["lwm2m.engine"] == "modem" else _better


def _better(settings: dict, saved: dict, clock, numbers, jitter: int, device, keep, note, persist):
    """lwm2m.engine "auto"."""
    saved = shaped(saved, SAVED)  # by command, another protocol's
    if suits(settings, saved):
        return Session(settings, saved, clock, numbers, jitter, device, keep, note, persist)
    try:
        from aep import lwm2m as own
    except ImportError:
        raise Fault("this tree was built without our own LwM2M client")
    made = own.session(settings, saved)(settings, saved, clock, numbers, jitter, device, keep, note, persist)
    found = saved["learn"].get(_GROUP)
    if found:
        made.shortcuts.learned[_GROUP] = found  # whatever else of it was another server's
    return made


def suits(settings: dict, saved: dict) -> bool:
    """This image's client acknowledges reports, can do what the settings ask, and has not failed lately. What was found
    is noted in `saved`, for either session."""
    learned = saved["learn"] = dict(saved["learn"])
    try:
        found = probe(learned)
    except NoModem:  # our own needs no AT command
        return False
    if found != "ncdp" or settings["security"] != "none" or settings["lwm2m.endpoint"] != "imei":
        return False
    shortcuts = Shortcuts(learned)
    saved["learn"] = shortcuts.learned
    return shortcuts.worth(_TRIED)


def probe(learned: dict) -> str:
    """Which of GROUPS this image has; asked once for each version of the firmware, and noted in `learned`. Raises
    NoModem where the modem is silent."""
    found, image = learned.get(_GROUP), cell.firmware()
    if found is None or found[1] != image or not 0 <= found[0] < len(GROUPS):
        found = learned[_GROUP] = [_look(), image]
    return GROUPS[found[0]]


def _look() -> int:
    """Which it is, by its place in GROUPS."""
    if taken("AT+NCDP=?"):
        return 2  # the only one that tells what became of a report
    if not taken("AT+QLWCFG?"):
        at.send("AT")  # a modem that refuses everything says nothing of its image
        return 0
    return 1 if lwm2m is None else 3


def taken(command: str) -> bool:
    """Whether the modem has taken a command that it may refuse. Raises NoModem where it is silent."""
    try:
        at.send(command)
    except NoModem as fault:
        if "ERROR" not in str(fault):
            raise
        return False
    return True


def unhexed(digits: str, size: str):
    """The downlink of `size` bytes, None where it is none. Of one that did not fit atcmd's buffer what there is: it is
    refused for its length."""
    try:
        payload = ubinascii.unhexlify(digits[: len(digits) // 2 * 2])
        whole = len(digits) == 2 * int(size)
    except ValueError:
        return None
    return payload if whole or len(payload) > _DOWN else None


class Session:
    """See aep/session.py; made as aep.registration.Registration is."""

    closes = False  # see close: known once there is a client

    def __init__(self, settings: dict, saved: dict, clock, numbers, jitter: int, device, keep, note, persist) -> None:
        self._settings = settings
        self.clock = clock
        self._device = device
        self._keep = keep
        self._note = note
        self._server = "%s:%d" % (settings["server.host"], settings["server.port"])
        saved = shaped(saved, SAVED)
        self._shortcuts = Shortcuts(dict(saved["learn"]))
        self._address = saved["addr"] if saved["server"] == self._server else ""  # as it was last resolved
        ours = saved["loc"] == _LOCATION and saved["server"] == self._server and saved["ep"] == device.endpoint
        self._at = saved["at"] if ours else 0  # Unix time of the last Register or Update, as far as we know
        self._lifetime = saved["lt"] if ours else 0
        self._alive = -1  # the same in clock ms; -1: not in this power-on
        self._owed = False  # reports went up since the last Update
        self._unkept = []  # [what answers it, payload]: downlinks that found no room yet
        self._heard = []  # payloads of downlinks that are kept, for `receive`
        self._client = None
        self.resumed = False
        self.direct = False  # opened without a message
        self.refresh = False  # the next opening sends an Update

    def open(self, until: int) -> None:
        """Registers, or finds that the modem still is. Raises link.fault.NoModem or one of aep.session's errors."""
        self.resumed = self.direct = False
        client = self._client
        if client is not None and self._alive >= 0:
            if client.state() == READY:
                left = self.left()
                stays = left is None or left > 2 * self._settings["report.interval"]
                if stays and not self.refresh:
                    self.direct = True
                    return
                if self._update():
                    self.resumed = True
                    return
            self._alive = -1
        self.refresh = False
        good = False
        try:
            self._register(until)
            good = True
        except NoModem:
            self._shortcuts.learned.pop(_GROUP, None)  # is it still the image that it was?
            raise
        finally:
            self._shortcuts.outcome(_TRIED, good)

    def send(self, payload: bytes, until: int, sure: bool = False, service: int = 0, task=None) -> int:
        """One report. Raises SessionLost, NotObserved, Silent or NoModem."""
        confirmed = sure or self._settings["report.type"] == "con"
        self._owed = True
        try:
            receipt = self._client.report(payload, confirmed, until)  # type: ignore[attr-defined]
            self._hear()
            return receipt
        except (s.SessionLost, s.NotObserved):
            self._alive = -1  # and the next opening registers
            raise

    def receive(self, until: int, asleep: bool = False):
        """The next downlink's payload, or None at `until`. Raises SessionLost or NoModem."""
        clock = self.clock
        while True:
            if not self._heard:
                self._hear()
            if self._heard:
                return self._heard.pop(0)
            left = until - clock.now()
            if left <= 0 or asleep:
                self._check()
            if left <= 0:
                return None
            clock.sleep(min(left, _POLL_ASLEEP if asleep else _POLL))

    def due(self, settings: dict) -> bool:
        """Whether `settle` has something to do."""
        each = self._owed and settings["lwm2m.update"] == "each_exchange" and self._client.updates  # type: ignore[attr-defined]
        return each or orders.UPDATE in orders.pending

    def settle(self, until: int, settings: dict) -> None:
        """Updates the registration where that is asked for, or makes it anew where the client has no Update. Raises
        SessionLost where it cannot be, or as `open`."""
        if self.due(settings):
            self._settings = settings
            if orders.take(orders.UPDATE):
                self._note(events.UPDATE_ASKED)
            if not self._client.updates:  # type: ignore[attr-defined]
                self._alive = -1
                self.open(until)
            elif not self._update():
                self.refresh = True
                raise s.SessionLost("the modem takes no Update")

    def next_due(self) -> int:
        """Observers of other paths are the modem's own affair."""
        return 0

    def renewal(self, heard: int, settings: dict):
        """When the platform is to hear of a kept session at the latest (clock ms), or None."""
        from aep import renewal

        return renewal.renewal(self, heard, settings)

    def left(self):
        """Seconds until the platform forgets us, as far as we know; None where we do not."""
        if self._alive >= 0:
            return self._lifetime - (self.clock.now() - self._alive) // 1000
        now = self.clock.unix()
        return self._at + self._lifetime - now if now and self._at else None

    def lifetime(self) -> int:
        """Seconds."""
        return self._lifetime

    def deregister(self, until: int) -> None:
        """Ends the registration."""
        if self._alive >= 0:
            self._client.leave(min(until, self.clock.now() + LEAVE_WAIT))  # type: ignore[attr-defined]
            self._note(events.DEREGISTERED)
        self._at = 0
        self._alive = -1

    def saved(self) -> dict:
        """What the next power-on is to know; it begins with a registration whatever this says."""
        out = dict(SAVED)
        out.update({
            "form": 1, "server": self._server, "ep": self._device.endpoint, "loc": _LOCATION if self._at else "",
            "at": self._at, "lt": self._lifetime, "addr": self._address, "learn": dict(self._shortcuts.learned),
        })  # fmt: skip
        return out

    def strangers(self) -> int:
        """The modem does not tell."""
        return 0

    def close(self) -> None:
        """The modem's client stays as it is, unless it would take commands that nobody reads."""
        if self.closes and self._alive >= 0:
            try:
                self._client.leave(self.clock.now() + LEAVE_WAIT)  # type: ignore[attr-defined]
                self._hear()
            except NoModem:  # then its registration ends with its lifetime
                pass
        self._client = None
        self._alive = -1

    # -- inside ----------------------------------------------------------------------------------------------------

    def _made(self):
        """The client of this image. Raises NoModem where there is none, or one that cannot do what is asked."""
        group = probe(self._shortcuts.learned)
        if group == "ncdp":
            from aep.modem_ncdp import Client
        elif group == "native":
            from aep.modem_native import Client  # type: ignore[assignment]
        elif group == "qlw":
            from aep.modem_qlw import Client  # type: ignore[assignment]
        else:
            raise NoModem("lwm2m.engine modem: this image has no LwM2M client")
        return Client(self._settings, self._device, self.clock)

    def _register(self, until: int) -> None:
        clock, found = self.clock, self._settings
        client = self._client = self._made()
        self.closes = client.closes
        if not client.closes:  # what waits is under the registration before: the platform gives it again
            self._unkept = []
        lifetime = found["lwm2m.lifetime"]
        host, port = found["server.host"], found["server.port"]
        self._address, kept = sockets.resolve_or(host, port, self._device.address, self._address)
        if kept:
            self._note(events.NAME_KEPT)
        client.begin(until, host if client.names and not kept else self._address)
        began = clock.now()
        end, observed = min(until, began + _REGISTER_WAIT), 0
        while True:
            state = client.state()
            if state == READY:
                break
            if clock.now() - began < _STALE:
                state = WAITING
            if state == REFUSED:
                raise _refused()
            if state == FAILED or clock.now() >= end:
                if observed:
                    raise s.NotObserved("no Observe on 19/0/0")
                raise s.Silent("no answer to the modem's Register")
            if client.registered and not observed:
                observed = 1
                end = min(until, clock.now() + _OBSERVE_WAIT)
            clock.sleep(_POLL)
        self._lifetime = lifetime
        self._agreed()
        self._hear()

    def _update(self) -> bool:
        """Whether the modem has taken it; an answer is not seen, but one that ends the registration is, later."""
        self.refresh = False
        if not self._client.update(self._settings["lwm2m.lifetime"]):  # type: ignore[attr-defined]
            return False
        self._lifetime = self._settings["lwm2m.lifetime"]
        self._agreed()
        return True

    def _agreed(self) -> None:
        self._at, self._alive, self._owed = self.clock.unix(), self.clock.now(), False

    def _check(self) -> None:
        if self._client is not None and self._alive >= 0 and self._client.state() != READY:
            self._alive = -1
            self.refresh = True
            raise s.SessionLost("the modem's registration is gone")

    def _hear(self) -> None:
        """What has come is kept, and answered, without waiting for `receive`."""
        for _ in range(_MOST):
            payload = self._downlink()
            if payload is None:
                break
            self._heard.append(payload)

    def _downlink(self):
        """A downlink that is on flash now, and answered; None where there is none."""
        client = self._client
        if client is None:
            return None
        waiting = self._unkept
        while len(waiting) < _MOST:
            found = client.downlink()
            if found is None:
                break
            waiting.append(found)
        while waiting:
            answer, payload = waiting[0]
            verdict = self._keep(payload)
            if verdict == s.BUSY:  # asked again at the next look, unless the platform has given up by then
                return None
            waiting.pop(0)
            client.answer(answer, verdict in (s.KEPT, s.DONE))
            if verdict in (s.KEPT, s.DONE):
                return payload
        return None


def _refused():
    """The fault that a refused Register is. The modem does not say with which code: it may be a platform that is busy,
    which no person has to mend."""
    from aep import refusals

    fault = refusals.NotProvisioned("the platform refused the modem's Register, the modem does not say why")
    fault.action = BACK_OFF
    return fault
