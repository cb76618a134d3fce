"""Chooses the application tree (/usr/a or /usr/b), counts its tries, falls back. Never updated over the air.

A tree that fails to start is recorded and the module restarts: a second tree is never imported into the same VM,
because a module that failed to import stays half-built in `usys.modules` and imports again without complaint
(quecpython.md §1.2). Three failures in a row make a tree bad; with no good tree left the device waits with the REPL
open, and tries again after six hours or when PSM has ended, so that a passing cause does not strand it for ever.
"""

import osTimer
import pm  # dialect: network-import - where no tree starts there is no link/
import ujson
import uos
import usys
from machine import WDT
from misc import Power

RECORD = "/usr/boot.rec"
WATCHDOG = 300  # s; every state of the cycle ends before it (device/cycle.py)
FAILURES = 3  # in a row, after which a tree is bad
WAIT = 6 * 3600 * 1000  # ms until bad trees are tried again
_ABNORMAL = (5, 9)  # Power.powerOnReason(): watchdog, after a dump of the modem (quecpython.md §3.6)
_PSM = 8

_keep = []  # a timer whose reference is dropped stops (quecpython.md §3.8)


class Boot:
    """What the application may ask of its loader."""

    def __init__(self, record: dict) -> None:
        self._record = record
        self._dog = WDT(WATCHDOG)

    def feed(self) -> None:
        """The watchdog begins anew. `WDT` is False where it could not be started (quecpython.md §3.7)."""
        if self._dog:
            self._dog.feed()

    def rest(self) -> None:
        """The watchdog stops."""
        if self._dog:
            self._dog.stop()

    def confirm(self) -> None:
        """This tree has reached the platform: it is good from now on. Writes only where that is news."""
        record = self._record
        if record[record["tree"]] != "good" or record["failed"]:
            record[record["tree"]] = "good"
            record["failed"] = 0
            save(record)  # where the flash refuses, the next wake says it again


def run() -> None:
    """One boot."""
    record = load()
    tree = record["tree"]
    reason = Power.powerOnReason()
    if reason in _ABNORMAL and record[tree] != "bad":
        failed(record, "reset with reason %d" % reason)
    if record[tree] == "bad":
        tree = choose(record)
    if tree is None and reason == _PSM:  # it took the power while we waited, and the timer with it: hours have passed
        pardon(record)
        tree = record["tree"]
    boot = Boot(record)
    if tree is None:
        boot.rest()
        wait(record)
        return
    usys.path.insert(0, "/usr/" + tree)
    try:
        from device import cycle

        cycle.main(boot)
    except KeyboardInterrupt:
        boot.rest()  # somebody is at the REPL
        raise
    except Exception as error:  # dialect: broad - whatever the tree did, the device must come back
        usys.print_exception(error)
        if failed(record, repr(error)):
            Power.powerRestart()
        boot.rest()
        wait(record)  # a failure that could not be recorded would be repeated without end


def failed(record: dict, why: str) -> bool:
    """Records a failure of the present tree; the third in a row makes it bad. False where the flash refused."""
    record["failed"] += 1
    record["why"] = why[:120]
    if record["failed"] >= FAILURES:
        record[record["tree"]] = "bad"
    return save(record)


def choose(record: dict):
    """The other tree if it has ever worked or was never tried, made the present one; else None."""
    other = "b" if record["tree"] == "a" else "a"
    if record[other] in ("bad", "empty"):
        return None
    record["tree"] = other
    record["failed"] = 0
    save(record)
    return other


def wait(record: dict) -> None:
    """No tree can be started: the REPL stays open, the module may doze, and in six hours everything is tried again."""
    print("boot: no tree starts (%s). REPL open; next try in 6 h, or remove %s and restart." % (record["why"], RECORD))

    def again(_) -> None:
        pardon(record)
        Power.powerRestart()

    timer = osTimer()
    timer.start(WAIT, 0, again)
    _keep.append(timer)
    pm.autosleep(1)


def pardon(record: dict) -> None:
    """Bad trees may try once more."""
    for tree in ("a", "b"):
        if record[tree] == "bad":
            record[tree] = "new"
    record["failed"] = FAILURES - 1
    save(record)


def load() -> dict:
    """The boot record. Without a readable one: tree a, as a device leaves the factory."""
    for path in (RECORD, RECORD + ".new"):
        try:
            with open(path, "rb") as file:
                data = file.read()
            if data[:8] == check(data[9:]):
                return ujson.loads(data[9:])
        except (OSError, ValueError):
            continue
    return {"tree": "a", "a": "new", "b": "empty", "failed": 0, "why": ""}


def save(record: dict) -> bool:
    """Writes aside, then renames: the old record or the new one, never half of one. False where the flash refused."""
    body = ujson.dumps(record).encode()
    try:
        with open(RECORD + ".new", "wb") as file:
            file.write(check(body) + b" " + body)
        try:
            uos.rename(RECORD + ".new", RECORD)
        except OSError as error:  # where the image renames over no file, `load` finds the new one if the power goes now
            if error.args[0] not in (17, 1, 22):
                raise
            uos.remove(RECORD)
            uos.rename(RECORD + ".new", RECORD)
    except OSError as error:
        usys.print_exception(error)
        return False
    return True


def check(data: bytes) -> bytes:
    """CRC-32 as eight hex digits, bit by bit: boot.py shares no code with the trees it starts."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xEDB88320 if crc & 1 else 0)
    return b"%08x" % (crc ^ 0xFFFFFFFF)
