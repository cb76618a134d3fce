"""The local AEP over HTTP: a JSON API under /api, and one plain page at /. It adds nothing to what aep.py can do.

Errors are JSON too: {"error": what is wrong and what to do}, with the status of RFC 9110.
"""

import base64
import binascii
import hashlib
import json
import re
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from aiohttp import web

from tools.ctwing.aep import Aep
from tools.ctwing.checks import (
    DATA_TYPES,
    ENCRYPTIONS,
    ENDPOINTS,
    FORMATS,
    POWER_MODES,
    PROTOCOLS,
    REQUESTS,
    AepError,
    Unknown,
    no_constant,
)
from tools.ctwing.faults import MESSAGE, TABLE
from tools.ctwing.session import peer_name
from tools.ctwing.store import Command, Device, Notification, Product, Request, TraceRow, Uplink
from tools.ctwing.streams import Link
from tools.ctwing.things import WATER_METER
from tools.ctwing.tlv import readable
from tools.ctwing.trace import row_line, write_pcap

PAGE = Path(__file__).with_name("page.html")
BODY_LIMIT = 262_144  # bytes of a request's JSON: the largest write in hex, and some
ROWS, ROWS_LIMIT = 200, 1000  # rows of one answer
SCRIPT = re.compile(r"<script>(.*?)</script>", re.S)
AEP = web.AppKey("aep", Aep)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Field(NamedTuple):
    """A field of a JSON body; `default` ... is for one that must be there."""

    kind: type
    default: Any = ...


NEW_PRODUCT = {"name": Field(str), "protocol": Field(str, "lwm2m"), "endpoint_format": Field(str, "imei"),
               "power_mode": Field(str, "PSM"), "auto_observe": Field(bool, True), "transparent": Field(bool, True),
               "encryption": Field(str, "plain"), "payload_format": Field(str, None), "services": Field(list, [])}
NEW_DEVICE = {"product": Field(int), "name": Field(str), "imei": Field(str, ""), "imsi": Field(str, ""),
              "psk": Field(str, ""), "psk_hex": Field(str, ""), "number": Field(str, ""), "token": Field(str, "")}
NEW_COMMAND = {"content": Field(str), "type": Field(str, "string"), "ttl": Field(int, 7200)}
NEW_REQUEST = {"kind": Field(str), "path": Field(str), "payload": Field(str, ""), "hex": Field(bool, False),
               "format": Field(int, None), "query": Field(str, ""), "accept": Field(int, None),
               "ttl": Field(int, 86_400)}
SWITCH = {"name": Field(str), "on": Field(bool), "device": Field(str, None), "strikes": Field(int, None),
          "value": Field(object, None)}


def application(aep: Aep) -> web.Application:
    """The API and the page of this platform."""
    app = web.Application(middlewares=[_errors_as_json], client_max_size=BODY_LIMIT)
    app[AEP] = aep
    page = PAGE.read_text()
    policy = _policy(page)

    async def index(request: web.Request) -> web.Response:
        return web.Response(text=page, content_type="text/html", headers={"Content-Security-Policy": policy})

    app.router.add_get("/", index)
    for method, path, handler in ROUTES:
        app.router.add_route(method, path, handler)
    return app


def _policy(page: str) -> str:
    """What a browser may do for this page: run its one script and ask us; nothing that a device could have sent."""
    script = SCRIPT.search(page)
    assert script is not None
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    return (f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; connect-src 'self'; "
            "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")


@web.middleware
async def _errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        response = await handler(request)
    except Unknown as error:
        return _error(404, str(error))
    except AepError as error:
        return _error(400, str(error))
    except web.HTTPRequestEntityTooLarge:
        return _error(413, f"the body has more than {BODY_LIMIT} bytes")
    except web.HTTPMethodNotAllowed as error:
        allowed = ", ".join(sorted(error.allowed_methods))
        return _error(405, f"{request.method} is not for {request.path}; use {allowed}", Allow=allowed)
    except web.HTTPNotFound:
        return _error(404, f"there is no {request.path[:200]}; the API begins at /api/devices")
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Cache-Control"] = "no-store"
    return response


