"""A device's messages by the services it declares: written from ctwing.md §2.6 alone, so that it can judge what
lib/aep/thing.py makes.
"""

import json
import struct
from typing import Any

from tools.things.model import (
    BOOL,
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
        return _published(services, payload, topic)
    if number:
        return {"serviceId": number, **fields(_service(services, number), payload)}
    return _binary(services, payload) if form == BINARY else _json(services, payload)


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


def _service(services: list[Service], number: object) -> Service:
    found = next((one for one in services if one.id == number), None)
    if found is None:
        raise ModelError(f"no service {number!r} is declared")
    return found


def _object(payload: bytes) -> dict[str, Any]:
    try:
        body = json.loads(payload)
    except (ValueError, RecursionError):
        raise ModelError(f"not JSON: {payload[:40]!r}") from None
    if not isinstance(body, dict):
        raise ModelError("not one JSON object")
    return body


def _published(services: list[Service], payload: bytes, topic: str) -> dict[str, Any]:
    """A message of MQTT (ctwing.md §3.3)."""
    service = next((one for one in services if one.identifier == topic), None)
    if service is None:
        raise ModelError(f"no service {topic} is declared")
    body = _object(payload)
    if service.kind == RESPONSE:
        if set(body) != {"taskId", "resultPayload"} or not isinstance(body["resultPayload"], dict):
            raise ModelError(f"{topic}: an answer is taskId and resultPayload")
        body = {"taskId": body["taskId"], **body["resultPayload"]}
    return _json(services, json.dumps({**body, "serviceId": service.id}).encode())


def _json(services: list[Service], payload: bytes) -> dict[str, Any]:
    body = _object(payload)
    service = _service(services, body.get("serviceId"))
    task = {name: body[name] for name in ("taskId",) if name in body}
    if (service.kind == RESPONSE) != bool(task):
        raise ModelError(f"{service.identifier}: an answer has a taskId, and nothing else has")
    given = {name: value for name, value in body.items() if name not in ("serviceId", "taskId")}
    if set(given) != {one.name for one in service.fields}:
        raise ModelError(f"{service.identifier}: its fields are not {', '.join(sorted(given))}")
    return {"serviceId": service.id, **task, **_held(service, given)}


def _held(service: Service, found: dict[str, Any]) -> dict[str, Any]:
    for one in service.fields:
        if not allowed(one, found[one.name]):
            raise ModelError(f"{service.identifier}: {one.name} {found[one.name]!r} is not a value of it")
    return found
