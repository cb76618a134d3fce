"""The API and the page, asked over real HTTP by aiohttp's test client; devices are bytes over real UDP."""

import asyncio
import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest
from aiohttp.test_utils import TestClient, TestServer

from tests_host.ctwing.raw_device import IMEI, Wire, answer
from tests_host.ctwing.secured_device import Air, SecuredDevice
from tests_host.ctwing.stream_device import connect, login, publish
from tools.ctwing.aep import Aep
from tools.ctwing.store import TraceRow
from tools.ctwing.things import WATER_METER
from tools.ctwing.web import PAGE, application, bytes_shown
from tools.world.events import Events

CONTENT, CHANGED = 0x45, 0x44
NOBODY = "0" * 32


class Console:
    """A platform, its API, and one device that is created already."""

    def __init__(self, aep, client):
        self.aep, self.client = aep, client
        self.device = aep.create_device(aep.create_product("meter"), name="meter 1", imei=IMEI)

    async def get(self, path, status=200):
        response = await self.client.get("/api/" + path)
        assert response.status == status, await response.text()
        return await response.json()

    async def post(self, path, body, status=201):
        response = await self.client.post("/api/" + path, json=body)
        assert response.status == status, await response.text()
        return await response.json()

    async def wire(self):
        """The device's socket, registered and observed; and the token."""
        loop = asyncio.get_running_loop()
        _, wire = await loop.create_datagram_endpoint(lambda: Wire(self.address), local_addr=("127.0.0.1", 0))
        await wire.register()
        return wire, await wire.observed()


def run(work):
    async def around():
        loop = asyncio.get_running_loop()
        aep = Aep(loop, Events(loop.time))
        async with TestClient(TestServer(application(aep))) as client:
            console = Console(aep, client)
            console.address = await aep.start()
            try:
                await work(console)
            finally:
                aep.stop()
                aep.store.close()

    asyncio.run(around())


# devices


def test_a_device_is_created_and_shown_with_its_states():
    async def work(console):
        product = (await console.post("products", {"name": "water", "endpoint_format": "urn:imei"}))["id"]
        device = (await console.post("devices", {"product": product, "name": "m", "imei": "868543060974335"}))["id"]
        found = await console.get("devices/" + device)
        assert found["endpoint"] == "urn:imei:868543060974335" and found["registration"] is None
        assert (found["life_cycle"], found["online"], found["power_mode"]) == ("registered", False, "PSM")
        assert [one["id"] for one in await console.get("devices")] == [console.device, device]
        assert [one["id"] for one in await console.get("products")][-1] == product

    run(work)


@pytest.mark.parametrize(("given", "text", "digits"), [
    ({"psk": "TYvoiTk34D3NZ6GN"}, "TYvoiTk34D3NZ6GN", "5459766f69546b333444334e5a36474e"),
    ({"psk_hex": "00ff"}, "", "00ff"),
])
def test_a_device_of_a_dtls_product_shows_its_key(given, text, digits):
    async def work(console):
        product = (await console.post("products", {"name": "water", "encryption": "dtls"}))["id"]
        body = {"product": product, "name": "m", "imei": "868543060974335", **given}
        found = await console.get("devices/" + (await console.post("devices", body))["id"])
        assert (found["encryption"], found["psk"], found["psk_hex"]) == ("dtls", text, digits)
        plain = await console.get("devices/" + console.device)
        assert (plain["encryption"], plain["psk"], plain["psk_hex"]) == ("plain", "", "")
        assert (await console.get("choices"))["encryptions"] == ["plain", "dtls"]
        assert "PSK" in (await console.post("devices", {**body, "psk": "x", "psk_hex": "61"}, 400))["error"]

    run(work)


def test_a_device_on_line_shows_its_address_and_what_is_left_of_its_lifetime():
    async def work(console):
        wire, _ = await console.wire()
        found = (await console.get("devices/" + console.device))["registration"]
        port = wire.transport.get_extra_info("sockname")[1]
        assert found["address"] == f"127.0.0.1:{port}" and found["observed"] == ["/19/0/0", "/3/0"]
        assert found["lifetime"] == 86400 and 86390 <= found["left"] <= 86400

    run(work)


def test_a_device_deleted_and_added_again_has_another_id():
    async def work(console):
        again = (await console.post(f"devices/{console.device}/again", {}))["id"]
        assert again != console.device and [one["id"] for one in await console.get("devices")] == [again]

    run(work)