def _error(status: int, text: str, **headers: str) -> web.Response:
    return web.json_response({"error": text}, status=status, headers=headers)


# what comes in


async def _body(request: web.Request, wanted: Mapping[str, Field]) -> dict[str, Any]:
    """The fields of a JSON body, each of its type. Asking for the JSON type keeps pages of other origins out: a browser
    asks us first, and we never allow it."""
    if request.content_type != "application/json":
        raise AepError(f"the body is {request.content_type}; send JSON with Content-Type: application/json")
    try:
        found = json.loads(await request.read())
        json.dumps(found, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise AepError(f"the body has half a character in it: {error.object[error.start]!r}") from None
    except (ValueError, RecursionError) as error:
        raise AepError(f"the body is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise AepError("the body is no JSON object")
    for name in found:
        if name not in wanted:
            raise AepError(f"there is no field {name[:40]!r}; there are {', '.join(wanted)}")
    return {name: _field(name, field, found.get(name)) for name, field in wanted.items()}


def _field(name: str, field: Field, value: Any) -> Any:
    if value is None:
        if field.default is ...:
            raise AepError(f"the field {name!r} is missing")
        return field.default
    if not isinstance(value, field.kind) or (field.kind is int and isinstance(value, bool)):
        words = {str: "text", int: "a whole number", bool: "true or false", list: "a list"}
        raise AepError(f"{name} is {words[field.kind]}, not {str(value)[:40]!r}")
    return value


def _number(request: web.Request, name: str, default: int, most: int) -> int:
    text = request.query.get(name, str(default))
    if not re.fullmatch("[0-9]{1,15}", text) or int(text) > most:
        raise AepError(f"{name}={text[:40]!r} is not a number of 0…{most}")
    return int(text)


def _window(request: web.Request) -> dict[str, int]:
    """`?after=id&limit=n`: the newest n rows after that id."""
    return {"after": _number(request, "after", 0, 10**15), "limit": _number(request, "limit", ROWS, ROWS_LIMIT)}


def _device(request: web.Request) -> Device:
    return request.app[AEP].device(request.match_info["device"])


def _one_device(request: web.Request) -> str | None:
    """`?device=`, where it is given."""
    name = request.query.get("device")
    return None if name is None else request.app[AEP].device(name).id


# what goes out


def bytes_shown(payload: bytes) -> dict[str, Any]:
    """Bytes as hex, base64, text where they are UTF-8, and parsed where they are JSON."""
    out: dict[str, Any] = {"hex": payload.hex(), "base64": base64.b64encode(payload).decode(), "text": None}
    try:
        out["text"] = payload.decode()
        out["json"] = json.loads(payload, parse_constant=no_constant)
    except (ValueError, RecursionError):
        pass
    return out


def text_of(psk: str) -> str:
    """A key as text, "" where it is none: as the console shows it (ctwing.md §1.5)."""
    try:
        text = bytes.fromhex(psk).decode("ascii")
    except UnicodeDecodeError:
        return ""
    return text if text.isprintable() else ""


def device_shown(aep: Aep, device: Device) -> dict[str, Any]:
    """A device with its states, and what its registration says while it is on-line."""
    product = aep.product_of(device)
    session, registration = aep.session(device.id), None
    if session is not None:
        left = session.expiry.when() - aep.loop.time() if session.expiry is not None else 0.0
        registration = {
            "address": session.peer if isinstance(session, Link) else peer_name(session.address),
            "lifetime": session.lifetime, "left": max(0, round(left)), "binding": session.binding,
            "observed": sorted(session.observed.values()),
        }
    waiting = len(aep.store.commands(device.id, "SAVED"))
    return {**asdict(device), "psk": text_of(device.psk), "psk_hex": device.psk, "encryption": product.encryption,
            "endpoint_format": product.endpoint_format, "power_mode": product.power_mode,
            "protocol": product.protocol, "transparent": product.transparent, "payload_format": product.payload_format,
            "product_name": product.name, "registration": registration, "commands_waiting": waiting}


def product_shown(product: Product) -> dict[str, Any]:
    return {**asdict(product), "services": json.loads(product.services)}


def uplink_shown(aep: Aep, uplink: Uplink) -> dict[str, Any]:
    return {"id": uplink.id, "t": uplink.t, "kind": uplink.kind, "mid": uplink.mid, "token": uplink.token.hex(),
            "acknowledged": uplink.acknowledged, "topic": uplink.topic, "service": uplink.service,
            "decoded": aep.decoded(uplink), **bytes_shown(uplink.payload)}


def command_shown(aep: Aep, command: Command) -> dict[str, Any]:
    values = asdict(command)
    del values["content"]
    return {**values, "expires": command.expires, "task": command.task, **bytes_shown(command.content),
            "answer": bytes_shown(command.answer) if command.answer else None}


def request_shown(aep: Aep, asked: Request) -> dict[str, Any]:
    values = asdict(asked)
    return {**values, "payload": bytes_shown(asked.payload), "answer": bytes_shown(asked.answer),
            "value": readable(asked.answer, asked.path, asked.answer_format)}


def notification_shown(aep: Aep, row: Notification) -> dict[str, Any]:
    return {"id": row.id, "t": row.t, "path": row.path, "format": row.format, **bytes_shown(row.payload),
            "value": readable(row.payload, row.path, row.format)}


def trace_shown(row: TraceRow) -> dict[str, Any]:
    return {"id": row.id, "t": row.t, "direction": row.direction, "peer": row.peer, "device": row.device,
            "hex": row.raw.hex(), "line": row_line(row), "note": row.note}


# handlers


async def get_choices(request: web.Request) -> web.Response:
    """What the forms of a page may offer."""
    return web.json_response({
        "protocols": list(PROTOCOLS), "payload_formats": FORMATS, "standard_services": WATER_METER,
        "endpoint_formats": list(ENDPOINTS), "power_modes": list(POWER_MODES), "encryptions": list(ENCRYPTIONS),
        "command_types": list(DATA_TYPES),
        "requests": list(REQUESTS),
    })


async def get_products(request: web.Request) -> web.Response:
    return web.json_response([product_shown(product) for product in request.app[AEP].store.products()])


async def post_product(request: web.Request) -> web.Response:
    values = await _body(request, NEW_PRODUCT)
    number = request.app[AEP].create_product(values.pop("name"), **values)
    return web.json_response({"id": number}, status=201)


async def get_devices(request: web.Request) -> web.Response:
    aep = request.app[AEP]
    return web.json_response([device_shown(aep, device) for device in aep.devices()])


async def post_device(request: web.Request) -> web.Response:
    values = await _body(request, NEW_DEVICE)
    return web.json_response({"id": request.app[AEP].create_device(values.pop("product"), **values)}, status=201)


async def get_device(request: web.Request) -> web.Response:
    return web.json_response(device_shown(request.app[AEP], _device(request)))


async def post_again(request: web.Request) -> web.Response:
    """Deletes the device and adds it again."""
    await _body(request, {})
    return web.json_response({"id": request.app[AEP].recreate(_device(request).id)}, status=201)


def _newest(table: type, shown: Callable[[Aep, Any], Any]) -> Callable[[web.Request], Awaitable[web.Response]]:
    """The handler that gives a device's newest rows of one table."""

    async def get(request: web.Request) -> web.Response:
        aep = request.app[AEP]
        rows = aep.store.newest(table, _device(request).id, **_window(request))
        return web.json_response([shown(aep, row) for row in rows])

    return get


async def post_command(request: web.Request) -> web.Response:
    device = _device(request).id
    values = await _body(request, NEW_COMMAND)
    number = request.app[AEP].command(device, values["content"], data_type=values["type"], ttl=values["ttl"])
    return web.json_response({"id": number}, status=201)


async def post_request(request: web.Request) -> web.Response:
    device = _device(request).id
    values = await _body(request, NEW_REQUEST)
    payload: str | bytes = values["payload"]
    if values["hex"]:
        try:
            payload = binascii.unhexlify(re.sub(r"\s", "", values["payload"]))
        except ValueError:
            raise AepError("the payload is no hex: an even number of hex digits") from None
    number = request.app[AEP].ask(device, values["kind"], values["path"], payload, content_format=values["format"],
                                  query=values["query"], accept=values["accept"], ttl=values["ttl"])
    return web.json_response({"id": number}, status=201)


async def get_trace(request: web.Request) -> web.Response:
    rows = request.app[AEP].store.newest(TraceRow, _one_device(request), **_window(request))
    return web.json_response([trace_shown(row) for row in rows])


async def get_pcap(request: web.Request) -> web.Response:
    rows = request.app[AEP].trace(_one_device(request))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "trace.pcap")
        write_pcap(path, rows)
        data = path.read_bytes()
    return web.Response(body=data, content_type="application/vnd.tcpdump.pcap",
                        headers={"Content-Disposition": 'attachment; filename="aep.pcap"'})


async def get_ca(request: web.Request) -> web.Response:
    """The CA of MQTTS, for a device's settings."""
    return web.Response(text=request.app[AEP].ca_pem, content_type="application/x-pem-file",
                        headers={"Content-Disposition": 'attachment; filename="ca.pem"'})


async def get_faults(request: web.Request) -> web.Response:
    on: dict[str, list[dict[str, Any]]] = {}
    for armed in request.app[AEP].front.faults.on():
        on.setdefault(armed.switch.name, []).append(
            {"device": armed.device, "left": armed.left, "value": armed.value, "struck": armed.struck})
    bans = request.app[AEP].tcp.bans().items()
    on["ban"] = [{"device": one, "left": None, "value": seconds, "struck": 1} for one, seconds in bans]
    return web.json_response([
        {"name": switch.name, "text": switch.text, "when": switch.when, "argument": switch.argument,
         "default": switch.default, "counts": switch.when == MESSAGE, "on": on.get(switch.name, [])}
        for switch in TABLE
    ])


async def post_fault(request: web.Request) -> web.Response:
    """Switches on or off; the answer says whether it had been on."""
    aep, values = request.app[AEP], await _body(request, SWITCH)
    if values["device"] is not None:
        aep.device(values["device"])
    if values["on"]:
        aep.fault(values["name"], values["device"], strikes=values["strikes"], value=values["value"])
        return web.json_response({"on": True})
    return web.json_response({"on": False, "was": aep.heal(values["name"], values["device"])})


ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "/api/choices", get_choices),
    ("GET", "/api/products", get_products),
    ("POST", "/api/products", post_product),
    ("GET", "/api/devices", get_devices),
    ("POST", "/api/devices", post_device),
    ("GET", "/api/devices/{device}", get_device),
    ("POST", "/api/devices/{device}/again", post_again),
    ("GET", "/api/devices/{device}/uplinks", _newest(Uplink, uplink_shown)),
    ("GET", "/api/devices/{device}/commands", _newest(Command, command_shown)),
    ("POST", "/api/devices/{device}/commands", post_command),
    ("GET", "/api/devices/{device}/requests", _newest(Request, request_shown)),
    ("POST", "/api/devices/{device}/requests", post_request),
    ("GET", "/api/devices/{device}/notifications", _newest(Notification, notification_shown)),
    ("GET", "/api/trace", get_trace),
    ("GET", "/api/trace.pcap", get_pcap),
    ("GET", "/api/ca.pem", get_ca),
    ("GET", "/api/faults", get_faults),
    ("POST", "/api/faults", post_fault),
)
