"""A fitted board without an engine: the tests of the stand-ins call it as an engine would."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tools.module.board import Board, Identity, NonVolatile, PowerOff
from tools.module.modem import fit
from tools.module.profiles import FAMILIES, Profile
from tools.module.profiles.networks import CHINA_TELECOM
from tools.world.clock import WorldLoop
from tools.world.events import Events

EC800E = FAMILIES["EC800E"]


def profile(**carrier: Any) -> Profile:
    """EC800E on China Telecom with these changes to the network."""
    return replace(EC800E, carrier=replace(CHINA_TELECOM, **carrier))


class Rig:
    """One module without flash and network. `ask("net.getState")` is a call of the application; `again` is the next
    power-on of the same module."""

    def __init__(self, family: Profile = EC800E, *, nv: NonVolatile | None = None, reason: int = 3, seed: str = "1",
                 loop: WorldLoop | None = None, flash: Any = None) -> None:
        self.loop = loop or WorldLoop()
        asyncio.set_event_loop(self.loop)
        self.events = Events(self.loop.time)
        self.nv = nv or NonVolatile()
        self.told: dict[int, list[Any]] = {}
        self.board = Board(self.loop, None, self.events, profile=family, identity=Identity(), nv=self.nv, seed=seed,
                           reason=reason, flash=flash)
        self.board.deliver = self._deliver
        fit(self.board)

    async def _deliver(self, callback: int, argument: Any) -> None:
        self.told.setdefault(callback, []).append(argument)

    def ask(self, name: str, *args: Any, **named: Any) -> Any:
        return self.loop.run_until_complete(self.board.call(name, list(args), named))

    def make(self, name: str, *args: Any) -> Callable[..., Any]:
        """Constructs an object; what comes back calls its methods: `uart("read", 3)`."""
        handle = self.ask(name, *args)
        return lambda method, *rest, **named: self.ask(f"@{handle}.{method}", *rest, **named)

    def at(self, command: str, size: int = 256) -> tuple[int, str]:
        """(result, text without padding) of an AT command."""
        buffer = bytearray(size)
        result = self.ask("atcmd.sendSync", command + "\r\n", buffer, "", 5)
        return result, buffer.rstrip(b"\0").decode()

    def wait(self, seconds: float | None, until: Callable[[], Any] = lambda: False) -> bool:
        """The application sleeps."""
        return self.loop.run_until_complete(self.board.wait(seconds, until))

    def until_ready(self) -> "Rig":
        assert self.ask("checkNet.waitNetworkReady", 60) == (3, 1)
        return self

    def until_idle(self) -> "Rig":
        assert self.wait(60, lambda: self.board.radio.rrc == "idle")
        return self

    def until_power_off(self, seconds: float = 1e7) -> str | None:
        """How the power goes while the application sleeps; None if it does not."""
        try:
            self.wait(seconds)
        except PowerOff as end:
            self.board.power_off()
            return end.how
        return None

    def again(self, reason: int = 8, after: float = 0.0, family: Profile | None = None, seed: str = "2") -> "Rig":
        """The next power-on, `after` seconds later."""
        self.loop.run_until_complete(asyncio.sleep(after))
        return Rig(family or self.board.profile, nv=self.nv, reason=reason, seed=seed, loop=self.loop)

    def kinds(self, *kinds: str) -> list[str]:
        return [f"{event.kind} {event.text}" for event in self.events.of(*kinds)]
