"""device.things: readings and commands in every format of a thing model, from the settings alone; what is refused, what
the answer is then, and that the power may go at any time. Messages are read by the host's own decoder."""

import json
import struct
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests_host.device.test_commands import BUSY, KEPT, MALFORMED, T0, Device, meter
from tests_host.store.bench import PowerCut
from tools.things import declaration, decode, encode

SERVICES = declaration.read_file()
BY_ID = {service.id: service for service in SERVICES}
FORMATS = {
    "lwm2m json": ("thing-json", "lwm2m"), "lwm2m binary": ("thing-binary", "lwm2m"),
    "mqtt json": ("thing-json", "mqtt"), "tcp binary": ("thing-binary", "tcp"),
}  # fmt: skip
every_format = pytest.mark.parametrize("form", FORMATS)


class Thing(Device):
    """A device whose product has a thing model in one of FORMATS."""

    def __init__(self, form, handlers=meter, **options):
        self.form = form
        self.sent = []
        payload, protocol = FORMATS[form]
        super().__init__(handlers, payload=payload, protocol=protocol, **options)

    def give(self, service, task, **values):
        """A command as the session hands it over."""
        payload, protocol = FORMATS[self.form]
        if protocol == "lwm2m":
            return self.commands.keep(encode.command(SERVICES, service, task, values, payload))
        body = encode.parameters(BY_ID[service], values) if protocol == "tcp" else json.dumps(values).encode()
        return self.commands.keep(body, service, task)

    def put(self, service, t=T0, **texts):
        return self.outbox.put({"b": 1, "u": 5, "s": service, "t": t, "f": [[n, texts[n]] for n in texts]}, 9)

    def cycle(self, now=T0, boots=1):
        return SimpleNamespace(commands=self.commands, outbox=self.outbox, health=self.health, boots=boots,
                               stamp=lambda: (now, {"b": boots, "u": 60_005}),
                               settings=SimpleNamespace(on_trial={}))

    def batch(self, **options):
        return self.bench.load("device.uplink").batch(self.cycle(**options))

    def next(self, **options):
        """What `session.send` gets, read by the host; then the entry is consumed. None where nothing waits."""
        rows, payload, how = self.batch(**options)
        if not rows:
            return None
        found = self.read(payload, how)
        self.sent.append(found)
        self.outbox.consume(rows)
        return found

    def read(self, payload, how):
        sure, service, task = how
        assert sure == (task is not None)
        kind, protocol = FORMATS[self.form]
        topic, number = BY_ID[service].identifier if protocol == "mqtt" else "", service if protocol == "tcp" else 0
        found = decode.uplink(SERVICES, payload, kind, topic, number)
        if protocol == "tcp" and task is not None:
            found["taskId"] = task  # beside the payload
        assert (found["serviceId"], found.get("taskId")) == (service, task)
        return found

    def answered(self):
        out = []
        while (found := self.next()) is not None:
            out.append(found)
        return out


# -- up ----------------------------------------------------------------------------------------------------------------


def test_a_report_is_the_message_of_its_format():
    fields = '"water_flow":8.140,"battery_voltage":3.651,"dropped":0,"id":1,"t":1795392000000'
    packed = struct.pack(">ffiiq", 8.14, 3.651, 0, 1, 1_795_392_000_000)
    for form, payload in (
        ("lwm2m json", b'{"serviceId":1,' + fields.encode() + b"}"),
        ("mqtt json", b"{" + fields.encode() + b"}"),
        ("lwm2m binary", bytes([2, 0, 1, 0, len(packed)]) + packed),
        ("tcp binary", packed),
    ):
        device = Thing(form)
        device.put(1, water_flow="8.140", battery_voltage="3.651")
        assert device.batch() == ([(1,)], payload, (False, 1, None))


