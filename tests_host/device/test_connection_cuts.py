"""MQTT and TCP: the power goes at every flash program and at every segment of a wake with a command, or that segment is
lost: nothing is lost, no packet id stands for two messages, the command is answered once."""

import pytest

from tests_host.device.cutting import CUT, LOST, PROGRAM, Scene, play, points
from tests_host.device.world import World


def registered(world):
    """One undisturbed wake, then a command waits."""
    assert world.power_on() == "psm"
    world.command(8001, valve_onoff=0)


# Counts as failed where the power went while the valve moved (DESIGN §3).
INTERRUPTED = (r"command 8001 task 1 was answered .*'act_result': 1, .*",)
# TCP 1.0 acknowledges nothing, so a report whose evidence was lost comes again.
AGAIN = (r"doubled: id \d+ came again though its first message was acknowledged",)
# Nor does a device acknowledge a command there: the platform counts it as delivered once it was sent (ctwing.md §4.1).
UNACKNOWLEDGED = (r"command 8001 task 1: 0 answers", r"the valve was to move \[0\] and moved \[\]")


WAYS = {
    "mqtt": ("mqtt", {}, ()),
    "mqtt, native": ("mqtt", {"mqtt.engine": "native"}, ()),
    "tcp": ("tcp", {}, AGAIN + UNACKNOWLEDGED),
    "tcp 1.1": ("tcp", {"payload": "thing-binary", "tcp.version": "1.1"}, ()),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("how", [PROGRAM, CUT, LOST])
def test_a_wake_with_a_command_cut_or_disturbed_anywhere_ends_well(way, how):
    protocol, config, more = WAYS[way]
    case = Scene(before=registered, allowed=INTERRUPTED + more, config=config, world={"protocol": protocol})
    count = points(case)[how]
    assert count >= 16
    for n in range(1, count + 1):
        with World(case.config, case.app, **case.world) as world:
            play(world, case, how, n)


@pytest.mark.parametrize("protocol", ["mqtt", "tcp"])
def test_a_first_wake_cut_at_every_flash_program_ends_well(protocol):
    case = Scene(allowed=AGAIN if protocol == "tcp" else (), world={"protocol": protocol})
    for n in range(1, points(case)[PROGRAM] + 1):
        with World(case.config, case.app, **case.world) as world:
            play(world, case, PROGRAM, n)
