"""Thing models (setting payload: thing-json, thing-binary): the same readings and commands by the services that
services.py declares. Loaded only where a product has one.

One entry of the outbox is one message. An entry that its service does not allow - a field has no value, or is out of
range - is dropped, counted and named in the log: it would never be accepted, and must not keep those behind it. Fields
`id` and `t` of a service take the entry's id and time (0: unknown); where no id is declared, nobody can tell a repeat.
"""

import log
import ujson
from micropython import const

from aep import thing
from aep.thing import BadServices, ThingError
from device import commands, events, uplink
from device.readings import RESERVED
from store.outbox import PAYLOAD_LIMIT

_AT_ONCE = const(16)  # entries looked at for one that can be sent
_TASK = const(0xFFFF)  # the highest taskId that compact binary can say

_log = log.getLogger("things")
_loaded = []  # what is wrong with services.py, "" for nothing


class Model:
    """How messages look under these settings. Raises BadServices."""

    def __init__(self, settings: dict) -> None:
        _load()
        self.binary = settings["payload"] == "thing-binary"
        self.bare = settings["protocol"] != "lwm2m"  # the session says service and task
        self._named = []

    # -- up ------------------------------------------------------------------------------------------------------

    def batch(self, cycle):
        """As device.uplink.batch, of one entry, with all that `session.send` takes."""
        while True:
            found = cycle.outbox.batch(_AT_ONCE, 2 * PAYLOAD_LIMIT)
            refused = []
            for number, entry in found:
                task = entry.get("task")
                if cycle.commands.unfinished(task):
                    break
                try:
                    payload = self.message(number, entry, uplink.when(cycle, entry), cycle.health)
                except ThingError as error:
                    if "payload" in cycle.settings.on_trial:  # it may be taken back, and what was dropped not
                        raise BadServices(str(error))
                    cycle.health.failed("entry", str(number), error)
                    refused.append((number,))
                    continue
                _drop(cycle, refused)
                return [(number,)], payload, (task is not None, entry["s"], task)
            _drop(cycle, refused)
            if len(refused) < len(found) or not found:
                return [], b"", ()

    def message(self, number: int, entry: dict, when: int, health) -> bytes:
        """The payload of one entry. Raises ThingError."""
        service, task = entry["s"], entry.get("task")
        texts = dict(entry["f"])
        failed = task is not None and texts.get("act_result") != "0"
        if failed and thing.unknown(service, {"act_result": ""}):
            if self.binary and self.bare:
                return b""  # TCP's answer says it beside the payload
            raise ThingError("%s: no act_result to say in that it failed" % thing.identifier(service))
        if self.binary and task is not None and task > _TASK:
            raise ThingError("taskId %d is not 0-%d" % (task, _TASK))
        self._tell(service, texts, health)
        texts["id"] = str(number)
        texts["t"] = str(when * _scale(service))
        try:
            found = thing.complete(service, texts, failed)
        except ThingError as error:
            if task is None:
                raise
            health.failed("answer", str(service), error)  # the command was carried out, and that is to be told
            found = thing.complete(service, texts, True)
        out = self._binary(service, found, task) if self.binary else self._json(service, found, task)
        if len(out) > PAYLOAD_LIMIT:
            who = thing.identifier(service)
            raise ThingError("%s: %d bytes, at most %d can be sent" % (who, len(out), PAYLOAD_LIMIT))
        return out

    def _binary(self, service: int, found: list, task) -> bytes:
        body = thing.packed(found)
        return body if self.bare else thing.frame(service, body, task)

    def _json(self, service: int, found: list, task) -> bytes:
        fields = ",".join([ujson.dumps(row[0]) + ":" + text for row, _, text in found])
        if not self.bare:
            fields = '"serviceId":%d,%s' % (service, fields)
            if task is not None:
                fields = '"taskId":%d,%s' % (task, fields)
        elif task is not None:
            fields = '"taskId":%d,"resultPayload":{%s}' % (task, fields)
        return ("{" + fields + "}").encode()

    def _tell(self, service: int, texts: dict, health) -> None:
        """Readings and answers that the service has no field for stay here: said once, counted each time."""
        for name in thing.unknown(service, texts):
            if name not in RESERVED:
                health.count("field_undeclared")
                if (service, name) not in self._named:
                    self._named.append((service, name))
                    _log.warning("%s declares no %s: not sent", thing.identifier(service), name)

    # -- down ----------------------------------------------------------------------------------------------------

    def parse(self, payload: bytes, service: int, task):
        """(what device.commands.parse gives, the command as JSON for app.py). A command whose parameters are not as
        declared has "why": it is answered as failed. One of a service that is not declared is refused."""
        if not service and not self._framed(payload):
            return commands.parse(payload), payload
        try:
            service, body, why = self._command(payload, service, task)
        except ThingError as error:
            _log.warning("downlink refused: %s", error)
            return None, payload
        try:
            text = ujson.dumps(body).encode()
        except ValueError:  # half a surrogate pair is no text
            return None, payload
        item = commands.of_body(body)
        if item is not None and why:
            item["why"] = why
        return item, text

    def _framed(self, payload: bytes) -> bool:
        """Whether it claims to be a command; anything else is for app.py."""
        if self.binary:
            return payload[:1] == b"\x06" or payload.strip()[:1] == b"{"
        found = _object(payload)
        return found is not None and "serviceId" in found

    def _command(self, payload: bytes, service: int, task):
        """(service, JSON object of the command, why it is not to run). Raises ThingError."""
        fields = {}
        why = ""
        if self.binary:
            if not service:
                service, task, payload = thing.command(payload)
            thing.of_kind(service, thing.COMMAND)
            try:
                fields = thing.unpacked(service, payload)
            except ThingError as error:
                why = str(error)
        else:
            found = _object(payload)
            if found is None:
                raise ThingError("no JSON object")
            fields = found
            if not service:
                service, task = fields.pop("serviceId"), fields.pop("taskId", None)
            thing.of_kind(service, thing.COMMAND)
            try:
                thing.check(service, fields)
            except ThingError as error:
                why = str(error)
        fields["taskId"] = task
        fields["serviceId"] = service
        return service, fields, why


def _load() -> None:
    """The user's declarations, once: a module that failed to import would come half-built the second time."""
    if not _loaded:
        why = ""
        try:
            import services  # noqa: F401 - declares them

            thing.verify()
        except Exception as error:  # dialect: broad - services.py is the user's
            why = repr(error)
        _loaded.append(why)
    if _loaded[0]:
        raise BadServices("services.py: " + _loaded[0])


def _drop(cycle, refused: list) -> None:
    if refused:
        cycle.outbox.consume(refused)
        cycle.health.note(events.REFUSED, len(refused))


def _scale(service: int) -> int:
    """What the entry's seconds are multiplied by for the service's `t`."""
    return 1000 if "ms" in [row[2] for row in thing.fields(service) if row[0] == "t"] else 1


def _object(payload: bytes):
    """The JSON object that these bytes are, None where they are none."""
    try:
        found = ujson.loads(payload)
    except (ValueError, RuntimeError):  # RuntimeError: nested too deep
        return None
    return found if isinstance(found, dict) else None