def test_the_trace_says_who_spoke_by_dtls():
    async def work(console):
        imei, psk = "868543060975009", "TYvoiTk34D3NZ6GN"
        product = console.aep.create_product("water", encryption="dtls", auto_observe=False)
        device = console.aep.create_device(product, name="m", imei=imei, psk=psk)
        meter = SecuredDevice(Air(console.aep.dtls), psk.encode(), identity=imei.encode()).connect()
        assert (await meter.register(1, imei))[1] == 0x41
        peer = "192.0.2.1:5684 by DTLS"
        assert [row["peer"] for row in await console.get("trace?device=" + device)] == [peer, peer]
        assert (await console.get("devices/" + device))["registration"]["address"] == peer
        assert "row.peer" in PAGE.read_text()

    run(work)


# what comes up and goes down


@pytest.mark.parametrize(("payload", "text", "parsed"), [
    (b'{"id": 7, "t": [1.5]}', '{"id": 7, "t": [1.5]}', {"id": 7, "t": [1.5]}), (b"hello", "hello", ...),
    ("水表".encode(), "水表", ...), (b"\xff\0", None, ...), (b"", "", ...), (b"NaN", "NaN", ...),
    (b"[" * 60000, "[" * 60000, ...), (b"1" * 5000, "1" * 5000, ...), (b'"\\ud800"', '"\\ud800"', "\ud800"),
])
def test_bytes_are_shown_as_hex_base64_text_and_json_where_they_are_some(payload, text, parsed):
    shown = bytes_shown(payload)
    assert bytes.fromhex(shown["hex"]) == base64.b64decode(shown["base64"]) == payload
    assert shown["text"] == text and shown.get("json", ...) == parsed
    json.dumps(shown, allow_nan=False).encode()


def test_uplinks_come_with_their_acknowledgement_newest_rows_first_dropped():
    async def work(console):
        wire, token = await console.wire()
        for mid in range(5):
            await wire.notify(mid + 10, token, b'{"id":%d}' % mid)
        path = f"devices/{console.device}/uplinks"
        rows = await console.get(path)
        assert [row["json"] for row in rows] == [{"id": mid} for mid in range(5)]
        assert rows[0]["acknowledged"] and (rows[0]["kind"], rows[0]["mid"]) == ("CON", 10)
        assert [row["mid"] for row in await console.get(path + "?limit=2")] == [13, 14]
        assert [row["mid"] for row in await console.get(path + f"?after={rows[3]['id']}")] == [14]

    run(work)


@pytest.mark.parametrize(("content", "kind", "raw"), [
    ("阀门", "string", "阀门".encode()), ("68 65", "hex", b"he"), ('{"taskId":1}', "json", b'{"taskId":1}'),
])
def test_a_command_goes_down_and_its_end_is_shown(content, kind, raw):
    async def work(console):
        wire, token = await console.wire()
        path = f"devices/{console.device}/commands"
        number = (await console.post(path, {"content": content, "type": kind, "ttl": 60}))["id"]
        assert [(row["id"], row["status"]) for row in await console.get(path)] == [(number, "SAVED")]
        wire.send(b"")
        await wire.notify(9, token)
        write = await wire.receive()
        assert write.endswith(b"\xff" + raw)
        wire.send(answer(write, CHANGED))
        await asyncio.sleep(0.02)
        row = (await console.get(path))[0]
        assert (row["status"], row["result"], row["hex"], row["ttl"]) == ("DELIVERED", "2.04", raw.hex(), 60)

    run(work)


def test_a_request_is_asked_and_its_answer_is_read():
    async def work(console):
        wire, token = await console.wire()
        path = f"devices/{console.device}/requests"
        await console.post(path, {"kind": "write", "path": "/1/0", "payload": "c1 01 05", "hex": True})
        await console.post(path, {"kind": "read", "path": "/3/0"})
        await wire.notify(9, token)
        write = await wire.receive()
        assert write.endswith(b"\xff\xc1\x01\x05")
        wire.send(answer(write, CHANGED))
        wire.send(answer(await wire.receive(), CONTENT, b"\xc2\x2d\x16\xff\xc1\x09\x64"))
        await asyncio.sleep(0.02)
        first, second = await console.get(path)
        assert (first["status"], first["result"], first["payload"]["hex"]) == ("ANSWERED", "2.04", "c10105")
        assert (second["result"], second["value"], second["answer"]["hex"]) == ("2.05", {"9": 100}, "c10964")
        assert [row["path"] for row in await console.get(f"devices/{console.device}/notifications")] == ["/3/0"]

    run(work)