def test_an_answer_is_the_message_of_its_format():
    for form, payload in (
        ("lwm2m json", b'{"taskId":1,"serviceId":9001,"valve_onoff":0,"act_result":0}'),
        ("mqtt json", b'{"taskId":1,"resultPayload":{"valve_onoff":0,"act_result":0}}'),
        ("lwm2m binary", bytes.fromhex("862329000100020000")),  # ctwing.md §7.5
        ("tcp binary", b"\0\0"),
    ):
        device = Thing(form)
        assert device.give(8001, 1, valve_onoff=0) == KEPT
        device.run()
        assert device.batch() == ([(1,)], payload, (True, 9001, 1))


def test_kind_of_the_service_is_the_first_byte():
    device = Thing("lwm2m binary")
    device.put(2, rsrp="-102", sinr="16", pci="475", ecl="0", cell_id="94537995")
    device.put(1001, error_code="1")
    assert device.batch()[1].hex() == "0300020014ffffff9a00000010000001db0000000005a2890b"  # ctwing.md §7.5
    assert device.next()["pci"] == 475
    assert device.batch()[1].hex() == "0703e90009" + "01" + "00" * 8


@every_format
def test_one_entry_is_one_message_and_a_field_that_was_not_due_is_its_empty_one(form):
    device = Thing(form)
    device.put(1, water_flow="1.000", battery_voltage="3.600")
    device.put(1, water_flow="2.000")
    assert [round(e["battery_voltage"], 3) for e in device.answered()] == [3.6, 0]


@every_format
def test_id_and_time_travel_where_the_service_declares_them(form):
    device = Thing(form)
    device.put(2, rsrp="-90", sinr="1")
    device.put(1, water_flow="1.000")
    first, second = device.answered()
    assert "id" not in first and (second["id"], second["t"]) == (2, T0 * 1000)


def test_time_is_0_where_it_is_unknown_and_what_it_was_where_it_is_known_now():
    device = Thing("lwm2m binary")
    for _ in range(2):
        device.put(1, t=0, water_flow="1.000")
    assert device.next(now=0)["t"] == 0
    assert device.next(boots=2)["t"] == 0  # of another power-on
    device.put(1, t=0, water_flow="1.000")
    assert device.next()["t"] == (T0 - 60) * 1000


def refused(form, *entries):
    """(messages, device) where these entries and then a good one wait."""
    device = Thing(form)
    for service, texts in entries:
        device.put(service, **texts)
    device.put(1, water_flow="7.000")
    return device.answered(), device


