"""A report by AEP's TCP from cold: our frames (lib/aep/frames.py, in CPython) before the local AEP's front, on loopback
in real time.

Version 1.0 acknowledges no report: the heartbeat in the same segment is answered, and what is answered came behind the
report. Version 1.1 answers it with 82.
"""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tools.aep import UnixLoop
from tools.bench.device import BenchError
from tools.bench.wire import PATIENCE
from tools.ctwing.aep import Aep
from tools.tables import ROOT
from tools.world.events import Events

SERVICE = 1
FIXED = {0x04: 1, 0x05: 3, 0x06: 1}  # bytes of a frame; the others have a length, a login three

_CLIENT = """
import socket, struct, sys, types
sys.modules["micropython"] = types.SimpleNamespace(const=lambda value: value)
sys.modules["ustruct"] = struct
sys.path.insert(0, {lib!r})
from aep import frames

parser = frames.Parser()
link = socket.create_connection(("127.0.0.1", {port}), {patience})
link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

def ask(data, answer):
    link.sendall(data)
    found = []
    while not found:
        found = parser.feed(link.recv(512) or b"\\xff")
    assert found == [answer], found

ask(frames.login({who!r}, {token!r}, {version!r}, []), (frames.LOGGED_IN, b"\\0\\0"))
if {version!r} == "1.0":
    ask(frames.uplink({report!r}) + bytes([frames.HEARTBEAT]), (frames.HEARTBEAT_ANSWER, b""))
else:
    ask(frames.report(1, {service}, {report!r}), (frames.UPLINK_ANSWER, b"\\0\\1\\0\\0"))
link.close()
"""


def ours(port: int, version: str, who: str, token: str, report: bytes) -> None:
    """Logs in, reports, and closes when that has been answered."""
    script = _CLIENT.format(lib=str(ROOT / "lib"), port=port, patience=PATIENCE, who=who, token=token, version=version,
                            report=report, service=SERVICE)
    subprocess.run([sys.executable, "-c", script], check=True, timeout=2 * PATIENCE)


@contextmanager
def platform(number: str, token: str, report: bytes) -> Iterator[tuple[int, dict[str, str]]]:
    """The port of a local AEP in a thread of its own, and its device of each version. Raises BenchError at the end
    where it has not stored this report of each connection."""
    loop = UnixLoop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def started() -> tuple[Aep, int, dict[str, str]]:
        aep = Aep(loop, Events(loop.time))
        devices = {}
        for version in ("1.0", "1.1"):
            product = aep.create_product("meters", protocol="tcp", transparent=version == "1.0")
            devices[version] = aep.create_device(product, name=version, number=number, token=token)
        return aep, (await aep.start_tcp())[1], devices

    async def stopped(aep: Aep, devices: dict[str, str]) -> None:
        stored = [(len(aep.registrations(device)), aep.uplinks(device)) for device in devices.values()]
        aep.stop()
        if not all([report] * logins == [uplink.payload for uplink in uplinks] for logins, uplinks in stored):
            raise BenchError("the local AEP has not each report once")

    running, port, devices = asyncio.run_coroutine_threadsafe(started(), loop).result(PATIENCE)
    try:
        yield port, devices
    finally:
        try:
            asyncio.run_coroutine_threadsafe(stopped(running, devices), loop).result(PATIENCE)
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join(PATIENCE)
            loop.close()


def frames(data: bytes) -> dict[str, int]:
    """{"count", "bytes"} of AEP's frames (ctwing.md §4.1), either way."""
    count = at = 0
    while at < len(data):
        kind = data[at]
        end = at + FIXED.get(kind, 1)
        if kind not in FIXED:
            for _ in range(3 if kind == 0x01 else 1):
                end += 2 + int.from_bytes(data[end:end + 2], "big")
        at, count = end, count + 1
    if at != len(data):
        raise BenchError("a frame that is not whole")
    return {"count": count, "bytes": len(data)}
