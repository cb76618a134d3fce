"""Commands: from a downlink to the user's handler to an answer, each step on flash before the next one begins.

    @command(8001, valve_onoff=one_of(0, 1))
    def valve(valve_onoff):
        meter.valve(valve_onoff)
        return {"valve_onoff": valve_onoff}

A command is stored before the platform is told "received", and marked started before its handler runs. After a power
cut one not yet started runs; one that was started is answered "interrupted", or runs again where it is declared
idempotent. The last 16 task ids are kept: a repeated task is not run again. The answer is an entry of the outbox under
service id + 1000 (ctwing.md §2.6) with `act_result` 0 (done) or 1 (failed).
"""

import ubinascii
import ujson
from micropython import const

from aep.session import BUSY, KEPT, MALFORMED
from device.readings import literal, size
from store.outbox import TooLong

_REMEMBERED = const(16)  # task ids
_QUEUE = const(8)  # commands waiting; AEP's own SDK queues 5 to 20 (ctwing.md §2.5)
_BYTES = const(6000)  # of the queue on flash; a record ends at 8192
_ANSWER = const(1000)  # added to the command's service id

_handlers = {}
_raw = []


class Failed(Exception):
    """A handler raises it when the command could not be carried out; answered with act_result 1."""


def command(service: int, idempotent: bool = False, **fields):
    """Declares the handler of a command. `fields` gives each field's check: `one_of(...)` or `between(low, high)`. The
    handler is called with the fields by name and returns a dict of fields for the answer, or None."""

    def declare(function):
        _handlers[service] = (fields, idempotent, function)
        return function

    return declare


def any_other(function):
    """Declares the handler of downlinks that are no command (not a JSON object with a serviceId): called with the
    bytes."""
    _raw.append(function)
    return function


def one_of(*choices):
    """A check: the value is one of these."""

    def check(value):
        return value in choices

    return check


def between(low: int, high: int):
    """A check: the value is a whole number low…high."""

    def check(value):
        return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high

    return check


class Commands:
    """The queue. `record` is a store.record.Record; answers go to `outbox`; `stamp()` gives (now, extra) for their
    time."""

    def __init__(self, record, outbox, health, stamp) -> None:
        self._record = record
        self._outbox = outbox
        self._health = health
        self._stamp = stamp
        saved = record.load() or {}
        self._queue = saved.get("queue", [])
        self._done = saved.get("done", [])

    def keep(self, payload: bytes) -> int:
        """Stores a downlink durably; KEPT, MALFORMED or BUSY (aep/session.py). A task that is known is KEPT without
        being stored again: its first copy is the one that runs."""
        item = _parse(payload)
        if item is None:
            self._health.count("downlink_malformed")
            return MALFORMED
        task = item.get("task")
        if task is not None and (task in self._done or task in [other.get("task") for other in self._queue]):
            self._health.count("command_repeated")
            return KEPT
        if len(self._queue) >= _QUEUE or len(ujson.dumps(self._queue)) + 2 * len(payload) > _BYTES:
            self._health.count("command_refused")
            return BUSY
        self._queue.append(item)
        self._save()
        return KEPT

    def waiting(self) -> int:
        """Commands stored and not finished."""
        return len(self._queue)

    def run(self) -> int:
        """Runs what waits, oldest first; returns the number of answers put into the outbox."""
        answers = 0
        while self._queue:
            item = self._queue[0]
            if "raw" in item:
                self._run_raw(item)
            else:
                self._run(item)
                answers += 1
            self._queue.pop(0)
            if "task" in item:
                self._done = self._done[1 - _REMEMBERED :] + [item["task"]]
            self._save()
        return answers

    def _run(self, item: dict) -> None:
        fields, idempotent, function = _handlers.get(item["service"], ({}, False, None))
        interrupted = item.get("started") and not idempotent
        if interrupted and self._outbox.holds("task", item["task"]):
            return  # the power went between the answer and the end of the command
        item["started"] = 1
        pairs, why = [], ""
        if function is None:
            why = "unknown service"
        elif interrupted:
            why = "interrupted"
        else:
            why = _problem(fields, item["fields"])
        if why:
            self._health.count("command_refused")
        else:
            self._save()
            try:
                pairs = _pairs(function(**item["fields"]) or {})
            except Failed as error:
                self._health.count("command_failed")
                why = str(error) or "failed"
            except Exception as error:  # dialect: broad - app.py is the user's
                self._health.failed("command", str(item["service"]), error)
                why = "failed"
        try:
            self._answer(item, pairs, why)
        except TooLong:
            self._answer(item, [], "answer too long")

    def _answer(self, item: dict, pairs: list, why: str) -> None:
        pairs = pairs + [["act_result", "1" if why else "0"]]
        if why:
            pairs.append(["reason", ujson.dumps(why[:80])])
        now, entry = self._stamp()
        entry.update({"task": item["task"], "s": item["service"] + _ANSWER, "t": now, "f": pairs})
        self._outbox.put(entry, size(entry))

    def _run_raw(self, item: dict) -> None:
        if not _raw:
            self._health.count("downlink_unknown")
            return
        for function in _raw:
            try:
                function(ubinascii.unhexlify(item["raw"]))
            except Exception as error:  # dialect: broad - app.py is the user's
                self._health.failed("downlink", "raw", error)

    def _save(self) -> None:
        self._record.save({"queue": self._queue, "done": self._done})


def _parse(payload: bytes):
    """{"task", "service", "fields"} of a command, {"raw": hex} of anything else, None where a command's frame is
    wrong."""
    if payload[:1] == b"{":
        try:
            body = ujson.loads(payload)
        except ValueError:
            body = None
        if isinstance(body, dict) and "serviceId" in body:
            task, service = body.pop("taskId", None), body.pop("serviceId")
            for number in (task, service):
                if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number <= 0x7FFFFFFF:
                    return None
            return {"task": task, "service": service, "fields": body}
    if len(payload) > 512:  # design limit of a downlink (ctwing.md §2.5): the queue's record stays small
        return None
    return {"raw": ubinascii.hexlify(payload).decode()}


def _pairs(reply: dict) -> list:
    """A handler's reply as entry fields; sorted, because MicroPython's dicts keep no order."""
    return [[name, literal(reply[name], 3 if isinstance(reply[name], float) else 0)] for name in sorted(reply)]


def _problem(checks: dict, fields: dict) -> str:
    """What is wrong with a command's fields, or ""."""
    for name in sorted(checks):
        if name not in fields:
            return name + " is missing"
        if not checks[name](fields[name]):
            return name + " is out of range"
    for name in sorted(fields):
        if name not in checks:
            return name + " is not a field"
    return ""
