"""Commands: from a downlink to the user's handler to an answer, each step on flash before the next one begins.

    @command(8001, valve_onoff=one_of(0, 1))
    def valve(valve_onoff):
        meter.valve(valve_onoff)
        return {"valve_onoff": valve_onoff}

A command is stored before the platform is told "received", and marked started before its handler runs. After a power
cut one not yet started runs; one that was started is answered "interrupted", or runs again where it is declared
idempotent. The last 16 task ids are kept: a repeated task is not run again. The answer is an entry of the outbox under
service id + 1000 (ctwing.md §2.6) with `act_result` 0 (done) or 1 (failed).

That is the guide's push mode. In buffer mode (setting downlink.mode, guide §4.1.4.2) downlinks are acknowledged and
kept in order, and nothing runs until app.py asks: `read()` gives the oldest as bytes, `execute()` runs its handler.
"""

import ubinascii
import ujson
from micropython import const

from aep.session import BUSY, DONE, KEPT, MALFORMED
from device import events
from device.readings import RESERVED, literal, size, whole
from store.outbox import PAYLOAD_LIMIT, TooLong
from store.shape import shaped

_REMEMBERED = const(16)  # task ids
_QUEUE = const(8)  # commands waiting; AEP's own SDK queues 5 to 20 (ctwing.md §2.5)
_BYTES = const(6000)  # of the queue on flash; a record ends at 8192
_ANSWER = const(1000)  # added to the command's service id
_REASON = const(80)  # bytes of an answer's reason
_RAW = const(512)  # bytes, the design limit of a downlink (ctwing.md §2.5): the queue's record stays small

_handlers = {}
_raw = []
_current = []  # the one Commands of this boot


class Failed(Exception):
    """A handler raises it when the command could not be carried out; answered with act_result 1."""


def command(service: int, idempotent: bool = False, **fields):
    """Declares the handler of a command. `fields` gives each field's check: `one_of(...)` or `between(low, high)`. The
    handler is called with the fields by name and returns a dict of fields for the answer, or None."""

    why = ""
    if not whole(service) or idempotent not in (False, True):
        why = "one service id is wanted, in parentheses"
    elif service in _handlers:
        why = "declared twice"
    for name in fields:
        if not callable(fields[name]):
            why = name + " has no check, e.g. one_of(0, 1)"
    if why:
        raise ValueError("command %s: %s" % (service, why))

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
    """A check: the value is one of these, of the same type: true is not 1."""

    def check(value):
        return [True for choice in choices if choice == value and type(choice) is type(value)] != []

    return check


def between(low: int, high: int):
    """A check: the value is a whole number low…high."""

    def check(value):
        return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high

    return check


def read():
    """For app.py, in buffer mode: (the oldest downlink's bytes, how many wait behind it), and it is gone; None where
    there is none. Raises OSError where the flash refuses, and it stays."""
    from device import ways

    return ways.read(_current[0])


def execute() -> bool:
    """For app.py, in buffer mode: the oldest downlink is run by its handler and answered as in push mode. False where
    there is none, or where the flash refuses and it stays."""
    return _current[0].queue != [] and _current[0].run()