@every_format
@pytest.mark.parametrize(
    ("service", "texts", "why"),
    [
        (1, {"battery_voltage": "3.6"}, "data_report: water_flow is missing"),
        (1, {"water_flow": "-1.000"}, "data_report: water_flow -1.0 is not a number 0-"),
        (1, {"water_flow": "true"}, "data_report: water_flow True is not"),
        (1, {"water_flow": "1", "dropped": "1.5"}, "data_report: dropped 1.5 is not a whole number"),
        (2, {"rsrp": "-90"}, "signal_report: sinr is missing; wanted is a whole number -100-100 dB"),
        (77, {"x": "1"}, "service 77 is not declared"),
        (3, {name: '"%s"' % ("x" * 90) for name in ("manufacturer_name", "terminal_type", "module_type", "IMEI",
                                                    "hardware_version", "software_version", "ICCID")}, "at most 512"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)  # fmt: skip
def test_an_entry_that_is_not_as_declared_is_dropped_counted_and_named_and_holds_nothing_up(form, service, texts, why):
    messages, device = refused(form, (service, texts))
    assert [message["water_flow"] for message in messages] == [7]
    assert device.health.counters == {"entry_failed": 1}
    assert why in str(device.health.errors[0])
    assert (43, 1) in device.health.noted
    assert device.outbox.waiting == 0


def test_an_outbox_full_of_them_comes_to_an_end():
    messages, device = refused("lwm2m binary", *[(77, {"x": "1"})] * 50)
    assert len(messages) == 1 and device.health.counters == {"entry_failed": 50}
    assert sum(count for code, count in device.health.noted if code == 43) == 50


def test_they_alone_leave_nothing_to_send():
    device = Thing("mqtt json")
    device.put(77, x="1")
    assert device.batch() == ([], b"", ()) and device.outbox.waiting == 0
    assert device.batch() == ([], b"", ())


def test_a_flash_that_refuses_to_drop_them_is_a_fault_and_no_loop():
    device = Thing("mqtt json")
    device.put(77, x="1")
    device.outbox.consume = lambda rows: (_ for _ in ()).throw(OSError(28))
    with pytest.raises(OSError):
        device.batch()


@every_format
def test_a_reading_that_the_service_does_not_declare_stays_here_and_is_counted(form):
    device = Thing(form)
    for _ in range(2):
        device.put(1, water_flow="7.000", pressure="3")
    assert [message["water_flow"] for message in device.answered()] == [7, 7]
    assert device.health.counters == {"field_undeclared": 2}


# -- down --------------------------------------------------------------------------------------------------------------


@every_format
def test_a_command_runs_once_and_is_answered_under_its_response_service(form):
    device = Thing(form)
    for _ in range(2):
        assert device.give(8001, 5, valve_onoff=1) == KEPT
    device.give(8004, 6, frozen_period=12)
    device.run()
    assert device.ran == [1, 12]
    assert device.next() == {"serviceId": 9001, "taskId": 5, "valve_onoff": 1, "act_result": 0}
    assert device.health.counters == {"command_repeated": 1}


@every_format
def test_a_value_out_of_the_declared_range_is_answered_as_failed_and_not_run(form):
    device = Thing(form)
    assert device.give(8001, 5, valve_onoff=2) == KEPT
    assert device.give(8004, 6, frozen_period=25) == KEPT
    device.run()
    assert device.ran == []
    assert [(m["taskId"], m["act_result"]) for m in device.answered()] == [(5, 1), (6, 1)]


@pytest.mark.parametrize("form", ["lwm2m json", "mqtt json"])
@pytest.mark.parametrize("values", [{}, {"valve_onoff": None}, {"valve_onoff": "1"}, {"valve_onoff": 1, "x": 2}])
def test_fields_missing_of_another_type_or_too_many_are_answered_as_failed(form, values):
    device = Thing(form)
    assert device.give(8001, 5, **values) == KEPT
    assert [(m["taskId"], m["act_result"]) for m in device.run().answered()] == [(5, 1)]
    assert device.ran == []


@pytest.mark.parametrize(("form", "head"), [("lwm2m binary", "061f410005"), ("tcp binary", "")])
@pytest.mark.parametrize("body", ["", "0000", "00000000"])
def test_parameters_of_another_length_are_answered_as_failed(form, head, body):
    device = Thing(form)
    raw = bytes.fromhex(body)
    args = [bytes.fromhex(head) + struct.pack(">H", len(raw)) + raw] if head else [raw, 8001, 5]
    assert device.commands.keep(*args) == KEPT
    assert [(m["taskId"], m["act_result"]) for m in device.run().answered()] == [(5, 1)]
    assert device.ran == []


@pytest.mark.parametrize(("form", "args"), [
    ("lwm2m binary", [bytes.fromhex("061f42000100010000")]),  # 8002
    ("lwm2m binary", [bytes.fromhex("0600010001000100")]),  # a report's id
    ("lwm2m binary", [bytes.fromhex("061f410001000200")]), ("lwm2m binary", [b"\x06"]),
    ("lwm2m binary", [b'{"taskId":1,"serviceId":8001,"valve_onoff":1}']),
    ("lwm2m json", [b'{"taskId":1,"serviceId":8002,"x":1}']), ("lwm2m json", [b'{"taskId":1,"serviceId":9001,"x":1}']),
    ("lwm2m json", [b'{"taskId":-1,"serviceId":8001,"valve_onoff":1}']), ("lwm2m json", [b'{"serviceId":8001}']),
    ("lwm2m json", [b'{"taskId":1,"serviceId":"8001"}']), ("lwm2m json", [b'{"taskId":1,"serviceId":[8001]}']),
    ("lwm2m json", [b'{"taskId":1,"serviceId":8001,"valve_onoff":[]}']),
    ("mqtt json", [b'{"valve_onoff":1}', 8002, 1]), ("mqtt json", [b"[1]", 8001, 1]), ("mqtt json", [b"\xff", 8001, 1]),
    ("mqtt json", [b'{"valve_onoff":1}', 8001, None]), ("mqtt json", [b'{"valve_onoff":1}', 8001, -3]),
    ("mqtt json", [b'{"valve_onoff":1}', 8001, "1"]), ("tcp binary", [b"\0", 9001, 1]), ("tcp binary", [b"\0", 7, 1]),
])  # fmt: skip
def test_wrong_frames_and_services_that_are_no_commands_are_refused(form, args):
    device = Thing(form)
    assert device.commands.keep(*args) == MALFORMED
    assert device.kept.saves == 0 and device.health.counters == {"downlink_malformed": 1}


@pytest.mark.parametrize(("form", "payload"), [
    ("lwm2m binary", b"\xff\xfe\x01\x13\x4c\x9a\0\0"), ("lwm2m binary", b"hello"), ("lwm2m binary", b""),
    ("lwm2m json", b"hello"), ("lwm2m json", b'{"a":1}'), ("lwm2m json", b"\xff\xfe\x01\x13\x4c\x9a\0\0"),
])  # fmt: skip
def test_what_is_no_command_goes_to_its_handler_as_bytes(form, payload):
    device = Thing(form, lambda app, ran: app.any_other(ran.append))
    assert device.commands.keep(payload) == KEPT
    assert device.run().ran == [payload]


@every_format
@pytest.mark.parametrize("reply", [None, {"valve_onoff": 2}, {"valve_onoff": "open"}])
def test_a_command_that_was_carried_out_is_answered_as_done_whatever_else_its_handler_gave(form, reply):
    device = Thing(form, lambda app, ran: app.command(8001, valve_onoff=app.one_of(0, 1))(lambda valve_onoff: reply))
    device.give(8001, 5, valve_onoff=1)
    assert device.run().next() == {"serviceId": 9001, "taskId": 5, "valve_onoff": 0, "act_result": 0}
    assert device.health.counters == {"answer_failed": 1}


def test_a_reason_travels_where_the_response_declares_one():
    device = Thing("mqtt json", lambda app, ran: None)
    thing = device.bench.load("aep.thing")
    reason = thing.field("reason", thing.TEXT, empty="")
    thing.declared[9001] = ("said", 0x86, [thing.field("act_result", thing.ENUM), reason])
    device.give(8001, 5, valve_onoff=1)
    assert json.loads(device.run().batch()[1])["resultPayload"] == {"act_result": 1, "reason": "unknown service"}


def test_a_response_without_act_result_cannot_say_that_a_command_failed():
    device = Thing("mqtt json")
    thing = device.bench.load("aep.thing")
    thing.declared[9001] = ("mute", 0x86, [thing.field("valve_onoff", 1)])
    device.give(8001, 5, valve_onoff=2)
    assert device.run().batch() == ([], b"", ())
    assert "mute: no act_result" in str(device.health.errors[0]) and device.health.counters["entry_failed"] == 1
    device.give(8001, 6, valve_onoff=1)
    assert device.run().batch()[1] == b'{"taskId":6,"resultPayload":{"valve_onoff":1}}'


def test_over_tcp_it_says_so_beside_the_payload():
    """83 with result 2 (ctwing.md §4.1); dropped, a repeat of the command would be answered 0, as if it were done."""
    device = Thing("tcp binary")
    thing = device.bench.load("aep.thing")
    thing.declared[9001] = ("mute", 0x86, [thing.field("valve_onoff", 1)])
    device.give(8001, 5, valve_onoff=2)
    assert device.run().batch()[1:] == (b"", (True, 9001, 5))


@every_format
def test_a_handler_that_fails_is_answered_and_its_reason_stays_here(form):
    def fail(app, ran):
        @app.command(8004, frozen_period=app.between(1, 24))
        def function(frozen_period):
            raise app.Failed("no")

    device = Thing(form, fail)
    device.give(8004, 5, frozen_period=3)
    assert device.run().next() == {"serviceId": 9004, "taskId": 5, "frozen_period": 0, "act_result": 1}


def test_taskid_beyond_16_bits_has_no_answer_in_compact_binary():
    device = Thing("lwm2m binary")
    device.outbox.put({"task": 65536, "s": 9001, "t": T0, "f": [["act_result", "1"]]}, 9)
    assert device.next() is None
    assert "taskId 65536 is not 0-65535" in str(device.health.errors[0])


# -- MQTT's envelope, buffer mode --------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [
    '{"taskId":5,"serviceId":8001,"valve_onoff":1}',
    '{"taskId":5,"payload":{"taskId":5,"serviceId":8001,"valve_onoff":1}}',
    '{"taskId":5,"payload":{"serviceId":8001,"valve_onoff":1}}',
    '{"taskId":5,"payload":"{\\"taskId\\":5,\\"serviceId\\":8001,\\"valve_onoff\\":1}"}',
])  # fmt: skip
def test_transparent_mqtt_takes_commands_bare_and_in_an_envelope(body):
    device = Device(meter, protocol="mqtt")
    assert device.commands.keep(body.encode()) == KEPT
    assert [(a["taskId"], a["act_result"]) for a in device.run().answers()] == [(5, 0)]
    assert device.ran == [1]


