"""mqtt.engine: the firmware's client is taken by itself only where this very image was seen to tell the truth."""

from dataclasses import replace

import pytest

from tests_host.device.world import HOUR, World
from tools.deployment import STREAM_ADDRESS
from tools.tables import ROOT

TENANT = "2000033383.non-nb.ctwing.cn"
APP = (ROOT / "lib/app.py").read_text() + """

@command(9990, engine=one_of("auto", "native", "python"))
def engine_is(engine):
    settings.change("mqtt.engine", engine)
    return {"engine": engine}


@command(9991)
def moves():
    settings.change("server.host", "{TENANT}")
    return {}
""".replace("{TENANT}", TENANT)
OURS, FIRMWARE = 3600, 0  # the keep-alive in CONNECT: what the setting says, and none, for our own pings


def clients(world):
    """Who spoke in each connection, by the keep-alive that it gave [MQTT-3.1.2.10]."""
    packets = [row.raw for row in world.run.aep.trace(world.device) if row.direction == "up" and row.raw[0] == 0x10]
    return [int.from_bytes(raw[raw.index(b"MQTT") + 6 :][:2], "big") for raw in packets]


def probes(world):
    return [uplink for uplink in world.run.aep.uplinks(world.device) if uplink.topic == "probe"]


def image_changes(world, **changes):
    world.module.profile = replace(world.module.profile, **changes)


@pytest.fixture
def world():
    with World({"report.interval": HOUR, "mqtt.engine": "auto"}, APP, protocol="mqtt") as made:
        image_changes(made, umqtt_tells=True)
        assert made.power_on() == "psm"
        yield made
        assert made.verdict().problems == []


def told(world, engine):
    """By a command, which the next wake takes and the one after it acts on."""
    world.command(9990, engine=engine)
    world.wake()
    world.wake()


def test_auto_takes_the_firmwares_client_once_it_was_proven(world):
    assert clients(world) == [OURS] and not probes(world)
    told(world, "native")
    assert clients(world)[-1] == FIRMWARE and len(probes(world)) == 2
    told(world, "auto")
    world.wake()
    assert clients(world)[-2:] == [FIRMWARE, FIRMWARE] and len(probes(world)) == 2


def test_auto_does_not_take_one_that_does_not_tell_the_truth(world):
    image_changes(world, umqtt_tells=False)
    told(world, "native")
    told(world, "auto")
    assert clients(world)[-3:] == [FIRMWARE, FIRMWARE, OURS] and len(probes(world)) == 1


@pytest.mark.parametrize(("engine", "client", "asked"), [("auto", OURS, 2), ("native", FIRMWARE, 3)])
def test_another_image_has_proven_nothing(world, engine, client, asked):
    told(world, "native")
    if engine == "auto":
        told(world, "auto")
    image_changes(world, umqtt_tells=False, firmware_version="EC800ECNLCR02A01M04")
    world.wake()
    assert clients(world)[-1] == client and len(probes(world)) == asked
    log = [line for line in world.log() if "handed over" in line or "acknowledged" in line]
    assert ("acknowledged" if engine == "auto" else "handed over") in log[-1]


def test_another_server_does_not_make_another_image(world):
    told(world, "native")
    told(world, "auto")
    world.network.name(TENANT, (STREAM_ADDRESS,))
    world.command(9991)
    world.wake()
    world.wake()
    assert world.record("settings")["values"]["server.host"] == TENANT
    assert clients(world)[-1] == FIRMWARE and len(probes(world)) == 2
