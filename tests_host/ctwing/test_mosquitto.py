"""The MQTT front with mosquitto behind it, in real time on loopback: paho, our client and packets made by hand before
it. What the front does by itself is in test_mqtt.py."""

import asyncio
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mqtt import client as c
from mqtt import packet as ours
from tests_host.conftest import judge
from tests_host.ctwing.stream_device import TOKEN, connect, mqtt, on_unix_time, publish, real, short
from tests_host.ctwing.test_mqtt_judges import Paho, told
from tools.ctwing import mosquitto
from tools.ctwing.aep import Aep
from tools.ctwing.checks import AepError
from tools.scenario import ROOT
from tools.world.clock import WorldLoop
from tools.world.events import Events

JSON = b'{"temp":22.5,"humi":78}'
OTHER = "863318069987728"
PING, PONG, BYE = mqtt(0xC0, b""), "d000", mqtt(0xE0, b"")
FRESH, KEPT = "20020000", "20020100"  # CONNACK without and with the session of last time
CLEAN, STAYS = 2, 0  # flags of CONNECT


@pytest.fixture(scope="module")
def broker():
    judge("mosquitto")


def command(topic="device_control", payload=b"one", mid=1, dup=0):
    return mqtt(0x32 | dup << 3, short(topic) + mid.to_bytes(2, "big") + payload)


async def logged_in(here, device, answer=FRESH, **settings):
    """A device that is on-line: what it subscribes to in mosquitto is there."""
    stream = await here.connect("mqtt")
    assert await stream.ask(connect(device, TOKEN, **settings), 4) == answer
    await here.until(lambda: here.aep.session(device) is not None)
    return stream


async def connected(here, **settings):
    device = here.create(protocol="mqtt")
    return device, await logged_in(here, device, **settings)


async def gone(here, device, stream):
    """It breaks off without a word."""
    stream.close()
    await here.until(lambda: here.aep.session(device) is None)


def states(here, device):
    return [one.status for one in here.aep.commands(device)]


# reports


@pytest.mark.parametrize("clean", [True, False])
@real(broker="mosquitto")
async def test_paho_reports_with_every_qos_and_takes_a_command_without_subscribing(here, broker, clean):
    device = here.create(protocol="mqtt")
    client = Paho(device, TOKEN, clean)
    await asyncio.to_thread(client.start, *await here.open("mqtt"))
    await told(client.told)
    assert client.codes == [(0, False)]
    for qos in (0, 1, 2):
        info = client.client.publish("topic/data", JSON, qos, retain=True)
        await asyncio.to_thread(info.wait_for_publish, 10)
        assert info.is_published()
    await here.until(lambda: len(here.aep.uplinks(device)) == 3)
    assert [uplink.acknowledged for uplink in here.aep.uplinks(device)] == [False, True, True]
    here.aep.command(device, JSON)
    await told(client.came)
    assert client.messages == [("device_control", 1, JSON)]
    await here.until(lambda: states(here, device) == ["DELIVERED"])
    await asyncio.to_thread(client.stop)
    await here.until(lambda: not here.aep.device(device).online)
    assert here.aep.registrations(device)[0].reason == "disconnected"


@real(broker="mosquitto")
async def test_our_client_reports_behind_its_connect_and_is_acknowledged_once_stored(here, broker):
    device, stream = here.create(protocol="mqtt"), await here.connect("mqtt")
    client = c.Client(device, "user", TOKEN, False, 3600)
    client.connect()
    client.publish("topic/data", JSON, 1, 7)
    events = []
    while (ours.ACKED, 7) not in events:
        stream.send(client.take())
        client.feed(await stream.get(1))
        events += iter(client.next, None)
    assert events == [(ours.CONNECTED, False), (ours.ACKED, 7)]
    uplink, = here.aep.uplinks(device)
    assert (uplink.payload, uplink.topic, uplink.kind, uplink.mid) == (JSON, "topic/data", "MQTT QoS 1", 7)
    assert uplink.acknowledged
    wire = [(row.direction, row.raw[0]) for row in here.aep.trace(device)]
    assert sorted(wire) == [("down", 0x20), ("down", 0x40), ("up", 0x10), ("up", 0x32)]
    client.disconnect()
    stream.send(client.take())
    assert await stream.closed() == b""


