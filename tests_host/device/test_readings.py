"""device.readings: what is due, over wakes with and without a clock; what a reading may return; what an entry holds."""

import json
import math

import pytest

from tests_host.device.fakes import Health, Memory
from tests_host.store.bench import Bench
from tools.module.flash import Flash

T0 = 1_795_392_000  # 2026-11-23
HOUR, DAY = 3600, 86400
INTERVAL = 6 * HOUR


class Device:
    """One device over several power-ons. `declare(app)` declares its readings, as app.py would."""

    def __init__(self, declare):
        self.declare = declare
        self.flash = Flash(blocks=24)
        self.kept = Memory()
        self.power_on()

    def power_on(self):
        self.bench = Bench(self.flash)
        self.app = self.bench.load("device.readings")
        self.outbox = self.bench.load("store.outbox").Outbox("/usr/outbox")
        self.declare(self.app)
        self.health = Health()
        self.readings = self.app.Readings(self.kept, self.health)
        return self

    def due(self, now, up=0, interval=INTERVAL):
        return [self.app._declared[i][0][0] for i in self.readings.due(now, up, interval)]

    def wake(self, now, up=0, interval=INTERVAL):
        """Takes what is due; returns the names that came into the outbox by it."""
        before = self.outbox.waiting
        self.readings.take(self.readings.due(now, up, interval), now, {"b": 1, "u": up}, self.outbox)
        return [name for _, entry in self.outbox.batch(99)[before:] for name, _ in entry["f"]]

    def payloads(self):
        return [self.app.payload(number, entry, entry["t"]) for number, entry in self.outbox.batch(99)]


def one(value, *fields, **options):
    """A device whose only reading returns `value`, or raises it."""

    def declare(app):
        @app.reading(*(fields or ("x",)), **options)
        def function():
            if isinstance(value, BaseException):
                raise value
            return value

    return Device(declare)


def several(**every):
    """A device with readings of these names, each taken so often."""

    def declare(app):
        for name, seconds in every.items():
            app.reading(name, every=seconds)(lambda: 1)

    return Device(declare)


# -- due ---------------------------------------------------------------------------------------------------------------


def test_everything_is_due_on_a_new_device():
    assert several(a=0, b=DAY).due(T0) == ["a", "b"]


def test_reading_is_due_at_the_first_wake_after_its_time():
    device = several(each=0, half=12 * HOUR, day=DAY)
    taken = [device.power_on().wake(T0 + n * INTERVAL) for n in range(6)]
    assert taken == [
        ["each", "half", "day"], ["each"], ["each", "half"], ["each"], ["each", "half", "day"], ["each"],
    ]  # fmt: skip


