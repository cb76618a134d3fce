"""Others' DTLS servers with a pre-shared key on loopback, each until its `with` ends."""

import contextlib
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests_host.coap.over_udp import LIMIT_S
from tests_host.conftest import judge
from tests_host.dtls.driven import PSK
from tools.loopback import free_port

BOUND = [Path("/proc/net/udp"), Path("/proc/net/udp6")]  # Linux: who listens; elsewhere a second must do


def bound(port: int) -> bool:
    """Whether somebody listens there."""
    tables = [path.read_text() for path in BOUND if path.exists()]
    if not tables:
        time.sleep(1)
    return not tables or any(f":{port:04X} " in table for table in tables)


class Server:
    """A program; `said` is its output so far. One that is told to `echo` gets its output back as input."""

    def __init__(self, command: list[str], port: int, echo: bool = False) -> None:
        self.port = port
        self.said = b""
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0
        )
        self._echo = echo
        self._then: list[tuple[bytes, Callable[[], object]]] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        until = time.monotonic() + LIMIT_S
        while not bound(port):
            assert time.monotonic() < until and self.process.poll() is None, self.said
            time.sleep(0.01)

    def _read(self) -> None:
        assert self.process.stdout and self.process.stdin
        while True:
            data = self.process.stdout.read(4096)
            if not data:
                return
            self.said += data
            if self._echo:
                with contextlib.suppress(BrokenPipeError):  # its last words
                    self.process.stdin.write(data)
            for text, act in self._then[:]:
                if text in self.said:
                    self._then.remove((text, act))
                    act()

    def after(self, text: bytes, act: Callable[[], object]) -> None:
        """Calls `act()` once it has said `text`."""
        self._then.append((text, act))

    def tell(self, text: bytes) -> None:
        assert self.process.stdin
        self.process.stdin.write(text)

    def hears(self, text: bytes) -> bool:
        """Whether it says so before the time is up."""
        until = time.monotonic() + LIMIT_S
        while text not in self.said and time.monotonic() < until:
            time.sleep(0.01)
        return text in self.said

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join(LIMIT_S)
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe
            pipe.close()


@contextmanager
def program(command: list[str], port: int, echo: bool = False) -> Iterator[Server]:
    server = Server(command, port, echo)
    try:
        yield server
    finally:
        server.stop()


def openssl(cipher: str, *options: str, echo: bool = True):
    """s_server; with `-listen` it asks for a cookie, and serves one session. Echoes what it decrypts."""
    port = free_port()
    command = [
        judge("openssl"), "s_server", "-dtls1_2", "-port", str(port), "-psk", PSK.hex(), "-nocert", "-cipher",
        cipher + ":@SECLEVEL=0", *(["-quiet"] if echo else []), *options,
    ]  # fmt: skip
    return program(command, port, echo)


def libcoap(name: str, *options: str):
    """coap-server with one key for every identity, or as `options` say; DTLS is at `port`."""
    plain = free_port()
    while (port := free_port()) != plain + 1:  # it takes both
        plain = port
    command = [judge(name), "-A", "127.0.0.1", "-p", str(plain), "-k", PSK.decode(), "-v", "7", *options]
    return program(command, port)
