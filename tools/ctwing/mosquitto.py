"""mosquitto as a process of the local AEP's own, and the connections to it.

It listens on a Unix socket in a folder that nobody else may enter: nothing of it is on the network, so it asks for no
password, and AEP's authentication is its only door. It keeps sessions as long as it runs, and ends with the AEP; with
one that is itself killed by SIGKILL on Linux only. Where it dies it is started again, but not for ever.
"""

import asyncio
import contextlib
import ctypes
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tools.ctwing import mqtt_packets as p
from tools.ctwing.checks import AepError
from tools.ctwing.streams import BadFrame
from tools.world.events import Events

INSTALL = "apt-get install mosquitto, or brew install mosquitto"
PROGRAMS = ("mosquitto", "/usr/sbin/mosquitto")  # Debian's is where only root's PATH leads
PLATFORM = "local-aep"  # client id; a device's begins with its product's digits
START_TIME, STOP_TIME = 5.0, 2.0  # seconds; it takes some hundredths
DEATHS, DEATHS_TIME = 3, 60.0  # so many in so many seconds, and it is not started again

# `user`: as root it would become another, who may not enter the folder; else it does nothing.
CONFIG = """\
listener 0 {socket}
user root
allow_anonymous true
persistence false
sys_interval 0
log_dest stderr
log_timestamp false
log_type error
log_type warning
log_type notice
"""


PR_SET_PDEATHSIG = 1  # linux/prctl.h
PRCTL = ctypes.CDLL(None).prctl if sys.platform == "linux" else None


def _ends_with_its_parent() -> None:
    """Runs in the new process, before mosquitto does."""
    if PRCTL is not None:
        PRCTL(PR_SET_PDEATHSIG, signal.SIGTERM)


class NoBroker(AepError):
    """mosquitto is not there, or does not start; the text says what to do."""


def hello(client: str, clean: bool, keep_alive: int) -> bytes:
    """CONNECT without user, password and will."""
    name = client.encode()
    body = p.PROTOCOL + bytes([clean << 1]) + keep_alive.to_bytes(2, "big") + len(name).to_bytes(2, "big") + name
    return bytes([p.CONNECT << 4, len(body)]) + body


class Pipe(asyncio.Protocol):
    """A connection to mosquitto, which begins with a CONNECT. After `close` it hears nothing more."""

    def __init__(self, first: bytes) -> None:
        self._first, self._buffer = first, bytearray()
        self._transport: Any = None
        self.open = True

    def heard(self, raw: bytes) -> None:
        """A whole packet; may raise BadFrame."""

    def left(self, reason: str) -> None:
        """The connection is no more, and not by `close`."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        if self.open:
            self.send(self._first)
        else:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        try:
            while self.open and self._buffer:
                raw = p.next_packet(self._buffer, p.BROKER_FLAGS)
                if raw is None:
                    return
                del self._buffer[:len(raw)]
                self.heard(raw)
        except BadFrame as error:
            self._over(f"mosquitto says what it may not: {error}")

    def connection_lost(self, exc: Exception | None) -> None:
        self._over("mosquitto closed the connection")

    def _over(self, reason: str) -> None:
        if self.open:
            self.close()
            self.left(reason)

    def send(self, raw: bytes) -> None:
        self._transport.write(raw)

    def close(self) -> None:
        self.open = False
        if self._transport is not None:
            self._transport.close()


class Platform(Pipe):
    """The platform's own client, which publishes."""

    def __init__(self) -> None:
        super().__init__(hello(PLATFORM, True, 0))
        self.accepted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._last = 0  # packet id

    def heard(self, raw: bytes) -> None:
        if p.kind_of(raw) == p.CONNACK and not self.accepted.done():
            self.accepted.set_result(None)

    def publish(self, topic: str, body: bytes) -> None:
        """By QoS 1. Its PUBACK tells nothing: what mosquitto loses by its end is given again to a device whose session
        is then gone as well."""
        self._last = self._last % 0xFFFF + 1
        self.send(p.PublishPacket.build(topic, body, self._last, False, 1, False).to_bytes())


class Log(asyncio.Protocol):
    """What it writes to stderr, by lines. The end of that is its own."""

    def __init__(self, line: Callable[[str], None]) -> None:
        self._line, self._rest = line, b""
        self.end: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._line(line.decode(errors="replace"))

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.end.done():
            self.end.set_result(None)


