"""tools/things: the platform's service list and lib/services.py, one from the other; both say what the device's own
declarations and codec say, and the platform's vectors come out byte for byte."""

import json
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from aep import thing
from tools.__main__ import cli
from tools.things import declaration, decode, encode, listing
from tools.things.model import ENUM, FRAMES, RANGES, TEXT, TIMESTAMP, Field, ModelError, Service, check

SHIPPED = declaration.read_file()
WATER_METER = listing.read(listing.STANDARD.read_text())[0]


def run(*args):
    return CliRunner().invoke(cli, ["services", *map(str, args)])


def declared(text):
    """lib/aep/thing.py with the services of such a file."""
    thing.declared.clear()
    exec(compile(text, "services.py", "exec"), {})
    thing.verify()
    return thing


# -- round trips -------------------------------------------------------------------------------------------------------


def test_the_shipped_declaration_is_what_the_tool_writes():
    text = declaration.SERVICES.read_text()
    assert declaration.write(SHIPPED).split('"""', 2)[2] == text.split('"""', 2)[2]


@pytest.mark.parametrize("services", [SHIPPED, WATER_METER], ids=["shipped", "standard"])
def test_nothing_is_lost_either_way(services):
    assert listing.read(listing.write(services)) == (services, [])
    untitled = [Service(s.id, s.identifier, s.kind, s.fields) for s in services]
    assert declaration.read(declaration.write(services)) == untitled


NAMES = (st.text("abcdefghijklmnopqrstuvwxyz_0123456789", min_size=1, max_size=8)
         | st.sampled_from(['a"b', "阀门", "it's", "\\"]))
NUMBERS = st.integers(-5, 300) | st.sampled_from([0.5, -1.25, 1e9, 2.0**31, -(2**31), 2**63])
FIELDS = st.builds(
    Field, NAMES, st.sampled_from(list(RANGES)), st.sampled_from(["", "m3", "ms"]), st.none() | NUMBERS,
    st.none() | NUMBERS, st.none() | NUMBERS | st.booleans() | st.sampled_from(["", "x", "阀"]),
    st.sampled_from([0, 0, 0, 3, 600]), st.none() | st.dictionaries(st.integers(-1, 300), NAMES, max_size=2),
)
SERVICES = st.builds(Service, st.integers(0, 65536) | st.sampled_from([1, 2, 8001, 9001]), NAMES,
                     st.sampled_from(list(FRAMES)), st.lists(FIELDS, max_size=3))


def good(services):
    try:
        check(services)
    except ModelError:
        return False
    return True


def as_on_the_device(one):
    return thing.field(one.name, getattr(thing, one.type), one.unit, one.low, one.high, one.empty, one.size, one.values)


@settings(max_examples=400, deadline=None, derandomize=True, database=None)
@given(st.lists(SERVICES, min_size=1, max_size=3))
def test_the_host_allows_what_the_device_allows(services):
    thing.declared.clear()
    try:
        for one in services:
            thing.service(one.id, one.identifier, FRAMES[one.kind], *map(as_on_the_device, one.fields))
        thing.verify()
        allowed = True
    except thing.ThingError:
        allowed = False
    assert good(services) == allowed


PLAIN_FIELDS = st.builds(
    lambda name, kind, unit, low, size, values: Field(
        name, kind, unit, low=None if kind == "BOOL" or size and kind == TEXT else low,
        size=size if kind == TEXT else 0, values=values if kind == ENUM else None),
    NAMES, st.sampled_from(list(RANGES)), st.sampled_from(["", "m3"]), st.none() | st.integers(0, 9),
    st.sampled_from([0, 3]), st.none() | st.dictionaries(st.integers(0, 255), NAMES, min_size=1, max_size=3),
)
PLAIN = st.lists(
    st.builds(Service, st.integers(1, 7999), NAMES, st.sampled_from(["REPORT", "EVENT", "WIRELESS", "RESPONSE"]),
              st.lists(PLAIN_FIELDS, min_size=1, max_size=4, unique_by=lambda one: one.name)),
    min_size=1, max_size=4, unique_by=(lambda one: one.id, lambda one: one.identifier),
)


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(PLAIN)
def test_any_services_survive_both_round_trips_and_run_on_the_device(services):
    assert declaration.read(declaration.write(services)) == services
    assert listing.read(listing.write(services)) == (services, [])
    held = declared(declaration.write(services)).declared
    assert {number: (row[0], row[1]) for number, row in held.items()} == (
        {one.id: (one.identifier, FRAMES[one.kind]) for one in services})


