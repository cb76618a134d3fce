"""device.commands: stored before it is told, run once, answered once, whatever comes and whenever the power goes."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests_host.device.fakes import Health, Memory
from tests_host.store.bench import Bench, PowerCut
from tools.module.flash import Flash

KEPT, MALFORMED, BUSY = 1, 2, 3  # aep/session.py
T0 = 1_795_392_000


class Device:
    """One device over several power-ons. `handlers(app, ran)` declares its commands; `ran` lists what they were called
    with. `kept` is the queue's record, in memory unless `on_flash`. `payload` and `protocol` are the settings."""

    def __init__(self, handlers, on_flash=False, buffered=False, payload="transparent", protocol="lwm2m"):
        self.handlers, self.on_flash, self.buffered = handlers, on_flash, buffered
        self.settings = {"payload": payload, "protocol": protocol}
        self.flash = Flash(blocks=32)
        self.flash.install({"state/": b""})
        self.kept = Memory()
        self.ran = []
        self.power_on()

    def power_on(self, cut_at=None):
        self.bench = Bench(self.flash, cut_at)
        self.app = self.bench.load("device.commands")
        self.handlers(self.app, self.ran)
        self.health = Health()
        self.outbox = self.bench.load("store.outbox").Outbox("/usr/state/outbox")
        record = self.bench.load("store.record").Record("/usr/state/commands.rec") if self.on_flash else self.kept
        stamp = lambda: (T0, {"b": 1, "u": 5})  # noqa: E731
        self.commands = self.app.Commands(record, self.outbox, self.health, stamp, self.buffered)
        if self.buffered or self.settings != {"payload": "transparent", "protocol": "lwm2m"}:
            self.bench.load("device.ways").choose(self.commands, self.settings)
        return self

    def keep(self, **body):
        return self.commands.keep(json.dumps(body).encode())

    def run(self):
        while self.commands.waiting():
            assert self.commands.run()
        return self

    def answers(self):
        payload = self.bench.load("device.readings").payload
        return [json.loads(payload(number, entry, entry["t"])) for number, entry in self.outbox.batch(99)]


def meter(app, ran):
    @app.command(8001, valve_onoff=app.one_of(0, 1))
    def valve(valve_onoff):
        ran.append(valve_onoff)
        return {"valve_onoff": valve_onoff}

    @app.command(8004, idempotent=True, frozen_period=app.between(1, 24))
    def period(frozen_period):
        ran.append(frozen_period)


def handler(function, **fields):
    """A device whose command 1 is this."""
    return Device(lambda app, ran: app.command(1, **fields)(function))


# -- the ordinary way --------------------------------------------------------------------------------------------------


def test_command_runs_and_is_answered_under_its_id_plus_1000():
    device = Device(meter)
    assert device.keep(taskId=7, serviceId=8001, valve_onoff=1) == KEPT
    assert device.ran == []
    device.run()
    assert device.ran == [1]
    assert device.answers() == [
        {"taskId": 7, "serviceId": 9001, "id": 1, "t": T0, "valve_onoff": 1, "act_result": 0},
    ]


def test_commands_run_in_the_order_they_came_and_one_at_a_time():
    device = Device(meter)
    for n in range(3):
        device.keep(taskId=n, serviceId=8001, valve_onoff=n % 2)
    device.commands.run()
    assert device.ran == [0]
    assert device.commands.waiting() == 2
    device.run()
    assert device.ran == [0, 1, 0]
    assert [answer["taskId"] for answer in device.answers()] == [0, 1, 2]


def test_command_stored_before_power_off_runs_after_it():
    device = Device(meter)
    device.keep(taskId=7, serviceId=8001, valve_onoff=1)
    device.power_on().run()
    assert device.ran == [1]
    assert [answer["act_result"] for answer in device.answers()] == [0]


def test_answer_holds_the_handlers_fields_in_the_same_order_in_every_engine():
    device = handler(lambda: {"z": 1, "a": 2.5, "m": "on", "b": True})
    device.keep(taskId=1, serviceId=1)
    device.run()
    assert device.outbox.batch(1)[0][1]["f"] == [
        ["a", "2.500"], ["b", "true"], ["m", '"on"'], ["z", "1"], ["act_result", "0"],
    ]  # fmt: skip


def test_json_with_white_space_before_it_is_a_command():
    device = Device(meter)
    assert device.commands.keep(b'\r\n { "taskId": 1, "serviceId": 8001, "valve_onoff": 0 }') == KEPT
    device.run()
    assert device.ran == [0]


# -- repeats -----------------------------------------------------------------------------------------------------------


