"""A platform on a world's clock, with a device of raw bytes before it."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from tests_host.ctwing.raw_device import IMEI, IMSI, Wire
from tools.ctwing.aep import Aep
from tools.world.clock import WorldLoop
from tools.world.events import Events


class World:
    def __init__(self) -> None:
        self.loop = WorldLoop()
        self.events = Events(self.loop.time)
        self.open: list[Aep | Wire] = []

    def aep(self, **settings: Any) -> Aep:
        platform = Aep(self.loop, self.events, **settings)
        self.open.append(platform)
        return platform

    async def wire(self, platform: tuple[str, int]) -> Wire:
        _, wire = await self.loop.create_datagram_endpoint(lambda: Wire(platform), local_addr=("127.0.0.1", 0))
        self.open.append(wire)
        return wire

    async def device(self, aep: Aep, **product: Any) -> tuple[str, Wire]:
        """A started platform with one device, and that device's socket."""
        number = aep.create_product("meter", **product)
        device = aep.create_device(number, name="meter 1", imei=IMEI, imsi=IMSI)
        return device, await self.wire(await aep.start())

    async def registered(self, aep: Aep, **product: Any) -> tuple[str, Wire, bytes]:
        """The same, registered and observed, and the token of that observation."""
        device, wire = await self.device(aep, **product)
        await wire.register()
        return device, wire, await wire.observed()

    def run(self, work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        return self.loop.run_until_complete(work())

    def kinds(self) -> list[str]:
        return [event.kind for event in self.events.log]

    def close(self) -> None:
        for one in self.open:
            one.stop() if isinstance(one, Aep) else one.close()
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.close()


@pytest.fixture
def world():
    made = World()
    yield made
    made.close()


@pytest.fixture(params=["mbedtls", "own"])
def engine(request):
    """Who speaks DTLS for the platform."""
    if request.param == "mbedtls":
        pytest.importorskip("mbedtls", reason="python-mbedtls has no wheel for this Python")
    return request.param
