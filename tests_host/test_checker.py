"""The checker sees whatever is not as it should be: each test spoils one thing of a good run."""

import copy
import json
from dataclasses import replace

import pytest

from tools.checker import check
from tools.plan import Plan, quicker
from tools.scenario import play


@pytest.fixture(scope="module")
def good():
    return play(quicker(Plan(wakes=6)))


@pytest.fixture
def run(good):
    """A copy that can be spoiled: `uplinks` is what the platform says it stored."""
    spoiled = copy.copy(good)
    spoiled.events, spoiled.aep, spoiled.module = copy.copy(good.events), copy.copy(good.aep), copy.copy(good.module)
    spoiled.events.log, spoiled.given = list(good.events.log), list(good.given)
    spoiled.uplinks = good.aep.uplinks(good.device)
    spoiled.aep.all_uplinks = lambda device: spoiled.uplinks
    return spoiled


def edit(run, has, change):
    """Changes the first stored entry that has the field."""
    for at, uplink in enumerate(run.uplinks):
        body = json.loads(uplink.payload)
        for entry in body if isinstance(body, list) else [body]:
            if has in entry:
                change(entry)
                run.uplinks[at] = replace(uplink, payload=json.dumps(body).encode())
                return
    raise AssertionError(f"no entry has {has}")


def test_a_good_run_passes(run):
    assert check(run).passed()
    assert check(run).problems == []


SPOILED = {
    "flow": lambda run: edit(run, "water_flow", lambda e: e.update(water_flow=99.999)),
    "battery": lambda run: edit(run, "battery_voltage", lambda e: e.update(battery_voltage=9.9)),
    "battery removed": lambda run: edit(run, "battery_voltage", lambda e: e.pop("battery_voltage")),
    "rsrp": lambda run: edit(run, "rsrp", lambda e: e.update(rsrp=-1)),
    "sinr": lambda run: edit(run, "sinr", lambda e: e.update(sinr=99)),
    "sinr removed": lambda run: edit(run, "sinr", lambda e: e.pop("sinr")),
    "service": lambda run: edit(run, "water_flow", lambda e: e.update(serviceId=77)),
    "time before": lambda run: edit(run, "water_flow", lambda e: e.update(t=e["t"] - 4)),
    "time after": lambda run: edit(run, "water_flow", lambda e: e.update(t=e["t"] + 3)),
    "id": lambda run: edit(run, "water_flow", lambda e: e.update(id=500)),
    "answer's field": lambda run: edit(run, "taskId", lambda e: e.update(valve_onoff=1)),
    "answer's field removed": lambda run: edit(run, "taskId", lambda e: e.pop("valve_onoff")),
    "answer's result": lambda run: edit(run, "taskId", lambda e: e.update(act_result=1)),
    "answer's service": lambda run: edit(run, "taskId", lambda e: e.update(serviceId=8001)),
    "answer's task": lambda run: edit(run, "taskId", lambda e: e.update(taskId=99)),
    "an uplink is gone": lambda run: run.uplinks.pop(2),
    "the last uplink is gone": lambda run: run.uplinks.pop(),
    "an uplink came twice": lambda run: run.uplinks.append(run.uplinks[1]),
    "a command has no answer": lambda run: run.given.append(replace(run.given[0], task=50)),
    "an answer nobody asked for": lambda run: run.given.pop(),
    "the valve moved by itself": lambda run: run.events.emit("module", "valve", "open", state=1),
    "fewer times in PSM": lambda run: setattr(run.module, "psm_entered", 5),
    "more boots": lambda run: setattr(run.module, "boots", 99),
    "a reading failed": lambda run: run.events.emit("app", "log", "ERROR:health:reading battery failed: ValueError"),
}


@pytest.mark.parametrize("what", SPOILED)
def test_what_is_spoiled_is_seen(run, what):
    SPOILED[what](run)
    assert not check(run).passed()
    assert check(run).problems


def test_times_missing_after_the_clock_was_set_are_seen(run):
    edit(run, "taskId", lambda e: None)
    for at, uplink in enumerate(run.uplinks):
        body = json.loads(uplink.payload)
        for entry in body if isinstance(body, list) else [body]:
            entry.pop("t", None)
        run.uplinks[at] = replace(uplink, payload=json.dumps(body).encode())
    assert check(run).problems


def test_an_unacknowledged_report_or_answer_does_not_pass(run):
    for has in ("water_flow", "taskId"):
        kept = list(run.uplinks)
        at = next(i for i, uplink in enumerate(kept) if has in json.loads(uplink.payload))
        run.uplinks[at] = replace(kept[at], acked_at=None)
        assert not check(run).passed(), has
        run.uplinks = kept


def test_a_fault_that_was_overcome_is_no_problem(run):
    run.events.emit("app", "log", "ERROR:health:E25 Silent: no answer. No answer from the platform")
    assert check(run).passed()


def test_a_repeat_whose_acknowledgements_were_all_lost_is_counted_and_no_problem():
    for seed in range(1, 40):
        done = play(quicker(Plan(wakes=15, loss=0.3, seed=seed)))
        verdict = check(done)
        if verdict.readings_duplicated and not done.problem:
            assert not [problem for problem in verdict.problems if problem.startswith("doubled")]
            return
    raise AssertionError("no seed repeated anything")
