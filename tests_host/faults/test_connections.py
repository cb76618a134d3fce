"""Every fault of a connection ends as its row says, and so do the rows that are no protocol's own under each protocol;
never does a device connect as often as to be banned."""

from dataclasses import replace

import pytest

from tests_host.faults.test_table import CONNECTIONS, noted
from tools import figures
from tools.checker import check, entries
from tools.ctwing import things
from tools.faults import BY_NAME, TABLE, act
from tools.faults.connections import way
from tools.faults.player import Chance, One, plan_of
from tools.module.modem.usocket import ports_of
from tools.plan import Plan, quicker
from tools.scenario import Run, play
from tools.world.tcp import SYN

A_FEW = 6  # connects in any minute; thirty are a ban (ctwing.md §4.2)
SOCKETS = 2  # in use when a wake is over: one that is kept, one whose FIN is under way
HEAP = 160 * 1024  # as in test_bounds.py

# One of each kind, for the VM: what ends there ends here.
IN_VM = (
    "mqtt-connack-4", "tcp-login-4", "tcp-1.1-other-model", "mqtt-hostile-noise", "native-half-open",
    "tcp-1.1-82-lost", "mqtt-asleep-nat-silent", "native-asleep-closed-at-once", "tcp-asleep-closed-at-once",
    "mqtts-expired",
)  # fmt: skip

# Rows of the table that no protocol has to itself.
ANYWHERE = (
    "pdp-needs-a-dial", "pdp-needs-cfun", "pdp-needs-a-restart", "no-pdp", "no-coverage-for-a-wake", "no-sim",
    "registration-denied", "sim-loose", "psm-not-granted", "psm-granted-shorter", "no-fast-release",
    "loss-10-percent", "duplicated-datagrams", "reordered-datagrams", "blackout-20-seconds", "no-sockets",
    "new-address-in-psm", "clock-jumps-forward", "clock-jumps-back", "flash-full", "watchdog-in-a-wake",
    "restart-in-a-wake", "usb-plugged-in", "at-errors", "at-silent", "meter-mute", "command-expired",
    "command-longest",
)  # fmt: skip
EVERY_WAY = ("mqtt", "native", "mqtts", "tcp", "tcp-1.1")
GIVE_JSON = ("command-expired", "command-longest")


class Watched(One):
    """The fault, and how many sockets were in use when a wake was over."""

    sockets = 0

    def after(self, run: Run) -> None:
        super().after(run)
        if run.module.powered and run.module.board is not None:
            self.sockets = max(self.sockets, len(ports_of(run.module.board)))


def played(fault, plan):
    hooks = Watched(fault)
    run = play(plan, hooks=hooks)
    assert hooks.sockets <= SOCKETS
    assert busiest_minute(run) <= A_FEW
    return run


def busiest_minute(run):
    """Most connections that were begun within any minute of the run."""
    begun = {}
    for one in run.network.trace:
        if one.direction == "up" and one.segment is not None and one.segment.flags == SYN:
            begun.setdefault((one.local, one.segment.seq), one.t_us / 1e6)
    times = sorted(begun.values())
    return max((sum(first <= t < first + 60 for t in times) for first in times), default=0)


def holds(fault, run):
    result, verdict = figures.result(run), check(run)
    assert (result["error"] or {"code": 0})["code"] == fault.ends, result["error"]
    assert result["readings_lost"] == 0
    assert fault.ends or verdict.passed(), verdict.problems


@pytest.mark.parametrize("name", sorted(CONNECTIONS))
def test_a_fault_of_a_connection_ends_as_its_row_says(name):
    fault = BY_NAME[name]
    run = played(fault, quicker(plan_of(fault, Plan())))
    holds(fault, run)
    told = noted(run)
    assert (fault.journal or "BOOT") in told
    assert fault.ends == 0 or f"FAULT {fault.ends}" in told


@pytest.mark.parametrize("name", IN_VM)
def test_it_ends_so_in_the_vm_with_the_same_trace_and_a_bounded_heap(name):
    fault = BY_NAME[name]
    plan = plan_of(fault, Plan(measure_heap=True))
    in_vm, in_cpython = played(fault, plan), played(fault, quicker(plan))
    holds(fault, in_vm)
    assert figures.result(in_vm)["heap_peak_bytes"] <= HEAP
    assert in_vm.network.trace_sha256(in_vm.opened) == in_cpython.network.trace_sha256(in_cpython.opened)


@pytest.mark.parametrize(("over", "name"), [
    (over, name) for over in EVERY_WAY for name in ANYWHERE if "1.1" not in over or name not in GIVE_JSON
])
def test_a_fault_of_module_or_network_ends_alike_over_every_connection(over, name):
    fault = BY_NAME[name]
    plan = way(over)(plan_of(fault, Plan()))
    holds(fault, played(fault, quicker(plan)))


@pytest.mark.parametrize(("over", "seed"), [("mqtt", 1), ("native", 2), ("mqtts", 1), ("tcp", 2)])
def test_a_hundred_wakes_with_random_faults_lose_nothing_over_a_connection(over, seed):
    """A command of TCP 1.0 is over for the platform once it is sent: what is under way when a fault strikes is lost."""
    own = [fault for fault in TABLE if fault.name.startswith(over + "-") and fault.ends == 0
           and fault.first == fault.last == 2 and fault.wakes == 4 and "asleep" not in fault.name]
    faults = own + [BY_NAME[name] for name in ANYWHERE if BY_NAME[name].passing and name != "command-longest"]
    chance = Chance(faults, seed)
    plan = way(over)(Plan(seed=seed, wakes=100, commands=over != "tcp", umqtt_tells=True))
    run = play(quicker(plan), hooks=chance)
    assert len(run.events.of("fault")) > 25
    assert busiest_minute(run) <= A_FEW
    assert check(run).problems == []


def test_a_report_that_does_not_fit_the_product_is_dropped_by_mqtt_without_a_word():
    """Nobody can see it from the device: the platform acknowledges what it drops (ctwing.md §3.3)."""
    class OtherModel(One):
        def before(self, run):
            if len(run.wakes) == 0:
                product = run.aep.create_product("standard", protocol="mqtt", transparent=False,
                                                 services=things.WATER_METER)
                former = run.aep.device(run.device)
                run.device = run.aep.create_device(product, name="meter", number=former.number, token=former.token)
                act.configure(run, device_id=run.device)

    plan = quicker(Plan(protocol="mqtt", config={"payload": "thing-json"}, commands=False))
    run = play(plan, hooks=OtherModel(replace(BY_NAME["ack-lost"], strike=lambda run: None)))
    assert {entry["serviceId"] for entry in entries(run)} == {2}  # the one that both have alike
    assert check(run).readings_lost == len(run.events.of("discarded")) == 3
    assert figures.fault(run) is None
