"""The MQTT front, asked by clients that nobody here wrote: paho-mqtt and mosquitto's."""

import asyncio
import json
import threading

import paho.mqtt.client as paho
import pytest

from tests_host.conftest import judge
from tests_host.ctwing.stream_device import TOKEN, Loopback

JSON = '{"temp":22.5,"humi":78}'


class Paho:
    """paho in its own thread, as it likes it; what it is told lands in lists and events."""

    def __init__(self, device, token, clean=True):
        self.client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id=device, clean_session=clean)
        self.client.username_pw_set("anyone", token)
        self.client.on_connect = self._connected
        self.client.on_message = self._message
        self.client.on_disconnect = lambda *_: self.gone.set()
        self.codes, self.messages = [], []
        self.told, self.came, self.gone = threading.Event(), threading.Event(), threading.Event()

    def _connected(self, client, userdata, flags, reason, properties):
        self.codes.append((reason.value, flags.session_present))
        self.told.set()

    def _message(self, client, userdata, message):
        self.messages.append((message.topic, message.qos, message.payload))
        self.came.set()

    def start(self, host, port):
        self.client.connect(host, port, keepalive=60)
        self.client.loop_start()

    def stop(self):
        self.client.disconnect()
        self.client.loop_stop()


async def told(event):
    assert await asyncio.to_thread(event.wait, 10)


@pytest.mark.parametrize("clean", [True, False])
def test_paho_reports_with_every_qos_and_takes_a_command_without_subscribing(clean):
    async def main():
        async with Loopback() as here:
            device = here.create(protocol="mqtt")
            client = Paho(device, TOKEN, clean)
            await asyncio.to_thread(client.start, *await here.open("mqtt"))
            await told(client.told)
            assert client.codes == [(0, False)]
            for qos in (0, 1, 2):
                info = client.client.publish("topic/data", JSON, qos)
                await asyncio.to_thread(info.wait_for_publish, 10)
                assert info.is_published()
            await here.until(lambda: len(here.aep.uplinks(device)) == 3)
            assert [uplink.acknowledged for uplink in here.aep.uplinks(device)] == [False, True, True]
            here.aep.command(device, JSON)
            await told(client.came)
            assert client.messages == [("device_control", 1, JSON.encode())]
            await here.until(lambda: here.aep.commands(device)[0].status == "DELIVERED")
            await asyncio.to_thread(client.stop)
            await here.until(lambda: not here.aep.device(device).online)
            assert here.aep.registrations(device)[0].reason == "disconnected"

    asyncio.run(main())


def test_paho_is_told_that_its_password_is_wrong():
    async def main():
        async with Loopback() as here:
            client = Paho(here.create(protocol="mqtt"), "wrong")
            await asyncio.to_thread(client.start, *await here.open("mqtt"))
            await told(client.told)
            assert client.codes[0][0] == 134  # MQTT 5's name for CONNACK 4
            await asyncio.to_thread(client.stop)

    asyncio.run(main())


async def run(program, host, port, device, *arguments):
    """A mosquitto client; what it printed."""
    return await asyncio.create_subprocess_exec(
        judge(program), "-h", host, "-p", str(port), "-i", device, "-u", "x", "-P", TOKEN, "-V", "mqttv311", *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT)


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_mosquitto_pub_reports(qos):
    judge("mosquitto_pub")

    async def main():
        async with Loopback() as here:
            device = here.create(protocol="mqtt")
            process = await run("mosquitto_pub", *await here.open("mqtt"), device, "-t", "topic/data", "-m", JSON, "-q",
                                str(qos))
            output, _ = await asyncio.wait_for(process.communicate(), 20)
            assert process.returncode == 0, output
            await here.until(lambda: not here.aep.device(device).online)
            uplink, = here.aep.uplinks(device)
            assert json.loads(uplink.payload) == json.loads(JSON) and uplink.acknowledged == bool(qos)

    asyncio.run(main())


def test_mosquitto_sub_gets_the_commands():
    judge("mosquitto_sub")

    async def main():
        async with Loopback() as here:
            device = here.create(protocol="mqtt")
            here.aep.command(device, JSON)
            process = await run("mosquitto_sub", *await here.open("mqtt"), device, "-t", "device_control", "-q", "1",
                                "-C", "1", "-W", "20")
            output, _ = await asyncio.wait_for(process.communicate(), 30)
            assert output.decode().strip() == JSON
            await here.until(lambda: here.aep.commands(device)[0].status == "DELIVERED")

    asyncio.run(main())