class Commands:
    """The queue: `queue` on flash. `record` is a store.record.Record; answers go to `outbox`; `stamp()` gives (now,
    extra) for their time; `buffered`: nothing runs of its own accord (and `way` is to be one that says so)."""

    def __init__(self, record, outbox, health, stamp, buffered: bool = False) -> None:
        self._record = record
        self._outbox = outbox
        self._health = health
        self._stamp = stamp
        saved = shaped(record.load(), {"queue": [], "done": [], "who": ""})
        self.queue = [item for item in saved["queue"] if "raw" in item or "service" in item]
        self.done = saved["done"]
        self.who = saved["who"]  # whose tasks these are; "": an older tree has not said
        # (task, fields, why) of a handler that ran while its answer found no room
        self._result = ()  # type: tuple
        self.buffered = buffered
        self.way = None  # a device.ways.Way, where a downlink is not simply JSON or bytes
        _current[:] = [self]

    def keep(self, payload: bytes, service: int = 0, task=None) -> int:
        """Stores a downlink durably; KEPT, MALFORMED or BUSY (aep/session.py). A task that is known is KEPT without
        being stored again: its first copy is the one that runs. DONE where its answer has gone as well."""
        item = parse(payload) if self.way is None else self.way.parse(payload, service, task)
        if item is None:
            self._health.count("downlink_malformed")
            return MALFORMED
        task = item.get("task")
        if task is not None and (task in self.done or task in [other.get("task") for other in self.queue]):
            self._health.count("command_repeated")
            self._health.note(events.REPEATED)
            return KEPT if task not in self.done or self._outbox.holds("task", task) else DONE
        if len(self.queue) >= _QUEUE or _bytes(self.queue) + _bytes(item) > _BYTES:
            self._health.count("command_busy")
            return BUSY
        try:
            self._save(self.queue + [item])
        except OSError as error:  # the platform keeps it and asks again
            self._health.failed("flash", "command", error)
            return BUSY
        self._health.note(events.STORED, item.get("service", 0))
        return KEPT

    def waiting(self) -> int:
        """Commands stored and not finished that are to run now; in buffer mode those that were kept before it."""
        return 0 if self.buffered and self.queue and "whole" in self.queue[0] else len(self.queue)

    def unfinished(self, task) -> bool:
        """Whether this task's end is not on flash yet: its answer waits for that, or a power cut could bring a second
        one."""
        return task is not None and task in [item.get("task") for item in self.queue]

    def run(self) -> bool:
        """Runs the oldest that waits; its answer, if any, is in the outbox then. One at a time, so that the watchdog
        can be fed in between. False where the flash refused: the command stays."""
        item = self.queue[0]
        if item.pop("whole", 0):  # kept in buffer mode: what it says is looked at now
            item.update(parse(ubinascii.unhexlify(item.pop("raw"))))
        try:
            if "raw" in item:
                self._run_raw(item)
            elif not self._outbox.holds("task", item["task"]):  # else the power went between answer and end
                self._run(item)
            self.finish(item)
        except OSError as error:
            self._health.failed("flash", "command", error)
            return False
        self._health.note(events.RUN, item.get("service", 0))
        return True

    def finish(self, item: dict) -> None:
        """The oldest is done with, durably; its task is remembered."""
        if "task" in item:
            self.done = self.done[1 - _REMEMBERED :] + [item["task"]]
        self._save(self.queue[1:])

    def _run(self, item: dict) -> None:
        if not self._result or self._result[0] != item["task"]:
            self._result = (item["task"],) + self._carry_out(item)
        _, pairs, why = self._result
        try:
            self._answer(item, pairs, why)
        except TooLong:
            self._answer(item, [], "answer too long")
        self._result = ()

    def _carry_out(self, item: dict) -> tuple:
        """(fields of the answer, why it failed or "")."""
        fields, idempotent, function = _handlers.get(item["service"], ({}, False, None))
        why = item.get("why") or ("unknown service" if function is None else self._problem(item, fields))
        if not why and not self._start(item) and not idempotent:
            why = "interrupted"
        if why:
            self._health.count("command_refused")
            return [], why
        return self._call(item, function)

    def _start(self, item: dict) -> bool:
        """Marks the oldest as started, durably; False where it was already: the power went while it ran."""
        if "started" in item:
            return False
        marked = dict(item)
        marked["started"] = 1
        self._save([marked] + self.queue[1:])
        return True

    def _problem(self, item: dict, checks: dict) -> str:
        """What is wrong with a command's fields, or ""."""
        given = item["fields"]
        for name in sorted(checks):
            if name not in given:
                return name + " is missing"
            try:
                good = checks[name](given[name])
            except Exception as error:  # dialect: broad - a check may be the user's own
                self._health.failed("command", str(item["service"]), error)
                good = False
            if not good:
                return name + " is out of range"
        # Its name is not repeated: it may be anything.
        return "a field is unknown" if len(given) > len(checks) else ""

    def _call(self, item: dict, function):
        """(fields of the answer, why it failed or "")."""
        try:
            return _pairs(function(**item["fields"]) or {}), ""
        except Failed as error:
            self._health.count("command_failed")
            why = error.args[0] if error.args else ""
            return [], (why if isinstance(why, str) else str(why)) or "failed"  # str() of a text is a copy
        except TooLong:
            return [], "answer too long"
        except Exception as error:  # dialect: broad - app.py is the user's
            self._health.failed("command", str(item["service"]), error)
            return [], "failed"

    def _answer(self, item: dict, pairs: list, why: str) -> None:
        pairs = pairs + [["act_result", "1" if why else "0"]]
        if why:
            pairs.append(["reason", ujson.dumps(_cut(why, _REASON))])
        now, entry = self._stamp()
        entry.update({"task": item["task"], "s": item["service"] + _ANSWER, "t": now, "f": pairs})
        self._outbox.put(entry, size(entry))

    def _run_raw(self, item: dict) -> None:
        if not _raw:
            self._health.count("downlink_unknown")
        elif not self._start(item):
            self._health.count("downlink_interrupted")
        else:
            for function in _raw:
                try:
                    function(ubinascii.unhexlify(item["raw"]))
                except Exception as error:  # dialect: broad - app.py is the user's
                    self._health.failed("downlink", "raw", error)

    def _save(self, queue: list) -> None:
        """The queue is this when it returns; as before where the flash refuses."""
        self._record.save({"queue": queue, "done": self.done, "who": self.who})
        self.queue = queue


