"""power.mode: what each mode costs, and that a change by command is a change of what the module does: the request for
PSM is kept in its NV memory (quecpython.md §4.2) and would take the power of a device that is to stay reachable."""

import pytest

from tests_host.device.world import HOUR, World
from tools.tables import ROOT

APP = (ROOT / "lib/app.py").read_text() + """

@command(9990, mode=one_of("psm", "sleep", "awake"))
def sleep_so(mode):
    settings.change("power.mode", mode)
    return {"mode": mode}
"""
PROTOCOLS = ["lwm2m", "mqtt", "tcp"]
AWAKE = {"report.interval": HOUR, "power.mode": "awake", "lwm2m.keepalive": 45, "mqtt.keepalive": 240}


def mains(protocol="lwm2m"):
    """A device that stays awake, two minutes after power-on."""
    world = World(AWAKE, protocol=protocol, power_mode="DRX")
    world.start()
    world.advance(120)
    assert len(world.reports()) >= 1
    return world


def milliseconds(world, state, seconds):
    """So long in that state of the meter, of so many seconds from now."""
    before = world.milliseconds(state)
    world.advance(seconds)
    return world.milliseconds(state) - before


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_awake_it_never_sleeps_reports_at_each_interval_and_keeps_its_session(protocol):
    with mains(protocol) as world:
        assert milliseconds(world, "sleep", 5 * HOUR) == 0
        assert world.module.boots == 1
        flows = [entry for entry in world.reports() if "water_flow" in entry]
        assert len(flows) == 6
        assert len(world.run.aep.registrations(world.device)) == 1
        world.cut()
        assert world.verdict().problems == []


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_awake_a_command_is_answered_within_seconds_of_being_given(protocol):
    with mains(protocol) as world:
        world.advance(1700)
        given = world.loop.time()
        world.command(8001, valve_onoff=0)
        world.advance(10)
        assert [event.data["state"] for event in world.of("valve")] == [0]
        assert world.answers()[0]["uplink"].t - given < 5
        world.cut()
        assert world.verdict().problems == []


def test_awake_the_radio_is_left_to_the_network():
    """No enhanced sleep: it needs autosleep (quecpython.md §4.3)."""
    with mains() as world:
        world.advance(2 * HOUR)
        world.cut()
        ended = [event.data["by"] for event in world.of("rrc") if "by" in event.data]
        assert len(ended) > 100 and set(ended) == {"network"}
        assert world.counters().get("psm_refused", 0) == 0


@pytest.mark.parametrize("mode", ["sleep", "awake"])
def test_a_device_in_psm_that_is_told_to_stay_stays(mode):
    with World({"report.interval": HOUR}, APP) as world:
        assert world.power_on() == "psm"
        world.command(9990, mode=mode)
        world.wake()
        world.advance(world.module.wakes_at() - world.loop.time())
        world.start(8)
        world.advance(5 * HOUR + 300)
        assert not world.on.done(), "the power went"
        assert world.record("settings")["values"]["power.mode"] == mode
        assert world.module.board.nv.values["psm"][0] == 0
        assert len([entry for entry in world.reports() if "water_flow" in entry]) == 8
        world.cut()
        assert world.verdict().problems == []


@pytest.mark.parametrize("mode", ["sleep", "awake"])
def test_a_device_that_stays_and_is_told_to_use_psm_powers_down_after_its_next_report(mode):
    with World({"report.interval": HOUR, "power.mode": mode, "lwm2m.keepalive": 45}, APP, power_mode="DRX") as world:
        world.start()
        world.advance(600)
        world.command(9990, mode="psm")
        world.advance(HOUR)
        assert world.on.done() and world.on.result().how == "psm"
        assert world.wake() == "psm"
        assert len([entry for entry in world.reports() if "water_flow" in entry]) == 3
        assert world.verdict().problems == []