def test_wake_a_little_early_counts_and_one_long_before_does_not():
    device = several(a=0)
    device.wake(T0)
    assert device.power_on().due(T0 + INTERVAL - INTERVAL // 10) == ["a"]
    assert device.power_on().due(T0 + INTERVAL - INTERVAL // 10 - 1) == []


def test_nothing_is_taken_twice_in_one_wake():
    device = several(a=0, b=DAY)
    assert device.wake(T0, 100) == ["a", "b"]
    assert device.wake(T0 + 4, 4100) == []


def test_clock_set_back_in_the_middle_of_a_wake_takes_nothing_twice():
    device = several(a=0)
    device.wake(T0, 100)
    assert device.wake(T0 - 5, 4100) == []


def test_awake_for_days_it_is_taken_at_each_interval():
    device = several(a=0, b=12 * HOUR)
    taken = [device.wake(T0 + n * INTERVAL, 1000 * n * INTERVAL) for n in range(4)]
    assert taken == [["a", "b"], ["a"], ["a", "b"], ["a"]]


def test_without_a_clock_every_power_on_takes_everything():
    """A network without NITZ: the time stays unknown for ever, the reports must not stop."""
    device = several(a=0, b=DAY)
    for _ in range(3):
        assert device.power_on().wake(0) == ["a", "b"]
        assert device.wake(0, 9000) == []


def test_without_a_clock_and_awake_the_time_since_power_on_counts():
    device = several(a=0, b=12 * HOUR)
    taken = [device.wake(0, 1000 * n * INTERVAL) for n in range(4)]
    assert taken == [["a", "b"], ["a"], ["a", "b"], ["a"]]


def test_time_learned_in_the_wake_counts_for_what_was_taken_before():
    device = several(a=0, b=DAY)
    device.wake(0, 50)
    device.readings.settle(T0)
    assert device.wake(T0, 4000) == []
    assert device.power_on().wake(T0 + INTERVAL) == ["a"]


def test_time_learned_later_does_not_make_an_old_sample_new():
    device = several(a=0)
    device.wake(0, 50)
    device.power_on().readings.settle(T0)
    assert device.due(T0) == ["a"]


def test_clock_that_was_years_ahead_stops_no_report():
    device = several(a=0)
    device.wake(T0 + 10 * 365 * DAY)
    assert device.power_on().wake(T0) == ["a"]
    assert device.power_on().due(T0 + 10) == []


# -- values ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (1, 0, "1"), (-5, 0, "-5"), (0, 3, "0.000"), (13.4735, 2, "13.47"), (1.5, 0, "2"), (True, 0, "true"),
        (False, 3, "false"), ("on", 0, '"on"'), ("a\"b\\", 0, '"a\\"b\\\\"'), ("阀", 0, '"阀"'),
        (12345678901234567, 0, "12345678901234567"),
    ],
)  # fmt: skip
def test_value_becomes_json(value, digits, text):
    device = one(value, digits=digits)
    device.wake(T0)
    assert device.payloads() == [f'{{"serviceId":1,"id":1,"t":{T0},"x":{text}}}']
    json.loads(device.payloads()[0])


@pytest.mark.parametrize(
    "value",
    [math.nan, math.inf, -math.inf, [1], {"a": 1}, b"x", pytest.param(object(), id="object()"), ValueError("x"),
     KeyError(), ZeroDivisionError(), MemoryError(), "x" * 600, 10**600, "阀" * 200, "x" * 200_000],
    ids=lambda value: repr(value)[:40],
)  # fmt: skip
def test_reading_that_raises_or_has_no_usable_value_is_skipped_counted_and_stays_due(value):
    def declare(app):
        one(value).declare(app)
        app.reading("good")(lambda: 7)

    device = Device(declare)
    assert device.wake(T0) == ["good"]
    assert device.health.counters == {"reading_failed": 1}
    assert device.due(T0) == ["x"]


@pytest.mark.parametrize("value", ["ab", (1,), (1, 2, 3), 5, {"a": 1, "b": 2}, [], math.nan])
def test_several_fields_want_as_many_values(value):
    device = one(value, "a", "b")
    assert device.wake(T0) == []
    assert device.health.counters == {"reading_failed": 1}


def test_field_without_a_value_is_left_out_and_the_others_are_sent():
    device = one((None, 4), "a", "b")
    assert device.wake(T0) == ["b"]
    assert device.due(T0) == []


@pytest.mark.parametrize(("value", "fields"), [(None, ("a",)), (None, ("a", "b")), ((None, None), ("a", "b"))])
def test_no_value_yet_is_no_failure_and_is_asked_again(value, fields):
    device = one(value, *fields)
    assert device.wake(T0) == []
    assert device.health.counters == {}
    assert device.kept.saves == 0
    assert device.due(T0) == ["a"]