def test_repeated_task_is_told_received_and_not_run_again():
    device = Device(meter)
    for _ in range(2):
        assert device.keep(taskId=7, serviceId=8001, valve_onoff=1) == KEPT
    device.run()
    assert device.keep(taskId=7, serviceId=8001, valve_onoff=1) == KEPT
    device.power_on()
    assert device.keep(taskId=7, serviceId=8001, valve_onoff=0) == KEPT
    device.run()
    assert device.ran == [1]
    assert len(device.answers()) == 1
    assert device.health.counters == {"command_repeated": 1}


def test_the_last_16_tasks_are_remembered():
    device = Device(meter)
    for task in range(17):
        device.keep(taskId=task, serviceId=8001, valve_onoff=1)
        device.run().outbox.consume(device.outbox.batch(99))
    device.ran.clear()
    for task in range(1, 17):
        device.keep(taskId=task, serviceId=8001, valve_onoff=0)
    device.run()
    assert device.ran == []
    device.keep(taskId=0, serviceId=8001, valve_onoff=0)
    device.run()
    assert device.ran == [0]


def test_eight_wait_and_the_ninth_is_sent_away_until_there_is_room():
    device = Device(meter)
    assert [device.keep(taskId=n, serviceId=8001, valve_onoff=0) for n in range(9)] == [KEPT] * 8 + [BUSY]
    device.commands.run()
    assert device.keep(taskId=8, serviceId=8001, valve_onoff=1) == KEPT
    device.run()
    assert len(device.ran) == len(device.answers()) == 9


def test_queue_is_bounded_in_bytes_too():
    device = handler(lambda x: None, x=lambda value: True)
    kept = [device.keep(taskId=n, serviceId=1, x="阀" * 320) for n in range(8)]
    assert kept.count(KEPT) >= 4
    assert kept[-1] == BUSY
    assert len(json.dumps(device.kept.value, ensure_ascii=False).encode()) < 8192


def test_flash_that_refuses_to_store_it_sends_it_away_and_it_can_come_again():
    device = Device(meter)
    device.kept.fails = True
    assert device.keep(taskId=1, serviceId=8001, valve_onoff=1) == BUSY
    assert device.commands.waiting() == 0
    device.kept.fails = False
    assert device.keep(taskId=1, serviceId=8001, valve_onoff=1) == KEPT
    device.run()
    assert device.ran == [1]


def test_flash_that_refuses_to_mark_it_started_leaves_it_waiting_and_not_run():
    device = Device(meter)
    device.keep(taskId=1, serviceId=8001, valve_onoff=1)
    device.kept.fails = True
    assert device.commands.run() is False
    assert device.ran == []
    device.kept.fails = False
    device.run()
    assert device.ran == [1]
    assert [answer["act_result"] for answer in device.answers()] == [0]


# -- what is wrong with a command --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"serviceId": 999}, "unknown service"),
        ({"serviceId": 8001}, "valve_onoff is missing"),
        ({"serviceId": 8001, "valve_onoff": 2}, "valve_onoff is out of range"),
        ({"serviceId": 8001, "valve_onoff": "1"}, "valve_onoff is out of range"),
        ({"serviceId": 8001, "valve_onoff": True}, "valve_onoff is out of range"),
        ({"serviceId": 8001, "valve_onoff": None}, "valve_onoff is out of range"),
        ({"serviceId": 8004, "frozen_period": 0}, "frozen_period is out of range"),
        ({"serviceId": 8004, "frozen_period": 25}, "frozen_period is out of range"),
        ({"serviceId": 8004, "frozen_period": 6.5}, "frozen_period is out of range"),
        ({"serviceId": 8004, "frozen_period": True}, "frozen_period is out of range"),
        ({"serviceId": 8001, "valve_onoff": 1, "x": 1}, "a field is unknown"),
    ],
)
def test_command_that_cannot_be_carried_out_is_answered_with_the_reason(body, reason):
    device = Device(meter)
    assert device.keep(taskId=3, **body) == KEPT
    device.run()
    assert device.ran == []
    (answer,) = device.answers()
    assert (answer["taskId"], answer["act_result"], answer["reason"]) == (3, 1, reason)


@pytest.mark.parametrize(
    "payload",
    [
        b'{"serviceId":8001,"valve_onoff":1}', b'{"taskId":-1,"serviceId":8001}', b'{"taskId":"1","serviceId":8001}',
        b'{"taskId":true,"serviceId":8001}', b'{"taskId":1.0,"serviceId":8001}', b'{"taskId":2147483648,"serviceId":1}',
        b'{"taskId":1,"serviceId":"x"}', b'{"taskId":1,"serviceId":null}', b'{"taskId":1,"serviceId":1,"x":[1]}',
        b'{"taskId":1,"serviceId":1,"x":{"y":1}}', b'{"taskId":1,"serviceId":1,"x":1e999}', b"x" * 513,
        b'{"taskId":1,"serviceId":1,"x":"\\ud800"}',
    ],
    ids=lambda payload: payload[:45].decode(),
)  # fmt: skip
def test_wrong_frame_is_refused_counted_and_not_stored(payload):
    device = Device(meter)
    assert device.commands.keep(payload) == MALFORMED
    assert device.kept.saves == 0
    assert device.health.counters == {"downlink_malformed": 1}


