"""A product with a thing model in the simulated world: its commands, its wrong declarations, and the power at any flash
program and datagram of a wake with a command."""

import pytest

from tests_host.device.cutting import CUT, HOWS, LOST, PROGRAM, Scene, play, points
from tests_host.device.world import DAY, World
from tools.scenario import ROOT

FORMATS = ("thing-json", "thing-binary")
every_format = pytest.mark.parametrize("form", FORMATS)
APP = (ROOT / "lib/app.py").read_text()


@every_format
def test_a_value_out_of_range_is_answered_as_failed_and_the_valve_stays(form):
    with World({"payload": form}) as world:
        world.power_on()
        world.command(8001, valve_onoff=7)
        world.command(8001, valve_onoff=0)
        assert world.wake() == "psm"
        assert [(a["taskId"], a["act_result"]) for a in world.answers()] == [(1, 1), (2, 0)]
        assert [event.data["state"] for event in world.of("valve")] == [0]


def test_a_command_that_the_product_does_not_declare_is_refused_by_code():
    with World({"payload": "thing-json"}) as world:
        world.power_on()
        world.aep.command(world.device, '{"taskId":9,"serviceId":8002,"x":1}', data_type="json", ttl=DAY)
        assert world.wake() == "psm"
        (command,) = world.aep.commands(world.device)
        assert (command.status, command.result) == ("FAILED", "4.00")
        assert world.answers() == [] and world.counters() == {"downlink_malformed": 1}
        assert any("service 8002 is not declared" in line for line in world.log())


@every_format
def test_a_reading_beyond_its_declared_range_is_dropped_counted_and_told_and_the_rest_goes_on(form):
    app = APP.replace("int(meter.ask(\"READ\").split(\",\")[2]) / 1000", "-1.5")
    assert app != APP
    with World({"payload": form}, app) as world:
        assert world.power_on() == "psm"
        assert [report["serviceId"] for report in world.reports()] == [2]
        assert world.waiting() == []
        assert world.counters()["entry_failed"] == 1
        assert any("data_report: water_flow -1.5 is not a number 0-" in line for line in world.log())


def test_services_that_are_wrong_end_as_an_error_with_a_hint_and_readings_are_kept(monkeypatch):
    import tests_host.device.world as world_module

    files = world_module.files
    monkeypatch.setattr(world_module, "files", lambda *args: {**files(*args), "a/services.py": b"service(1)\n"})
    world_module.image.cache_clear()
    try:
        with World({"payload": "thing-json"}) as world:
            assert world.power_on() == "psm"
            assert world.record("health")["fault"] == 18
            assert any("E18 BadServices: services.py: NameError" in line for line in world.log())
            assert len(world.waiting()) >= 1 and world.stored() == []
    finally:
        world_module.image.cache_clear()


def commanded(world):
    assert world.power_on() == "psm"
    world.command(8001, valve_onoff=0)
    world.command(8004, frozen_period=6)



@every_format
@pytest.mark.parametrize("how", HOWS)
def test_cut_anywhere_in_a_wake_with_commands_answers_each_once_and_loses_nothing(form, how):
    scene = Scene(before=commanded, config={"payload": form, "report.interval": 21600})
    last = points(scene)[how]
    assert last > (10 if how != PROGRAM else 25)
    step = {PROGRAM: 2, CUT: 2, LOST: 3}[how]
    for n in range(1, last + 1, step):
        with World(scene.config) as world:
            play(world, scene, how, n)


@every_format
def test_in_light_sleep_a_command_is_carried_out_and_answered_at_once(form):
    with World({"payload": form, "power.mode": "sleep"}, power_mode="DRX") as world:
        world.start()
        world.advance(60)
        world.command(8001, valve_onoff=0)
        world.advance(30)
        assert [(a["taskId"], a["act_result"]) for a in world.answers()] == [(1, 0)]
