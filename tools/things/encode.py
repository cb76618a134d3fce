"""What the platform sends down: commands by the services that a device declares (ctwing.md §2.6)."""

import json
import struct
from typing import Any

from tools.things.decode import BINARY, LETTERS
from tools.things.model import BOOL, COMMAND, FRAMES, TEXT, ModelError, Service


def parameters(service: Service, values: dict[str, Any]) -> bytes:
    """A service's fields in compact binary; nothing is held to its range. Raises ModelError where one is missing."""
    out = b""
    for one in service.fields:
        if one.name not in values:
            raise ModelError(f"{service.identifier}: {one.name} is missing")
        value = values[one.name]
        if one.type == TEXT:
            raw = value.encode()
            out += raw.ljust(one.size, b"\0") if one.size else len(raw).to_bytes(2, "big") + raw
        else:
            out += struct.pack(">" + ("?" if one.type == BOOL else LETTERS[one.type]), value)
    return out


def command(services: list[Service], number: int, task: int, values: dict[str, Any], form: str) -> bytes:
    """A command as LwM2M carries it. Raises ModelError where it is not declared."""
    if form != BINARY:
        return json.dumps({**values, "taskId": task, "serviceId": number}, separators=(",", ":")).encode()
    service = next((one for one in services if one.id == number and one.kind == COMMAND), None)
    if service is None:
        raise ModelError(f"no command {number} is declared")
    return frame(number, task, parameters(service, values))


def frame(number: int, task: int, body: bytes) -> bytes:
    """The binary command with these parameters."""
    return struct.pack(">BHHH", FRAMES[COMMAND], number, task, len(body)) + body
