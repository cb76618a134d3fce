"""A device's TCP connection made of raw bytes: nothing here is the AEP's codec. And the platform before it, in real
time on loopback."""

import asyncio
import functools
import inspect
import itertools
from collections.abc import Callable, Coroutine
from typing import Any

from tools.aep import UnixLoop
from tools.ctwing.aep import Aep
from tools.world.events import Events

# The guide's example, §4.3.3 (ctwing.md §7.1). Byte 63 of its login is a capital I, whatever the printed password says.
LOGIN = bytes.fromhex("0100173135343336353836383633333138303639393837373237002b6e79366631745341343144515556504436503867"
                      "34694f6b397a574e67354c4761394c497a50796d7545380003312e30")
PRODUCT, NUMBER, TOKEN = 15436586, "863318069987727", "ny6f1tSA41DQUVPD6P8g4iOk9zWNg5LGa9LIzPymuE8"


def login(device: str, token: str, version: str = "1.0", *more: str) -> bytes:
    strings = [one.encode() for one in (device, token, version, *more)]
    return b"\x01" + b"".join(len(one).to_bytes(2, "big") + one for one in strings)


def short(text: str | bytes) -> bytes:
    """A text of MQTT: two bytes of length before it."""
    raw = text.encode() if isinstance(text, str) else text
    return len(raw).to_bytes(2, "big") + raw


def mqtt(first: int, body: bytes) -> bytes:
    """An MQTT packet (MQTT 3.1.1 §2.2)."""
    length, left = b"", len(body)
    while True:
        length += bytes([left & 0x7F | 0x80 * (left > 0x7F)])
        left >>= 7
        if not left:
            return bytes([first]) + length + body


def connect(device: str, token: str | None, *, user: str | None = "any", keep_alive: int = 0, flags: int = 2,
            protocol: bytes = b"\x00\x04MQTT\x04") -> bytes:
    flags |= 0x80 * (user is not None) | 0x40 * (token is not None)
    texts = b"".join(short(one) for one in (device, user, token) if one is not None)
    return mqtt(0x10, protocol + bytes([flags]) + keep_alive.to_bytes(2, "big") + texts)


def publish(topic: str, payload: bytes, qos: int = 0, mid: int = 1, flags: int = 0) -> bytes:
    identity = mid.to_bytes(2, "big") if qos else b""
    return mqtt(0x30 | qos << 1 | flags, short(topic) + identity + payload)


class Stream:
    """What a device's socket gives and takes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, data: bytes | str) -> None:
        self.writer.write(bytes.fromhex(data) if isinstance(data, str) else data)

    async def get(self, count: int, within: float = 5.0) -> bytes:
        return await asyncio.wait_for(self.reader.readexactly(count), within)

    async def ask(self, data: bytes | str, count: int) -> str:
        self.send(data)
        return (await self.get(count)).hex()

    async def closed(self, within: float = 5.0) -> bytes:
        """Waits for the end of the stream; what came before it."""
        try:
            return await asyncio.wait_for(self.reader.read(), within)
        except ConnectionError:
            return b""

    async def silent(self, seconds: float = 0.2) -> bool:
        """Whether nothing comes for so long."""
        try:
            await asyncio.wait_for(self.reader.readexactly(1), seconds)
        except asyncio.TimeoutError:
            return True
        return False

    def close(self) -> None:
        self.writer.close()


def on_unix_time(work: Coroutine[Any, Any, Any]) -> None:
    """Runs on a loop whose clock is the computer's: what certificates are held to."""
    loop = UnixLoop()
    try:
        loop.run_until_complete(asyncio.wait_for(work, 60))
    finally:
        loop.close()


class Loopback:
    """A platform in real time whose product and device have the ids one wants, and connections to it."""

    def __init__(self, **settings: Any) -> None:
        self.loop = asyncio.get_running_loop()
        self.events = Events(self.loop.time)
        self.aep = Aep(self.loop, self.events, **settings)
        self.streams: list[Stream] = []
        self.address: dict[str, tuple[str, int]] = {}

    def create(self, product: int = PRODUCT, number: str = NUMBER, token: str = TOKEN, **settings: Any) -> str:
        """A product with this id, and its device."""
        self.aep.draws.product_id = itertools.count(product).__next__  # type: ignore[method-assign]
        made = self.aep.create_product("meter", **{"protocol": "tcp", **settings})
        return self.aep.create_device(made, name="meter 1", number=number, token=token)

    async def open(self, front: str) -> tuple[str, int]:
        """Where a front listens: "tcp", "mqtt" or "mqtts"."""
        if front not in self.address:
            self.address[front] = await getattr(self.aep, "start_" + front)("127.0.0.1", 0)
        return self.address[front]

    async def connect(self, front: str = "tcp") -> Stream:
        stream = Stream(*await asyncio.open_connection(*await self.open(front)))
        self.streams.append(stream)
        return stream

    def kinds(self) -> list[str]:
        return [event.kind for event in self.events.log]

    def reasons(self, kind: str) -> list[str]:
        return [event.text for event in self.events.of(kind)]

    async def until(self, true: Any) -> None:
        """Waits until something is so, five seconds at most."""
        for _ in range(500):
            if true():
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"not so after 5 s; the events: {self.events.log[-5:]}")

    async def __aenter__(self) -> "Loopback":
        return self

    async def __aexit__(self, *_: object) -> None:
        for stream in self.streams:
            stream.close()
        self.aep.stop()
        await asyncio.sleep(0)


def real(run: Callable[[Coroutine[Any, Any, Any]], None] = asyncio.run, **settings: Any) -> Callable[..., Any]:
    """Makes a test of a coroutine: it runs in real time with a platform as its first argument."""

    def made(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
        @functools.wraps(test)
        def ran(**named: Any) -> None:
            async def main() -> None:
                async with Loopback(**settings) as here:
                    await test(here, **named)

            run(main())

        asked = inspect.signature(test)
        ran.__signature__ = asked.replace(parameters=[*asked.parameters.values()][1:])  # type: ignore[attr-defined]
        return ran

    return made
