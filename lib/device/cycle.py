"""The duty cycle: one wake from power-on to sleep, as a table of states and the loop that walks it.

The table is the documentation: `docs/cycle.md` is drawn from it. A state is a method that returns an event; the table
says which state follows. The watchdog is fed between states. Each state's deadline bounds what the device itself waits
for and ends before the watchdog bites; it does not bound the user's code. A reading or handler that takes longer than
the watchdog (boot.py) ends in a reset with reason 5, and its command is answered "interrupted". What a wake
begins with is start.py's, what sleep looks like rest.py's, what becomes of a fault trouble.py's, loaded when there is
one.
"""

import log
import ujson
from micropython import const

from aep.session import ACKNOWLEDGED, NAT_IDLE
from device import events, orders, rest, start, uplink
from link import attach
from link.entropy import random_bytes
from link.fault import Fault, NoFlash
from store.record import crc32

MYPY = const(0)  # 1 for mypy, which takes it so by its name
if MYPY:
    from aep import lwm2m  # noqa: F401

# Text, not lists of rows: a tenth of the heap.

# state: longest stay in s beside what readings and handlers take. What it does is its method's first line.
STATES = """
WAKE: 30
SAMPLE: 60
ATTACH: 250
OPEN: 200
DELIVER: 200
LISTEN: 120
RELEASE: 60
FAULT: 30
BACK_OFF: 30
SLEEP: 0
UNPROVISIONED: 0
"""

# state, event: next state
TABLE = """
WAKE, ready: SAMPLE
WAKE, no settings: UNPROVISIONED
SAMPLE, something to do: ATTACH
SAMPLE, nothing to do: SLEEP
ATTACH, attached: OPEN
OPEN, open: DELIVER
DELIVER, more: DELIVER
DELIVER, empty: LISTEN
DELIVER, unheard of: OPEN
LISTEN, commands: DELIVER
LISTEN, more: LISTEN
LISTEN, quiet: RELEASE
RELEASE, released: SLEEP
RELEASE, commands: DELIVER
RELEASE, more: LISTEN
SLEEP, woke without a boot: SAMPLE
SLEEP, commands: DELIVER
SLEEP, more: LISTEN
SLEEP, sign of life due: OPEN
SLEEP, path lost: ATTACH
*, fault: FAULT
FAULT, retry: OPEN
FAULT, attach again: ATTACH
FAULT, give up: BACK_OFF
BACK_OFF, put off: SLEEP
"""

_LISTEN_LIMIT = const(10000)  # ms: the longest a learned window grows; estimate
_TALK_LIMIT = const(600000)  # ms: a platform that goes on sending is heard again at the next wake; estimate
_FUTURE = const(172800)  # s: what is put off for longer was put off by a clock that was wrong

_log = log.getLogger("cycle")