@real(broker="mosquitto")
async def test_a_report_of_qos_2_is_stored_once_over_two_connections_of_a_session(here, broker):
    device, stream = await connected(here, flags=STAYS)
    assert await stream.ask(publish("t", JSON, 2, 7), 4) == "50020007"
    await gone(here, device, stream)
    stream = await logged_in(here, device, KEPT, flags=STAYS)
    assert await stream.ask(publish("t", JSON, 2, 7, 8), 4) == "50020007"
    assert await stream.ask("62020007", 4) == "70020007"
    assert len(here.aep.uplinks(device)) == 1
    assert await stream.ask(publish("t", JSON, 2, 7), 4) == "50020007"
    assert len(here.aep.uplinks(device)) == 2


@real(broker="mosquitto")
async def test_what_is_no_json_is_acknowledged_and_dropped(here, broker):
    device, stream = await connected(here)
    assert await stream.ask(publish("t", b"hello", 1), 4) == "40020001"
    assert here.aep.uplinks(device) == [] and "no JSON" in here.reasons("discarded")[0]


@real(broker="mosquitto")
async def test_two_devices_do_not_hear_each_other(here, broker):
    one, first = await connected(here)
    other = here.aep.create_device(here.aep.device(one).product, name="meter 2", number=OTHER, token=TOKEN)
    second = await logged_in(here, other)
    topics = short("#") + b"\2" + short("topic/data") + b"\1" + short(f"{one}/#") + b"\1" + short("$SYS/#") + b"\1"
    for stream in (first, second):
        assert await stream.ask(mqtt(0x82, b"\0\5" + topics), 8) == "9006000502010101"
    for topic in ("topic/data", f"{other}/down/1/device_control", "device_control"):
        assert await first.ask(publish(topic, JSON, 1), 4) == "40020001"
    here.aep.command(one, "one")
    assert await first.get(len(command())) == command()
    for stream in (first, second):  # a broker would have spoken before it answers
        assert await stream.ask(PING, 2) == PONG
    assert await second.ask(mqtt(0xA2, b"\0\6" + short("#")), 4) == "b0020006"
    assert [len(here.aep.uplinks(device)) for device in (one, other)] == [3, 0]


@real(on_unix_time, broker="mosquitto")
async def test_a_device_is_served_over_tls(here, broker):
    device = here.create(protocol="mqtt")
    address = await here.open("mqtts")
    context = ssl.create_default_context(cadata=here.aep.ca_pem)
    reader, writer = await asyncio.open_connection(*address, ssl=context)
    writer.write(connect(device, TOKEN) + publish("t", JSON, 1, 9))
    assert (await asyncio.wait_for(reader.readexactly(8), 5)).hex() == FRESH + "40020009"
    assert here.aep.session(device).binding == "MQTTS"
    writer.close()


# who may connect


@real(broker="mosquitto")
async def test_a_wrong_token_is_connack_4_and_never_reaches_mosquitto(here, broker):
    device = here.create(protocol="mqtt")
    client = Paho(device, "wrong")
    await asyncio.to_thread(client.start, *await here.open("mqtt"))
    await told(client.told)
    assert client.codes[0][0] == 134  # MQTT 5's name for CONNACK 4
    await asyncio.to_thread(client.stop)
    stream = await here.connect("mqtt")
    stream.send(connect(device, "wrong"))
    assert (await stream.closed()).hex() == "20020004"
    assert not any(device in line for line in here.reasons("broker")) and not here.aep.device(device).online


@real(broker="mosquitto")
async def test_a_newcomer_takes_over(here, broker):
    device, first = await connected(here)
    for flags in (STAYS, CLEAN):
        second = await here.connect("mqtt")
        wire = connect(device, TOKEN, flags=flags) + publish("t", JSON, 1)
        assert await second.ask(wire, 8) == FRESH + "40020001"
        assert await first.closed() == b"" and here.aep.device(device).online
        first = second
    assert [row.reason for row in here.aep.registrations(device)] == [
        "another connection of the device took over"] * 2 + [None]