def test_a_thing_model_device_of_mqtt_is_created_and_shown_with_what_its_payloads_say():
    async def work(console):
        product = (await console.post("products", {"name": "things", "protocol": "mqtt", "transparent": False,
                                                   "services": WATER_METER}))["id"]
        body = {"product": product, "name": "meter", "number": "863318069987727", "token": "secret"}
        device = (await console.post("devices", body))["id"]
        stored = next(one for one in await console.get("products") if one["id"] == product)
        assert (stored["protocol"], stored["payload_format"]) == ("mqtt", "json")
        assert len(stored["services"]) == len(WATER_METER)
        reader, writer = await asyncio.open_connection(*await console.aep.start_mqtt())
        writer.write(connect(device, "secret", keep_alive=100) + publish("data_report", b'{"water_flow":8.5}', 1)
                     + publish("data_report", b'{"water_flow":"8.5"}', 1))
        await reader.readexactly(12)
        known = await console.get(f"devices/{device}")
        assert (known["protocol"], known["number"], known["token"], known["imei"]) == (
            "mqtt", body["number"], "secret", "")
        session = known["registration"]
        assert session["address"].endswith(" by MQTT") and (session["lifetime"], session["binding"]) == (150, "MQTT")
        uplink, = await console.get(f"devices/{device}/uplinks")
        assert uplink["decoded"] == {"serviceId": 1, "water_flow": 8.5} and uplink["topic"] == "data_report"
        rows = await console.get(f"trace?device={device}")
        assert [row["line"].split()[0] for row in rows] == ["CONNECT", "CONNACK"] + ["PUBLISH", "PUBACK"] * 2
        assert "dropped" in rows[4]["note"] and rows[2]["note"] == ""
        content = {"serviceIdentifier": "valve_onoff_cmd", "params": {"valve_onoff": 1}}
        await console.post(f"devices/{device}/commands", {"content": json.dumps(content), "type": "json"})
        assert b'"payload":{"valve_onoff":1}}' in await reader.readuntil(b"}}")
        command, = await console.get(f"devices/{device}/commands")
        assert (command["task"], command["service"], command["json"], command["answer"]) == (
            1, 8001, {"valve_onoff": 1}, None)
        writer.close()

    run(work)


def test_the_ca_of_mqtts_is_there_to_download():
    async def work(console):
        response = await console.client.get("/api/ca.pem")
        assert response.status == 200 and (await response.text()) == console.aep.ca_pem
        assert console.aep.ca_pem.startswith("-----BEGIN CERTIFICATE-----")

    run(work)


def test_the_trace_reads_line_by_line_and_downloads_as_pcap():
    async def work(console):
        wire, token = await console.wire()
        await wire.notify(77, token)
        wire.send(b"\xff")
        await asyncio.sleep(0.02)
        rows = await console.get("trace?device=" + console.device)
        lines = [row["line"] for row in rows]
        assert f"CON 1 POST /rd?lwm2m=1.0&ep={IMEI}&b=U&lt=86400 token 01 Format 40 '</1/0>,</19/0>'" in lines
        assert f"ACK 1 2.01 token 01 Location rd/{IMEI}" in lines
        assert f"CON 77 2.05 token {token.hex()} Observe 1 Format 42 'helloworld'" in lines
        assert "ACK 77 empty" in lines and lines[-1] == "malformed: shorter than a header"
        assert {row["direction"] for row in rows} == {"up", "down"}
        response = await console.client.get("/api/trace.pcap")
        assert response.headers["Content-Disposition"].startswith("attachment")
        assert (await response.read())[:4] == bytes.fromhex("d4c3b2a1")

    run(work)


def test_a_trace_of_any_bytes_is_shown():
    async def work(console):
        for raw in (b"", b"\x40", b"\x44\x01\0\1abcd\xd1\x0a\x0e", bytes(range(256)), b"\x40\x45\0\1\xff\x1b[31m"):
            console.aep.store.add_trace(1.0, "up", "127.0.0.1:1", raw, None)
        rows = await console.get("trace")
        assert len(rows) == 5 and "Block2 0+/1024" in rows[2]["line"] and rows[4]["line"].endswith("5 bytes")
        assert [row.id for row in console.aep.store.newest(TraceRow, None, after=0, limit=2)] == [4, 5]

    run(work)


# fault switches