def value_of(one):
    if one.type == "BOOL":
        return st.booleans()
    if one.type == TEXT:
        low, high = (0, one.size) if one.size else (int(one.low or 0), 20)
        return st.text("ab阀", max_size=20).filter(lambda text: low <= len(text.encode()) <= high)
    if one.values:
        return st.sampled_from(sorted(one.values))
    least = int(one.low or 0)
    return st.integers(least, {ENUM: 255, TIMESTAMP: 2**63 - 1}.get(one.type, 2**20))


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(PLAIN, st.data())
def test_what_the_device_packs_the_host_reads_and_the_other_way_round(services, data):
    device = declared(declaration.write(services))
    service = data.draw(st.sampled_from(services))
    values = {one.name: data.draw(value_of(one)) for one in service.fields}
    found = device.complete(service.id, {name: json.dumps(value) for name, value in values.items()})
    frame = device.frame(service.id, device.packed(found), 7 if service.kind == "RESPONSE" else None)
    task = {"taskId": 7} if service.kind == "RESPONSE" else {}
    assert decode.uplink(services, frame, decode.BINARY) == {"serviceId": service.id, **task, **values}
    assert device.unpacked(service.id, encode.parameters(service, values)) == values


# -- vectors -----------------------------------------------------------------------------------------------------------


def test_the_standard_model_gives_the_platforms_vectors():
    # ctwing.md §7.5
    device = declared(declaration.write(WATER_METER))
    for number, task, texts, frame in (
        (1, None, {"water_flow": "8.14"}, "020001000441023d71"),
        (9001, 1, {"valve_onoff": "0", "act_result": "0"}, "862329000100020000"),
        (2, None, {"rsrp": "-102", "sinr": "16", "pci": "475", "ecl": "0", "cell_id": "94537995"},
         "0300020014ffffff9a00000010000001db0000000005a2890b"),
        (1001, None, {"error_code": "1", "error_time": "0"}, "0703e9000901" + "00" * 8),
    ):  # fmt: skip
        assert device.frame(number, device.packed(device.complete(number, texts)), task).hex() == frame
        assert decode.uplink(WATER_METER, bytes.fromhex(frame), decode.BINARY)["serviceId"] == number
    assert encode.command(WATER_METER, 8001, 1, {"valve_onoff": 0}, decode.BINARY).hex() == "061f410001000100"
    assert {one.id for one in WATER_METER} == {1, 2, 3, 1001, 1002, 8001, 9001, 8004, 9004, 8006, 9006}


def test_the_shipped_services_are_the_standard_ones_with_more_in_data_report():
    ours = {one.id: one for one in SHIPPED}
    for one in WATER_METER:
        names = [each.name for each in one.fields]
        assert [each.name for each in ours[one.id].fields][: len(names)] == names
        assert (ours[one.id].identifier, ours[one.id].kind) == (one.identifier, one.kind)
        if one.id != 1:
            assert len(ours[one.id].fields) == len(names)


def test_text_and_time_are_as_struct_has_them():
    service = Service(1, "x", "REPORT", [Field("s", TEXT), Field("f", TEXT, size=4), Field("t", TIMESTAMP)])
    body = encode.parameters(service, {"s": "阀", "f": "ab", "t": 1_795_392_000_123})
    assert body == struct.pack(">H3s4sq", 3, "阀".encode(), b"ab", 1_795_392_000_123)
    assert decode.fields(service, body) == {"s": "阀", "f": "ab", "t": 1_795_392_000_123}


# -- the platform's list -----------------------------------------------------------------------------------------------