@real(broker="mosquitto")
async def test_silence_is_ended_by_mosquitto(here, broker):
    device, stream = await connected(here, keep_alive=1)
    assert await stream.closed(within=15) == b""  # mosquitto 2.0.11 looks every six seconds
    assert here.aep.registrations(device)[0].reason == "mosquitto closed the connection"
    await here.until(lambda: any(device in line and "timeout" in line for line in here.reasons("broker")))


@pytest.mark.parametrize("wire", [connect("d", "t").hex(), "9003000100", publish("a/#", b"1").hex()])
@real(broker="mosquitto")
async def test_what_a_device_may_not_send_ends_its_session(here, broker, wire):
    device, stream = await connected(here)
    stream.send(wire)
    stream.writer.write_eof()
    assert await stream.closed() == b"" and not here.aep.device(device).online


# commands


@real(broker="mosquitto")
async def test_commands_go_at_once_and_each_is_delivered_with_its_puback(here, broker):
    device = here.create(protocol="mqtt")
    here.aep.command(device, "one")
    here.aep.command(device, "two")
    stream = await logged_in(here, device)
    both = command() + command(payload=b"two", mid=2)
    assert await stream.get(len(both)) == both
    assert states(here, device) == ["SENT", "SENT"]
    assert await stream.ask(bytes.fromhex("4002000240020009") + PING, 2) == PONG
    assert states(here, device) == ["SENT", "DELIVERED"] and len(here.reasons("stray")) == 1
    assert await stream.ask(bytes.fromhex("40020001") + PING, 2) == PONG
    assert states(here, device) == ["DELIVERED", "DELIVERED"]


@real(broker="mosquitto")
async def test_a_command_that_was_not_acknowledged_comes_again_from_the_session_and_once(here, broker):
    device, stream = await connected(here, flags=STAYS)
    here.aep.command(device, "one")
    assert await stream.get(len(command())) == command()
    await gone(here, device, stream)
    assert states(here, device) == ["SENT"]
    stream = await logged_in(here, device, KEPT, flags=STAYS)
    assert await stream.get(len(command())) == command(dup=1)
    assert await stream.ask(bytes.fromhex("40020001") + PING, 2) == PONG
    assert states(here, device) == ["DELIVERED"]
    await gone(here, device, stream)
    stream = await logged_in(here, device, KEPT, flags=STAYS)
    assert await stream.ask(PING, 2) == PONG and await stream.silent(0.2)


@pytest.mark.parametrize(("flags", "answer"), [(STAYS, KEPT), (CLEAN, FRESH)])
@real(broker="mosquitto")
async def test_a_command_given_while_the_device_is_away_comes_once_when_it_is_back(here, broker, flags, answer):
    device, stream = await connected(here, flags=flags)
    await gone(here, device, stream)
    here.aep.command(device, "one")
    assert states(here, device) == ["SAVED"]
    stream = await logged_in(here, device, answer, flags=flags)
    assert await stream.get(len(command())) == command()
    assert await stream.ask(bytes.fromhex("40020001") + PING, 2) == PONG and await stream.silent(0.2)
    assert states(here, device) == ["DELIVERED"]


@real(broker="mosquitto")
async def test_a_clean_session_has_its_command_given_again(here, broker):
    device, stream = await connected(here)
    here.aep.command(device, "one")
    here.aep.command(device, "now or never", ttl=0)
    both = command() + command(payload=b"now or never", mid=2)
    assert await stream.get(len(both)) == both
    await gone(here, device, stream)
    assert states(here, device) == ["SAVED", "FAILED"]
    stream = await logged_in(here, device, flags=STAYS)
    assert await stream.get(len(command())) == command()
    await gone(here, device, stream)
    stream = await logged_in(here, device)  # the session that has it is thrown away
    assert await stream.get(len(command())) == command() and await stream.silent(0.2)


