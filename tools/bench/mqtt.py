"""What one acknowledged report takes by MQTT from cold, CONNECT to DISCONNECT: our client (lib/mqtt, in CPython) beside
paho, before the same broker (amqtt) in one run, on loopback in real time.

Control packets and their bytes are counted by a proxy before the broker, TCP segments with IP headers from a capture
of the way to it, where dumpcap may capture. The local AEP, settings and the module have no part in this.
"""

import asyncio
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from amqtt.broker import Broker
from amqtt.contexts import BrokerConfig

from tools.bench.device import PAYLOAD, BenchError
from tools.tables import ROOT

CLIENT_ID = "16891291868543060025186"  # product and device number, as AEP's (ctwing.md §1.1)
USER, PASSWORD = CLIENT_ID, "x" * 43
TOPIC = "topic/data"  # the guide's
KEEP_ALIVE = 3600
REPORT = b"x" * PAYLOAD
PATIENCE = 10.0  # real seconds
LATE = 0.5  # real seconds after which dumpcap has been given what went over the wire
RUNS = 5  # the one with the fewest segments counts: acknowledgements of TCP travel alone or not, as it happens

Counts = dict[str, dict[str, int]]
Step = Callable[[str], object]

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
    """{"ours", "at_once", "peer"} -> {"packets": counts, "segments": counts or None}, counts being {"up", "down"} ->
    {"count", "bytes"}; at_once: ours with its report behind the CONNECT. None where nothing may be captured."""
    out: dict[str, Any] = {"peer_name": "paho-mqtt " + version("paho-mqtt"), "broker": "amqtt " + version("amqtt")}
    with broker() as port:
        for name, play in PLAYERS.items():
            step("MQTT: " + name)
            out[name] = min((_run(port, play) for _ in range(RUNS)), key=_segments)
    return out


def _segments(found: dict[str, Any]) -> list[int]:
    return [sum(way[key] for way in (found["segments"] or {}).values()) for key in ("count", "bytes")]


def _run(port: int, play: Callable[[int], None]) -> dict[str, Any]:
    proxy = Proxy(port)
    with tempfile.TemporaryDirectory() as folder, captured(proxy.port, Path(folder) / "lo.pcapng") as segments:
        play(proxy.port)
        proxy.join()
        counted = segments()
    return {"packets": {way: packets(data) for way, data in proxy.said.items()}, "segments": counted}


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


PLAYERS: dict[str, Callable[[int], None]] = {"ours": ours, "at_once": lambda port: ours(port, True), "peer": peer}


# -- the broker, and what is counted before it -------------------------------------------------------------------------


@contextmanager
def broker() -> Iterator[int]:
    """The port of an amqtt that lets everybody in, in a thread of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
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


class Proxy:
    """Passes one connection on to `target`. `said` is what went "up" and "down"."""

    def __init__(self, target: int) -> None:
        self.said = {"up": b"", "down": b""}
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def join(self) -> None:
        """Waits until both sides have closed."""
        self._thread.join(PATIENCE)
        if self._thread.is_alive():
            raise BenchError("a connection that does not end")

    def _serve(self) -> None:
        self._listener.settimeout(PATIENCE)
        with self._listener, self._listener.accept()[0] as client, \
                socket.create_connection(("127.0.0.1", self._target), PATIENCE) as server:
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                end.settimeout(PATIENCE)
            down = threading.Thread(target=self._pass, args=("down", server, client), daemon=True)
            down.start()
            self._pass("up", client, server)
            down.join(PATIENCE)

    def _pass(self, way: str, source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(4096):
                self.said[way] += data
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:  # the other side was faster with its end
            pass


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


@contextmanager
def captured(port: int, path: Path) -> Iterator[Callable[[], Counts | None]]:
    """Captures TCP to and from this port of loopback; the value counts what came so far. None without dumpcap and
    tshark, or where they may not."""
    dumpcap, tshark = shutil.which("dumpcap"), shutil.which("tshark")
    if dumpcap is None or tshark is None:
        yield lambda: None
        return
    loopback = "lo" if sys.platform.startswith("linux") else "lo0"
    command = [dumpcap, "-q", "-i", loopback, "-f", f"tcp port {port}", "-w", str(path)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        works = any(line.startswith("File:") for line in iter(process.stderr.readline, ""))

        def count() -> Counts | None:
            time.sleep(LATE)
            process.terminate()
            process.communicate()
            return segments(tshark, path, port) if works else None

        try:
            yield count
        finally:
            process.kill()


def segments(tshark: str, path: Path, port: int) -> Counts:
    """TCP segments towards `port` and from it, IP headers included."""
    command = [tshark, "-r", str(path), "-T", "fields", "-e", "tcp.dstport", "-e", "ip.len"]
    out = {way: {"count": 0, "bytes": 0} for way in ("up", "down")}
    for line in subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines():
        target, size = line.split("\t")
        way = out["up" if int(target) == port else "down"]
        way["count"] += 1
        way["bytes"] += int(size)
    return out
