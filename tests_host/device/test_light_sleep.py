"""Light sleep with the session kept (power.mode sleep, a DRX product): the platform reaches the device at any time, and
what that costs in flash, radio and current.
"""

import pytest

from tests_host.device.world import HOUR, World

SLEEP = {"report.interval": HOUR, "power.mode": "sleep"}


def at_rest(**more):
    """A device asleep a minute after its first report."""
    world = World({**SLEEP, **more.pop("config", {})}, power_mode="DRX", **more)
    world.start()
    world.advance(60)
    assert len(world.reports()) >= 1
    return world


def requests(world, mark):
    """Method codes of what the device asked since."""
    return [d.data[1] for d in world.network.trace[mark:] if d.direction == "up" and 0 < d.data[1] < 32]


def test_command_is_delivered_at_once_and_answered_within_seconds():
    with at_rest(config={"lwm2m.keepalive": 45}) as world:
        world.advance(1800)
        given = world.loop.time()
        world.command(8001, valve_onoff=0)
        world.advance(10)
        assert [event.data["state"] for event in world.of("valve")] == [0]
        assert len(world.answers()) == 1
        assert world.answers()[0]["uplink"].t - given < 5
        world.cut()
        assert world.verdict().problems == []


def test_signs_of_life_keep_the_way_open_behind_nat_and_cost_next_to_no_flash():
    with at_rest(config={"lwm2m.keepalive": 45, "report.interval": 24 * HOUR}) as world:
        before, mark = world.module.programs, world.network.mark()
        world.advance(10 * HOUR)
        assert len(requests(world, mark)) > 600
        assert world.module.programs - before < 600
        assert len({d.local for d in world.network.trace}) == 1
        world.cut()


def test_without_signs_of_life_a_command_that_the_nat_has_dropped_goes_with_the_next_report():
    with at_rest() as world:
        world.advance(600)
        world.command(8001, valve_onoff=0)
        world.advance(HOUR)
        assert len(world.answers()) == 1
        world.cut()
        assert world.verdict().problems == []


def test_reports_need_no_update_until_the_lifetime_asks_for_one():
    with at_rest(config={"lwm2m.lifetime": 86400}) as world:
        mark = world.network.mark()
        world.advance(10 * HOUR)
        assert requests(world, mark) == []
        assert len([entry for entry in world.reports() if "water_flow" in entry]) == 11
        world.advance(60 * HOUR)
        assert set(requests(world, mark)) == {2}
        assert len(world.aep.registrations(world.device)) == 1
        world.cut()
        assert world.verdict().problems == []


def test_lifetime_shorter_than_the_interval_is_renewed_in_between():
    with at_rest(config={"lwm2m.lifetime": 1200, "report.interval": 6 * HOUR}) as world:
        world.advance(12 * HOUR)
        assert len(world.aep.registrations(world.device)) == 1
        assert world.aep.device(world.device).online
        world.cut()


def test_module_sleeps_while_it_listens():
    with at_rest() as world:
        world.advance(10 * HOUR)
        assert world.milliseconds("sleep") / 1000 > 0.99 * 10 * HOUR
        world.cut()


def test_new_address_in_sleep_is_told_to_the_platform_within_minutes():
    with at_rest() as world:
        mark = world.network.mark()
        world.module.board.radio.drop_pdp()
        world.advance(90)
        assert requests(world, mark) == [2]
        world.command(8001, valve_onoff=0)
        world.advance(20)
        assert len(world.answers()) == 1
        world.cut()


def test_network_that_goes_on_dropping_the_call_is_not_chased_for_ever():
    with at_rest() as world:
        mark = world.network.mark()
        for _ in range(20):
            if world.module.board.radio.ready:
                world.module.board.radio.drop_pdp()
            world.advance(150)
        assert 2 <= len(requests(world, mark)) <= 9
        world.advance(HOUR)
        world.cut()
        assert world.waiting() == []
        assert world.verdict().problems == []


def test_platform_that_comes_back_is_found_before_the_next_report():
    with World({**SLEEP, "report.interval": 12 * HOUR}, platform=False, power_mode="DRX") as world:
        world.start()
        world.advance(600)
        assert world.waiting() != []
        world.platform_on()
        world.advance(HOUR)
        assert world.waiting() == []
        world.command(8001, valve_onoff=0)
        world.advance(10)
        assert len(world.answers()) <= 1
        world.cut()


@pytest.mark.parametrize("engine", ["cpython", "vm"])
def test_several_commands_in_a_row_are_each_carried_out_once(engine):
    with at_rest(config={"lwm2m.keepalive": 45}, engine=engine) as world:
        for n in range(5):
            world.command(8001, valve_onoff=n % 2)
            world.advance(3)
        world.advance(60)
        assert [event.data["state"] for event in world.of("valve")] == [0, 1, 0, 1, 0]
        assert len(world.answers()) == 5
        world.cut()
        assert world.verdict().problems == []


def test_longest_period_of_an_observer_is_kept_to_between_reports():
    with at_rest(config={"report.interval": 12 * HOUR, "lwm2m.keepalive": 45}) as world:
        world.aep.ask(world.device, "write-attributes", "/3/0", query="pmax=3600")
        world.advance(300)
        before = len(world.aep.notifications(world.device))
        world.advance(8 * HOUR)
        assert len(world.aep.notifications(world.device)) - before in (7, 8)
        world.cut()


@pytest.mark.parametrize(("path", "seen"), [("/1/0/8", {2}), ("/1/0/4", {4})])
def test_what_the_server_executes_is_done_within_half_a_minute(path, seen):
    """Update (a POST), or deregistration (a DELETE)."""
    with at_rest(config={"report.interval": 12 * HOUR}) as world:
        mark = world.network.mark()
        world.aep.ask(world.device, "execute", path)
        world.advance(30)
        assert set(requests(world, mark)) == seen
        world.cut()


def test_reboot_that_the_server_executes_is_done_within_half_a_minute():
    with at_rest(config={"report.interval": 12 * HOUR, "lwm2m.keepalive": 45}) as world:
        world.advance(600)
        world.aep.ask(world.device, "execute", "/3/0/4")
        world.advance(30)
        assert world.module.board is None or world.module.ended is not None
        assert world.aep.requests(world.device)[-1].result == "2.04"


def test_disabled_server_is_left_alone_although_signs_of_life_are_due():
    with at_rest(config={"report.interval": 12 * HOUR, "lwm2m.keepalive": 45}) as world:
        world.aep.ask(world.device, "write", "/1/0/5", str(3 * HOUR), content_format=0)
        world.aep.ask(world.device, "execute", "/1/0/4")
        world.advance(300)
        assert not world.aep.device(world.device).online
        mark = world.network.mark()
        world.advance(2 * HOUR)
        assert world.network.mark() == mark
        world.advance(12 * HOUR)
        assert world.aep.device(world.device).online
        world.cut()


def test_lifetime_that_the_server_writes_is_told_before_the_next_report():
    with at_rest(config={"report.interval": 12 * HOUR, "lwm2m.keepalive": 45}) as world:
        world.advance(600)
        world.aep.ask(world.device, "write", "/1/0/1", "43200", content_format=0)
        world.advance(60)
        assert world.aep.registrations(world.device)[-1].lifetime == 43200
        world.cut()