@pytest.mark.parametrize(("payload", "came"), [
    (b'{"taskId":5,"payload":{"dn":"AB"}}', {"dn": "AB"}), (b'{"dn":"AB"}', {"dn": "AB"}),
    (b'{"taskId":5,"payload":[1]}', [1]), (b'{"payload":1}', {"payload": 1}),
])  # fmt: skip
def test_transparent_mqtt_gives_any_other_body_without_its_envelope(payload, came):
    device = Device(lambda app, ran: app.any_other(ran.append), protocol="mqtt")
    assert device.commands.keep(payload) == KEPT
    assert [json.loads(data) for data in device.run().ran] == [came]


def test_an_envelope_is_mqtts_alone():
    payload = b'{"taskId":5,"payload":{"dn":"AB"}}'
    device = Device(lambda app, ran: app.any_other(ran.append))
    device.commands.keep(payload)
    assert device.run().ran == [payload]


def test_transparent_uplinks_of_mqtt_are_those_of_lwm2m():
    device = Device(meter, protocol="mqtt")
    device.commands.keep(b'{"taskId":5,"serviceId":8001,"valve_onoff":1}')
    device.run()
    cycle = SimpleNamespace(commands=device.commands, outbox=device.outbox, health=device.health, boots=1,
                            stamp=lambda: (T0, {"b": 1, "u": 5}),
                            settings=SimpleNamespace(values={"report.batch": 4}))
    rows, payload, how = device.bench.load("device.uplink").batch(cycle)
    assert how == (True,) and json.loads(payload)["serviceId"] == 9001


