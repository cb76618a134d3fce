"""How long a device that was refused waits before it tries again, and what ends that."""

import json

import pytest

from tests_host.device.world import HOUR, World

WINDOW = 300  # s without a heartbeat after which the platform forgets a connection (ctwing.md §4.2)


def at(world, text):
    """Times of log lines."""
    return [event.t for event in world.of("log") if text in event.text]


def test_a_login_that_is_still_counted_is_tried_again_once_the_platform_has_forgotten_it():
    with World({"power.mode": "sleep", "report.interval": 6 * HOUR}, protocol="tcp", power_mode="DRX") as world:
        world.aep.fault("refuse-login", world.device, value=4)
        world.start()
        world.advance(HOUR)
        first, second, third = at(world, "E43 LoggedIn")[:3]
        assert WINDOW < second - first < 1.5 * WINDOW and third - second > 2 * WINDOW
        world.aep.heal("refuse-login", world.device)
        world.advance(HOUR)
        assert world.waiting() == []
        world.cut()


@pytest.mark.parametrize("changed", [True, False])
def test_what_waits_a_day_for_a_person_is_tried_as_soon_as_somebody_has_changed_the_settings(changed):
    with World({"report.interval": HOUR}, protocol="mqtt") as world:
        world.aep.fault("refuse-connect", world.device, value=4)
        assert world.power_on() == "psm"
        assert len(at(world, "E21 NotProvisioned")) == 1
        world.aep.heal("refuse-connect", world.device)
        if changed:
            config = json.loads(world.flash.read("config.json"))
            world.flash.write("config.json", json.dumps({**config, "report.batch": 2}).encode())
        world.wake()
        assert (world.waiting() == []) is changed
        assert (world.record("health")["not_before"] == 0) is changed


def test_settings_that_stay_as_they_are_end_no_back_off_twice():
    """A config.json is new once."""
    with World({"report.interval": HOUR}, protocol="mqtt") as world:
        assert world.power_on() == "psm"
        world.aep.fault("refuse-connect", world.device, value=4)
        config = json.loads(world.flash.read("config.json"))
        world.flash.write("config.json", json.dumps({**config, "report.batch": 2}).encode())
        for _ in range(5):
            world.wake()
        assert len(at(world, "E21 NotProvisioned")) == 1
