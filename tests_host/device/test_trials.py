"""A protocol or a token that is changed by command, on trial: one that does not work is taken back soon, and no reading
is lost."""

import sys
from itertools import pairwise

import pytest

from tests_host.device.world import HOUR, World
from tools.tables import ROOT

APP = (ROOT / "lib/app.py").read_text() + """

@command(9990, protocol=one_of("tcp", "lwm2m"))
def speak(protocol):
    settings.change("protocol", protocol)
    return {"protocol": protocol}

@command(9991, token=one_of("wrong"))
def learn(token):
    settings.change("device.token", token)
    return {"token": token}
"""
CONFIG = {"report.interval": HOUR, "device.id": "1", "device.token": "t"}


@pytest.mark.parametrize("mode", ["psm", "sleep"])
def test_a_protocol_that_this_tree_lacks_is_taken_back_and_the_readings_of_the_time_arrive(mode, monkeypatch):
    monkeypatch.delitem(sys.modules, "aep.tcp", raising=False)  # CPython's `from aep import tcp` finds the host's
    with World({**CONFIG, "power.mode": mode}, APP, power_mode="PSM" if mode == "psm" else "DRX") as world:
        world.start()
        world.advance(120)
        world.command(9990, protocol="tcp")
        for _ in range(8 if mode == "psm" else 1):
            world.wake() if mode == "psm" else world.advance(8 * HOUR)
        assert [line for line in world.log() if "built without protocol tcp" in line]
        assert world.record("trial") == {} and world.waiting() == []
        flows = [entry["t"] for entry in world.reports() if "water_flow" in entry]
        assert len(flows) == 9 and all(0.9 * HOUR < b - a < 1.1 * HOUR for a, b in pairwise(flows))
        assert world.verdict().problems == []


def test_a_token_that_the_platform_refuses_is_taken_back_within_hours_and_not_days():
    with World({"report.interval": HOUR}, APP, protocol="mqtt") as world:
        assert world.power_on() == "psm"
        world.command(9991, token="wrong")
        for _ in range(6):
            world.wake()
        assert len([line for line in world.log() if "E21 NotProvisioned" in line]) == 2
        assert world.record("trial") == {} and world.waiting() == []
        assert world.verdict().problems == []
