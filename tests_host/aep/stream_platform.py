"""A platform at the other end of a stream, for the sessions over a connection: it answers what a device says as AEP
does, or something near it. It is clock, number store and socket in one; time moves only when a session waits.
"""

import importlib
import random
import sys
import types

import aep
import link
from aep.stream_faults import ConnectionLost, NoConnection

LATENCY = 40  # ms
WORKING = 1  # ms that a received piece takes at least: a flood takes time too
FOREIGN = (
    b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x15\x03\x03\x00\x02\x02\x46", b"220 mail ESMTP\r\n", b"\x40\x01\x00\x01",
    b"\x05\x00\x00", b"\x20\x02\x00\x00", b"\x00" * 40, b"\xff" * 40,
)  # fmt: skip


def rooms(monkeypatch):
    """aep.mqtt and aep.tcp over the streams below, for one test; whoever else imports them gets the real ones."""
    sockets = types.SimpleNamespace(resolve_or=lambda host, port, own, last: (host, False))
    for name, fake in (("sockets", sockets), ("streams", types.SimpleNamespace(Stream=Stream)),
                       ("cell", types.SimpleNamespace())):
        monkeypatch.setitem(sys.modules, "link." + name, fake)
        monkeypatch.setattr(link, name, fake, raising=False)
    for name in ("aep.connected", "aep.topics", "aep.own_mqtt", "aep.mqtt", "aep.tcp"):
        monkeypatch.setitem(sys.modules, name, None)  # what was there comes back, and what was not goes
        del sys.modules[name]
        monkeypatch.delattr(aep, name.partition(".")[2], raising=False)
    return {name: importlib.import_module("aep." + name) for name in ("mqtt", "tcp")}


class Platform:
    """`hostile` is the share of its answers that are changed on the way, 0: an honest one."""

    def __init__(self, seed):
        self.draw = random.Random(seed)
        self.time, self.hostile, self.numbers, self.commands = 0, 0.0, 100, 0
        self.open = self.opened = self.given = 0  # connections that are open and were made, bytes that were read

    # clock and number store

    def now(self):
        return self.time

    def unix(self):
        return 1795392000 + self.time // 1000

    def sleep(self, wait):
        self.time += wait

    def next(self, name):
        self.numbers += 1
        return self.numbers

    # what a protocol says

    def answer(self, data):
        """The frames with which it answers what the device has sent."""
        raise NotImplementedError

    def command(self):
        """A frame with a command."""
        raise NotImplementedError

    def replies(self, data):
        """What comes back, as pieces of bytes; a hostile platform changes some of it, forgets, adds, floods."""
        frames = self.answer(data)
        if self.draw.random() < 0.3:
            frames.append(self.command())
        if self.draw.random() < self.hostile:
            frames = self.changed(frames)
        whole, pieces = b"".join(frames), []
        while whole:
            size = self.draw.choice((1, 2, 7, 1024, 1024)) if self.hostile else 1024
            pieces.append(whole[:size])
            whole = whole[size:]
        return pieces

    def changed(self, frames):
        draw, way = self.draw, self.draw.randrange(9)
        if way == 0:
            return []
        if way == 1:
            return frames * draw.choice((2, 20, 400))
        if way == 2:
            return [draw.choice(FOREIGN), *frames]
        if way == 3:
            return [*frames, draw.randbytes(draw.randint(1, 2000))]
        if way == 4:
            return frames[::-1] + [self.command() for _ in range(draw.choice((1, 30, 300)))]
        whole = bytearray(b"".join([*frames, self.command()]))
        at = draw.randrange(len(whole))
        if way == 5:
            whole[at] ^= 1 << draw.randrange(8)
        elif way == 6:
            del whole[at : at + draw.randint(1, 8)]
        elif way == 7:
            whole[at:at] = draw.choice((b"\xff\xff\xff\xff", b"\x00", draw.randbytes(4)))
        else:
            whole[at] = draw.choice((0, 0x7F, 0x80, 0xFF))
        return [bytes(whole)]


