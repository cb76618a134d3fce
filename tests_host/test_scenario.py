"""A run that cannot go well ends with its reason, whatever the product maker has written."""

import os
import signal
import subprocess
import sys

import pytest

from tools import figures
from tools.plan import Plan, quicker
from tools.scenario import ROOT, ScenarioError, play

APP = (ROOT / "lib/app.py").read_text()


def ended(app=None, engine="cpython", **changes):
    return figures.result(play(Plan(app=app, engine=engine, measure_heap=False, **{"wakes": 1, **changes})))["error"]


def test_an_import_error_in_app_py_is_named():
    error = ended(APP.replace("import utime", "import utime, no_such_module"))
    assert error["name"] in ("restarts", "no-tree")
    assert "no_such_module" in error["hint"]


def test_a_syntax_error_in_app_py_is_said_before_the_run():
    with pytest.raises(ScenarioError) as caught:
        play(Plan(app="def broken(:\n    pass\n", engine="vm"))
    assert caught.value.name == "compile"
    assert "app.py" in str(caught.value) and "/tmp" not in str(caught.value)


@pytest.mark.parametrize(("name", "value"), [("report.interval", 1), ("report.interval", "6h"), ("no.such", 1)])
def test_a_broken_config_is_named_with_what_is_allowed(name, value):
    error = ended(config={name: value})
    assert error["name"] == "unprovisioned"
    assert name in error["hint"]


def test_a_handler_that_hangs_is_reset_by_the_watchdog_answered_interrupted_and_the_device_lives_on():
    asks = '    if meter.ask("VALVE,%d" % valve_onoff) != "OK":'
    assert asks in APP
    app = APP.replace(asks, "    while True:\n        utime.sleep(5)\n    if 0:")
    done = play(quicker(Plan(app=app, wakes=4)))
    assert [event.data["reason"] for event in done.events.of("boot")].count(5) == 1
    assert any(b'"reason":"interrupted"' in uplink.payload for uplink in done.aep.uplinks(done.device))
    assert len(done.wakes) == 4


def test_a_handler_that_computes_without_end_is_reset_by_the_watchdog_too(monkeypatch):
    monkeypatch.setattr("tools.module.vm.engine.SILENCE_LIMIT", 1.0)
    asks = '    if meter.ask("VALVE,%d" % valve_onoff) != "OK":'
    done = play(Plan(app=APP.replace(asks, "    while True:\n        pass\n    if 0:"), wakes=4, measure_heap=False))
    assert [event.data["reason"] for event in done.events.of("boot")].count(5) == 1
    assert any(b'"reason":"interrupted"' in uplink.payload for uplink in done.aep.uplinks(done.device))
    assert len(done.wakes) == 4


@pytest.mark.parametrize("engine", ["vm", "cpython"])
@pytest.mark.parametrize("changes", [{"config": {"power.mode": "sleep"}}, {"family": "EC800M"}, {"family": "EC800K"}])
def test_where_there_is_no_psm_a_wake_is_one_report_interval_of_one_long_power_on(engine, changes):
    done = play(Plan(engine=engine, measure_heap=False, wakes=4, **changes))
    result = figures.result(done)
    assert result["error"] is None
    assert (result["wakes"], result["boots"], result["psm_entered"]) == (4, 1, 0)
    asked = [event.t for event in done.events.of("sensor") if event.text == "flow"]
    assert [round(later - earlier) for earlier, later in zip(asked, asked[1:], strict=False)] == [21600] * 3
    assert result["commands_answered"] == result["commands_sent"] == 2
    assert [event.text for event in done.events.of("power")] == ["cut"]  # from outside, after the last interval
    assert all(wake.stayed_on and wake.flash_programs > 10 for wake in done.wakes)


def test_between_two_reports_without_psm_the_meter_books_light_sleep():
    done = play(quicker(Plan(family="EC800M", wakes=3)))
    spent = done.module.board.meter.report()["ms"]
    assert spent["sleep"] > 0.98 * sum(spent.values())


def test_a_module_that_stays_on_though_nothing_in_the_world_keeps_it_is_a_failure():
    cycle = "import pm\n\nlock = pm.create_wakelock('app', 3)\npm.wakelock_lock(lock)\n"
    assert ended(APP + "\n\n" + cycle)["name"] == "no-psm"


@pytest.mark.parametrize("engine", ["vm", "cpython"])
def test_a_run_can_be_stopped_by_hand(engine):
    command = [sys.executable, "-m", "tools", "run", "--engine", engine, "--wakes", "10000"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as going:
        while "wake-up" not in going.stdout.readline():
            pass
        going.send_signal(signal.SIGINT)
        _, complaints = going.communicate(timeout=30)
    assert going.returncode == 130
    assert "Traceback" not in complaints


def test_a_trace_that_cannot_be_written_is_said_before_the_run():
    command = [sys.executable, "-m", "tools", "run", "--pcap", os.path.join(ROOT, "no", "where.pcap")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    told = " ".join(done.stderr.replace("│", " ").split())  # drawn into a box, wherever its lines break
    assert "cannot be written" in told and "boot" not in done.stdout