def test_a_switch_is_set_shown_struck_and_cleared():
    async def work(console):
        device = console.device
        body = {"name": "refuse-register", "on": True, "device": device, "strikes": 3, "value": "5.03"}
        assert await console.post("faults", body, 200) == {"on": True}
        loop = asyncio.get_running_loop()
        _, wire = await loop.create_datagram_endpoint(lambda: Wire(console.address), local_addr=("127.0.0.1", 0))
        assert (await wire.register())[1] == 0xA3
        row = (await console.get("faults"))[0]
        assert row["on"] == [{"device": device, "left": 2, "value": "5.03", "struck": 1}]
        off = {"name": "refuse-register", "on": False, "device": device}
        assert await console.post("faults", off, 200) == {"on": False, "was": True}
        assert await console.post("faults", off, 200) == {"on": False, "was": False}
        assert (await wire.register(2))[1] == 0x41

    run(work)


def test_a_ban_is_shown_and_switched_off():
    async def work(console):
        product = console.aep.create_product("meter", protocol="tcp")
        device = console.aep.create_device(product, name="m", number="1", token="secret")
        _, writer = await asyncio.open_connection(*await console.aep.start_tcp())
        writer.write(login(device, "secret"))
        while console.aep.session(device) is None:
            await asyncio.sleep(0.01)
        await console.post("faults", {"name": "ban", "on": True, "device": device, "value": 100}, 200)
        row = next(row for row in await console.get("faults") if row["name"] == "ban")
        assert [(one["device"], one["value"]) for one in row["on"]] == [(None, 100), (device, 100)]
        for was in (True, False):
            assert await console.post("faults", {"name": "ban", "on": False}, 200) == {"on": False, "was": was}
        row = next(row for row in await console.get("faults") if row["name"] == "ban")
        assert row["on"] == []
        writer.close()

    run(work)


# bad input


BAD_BODIES = [
    ("products", {}, "'name' is missing"), ("products", {"name": 5}, "name is text"),
    ("products", {"name": " "}, "needs a name"), ("products", {"name": "m", "auto_observe": 1}, "true or false"),
    ("products", {"name": "m", "colour": "red"}, "no field 'colour'"), ("products", [], "no JSON object"),
    ("products", {"name": "m", "endpoint_format": "mac"}, "endpoint format"),
    ("devices", {"product": "1", "name": "m", "imei": IMEI}, "whole number"),
    ("devices", {"product": True, "name": "m", "imei": IMEI}, "whole number"),
    ("devices", {"product": None, "name": "m", "imei": IMEI}, "'product' is missing"),
    ("devices/ID/commands", {"content": ""}, "no content"),
    ("devices/ID/commands", {"content": "{", "type": "json"}, "not JSON"),
    ("devices/ID/commands", {"content": "[" * 100_000, "type": "json"}, "not JSON"),
    ("devices/ID/commands", {"content": '{"a":NaN}', "type": "json"}, "not JSON"),
    ("devices/ID/commands", {"content": "\ud800"}, "half a character"),
    ("products", {"name": "\ud800"}, "half a character"),
    ("products", {"name": "m", "protocol": "mqtt", "services": [{"\udfff": 1}]}, "half a character"),
    ("faults", {"name": "ping", "on": True, "device": "\ud800"}, "half a character"),
    ("devices/ID/commands", {"content": "x", "type": "xml"}, "data type"),
    ("devices/ID/commands", {"content": "x", "ttl": 1.5}, "whole number"),
    ("devices/ID/commands", {"content": "x", "ttl": 864001}, "864000"),
    ("devices/ID/commands", {"content": "x" * 1025}, "1024"),
    ("devices/ID/requests", {"kind": "reboot", "path": "/3/0/4"}, "is one of"),
    ("devices/ID/requests", {"kind": "read", "path": "3/0"}, "path"),
    ("devices/ID/requests", {"kind": "write", "path": "/1/0/1", "payload": "abc", "hex": True}, "no hex"),
    ("faults", {"name": "no-such", "on": True}, "no switch"),
    ("faults", {"name": "ping", "on": "yes"}, "true or false"),
    ("faults", {"name": "no-such", "on": False}, "no switch"),
    ("faults", {"name": "flood", "on": True, "value": {"a": 1}}, "1…1000"),
    ("faults", {"name": "long-lifetime", "on": True, "value": ["cut"]}, "honoured"),
    ("faults", {"name": "ping", "on": True, "strikes": 0}, "strikes"),
]


