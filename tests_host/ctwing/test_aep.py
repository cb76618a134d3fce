"""The console's side: products, devices and commands, what is refused, and what a stop forgets."""

import asyncio
import re

import pytest

from tests_host.ctwing.raw_device import IMEI, on_session, register
from tools.ctwing.aep import Aep
from tools.ctwing.checks import AepError
from tools.ctwing.store import Store
from tools.world.events import Events


@pytest.fixture
def aep(world):
    return world.aep()


def test_device_ids_are_32_hex_digits_and_come_from_the_seed(world):
    def ids(seed):
        aep = world.aep(seed=seed)
        product = aep.create_product("meter")
        return [aep.create_device(product, name="m", imei=f"86854306097433{n}") for n in range(3)]

    assert ids(1) == ids(1) != ids(2)
    assert all(len(device) == 32 and int(device, 16) >= 0 for device in ids(1)) and len(set(ids(1))) == 3


def test_creating_an_imei_again_takes_it_from_its_former_product(world):
    async def work():
        aep = world.aep()
        former, wire = await world.device(aep)
        await wire.register()
        token = await wire.observed()
        kept = aep.command(former, "waits")
        device = aep.create_device(aep.create_product("other", endpoint_format="urn:imei"), name="m", imei=IMEI)
        assert [known.id for known in aep.devices()] == [device]
        assert aep.device(former).life_cycle == "cancelled" and not aep.device(former).online
        assert (await wire.notify(9, token))[0] == 0x70
        assert (await wire.register(10))[1] == 0x83  # 4.03: the new product has another endpoint format
        assert [(command.id, command.status) for command in aep.commands(former)] == [(kept, "FAILED")]
        with pytest.raises(AepError, match="cancelled"):
            aep.command(former, "x")

    world.run(work)


@pytest.mark.parametrize(("settings", "text"), [
    ({"protocol": "smoke"}, "protocol"), ({"endpoint_format": "mac"}, "endpoint format"),
    ({"power_mode": "psm"}, "PSM, DRX, eDRX"), ({"name": " "}, "name"),
    ({"encryption": "tls"}, "encryption"),
])
def test_a_bad_product_is_refused(aep, settings, text):
    with pytest.raises(AepError, match=text):
        aep.create_product(settings.pop("name", "meter"), **settings)
    assert aep.store.products() == []


@pytest.mark.parametrize(("settings", "text"), [
    ({"imei": "123"}, "IMEI"), ({"imei": "8685430609 4334"}, "IMEI"), ({"imsi": "46011x"}, "IMSI"),
    ({"name": ""}, "name"), ({"product": 1}, "no product"), ({}, "needs the device's IMSI"),
])
def test_a_bad_device_is_refused(aep, settings, text):
    product = settings.pop("product", aep.create_product("meter", endpoint_format="urn:imei-imsi"))
    with pytest.raises(AepError, match=text):
        aep.create_device(product, **{"name": "m", "imei": IMEI, **settings})
    assert aep.devices() == []


@pytest.mark.parametrize(("given", "key"), [
    ({"psk": "TYvoiTk34D3NZ6GN"}, b"TYvoiTk34D3NZ6GN"),  # the guide's, §4.1.3.2
    ({"psk_hex": "5459766f69546b333444334e5a36474e"}, b"TYvoiTk34D3NZ6GN"),
    ({"psk_hex": "00FF"}, b"\x00\xff"), ({"psk": "0123456789abcdef"}, b"0123456789abcdef"),
])
def test_a_key_is_given_as_text_or_in_hex_and_kept_when_the_device_is_added_again(aep, given, key):
    device = aep.create_device(aep.create_product("meter", encryption="dtls"), name="m", imei=IMEI, **given)
    for identity in (device, aep.recreate(device)):
        assert bytes.fromhex(aep.device(identity).psk) == key


def test_a_key_is_drawn_where_none_is_given_and_a_plain_device_has_none(aep):
    product = aep.create_product("meter", encryption="dtls")
    keys = [aep.device(aep.create_device(product, name="m", imei=f"86854306097433{n}")).psk for n in (1, 2)]
    assert keys[0] != keys[1] and all(bytes.fromhex(key).isalnum() and len(key) == 32 for key in keys)
    assert aep.device(aep.create_device(aep.create_product("meter"), name="m", imei=IMEI)).psk == ""


