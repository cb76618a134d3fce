"""The power goes at every flash program and every datagram, and every datagram is lost once, of the wakes that are not
the everyday one: a session forgotten, light sleep, the recovery ladder, settings on trial, a server's writes and orders.
"""

import json

import pytest

from tests_host.device.cutting import HOWS, Scene, play, points, settled
from tests_host.device.world import HOUR, World
from tools.faults import act
from tools.scenario import ROOT


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


def period_is_kept(world):
    """A command that was answered "done" has changed the setting for good."""
    (answer,) = {entry["id"]: entry for entry in world.answers()}.values()
    settled(world, *([NEW] if answer["act_result"] == 0 else [OLD, NEW]))


def reconfigure(**values):
    def write(world):
        config = json.loads(world.flash.read("config.json"))
        config.update({name.replace("_", ".", 1): value for name, value in values.items()})
        world.flash.write("config.json", json.dumps(config).encode())

    return write


def told(world):
    """Results of the server's requests."""
    return [request.result for request in world.aep.requests(world.device)]


def lifetime_is_kept(world):
    old, new = {"lwm2m.lifetime": 86400}, {"lwm2m.lifetime": 43200}
    settled(world, *([new] if told(world) == ["2.04"] else [old, new]))
    assert world.aep.registrations(world.device)[-1].lifetime == world.record("settings")["values"]["lwm2m.lifetime"]


def read_once(world):
    """What was buffered is read in order, nothing twice."""
    read = [entry["buffered"] for entry in {e["id"]: e for e in world.reports()}.values() if "buffered" in entry]
    assert read in (["one", "two"], ["one"], ["two"]), read
    assert [command.status for command in world.aep.commands(world.device)] == ["DELIVERED"] * 2


def buffer_two(world):
    for text in ("one", "two"):
        world.aep.command(world.device, text, ttl=2 * 86400)


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
    "light-sleep": Scene(asleep, both(valve), config=LIGHT, world={"power_mode": "DRX"}, seconds=HOUR + 30.0),
    "ladder": Scene(woken, both(valve, carrier(pdp_after="cfun")), carrier_again, steps_were_counted, caps_hold),
    "ladder-restart": Scene(woken, both(valve, carrier(pdp_after="restart")), carrier_again, steps_were_counted,
                            caps_hold, wakes=3),
    "back-off": Scene(woken, both(valve, *map(switch, SILENT)), heal(*SILENT)),
    "setting-changed": Scene(woken, lambda world: world.command(8004, frozen_period=12), after=period_is_kept, wakes=2),
    "lifetime-written": Scene(woken, ask("write", "/1/0/1", "43200", content_format=0), after=lifetime_is_kept,
                              wakes=2),
    "attributes-written": Scene(
        woken, both(ask("observe", "/3/0"), ask("write-attributes", "/3/0", query="pmax=3600")), wakes=2),
    "disabled": Scene(
        woken, both(ask("write", "/1/0/5", str(3 * HOUR // 2), content_format=0), ask("execute", "/1/0/4")),
        after=online, config={"report.interval": HOUR}, follow=4),
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


def sweep(scene, how):
    for n in range(1, points(scene)[how] + 1):
        with World(scene.config, scene.app, **scene.world) as world:
            try:
                play(world, scene, how, n)
            except AssertionError as error:
                raise AssertionError(f"{how} {n}: {error}") from error


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("name", SCENES)
def test_every_place(name, how):
    sweep(SCENES[name], how)