# -- what handlers may do ----------------------------------------------------------------------------------------------


def raising(error):
    def function():
        raise error

    return function


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (raising(ValueError("x")), "failed"), (raising(MemoryError()), "failed"), (raising(OSError(28)), "failed"),
        (lambda: 5, "failed"), (lambda: "text", "failed"), (lambda: [1], "failed"), (lambda: {1: 2}, "failed"),
        (lambda: {"x": [1]}, "failed"), (lambda: {"x": float("nan")}, "failed"), (lambda: {"id": 5}, "failed"),
        (lambda: {"act_result": 0}, "failed"), (lambda x: None, "failed"),
        (lambda: {"x": "y" * 600}, "answer too long"), (lambda: {"x": "阀" * 170}, "answer too long"),
        (lambda: {"x": "y" * 200_000}, "answer too long"), (lambda: {"x": 10**600}, "answer too long"),
        (lambda: {f"x{n}": n for n in range(2000)}, "answer too long"),
        (lambda: {"x" * 20_000: 1}, "answer too long"),
    ],
)  # fmt: skip
def test_handler_that_raises_or_returns_what_cannot_be_sent_is_answered_as_failed(function, reason):
    device = handler(function)
    device.keep(taskId=3, serviceId=1)
    device.run()
    (answer,) = device.answers()
    assert (answer["act_result"], answer["reason"]) == (1, reason)
    assert device.keep(taskId=4, serviceId=1) == KEPT


@pytest.mark.parametrize(
    ("declare", "why"),
    [
        (lambda app: app.command("8001"), "command 8001: one service id is wanted, in parentheses"),
        (lambda app: app.command(True), "command True: one service id is wanted"),
        (lambda app: app.command(-1), "command -1: one service id is wanted"),
        (lambda app: app.command(8001, app.one_of(0, 1)), "command 8001: one service id is wanted"),
        (lambda app: app.command(8001, x=1), "command 8001: x has no check"),
        (lambda app: app.command(8001, x=[0, 1]), "command 8001: x has no check"),
        (lambda app: (app.command(8001)(print), app.command(8001)), "command 8001: declared twice"),
    ],
)  # fmt: skip
def test_declaration_that_makes_no_sense_is_refused_with_its_name(declare, why):
    with pytest.raises(ValueError) as refused:
        Device(lambda app, ran: declare(app))
    assert str(refused.value).startswith(why)


def test_declaration_without_parentheses_is_refused_with_the_functions_name():
    def valve():
        pass

    with pytest.raises(ValueError, match=r"command .*valve.*: one service id is wanted, in parentheses"):
        Device(lambda app, ran: app.command(valve))


@pytest.mark.parametrize("nothing", [None, {}])
def test_handler_that_returns_nothing_is_answered_as_done(nothing):
    device = handler(lambda: nothing)
    device.keep(taskId=3, serviceId=1)
    assert device.run().answers() == [{"taskId": 3, "serviceId": 1001, "id": 1, "t": T0, "act_result": 0}]


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("the valve is stuck", "the valve is stuck"), ("", "failed"), ("x" * 200, "x" * 80), ("x" * 200_000, "x" * 80),
        ("阀门" * 50, "阀门" * 13),
        ('a "quoted"\nline', 'a "quoted"\nline'), ("\x01" * 80, "answer too long"),
    ],
)  # fmt: skip
def test_handler_says_why_it_failed_in_at_most_80_bytes_of_whole_characters(text, sent):
    device = Device(lambda app, ran: app.command(1)(raising(app.Failed(text))))
    device.keep(taskId=3, serviceId=1)
    assert device.run().answers()[0]["reason"] == sent
    assert device.answers()[0]["act_result"] == 1


def test_check_of_the_users_own_that_raises_refuses_the_value():
    device = handler(lambda x: None, x=lambda value: value > 5)
    device.keep(taskId=3, serviceId=1, x="text")
    assert device.run().answers()[0]["reason"] == "x is out of range"


# -- downlinks that are no command -------------------------------------------------------------------------------------


@pytest.mark.parametrize("payload", [b"helloworld ack", b"", b"\0\xff", b'{"a": 1}', b"{broken", b"[1]", b"x" * 512])
def test_any_other_downlink_goes_to_its_handler_as_bytes(payload):
    """guide §4: the platform's test sends plain text."""
    device = Device(lambda app, ran: app.any_other(ran.append))
    assert device.commands.keep(payload) == KEPT
    assert device.run().ran == [payload]
    assert device.answers() == []


