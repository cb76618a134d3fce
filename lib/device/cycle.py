"""The duty cycle: one wake from power-on to sleep, as a table of states and the loop that walks it.

The table is the documentation: `docs/cycle.md` is drawn from it. A state is a method that returns an event; the table
says which state follows. The watchdog is fed between states. Each state's deadline bounds what the device itself waits
for and ends before the watchdog bites; it does not bound the user's code. A reading or handler that takes longer than
the watchdog (boot.py) ends in a reset with reason 5, and its command is answered "interrupted".
"""

import log
from micropython import const

from aep import lwm2m
from aep.session import ACKNOWLEDGED
from device import commands, health, readings, settings
from link import attach, cell, power
from link.clock import Clock
from link.entropy import random_bytes
from link.fault import REATTACH, RETRY, WAIT, Fault, NoFlash, NoModem, NoPath, NoSim, NotRegistered
from store.outbox import PAYLOAD_LIMIT, Outbox
from store.record import Numbers, Record, directory

STATE = "/usr/state"

# Lists, not tuples: the strings of a constant tuple are not shared, which would take 5 KB more.

# [state, longest stay in s beside what readings and handlers take, what it does]
STATES = [
    ["WAKE", 30, "settings and what was saved are loaded"],
    ["SAMPLE", 60, "readings that are due go into the outbox"],
    ["ATTACH", 250, "SIM, registration, data call, clock"],
    ["OPEN", 150, "the session resumes or registers"],
    ["DELIVER", 120, "one command runs and leaves its answer, or one batch goes up, consumed once acknowledged"],
    ["LISTEN", 60, "commands come down and are stored"],
    ["RELEASE", 30, "the session is saved, the radio connection released; what still comes down before that is stored"],
    ["FAULT", 30, "what went wrong is counted and classed"],
    ["BACK_OFF", 30, "the next try is put off, longer each time"],
    ["SLEEP", None, "PSM, or light sleep until the next wake"],
    ["UNPROVISIONED", None, "no usable settings: waits for config.json with the REPL open"],
]  # type: list

# [state, event, next state]
TABLE = [
    ["WAKE", "ready", "SAMPLE"],
    ["WAKE", "no settings", "UNPROVISIONED"],
    ["SAMPLE", "something to do", "ATTACH"],
    ["SAMPLE", "nothing to do", "SLEEP"],
    ["ATTACH", "attached", "OPEN"],
    ["OPEN", "open", "DELIVER"],
    ["DELIVER", "more", "DELIVER"],
    ["DELIVER", "empty", "LISTEN"],
    ["DELIVER", "unheard of", "OPEN"],
    ["LISTEN", "commands", "DELIVER"],
    ["LISTEN", "more", "LISTEN"],
    ["LISTEN", "quiet", "RELEASE"],
    ["RELEASE", "released", "SLEEP"],
    ["RELEASE", "commands", "DELIVER"],
    ["RELEASE", "more", "LISTEN"],
    ["SLEEP", "woke without a boot", "SAMPLE"],
    ["*", "fault", "FAULT"],
    ["FAULT", "retry", "OPEN"],
    ["FAULT", "attach again", "ATTACH"],
    ["FAULT", "give up", "BACK_OFF"],
    ["BACK_OFF", "put off", "SLEEP"],
]

_TRIES = const(2)  # of a fault that may be tried again within one wake
_BACK_OFF = const(900)  # s, doubled with each fault in a row; estimate
_LONGEST = const(86400)  # s; a fault that waits for a person is tried this often
_PSM_GRACE = const(30)  # s after T3324 within which the power should have gone; estimate
_NAP = const(120)  # s of light sleep between two feeds of the watchdog
_LISTEN_LIMIT = const(10000)  # ms: the longest a learned window grows; estimate
# ms without a datagram after which the way back to us is taken for closed, as a vendor's SDK does (ctwing.md §2.7)
_NAT_IDLE = const(30000)
_TALK_LIMIT = const(600000)  # ms: a platform that goes on sending is heard again at the next wake; estimate

_log = log.getLogger("cycle")