@pytest.mark.parametrize(("encryption", "given", "text"), [
    ("plain", {"psk": "TYvoiTk34D3NZ6GN"}, "encryption dtls"), ("dtls", {"psk_hex": "abc"}, "even"),
    ("dtls", {"psk_hex": "zz"}, "hex digits"), ("dtls", {"psk": "x" * 65}, "64"), ("dtls", {"psk": "水" * 22}, "64"),
    ("dtls", {"psk": "a", "psk_hex": "61"}, "both"), ("dtls", {"psk": b"a"}, "text"),
])
def test_a_bad_key_is_refused(aep, encryption, given, text):
    product = aep.create_product("meter", encryption=encryption)
    with pytest.raises(AepError, match=text):
        aep.create_device(product, name="m", imei=IMEI, **given)
    assert aep.devices() == []


@pytest.mark.parametrize(("content", "settings", "text"), [
    ("x" * 1025, {}, "1024"), ("", {}, "no content"), ("abc", {"data_type": "hex"}, "even"),
    ("zz", {"data_type": "hex"}, "hex digits"), ("{", {"data_type": "json"}, "JSON"),
    (b"\xff", {"data_type": "json"}, "JSON"), ("x", {"data_type": "xml"}, "data type"), ("x", {"ttl": -1}, "864000"),
    ("x", {"ttl": 864001}, "864000"), ("x", {"ttl": 1.5}, "864000"), ("x", {"ttl": True}, "864000"),
    (5, {}, "text or bytes"), ("x", {"device": "0" * 32}, "no device"),
])
def test_a_bad_command_is_refused_and_changes_nothing(aep, content, settings, text):
    device = aep.create_device(aep.create_product("meter"), name="m", imei=IMEI)
    with pytest.raises(AepError, match=text):
        aep.command(settings.pop("device", device), content, **settings)
    assert aep.commands(device) == [] and aep.events.log == []


@pytest.mark.parametrize("ask", ["device", "uplinks", "commands", "registrations"])
def test_an_unknown_device_is_said_so(aep, ask):
    with pytest.raises(AepError, match="no device"):
        getattr(aep, ask)("0" * 32)


@pytest.mark.parametrize("length", [0, 9, -1])
def test_token_lengths_beyond_coap_are_refused(world, length):
    with pytest.raises(AepError, match="1…8"):
        world.aep(token_length=length)


@pytest.mark.parametrize(("content", "data_type", "raw"), [
    ("阀门", "string", "阀门".encode()), ("68 65 6C", "hex", b"hel"), (b"\0\xff", "hex", b"\0\xff"),
    ('{"taskId": 1}', "json", b'{"taskId": 1}'),
])
def test_content_goes_down_as_the_bytes_it_names(aep, content, data_type, raw):
    device = aep.create_device(aep.create_product("meter"), name="m", imei=IMEI)
    aep.command(device, content, data_type=data_type)
    assert [(c.content, c.data_type, c.status) for c in aep.commands(device)] == [(raw, data_type, "SAVED")]


def test_a_command_over_512_bytes_is_taken_with_a_warning(aep):
    device = aep.create_device(aep.create_product("meter"), name="m", imei=IMEI)
    aep.command(device, "x" * 512)
    aep.command(device, "x" * 513)
    assert ["over 512" in event.text for event in aep.events.of("command-saved")] == [False, True]


def test_a_stopped_platform_forgets_sessions_and_keeps_what_is_stored(world):
    async def work():
        aep = world.aep()
        device, wire = await world.device(aep)
        await wire.register()
        await wire.observed()
        aep.command(device, "waits")
        aep.stop()
        assert not aep.device(device).online
        again = await world.wire(await aep.start())
        assert (await again.ask(on_session(2, 2)))[1] == 0x84
        assert [command.status for command in aep.commands(device)] == ["SAVED"]

    world.run(work)


def test_a_platform_on_a_file_goes_on_with_its_devices_and_cached_commands(world, tmp_path):
    async def work():
        first = world.aep(store=Store(str(tmp_path / "aep.db")))
        device, wire = await world.device(first)
        await wire.register()
        number = first.command(device, "waits", ttl=50)
        first.stop()
        first.store.close()
        world.open.remove(first)
        second = world.aep(store=Store(str(tmp_path / "aep.db")))
        assert [(known.id, known.online) for known in second.devices()] == [(device, False)]
        await asyncio.sleep(51)
        assert [(c.id, c.status) for c in second.commands(device)] == [(number, "EXPIRED")]

    world.run(work)


