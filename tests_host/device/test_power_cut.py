"""The power goes at every single flash program of a wake, then comes back: nothing is lost, invented or numbered twice,
every command is answered once. The truth is the world's: what the meter drew, what the platform stored
(tools/checker.py).
"""
import re

import pytest

from tests_host.device.world import World

APPROVED = re.compile(
    # Nobody can know whether the platform got a report whose acknowledgement was not consumed: it comes again.
    r"doubled: id \d+ came again though its first message was acknowledged"
    # Started before the cut, so not run again (DESIGN §3); the checker wants 0.
    r"|command 8001 task 1 was answered .*'act_result': 1, .*"
    # Drawn in the instant before it was stored.
    r"|lost: flow \d+ drawn at \d+ is nowhere"
    # Four power-ons that died: the supply is given time (device/trouble.py).
    r"|1 readings or handlers failed; the first: ERROR:trouble:4 power-ons came to nothing; .*"
)


def wakes(world, cut_at, before):
    """The wakes of one case: `before` undisturbed ones, one that is cut, what follows. True if the power went."""
    for _ in range(before):
        world.again("psm") if world.module.boots else world.power_on()
        world.command(8001, valve_onoff=len(world.run.given) % 2)
    began = world.loop.time()
    how = world.wake(cut_at=cut_at) if before else world.power_on(cut_at=cut_at)
    drawn = [event for event in world.of("sensor") if event.data["field"] == "flow" and event.t >= began]
    noted = [event for event in world.of("log") if "readings due" in event.text and event.t >= began]
    ended = world.loop.time()
    if how == "cut":
        assert world.power_on(3) == "psm"
    assert world.wake() == "psm"
    for problem in world.verdict().problems:
        assert APPROVED.fullmatch(problem), problem
        if problem.startswith("lost"):
            assert how == "cut"
            assert len(drawn) == 1
            assert not noted, f"{problem}, after it was said to be stored, before {ended}"
        if problem.startswith("doubled"):
            assert how == "cut"
    return how == "cut"


def sweep(before, first, last):
    """Cases first…last-1; the number of cases in which the power went."""
    went = 0
    for cut_at in range(first, last):
        with World() as world:
            cut = wakes(world, cut_at, before)
            went += cut
            answers = [answer["id"] for answer in world.answers()]
            assert len({*answers}) == len(world.run.given) == before
            assert world.record("commands").get("queue", []) == []
            assert world.waiting() == []
            if not cut:
                break
    return went


@pytest.mark.parametrize("part", range(4))
def test_cut_at_every_flash_program_of_the_first_wake(part):
    assert sweep(0, 1 + 15 * part, 16 + 15 * part) >= (15, 15, 1, 0)[part]


@pytest.mark.parametrize("part", range(4))
def test_cut_at_every_flash_program_of_a_resumed_wake_with_a_command(part):
    assert sweep(1, 1 + 15 * part, 16 + 15 * part) >= (15, 15, 1, 0)[part]


def test_cut_again_and_again_at_the_same_place_still_ends_well():
    """A weak battery: each attempt dies at the same point of the wake, then one does not."""
    for cut_at in range(1, 40, 3):
        with World() as world:
            ends = [world.power_on(3, cut_at=cut_at) for _ in range(4)]
            assert world.power_on(3) == "psm"
            if world.waiting():  # acknowledged, and what says so is on flash with the next entry
                assert world.wake() == "psm"
            problems = [p for p in world.verdict().problems if not APPROVED.fullmatch(p)]
            assert problems == [], (cut_at, ends)
            assert world.waiting() == []


def test_supply_cut_at_any_moment_of_a_wake_is_survived():
    """Between flash programs, while the module talks to the platform."""
    for n in range(30):
        with World() as world:
            assert world.power_on() == "psm"
            world.command(8001, valve_onoff=0)
            world.advance(world.module.wakes_at() - world.loop.time())
            world.start(8)
            world.advance(1.6 + 0.05 * n)
            if not world.on.done():
                world.cut()
            assert world.power_on(3) == "psm"
            assert world.wake() == "psm"
            problems = [p for p in world.verdict().problems if not APPROVED.fullmatch(p)]
            answers = {answer["id"]: answer for answer in world.answers()}
            assert len(answers) == 1
            (answer,) = answers.values()
            if answer["act_result"]:  # cut between the mark and the valve
                assert problems in ([], ["the valve was to move [0] and moved []"])
            else:
                assert problems == []


def test_message_and_observe_numbers_go_on_over_cuts():
    """RFC 7252 §4.4 and RFC 7641 §3.4: seen from the platform, none comes again after a cut."""
    with World() as world:
        how = world.power_on(3, cut_at=30)
        for cut_at in (None, 20, None, 25, None, 30, None):
            how = world.again(how, cut_at=cut_at)
            world.command(8001, valve_onoff=1)
        mids = [d.data[2:4] for d in world.network.trace if d.direction == "up" and d.data[0] & 0x30 == 0]
        assert len(mids) >= 12
        kept = {}
        for datagram in world.network.trace:
            if datagram.direction == "up" and datagram.data[0] & 0x30 == 0:  # confirmable: ours
                assert kept.setdefault(datagram.data[2:4], datagram.data) == datagram.data