PROPERTY = {"propertyId": 3, "propertyFlag": "a2", "propertyName": "a2", "dataType": "float", "unit": "ppm", "min": "1",
            "len": 4, "unitName": "", "max": "2.5", "step": "1", "description": "1"}
ENUM_PROPERTY = {"propertyFlag": "a1", "dataType": "enum"}
PARAMETER = {"parameterId": 17, "parameterFlag": "cellId", "parameterName": "cellId", "dataType": "integer",
             "unit": "null", "min": -2147483648, "len": 4, "unitName": "", "max": 2147483647, "description": ""}
EVENT = {"serviceId": 1, "serviceFlag": "alarm", "serviceName": "告警", "serviceType": 2, "eventType": 1,
         "description": "", "properties": [PROPERTY], "parameters": []}


def answer(*services, **more):
    return json.dumps({"code": 0, "msg": "ok", "result": {"pageNum": 1, "pageSize": 20, "total": 1,
                                                          "list": list(services), **more}})


def test_an_answer_of_the_api_is_read_as_its_documents_show_it():
    enum = {"propertyFlag": "a1", "dataType": "enum", "enumDetail": {"1": "2", "3": "4"}, "len": 1}
    fixed = {"propertyFlag": "s", "dataType": "fix-string", "len": 5, "unit": "g"}
    bool_ = {"propertyFlag": "a3", "dataType": "bool", "boolDetail": {"false": "关", "true": "开"}, "len": 1}
    (service,), warnings = listing.read(answer({**EVENT, "properties": [PROPERTY, enum, fixed, bool_]}))
    assert (service.id, service.identifier, service.kind, service.title) == (1, "alarm", "EVENT", "告警")
    assert service.fields == [Field("a2", "FLOAT", "ppm", 1, 2.5), Field("a1", "ENUM", values={1: "2", 3: "4"}),
                              Field("s", "TEXT", "g", size=5), Field("a3", "BOOL")]
    assert warnings == []
    (service,), warnings = listing.read(answer({**EVENT, "properties": [PROPERTY], "parameters": [PARAMETER]}))
    assert service.fields[1] == Field("cellId", "INT32", "", -2147483648, 2147483647)
    assert "does not say how properties and parameters are mixed" in warnings[0]
    assert "# 告警\nservice(" in declaration.write([service])


def test_services_of_kinds_that_no_device_speaks_are_left_out_and_named():
    _, warnings = listing.read(answer(EVENT, {**EVENT, "serviceId": 5, "serviceFlag": "get", "serviceType": 3}))
    assert warnings == ["service 5 get: left out, type 3 (数据获取) is none that a device of ours speaks"]
    _, warnings = listing.read(answer(EVENT, total=30))
    assert warnings == ["1 of 30 services are in it: ask for a greater pageSize"]
    with pytest.raises(ModelError, match="no service that a device could have"):
        listing.read(answer({**EVENT, "serviceType": 3}))