@every_format
def test_in_buffer_mode_app_py_reads_the_same_json_in_every_format_and_may_have_it_run(form):
    device = Thing(form, buffered=True)
    device.give(8001, 5, valve_onoff=1)
    device.give(8001, 6, valve_onoff=0)
    device.give(8001, 7, valve_onoff=2)
    assert device.commands.waiting() == 0
    data, left = device.app.read()
    assert json.loads(data) == {"serviceId": 8001, "taskId": 5, "valve_onoff": 1} and left == 2
    device.power_on()
    assert device.app.execute() and device.app.execute() and not device.app.execute()
    assert device.ran == [0]
    assert [(m["taskId"], m["act_result"]) for m in device.answered()] == [(6, 0), (7, 1)]


# -- services.py -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("why", ["ThingError('service 1 x: it has no field')", "NameError('x')", "ImportError('x')"])
def test_services_that_cannot_be_used_are_said_each_time(why):
    device = Device(meter)
    things = device.bench.load("device.things")
    found = {"payload": "thing-json", "protocol": "lwm2m"}

    def import_(*args, **named):
        if args[0] == "services":
            raise eval(why, {"ThingError": device.bench.load("aep.thing").ThingError})
        return builtins_import(*args, **named)

    builtins_import = things.__builtins__["__import__"]
    things.__builtins__["__import__"] = import_
    for _ in range(2):
        with pytest.raises(things.BadServices) as refused:
            device.bench.load("device.ways").choose(device.commands, found)
        assert why.split("'")[1] in str(refused.value) and "services.py" in str(refused.value)
        things.__builtins__["__import__"] = builtins_import
    assert refused.value.code == 18 and refused.value.hint()