class Cycle(start.Wake):
    """One power-on. `boot` has `feed()` (the watchdog), `rest()` (it stops) and `confirm()` (this tree works). What has
    no underscore is shared with start.py, rest.py and trouble.py."""

    def __init__(self, boot) -> None:
        start.Wake.__init__(self)
        self.boot = boot
        self.state = "WAKE"
        self.problem = Fault()
        self.asked = None  # (T3412 s, T3324 s)
        self.tried = {}
        self.session = None  # type: lwm2m.Session  # type: ignore[assignment] # or another that aep/session.py describes
        self.until = 0  # when the present state should end
        self.sampled = 0  # ms since power-on of the last wake on schedule: the next is an interval later
        self.heard = 0  # when the platform last answered
        self.quiet = 0  # and before which the platform is not tried again
        self.answered = False  # whether the platform has answered Register or Update in this wake
        self.delivered = False  # whether the platform has acknowledged something in this wake
        self.silent = False  # whether the radio was switched off
        self.told = 0  # when observers were last told something in sleep
        self.losses = 0  # of the path, since the last wake on schedule
        self.routine = False  # awake for a sign of life alone: not worth a word on flash
        self.psm = False  # whether sleep is PSM: by setting, and where the module has it
        self.ladder = None
        self._opened_with = None  # the settings of the session
        self._mark = 0  # of `kept` as it was written
        self._talk = 0  # when nothing more is listened to

    def run(self) -> None:
        """Walks the table until the power goes; returns only where there is nothing to run on."""
        while self.state != "UNPROVISIONED":
            self.boot.feed()
            self.until = self.clock.now() + 1000 * int(_row(STATES, self.state))
            event = self.step()
            self.state = _row(TABLE, self.state + ", " + event) or _row(TABLE, "*, " + event)
        self._unprovisioned()

    def step(self) -> str:
        """One state; returns its event."""
        try:
            return getattr(self, "_" + self.state.lower())()
        except Fault as fault:
            self.problem = fault
            return "fault"
        except OSError as error:  # link/ makes faults of its own: what is left is the flash
            if self.state == "WAKE":
                raise
            self.problem = NoFlash("error %d in %s" % (error.args[0], self.state))
            return "fault"

    # -- states --------------------------------------------------------------------------------------------------

    def _wake(self) -> str:
        """Settings and what was saved are loaded."""
        return self.load()

    def _sample(self) -> str:
        """Readings that are due go into the outbox."""
        self.routine = False
        self.losses = 0
        self.power.hold()
        interval = self.settings.values["report.interval"]
        self._keep_schedule(interval)
        now = self._take_readings()
        self.tried = {}
        ends = None if self.way is None else self.way.ends(self.kept["session"])
        upkeep = self.commands.waiting() or orders.pending or ends is not None and ends < now + 2 * interval
        if self.clock.now() < self.quiet:
            return "nothing to do"
        if now and now < self.health.not_before <= now + _FUTURE:
            return "nothing to do"
        if not self.outbox.waiting and not upkeep and not self.lacks_session():
            return "nothing to do"
        if self.settings.begin():
            self.health.note(events.TAKEN_BACK)
        return "something to do"

    def _attach(self) -> str:
        """SIM, registration, data call, clock; recovered step by step where it does not come."""
        found = self.settings.values
        self.way = start.way(found)
        self.silent = False
        self.ladder = None
        began, before = self.clock.now(), self.clock.unix()
        address = attach.attach(found["link.attach_timeout"], self.clock, self._recover)
        took = self.clock.now() - began
        if took > 1000:
            self.health.note(events.ATTACHED, took // 100)
        now = self.clock.unix()
        self.health.clock_changed(before, now, took // 1000)
        if now:
            self.readings.settle(now)
        self._take_readings()  # what has no value before the network is there: signal, cell
        self._talk = self.clock.now() + _TALK_LIMIT
        self.choose_sleep()
        if self.psm:
            left = found["report.interval"] - (self.clock.now() - self.sampled) // 1000
            # A new request is a new negotiation: one that differs by what this wake has taken so far is none.
            on_time = left > found["report.interval"] * 9 // 10
            self.asked = self.power.ask(found["report.interval"] if on_time else max(60, left), found["power.active"])
        else:
            self.power.decline()
        if self.session is not None and self._opened_with is found and address == self.device.address:
            return "attached"
        self.remember()
        self.close()
        if found["link.dns"]:
            attach.use_dns(found["link.dns"])
        self.introduce(address)
        # What these settings say holds for all that was made at power-on, too: they may have changed since.
        self.outbox.limit = found["outbox.limit"]
        self.commands.buffered, self.commands.way = found["downlink.mode"] == "buffer", None
        who = found["server.host"] + found.get("device.id", "")
        if self.commands.who not in ("", who):  # the tasks of another platform tell nothing of this one's
            self.commands.done = []
        self.commands.who = who
        if self.commands.buffered or found["payload"] != "transparent" or found["protocol"][0] == "m":
            from device import ways

            ways.choose(self.commands, found)
        jitter = 256 + (random_bytes(1, self.device.imei)[0] >> 1)
        self._opened_with = found
        self.session = self.way.session(found, self.kept.get("session", {}))(
            found, self.kept.get("session", {}), self.clock, self.numbers, jitter, self.device, self.commands.keep,
            self.health.note, self.save_session,
        )  # fmt: skip
        self.session.refresh = not self.outbox.waiting  # where no report says where we are, a sign of life does
        return "attached"

    def _open(self) -> str:
        """The session resumes or registers, or was kept."""
        self.session.open(self.until)
        how = events.DIRECT if self.session.direct else events.RESUMED if self.session.resumed else events.REGISTERED
        if not self.routine:
            self.health.note(how)
        _log.info("session %s", "kept" if self.session.direct else "resumed" if self.session.resumed else "registered")
        # The registration is worth more than anything later in this wake: without it the next wake registers anew.
        self.save_session()
        self.power.arm()
        self.heard = self.clock.now()
        self.answered = not self.session.direct
        return "open"

    def _deliver(self) -> str:
        """One command runs and leaves its answer, or one batch goes up, consumed once acknowledged."""
        if self.commands.waiting() and self.commands.run():
            if self.settings.changed:
                self.settings.changed = False
                self.health.note(events.CHANGED)
            return "more"
        batch, payload, how = uplink.batch(self)
        if not batch:
            return "empty"
        if self.clock.now() - self.heard > NAT_IDLE:
            return "unheard of"
        acknowledged = self.session.send(payload, self.until, *how) == ACKNOWLEDGED
        if acknowledged or self.answered:  # without confirmation, an answer in this wake must do
            self._confirm()  # first: nothing may be left to confirm it with after a cut
        self.outbox.consume(batch)
        self.health.note(events.ACKNOWLEDGED if acknowledged else events.HANDED_OVER, len(batch))
        _log.info("%s: id %s", "acknowledged" if acknowledged else "handed over", uplink.span(batch))
        self.heard = self.clock.now()
        return "more" if self.outbox.waiting else "empty"

    def _listen(self) -> str:
        """What else the platform is to know goes up; commands come down and are stored."""
        began = self.clock.now()
        if began >= self._talk:
            self.health.count("listen_cut")
            return "quiet"
        found = self.settings.values
        if self.session.due(found):
            self.session.settle(self.until, found)
            began = self.clock.now()
        window = max(found["listen.window"], min(2 * self.gap, _LISTEN_LIMIT))
        downlink = self.session.receive(min(began + window, self.until))
        if downlink is None:
            self.gap = self.gap * 7 // 8
            return "more" if self.session.due(self.settings.values) else "quiet"
        self.heard = self.clock.now()
        # The window follows what the platform was seen to need, and forgets slowly.
        self.gap = max(self.heard - began, self.gap)
        return "commands" if self.commands.waiting() else "more"

    def _release(self) -> str:
        """Orders, then the radio connection is released; what still comes down before that is stored."""
        if orders.pending:
            self._leave()
        self.save_session()
        if self.psm and self.session is not None and self.session.closes:
            self.close()
        # Whether the module releases the connection while a wakelock is held is not known, so it is not held.
        self.power.doze()
        tries = self.power.release(self._pause)
        if tries < 0 or self.session is not None and orders.pending and orders.REBOOT not in orders.pending:
            self.power.hold()
            return "commands" if self.commands.waiting() else "more"
        self.save_session()  # what was asked meanwhile
        if not self.routine and not self.power.awake:
            self.health.note(events.RELEASED if tries else events.UNRELEASED, tries)
        if self.psm:
            self.close()
        if orders.take(orders.REBOOT):
            rest.restart(self, events.REBOOT_ASKED)
        return "released"

    def _fault(self) -> str:
        """What went wrong is counted and classed."""
        from device import trouble

        return trouble.fault(self)

    def _back_off(self) -> str:
        """The next try is put off, longer each time; the module may restart first."""
        from device import trouble

        return trouble.back_off(self)

    def _sleep(self) -> str:
        """PSM, or light sleep until the next wake; with a kept session commands are heard meanwhile."""
        event = rest.sleep(self)
        self._talk = self.clock.now() + _TALK_LIMIT
        return event

    def _unprovisioned(self) -> None:
        """No usable settings: waits for config.json with the REPL open."""
        self.boot.rest()
        self.power.doze()
        _log.error("waiting for /usr/config.json: %s", self.settings.problem)

    # -- parts ---------------------------------------------------------------------------------------------------

    def _confirm(self) -> None:
        """The platform has what was sent: settings and tree that did it are good."""
        self.health.well()
        self.delivered = True
        try:
            if self.settings.keep():
                self.health.note(events.KEPT)
        except OSError as error:  # they stay on trial; the report is not to be sent again for that
            self.health.failed("flash", "settings", error)

    def _recover(self, stage: int, part: int) -> bool:
        """What attach asks when the link does not come."""
        from device import trouble

        return trouble.recover(self, stage, part)

    def _leave(self) -> None:
        """Ends the registration where that was ordered."""
        disabled = orders.take(orders.DISABLE)
        if orders.take(orders.LEAVE) or disabled:
            try:
                self.session.deregister(self.until)
            except Fault as fault:  # then the registration ends with its lifetime
                _log.warning("deregistering: %s", fault)
            self.remember()
            self.close()
        if disabled:
            wait = min(self.device.server.get("off", 86400), 86400)
            self.quiet = self.clock.now() + 1000 * wait
            now = self.clock.unix()
            self.health.not_before = now + wait if now else 0

    def _pause(self, wait: int) -> bool:
        """Waits so many ms; True where a downlink came. A command that was lost is sent again after the listening
        window (2-3 s, RFC 7252 §4.8), while the connection is still up: that time on the radio is paid for, so the
        window does not grow by it."""
        if self.session is not None and self.clock.now() < self._talk:
            try:
                return self.session.receive(self.clock.now() + wait) is not None
            except Fault:  # nothing is to be sent any more
                self.close()
        self.clock.sleep(wait)
        return False

    def _keep_schedule(self, interval: int) -> None:
        """Wakes are an interval apart, whatever comes in between: a try after a back-off, a sign of life, a restart."""
        now, unix, last = self.clock.now(), self.clock.unix(), self.readings.last()
        since = unix - last if unix and last else (now - self.sampled) // 1000 if self.sampled else interval
        early = 0 <= since < interval - interval // 10
        self.sampled = now - 1000 * since if early else now

    def _take_readings(self) -> int:
        """Takes what is due; returns the time, 0 while unknown."""
        now, stamp = self.stamp()
        due = self.readings.due(now, stamp["u"], self.settings.values["report.interval"])
        if due:
            dropped = self.outbox.dropped
            count = self.readings.take(due, now, stamp, self.outbox)
            if self.outbox.dropped > dropped:
                self.health.note(events.DROPPED, self.outbox.dropped - dropped)
            _log.info("readings due: %d, entries: %d, waiting: %d", len(due), count, self.outbox.waiting)
        return now

    def lacks_session(self) -> bool:
        """No session, where one should be kept: in light sleep the platform is to reach us at any time."""
        return self.session is None and not self.psm

    def remember(self) -> None:
        """What the next session needs, in `kept`."""
        if self.session is not None:
            self.kept = {
                "session": self.session.saved(), "gap": self.gap, "server": self.device.server, "boot": self.boots,
            }  # fmt: skip

    def save_session(self) -> None:
        """`kept`, for the next power-on, where it has changed. In light sleep a later sign of life alone is written
        only when a quarter of the lifetime has gone: signs of life may be frequent, flash wears."""
        self.remember()
        state = dict(self.kept)
        if state and not self.psm and "lt" in state["session"]:
            state["session"] = dict(state["session"])
            state["session"]["at"] //= 1 + state["session"]["lt"] // 4
            state["session"]["marks"] = 0
        mark = crc32(ujson.dumps(state).encode())
        if state and mark != self._mark:
            self.health.write(self.saved, self.kept, "session")
            self._mark = mark

    def close(self) -> None:
        """Ends the session's socket; what it has learned is in `kept` as far as `save_session` was called."""
        if self.session is not None:
            strangers = self.session.strangers()
            if strangers:
                self.health.note(events.STRANGERS, strangers)
            self.session.close()
            self.session = None  # type: ignore[assignment]


def _row(table: str, key: str) -> str:
    """What a table says of a key, "" where it says nothing."""
    key = "\n" + key + ": "
    at = table.find(key) + len(key)
    return "" if at < len(key) else table[at : table.find("\n", at)]


def main(boot) -> None:
    """What boot.py calls: loads the user's file, then walks the cycle."""
    import app  # noqa: F401 - declares readings and commands

    Cycle(boot).run()