@pytest.mark.parametrize(
    ("fields", "options", "why"),
    [
        ((), {}, "names of fields are wanted"), ((5,), {}, "names of fields are wanted"),
        (("",), {}, "names of fields"),
        (("a", None), {}, "names of fields"), (("a",), {"every": -1}, "every"), (("a",), {"every": 0.5}, "every"),
        (("a",), {"every": "6h"}, "every"), (("a",), {"every": None}, "every"), (("a",), {"digits": 1.0}, "digits"),
        (("a",), {"digits": -1}, "digits"), (("a",), {"digits": 10}, "digits"), (("a",), {"digits": True}, "digits"),
        (("a",), {"service": "1"}, "service"), (("a",), {"service": -1}, "service"),
        (("a", "a"), {}, "the name a is taken"),
    ],
)  # fmt: skip
def test_declaration_that_makes_no_sense_is_refused_with_its_name(fields, options, why):
    with pytest.raises(ValueError) as refused:
        one(1).app.reading(*fields, **options)
    assert str(refused.value).startswith(f"reading {fields}: ")
    assert why in str(refused.value)


def test_declaration_without_parentheses_is_refused_with_the_functions_name():
    def total_flow():
        return 1

    with pytest.raises(ValueError, match=r"reading .*total_flow.*: names of fields are wanted, in parentheses"):
        one(1).app.reading(total_flow)


@pytest.mark.parametrize("name", ["id", "t", "serviceId", "taskId", "act_result"])
def test_name_that_an_uplink_needs_itself_is_refused_where_it_is_declared(name):
    with pytest.raises(ValueError, match=name):
        one(1, name)


def test_name_declared_twice_for_one_service_is_refused():
    app = several(a=0).app
    with pytest.raises(ValueError, match="the name a is taken"):
        app.reading("b", "a")
    app.reading("a", service=2)(lambda: 1)


# -- entries -----------------------------------------------------------------------------------------------------------


def test_one_entry_per_service_with_the_fields_in_the_order_they_are_declared():
    def declare(app):
        app.reading("z", digits=1)(lambda: 1)
        app.reading("rsrp", "sinr", service=2)(lambda: (-90, 12))
        app.reading("a")(lambda: 2)

    device = Device(declare)
    device.wake(T0)
    assert device.payloads() == [
        f'{{"serviceId":1,"id":1,"t":{T0},"z":1.0,"a":2}}',
        f'{{"serviceId":2,"id":2,"t":{T0},"rsrp":-90,"sinr":12}}',
    ]


def test_time_that_is_unknown_is_left_out_and_what_tells_it_later_is_stored():
    device = one(5)
    device.wake(0, 1234)
    assert device.payloads() == ['{"serviceId":1,"id":1,"x":5}']
    assert device.outbox.batch(1)[0][1] == {"b": 1, "u": 1234, "s": 1, "t": 0, "f": [["x", "5"]]}


def test_more_than_a_payload_holds_goes_in_several_entries():
    def declare(app):
        for n in range(12):
            app.reading(f"r{n}")(lambda: "x" * 90)

    device = Device(declare)
    assert device.wake(T0) == [f"r{n}" for n in range(12)]
    payloads = device.payloads()
    assert len(payloads) == 3
    assert all(len(text) <= 512 for text in payloads)
    assert device.due(T0) == []
    assert device.health.counters == {}


def test_size_counts_bytes_with_the_largest_id_and_time():
    app = one(1).app
    entry = {"s": 1, "f": [["x", '"阀"']]}
    assert app.size(entry) == len('{"serviceId":1,"id":4294967295,"t":4294967295,"x":"阀"}'.encode())


def test_full_flash_skips_the_reading_and_it_stays_due():
    device = one(5)
    device.outbox.put = lambda entry, size: (_ for _ in ()).throw(OSError(28))
    assert device.wake(T0) == []
    assert device.health.counters == {"fault_17": 1}
    assert device.due(T0) == ["x"]


def test_flash_that_refuses_the_time_of_taking_stops_nothing():
    device = one(5)
    device.kept.fails = True
    assert device.wake(T0) == ["x"]
    assert device.health.counters == {"flash_failed": 1}
    assert device.wake(T0 + 5, 5000) == []


def test_a_wake_in_which_nothing_was_due_writes_nothing():
    device = one(5)
    device.wake(T0)
    saves = device.kept.saves
    device.power_on().wake(T0 + 60)
    assert device.kept.saves == saves == 1
