"""The settings: one table (name, type, unit, range, default, what it does), checked before anything is used.

`/usr/config.json` is one flat object {"name": value}. When it is broken, one message names key, value and range, and
the device runs on the last good settings; without any it waits to be provisioned. A setting changed by a command is on
trial: used at once, kept once an uplink under it was acknowledged, taken back after two wakes without one.
"""

import ujson
from micropython import const

from store.record import Record, crc32

CONFIG = "/usr/config.json"
_STATE = "/usr/state/"
_TRIAL_WAKES = const(2)
_LONGEST = const(4096)  # bytes of config.json

# [name, type, unit, lowest or choices, highest, default, what it does]. No default: the setting is required.
TABLE = [
    ["server.host", "text", "", 1, 253, None, "address or name of the platform's LwM2M service, e.g. lwm2m.ctwing.cn"],
    ["server.port", "int", "", 1, 65535, 5683, "its UDP port"],
    ["lwm2m.endpoint", "choice", "", ("imei", "urn:imei", "urn:imei-imsi"), None, "imei", "endpoint's format"],
    ["lwm2m.lifetime", "int", "s", 300, 86400, 86400, "how long the platform waits for a sign of life"],
    ["lwm2m.ack_timeout", "int", "ms", 500, 10000, 2000, "CoAP ACK_TIMEOUT: wait before the first retransmission"],
    ["lwm2m.retries", "int", "", 0, 8, 4, "CoAP MAX_RETRANSMIT"],
    ["report.interval", "int", "s", 60, 1116000, 21600, "time between wakes; rounded up to what T3412 can say"],
    ["report.batch", "int", "", 1, 16, 4, "most entries of the outbox in one uplink; 512 bytes bound it as well"],
    ["outbox.limit", "int", "bytes", 2048, 65536, 16384, "flash for reports the platform does not have yet"],
    ["listen.window", "int", "ms", 200, 10000, 2000, "how long to wait for commands after the last message"],
    ["link.attach_timeout", "int", "s", 30, 240, 120, "longest wait for SIM, registration and data call"],
    ["power.mode", "choice", "", ("psm", "sleep"), None, "psm", "psm: power down between wakes; sleep: light sleep"],
    ["power.active", "int", "s", 2, 11160, 2, "T3324: how long the network may still reach us before PSM"],
]  # type: list  # fmt: skip


_current = []  # the one Settings of this boot


class BadSetting(ValueError):
    """A setting is unknown, missing, of the wrong type or out of range. The text names key, value and range."""


def defaults() -> dict:
    """{name: default} of every setting that has one."""
    return {row[0]: row[5] for row in TABLE if row[5] is not None}


def check(name: str, value):
    """Raises BadSetting unless `value` is allowed for `name`; returns it."""
    for row in TABLE:
        if row[0] == name:
            break
    else:
        raise BadSetting("%s: there is no such setting" % name[:40])
    kind, unit, low, high = row[1:5]
    if kind == "choice":
        good, wanted = value in low, "one of " + ", ".join(low)
    elif kind == "text":
        good = isinstance(value, str) and low <= len(value.encode()) <= high
        wanted = "text of %d-%d bytes" % (low, high)
    else:
        good = isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
        wanted = "a whole number %d-%d%s" % (low, high, " " + unit if unit else "")
    if not good:
        raise BadSetting("%s: %s is not allowed; give %s" % (name, _short(value), wanted))
    return value


def parse(text) -> dict:
    """All settings from a config file's bytes, None where there is no file; defaults filled in. Raises BadSetting."""
    if text is None:
        raise BadSetting("config.json: missing")
    if len(text) > _LONGEST:
        raise BadSetting("config.json: longer than %d bytes" % _LONGEST)
    try:
        given = ujson.loads(text)
    except (ValueError, RuntimeError):  # RuntimeError: nested too deep
        raise BadSetting("config.json: not valid JSON")
    if not isinstance(given, dict):
        raise BadSetting("config.json: not an object of settings")
    values = defaults()
    for name in sorted(given):
        values[name] = check(name, given[name])
    problem = _missing(values)
    if problem:
        raise BadSetting(problem)
    return values