@pytest.mark.parametrize(("source", "why"), [
    ("{", "not JSON"), ("5", "no list of services"), ("{}", "no list of services"), ('{"result": 5}', "no list"),
    ('{"code": 8800, "msg": "内部错误", "result": null}', "the platform's answer is an error: 8800 内部错误"),
    (answer(5), "a service without serviceFlag"), (answer({"serviceId": 1}), "a service without serviceFlag"),
    (answer({**EVENT, "serviceType": 9}), "service 1 alarm: serviceType 9 is none of 1, 2, 6, 7"),
    (answer({**EVENT, "serviceType": "2"}), "serviceType '2' is none of"),
    (answer({**EVENT, "serviceType": [2]}), r"serviceType \[2\] is none of"),
    (answer({**EVENT, "serviceId": "1"}), "the id is not 1-65535"),
    (answer({**EVENT, "properties": 5}), "properties and parameters are lists"),
    (answer({**EVENT, "properties": []}), "service 1 alarm: it has no field"),
    (answer({**EVENT, "properties": [5]}), "a property without propertyFlag"),
    (answer({**EVENT, "properties": [{**PROPERTY, "dataType": "blob"}]}), "alarm: a2: dataType 'blob' is none of"),
    (answer({**EVENT, "properties": [{**PROPERTY, "dataType": {}}]}), "dataType {} is none of"),
    (answer({**EVENT, "properties": [{**PROPERTY, "min": "x"}]}), "alarm: a2: min 'x' is not a number"),
    (answer({**EVENT, "properties": [{**PROPERTY, "min": 9}]}), "alarm: a2: its range ends before it begins"),
    (answer({**EVENT, "properties": [{**PROPERTY, "dataType": "fix-string", "len": "4"}]}), "a fix-string has a len"),
    (answer({**EVENT, "properties": [{**ENUM_PROPERTY, "enumDetail": {"a": "b"}}]}), "enumDetail is"),
    (answer({**EVENT, "properties": [{**ENUM_PROPERTY, "enumDetail": [1]}]}), "enumDetail is"),
    *[(answer({**EVENT, "serviceFlag": name}), "no topic of MQTT") for name in ("a/#", "+", "a\0", "\ud800")],
    (answer(EVENT, EVENT), "service 1 alarm: declared twice"),
    (answer({**EVENT, "serviceId": 8001, "serviceType": 6}), "service 8001 alarm: no RESPONSE 9001"),
])  # fmt: skip
def test_a_list_that_cannot_be_is_refused_with_service_and_field(source, why):
    with pytest.raises(ModelError, match=why):
        listing.read(source)


JSONS = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 9001) | st.sampled_from(["", "x", "enum", "float", "1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["result", "list", "serviceId", "serviceFlag", "serviceType", "properties", "propertyFlag",
                         "dataType", "min", "len", "enumDetail", "empty", "unit"]), inner, max_size=6),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(JSONS)
def test_any_json_is_services_or_refused(body):
    for text in (json.dumps(body), answer({**EVENT, "properties": [body]}), answer(body)):
        try:
            found, _ = listing.read(text)
        except ModelError:
            continue
        assert declaration.read(declaration.write(found))


# -- services.py -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("source", "why"), [
    ("service(", "line 1: "), ("x = 1", r"line 1: only calls of service"), ("for x in y: pass", "line 1: only calls"),
    ("\nservice(1, 'a')", r"line 2: service\(id, identifier, KIND"), ("service(1, 'a', REPORT, 5)", "line 1: field"),
    ("service(1, 'a', NOTHING, field('x', ENUM))", "line 1: one of REPORT"),
    ("service(1, 'a', REPORT, field('x'))", "line 1: field"),
    ("service(1, 'a', REPORT, field('x', ENUM, lo=1))", "line 1: field"),
    ("service(1 + n, 'a', REPORT, field('x', ENUM))", "line 1: a number or text"),
    ("service(1, 'a', REPORT, field('x', ENUM, high=256))", "service 1 a: x: 256 is beyond ENUM"),
])
def test_a_declaration_that_cannot_be_read_is_refused_with_its_line(source, why):
    with pytest.raises(ModelError, match=why):
        declaration.read(source)


# -- messages ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("payload", "form", "why"), [
    (b"", "thing-binary", "no frame"), (b"\x02\0\x07\0\0", "thing-binary", "no service 7"),
    (b"\x07\0\1\0\0", "thing-binary", "frames that begin with 07"), (b"\x02\0\1\0\5\0", "thing-binary", "bytes follow"),
    (b"\x02\0\1\0\1\0", "thing-binary", "cut short"), (b"\x02\0\1\0\5AAAAA", "thing-binary", "bytes too many"),
    (b"\x02\0\1\0\4\xff\xff\xff\xff", "thing-binary", "not a value"),
    (b"x", "thing-json", "no JSON"), (b"[1]", "thing-json", "not one JSON object"),
    (b"{}", "thing-json", "no service"),
    (b'{"serviceId":1}', "thing-json", "its fields are not"),
    (b'{"serviceId":1,"taskId":1,"water_flow":1}', "thing-json", "an answer has a taskId"),
    (b'{"serviceId":9001,"valve_onoff":1,"act_result":0}', "thing-json", "an answer has a taskId"),
    (b'{"serviceId":1,"water_flow":-1}', "thing-json", "not a value"),
    (b'{"serviceId":1,"water_flow":NaN}', "thing-json", "no JSON"),
    (b'{"serviceId":9001,"taskId":"1","valve_onoff":1,"act_result":0}', "thing-json", "a number"),
    (b'{"serviceId":8001,"taskId":1,"valve_onoff":1}', "thing-json", "no service 8001 that comes up"),
    (b"\x06\x1f\x41\0\1\0\1\0", "thing-binary", "no service 8001 that comes up"),
])
def test_a_message_that_is_not_as_declared_is_refused(payload, form, why):
    with pytest.raises(ModelError, match=why):
        decode.uplink(WATER_METER, payload, form)


