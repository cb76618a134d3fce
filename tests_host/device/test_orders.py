"""Orders of the server and of app.py: reboot, update, deregistration, the server left alone for a while."""

import pytest

from tests_host.device.test_cycle import counting
from tests_host.device.world import DAY, HOUR, World

LEAVE = counting(
    "from device import orders\n\n@command(1, order=one_of('leave', 'reboot', 'update'))\n"
    "def order(order):\n    orders.ask(order)\n"
)


def ordered(path, when="next"):
    """A world whose server has executed `path` in the second wake."""
    world = World()
    assert world.power_on() == "psm"
    world.aep.ask(world.device, "execute", path)
    return world


def log(world, text):
    return [line for line in world.log() if text in line]


def test_reboot_is_answered_first_then_the_module_restarts_and_goes_on():
    with ordered("/3/0/4") as world:
        assert world.wake() == "restart"
        (request,) = world.aep.requests(world.device)
        assert request.result == "2.04"
        assert world.power_on(2) == "psm"
        assert world.wake() == "psm"
        assert world.verdict().problems == []
        assert len(world.aep.registrations(world.device)) == 1


def test_update_trigger_brings_an_update_in_the_same_wake():
    with ordered("/1/0/8") as world:
        mark = world.network.mark()
        assert world.wake() == "psm"
        posts = [d for d in world.network.trace[mark:] if d.direction == "up" and d.data[1] == 2]
        assert len(posts) == 2
        assert world.verdict().problems == []


def test_disable_deregisters_and_leaves_the_server_alone_for_so_long():
    with World({"report.interval": HOUR}) as world:
        world.power_on()
        world.aep.ask(world.device, "write", "/1/0/5", str(3 * HOUR), content_format=0)
        world.aep.ask(world.device, "execute", "/1/0/4")
        world.wake()
        assert not world.aep.device(world.device).online
        quiet = []
        for _ in range(4):
            mark = world.network.mark()
            assert world.wake() == "psm"
            quiet.append(world.network.mark() == mark)
        assert quiet[:2] == [True, True] and not quiet[-1]
        assert world.aep.device(world.device).online
        assert world.waiting() == []
        assert world.verdict().problems == []


def test_app_deregisters_and_the_next_wake_registers_again():
    with World(app=LEAVE) as world:
        world.power_on()
        world.command(1, order="leave")
        world.wake()
        assert len(world.answers()) == 1 and not world.aep.device(world.device).online
        assert [end.reason for end in world.aep.registrations(world.device)] == ["deregistered"]
        world.wake()
        assert world.aep.device(world.device).online and world.waiting() == []


def test_app_reboots_after_its_answer_has_gone():
    with World(app=LEAVE) as world:
        world.power_on()
        world.command(1, order="reboot")
        assert world.wake() == "restart"
        assert len(world.answers()) == 1
        assert world.power_on(2) == "psm"


def test_lifetime_that_the_server_writes_is_told_by_update_and_kept_after_the_next_report():
    with World() as world:
        world.power_on()
        world.aep.ask(world.device, "write", "/1/0/1", "43200", content_format=0)
        world.wake()
        assert world.aep.registrations(world.device)[-1].lifetime == 43200
        assert world.record("trial")["set"] == {"lwm2m.lifetime": 43200}
        world.wake()
        assert world.record("trial") == {}
        assert world.record("settings")["values"]["lwm2m.lifetime"] == 43200


def test_attributes_that_the_server_writes_outlive_psm_and_bring_a_notification_when_the_period_ends():
    with World({"report.interval": HOUR}) as world:
        world.power_on()
        world.aep.ask(world.device, "write-attributes", "/3/0", query="pmax=7200")
        world.wake()
        before = len(world.aep.notifications(world.device))
        for _ in range(6):
            world.wake()
        assert len(world.aep.notifications(world.device)) - before in (2, 3)
        assert world.verdict().problems == []


@pytest.mark.parametrize("mode", ["needed", "each_exchange"])
def test_the_guides_way_updates_after_each_exchange(mode):
    with World({"lwm2m.update": mode}) as world:
        world.power_on()
        for _ in range(3):
            mark = world.network.mark()
            world.command(8001, valve_onoff=1)
            world.wake()
            posts = [d for d in world.network.trace[mark:] if d.direction == "up" and d.data[1] == 2]
            assert len(posts) == (1 if mode == "needed" else 3)
        assert world.verdict().problems == []


def test_daily_meter_registers_each_day_without_an_error_and_asks_once_for_a_longer_lifetime():
    with World({"report.interval": DAY}) as world:
        world.power_on()
        for _ in range(5):
            world.wake()
        assert world.verdict().problems == []
        assert not log(world, "ERROR")
        assert len(world.aep.registrations(world.device)) == 6
        refused = [event for event in world.of("rejected") if event.data["code"] == "4.00"]
        assert len(refused) == 1


@pytest.mark.parametrize(("what", "registrations"), [("honoured", 1), ("cut", 5)])
def test_daily_meter_on_a_platform_that_takes_longer_lifetimes(what, registrations):
    with World({"report.interval": DAY}) as world:
        world.aep.fault("long-lifetime", value=what)
        world.power_on()
        for _ in range(4):
            world.wake()
        assert world.verdict().problems == []
        assert len(world.aep.registrations(world.device)) == registrations


def test_reports_without_confirmation_go_up_and_are_not_waited_for():
    with World({"report.type": "non"}) as world:
        world.power_on()
        for _ in range(3):
            assert world.wake() == "psm"
        uplinks = world.aep.uplinks(world.device)
        assert {uplink.kind for uplink in uplinks} == {"NON"}
        assert len([entry for entry in world.reports() if "water_flow" in entry]) == 4
        assert world.waiting() == []


def test_supply_that_breaks_down_under_every_attach_is_given_time():
    """A battery near its end: the module resets whenever it transmits. It must not be drained by trying on."""
    with World() as world:
        for _ in range(12):
            began = world.loop.time()
            world.start(3)
            for _ in range(60):
                world.advance(0.1)
                if [event for event in world.of("rrc") if event.t > began]:
                    break
            else:
                break
            world.cut()
        assert 4 <= world.module.boots <= 6
        assert log(world, "power-ons came to nothing; the next try is in 900 s")
        searched = world.milliseconds("searching")
        world.advance(890)
        assert world.milliseconds("searching") == searched
        world.advance(3 * HOUR)  # the battery has recovered
        assert len(world.reports()) >= 1


def test_somebody_at_the_power_key_is_not_kept_waiting():
    with World() as world:
        for _ in range(8):
            world.start(1)
            world.advance(3)
            world.cut()
        assert not log(world, "came to nothing")


def test_notifications_cost_no_more_than_one_a_minute_however_short_the_longest_period():
    with World({"report.interval": HOUR}) as world:
        world.power_on()
        world.aep.ask(world.device, "write-attributes", "/3/0", query="pmax=1")
        world.wake()
        for _ in range(3):
            before, uplinks = len(world.aep.notifications(world.device)), len(world.aep.uplinks(world.device))
            assert world.wake() == "psm"
            assert len(world.aep.notifications(world.device)) - before <= 1
            assert len(world.aep.uplinks(world.device)) > uplinks
        assert world.verdict().problems == []


def test_wakes_with_nothing_to_do_are_no_sign_of_a_weak_battery():
    with World({"report.interval": DAY}, tau_limits_s=(0, HOUR)) as world:
        world.power_on()
        for _ in range(30):
            assert world.wake() == "psm"
        assert not log(world, "came to nothing")
        assert len([entry for entry in world.reports() if "water_flow" in entry]) == 2