@pytest.mark.parametrize(("path", "body", "text"), BAD_BODIES)
def test_a_bad_body_is_400_and_says_what_to_do(path, body, text):
    async def work(console):
        before = len(console.aep.events.log)
        found = await console.post(path.replace("ID", console.device), body, 400)
        assert text in found["error"] and len(console.aep.events.log) == before

    run(work)


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b"[" * 100000, b"{} {}"])
def test_a_body_that_is_no_json_is_400(raw):
    async def work(console):
        response = await console.client.post("/api/products", data=raw, headers={"Content-Type": "application/json"})
        assert response.status == 400 and "no JSON" in (await response.json())["error"]

    run(work)


def test_a_form_of_another_origin_is_refused_by_its_content_type():
    async def work(console):
        response = await console.client.post("/api/products", data=b'{"name": "x"}',
                                             headers={"Content-Type": "text/plain"})
        assert response.status == 400 and "application/json" in (await response.json())["error"]
        assert len(console.aep.store.products()) == 1

    run(work)


@pytest.mark.parametrize("path", [
    f"devices/{NOBODY}", f"devices/{NOBODY}/uplinks", f"devices/{NOBODY}/commands", f"devices/{NOBODY}/requests",
    f"devices/{NOBODY}/notifications", f"trace?device={NOBODY}", f"trace.pcap?device={NOBODY}", "no-such",
])
def test_what_is_not_there_is_404(path):
    async def work(console):
        assert "there is no" in (await console.get(path, 404))["error"]

    run(work)


@pytest.mark.parametrize(("path", "body"), [
    (f"devices/{NOBODY}/commands", {"content": "x"}), (f"devices/{NOBODY}/requests", {"kind": "read", "path": "/3"}),
    ("devices", {"product": 1, "name": "m", "imei": IMEI}), (f"devices/{NOBODY}/again", {}),
    ("faults", {"name": "ping", "on": True, "device": NOBODY}),
    ("faults", {"name": "ping", "on": False, "device": "x"}),
    ("devices", {"product": 2**63, "name": "m", "imei": IMEI}), ("devices", {"product": -2**63 - 1, "name": "m"}),
])
def test_a_post_for_nobody_is_404(path, body):
    run(lambda console: console.post(path, body, 404))


@pytest.mark.parametrize("query", ["limit=x", "limit=1001", "limit=-1", "after=1.5", "after=" + "9" * 16, "limit=٣"])
def test_a_bad_window_is_400(query):
    async def work(console):
        assert "is not a number" in (await console.get("trace?" + query, 400))["error"]

    run(work)


def test_a_wrong_method_is_405_and_too_large_a_body_is_413():
    async def work(console):
        response = await console.client.delete("/api/devices")
        assert response.status == 405 and response.headers["Allow"] == "GET, POST"
        response = await console.client.post("/api/products", data=b" " * 300_000,
                                             headers={"Content-Type": "application/json"})
        assert response.status == 413 and "262144" in (await response.json())["error"]

    run(work)


# the page


class Reader(HTMLParser):
    def __init__(self):
        super().__init__()
        self.outside, self.handlers = [], []

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if name in ("src", "href", "action"):
                self.outside.append(value)
            if name.startswith("on"):
                self.handlers.append(name)


def test_the_page_is_served_with_a_policy_that_lets_only_its_own_script_run():
    async def work(console):
        response = await console.client.get("/")
        page = await response.text()
        assert response.status == 200 and response.content_type == "text/html" and "<title>Local AEP" in page
        policy = response.headers["Content-Security-Policy"]
        script = re.findall(r"<script>(.*?)</script>", page, re.S)
        digest = base64.b64encode(hashlib.sha256(script[0].encode()).digest()).decode()
        assert len(script) == 1 and f"script-src 'sha256-{digest}';" in policy and "default-src 'none'" in policy

    run(work)


def test_the_page_loads_nothing_from_outside_and_puts_nothing_in_as_html():
    page = PAGE.read_text()
    reader = Reader()
    reader.feed(page)
    assert reader.outside == ["data:,"] and reader.handlers == []
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|https?://", page)


def test_the_page_asks_only_what_there_is():
    async def work(console):
        resources = {route.resource.canonical for route in console.client.app.router.routes()}
        asked = set(re.findall(r"api\([`\"]([a-z]+)", PAGE.read_text()))
        assert asked == {"devices", "choices", "products", "faults", "trace"}
        assert all(f"/api/{name}" in resources for name in asked)

    run(work)
