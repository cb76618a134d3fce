"""Every fault of the table ends as its row says, alike in both engines, whatever the seed."""

import json
import re
import subprocess
import sys

import pytest

from tests_host.faults.dissect import complaints
from tools import figures, journal
from tools.checker import check
from tools.faults import BY_NAME, ROOMS, TABLE
from tools.faults.player import Chance, One, outcome, plan_of
from tools.plan import Plan, quicker
from tools.scenario import ROOT, play
from tools.tables import errors

SEEDS = (1, 2, 3)
CONNECTIONS = {fault.name for room in ("MQTT and TCP", "MQTTS") for fault in ROOMS[room]}  # test_connections.py's
FAULTS = [fault for fault in TABLE if fault.name not in CONNECTIONS]
ROWS = [pytest.param(fault, seed, id=f"{fault.name}-{seed}") for fault in FAULTS for seed in SEEDS]

TRACES = {}  # of the walk's first seed, for tshark


@pytest.mark.parametrize(("fault", "seed"), ROWS)
def test_a_fault_ends_as_its_row_says(fault, seed):
    plan = plan_of(fault, Plan(seed=seed, measure_heap=False))
    in_vm, in_cpython = play(plan, hooks=One(fault)), play(quicker(plan), hooks=One(fault))
    results = [figures.result(run) for run in (in_vm, in_cpython)]
    for run, result in zip((in_vm, in_cpython), results, strict=True):
        assert outcome(fault.name, fault.ends, result)["ended"] == fault.ends, result["error"]
        assert result["readings_lost"] == 0
        assert check(run).passed() == (fault.ends == 0)
    assert results[0]["trace_sha256"] == results[1]["trace_sha256"]
    if seed == SEEDS[0]:
        TRACES[fault.name] = in_cpython.aep.trace()
        told = noted(in_cpython)
        assert (fault.journal or "BOOT") in told
        assert fault.ends == 0 or f"FAULT {fault.ends}" in told


def noted(run):
    """Names of the events in the device's journal, faults with their code."""
    flash = run.module.flash
    files = {name: flash.read(f"state/{name}") for name in journal.FILES if flash.exists(f"state/{name}")}
    wakes = [item for item in journal.read(files) if isinstance(item, journal.Wake)]
    entries = [entry for wake in wakes for entry in wake.entries]
    return {entry.kind.name for entry in entries} | {f"{entry.kind.name} {entry.value}" for entry in entries}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_tshark_finds_nothing_malformed_in_what_the_device_sends_under_a_fault(fault, tmp_path):
    if fault.name not in TRACES:  # the walk above was not asked for, or is another process's
        TRACES[fault.name] = play(quicker(plan_of(fault, Plan(seed=SEEDS[0]))), hooks=One(fault)).aep.trace()
    assert complaints(TRACES[fault.name], tmp_path) == []


@pytest.mark.parametrize("seed", SEEDS)
def test_two_hundred_wakes_with_random_faults_lose_nothing(seed):
    chance = Chance([fault for fault in TABLE if fault.passing], seed)
    run = play(quicker(Plan(seed=seed, wakes=200)), hooks=chance)
    assert len(run.events.of("fault")) > 50
    assert check(run).problems == []
    assert figures.result(run)["error"] is None


def test_random_faults_are_the_same_in_both_engines():
    plan = Plan(seed=5, wakes=20, measure_heap=False)
    passing = [fault for fault in TABLE if fault.passing]
    one, other = play(plan, hooks=Chance(passing, 5)), play(quicker(plan), hooks=Chance(passing, 5))
    assert [(event.t, event.text) for event in one.events.of("fault")] == [
        (event.t, event.text) for event in other.events.of("fault")
    ]
    assert one.network.trace_sha256() == other.network.trace_sha256()


def test_names_are_unique_and_every_end_is_an_error_of_the_device():
    assert len(BY_NAME) == len(TABLE) == sum(map(len, ROOMS.values())) > 40
    for fault in TABLE:
        assert re.fullmatch(r"[a-z0-9.]+(-[a-z0-9.]+)*", fault.name)
        assert fault.ends == 0 or fault.ends in errors()
        assert not fault.passing or fault.ends == 0


def test_a_fault_that_a_person_must_mend_ends_the_run_as_soon_as_it_is_told():
    fault = BY_NAME["no-coverage"]
    run = play(quicker(plan_of(fault, Plan())), hooks=One(fault))
    assert len(run.wakes) == fault.first


def tools_run(*options):
    command = [sys.executable, "-m", "tools", "run", "--engine", "cpython", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_the_command_line_plays_a_fault_and_says_how_it_ended():
    done = tools_run("--fault", "no-sim", "--json")
    assert json.loads(done.stdout)["fault"] == {"name": "no-sim", "expected": 11, "ended": 11}
    assert done.returncode == 1 and "as the table says: error 11 NoSim" in done.stderr
    done = tools_run("--fault", "empty-datagram", "--json")
    assert json.loads(done.stdout)["fault"] == {"name": "empty-datagram", "expected": 0, "ended": 0}
    assert done.returncode == 0


def test_the_command_line_lists_every_fault():
    listed = json.loads(tools_run("--list-faults", "--json").stdout)
    assert [row["name"] for row in listed] == list(BY_NAME)
    shown = tools_run("--list-faults").stdout
    assert all(name in shown for name in BY_NAME)


@pytest.mark.parametrize(("options", "told"), [
    (["--fault", "no-such"], "--list-faults"), (["--set", "power.mod=psm"], "power.mode"),
    (["--set", "report.interval=6h"], "60-1116000 s"), (["--set", "power.mode=deep"], "psm, sleep"),
    (["--set", "server.host="], "1-253 bytes"),
])
def test_a_wrong_name_or_value_is_refused_with_what_is_allowed(options, told):
    done = tools_run(*options)
    assert done.returncode == 2
    assert told in " ".join(done.stderr.replace("│", " ").split())
