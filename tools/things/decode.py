"""A device's messages by the services it declares: written from ctwing.md §2.6 alone, so that it can judge what
lib/aep/thing.py makes.
"""

import json
import struct
from typing import Any

from tools.things.model import (
    BOOL,
    COMMAND,
    DOUBLE,
    ENUM,
    FLOAT,
    FRAMES,
    INT32,
    RESPONSE,
    TEXT,
    TIMESTAMP,
    Field,
    ModelError,
    Service,
    allowed,
)

JSON, BINARY = "thing-json", "thing-binary"
"""Formats, as the device's setting `payload` names them."""

LETTERS = {ENUM: "B", INT32: "i", FLOAT: "f", DOUBLE: "d", TIMESTAMP: "q"}


def uplink(services: list[Service], payload: bytes, form: str, topic: str = "", number: int = 0) -> dict[str, Any]:
    """What a message says: its fields with `serviceId`, and `taskId` where it answers a command. MQTT says the service
    by its `topic`, TCP by a `number` in its head. Raises ModelError where it is not as declared."""
    if topic:
        return published(services, payload, topic)
    if number:
        return packed(services, payload, number)
    return _binary(services, payload) if form == BINARY else _json(services, payload)


def packed(services: list[Service], payload: bytes, number: object) -> dict[str, Any]:
    """A message of TCP, behind its head (ctwing.md §4.1). Raises ModelError."""
    return {"serviceId": number, **fields(_service(services, number), payload)}


def published(services: list[Service], payload: bytes, topic: object) -> dict[str, Any]:
    """A message of MQTT (ctwing.md §3.3). Raises ModelError."""
    service = next((one for one in _rising(services) if one.identifier == topic), None)
    if service is None:
        raise ModelError(f"no service {str(topic)[:80]} that comes up is declared")
    body = _object(payload)
    if service.kind == RESPONSE:
        if set(body) != {"taskId", "resultPayload"} or not isinstance(body["resultPayload"], dict):
            raise ModelError(f"{topic}: an answer is taskId and resultPayload")
        body = {**body["resultPayload"], "taskId": body["taskId"]}
    return _said(service, body)


def fields(service: Service, body: bytes) -> dict[str, Any]:
    """Values of a service's fields from its parameters in compact binary. Raises ModelError."""
    found: dict[str, Any] = {}
    for one in service.fields:
        found[one.name], body = _take(service, one, body)
    if body:
        raise ModelError(f"{service.identifier}: {len(body)} bytes too many")
    return _held(service, found)


def _binary(services: list[Service], payload: bytes) -> dict[str, Any]:
    if len(payload) < 5:
        raise ModelError(f"no frame: {payload.hex()}")
    kind, number = payload[0], int.from_bytes(payload[1:3], "big")
    service = _service(services, number)
    if FRAMES[service.kind] != kind:
        raise ModelError(f"no service {number} has frames that begin with {kind:02x}")
    at, task = 3, {}
    if service.kind == RESPONSE:
        at, task = 5, {"taskId": int.from_bytes(payload[3:5], "big")}
    size, body = int.from_bytes(payload[at : at + 2], "big"), payload[at + 2 :]
    if size != len(body):
        raise ModelError(f"{service.identifier}: {len(body)} bytes follow where its frame says {size}")
    return {"serviceId": number, **task, **fields(service, body)}


def _take(service: Service, one: Field, body: bytes) -> tuple[Any, bytes]:
    size = one.size
    if one.type == TEXT and not size:
        if len(body) < 2:
            raise ModelError(f"{service.identifier}: {one.name} is cut short")
        size, body = int.from_bytes(body[:2], "big"), body[2:]
    elif one.type == BOOL:
        size = 1
    elif one.type != TEXT:
        size = struct.calcsize(">" + LETTERS[one.type])
    raw, rest = body[:size], body[size:]
    if len(raw) < size:
        raise ModelError(f"{service.identifier}: {one.name} is cut short")
    if one.type == BOOL:
        return {b"\0": False, b"\1": True}.get(raw), rest
    if one.type != TEXT:
        return struct.unpack(">" + LETTERS[one.type], raw)[0], rest
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise ModelError(f"{service.identifier}: {one.name} is no UTF-8") from None
    return text.rstrip("\0") if one.size else text, rest


def _rising(services: list[Service]) -> list[Service]:
    """Commands only go down."""
    return [one for one in services if one.kind != COMMAND]


def _service(services: list[Service], number: object) -> Service:
    found = next((one for one in _rising(services) if one.id == number), None)
    if found is None:
        raise ModelError(f"no service {str(number)[:80]} that comes up is declared")
    return found


def json_of(payload: bytes) -> Any:
    """The value of JSON bytes; raises ModelError. Python reads NaN, JSON does not."""
    try:
        return json.loads(payload.decode(), parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise ModelError("the payload is no JSON") from None


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _object(payload: bytes) -> dict[str, Any]:
    body = json_of(payload)
    if not isinstance(body, dict):
        raise ModelError("not one JSON object")
    return body


def _json(services: list[Service], payload: bytes) -> dict[str, Any]:
    body = _object(payload)
    return _said(_service(services, body.pop("serviceId", None)), body)


def _said(service: Service, body: dict[str, Any]) -> dict[str, Any]:
    """Fields, and the taskId of an answer, as one JSON object."""
    task = {"taskId": body.pop("taskId")} if "taskId" in body else {}
    if (service.kind == RESPONSE) != bool(task) or not isinstance(task.get("taskId", 0), int):
        raise ModelError(f"{service.identifier}: an answer has a taskId, a number, and nothing else has")
    if set(body) != {one.name for one in service.fields}:
        raise ModelError(f"{service.identifier}: its fields are not {', '.join(sorted(body))}")
    return {"serviceId": service.id, **task, **_held(service, body)}


def _held(service: Service, found: dict[str, Any]) -> dict[str, Any]:
    for one in service.fields:
        if not allowed(one, found[one.name]):
            raise ModelError(f"{service.identifier}: {one.name} {found[one.name]!r} is not a value of it")
    return found