class Mqtt(Platform):
    def answer(self, data):
        frames = []
        while data:
            at = 2 if data[1] < 0x80 else 3
            size = data[1] & 0x7F | (data[2] << 7 if at == 3 else 0)
            packet, data = data[: at + size], data[at + size :]
            kind = packet[0] >> 4
            if kind == 1:
                code = self.draw.randrange(1, 6) if self.draw.random() < 0.1 * self.hostile else 0
                frames.append(bytes((0x20, 2, 0, code)))
            elif kind == 3 and packet[0] & 6:
                topic = int.from_bytes(packet[at : at + 2], "big")
                frames.append(b"\x40\x02" + packet[at + 2 + topic : at + 4 + topic])
            elif kind == 8:
                frames.append(b"\x90\x03" + packet[at : at + 2] + b"\x01")
            elif kind == 12:
                frames.append(b"\xd0\x00")
        return frames

    def command(self):
        self.commands += 1
        body = content(self.draw, self.commands)
        topic = self.draw.choice((b"device_control", b"valve_onoff_control", b"t"))
        rest = len(topic).to_bytes(2, "big") + topic + (self.commands % 0xFFFF + 1).to_bytes(2, "big") + body
        size = len(rest)
        length = bytes((size,)) if size < 0x80 else bytes((size & 0x7F | 0x80, size >> 7))
        return bytes((self.draw.choice((0x32, 0x3A, 0x33)),)) + length + rest


class Tcp(Platform):
    def __init__(self, seed, version):
        super().__init__(seed)
        self.version = version

    def answer(self, data):
        frames = []
        while data:
            kind = data[0]
            if kind == 1:
                code = self.draw.randrange(1, 5) if self.draw.random() < 0.1 * self.hostile else 0
                return [b"\x05\x00" + bytes((code,))]
            size = 1 if kind == 4 else 3 + int.from_bytes(data[1:3], "big")
            frame, data = data[:size], data[size:]
            if kind == 4:
                frames.append(b"\x06")
            elif kind == 2 and self.version == "1.1":
                frames.append(b"\x82\x00\x04" + frame[3:5] + b"\x00\x00")
        return frames

    def command(self):
        self.commands += 1
        body = content(self.draw, self.commands)
        if self.version == "1.1":
            service = self.draw.choice((8001, 8004, 8006, 9999))
            body = (self.commands & 0xFFFF).to_bytes(2, "big") + service.to_bytes(2, "big") + body[:4]
        return b"\x03" + len(body).to_bytes(2, "big") + body


def content(draw, task):
    """What a command says, or nearly."""
    return draw.choice((
        b'{"serviceId":8001,"taskId":%d,"valve_onoff":0}' % task, b'{"taskId":%d,"payload":{"valve_onoff":1}}' % task,
        b'{"taskId":[[[[', b"[" * 300, b'{"serviceId":1e999,"taskId":-1}', draw.randbytes(draw.randint(0, 600)),
        b'{"taskId":%d,"payload":"\\ud800"}' % task, b"null", b"\xff\xfe",
    ))  # fmt: skip


class Stream:
    """Stands in for link.streams.Stream; `platform` is set before a session opens."""

    platform = None

    def __init__(self, address, port, clock, host="", ca=None):
        platform = self._platform = Stream.platform
        platform.time += 2 * LATENCY
        if platform.draw.random() < 0.05 * platform.hostile:
            raise NoConnection("refused")
        platform.open += 1
        platform.opened += 1
        self._open, self._pieces = True, []

    def send(self, data):
        platform = self._platform
        if platform.draw.random() < 0.05 * platform.hostile:
            raise ConnectionLost("send: error 104")
        self._pieces += [(platform.time + 2 * LATENCY, piece) for piece in platform.replies(bytes(data))]

    def receive(self, until):
        platform = self._platform
        if platform.draw.random() < 0.02 * platform.hostile:
            raise ConnectionLost("the platform has closed the connection")
        if not self._pieces or self._pieces[0][0] > until or platform.time >= until:
            platform.time = max(platform.time, until)
            return None
        when, piece = self._pieces.pop(0)
        platform.time = max(platform.time + WORKING, when)
        platform.given += len(piece)
        return piece

    def close(self):
        if self._open:
            self._open = False
            self._platform.open -= 1