class Mosquitto:
    """The process. `publish` and `connect` are for when it runs."""

    def __init__(self, loop: asyncio.AbstractEventLoop, events: Events) -> None:
        self._loop, self._events = loop, events
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self.process: subprocess.Popen[bytes] | None = None
        self._log: Any = None
        self._platform: Platform | None = None
        self._deaths: deque[float] = deque(maxlen=DEATHS)
        self._keeper: asyncio.Task[None] | None = None
        self._said = ""  # its last line

    @property
    def running(self) -> bool:
        return self._platform is not None and self._platform.open

    async def start(self) -> None:
        """Until it answers; raises NoBroker. Does nothing where it is started already."""
        if self._keeper is not None:
            return
        program = next((path for path in map(shutil.which, PROGRAMS) if path), None)
        if program is None:
            raise NoBroker(f"mosquitto is not installed: {INSTALL}")
        self._folder = tempfile.TemporaryDirectory(prefix="aep-")
        config = Path(self._folder.name, "mosquitto.conf")
        config.write_text(CONFIG.format(socket=self._socket))
        command = [program, "-c", str(config)]
        try:
            log = await self._begin(command)
        except BaseException:
            self.stop()
            raise
        self._keeper = self._loop.create_task(self._keep(command, log))

    @property
    def _socket(self) -> Path:
        assert self._folder is not None
        return Path(self._folder.name, "socket")

    async def _begin(self, command: list[str]) -> Log:
        self._socket.unlink(missing_ok=True)  # a dead one's
        self._said = ""
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE, preexec_fn=_ends_with_its_parent)
        self._log, log = await self._loop.connect_read_pipe(lambda: Log(self._line), self.process.stderr)
        answering = self._loop.create_task(self._answers())
        first: list[asyncio.Future[Any]] = [answering, log.end]
        try:
            await asyncio.wait(first, timeout=START_TIME, return_when=asyncio.FIRST_COMPLETED)
            if log.end.done() or not answering.done():
                self._end_process()
                raise NoBroker(f"mosquitto does not start: {self._said or 'it says nothing'}; version 2 is needed, "
                               f"with Unix sockets ({INSTALL})")
            self._platform = answering.result()
        finally:
            answering.cancel()
        return log

    async def _answers(self) -> Platform:
        while True:
            with contextlib.suppress(FileNotFoundError, ConnectionError):  # not yet
                _, platform = await self._loop.create_unix_connection(Platform, str(self._socket))
                await platform.accepted
                return platform
            await asyncio.sleep(0.01)

    async def _keep(self, command: list[str], log: Log) -> None:
        """Starts it again when it has died."""
        while True:
            await log.end
            assert self.process is not None
            code = self.process.wait()
            how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
            self._deaths.append(self._loop.time())
            if len(self._deaths) == DEATHS and self._deaths[-1] - self._deaths[0] < DEATHS_TIME:
                self._failed(f"mosquitto {how}, {DEATHS} times in {DEATHS_TIME:.0f} s: it stays away, and no device of "
                             "MQTT can connect; start the AEP again")
                return
            self._failed(f"mosquitto {how}, and its sessions are lost; it is started again")
            try:
                log = await self._begin(command)
            except (NoBroker, OSError) as error:
                self._failed(f"{error}; no device of MQTT can connect")
                return

    def _failed(self, text: str) -> None:
        self._events.emit("aep", "broker-failed", text)

    def _line(self, text: str) -> None:
        self._said = text
        self._events.emit("aep", "broker", text)

    async def connect(self, pipe: Pipe) -> None:
        """Opens a connection; raises OSError."""
        if not self.running:
            raise ConnectionError("mosquitto does not run")
        await self._loop.create_unix_connection(lambda: pipe, str(self._socket))

    def publish(self, topic: str, body: bytes) -> None:
        if self.running:
            assert self._platform is not None
            self._platform.publish(topic, body)

    def stop(self) -> None:
        """It is gone when this returns."""
        if self._keeper is not None:
            self._keeper.cancel()
        if self._platform is not None:
            self._platform.close()
        if self._log is not None:
            self._log.close()
        self._end_process()
        if self._folder is not None:
            self._folder.cleanup()
        self._keeper = self._platform = self._log = self._folder = None

    def _end_process(self) -> None:
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(STOP_TIME)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
