"""What a fault may cost at most: heap in the VM, time on the radio and flash programs of one wake. The rows are those
that cost most; what is longer than their bound is an endless loop or a leak.
"""

import pytest

from tools import figures
from tools.faults import BY_NAME
from tools.faults.player import One, plan_of
from tools.plan import Plan
from tools.scenario import play

HEAP = 160 * 1024  # bytes; the budget is 250 KB (DESIGN §9), the main job's peak 128 KiB (docs/benchmarks.md)
RADIO = 60_000  # ms of one wake: an exchange that nobody answers takes 38 s with its jitter, the network's release 12 s
FLASH = 100  # programs of one wake; one without a fault takes 20, one with a command 40

ROWS = (
    "every-request", "observe-missing", "report-reset", "observation-forgotten", "reports-always-reset",
    "platform-silent", "platform-silent-at-register", "register-silent", "never-observed", "late-datagrams",
    "long-request-flood", "flood-of-garbage", "pdp-needs-a-restart", "at-silent", "command-longest",
)  # fmt: skip


@pytest.mark.parametrize("name", ROWS)
def test_what_a_fault_costs_is_bounded(name):
    fault = BY_NAME[name]
    run = play(plan_of(fault, Plan(measure_heap=True)), hooks=One(fault))
    assert figures.result(run)["heap_peak_bytes"] <= HEAP
    assert max(wake.connected_ms for wake in run.wakes) <= RADIO
    assert max(wake.flash_programs for wake in run.wakes) <= FLASH