# -- hostile bytes, and the power goes ---------------------------------------------------------------------------------

FRAMES = st.builds(
    lambda service, task, size, body: struct.pack(">BHHH", 6, service, task, size) + body,
    st.sampled_from([8001, 8004, 8006, 9001, 1, 77]), st.integers(0, 65535), st.sampled_from([0, 1, 4, 9]),
    st.binary(max_size=9),
)
OBJECTS = st.dictionaries(
    st.sampled_from(["taskId", "serviceId", "payload", "valve_onoff", "frozen_period", "x"]),
    st.sampled_from([0, 1, 6, 8001, 8004, 8001.0, None, True, "x", {}, {"serviceId": 8001, "valve_onoff": 1}, [], [1],
                     2**40]),
    max_size=5,
).map(lambda body: json.dumps(body).encode())
HOSTILE = st.lists(
    st.tuples(st.binary(max_size=40) | FRAMES | OBJECTS, st.sampled_from([0, 0, 8001, 8004, 9001, 77]),
              st.sampled_from([None, 0, 1, 65535, 65536, -1, 2**31, "1"])),
    max_size=10,
)


@every_format
@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(HOSTILE, st.booleans())
def test_any_downlink_is_kept_malformed_or_busy_and_what_is_kept_is_answered_once(form, downlinks, buffered):
    device = Thing(form, buffered=buffered)
    assert {device.commands.keep(*downlink) for downlink in downlinks} <= {KEPT, MALFORMED, BUSY}
    waiting = [item["task"] for item in device.commands.queue if "task" in item]
    if form == "lwm2m binary" or form == "tcp binary":
        waiting = [task for task in waiting if task <= 65535]
    device.power_on()
    while device.commands.queue:
        assert device.commands.run()
    assert [message["taskId"] for message in device.answered()] == waiting


@every_format
def test_cut_at_any_flash_program_answers_every_command_once(form):
    cut_at, interrupted, again = 0, 0, 0
    while True:
        cut_at += 1
        device = Thing(form, on_flash=True)
        device.power_on(cut_at)
        told = {}
        try:
            for task, service, name, value in ((1, 8001, "valve_onoff", 1), (2, 8004, "frozen_period", 1),
                                               (3, 8001, "valve_onoff", 2)):
                told[task] = device.give(service, task, **{name: value})
            device.run().answered()
        except PowerCut:
            pass
        else:
            break
        device.power_on().run().answered()
        answers = {message["taskId"]: message for message in device.sent}
        assert set(told) <= set(answers), "told received and never answered"
        # Sent, and the power went before that was noted: it comes again, as it was.
        assert all(message == answers[message["taskId"]] for message in device.sent)
        assert len(device.sent) <= len(answers) + 1
        results = {task: answer["act_result"] for task, answer in answers.items()}
        assert results.get(3, 1) == 1 and results.get(2, 0) == 0  # 2 is idempotent: it runs again
        interrupted += results.get(1) == 1
        again += len(device.sent) > len(answers)
        assert device.ran.count(1) <= 3
    assert interrupted and again and cut_at > 20
