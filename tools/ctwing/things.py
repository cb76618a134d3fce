"""What a product's thing model makes of its payloads: reports and answers read, commands written (ctwing.md §2.6, §3.3,
§4.1). The model and its codec are tools/things, which shares nothing with lib/.

A product that is not transparent may have no services here: then nothing is checked, and nothing decoded.
"""

import json
from functools import cache
from typing import Any

from tools.ctwing.checks import AepError, no_constant
from tools.ctwing.store import Command, Product
from tools.things import decode, encode, listing
from tools.things.model import COMMAND, ModelError, Service, allowed

FORMS = {"json": decode.JSON, "binary": decode.BINARY}
WATER_METER: list[dict[str, Any]] = json.loads(listing.STANDARD.read_text(encoding="utf-8"))["result"]["list"]
"""AEP's standard water meter (ctwing.md §2.6), as rows of its service list."""


def checked(services: list[dict[str, Any]]) -> str:
    """The service list as a product keeps it; raises AepError."""
    if not services:
        return "[]"
    try:
        return json.dumps(listing.rows(listing.read(json.dumps(services))[0]), ensure_ascii=False)
    except (ModelError, TypeError) as error:
        raise AepError(f"the service list: {error}") from None


@cache
def _services(rows: str) -> list[Service]:
    return listing.read(rows)[0] if rows != "[]" else []


def services_of(product: Product) -> list[Service]:
    return [] if product.transparent else _services(product.services)


def service_named(product: Product, name: int | str) -> Service | None:
    """The service with this id or identifier."""
    return next((one for one in services_of(product) if name in (one.id, one.identifier)), None)


# up


def decoded(product: Product, payload: bytes, name: int | str = 0) -> dict[str, Any] | None:
    """The fields of a report or answer with its `serviceId`, and the answer's `taskId`; {"error": why} where it is not
    as declared; None where the product declares nothing. `name`: MQTT's topic, TCP's service id, 0 for LwM2M."""
    try:
        return read(product, name, payload)
    except ModelError as error:
        return {"error": str(error)}


def read(product: Product, name: int | str, payload: bytes) -> dict[str, Any] | None:
    """The same; raises ModelError."""
    services = services_of(product)
    if not services:
        return None
    if product.protocol == "mqtt":
        return decode.published(services, payload, name)
    if product.protocol == "tcp":
        return decode.packed(services, payload, name)
    return decode.uplink(services, payload, FORMS[product.payload_format])


# down


def command(product: Product, content: object) -> tuple[int, bytes] | None:
    """Service id and parameters of a thing-model command, {"serviceIdentifier" or "serviceId": …, "params": {…}}; None
    where it is none, or the product declares nothing. Raises AepError."""
    if not services_of(product):
        return None
    if isinstance(content, str | bytes):
        try:
            content = json.loads(content)
        except (ValueError, RecursionError):
            return None
    if not isinstance(content, dict) or "params" not in content:
        return None
    name: Any = content.get("serviceIdentifier", content.get("serviceId"))
    values = content["params"]
    service = service_named(product, name)
    if service is None or service.kind != COMMAND:
        commands = ", ".join(one.identifier for one in services_of(product) if one.kind == COMMAND)
        raise AepError(f"there is no command {str(name)[:80]!r}; there are {commands or 'none'}")
    if not isinstance(values, dict) or set(values) != {one.name for one in service.fields}:
        raise AepError(f"params of {service.identifier} are {', '.join(one.name for one in service.fields)}")
    for one in service.fields:
        if not allowed(one, values[one.name]):
            raise AepError(f"{service.identifier}: {one.name} {values[one.name]!r} is not a value of it")
    try:
        binary = product.payload_format == "binary"
        return service.id, encode.parameters(service, values) if binary else _text(values)
    except UnicodeEncodeError:
        raise AepError(f"{service.identifier}: a text has half a character in it") from None


def frame(product: Product, given: Command) -> bytes:
    """A command as LwM2M carries it."""
    if not given.service:
        return given.content
    if product.payload_format == "json":
        return _text({**json.loads(given.content), "taskId": given.task, "serviceId": given.service})
    return encode.frame(given.service, given.task, given.content)


def wrapped(given: Command) -> bytes:
    """A command as MQTT carries it, with its taskId; what is no JSON goes as a text."""
    try:
        return _text({"taskId": given.task, "payload": json.loads(given.content, parse_constant=no_constant)})
    except (ValueError, RecursionError):
        return _text({"taskId": given.task, "payload": given.content.decode(errors="replace")})


def _text(values: dict[str, Any]) -> bytes:
    return json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode()