def parse(payload: bytes):
    """{"task", "service", "fields"} of a command, {"raw": hex} of anything else, None where a command's frame is wrong
    or could not be stored. A thing model adds "why" it is not to run."""
    if payload.strip()[:1] == b"{":
        try:
            body = ujson.loads(payload)
        except (ValueError, RuntimeError):  # RuntimeError: nested too deep
            body = None
        if isinstance(body, dict) and "serviceId" in body:
            return of_body(body)
    return {"raw": ubinascii.hexlify(payload).decode()} if len(payload) <= _RAW else None


def of_body(body: dict):
    """The same of a command's JSON object."""
    task, service = body.pop("taskId", None), body.pop("serviceId")
    for number in (task, service):
        if not whole(number):
            return None
    for value in body.values():
        if isinstance(value, float):
            if value - value != 0:  # inf, nan: not JSON, so not to be read again
                return None
        elif value is not None and not isinstance(value, (bool, int, str)):  # a bool is no int in MicroPython
            return None
    item = {"task": task, "service": service, "fields": body}
    try:
        return item if _bytes(item) <= _BYTES else None
    except ValueError:  # half a surrogate pair is no text
        return None


def _bytes(value) -> int:
    """Length on flash."""
    return len(ujson.dumps(value).encode())


def _cut(text: str, limit: int) -> str:
    """The text's first `limit` bytes, without half a character: on some images a str is bytes (quecpython.md §1.2)."""
    raw = text[: limit + 1].encode()
    end = min(limit, len(raw))
    while 0 < end < len(raw) and raw[end] & 0xC0 == 0x80:
        end -= 1
    return raw[:end].decode()


def _pairs(reply: dict) -> list:
    """A handler's reply as entry fields; sorted, because MicroPython's dicts keep no order."""
    pairs = []
    total = 0
    for name in sorted(reply):
        if not isinstance(name, str) or name in RESERVED:
            raise ValueError("an answer's field cannot be called " + repr(name))
        pairs.append([name, literal(reply[name], 3 if isinstance(reply[name], float) else 0)])
        total += len(name) + len(pairs[-1][1])
        if total > PAYLOAD_LIMIT:
            raise TooLong("an answer of %d characters" % total)
    return pairs
