"""What is kept over a restart and no longer holds: another firmware, other settings, another platform, another tree."""

import json
import zlib
from dataclasses import replace

import pytest

from tests_host.device import world as worlds
from tests_host.device.world import DAY, HOUR, World
from tools import scenario
from tools.ctwing.dtls_own import Options
from tools.tables import ROOT

APP = (ROOT / "lib/app.py").read_text() + """

@command(9990, name=lambda v: True, value=lambda v: True)
def change(name, value):
    settings.change(name, value)
    return {}
"""


def notifications(world):
    return len(world.aep.notifications(world.device))


@pytest.fixture
def whole(monkeypatch):
    """Trees with everything in them."""
    monkeypatch.setattr(scenario, "spared", lambda config: ())
    worlds.image.cache_clear()
    yield
    worlds.image.cache_clear()


def at(count, name, value):
    """An app.py that changes a setting in its `count`-th wake."""
    return APP + f"""
wakes = []

@reading("none")
def hook():
    wakes.append(1)
    if len(wakes) == {count}:
        settings.change({name!r}, {value!r})
"""


def reconfigure(world, **changes):
    config = json.loads(world.flash.read("config.json"))
    config.update({name.replace("__", "."): value for name, value in changes.items()})
    world.flash.write("config.json", json.dumps(config).encode())


def record(values):
    body = json.dumps(values).encode()
    return b"%08x " % zlib.crc32(body) + body


@pytest.mark.parametrize("after", ["qlw", "none"])
def test_an_image_that_has_no_class_lwm2m_any_more(after):
    with World({"report.interval": HOUR, "lwm2m.engine": "modem"}, client="native") as world:
        how = world.power_on()
        world.module.profile = replace(world.module.profile.with_client(after), firmware_version="EC800ECNLCR02A01M04")
        for _ in range(5):
            how = world.again(how)
            assert world.boot_record()["a"] == "good" and world.boot_record()["failed"] == 0
        if after == "qlw":
            assert len([e for e in world.reports() if "water_flow" in e]) == 6 and world.waiting() == []


def test_readings_that_a_thing_model_on_trial_refuses_are_not_lost(whole):
    app = APP.replace('@reading("water_flow", digits=3)', '@reading("water_flow", digits=3, service=70)')
    with World({"report.interval": HOUR}, app) as world:
        world.power_on()
        world.command(9990, name="payload", value="thing-json")
        for _ in range(7):
            world.wake()
        assert world.record("trial") == {} and world.waiting() == []
        assert [p for p in world.verdict().problems if p.startswith("lost")] == []
        assert len([e for e in world.reports() if "water_flow" in e]) == 8


@pytest.mark.parametrize(("a", "b"), [("thing-json", "transparent"), ("thing-binary", "transparent"),
                                      ("transparent", "thing-json")])
def test_a_payload_that_is_changed_in_light_sleep_is_what_goes_up(whole, a, b):
    config = {"report.interval": HOUR, "power.mode": "sleep", "payload": a}
    with World(config, at(2, "payload", b), power_mode="DRX") as world:
        world.start()
        world.advance(4 * HOUR)
        assert world.record("settings")["values"]["payload"] == b
        last = world.run.aep.uplinks(world.device)[-1].payload
        assert last.startswith({"transparent": b'{"serviceId":1,"id":', "thing-json": b'{"serviceId":1,"water'}[b])
        world.cut()


def test_buffer_mode_begins_and_ends_in_light_sleep(whole):
    config = {"report.interval": HOUR, "power.mode": "sleep", "downlink.mode": "push"}
    with World(config, at(2, "downlink.mode", "buffer"), power_mode="DRX") as world:
        world.start()
        world.advance(4 * HOUR)
        assert world.record("settings")["values"]["downlink.mode"] == "buffer"
        world.command(8001, valve_onoff=0)
        world.advance(HOUR)
        assert world.of("valve") == [] and len(world.record("commands")["queue"]) == 1
        world.cut()


def test_a_larger_outbox_is_used_in_light_sleep():
    config = {"report.interval": 60, "power.mode": "sleep", "outbox.limit": 2048}
    with World(config, at(2, "outbox.limit", 65536), power_mode="DRX") as world:
        world.start()
        world.advance(600)
        assert world.record("settings")["values"]["outbox.limit"] == 65536
        for name in ("silent-register", "silent-update", "drop-report"):
            world.aep.fault(name)
        world.advance(3 * HOUR)
        assert world.record("outbox").get("dropped", 0) == 0
        world.cut()


def test_a_tree_without_thing_models_is_not_given_up_for_a_config_that_asks_for_one():
    with World({"report.interval": HOUR}, APP) as world:
        how = world.power_on()
        reconfigure(world, payload="thing-json")
        for _ in range(4):
            how = world.again(how)
            assert world.boot_record()["a"] == "good" and world.boot_record()["failed"] == 0
        reconfigure(world, payload="transparent")
        for _ in range(2):
            how = world.again(how)
        assert world.waiting() == [] and world.verdict().problems == []


def test_a_tree_for_the_modems_client_is_not_given_up_for_auto():
    with World({"report.interval": HOUR, "lwm2m.engine": "modem"}, APP) as world:
        how = world.power_on()
        reconfigure(world, lwm2m__engine="auto")
        for _ in range(4):
            how = world.again(how)
            assert world.boot_record()["a"] == "good" and world.boot_record()["failed"] == 0