def test_mqtt_says_the_service_by_its_topic_and_tcp_by_a_number_in_its_head():
    for payload, topic, number, said in (
        (b'{"water_flow":8.14}', "data_report", 0, {"serviceId": 1, "water_flow": 8.14}),
        (b'{"taskId":5,"resultPayload":{"valve_onoff":0,"act_result":0}}', "valve_onoff_resp", 0,
         {"serviceId": 9001, "taskId": 5, "valve_onoff": 0, "act_result": 0}),
        (struct.pack(">f", 0.5), "", 1, {"serviceId": 1, "water_flow": 0.5}),
    ):  # fmt: skip
        assert decode.uplink(WATER_METER, payload, "", topic, number) == said
    for payload, topic, number, why in (
        (b'{"water_flow":8.14}', "data", 0, "no service data"), (b"[]", "data_report", 0, "not one JSON object"),
        (b'{"valve_onoff":0,"act_result":0}', "valve_onoff_resp", 0, "taskId and resultPayload"),
        (b'{"taskId":5,"resultPayload":[]}', "valve_onoff_resp", 0, "taskId and resultPayload"),
        (b'{"taskId":1,"water_flow":8.14}', "data_report", 0, "an answer has a taskId"),
        (b'{"serviceId":2,"water_flow":8.14}', "data_report", 0, "its fields are not"),
        (b'{"valve_onoff":0}', "valve_onoff_cmd", 0, "no service valve_onoff_cmd"),
        (b"\0", "", 8001, "no service 8001"), (b"", "", 7, "no service 7"), (b"\0", "", 1, "cut short"),
    ):  # fmt: skip
        with pytest.raises(ModelError, match=why):
            decode.uplink(WATER_METER, payload, "", topic, number)


# -- the command -------------------------------------------------------------------------------------------------------


def test_the_command_turns_one_file_into_the_other(tmp_path):
    listed, declared_ = tmp_path / "aep.json", tmp_path / "services.py"
    assert run("--out", listed).exit_code == 0
    assert listing.read(listed.read_text()) == (SHIPPED, [])
    assert run("--from", listed, "--to", "declaration", "--out", declared_).exit_code == 0
    assert declaration.read_file(declared_) == SHIPPED
    assert run("--from", declared_, "--to", "aep").stdout == listed.read_text()
    assert declaration.read(run("--from", "standard").stdout)[0].identifier == "data_report"


def test_json_is_one_object_on_stdout(tmp_path):
    done = run("--from", "standard", "--json")
    body = json.loads(done.stdout)
    assert body["error"] is None and body["warnings"] == [] and declaration.read(body["text"])
    assert body["services"][0]["serviceFlag"] == "data_report"


def test_a_file_that_an_editor_began_with_its_mark_is_read(tmp_path):
    for name, text in (("x.json", listing.write(SHIPPED)), ("x.py", declaration.write(SHIPPED))):
        (tmp_path / name).write_text(text, encoding="utf-8-sig")
        assert run("--from", tmp_path / name, "--json").exit_code == 0


@pytest.mark.parametrize("text", [None, "{", "service(1)", "", "# nothing", "service(1,'a\0')"])
def test_what_cannot_be_used_is_said_with_exit_code_1(tmp_path, text):
    path = tmp_path / "x"
    if text is not None:
        path.write_text(text)
    done = run("--from", path, "--json")
    assert done.exit_code == 1
    assert str(path) in json.loads(done.stdout)["error"] and "Traceback" not in done.stderr