class Cycle:
    """One power-on. `boot` has `feed()` (the watchdog), `rest()` (it stops) and `confirm()` (this tree works)."""

    def __init__(self, boot) -> None:
        self.boot = boot
        self.clock = Clock()
        self.state = "WAKE"
        self._problem = Fault()
        self._asked = None
        self._tried = {}
        self._session = None  # type: lwm2m.Session  # type: ignore[assignment]
        self._until = 0
        self._sampled = 0  # ms since power-on at which the last SAMPLE began
        self._talk = 0  # and after which nothing more is listened to
        self._heard = 0  # when the platform last answered
        self._quiet = 0  # and before which the platform is not tried again
        self._delivered = False  # whether the platform has acknowledged something in this wake
        self._silent = False  # whether the radio was switched off

    def run(self) -> None:
        """Walks the table until the power goes; returns only where there is nothing to run on."""
        while self.state != "UNPROVISIONED":
            self.boot.feed()
            limit = [row[1] for row in STATES if row[0] == self.state][0]
            self._until = self.clock.now() + 1000 * (limit or 0)
            event = self.step()
            self.state = [row[2] for row in TABLE if row[0] in (self.state, "*") and row[1] == event][0]
        self.boot.rest()
        self.power.doze()
        _log.error("waiting for /usr/config.json: %s", self.settings.problem)

    def step(self) -> str:
        """One state; returns its event."""
        try:
            return getattr(self, "_" + self.state.lower())()
        except Fault as fault:
            self._problem = fault
            return "fault"
        except OSError as error:  # link/ makes faults of its own: what is left is the flash
            if self.state == "WAKE":
                raise
            self._problem = NoFlash("error %d in %s" % (error.args[0], self.state))
            return "fault"

    # -- states --------------------------------------------------------------------------------------------------

    def _wake(self) -> str:
        directory(STATE)
        self.health = health.Health(Record(STATE + "/health.rec"))
        self.settings = settings.Settings()
        self.power = power.Power(self.clock)
        values = self.settings.values
        if values is None:
            return "no settings"
        if self.settings.problem:
            self.health.count("config_refused")
            _log.error("%s; running on the last good settings", self.settings.problem)
        # 64 and 16: a wake uses about ten message ids and two Observe numbers; the first id is random (RFC 7252 §4.4)
        start = random_bytes(2, cell.imei())
        first = {"boot": 1, "mid": start[0] << 8 | start[1], "seq": 1}
        self.numbers = Numbers(STATE + "/numbers.rec", {"boot": 1, "mid": 64, "seq": 16}, first)
        self.boots = self.numbers.next("boot")
        self.outbox = Outbox(STATE + "/outbox", values["outbox.limit"])
        self.readings = readings.Readings(Record(STATE + "/readings.rec"), self.health)
        self.commands = commands.Commands(Record(STATE + "/commands.rec"), self.outbox, self.health, self._stamp)
        self._saved = Record(STATE + "/session.rec")
        self._state = self._saved.load() or {}
        self._gap = self._state.get("gap", 0)  # ms after which the platform was seen to send a command
        _log.info("boot %d: %s", self.boots, self.health.reason_text())
        return "ready"

    def _sample(self) -> str:
        self._sampled = self.clock.now()
        self.power.hold()
        now = self._take_readings()
        interval = self.settings.values["report.interval"]
        self._tried = {}
        upkeep = self.commands.waiting() or self._expires() < now + 2 * interval
        if self.clock.now() < self._quiet:
            return "nothing to do"
        if now and now < self.health.not_before <= now + 2 * _LONGEST:  # beyond: the clock was wrong when it was set
            return "nothing to do"
        if not self.outbox.waiting and not upkeep:
            return "nothing to do"
        self.settings.begin()
        return "something to do"

    def _attach(self) -> str:
        values = self.settings.values
        self._silent = False
        address = attach.attach(values["link.attach_timeout"], self.clock)
        now = self.clock.unix()
        if now:
            self.readings.settle(now)
        self._take_readings()  # what has no value before the network is there: signal, cell
        facts = {
            "imei": cell.imei(),
            "lifetime": values["lwm2m.lifetime"],
            "binding": "UQ" if values["power.mode"] == "psm" else "U",
            "address": address,
        }
        if not facts["imei"]:
            raise NoModem("no IMEI")
        imsi = cell.imsi()
        serving = cell.serving()
        _log.info("IMEI %s, IMSI %s, ICCID %s", facts["imei"], imsi, cell.iccid())
        _log.info("address %s, cell %s", address, "unknown" if serving is None else "%x" % serving["cid"])
        if values["power.mode"] == "psm":
            self._asked = self.power.ask(values["report.interval"], values["power.active"])
        name = lwm2m.endpoint(values["lwm2m.endpoint"], facts["imei"], imsi)
        jitter = 256 + (random_bytes(1, facts["imei"])[0] >> 1)
        self._close()
        self._talk = self.clock.now() + _TALK_LIMIT
        self._session = lwm2m.Session(
            values, self._state.get("session", {}), name, self.clock, self.numbers, jitter,
            health.Values(facts, self.health, self.clock).value, self.commands.keep,
        )  # fmt: skip
        return "attached"

    def _open(self) -> str:
        self._session.open(self._until)
        _log.info("session %s", "resumed" if self._session.resumed else "registered")
        # The registration is worth more than anything later in this wake: without it the next wake registers anew.
        self._save_session()
        self.power.arm()
        self._heard = self.clock.now()
        return "open"

    def _deliver(self) -> str:
        if self.commands.waiting() and self.commands.run():
            return "more"
        batch, payload = self._batch()
        if not batch:
            return "empty"
        if self.clock.now() - self._heard > _NAT_IDLE:
            return "unheard of"
        if self._session.send(payload, self._until) == ACKNOWLEDGED:
            self.outbox.consume(batch)
            _log.info("acknowledged: id %s", _span(batch[0][0], batch[-1][0]))
            self.health.well()
            self.settings.keep()
            self._delivered = True
        self._heard = self.clock.now()
        return "more" if self.outbox.waiting else "empty"

    def _listen(self) -> str:
        start = self.clock.now()
        if start >= self._talk:
            self.health.count("listen_cut")
            return "quiet"
        window = max(self.settings.values["listen.window"], min(2 * self._gap, _LISTEN_LIMIT))
        downlink = self._session.receive(min(start + window, self._until))
        if downlink is None:
            return "quiet"
        # The window follows what the platform was seen to need, and forgets slowly.
        self._gap = max(self.clock.now() - start, self._gap * 7 // 8)
        return "commands" if self.commands.waiting() else "more"

    def _release(self) -> str:
        self._save_session()
        # Whether the module releases the connection while a wakelock is held is not known, so it is not held.
        self.health.save()
        self.power.doze()
        tries = self.power.release(self._pause)
        if tries < 0:
            self.power.hold()
            return "commands" if self.commands.waiting() else "more"
        self._close()
        if not tries:
            self.health.count("release_unseen")
        return "released"

    def _fault(self) -> str:
        fault = self._problem
        self.health.faulted(fault)
        tried = self._tried.get(fault.code, 0)
        self._tried[fault.code] = tried + 1
        if tried < _TRIES and self._session is not None:
            if fault.action == RETRY:
                return "retry"
            if fault.action == REATTACH:
                return "attach again"
        return "give up"

    def _back_off(self) -> str:
        wait = min(_LONGEST, _BACK_OFF << min(self.health.in_a_row - 1, 10))
        if self._problem.action == WAIT:
            wait = _LONGEST
        # Up to a quarter more: a fleet must not come back at once.
        wait = wait * (256 + (random_bytes(1, cell.imei())[0] >> 2)) >> 8
        self._quiet = self.clock.now() + 1000 * wait
        now = self.clock.unix()
        self.health.not_before = now + wait if now else 0
        self._save_session()
        self._close()
        if isinstance(self._problem, (NoSim, NotRegistered)):
            attach.off()
            self._silent = True
        return "put off"

    def _sleep(self) -> str:
        if self._delivered:  # a tree that fails after it has reported is not good, or it would do so for ever
            self._delivered = False
            self.boot.confirm()
        values = self.settings.values
        self.power.doze()
        psm = values["power.mode"] == "psm" and not self._silent
        grant = self._granted() if psm else None
        self.health.save()
        if psm:
            self._power_down(grant, values["power.active"])
        # Wakes are an interval apart as they are from PSM, whatever is due then and whatever the time of day says. Only
        # what waits for a back-off to end need not wait longer.
        until = self._sampled + 1000 * values["report.interval"]
        if self.outbox.waiting and self._sampled < self._quiet < until:
            until = self._quiet
        left = until - self.clock.now()
        while left > 0:
            self.boot.feed()
            self.clock.sleep(min(left, 1000 * _NAP))
            left = until - self.clock.now()
        return "woke without a boot"

    # -- parts ---------------------------------------------------------------------------------------------------

    def _pause(self, wait: int) -> bool:
        """Waits so many ms; True where a downlink came. A command that was lost is sent again after the listening
        window (2-3 s, RFC 7252 §4.8), while the connection is still up: that time on the radio is paid for, so the
        window does not grow by it."""
        if self._session is not None and self.clock.now() < self._talk:
            try:
                return self._session.receive(self.clock.now() + wait) is not None
            except NoPath:  # nothing is to be sent any more
                self._close()
        self.clock.sleep(wait)
        return False

    def _take_readings(self) -> int:
        """Takes what is due; returns the time, 0 while unknown."""
        now, stamp = self._stamp()
        due = self.readings.due(now, stamp["u"], self.settings.values["report.interval"])
        if due:
            count = self.readings.take(due, now, stamp, self.outbox)
            _log.info("readings due: %d, entries: %d, waiting: %d", len(due), count, self.outbox.waiting)
        return now

    def _granted(self):
        """The timers of PSM as granted, or None; what differs from what was asked for is said."""
        grant = self.power.read_grant()
        if grant is None:
            if attach.address():
                self.health.count("psm_refused")
        elif self._asked and grant[0] != self._asked[0]:
            _log.warning("T3412 asked %d s, granted %d s", self._asked[0], grant[0])
            if grant[0] > self._asked[0]:  # reports come later than they were meant to
                self.health.count("psm_longer")
        return grant

    def _power_down(self, grant, active: int) -> None:
        """Lets PSM take the power; returns only where it did not."""
        wait = (grant[1] if grant else active) + _PSM_GRACE
        while wait > 0:
            self.boot.feed()
            self.clock.sleep(min(wait, _NAP) * 1000)
            wait -= _NAP
        if grant is not None:
            self.health.count("psm_vetoed")  # granted, yet we are awake: USB, a wakelock, a busy thread

    def _batch(self):
        """([(id,), ...], payload) of the next uplink: as many of the oldest entries as fit, an array where there are
        several."""
        now, stamp = self._stamp()
        # An entry on flash takes about 3/2 of its payload: no more are read than could fit.
        batch = self.outbox.batch(self.settings.values["report.batch"], 2 * PAYLOAD_LIMIT)
        if not batch:
            return batch, b""
        parts, total = [], 1
        for number, entry in batch:
            when = entry["t"]
            if not when and now and entry.get("b") == self.boots:
                when = now - (stamp["u"] - entry["u"]) // 1000  # taken in this wake, before the network told the time
            part = readings.payload(number, entry, when).encode()
            if parts and total + len(part) + 1 > PAYLOAD_LIMIT:
                break
            parts.append(part)
            total += len(part) + 1
        batch = [row[:1] for row in batch[: len(parts)]]  # the ids: the entries are not needed any more
        return batch, parts[0] if len(parts) == 1 else b"[" + b",".join(parts) + b"]"

    def _stamp(self):
        """(Unix time or 0, what tells the time later where it is 0)."""
        return self.clock.unix(), {"b": self.boots, "u": self.clock.now()}

    def _expires(self) -> int:
        saved = self._state.get("session", {})
        return saved["at"] + saved["lt"] if saved else 0

    def _save_session(self) -> None:
        if self._session is not None:
            state = {"session": self._session.saved(), "gap": self._gap}
            if state != self._state:
                self.health.write(self._saved, state, "session")
                self._state = state

    def _close(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None  # type: ignore[assignment]


def _span(first: int, last: int) -> str:
    return str(first) if first == last else "%d to %d" % (first, last)


def main(boot) -> None:
    """What boot.py calls: loads the user's file, then walks the cycle."""
    import app  # noqa: F401 - declares readings and commands

    Cycle(boot).run()
