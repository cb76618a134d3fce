"""device.health: counters that outlive power-off, and what the device answers when the platform reads it."""

from types import SimpleNamespace

import pytest

from tests_host.device.fakes import Memory, Ticks
from tests_host.store.bench import Bench
from tools.module.flash import Flash


def load(reason=3, **firmware):
    quiet = SimpleNamespace()
    power = SimpleNamespace(powerOnReason=lambda: reason, getVbatt=lambda: 3650)
    modules = {
        "modem": SimpleNamespace(getDevFwVersion=lambda: "FW1"), "net": quiet, "sim": quiet, "atcmd": quiet,
        "misc": SimpleNamespace(Power=power), **firmware,
    }  # fmt: skip
    bench = Bench(Flash(blocks=24), **modules)
    bench.modules["uos"].uname = lambda: ("sysname=EC800E-CNLC", "nodename=EC800E", "release=1")
    return bench, bench.load("device.health")


def test_counters_faults_and_back_off_outlive_power_off():
    kept = Memory()
    _, module = load()
    health = module.Health(kept)
    health.count("x")
    health.in_a_row, health.not_before, health.fault = 3, 1_795_392_000, 25
    health.save()
    health = module.Health(kept)
    assert (health.counters, health.in_a_row, health.not_before, health.fault) == ({"x": 1}, 3, 1_795_392_000, 25)


def test_count_after_power_on_is_saved():
    """What was loaded must not be what is compared with."""
    kept = Memory()
    _, module = load()
    for n in (1, 2, 3):
        health = module.Health(kept)
        health.count("x")
        health.save()
        assert kept.value["counters"] == {"x": n}


def test_nothing_is_written_where_nothing_changed():
    kept = Memory()
    _, module = load()
    health = module.Health(kept)
    health.count("x")
    health.save()
    health.save()
    module.Health(kept).save()
    assert kept.saves == 1


def test_flash_that_refuses_is_counted_and_tried_again():
    kept = Memory()
    _, module = load()
    health = module.Health(kept)
    kept.fails = True
    health.count("x")
    health.save()
    kept.fails = False
    health.save()
    assert kept.value["counters"] == {"x": 1, "flash_failed": 1}


def test_acknowledged_report_ends_the_faults_and_keeps_the_counters():
    bench, module = load()
    health = module.Health(Memory())
    fault = bench.load("link.fault").NoSim("SIM status 0")
    health.faulted(fault)
    health.faulted(fault)
    assert (health.fault, health.in_a_row, health.counters) == (11, 2, {"fault_11": 2})
    assert "E11 NoSim: SIM status 0. No usable SIM" in bench.printed
    health.well()
    assert (health.fault, health.in_a_row, health.not_before, health.counters) == (0, 0, 0, {"fault_11": 2})


def test_what_a_user_function_raised_is_logged_and_counted():
    bench, module = load()
    health = module.Health(Memory())
    health.failed("reading", "flow", KeyError("k"))
    assert health.counters == {"reading_failed": 1}
    assert "reading flow failed: KeyError('k')" in bench.printed


@pytest.mark.parametrize(("reason", "text"), [(3, "battery"), (5, "watchdog"), (8, "PSM"), (0, "unknown"), (10, "10")])
def test_reason_in_words(reason, text):
    _, module = load(reason)
    assert module.Health(Memory()).reason_text() == text


FACTS = {"imei": "868543060974334", "lifetime": 86400, "binding": "UQ", "address": "100.101.1.2"}


def values(**firmware):
    bench, module = load(**firmware)
    return bench, module.Values(FACTS, module.Health(Memory()), Ticks(1_795_392_000)).value


def test_device_object_says_who_it_is():
    _, value = values()
    assert [value(3, n) for n in (0, 1, 2, 3, 7, 11, 13, 16)] == [
        "Quectel", "EC800E", "868543060974334", "FW1", 3650, 0, 1_795_392_000, "UQ",
    ]  # fmt: skip
    assert value(3, 9) is None
    assert (value(1, 1), value(1, 7)) == (86400, "UQ")


def test_model_of_an_image_that_writes_uname_otherwise_is_still_a_text():
    bench, value = values()
    bench.modules["uos"].uname = lambda: ("EC800E-CNLC", "EC800E", "1.25")
    assert value(3, 1) == "EC800E"


CELL = '+QENG: "servingcell","NOCONN","LTE","FDD",460,11,5A2890B,475,1650,3,5,5,DF5C,-102,-9,-73,16,19'


def sendsync(answer, result=0):
    def send(command, buffer, include, timeout):
        buffer[:] = (b"\r\n" + answer + b"\r\n\n").ljust(len(buffer), b"\0")
        return result

    return SimpleNamespace(sendSync=send)


def test_connectivity_object_says_where_it_is():
    signal = SimpleNamespace(getSignal=lambda sinr: ([99, 99, 255, 255], [-73, -102, -9, 10, 16]))
    _, value = values(net=signal, atcmd=sendsync(CELL.encode()))
    assert [value(4, n) for n in (0, 2, 3, 4, 8, 9, 10)] == [6, -102, -9, "100.101.1.2", 0x5A2890B, 11, 460]


def test_connectivity_object_has_no_values_where_the_modem_has_none():
    _, value = values(net=SimpleNamespace(getSignal=lambda sinr: -1), atcmd=sendsync(b"ERROR", 1))
    assert [value(4, n) for n in (2, 3, 8, 9, 10)] == [None] * 5