@real(broker="mosquitto")
async def test_a_command_whose_ttl_ends_in_the_session_goes_no_further(here, broker):
    device, stream = await connected(here, flags=STAYS)
    here.aep.command(device, "one", ttl=1)
    here.aep.command(device, "now or never", ttl=0)
    assert await stream.get(len(command())) == command()
    await gone(here, device, stream)
    await here.until(lambda: states(here, device) == ["EXPIRED", "FAILED"])
    for _ in range(2):
        stream = await logged_in(here, device, KEPT, flags=STAYS)
        assert await stream.ask(PING, 2) == PONG
        await gone(here, device, stream)


@real(broker="mosquitto")
async def test_a_dtus_own_topic_gets_the_commands_while_its_session_lasts(here, broker):
    device, stream = await connected(here, flags=STAYS)
    topic = f"mqtt/2000/15436586/{device}/dn/device_control"
    assert await stream.ask(mqtt(0x82, b"\0\5" + short(topic) + b"\1"), 5) == "9003000501"
    await gone(here, device, stream)
    stream = await logged_in(here, device, KEPT, flags=STAYS)
    here.aep.command(device, "one")
    assert await stream.get(len(command(topic))) == command(topic)
    assert await stream.ask(mqtt(0xA2, b"\0\6" + short(topic)), 4) == "b0020006"
    here.aep.command(device, "one")
    assert await stream.get(len(command())) == command(mid=2)


# fault switches


@real(broker="mosquitto")
async def test_reports_and_their_acknowledgements_are_lost_on_purpose(here, broker):
    device, stream = await connected(here)
    for name, stored in (("drop-report", 0), ("drop-ack", 1)):
        here.aep.fault(name, device, strikes=1)
        assert await stream.ask(publish("t", JSON, 1) + PING, 2) == PONG
        assert [uplink.acknowledged for uplink in here.aep.uplinks(device)] == [False] * stored
    assert await stream.ask(publish("t", JSON, 1, 2), 4) == "40020002"


@real(broker="mosquitto")
async def test_a_sign_of_life_is_not_answered_on_purpose(here, broker):
    device, stream = await connected(here)
    here.aep.fault("silent-beat", device, strikes=1)
    stream.send(PING)
    assert await stream.silent()
    assert await stream.ask(PING, 2) == PONG


@real(broker="mosquitto")
async def test_a_report_is_answered_with_rst_on_purpose(here, broker):
    device, stream = await connected(here)
    here.aep.fault("reset-report", device, strikes=1)
    with pytest.raises(ConnectionResetError):
        await stream.ask(publish("t", JSON, 1), 1)
    assert here.aep.uplinks(device) == []
    stream = await logged_in(here, device)
    assert await stream.ask(publish("t", JSON, 1), 4) == "40020001"


@real(broker="mosquitto")
async def test_a_command_comes_again_on_purpose(here, broker):
    device, stream = await connected(here)
    here.aep.fault("repeat-commands", device, strikes=1)
    here.aep.command(device, "one")
    assert await stream.get(len(command())) == command()
    assert await stream.ask("40020001", len(command())) == command(mid=2).hex()
    assert await stream.ask(bytes.fromhex("40020002") + PING, 2) == PONG
    assert states(here, device) == ["DELIVERED"] and here.reasons("stray") == []


@real(broker="mosquitto")
async def test_a_connection_is_refused_closed_or_deaf_on_purpose(here, broker):
    device = here.create(protocol="mqtt")
    here.aep.fault("refuse-connect", device, strikes=1, value=5)
    here.aep.fault("close-after-login", device, strikes=1)
    for answer in ("20020005", FRESH):
        stream = await here.connect("mqtt")
        stream.send(connect(device, TOKEN))
        assert (await stream.closed()).hex() == answer
    stream = await logged_in(here, device)
    here.aep.fault("half-open", device)
    stream.send(PING)
    here.aep.command(device, "one")
    assert await stream.silent(0.2) and states(here, device) == ["SAVED"]


# the process


@real(broker="mosquitto")
async def test_mosquitto_is_gone_with_the_aep(here, broker):
    device, stream = await connected(here)
    process, socket = here.aep.mqtt.broker.process, here.aep.mqtt.broker._socket
    assert process.poll() is None and socket.parent.stat().st_mode & 0o77 == 0
    here.aep.stop()
    assert process.poll() is not None and not socket.parent.exists()
    assert await stream.closed() == b"" and not here.aep.device(device).online
    await asyncio.sleep(0)
    assert "broker-failed" not in here.kinds()


