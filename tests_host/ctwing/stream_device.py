"""A device's TCP connection made of raw bytes: nothing here is the AEP's codec. And the platform before it, in real
time on loopback."""

import asyncio
from typing import Any

from tools.ctwing.aep import Aep
from tools.world.events import Events

# The guide's example, §4.3.3 (ctwing.md §7.1). Byte 63 of its login is a capital I, whatever the printed password says.
LOGIN = bytes.fromhex("0100173135343336353836383633333138303639393837373237002b6e79366631745341343144515556504436503867"
                      "34694f6b397a574e67354c4761394c497a50796d7545380003312e30")
PRODUCT, NUMBER, TOKEN = 15436586, "863318069987727", "ny6f1tSA41DQUVPD6P8g4iOk9zWNg5LGa9LIzPymuE8"


def login(device: str, token: str, version: str = "1.0", *more: str) -> bytes:
    strings = [one.encode() for one in (device, token, version, *more)]
    return b"\x01" + b"".join(len(one).to_bytes(2, "big") + one for one in strings)


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


class Loopback:
    """A platform in real time whose product and device have the ids one wants, and connections to it."""

    def __init__(self, **settings: Any) -> None:
        self.loop = asyncio.get_running_loop()
        self.events = Events(self.loop.time)
        self.aep = Aep(self.loop, self.events, **settings)
        self.streams: list[Stream] = []
        self.address: tuple[str, int] = ("", 0)

    def create(self, product: int = PRODUCT, number: str = NUMBER, token: str = TOKEN, **settings: Any) -> str:
        """A product with this id, and its device."""
        self.aep.draws.product_id = lambda: product  # type: ignore[method-assign]
        made = self.aep.create_product("meter", **{"protocol": "tcp", **settings})
        return self.aep.create_device(made, name="meter 1", number=number, token=token)

    async def connect(self) -> Stream:
        if not self.address[1]:
            self.address = await self.aep.start_tcp("127.0.0.1", 0)
        stream = Stream(*await asyncio.open_connection(*self.address))
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
