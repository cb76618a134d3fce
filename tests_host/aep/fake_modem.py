"""A modem of answers for the sessions over its own client: `link.at`, `lwm2m` and a clock. Runs wherever lib/ runs.

Nothing here imitates AT commands: `answers` says what each begins with, a text, a list that is used up, or an
exception; a command without one is OK and empty.
"""

import sys

from link.fault import NoModem, NoName

ERROR = NoModem("ERROR")
SILENT = NoModem("timeout")


class At:
    """Stands in for link/at.py."""

    modem = None

    @staticmethod
    def send(command, timeout=5, room=None):
        return At.modem.send(command)

    @staticmethod
    def values(command, prefix):
        for line in At.modem.send(command).split("\n"):
            if line.startswith(prefix):
                return [field.strip().strip('"') for field in line[len(prefix) :].strip(": ").split(",")]
        raise NoModem(command + ": answer without " + prefix)


class Modem:
    """Also the clock; `sent` is every command but those that only look."""

    def __init__(self, **answers):
        self.time, self.epoch = 0, 1795392000
        self.sent, self.answers, self.noted, self.at_times = [], {}, [], []
        for name in answers:
            self.answers["AT+" + name] = answers[name]
        At.modem = self

    def send(self, command):
        if not command.startswith(("AT+QLWRD", "AT+QLWSTATUS", "AT+NMGR", "AT+NMSTATUS", "AT+QLWULDATASTATUS")):
            self.sent.append(command)
        longest = ""
        for name in self.answers:
            if command.startswith(name) and len(name) > len(longest):
                longest = name
        answer = self.answers.get(longest, "")
        if isinstance(answer, list):
            answer = answer.pop(0) if len(answer) > 1 else answer[0]
        if isinstance(answer, Exception):
            raise NoModem(command.split("=")[0] + ": " + str(answer))
        return answer

    def now(self):
        return self.time

    def unix(self):
        return self.epoch + self.time // 1000

    def sleep(self, milliseconds):
        self.time += milliseconds
        for when, name, answer in list(self.at_times):
            if when <= self.time:
                self.at_times.remove((when, name, answer))
                self.answers[name] = answer

    def later(self, when, name, answer):
        self.at_times.append((when, "AT+" + name, answer))

    def note(self, code, value=0):
        self.noted.append((code, value))


class Sockets:
    """Stands in for link/sockets.py; `gone`: the name does not resolve any more."""

    ADDRESS = "221.229.214.202"
    gone = False

    @staticmethod
    def resolve_or(host, port, own, last):
        if not Sockets.gone:
            return Sockets.ADDRESS, False
        if not last:
            raise NoName(host)
        return last, True


class Cell:
    """Stands in for link/cell.py."""

    version = "EC800ECNLCR01A01M04"

    @staticmethod
    def firmware():
        return Cell.version


FILES = ("lwm2m_modem", "modem_qlw", "modem_ncdp")


def session_files():
    """aep.lwm2m_modem and its clients over this modem; whoever else imports them gets the real ones."""
    names = ["aep." + name for name in FILES] + ["link.at", "link.cell", "link.sockets"]
    taken = {name: sys.modules.pop(name, None) for name in names}
    sys.modules["link.at"] = At
    sys.modules["link.cell"] = Cell
    sys.modules["link.sockets"] = Sockets
    made = []
    for name in FILES:
        __import__("aep." + name)
        made.append(sys.modules["aep." + name])
        made[-1].at = At
    made[0].sockets = Sockets
    made[0].cell = Cell
    for name in ("link.at", "link.cell", "link.sockets"):
        del sys.modules[name]
        if taken[name] is not None:
            sys.modules[name] = taken[name]
    return made