ALONE = """
import asyncio
from tools.ctwing.aep import Aep
from tools.world.events import Events

async def main():
    loop = asyncio.get_running_loop()
    aep = Aep(loop, Events(loop.time), broker="mosquitto")
    await aep.start_mqtt()
    print(aep.mqtt.broker._socket, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
def test_mosquitto_is_gone_with_an_aep_that_is_killed(broker):
    with subprocess.Popen([sys.executable, "-c", ALONE], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            path = process.stdout.readline().strip()
            assert answers(path)
        finally:
            process.kill()
    try:
        for _ in range(500):
            if not answers(path):
                return
            time.sleep(0.01)
        raise AssertionError("mosquitto still answers after 5 s")
    finally:
        shutil.rmtree(Path(path).parent)


def answers(path):
    with socket.socket(socket.AF_UNIX) as one:
        return one.connect_ex(path) == 0


@real(broker="mosquitto")
async def test_a_killed_mosquitto_disconnects_its_devices_and_is_started_again(here, broker):
    device, stream = await connected(here, flags=STAYS)
    here.aep.command(device, "one")
    assert await stream.get(len(command())) == command()
    os.kill(here.aep.mqtt.broker.process.pid, signal.SIGKILL)
    assert await stream.closed() == b""
    assert here.aep.registrations(device)[0].reason == "mosquitto closed the connection"
    await here.until(lambda: here.reasons("broker-failed"))
    assert "ended by SIGKILL" in here.reasons("broker-failed")[0]
    await here.until(lambda: here.aep.mqtt.broker.running)
    stream = await logged_in(here, device, FRESH, flags=STAYS)
    assert await stream.get(len(command())) == command()  # its session was lost, and the command with it


@real(broker="mosquitto")
async def test_a_mosquitto_that_dies_again_and_again_stays_away_and_devices_are_told(here, broker, monkeypatch):
    monkeypatch.setattr(mosquitto, "DEATHS", 1)

    device, stream = await connected(here)
    os.kill(here.aep.mqtt.broker.process.pid, signal.SIGKILL)
    assert await stream.closed() == b""
    await here.until(lambda: here.reasons("broker-failed"))
    assert "it stays away" in here.reasons("broker-failed")[0]
    stream = await here.connect("mqtt")
    stream.send(connect(device, TOKEN))
    assert (await stream.closed()).hex() == "20020003"
    assert "mosquitto does not run" in here.reasons("rejected")[0]


@real(broker="mosquitto")
async def test_where_mosquitto_is_missing_its_install_line_is_said(here, monkeypatch):
    monkeypatch.setattr(mosquitto, "PROGRAMS", ("no-such-mosquitto",))

    with pytest.raises(mosquitto.NoBroker, match="not installed: apt-get install mosquitto, or brew"):
        await here.open("mqtt")


@pytest.mark.parametrize(("script", "said"), [
    ("echo 'Error: Unknown option' >&2; exit 3", "Error: Unknown option"), ("exit 0", "it says nothing"),
    ("exec sleep 60", "it says nothing"),
])
@real(broker="mosquitto")
async def test_where_mosquitto_does_not_start_its_last_words_are_said(here, tmp_path, monkeypatch, script, said):
    program = tmp_path / "mosquitto"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr(mosquitto, "PROGRAMS", (str(program),))
    monkeypatch.setattr(mosquitto, "START_TIME", 0.3)

    with pytest.raises(mosquitto.NoBroker, match=f"does not start: {said}"):
        await here.open("mqtt")
    assert here.aep.mqtt.broker.process.poll() is not None


def test_the_simulated_world_has_no_mosquitto():
    loop = WorldLoop()
    with pytest.raises(AepError, match="in real time only"):
        Aep(loop, Events(loop.time), broker="mosquitto")
    with pytest.raises(AepError, match="one of own, mosquitto"):
        Aep(loop, Events(loop.time), broker="amqtt")
    loop.close()