def test_aiocoaps_own_client_registers_in_real_time():
    from aiocoap import POST, Context, Message

    async def work():
        loop = asyncio.get_running_loop()
        aep = Aep(loop, Events(loop.time))
        device = aep.create_device(aep.create_product("meter", auto_observe=False), name="m", imei=IMEI)
        host, port = await aep.start()
        client = await Context.create_client_context()
        try:
            uri = f"coap://{host}:{port}/rd?ep={IMEI}&lt=86400&lwm2m=1.0&b=U"
            request = Message(code=POST, uri=uri, payload=b"</19/0>", content_format=40)
            response = await asyncio.wait_for(client.request(request).response, 30)
            assert response.code.dotted == "2.01" and response.opt.location_path == ("rd", IMEI)
            assert aep.device(device).online
        finally:
            await client.shutdown()
            aep.stop()

    asyncio.run(work())


def test_a_command_for_a_device_off_line_waits_until_its_ttl_and_is_announced(world):
    async def work():
        aep = world.aep()
        device, wire = await world.device(aep)
        aep.command(device, "a", ttl=10)
        await asyncio.sleep(11)
        assert (await wire.ask(register(1)))[1] == 0x41

    world.run(work)
    assert world.kinds()[:2] == ["command-saved", "command-expired"]


# products and devices of MQTT and TCP


def test_a_device_of_mqtt_or_tcp_has_its_products_id_before_its_number_and_a_token(aep):
    for protocol in ("mqtt", "tcp"):
        product = aep.create_product("meter", protocol=protocol)
        device = aep.device(aep.create_device(product, name="m", number="863318069987727"))
        assert (device.id, device.endpoint, device.imei) == (f"{product}863318069987727", device.id, "")
        assert re.fullmatch("[A-Za-z0-9_-]{43}", device.token)
        given = aep.create_device(product, name="m", number="1", token="secret")
        assert aep.device(given).token == "secret"
    assert len(aep.devices()) == 4


def test_tokens_come_from_the_seed(world):
    def token(seed):
        aep = world.aep(seed=seed)
        return aep.device(aep.create_device(aep.create_product("m", protocol="tcp"), name="m", number="1")).token

    assert token(1) == token(1) != token(2)


def test_a_numbered_device_added_again_keeps_its_id_and_gets_another_token(aep):
    device = aep.create_device(aep.create_product("meter", protocol="tcp"), name="m", number="1")
    former = aep.device(device).token
    number = aep.command(device, "waits")
    assert aep.recreate(device) == device and aep.device(device).token != former
    assert aep.device(device).life_cycle == "registered"
    assert [(c.id, c.status, c.result) for c in aep.commands(device)] == [(number, "FAILED", "device cancelled")]


@pytest.mark.parametrize(("product", "device", "text"), [
    ({"protocol": "tcp"}, {"number": ""}, "number"), ({"protocol": "tcp"}, {"number": "a b"}, "number"),
    ({"protocol": "mqtt"}, {"number": "1", "token": "\n"}, "token"), ({"protocol": "tcp"}, {"imei": IMEI}, "no IMEI"),
    ({"protocol": "mqtt"}, {"number": "1", "psk": "k"}, "no IMEI"), ({}, {"imei": IMEI, "number": "1"}, "no number"),
    ({}, {"imei": IMEI, "token": "t"}, "no token"),
])
def test_what_a_device_of_that_protocol_has_not_is_refused(aep, product, device, text):
    number = aep.create_product("meter", **product)
    with pytest.raises(AepError, match=text):
        aep.create_device(number, name="m", **device)
    assert aep.devices() == []


def test_a_number_is_in_a_product_once_and_in_another_again(aep):
    first, second = aep.create_product("a", protocol="tcp"), aep.create_product("b", protocol="tcp")
    aep.create_device(first, name="m", number="1")
    with pytest.raises(AepError, match="already"):
        aep.create_device(first, name="m", number="1")
    assert aep.create_device(second, name="m", number="1") == f"{second}1"


@pytest.mark.parametrize(("settings", "text"), [
    ({"protocol": "mqtt", "payload_format": "binary"}, "payload format"), ({"payload_format": "xml"}, "payload format"),
    ({"protocol": "tcp", "transparent": False, "payload_format": "json"}, "payload format"),
    ({"protocol": "tcp", "encryption": "dtls"}, "LwM2M"), ({"services": [{"id": 1}]}, "transparent"),
])
def test_a_product_that_its_protocol_does_not_have_is_refused(aep, settings, text):
    with pytest.raises(AepError, match=text):
        aep.create_product("meter", **settings)
    assert aep.store.products() == []


def test_device_management_is_lwm2ms(aep):
    device = aep.create_device(aep.create_product("meter", protocol="mqtt"), name="m", number="1")
    with pytest.raises(AepError, match="LwM2M"):
        aep.ask(device, "read", "/3/0")
