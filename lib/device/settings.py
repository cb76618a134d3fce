"""The settings in force: loaded at power-on, changed on trial. The table they are held to is settings_table.py.

`/usr/config.json` is one flat object {"name": value}. When it is broken, one message names key, value and range, and
the device runs on the last good settings; without any it waits to be provisioned. A setting changed by a command is on
trial: used at once, kept once an uplink under it was acknowledged, taken back after two wakes without one.
"""

import usys
from micropython import const

from store.record import Record, crc32
from store.shape import shaped

CONFIG = "/usr/config.json"
_STATE = "/usr/state/"
_TRIAL_WAKES = const(2)
_LONGEST = const(4096)  # bytes of config.json
# Of the table: settings saved under it need no check. A test compares; write there what it says.
TABLE_MARK = const(0xEAA4565)

_current = []  # the one Settings of this boot


class BadSetting(ValueError):
    """A setting is unknown, missing, of the wrong type or out of range. The text names key, value and range."""


def change(name: str, value) -> None:
    """For app.py: changes one setting on trial. Raises BadSetting and changes nothing when it is not allowed."""
    _current[0].change(name, value)


def check(name: str, value):
    """Raises BadSetting unless `value` is allowed for `name`; returns it."""
    _hold({name: value})
    return value


def _hold(trial: dict, base=None, before=None) -> None:
    """Raises BadSetting unless each is allowed, and all go together on top of `base`; what they make use of joins
    them, and what goes along with another protocol than `before`'s."""
    from device import settings_table

    wrong = settings_table.wrong(trial, base, before)
    _unload()
    if wrong:
        raise BadSetting(wrong)


class Settings:
    """The settings in force: `values`, None where there are none. `problem` is the message about a broken config.json,
    or ""; `on_trial` what was changed by command and is not kept yet."""

    def __init__(self) -> None:
        self._good = Record(_STATE + "settings.rec")
        self._trial = Record(_STATE + "trial.rec")
        self.problem = ""
        self.changed = False  # by `change`, since the cycle last looked
        self.on_trial = {}
        self._wakes = 0  # begun under what is on trial
        self._begun = {}  # what was on trial when this wake began
        self._mark = ""  # of the config.json that is in force
        self.renewed = False  # config.json is another than at the last power-on
        self._base = self._load()
        self.values = self._base
        if self._base is not None:
            self._resume_trial()
        _current[:] = [self]

    def change(self, name: str, value) -> None:
        """Sets one setting on trial, from now on. Raises BadSetting, or OSError where the flash refuses, and changes
        nothing then."""
        trial = dict(self.on_trial)
        trial[name] = value
        _hold(trial, self._base, self.values if name in ("protocol", "security") else None)
        self._save_trial(trial, 0)
        self.changed = True

    def begin(self) -> bool:
        """The platform is about to be reached under the present settings. Counted while something is on trial; what had
        its wakes goes back: True then."""
        back = False
        if self.on_trial and self._wakes >= _TRIAL_WAKES:
            self._trial.remove()
            self.on_trial = {}
            self.values = self._base
            back = True
        elif self.on_trial:
            self._save_trial(self.on_trial, self._wakes + 1)
        self._begun = self.on_trial
        return back

    def keep(self) -> bool:
        """An uplink was acknowledged: what was on trial when the wake began stays; True then. What was changed since
        has not been tried: the session still runs as it was opened."""
        if self.on_trial and self.on_trial is self._begun:
            self._save(self.values)
            self._trial.remove()
            self.on_trial = {}
            self._base = self.values
            return True
        return False

    def _load(self):
        good = shaped(self._good.load(), {"config": "", "values": {}, "table": -1})
        text = _read()
        # The mark tells whether the file was changed since: a change by command outlives the file it changed.
        mark = "" if text is None else "%d.%08x" % (len(text), crc32(text))
        if good["values"] and good["config"] == mark:
            self._mark = mark
        else:
            values = self._parse(text)
            if values is not None:
                self._mark = mark
                try:
                    self._save(values)
                    self.renewed = True
                except OSError as error:  # they are good, only not kept for the day the file is broken
                    self.problem = "config.json: not saved as the last good one: error %d" % error.args[0]
                return values
        if not good["values"]:
            return None
        self._mark = good["config"]
        if good["table"] == TABLE_MARK:
            return good["values"]
        from device import settings_table  # another version of this tree may have saved them

        values = settings_table.known(good["values"])
        if values is None:  # they go together no more; the file may, in which somebody has said what is wanted
            values, self.problem = settings_table.parse(text)
        _unload()
        return values

    def _parse(self, text):
        """The settings of a config.json, None where it is broken: `problem` says how."""
        from device import settings_table

        values, self.problem = settings_table.parse(text)
        _unload()
        return values

    def _save(self, values: dict) -> None:
        self._good.save({"config": self._mark, "values": values, "table": TABLE_MARK})

    def _resume_trial(self) -> None:
        trial = self._trial.load()
        if trial is None:
            return
        trial = shaped(trial, {"set": {}, "wakes": 0, "config": "-"})
        if trial["config"] == self._mark:
            try:
                _hold(trial["set"], self._base)
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


def _unload() -> None:
    """Frees the table: 7 KB of heap that are seldom needed."""
    del usys.modules["device.settings_table"]
    import device

    del device.settings_table
