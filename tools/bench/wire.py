"""What goes over a TCP connection of loopback, counted twice: its bytes by a proxy in the middle, its segments with IP
headers from a capture of the way to the proxy, where dumpcap may capture."""

import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from tools.bench.device import BenchError

PATIENCE = 10.0  # real seconds
LATE = 0.5  # real seconds after which dumpcap has been given what went over the wire

Counts = dict[str, dict[str, int]]
"""{"up", "down"} -> {"count", "bytes"}."""


class Proxy:
    """Passes one connection on to `target`, from `play` until both sides have closed. `said` is what went "up" and
    "down"."""

    def __init__(self, target: int) -> None:
        self.said = {"up": b"", "down": b""}
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]

    def play(self, client: Callable[[int], object]) -> None:
        """Lets a client connect to the port that it is given."""
        thread = threading.Thread(target=self._serve, daemon=True)
        thread.start()
        client(self.port)
        thread.join(PATIENCE)
        if thread.is_alive():
            raise BenchError("a connection that does not end")

    def close(self) -> None:
        self._listener.close()

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


@contextmanager
def captured(ports: Collection[int], path: Path) -> Iterator[Callable[[], dict[int, Counts] | None]]:
    """Captures TCP to and from these ports of loopback; the value counts what came so far, port by port. None without
    dumpcap and tshark, or where they may not."""
    dumpcap, tshark = shutil.which("dumpcap"), shutil.which("tshark")
    if dumpcap is None or tshark is None:
        yield lambda: None
        return
    loopback = "lo" if sys.platform.startswith("linux") else "lo0"
    wanted = " or ".join(f"tcp port {port}" for port in ports)
    with subprocess.Popen([dumpcap, "-q", "-i", loopback, "-f", wanted, "-w", str(path)], stderr=subprocess.PIPE,
                          text=True) as process:
        assert process.stderr
        works = any(line.startswith("File:") for line in iter(process.stderr.readline, ""))

        def count() -> dict[int, Counts] | None:
            time.sleep(LATE)
            process.terminate()
            process.communicate()
            return segments(tshark, path, ports) if works else None

        try:
            yield count
        finally:
            process.kill()


def segments(tshark: str, path: Path, ports: Collection[int]) -> dict[int, Counts]:
    """TCP segments towards each port and from it, IP headers included."""
    command = [tshark, "-r", str(path), "-T", "fields", "-e", "tcp.srcport", "-e", "tcp.dstport", "-e", "ip.len"]
    out = {port: {way: {"count": 0, "bytes": 0} for way in ("up", "down")} for port in ports}
    for line in subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines():
        source, target, size = map(int, line.split("\t"))
        way = out[target]["up"] if target in out else out[source]["down"]
        way["count"] += 1
        way["bytes"] += size
    return out
