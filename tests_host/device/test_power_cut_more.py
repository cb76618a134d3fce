"""The power goes anywhere in the wakes that are not the everyday one, or a datagram is lost there: a session forgotten,
light sleep, the recovery ladder, settings on trial, a server's writes and orders; and by chance, beside other faults.
"""

import itertools
import json
import random
import re

import pytest

from tests_host.device.cutting import (
    CUT,
    LOST,
    OF_A_CUT,
    PROGRAM,
    Scene,
    drawn_in_vain,
    numbers,
    play,
    points,
    read_journal,
    settled,
)
from tests_host.device.world import DAY, HOUR, World
from tools.checker import check
from tools.faults import TABLE, act
from tools.faults.player import Chance
from tools.plan import Plan, quicker
from tools.scenario import ROOT
from tools.scenario import play as play_plan


def woken(world):
    """One good wake behind it."""
    assert world.power_on() == "psm"


def valve(world, count=1):
    for n in range(count):
        world.command(8001, valve_onoff=n % 2)


def both(*steps):
    def do(world):
        for step in steps:
            step(world)

    return do


def switch(name, **more):
    return lambda world: world.aep.fault(name, **more)


def heal(*names):
    return lambda world: [world.aep.heal(name) for name in names]


def ask(kind, path, *args, **more):
    return lambda world: world.aep.ask(world.device, kind, path, *args, **more)


def carrier(**changes):
    return lambda world: act.carrier(world.run, **changes)


def carrier_again(world):
    act.carrier_again(world.run)


# -- the scenes --------------------------------------------------------------------------------------------------------

SILENT = ("silent-register", "silent-update", "drop-report")
OLD, NEW = {"report.interval": 6 * HOUR}, {"report.interval": 12 * HOUR}
LIGHT = {"report.interval": HOUR, "power.mode": "sleep"}
READER = (ROOT / "lib/app.py").read_text() + """

from device import commands


@reading("buffered")
def buffered():
    found = commands.read()
    return None if found is None else found[0].decode()
"""


def asleep(world):
    """In light sleep, after the first report."""
    world.start()
    world.advance(90)


def period_is_settled(world):
    settled(world, OLD, NEW)


def reconfigure(**values):
    def write(world):
        config = json.loads(world.flash.read("config.json"))
        config.update({name.replace("_", ".", 1): value for name, value in values.items()})
        world.flash.write("config.json", json.dumps(config).encode())

    return write


def told(world):
    """Results of the server's requests."""
    return [request.result for request in world.aep.requests(world.device)]


def lifetime_is_settled(world):
    """And the platform knows which it is."""
    settled(world, {"lwm2m.lifetime": 86400}, {"lwm2m.lifetime": 43200})
    assert world.aep.registrations(world.device)[-1].lifetime == world.record("settings")["values"]["lwm2m.lifetime"]


def read_once(world):
    """What was buffered is read in order, nothing twice. `read` gives it away: where the power goes before app.py has
    kept it, it is gone (lib/device/commands.py)."""
    read = [json.loads(entry["buffered"])["taskId"] for entry in
            {e["id"]: e for e in world.reports()}.values() if "buffered" in entry]
    cut = [event for event in world.of("power") if event.text == "cut"]
    assert read == [1, 2] or cut and read in ([1], [2]), read
    assert [command.status for command in world.aep.commands(world.device)] == ["DELIVERED"] * 2


def buffer_two(world):
    for task in (1, 2):
        world.aep.command(world.device, json.dumps({"serviceId": 8001, "taskId": task}), data_type="json", ttl=2 * DAY)


