"""A broker of a few lines for the tests of MQTT on a module: it answers as it is told to, and remembers what came."""

import asyncio
import struct
from collections.abc import Callable
from typing import Any

from tests_host.module.bench import PEER, Bench
from tools.world.clock import WorldLoop

NAME = "mqtt.ctwing.cn"
CONNECT, PUBLISH, PUBACK, SUBSCRIBE, PINGREQ, DISCONNECT = 1, 3, 4, 8, 12, 14


def packet(first: int, body: bytes = b"") -> bytes:
    """Bodies of the tests that are longer than 127 bytes have two bytes of length."""
    length = len(body)
    return bytes([first, length] if length < 128 else [first, length & 0x7F | 0x80, length >> 7]) + body


def message(topic: bytes, payload: bytes, qos: int = 0, number: int = 1) -> bytes:
    head = struct.pack("!H", len(topic)) + topic + (struct.pack("!H", number) if qos else b"")
    return packet(0x30 | qos << 1, head + payload)


class Broker:
    """Its switches are attributes; `came` has (kind, first byte, body) of each packet, `links` the connections."""

    def __init__(self) -> None:
        self.came: list[tuple[int, int, bytes]] = []
        self.links: list[Link] = []
        self.refuse = 0  # CONNACK's code
        self.silent: set[int] = set()  # kinds that are not answered
        self.fin_after_connack = False
        self.suback = 0
        self.on_packet: Callable[[int], None] = lambda kind: None

    def serve(self, bench: Bench, tls: Any = None) -> "Broker":
        """Puts the broker on the bench's network."""
        server = bench.loop.run_until_complete(
            bench.loop.create_server(lambda: Link(self, bench.loop), "127.0.0.1", 0, ssl=tls)
        )
        bench.network.serve_stream(*PEER, server.sockets[0].getsockname())
        bench.network.name(NAME, [PEER[0]])
        return self

    def kinds(self) -> list[int]:
        return [kind for kind, _, _ in self.came]

    def open(self) -> int:
        """Connections that stand."""
        return sum(not link.ended for link in self.links)


class Link(asyncio.Protocol):
    """One connection."""

    def __init__(self, broker: Broker, loop: WorldLoop) -> None:
        self.broker, self.loop = broker, loop
        self.data = b""
        self.ended = False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.broker.links.append(self)

    def connection_lost(self, error: Exception | None) -> None:
        self.ended = True

    def data_received(self, data: bytes) -> None:
        self.data += data
        while len(self.data) >= 2:
            length, head = self.data[1], 2
            if length & 0x80 and len(self.data) == 2:
                return
            if length & 0x80:
                length, head = length & 0x7F | self.data[2] << 7, 3
            if len(self.data) < head + length:
                return
            first, body = self.data[0], self.data[head : head + length]
            self.data = self.data[head + length :]
            self.take(first, body)

    def take(self, first: int, body: bytes) -> None:
        broker, kind = self.broker, first >> 4
        broker.came.append((kind, first, body))
        broker.on_packet(kind)
        if kind in broker.silent:
            return
        if kind == CONNECT:
            self.transport.write(packet(0x20, bytes([0, broker.refuse])))
            if broker.refuse or broker.fin_after_connack:
                self.transport.close()
        elif kind == PUBLISH and first & 6:
            start = 2 + (body[0] << 8 | body[1])
            self.transport.write(packet(0x40, body[start : start + 2]))
        elif kind == SUBSCRIBE:
            self.transport.write(packet(0x90, body[:2] + bytes([broker.suback])))
        elif kind == PINGREQ:
            self.transport.write(packet(0xD0))
        elif kind == DISCONNECT:
            self.transport.close()