def change(name: str, value) -> None:
    """For app.py: changes one setting on trial. Raises BadSetting and changes nothing when it is not allowed."""
    _current[0].change(name, value)


class Settings:
    """The settings in force: `values`, None where there are none. `problem` is the message about a broken config.json,
    or ""; `on_trial` what was changed by command and is not kept yet."""

    def __init__(self) -> None:
        self._good = Record(_STATE + "settings.rec")
        self._trial = Record(_STATE + "trial.rec")
        self.problem = ""
        self.on_trial = {}
        self._wakes = 0  # begun under what is on trial
        self._begun = {}  # what was on trial when this wake began
        self._mark = ""  # of the config.json that is in force
        self._base = self._load()
        self.values = self._base
        if self._base is not None:
            self._resume_trial()
        _current[:] = [self]

    def change(self, name: str, value) -> None:
        """Sets one setting on trial, from now on. Raises BadSetting, or OSError where the flash refuses, and changes
        nothing then."""
        trial = dict(self.on_trial)
        trial[name] = check(name, value)
        self._save_trial(trial, 0)

    def begin(self) -> None:
        """The platform is about to be reached under the present settings. Counted while something is on trial; what had
        its wakes goes back."""
        if self.on_trial and self._wakes >= _TRIAL_WAKES:
            self._trial.remove()
            self.on_trial = {}
            self.values = self._base
        elif self.on_trial:
            self._save_trial(self.on_trial, self._wakes + 1)
        self._begun = self.on_trial

    def keep(self) -> None:
        """An uplink was acknowledged: what was on trial when the wake began stays. What was changed since has not been
        tried: the session still runs as it was opened."""
        if self.on_trial and self.on_trial is self._begun:
            self._good.save({"config": self._mark, "values": self.values})
            self._trial.remove()
            self.on_trial = {}
            self._base = self.values

    def _load(self):
        good = self._good.load()
        text = _read()
        # The mark tells whether the file was changed since: a change by command outlives the file it changed.
        mark = "" if text is None else "%d.%08x" % (len(text), crc32(text))
        if good is not None and good["config"] == mark:
            self._mark = mark
        else:
            try:
                values = parse(text)
            except BadSetting as error:
                self.problem = str(error)
            else:
                self._mark = mark
                try:
                    self._good.save({"config": mark, "values": values})
                except OSError as error:  # they are good, only not kept for the day the file is broken
                    self.problem = "config.json: not saved as the last good one: error %d" % error.args[0]
                return values
        if good is None:
            return None
        self._mark = good["config"]
        # Another version of this tree may have saved them: what it lacked has its default, what is no more is left out.
        values = defaults()
        for name in good["values"]:
            try:
                values[name] = check(name, good["values"][name])
            except BadSetting:
                continue
        return None if _missing(values) else values

    def _resume_trial(self) -> None:
        trial = self._trial.load()
        if trial is None:
            return
        if trial["config"] == self._mark:
            try:
                for name in trial["set"]:
                    check(name, trial["set"][name])
            except BadSetting:
                pass
            else:
                self._use(trial["set"], trial["wakes"])
                return
        self._trial.remove()

    def _save_trial(self, trial: dict, wakes: int) -> None:
        self._trial.save({"set": trial, "wakes": wakes, "config": self._mark})
        self._use(trial, wakes)

    def _use(self, trial: dict, wakes: int) -> None:
        self.on_trial, self._wakes = trial, wakes
        self.values = dict(self._base)  # a session that is open keeps the ones it was given
        self.values.update(trial)


def _read():
    """config.json as it is, None where there is none."""
    try:
        with open(CONFIG, "rb") as file:
            return file.read(_LONGEST + 1)
    except OSError:
        return None


def _missing(values: dict) -> str:
    """The first required setting that has no value, as a message, or ""."""
    for row in TABLE:
        if row[0] not in values:
            return "%s: missing; %s" % (row[0], row[6])
    return ""


def _short(value) -> str:
    text = ujson.dumps(value)
    return text if len(text) <= 40 else text[:37] + "..."