def nearly_full_journal(world):
    """The next flush finds no room in journal.0 and turns it."""
    woken(world)
    wake = world.flash.read("state/journal.0")
    world.flash.write("state/journal.0", wake * (2560 // len(wake)))


def turned(world):
    assert world.flash.exists("state/journal.1")


def steps_were_counted(world):
    """What the ladder has done to the radio in this wake was on flash before."""
    began = world.of("boot")[-1].t
    cycled = [event for event in world.of("registered") if event.text == "detached" and event.t >= began]
    assert len(cycled) <= world.record("ladder").get("n", {}).get("radio", 0)


def caps_hold(world):
    ladder = world.record("ladder")["n"]
    assert ladder.get("redial", 0) <= 6 and ladder.get("radio", 0) <= 3 and ladder.get("restart", 0) <= 1


def online(world):
    assert world.aep.device(world.device).online


SCENES = {
    "session-forgotten": Scene(woken, both(valve, switch("forget-session"))),
    "observation-forgotten": Scene(woken, both(valve, switch("forget-observation"))),
    "observed-anew": Scene(woken, both(valve, switch("re-observe", strikes=1))),
    "light-sleep": Scene(asleep, both(valve), config=LIGHT, world={"power_mode": "DRX"}, seconds=HOUR + 30.0),
    "ladder": Scene(woken, both(valve, carrier(pdp_after="cfun")), carrier_again, steps_were_counted, caps_hold),
    "ladder-restart": Scene(woken, both(valve, carrier(pdp_after="restart")), carrier_again, steps_were_counted,
                            caps_hold, wakes=3),
    "back-off": Scene(woken, both(valve, *map(switch, SILENT)), heal(*SILENT)),
    "setting-changed": Scene(woken, lambda world: world.command(8004, frozen_period=12), after=period_is_settled,
                             wakes=2, follow=2),
    "lifetime-written": Scene(woken, ask("write", "/1/0/1", "43200", content_format=0), after=lifetime_is_settled,
                              wakes=2, follow=2),
    "attributes-written": Scene(
        woken, both(ask("observe", "/3/0"), ask("write-attributes", "/3/0", query="pmax=3600")), wakes=2),
    "disabled": Scene(
        both(woken, ask("write", "/1/0/5", str(3 * HOUR // 2), content_format=0), lambda world: world.wake()),
        ask("execute", "/1/0/4"), after=online, config={"report.interval": HOUR}, follow=4),
    "reboot": Scene(woken, both(valve, ask("execute", "/3/0/4"))),
    "buffered": Scene(woken, buffer_two, after=read_once, app=READER, config={"downlink.mode": "buffer"}, wakes=3),
    "journal-turned": Scene(nearly_full_journal, after=turned),
    "first-boot": Scene(follow=1),
    "new-config": Scene(woken, both(valve, reconfigure(report_interval=3 * HOUR, listen_window=500)),
                        after=lambda world: settled(world, {"report.interval": 3 * HOUR, "listen.window": 500})),
    "new-config-on-trial": Scene(
        both(woken, lambda world: world.command(8004, frozen_period=12), lambda world: world.wake()),
        reconfigure(report_interval=3 * HOUR), after=lambda world: settled(world, {"report.interval": 3 * HOUR})),
}


PLACES = {PROGRAM: 6, CUT: 2, LOST: 2}
"""Of each stretch, evenly spread: all of them, some 1,100, take two minutes and were walked when this was written."""


def sweep(scene, how, places):
    count = points(scene)[how]
    step = -(-count // places)
    for n in range(1 + count % step, count + 1, step):
        with World(scene.config, scene.app, **scene.world) as world:
            try:
                play(world, scene, how, n)
            except AssertionError as error:
                raise AssertionError(f"{how} {n}: {error}") from error


@pytest.mark.parametrize("how", PLACES)
@pytest.mark.parametrize("name", SCENES)
def test_stretch_is_cut_anywhere_and_nothing_is_lost(name, how):
    sweep(SCENES[name], how, PLACES[how])


# -- what did not hold once ------------------------------------------------------------------------------------------


def test_setting_under_which_a_report_was_acknowledged_is_kept():
    sweep(Scene(both(woken, lambda world: world.command(8004, frozen_period=12), lambda world: world.wake()),
                after=lambda world: settled(world, NEW)), PROGRAM, 10)


def answered(world):
    return {request.result for request in world.aep.requests(world.device)} == {"2.04"}


def timeout_is_known(world):
    if answered(world):
        assert world.record("session")["server"] == {"off": 7200}


def attributes_are_known(world):
    if answered(world):
        assert world.record("session")["session"]["attr"] == {"3/0": {"pmax": 3600}}


def observation_is_known(world):
    if [request for request in world.aep.requests(world.device) if request.result == "2.05"]:
        assert "4/0" in world.record("session")["session"]["tok"]


@pytest.mark.parametrize(("request_", "check"), [
    (ask("write", "/1/0/5", "7200", content_format=0), timeout_is_known),
    (ask("write-attributes", "/3/0", query="pmax=3600"), attributes_are_known),
    (ask("observe", "/4/0"), observation_is_known),
], ids=["object-1", "attributes", "observation"])
def test_what_a_server_was_told_to_be_done_outlives_a_cut(request_, check):
    sweep(Scene(woken, request_, after=check), PROGRAM, 10)


def test_reading_that_waited_for_the_network_does_not_keep_the_others_waiting():
    """No power cut is needed for it; random cuts found it."""
    with World() as world:
        woken(world)
        world.wake()
        carrier(state=2)(world)  # no coverage
        world.advance(world.module.wakes_at() - world.loop.time())
        world.start(8)
        world.advance(4 * HOUR)
        carrier_again(world)
        ended = world.loop.run_until_complete(world.on).how
        while ended != "psm":
            ended = world.again(ended)
        for _ in range(4):
            world.wake()
        drawn = [event.t for event in world.of("sensor") if event.data["field"] == "flow"]
        assert max(later - earlier for earlier, later in itertools.pairwise(drawn)) < 1.1 * 6 * HOUR


# -- by chance ---------------------------------------------------------------------------------------------------------


class Cuts(Chance):
    """Faults by chance, and in every fifth wake the power goes at a flash program of its first power-on; a wake has 15
    to 40 of them."""

    def before(self, run):
        super().before(run)
        number = len(run.wakes) + 1
        if number % 5 == 0 and not run.module.powered:
            run.module.cut_at_program = random.Random(f"{self.seed}/cuts/{number}").randint(1, 40)


def chance(plan):
    run = play_plan(plan, hooks=Cuts([fault for fault in TABLE if fault.passing], plan.seed))
    for problem in check(run).problems:
        assert drawn_in_vain(run.events, problem) if problem.startswith("lost: flow") else (
            any(re.fullmatch(one, problem) for one in OF_A_CUT)), problem
    assert run.problem is None
    numbers(run)
    read_journal(run.module.flash)
    assert json.loads(run.module.flash.read("boot.rec")[9:])["failed"] == 0
    return run


def test_three_hundred_wakes_with_random_faults_and_cuts_lose_nothing():
    run = chance(quicker(Plan(seed=1, wakes=300)))
    assert len([event for event in run.events.of("power") if event.text == "cut"]) >= 40
    assert len(run.events.of("fault")) > 75


def test_random_cuts_are_the_same_in_both_engines():
    plan = Plan(seed=2, wakes=15, measure_heap=False)
    in_vm, in_cpython = chance(plan), chance(quicker(plan))
    assert in_vm.network.trace_sha256() == in_cpython.network.trace_sha256()