READER = APP + """
from device import commands

@reading("buffered")
def look():
    found = commands.read()
    return None if found is None else found[1]
"""


def test_a_command_that_was_kept_in_push_mode_is_not_lost_in_buffer_mode():
    with World({"report.interval": HOUR}, READER) as world:
        world.power_on()
        world.command(8001, valve_onoff=0)
        world.advance(world.module.wakes_at() - world.loop.time())
        world.start(8)
        while not world.record("commands").get("queue"):
            world.advance(0.01)
        world.advance(0.03)  # 2.04 is on its way
        world.cut()
        reconfigure(world, downlink__mode="buffer")
        world.power_on(3)
        world.wake()
        assert [event.data["state"] for event in world.of("valve")] == [0]
        assert world.verdict().problems == []


def test_a_task_of_another_platform_is_no_repeat():
    with World({"report.interval": HOUR}, APP) as world:
        world.power_on()
        world.command(8001, valve_onoff=0)
        world.wake()
        assert len(world.of("valve")) == 1
        before = bytes(world.flash.image)
    with World({"report.interval": HOUR}, APP, seed=2) as world:
        world.flash.image[:] = before
        reconfigure(world, server__host="221.229.214.202")
        world.power_on()
        world.command(8001, valve_onoff=0)  # its task is 1, as the other's was
        world.wake()
        world.wake()
        assert len(world.of("valve")) == 1


@pytest.mark.parametrize("days", [0, 30])
def test_pmax_holds_after_a_clock_that_was_ahead_for_a_while(days):
    with World({"report.interval": HOUR}, APP) as world:
        world.power_on()
        world.aep.ask(world.device, "write-attributes", "/3/0", query="pmax=7200")
        world.aep.ask(world.device, "observe", "/3/0")
        world.wake()
        if days:
            saved = world.record("session")
            saved["session"]["marks"]["3/0"][0] += days * DAY  # told while the clock was ahead
            world.flash.write("state/session.rec", record(saved))
        before = len(world.aep.notifications(world.device))
        for _ in range(20):
            world.wake()
        assert len(world.aep.notifications(world.device)) - before >= 9


def test_a_listening_window_that_was_learned_once_is_forgotten():
    with World({"report.interval": HOUR}, APP, protocol="mqtt") as world:
        world.power_on()
        saved = world.record("session")
        saved["gap"] = 3000
        world.flash.write("state/session.rec", record(saved))
        for _ in range(24):
            world.wake()
        assert world.record("session")["gap"] < 400


def test_a_session_under_a_suite_that_is_not_allowed_any_more_is_not_gone_on_with():
    with World({"report.interval": HOUR, "dtls.suites": "ccm8+cbc"}, APP, dtls=Options(suites=(0xAE,))) as world:
        world.power_on()
        reconfigure(world, dtls__suites="ccm8")
        reports = len(world.reports())
        world.wake()
        world.wake()
        assert len(world.reports()) == reports


def test_what_one_server_wrote_of_object_1_does_not_hold_for_another():
    with World({"report.interval": HOUR}, APP) as world:
        world.power_on()
        world.aep.ask(world.device, "write", "/1/0/3", "60", content_format=0)
        world.wake()
        reconfigure(world, server__host="221.229.214.202")
        world.wake()
        world.aep.ask(world.device, "observe", "/3/0")
        world.wake()
        before = notifications(world)
        for _ in range(4):
            world.wake()
        assert world.record("session")["server"] == {} and notifications(world) == before


def test_settings_of_an_older_tree_that_go_together_no_more_give_way_to_a_config_that_is_good():
    with World({"report.interval": HOUR}, APP) as world:
        world.power_on()
        saved = world.record("settings")
        saved["table"] = 1
        saved["values"].update({"protocol": "mqtt", "payload": "thing-binary", "device.id": "1", "device.token": "1"})
        world.flash.write("state/settings.rec", record(saved))
        world.wake()
        assert not [line for line in world.log() if "waiting for /usr/config.json" in line]


def test_a_path_that_another_tree_let_be_observed_does_not_end_this_one():
    with World({"report.interval": HOUR}, APP) as world:
        how = world.power_on()
        saved = world.record("session")
        saved["session"]["tok"]["6/0"] = "aabb"
        world.flash.write("state/session.rec", record(saved))
        for _ in range(3):
            how = world.again(how)
            assert world.boot_record()["failed"] == 0


@pytest.mark.parametrize("cid", [8, 0])
def test_a_new_address_under_dtls_is_told_though_nothing_is_to_be_reported(cid):
    config = {"report.interval": 3 * HOUR, "power.mode": "sleep"}
    with World(config, power_mode="DRX", dtls=Options(cid=cid)) as world:
        world.start()
        world.advance(1000)
        world.module.board.radio.drop_pdp()
        said = len(world.log())
        while not [line for line in world.log()[said:] if "cycle:session" in line]:
            world.advance(1)
        world.command(8001, valve_onoff=0)
        world.advance(20)
        assert len(world.answers()) == 1
        world.cut()

