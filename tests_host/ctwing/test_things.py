"""Thing-model products: reports and answers read, commands written, what does not match dropped; over each protocol, by
the platform's published bytes (ctwing.md §2.6, §7.5)."""

import json
import random

import pytest

from tests_host.ctwing.raw_device import payload_of
from tests_host.ctwing.stream_device import TOKEN, connect, login, mqtt, publish, real, short
from tools.ctwing.checks import AepError
from tools.ctwing.things import WATER_METER, decoded, services_of

VALVE = {"serviceIdentifier": "valve_onoff_cmd", "params": {"valve_onoff": 0}}


def product(aep, **settings):
    number = aep.create_product("meter", transparent=False, services=WATER_METER, **settings)
    return aep.store.product(number)


# by protocol


@real()
async def test_mqtt_topics_are_identifiers_and_commands_carry_their_task(here):
    device = here.create(protocol="mqtt", transparent=False, services=WATER_METER)
    number = here.aep.command(device, VALVE)
    stream = await here.connect("mqtt")
    assert await stream.ask(connect(device, TOKEN), 4) == "20020000"
    packet = mqtt(0x32, short("valve_onoff_cmd") + b'\0\1{"taskId":1,"payload":{"valve_onoff":0}}')
    assert await stream.get(len(packet)) == packet
    stream.send("40020001")
    assert await stream.ask(publish("data_report", b'{"water_flow":8.14}', 1, 5), 4) == "40020005"
    answer = b'{"taskId":1,"resultPayload":{"valve_onoff":0,"act_result":0}}'
    assert await stream.ask(publish("valve_onoff_resp", answer, 1, 6), 4) == "40020006"
    command, = here.aep.commands(device)
    assert (command.id, command.status, command.answer, command.service) == (number, "DELIVERED", answer, 8001)
    assert [here.aep.decoded(uplink) for uplink in here.aep.uplinks(device)] == [
        {"serviceId": 1, "water_flow": 8.14}, {"serviceId": 9001, "taskId": 1, "valve_onoff": 0, "act_result": 0}]


@pytest.mark.parametrize(("topic", "body", "why"), [
    ("topic/data", {"water_flow": 1}, "no service"), ("data_report", {"water_flow": "1"}, "water_flow"),
    ("data_report", {}, "fields"), ("data_report", {"water_flow": 1, "more": 1}, "fields"),
    ("data_report", [1], "object"),
    ("data_report", {"water_flow": 1, "serviceId": 2}, "fields"), ("valve_onoff_cmd", {"valve_onoff": 1}, "no service"),
    ("valve_onoff_resp", {"valve_onoff": 0, "act_result": 0}, "answer"), ("data_report", {"water_flow": True}, "flow"),
    ("valve_onoff_resp", {"taskId": "1", "resultPayload": {"valve_onoff": 0, "act_result": 0}}, "answer"),
    ("valve_onoff_resp", {"taskId": 1, "resultPayload": {"valve_onoff": 300, "act_result": 0}}, "valve_onoff"),
])
@real()
async def test_json_that_does_not_match_is_dropped_without_a_word_and_the_trace_says_why(here, topic, body, why):
    device = here.create(protocol="mqtt", transparent=False, services=WATER_METER)
    stream = await here.connect("mqtt")
    assert await stream.ask(connect(device, TOKEN), 4) == "20020000"
    assert await stream.ask(publish(topic, json.dumps(body).encode(), 1), 4) == "40020001"
    assert here.aep.uplinks(device) == []
    note, = [row.note for row in here.aep.trace(device) if row.note]
    assert note.startswith(f"dropped: {topic}: ") and why in note


@real()
async def test_tcp_1_1_carries_packed_parameters_and_says_what_is_none_of_the_products(here):
    device = here.create(transparent=False, services=WATER_METER)
    here.aep.command(device, json.dumps(VALVE))
    stream = await here.connect()
    assert await stream.ask(login(device, TOKEN, "1.1"), 3) == "050000"
    assert (await stream.get(8)).hex() == "0300050001" + "1f41" + "00"
    stream.send("8300080001" + "0001" + "23290000")
    assert await stream.ask("0200080001000141023d71", 7) == "82000400010000"
    for wrong in ("020007000200014102 3d", "0200080003ffff41023d71", "0200040004 1f41"):
        assert (await stream.ask(wrong, 7))[-4:] == "0001"
    uplink, = here.aep.uplinks(device)
    assert here.aep.decoded(uplink) == {"serviceId": 1, "water_flow": pytest.approx(8.14)}
    command, = here.aep.commands(device)
    assert (command.status, command.result, command.answer.hex()) == ("DELIVERED", "1", "23290000")
    assert len(here.reasons("discarded")) == 3


