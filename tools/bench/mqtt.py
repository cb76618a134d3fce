"""What one acknowledged report takes over a stream from cold, all of its connection. MQTT: our client (lib/mqtt, in
CPython) beside paho before the same broker (amqtt), CONNECT to DISCONNECT; and AEP's TCP (tcp.py), with the same report
and credentials of the same length; in one run, on loopback in real time (wire.py).

Settings and the module have no part in this.
"""

import asyncio
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from amqtt.broker import Broker
from amqtt.contexts import BrokerConfig

from tools.bench import tcp
from tools.bench.device import PAYLOAD, BenchError
from tools.bench.wire import PATIENCE, Counts, Proxy, captured
from tools.loopback import free_port
from tools.tables import ROOT

NUMBER = "868543060025186"
CLIENT_ID = "16891291" + NUMBER  # product and device number, as AEP's (ctwing.md §1.1)
USER, PASSWORD = CLIENT_ID, "x" * 43
TOPIC = "topic/data"  # the guide's
KEEP_ALIVE = 3600
REPORT = b"x" * PAYLOAD
RUNS = 5  # the one with the fewest segments counts: acknowledgements of TCP travel alone or not, as it happens

Step = Callable[[str], object]
Player = Callable[[int], object]

_OURS = """
import socket, sys, types
sys.modules["micropython"] = types.SimpleNamespace(const=lambda value: value)
sys.path.insert(0, {lib!r})
from mqtt import client, packet

made = client.Client({who!r}, {user!r}, {password!r}, False, {keep_alive})
link = socket.create_connection(("127.0.0.1", {port}), {patience})
link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

def until(kind):
    link.sendall(made.take())
    while True:
        event = made.next()
        if event is None:
            made.feed(link.recv(512) or b"\\xff")
        elif event[0] == kind:
            return

made.connect()
if not {at_once}:
    until(packet.CONNECTED)
made.publish({topic!r}, {report!r}, 1, 1)
until(packet.ACKED)
made.disconnect()
link.sendall(made.take())
link.close()
"""


def measure(step: Step = lambda text: None) -> dict[str, Any]:
    """{"ours", "at_once", "peer", "tcp_1.0", "tcp_1.1"} -> {"packets": counts, "segments": counts or None}, counts
    being {"up", "down"} -> {"count", "bytes"}; packets: MQTT's, or TCP's frames; at_once: ours with its report behind
    the CONNECT. Segments are None where nothing may be captured."""
    out: dict[str, Any] = {"peer_name": "paho-mqtt " + version("paho-mqtt"), "broker": "amqtt " + version("amqtt")}
    with broker() as mqtt_port, tcp.platform(NUMBER, PASSWORD, REPORT) as (tcp_port, devices):
        players = {name: (mqtt_port, play, packets) for name, play in PLAYERS.items()}
        for which, device in devices.items():
            play = partial(tcp.ours, version=which, who=device, token=PASSWORD, report=REPORT)
            players["tcp_" + which] = (tcp_port, play, tcp.frames)
        runs = {name: [Proxy(port) for _ in range(RUNS)] for name, (port, _, _) in players.items()}
        counted = _played(runs, {name: play for name, (_, play, _) in players.items()}, step)
    for name, (_, _, count) in players.items():
        found = [{"packets": {way: count(data) for way, data in proxy.said.items()},
                  "segments": counted[proxy.port] if counted else None} for proxy in runs[name]]
        out[name] = min(found, key=_segments)
    return out


def _played(runs: dict[str, list[Proxy]], players: dict[str, Player], step: Step) -> dict[int, Counts] | None:
    """What a capture of all these connections has, by the proxies' ports."""
    proxies = [proxy for some in runs.values() for proxy in some]
    try:
        with tempfile.TemporaryDirectory() as folder, \
                captured([proxy.port for proxy in proxies], Path(folder) / "lo.pcapng") as segments:
            for name, some in runs.items():
                step("over a stream: " + name)
                for proxy in some:
                    proxy.play(players[name])
            return segments()
    finally:
        for proxy in proxies:
            proxy.close()


def _segments(found: dict[str, Any]) -> list[int]:
    return [sum(way[key] for way in (found["segments"] or {}).values()) for key in ("count", "bytes")]


# -- clients -----------------------------------------------------------------------------------------------------------


def ours(port: int, at_once: bool = False) -> None:
    """Our client reports; `at_once` without waiting for the CONNACK."""
    script = _OURS.format(lib=str(ROOT / "lib"), who=CLIENT_ID, user=USER, password=PASSWORD, keep_alive=KEEP_ALIVE,
                          port=port, patience=PATIENCE, topic=TOPIC, report=REPORT, at_once=at_once)
    subprocess.run([sys.executable, "-c", script], check=True, timeout=2 * PATIENCE)


def peer(port: int) -> None:
    """paho reports, with its defaults otherwise."""
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, CLIENT_ID, clean_session=False, protocol=paho.MQTTv311)
    client.username_pw_set(USER, PASSWORD)
    accepted, gone = threading.Event(), threading.Event()
    client.on_connect = lambda *arguments: accepted.set()
    client.on_disconnect = lambda *arguments: gone.set()
    client.connect("127.0.0.1", port, KEEP_ALIVE)
    client.loop_start()
    try:
        if not accepted.wait(PATIENCE):
            raise BenchError("paho: no CONNACK")
        client.publish(TOPIC, REPORT, 1).wait_for_publish(PATIENCE)
        client.disconnect()
        if not gone.wait(PATIENCE):
            raise BenchError("paho: no end")
    finally:
        client.loop_stop()


PLAYERS: dict[str, Player] = {"ours": ours, "at_once": lambda port: ours(port, True), "peer": peer}


# -- the broker, and what it is told -----------------------------------------------------------------------------------


@contextmanager
def broker() -> Iterator[int]:
    """The port of an amqtt that lets everybody in, in a thread of its own."""
    port = free_port()
    config = BrokerConfig.from_dict({
        "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
        "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
    })
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def started() -> Broker:
        made = Broker(config)
        await made.start()
        return made

    running = asyncio.run_coroutine_threadsafe(started(), loop).result(PATIENCE)
    try:
        yield port
    finally:
        asyncio.run_coroutine_threadsafe(running.shutdown(), loop).result(PATIENCE)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(PATIENCE)
        loop.close()


def packets(data: bytes) -> dict[str, int]:
    """{"count", "bytes"} of MQTT control packets (MQTT 3.1.1 §2.2)."""
    count = at = 0
    while at < len(data):
        size = shift = 0
        at += 1
        while True:
            size |= (data[at] & 0x7F) << shift
            shift += 7
            at += 1
            if data[at - 1] < 0x80:
                break
        at += size
        count += 1
    if at != len(data):
        raise BenchError("a packet that is not whole")
    return {"count": count, "bytes": len(data)}
