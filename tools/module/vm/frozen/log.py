"""The firmware's `log` (quecpython.md §3.8): `INFO:name:message` on usys.stderr, `%` formatting, no timestamps."""

import usys

CRITICAL = 50
ERROR = 40
WARNING = 30
INFO = 20
DEBUG = 10
NOTSET = 0

_NAMES = {CRITICAL: "CRITICAL", ERROR: "ERROR", WARNING: "WARNING", INFO: "INFO", DEBUG: "DEBUG"}
_level = INFO
_output = usys.stderr
_loggers = {}


class Logger:
    """One name's logger; level NOTSET means the level of `basicConfig`."""

    def __init__(self, name):
        self.name = name
        self.level = NOTSET

    def setLevel(self, level):
        self.level = level

    def _log(self, level, message, *args):
        if level >= (self.level or _level):
            _output.write("%s:%s:%s\n" % (_NAMES.get(level, level), self.name, message % args if args else message))

    def debug(self, message, *args):
        self._log(DEBUG, message, *args)

    def info(self, message, *args):
        self._log(INFO, message, *args)

    def warning(self, message, *args):
        self._log(WARNING, message, *args)

    def error(self, message, *args):
        self._log(ERROR, message, *args)

    def critical(self, message, *args):
        self._log(CRITICAL, message, *args)


def basicConfig(level=INFO):
    global _level
    _level = level


def getLogger(name):
    if name not in _loggers:
        _loggers[name] = Logger(name)
    return _loggers[name]


def set_output(output):
    global _output
    _output = output