@pytest.mark.parametrize(("form", "report", "down", "answer"), [
    ("binary", "020001000441023d71", "061f410001000100", "862329000100020000"),  # ctwing.md §7.5
    ("json", b'{"serviceId":1,"water_flow":8.14}'.hex(), b'{"valve_onoff":0,"taskId":1,"serviceId":8001}'.hex(),
     b'{"taskId":1,"serviceId":9001,"valve_onoff":0,"act_result":0}'.hex()),
])
def test_lwm2m_carries_either_format(world, form, report, down, answer):
    async def work():
        aep = world.aep()
        device, wire, token = await world.registered(aep, power_mode="DRX", transparent=False, services=WATER_METER,
                                                     payload_format=form)
        await wire.notify(11, token, bytes.fromhex(report))
        aep.command(device, VALVE)
        request = await wire.receive()
        assert payload_of(request).hex() == down
        wire.send(bytes([0x64, 0x44]) + request[2:8])
        await wire.notify(12, token, bytes.fromhex(answer))
        first, second = [aep.decoded(uplink) for uplink in aep.uplinks(device)]
        assert first == {"serviceId": 1, "water_flow": pytest.approx(8.14)}
        assert second == {"serviceId": 9001, "taskId": 1, "valve_onoff": 0, "act_result": 0}
        command, = aep.commands(device)
        assert (command.status, command.answer.hex()) == ("DELIVERED", answer)

    world.run(work)


# the model


@pytest.mark.parametrize(("payload", "found"), [
    ("0703e9000901" + "0000019a00000000", {"serviceId": 1001, "error_code": 1, "error_time": 0x19A00000000}),
    ("0300020014ffffff9a00000010000001db0000000005a2890b",
     {"serviceId": 2, "rsrp": -102, "sinr": 16, "pci": 475, "ecl": 0, "cell_id": 94537995}),
])
def test_the_documents_examples_are_read(world, payload, found):
    read = decoded(product(world.aep(), payload_format="binary"), bytes.fromhex(payload))
    assert {name: read[name] for name in found} == found


@pytest.mark.parametrize("payload", ["", "02", "0200010004", "020001000341023d71", "02ffff000441023d71",
                                     "030001000441023d71", "020001000541023d7100", "7b7d", "86232900010001ff"])
def test_what_is_no_record_of_it_is_shown_with_the_reason(world, payload):
    assert decoded(product(world.aep(), payload_format="binary"), bytes.fromhex(payload))["error"]


def test_any_bytes_are_read_or_given_a_reason(world):
    draw = random.Random(3)
    aep = world.aep()
    kinds = [product(aep, payload_format="binary"), product(aep), product(aep, protocol="mqtt"),
             product(aep, protocol="tcp")]
    for _ in range(2000):
        one = draw.choice(kinds)
        payload = draw.choice((draw.randbytes(draw.randint(0, 40)), b'{"serviceId":1,"water_flow":' + draw.randbytes(5),
                               b"[" * draw.randint(0, 2000), b'{"water_flow":1e999}', b'{"a":' * 999))
        name = draw.choice((0, 1, 2, 8001, 9001, "data_report", "info_report", "x"))
        assert isinstance(decoded(one, payload, name), dict)


@pytest.mark.parametrize(("content", "text"), [
    ({"serviceIdentifier": "no", "params": {}}, "valve_onoff_cmd"), ({"serviceId": 1, "params": {}}, "no command"),
    ({"params": {}}, "no command"), ({"serviceId": 8001, "params": {}}, "valve_onoff"),
    ({"serviceId": 8001, "params": {"valve_onoff": 256}}, "not a value"),
    ({"serviceId": 8001, "params": {"valve_onoff": "0"}}, "not a value"),
    ({"serviceId": 8001, "params": {"valve_onoff": 0, "x": 1}}, "params of"),
    ({"serviceId": [], "params": []}, "no command"),
    ({"valve_onoff": 0}, "text or bytes"),
])
def test_a_command_that_the_model_does_not_have_is_refused(world, content, text):
    aep = world.aep()
    device = aep.create_device(product(aep, protocol="mqtt").id, name="m", number="1")
    with pytest.raises(AepError, match=text):
        aep.command(device, content)
    assert aep.commands(device) == []


@pytest.mark.parametrize("protocol", ["mqtt", "tcp"])
def test_a_command_with_half_a_character_in_it_is_refused(world, protocol):
    aep = world.aep()
    texts = [{"parameterFlag": "text", "parameterName": "text", "dataType": "string"}]
    rows = [{**row, "parameters": texts} if row["serviceId"] == 8001 else row for row in WATER_METER]
    made = aep.create_product("meter", protocol=protocol, transparent=False, services=rows)
    device = aep.create_device(made, name="m", number="1")
    with pytest.raises(AepError, match="half a character"):
        aep.command(device, r'{"serviceId":8001,"params":{"text":"\ud800"}}')
    assert aep.commands(device) == []


@pytest.mark.parametrize("services", [[{}], [{"serviceId": 1}], "text", [{**WATER_METER[0], "serviceType": 9}],
                                      [WATER_METER[0]] * 2, [{**WATER_METER[0], "properties": "x"}], [object()]])
def test_a_service_list_that_is_none_is_refused(world, services):
    aep = world.aep()
    with pytest.raises(AepError, match="service list"):
        aep.create_product("meter", transparent=False, services=services)
    assert aep.store.products() == []


def test_the_list_is_kept_as_the_platforms_own_and_a_transparent_product_decodes_nothing(world):
    aep = world.aep()
    kept = product(aep, protocol="mqtt")
    assert [row["serviceFlag"] for row in json.loads(kept.services)] == [row["serviceFlag"] for row in WATER_METER]
    plain = aep.store.product(aep.create_product("meter"))
    assert services_of(plain) == [] and decoded(plain, b'{"serviceId":1,"water_flow":1}') is None
