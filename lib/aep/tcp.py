"""AEP over TCP (ctwing.md §4, guide §4.3): the session that the cycle sees.

Version 1.1 acknowledges every report. Version 1.0 acknowledges nothing: TCP's own acknowledgement is not shown to the
application, so a heartbeat is sent behind the report, and its answer shows that the platform has read so far. Such a
report counts as handed over.
"""

from micropython import const

from aep import frames as f
from aep import refusals
from aep import session as s
from aep.connected import SAVED, Connected, endpoint, ends  # noqa: F401 - the module's face
from aep.stream_faults import BadFrame, LoggedIn, NotConfirmed
from link import cell

_ANSWER = const(10000)  # ms for the answer to a login, report or heartbeat; estimate: TCP repeats meanwhile
_RESULTS = {1: refusals.Refused, 2: refusals.NotProvisioned, 3: refusals.NotProvisioned, 4: LoggedIn}
_WORDS = {1: "unknown error", 2: "device not registered", 3: "wrong token", 4: "already logged in"}
_TASKS = const(0xFFFF)


def session(settings: dict, saved: dict):
    """The class of the session."""
    return Session


class Session(Connected):
    """See aep/session.py."""

    def __init__(self, settings: dict, saved: dict, clock, numbers, jitter: int, device, keep, note, persist) -> None:
        Connected.__init__(self, settings, saved, clock, numbers, jitter, device, keep, note, persist)
        self._version = settings["tcp.version"]
        self._parser = f.Parser()
        self._login = -1  # its result
        self._beats = 0  # heartbeats that were not answered
        self._answers = {}  # message id: result

    def send(self, payload: bytes, until: int, sure: bool = False, service: int = 0, task=None) -> int:
        """One report or answer; ACKNOWLEDGED by version 1.1, else HANDED_OVER once the platform has been seen to read
        on. Raises NotConfirmed, ConnectionLost or BadFrame."""
        if service and self._version == "1.1" and task is None:
            number = self.numbers.next("mid") & 0xFFFF
            self._ended(lambda until: self._report(number, service, payload, until), until)
            return s.ACKNOWLEDGED
        if service and task is not None:  # an answer without a payload: that it failed
            frame = f.answer(task & _TASKS, 1, service, payload) if payload else f.answer(task & _TASKS, 2)
        else:
            frame = f.uplink(payload)
        if sure or self._settings["report.type"] == "con":
            self._ended(lambda until: self._beat(until, frame), until)
        else:
            self._send(frame)
        return s.HANDED_OVER

    def _report(self, number: int, service: int, payload: bytes, until: int) -> None:
        self._answers = {}  # those of before were repeats
        self._send(f.report(number, service, payload))
        if not self._until(lambda: number in self._answers, min(until, self.clock.now() + _ANSWER)):
            raise NotConfirmed("report not acknowledged")
        result = self._answers.pop(number)
        if result:
            raise refusals.Refused("report answered with result %d" % result)

    def _greet(self, until: int) -> None:
        self._parser = f.Parser()
        self._login = -1
        self._beats = 0
        more = []
        if self._version == "2.0":
            more = [cell.model(), "", cell.firmware(), self._device.imei, cell.iccid() or "", cell.imsi() or ""]
        found = self._settings
        self._send(f.login(found["device.id"], found["device.token"], self._version, more))
        if not self._until(lambda: self._login >= 0, min(until, self.clock.now() + _ANSWER)):
            raise s.Silent("no answer to the login at " + self._server)
        if self._login:
            text = "login answered %d, %s" % (self._login, _WORDS.get(self._login, "unknown"))
            raise _RESULTS.get(self._login, refusals.Refused)(text)

    def _sign(self, until: int) -> None:
        self._beat(until, b"")

    def _beat(self, until: int, before: bytes) -> None:
        """A heartbeat behind what goes before it, in one segment; its answer shows that both were read."""
        self._send(before + b"\x04")
        self._signed = self.clock.now()  # whether anything else counts for the platform is not known (ctwing.md §4.2)
        self._beats += 1
        if not self._until(lambda: self._beats == 0, min(until, self.clock.now() + _ANSWER)):
            raise NotConfirmed("heartbeat not answered")

    def _silence(self, settings: dict) -> int:
        return settings["tcp.heartbeat"]

    def _take(self, data: bytes) -> None:
        for kind, body in self._parser.feed(data):
            if kind == f.LOGGED_IN:
                self._login = body[0] << 8 | body[1]
            elif kind == f.HEARTBEAT_ANSWER:
                self._beats = 0
            elif kind == f.UPLINK_ANSWER:
                number, result = f.numbers(body)
                self._answers[number] = result
                if len(self._answers) > 8:
                    raise BadFrame("acknowledgements of reports that were never sent")
            else:
                self._counted()
                self._held.append((f.numbers(body) if self._version == "1.1" else 0, body))
        self._store()

    def _stored(self, row: tuple) -> bool:
        """In version 1.1 a command's answer acknowledges it (ctwing.md §4.1); what none is to come for is done with
        here. Version 1.0 has no word for it."""
        numbers, body = row
        if not numbers:
            return self._down(body) != s.BUSY
        task, service = numbers
        kept = self._down(body[4:], service, task) if service else s.MALFORMED
        if kept in (s.DONE, s.MALFORMED):
            self._send(f.answer(task, 0 if kept == s.DONE else 2))
        return kept != s.BUSY
