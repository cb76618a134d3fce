"""The settings: one table (name, type, unit, range, default, what it does), checked before anything is used.

`/usr/config.json` is one flat object {"name": value}. When it is broken, one message names key, value and range, and
the device runs on the last good settings; without any it waits to be provisioned. A setting changed by a command is on
trial: used at once, kept once an uplink under it was acknowledged, taken back after two wakes without one.
"""

import ujson
from micropython import const

from store.record import Record

CONFIG = "/usr/config.json"
_STATE = "/usr/state/"
_TRIAL_WAKES = const(2)

# (name, type, unit, lowest or choices, highest, default, what it does). No default: the setting is required.
TABLE = (
    ("server.host", "text", "", 1, 253, None, "address or name of the platform's LwM2M service, e.g. lwm2m.ctwing.cn"),
    ("server.port", "int", "", 1, 65535, 5683, "its UDP port"),
    ("lwm2m.endpoint", "choice", "", ("imei", "urn:imei", "urn:imei-imsi"), None, "imei", "endpoint's format"),
    ("lwm2m.lifetime", "int", "s", 300, 86400, 86400, "how long the platform waits for a sign of life"),
    ("lwm2m.ack_timeout", "int", "ms", 500, 10000, 2000, "CoAP ACK_TIMEOUT: wait before the first retransmission"),
    ("lwm2m.retries", "int", "", 0, 8, 4, "CoAP MAX_RETRANSMIT"),
    ("report.interval", "int", "s", 60, 1116000, 21600, "time between wakes; rounded up to what T3412 can say"),
    ("report.batch", "int", "", 1, 16, 4, "most entries of the outbox in one uplink; 512 bytes bound it as well"),
    ("outbox.limit", "int", "bytes", 2048, 65536, 16384, "flash for reports the platform does not have yet"),
    ("listen.window", "int", "ms", 200, 10000, 2000, "how long to wait for commands after the last message"),
    ("link.attach_timeout", "int", "s", 30, 240, 120, "longest wait for SIM, registration and data call"),
    ("power.mode", "choice", "", ("psm", "sleep"), None, "psm", "psm: power down between wakes; sleep: light sleep"),
    ("power.active", "int", "s", 2, 11160, 2, "T3324: how long the network may still reach us before PSM"),
)  # fmt: skip


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
        raise BadSetting("%s: there is no such setting" % name)
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


def parse(text: str) -> dict:
    """All settings from a config file's text, defaults filled in. Raises BadSetting."""
    try:
        given = ujson.loads(text)
    except ValueError:
        raise BadSetting("config.json: not valid JSON")
    if not isinstance(given, dict):
        raise BadSetting("config.json: not an object of settings")
    values = defaults()
    for name in sorted(given):
        values[name] = check(name, given[name])
    for row in TABLE:
        if row[0] not in values:
            raise BadSetting("%s: missing; %s" % (row[0], row[6]))
    return values


def change(name: str, value) -> None:
    """For app.py: changes one setting on trial. Raises BadSetting and changes nothing when it is not allowed."""
    _current[0].change(name, value)


class Settings:
    """The settings in force: `values`. `problem` is the message about a broken config.json, or ""."""

    def __init__(self) -> None:
        self._good = Record(_STATE + "settings.rec")
        self._trial = Record(_STATE + "trial.rec")
        self.problem = ""
        self.values = self._load()
        self.on_trial = {}
        if self.values is not None:
            self._resume_trial()
        _current[:] = [self]

    def change(self, name: str, value) -> None:
        """Sets one setting on trial, from now on. Raises BadSetting and changes nothing when it is not allowed."""
        trial = dict(self.on_trial)
        trial[name] = check(name, value)
        self._trial.save({"set": trial, "wakes": 0, "config": self._config})
        self.on_trial = trial
        self.values[name] = value

    def keep(self) -> None:
        """An uplink was acknowledged under the present settings: what was on trial stays."""
        if self.on_trial:
            self._good.save({"config": self._config, "values": self.values})
            self._trial.remove()
            self.on_trial = {}

    def _load(self):
        good = self._good.load()
        try:
            with open(CONFIG) as file:
                text = file.read(4096)
        except OSError:
            text = None
            self.problem = "config.json: missing"
        if text is not None:
            # The text tells whether the file was changed since: a change by command outlives the file it changed.
            if good is not None and good["config"] == text:
                self._config = text
                return good["values"]
            try:
                values = parse(text)
            except BadSetting as error:
                self.problem = str(error)
            else:
                self._config = text
                self._good.save({"config": text, "values": values})
                self._trial.remove()
                return values
        if good is None:
            return None
        self._config = good["config"]
        return good["values"]

    def _resume_trial(self) -> None:
        trial = self._trial.load()
        if trial is None:
            return
        if trial["wakes"] + 1 >= _TRIAL_WAKES or trial["config"] != self._config:
            self._trial.remove()
            return
        trial["wakes"] += 1
        self._trial.save(trial)
        self.on_trial = trial["set"]
        self.values.update(self.on_trial)


def _short(value) -> str:
    text = ujson.dumps(value)
    return text if len(text) <= 40 else text[:37] + "..."
