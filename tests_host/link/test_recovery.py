"""link.recovery: dial again, radio off and on, restart; each step counted before it is taken, never more than its cap
in an hour.
"""

from types import SimpleNamespace

import pytest

from tests_host.device.fakes import Memory, Ticks
from tests_host.store.bench import Bench
from tools.module.flash import Flash

SIM, NETWORK, CALL = 1, 2, 3
T0 = 1_795_392_000


class Module:
    """What the ladder did to a module, in `done`; `record` outlives it."""

    def __init__(self, record=None, unix=T0, old=False, context=-1):
        self.done, self.record, self.clock = [], record or Memory(), Ticks(unix)
        calls = {"start": self.note("start"), "getPDPContext": lambda profile: context}
        if not old:
            calls.update(activate=self.note("activate"), deactivate=self.note("deactivate"))
        bench = Bench(
            Flash(blocks=24), dataCall=SimpleNamespace(**calls), checkNet=SimpleNamespace(waitNetworkReady=len),
            net=SimpleNamespace(setModemFun=self.note("fun")), atcmd=SimpleNamespace(),
        )  # fmt: skip
        self.recovery = bench.load("link.recovery")
        self.ladder = self.recovery.Ladder(self.record, self.clock)

    def note(self, name):
        def call(*args):
            self.counted = self.record.value
            self.done.append((name, *args))
            return 0

        return call

    def climb(self, stage):
        """All looks of one attach in vain."""
        return [part for part in range(0, 257, 8) if self.ladder.help(stage, part)]

    def names(self):
        return [row[0] for row in self.done]


def test_data_call_is_dialled_after_a_third_and_the_radio_switched_after_two_thirds():
    module = Module()
    assert module.climb(CALL) == [88, 176]
    assert module.done == [("deactivate", 1), ("activate", 1), ("fun", 0), ("fun", 1)]
    assert module.ladder.taken == {"redial": 1, "radio": 1}


@pytest.mark.parametrize("stage", [SIM, NETWORK])
def test_sim_and_registration_get_the_radio_off_and_on_after_half_the_time(stage):
    module = Module()
    assert module.climb(stage) == [128]
    assert module.done == [("fun", 0), ("fun", 1)] and module.clock.slept >= 1000


def test_older_image_dials_by_start_under_the_stored_context():
    assert Module(old=True).ladder.help(CALL, 100)
    module = Module(old=True, context=(2, "ctnet", "u", "p", 1))
    module.ladder.help(CALL, 100)
    assert module.done == [("start", 1, 2, "ctnet", "u", "p", 1)]
    module = Module(old=True)
    module.ladder.help(CALL, 100)
    assert module.done == [("start", 1)]


def test_each_step_is_on_flash_before_it_is_taken():
    module = Module()
    module.ladder.help(CALL, 100)
    assert module.counted == {"n": {"redial": 1, "radio": 0, "restart": 0}, "since": T0}


def test_flash_that_refuses_the_count_takes_no_step():
    module = Module()
    module.record.fails = True
    assert module.climb(CALL) == [] and module.done == []


def test_caps_of_an_hour_hold_over_power_off_and_end_with_the_hour():
    record, restarts, switched = Memory(), 0, 0
    for minute in range(0, 60, 2):
        module = Module(record, unix=T0 + 60 * minute)
        module.climb(NETWORK)
        switched += module.names().count("fun") // 2
        restarts += module.ladder.may("restart")
    assert (switched, restarts) == (3, 1)
    module = Module(record, unix=T0 + 3600)
    assert module.climb(NETWORK) == [128] and module.ladder.may("restart")


def test_clock_that_was_set_back_does_not_lift_the_cap_for_ever():
    record = Memory()
    for _ in range(5):
        Module(record).ladder.may("restart")
    assert Module(record, unix=T0 - 86400).ladder.may("restart"), "another clock, another hour"
    assert not Module(record, unix=T0 - 86400 + 60).ladder.may("restart")


def test_without_the_time_of_day_the_hour_counts_from_power_on():
    record = Memory()
    module = Module(record, unix=0)
    assert module.ladder.may("restart")
    assert not Module(record, unix=0).ladder.may("restart")
    module.clock.ms = 3_600_001
    assert module.ladder.may("restart")


def test_record_of_another_shape_is_begun_anew():
    for value in ({}, {"n": 5, "since": "x"}, {"n": {"restart": "x"}, "since": T0}):
        record = Memory(value)
        assert Module(record).ladder.may("restart")
        assert Module(record).climb(CALL) == [88, 176]
