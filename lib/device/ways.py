"""What a downlink means where it is not simply a command's JSON or bytes for app.py: in a thing model, in MQTT's
envelope, in buffer mode. Loaded only there.
"""

import ubinascii
import ujson
from micropython import const

from device import commands
from link.fault import Fault

_RAW = const(512)  # bytes, the design limit of a downlink (ctwing.md §2.5): the queue's record stays small


def choose(held, found: dict) -> None:
    """Gives `held` (a device.commands.Commands) the way that these settings ask for. Raises BadServices."""
    model = None
    if found["payload"] != "transparent":
        try:
            from device.things import Model
        except ImportError:
            raise Fault("this tree was built without thing models")
        model = Model(found)
    held.way = Way(held.buffered, found["protocol"][0] == "m", model)


class Way:
    """`buffered`: downlinks are kept as they are until app.py asks; `enveloped`: commands may come as {"taskId",
    "payload"}; `model` is a device.things.Model, None where payloads are transparent."""

    def __init__(self, buffered: bool, enveloped: bool, model) -> None:
        self.buffered = buffered
        self.enveloped = enveloped
        self.model = model

    def parse(self, payload: bytes, service: int, task):
        """What device.commands.parse gives, of any downlink."""
        if self.model is not None:
            item, payload = self.model.parse(payload, service, task)
        else:
            if self.enveloped:
                payload = _bare(payload)
            item = commands.parse(payload)
        if item is None or not self.buffered:
            return item
        if len(payload) > _RAW:
            return None
        # A thing model's command is the same JSON for app.py in every format.
        whole = {"raw": ubinascii.hexlify(payload).decode(), "whole": 1}
        for name in ("task", "why"):
            if name in item:
                whole[name] = item[name]
        return whole


def read(held):
    """See device.commands.read."""
    if not held.buffered or not held.queue or "whole" not in held.queue[0]:  # kept in push mode: it runs by itself
        return None
    found = held.queue[0]
    held.finish(found)
    return ubinascii.unhexlify(found["raw"]), len(held.queue)


def _bare(payload: bytes) -> bytes:
    """A downlink of a transparent MQTT product without the envelope that it may have (ctwing.md §3.2)."""
    try:
        body = ujson.loads(payload)
    except (ValueError, RuntimeError):  # RuntimeError: nested too deep
        return payload
    if not isinstance(body, dict) or "serviceId" in body or "taskId" not in body or "payload" not in body:
        return payload
    inner = body["payload"]
    try:
        if isinstance(inner, str):
            return inner.encode()
        if isinstance(inner, dict) and "serviceId" in inner:
            inner.setdefault("taskId", body["taskId"])
        return ujson.dumps(inner).encode()
    except ValueError:  # half a surrogate pair is no text
        return payload
