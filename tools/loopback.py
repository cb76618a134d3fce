"""Ports of loopback for servers that must be told one: below those that the system gives out by itself, so that nobody
gets one between the look and the server's start; processes begin at different places."""

import itertools
import os
import socket

FIRST, COUNT = 20_000, 12_000  # Linux gives out those from 32768 on, macOS from 49152
APART = 7417  # between two process ids: far from each other, neighbours and the next ones

_next = itertools.count(os.getpid() * APART)


def free_port() -> int:
    """A port that nobody has, for TCP or UDP, and that this process was not given before."""
    for at in itertools.islice(_next, COUNT):
        port = FIRST + at % COUNT
        if all(_is_free(port, kind) for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM)):
            return port
    raise OSError("no free port")


def _is_free(port: int, kind: socket.SocketKind) -> bool:
    with socket.socket(socket.AF_INET, kind) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