def test_downlink_that_nobody_handles_or_whose_handler_raises_is_counted():
    device = Device(meter)
    device.commands.keep(b"text")
    assert device.run().health.counters == {"downlink_unknown": 1}
    device = Device(lambda app, ran: app.any_other(lambda data: 1 / 0))
    device.commands.keep(b"text")
    assert device.run().health.counters == {"downlink_failed": 1}


# -- hostile bytes -----------------------------------------------------------------------------------------------------

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
BODIES = st.dictionaries(
    st.sampled_from(["taskId", "serviceId", "valve_onoff", "frozen_period"]) | st.text(max_size=8),
    st.sampled_from([0, 1, 6, 8001, 8004]) | VALUES,
    max_size=5,
)
PAYLOADS = st.binary(max_size=1024) | BODIES.map(lambda body: json.dumps(body).encode()[:1024])


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(st.lists(PAYLOADS, max_size=12), st.booleans())
def test_any_bytes_are_kept_malformed_or_busy_and_what_is_kept_is_answered_once(payloads, ascii_only):
    device = Device(meter)
    told = [device.commands.keep(payload) for payload in payloads]
    assert set(told) <= {KEPT, MALFORMED, BUSY}
    if device.kept.value is not None:
        assert len(json.dumps(device.kept.value, ensure_ascii=ascii_only).encode(errors="replace")) < 12000
    waiting = [item["task"] for item in device.commands.queue if "task" in item]
    device.power_on().run()
    assert [answer["taskId"] for answer in device.answers()] == waiting


@pytest.mark.parametrize("deep", [b'{"a":' * 170 + b"1" + b"}" * 170, b"[" * 512, b'{"serviceId":' + b"[" * 1000])
def test_deep_nesting_is_no_command_and_harms_nobody(deep):
    device = Device(meter)
    assert device.commands.keep(deep) in (KEPT, MALFORMED)
    device.run()


# -- the power goes ----------------------------------------------------------------------------------------------------


def test_cut_at_any_flash_program_answers_every_command_once():
    cut_at, interrupted = 0, set()
    while True:
        cut_at += 1
        device = Device(meter, on_flash=True)
        device.power_on(cut_at)
        told = {}
        try:
            for task, service, field in ((1, 8001, "valve_onoff"), (2, 8004, "frozen_period")):
                told[task] = device.keep(**{"taskId": task, "serviceId": service, field: 1})
            device.run()
        except PowerCut:
            pass
        else:
            break
        at_the_cut = len(device.ran)
        device.power_on().run()
        answers = device.answers()
        assert len({answer["id"] for answer in answers}) == len(answers)
        tasks = [answer["taskId"] for answer in answers]
        assert sorted(tasks) == sorted(set(tasks))
        assert set(told) <= set(tasks), "told received and never answered"
        for answer in answers:
            if answer["act_result"]:
                assert answer["reason"] == "interrupted"
                assert answer["taskId"] == 1  # 2 is idempotent: it runs again
                interrupted.add(at_the_cut)
        assert device.ran.count(1) <= 3
        if answers and answers[0]["act_result"]:
            assert len(device.ran) - at_the_cut <= 1
    assert interrupted == {1}  # its handler had run, and nothing told whether to the end
    assert cut_at > 15


def test_cut_in_the_handler_answers_interrupted_and_does_not_run_it_again():
    device = Device(lambda app, ran: app.command(1)(raising(PowerCut())))
    device.keep(taskId=5, serviceId=1)
    with pytest.raises(PowerCut):
        device.commands.run()
    (answer,) = device.power_on().run().answers()
    assert (answer["act_result"], answer["reason"]) == (1, "interrupted")
    device.power_on()
    assert device.keep(taskId=5, serviceId=1) == KEPT
    assert len(device.run().answers()) == 1


def test_cut_in_an_idempotent_handler_runs_it_again():
    power = [PowerCut()]

    def handlers(app, ran):
        @app.command(1, idempotent=True)
        def function():
            ran.append(1)
            if power:
                raise power.pop()

    device = Device(handlers)
    device.keep(taskId=5, serviceId=1)
    with pytest.raises(PowerCut):
        device.commands.run()
    assert [answer["act_result"] for answer in device.power_on().run().answers()] == [0]
    assert device.ran == [1, 1]


def test_cut_in_the_handler_of_another_downlink_does_not_run_it_again():
    device = Device(lambda app, ran: app.any_other(lambda data: raising(PowerCut())()))
    device.commands.keep(b"text")
    with pytest.raises(PowerCut):
        device.commands.run()
    assert device.power_on().run().health.counters == {"downlink_interrupted": 1}
