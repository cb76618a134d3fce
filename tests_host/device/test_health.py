"""device.health: what the device knows of its own past."""

from types import SimpleNamespace

import pytest

from tests_host.device.fakes import Journal, Memory
from tests_host.store.bench import Bench
from tools.module.flash import Flash


def load(reason=3):
    power = SimpleNamespace(powerOnReason=lambda: reason)
    bench = Bench(Flash(blocks=24), misc=SimpleNamespace(Power=power))
    return bench, bench.load("device.health")


def test_counters_faults_and_back_off_outlive_power_off():
    kept = Memory()
    _, module = load()
    health = module.Health(kept, Journal())
    health.count("x")
    health.in_a_row, health.not_before, health.fault = 3, 1_795_392_000, 25
    health.save(0, 7)
    health = module.Health(kept, Journal())
    assert (health.counters, health.in_a_row, health.not_before, health.fault) == ({"x": 1}, 3, 1_795_392_000, 25)


def test_count_after_power_on_is_saved():
    """What was loaded must not be what is compared with."""
    kept = Memory()
    _, module = load()
    for n in (1, 2, 3):
        health = module.Health(kept, Journal())
        health.count("x")
        health.save(0, 7)
        assert kept.value["counters"] == {"x": n}


def test_nothing_is_written_where_nothing_changed():
    kept = Memory()
    _, module = load()
    health = module.Health(kept, Journal())
    health.count("x")
    health.save(0, 7)
    health.save(0, 7)
    module.Health(kept, Journal()).save(0, 7)
    assert kept.saves == 1


def test_flash_that_refuses_is_counted_and_tried_again():
    kept = Memory()
    _, module = load()
    health = module.Health(kept, Journal())
    kept.fails = True
    health.count("x")
    health.save(0, 7)
    kept.fails = False
    health.save(0, 7)
    assert kept.value["counters"] == {"x": 1, "flash_failed": 1}


def test_acknowledged_report_ends_the_faults_and_keeps_the_counters():
    bench, module = load()
    health = module.Health(Memory(), Journal())
    fault = bench.load("link.fault").NoSim("SIM status 0")
    health.faulted(fault)
    health.faulted(fault)
    health.in_a_row = 1
    assert (health.fault, health.counters) == (11, {"fault_11": 2})
    assert "E11 NoSim: SIM status 0. No usable SIM" in bench.printed
    health.well()
    assert (health.fault, health.in_a_row, health.not_before, health.counters) == (0, 0, 0, {"fault_11": 2})


def test_what_a_user_function_raised_is_logged_and_counted():
    bench, module = load()
    health = module.Health(Memory(), Journal())
    health.failed("reading", "flow", KeyError("k"))
    assert health.counters == {"reading_failed": 1}
    assert "reading flow failed: KeyError('k')" in bench.printed


@pytest.mark.parametrize(("reason", "text"), [(3, "battery"), (5, "watchdog"), (8, "PSM"), (0, "unknown"), (10, "10")])
def test_reason_in_words(reason, text):
    _, module = load(reason)
    assert module.Health(Memory(), Journal()).reason_text() == text


def test_faults_and_what_is_noted_go_into_the_journal_which_is_flushed_with_the_counters():
    bench, module = load()
    journal = Journal()
    health = module.Health(Memory(), journal)
    health.note(10, 3)
    health.faulted(bench.load("link.fault").NoSim("SIM status 0"))
    health.save(1_795_392_000, 7)
    assert journal.noted == [(10, 3), (80, 11)] and journal.flushed == [(7, 1_795_392_000)]


def test_wake_that_ended_with_a_fault_is_known_as_ended():
    kept = Memory()
    bench, module = load()
    health = module.Health(kept, Journal())
    health.save(0, 6)
    assert kept.value is None or kept.value["boot"] == 0  # a good wake is known by its session
    health.in_a_row = 1
    health.save(0, 7)
    assert module.Health(kept, Journal()).boot == 7
