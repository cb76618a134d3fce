"""An AT host before a simulated module with a local AEP behind it: types commands, reads answers and URCs in the order
they come."""

import asyncio
import random
import re
from dataclasses import replace
from typing import Any

from tools.ctwing.aep import Aep
from tools.module.board import Board, Identity, NonVolatile
from tools.module.modem import fit
from tools.module.profiles import FAMILIES, Profile
from tools.module.profiles.networks import CHINA_TELECOM
from tools.world.clock import WorldLoop
from tools.world.events import Event, Events
from tools.world.network import Network

PSK = "NOTaSECRETofyour"
NAMES = {"lwm2m.ctwing.cn": ("221.229.214.202", "240e:980:8120:28:84f4:c0c2:4a95:85f9"),
         "2000033383.nb.ctwing.cn": ("221.229.214.202",)}


class Desk:
    """What a seed draws: IMEI, IMSI, payloads, MIDs, ports. `dtls` makes the platform's product a DTLS one."""

    def __init__(self, seed: int = 1, *, family: Profile | None = None, dtls: bool = False, form: str = "imei",
                 power_mode: str = "PSM", nv: NonVolatile | None = None, loss: float = 0.0, **carrier: Any) -> None:
        rng = self.rng = random.Random(f"desk/{seed}")
        self.loop = WorldLoop()
        asyncio.set_event_loop(self.loop)
        self.events = Events(self.loop.time)
        self.network = Network(self.loop, self.events, seed=seed, loss=loss)
        self.aep = Aep(self.loop, self.events, seed=seed)
        self.identity = Identity(imei=str(rng.randrange(10**14, 10**15)),
                                 imsi=str(rng.randrange(46011 * 10**10, 46012 * 10**10)))
        product = self.aep.create_product("meters", endpoint_format=form, power_mode=power_mode,
                                          encryption="dtls" if dtls else "plain")
        self.device = self.aep.create_device(product, name="meter", imei=self.identity.imei, imsi=self.identity.imsi,
                                             psk=PSK if dtls else "")
        real, secure = self.run(self.aep.start()), self.run(self.aep.start_dtls())
        if dtls:
            self.aep.dtls.opened = {}
        for name, addresses in NAMES.items():
            for ip in addresses:
                self.network.serve(ip, 5683, real, [name])
                self.network.serve(ip, 5684, secure, [name])
        family = family or FAMILIES["EC800E"]
        self.board = Board(self.loop, self.network, self.events, nv=nv or NonVolatile(), reason=3, flash=None,
                           profile=replace(family, carrier=replace(CHINA_TELECOM, **carrier)), identity=self.identity,
                           seed=f"{seed}/desk")
        self.board.nv.values["usb"] = True  # the port's cable keeps the CPU on (quecpython.md §4.2)
        self.shown: list[str] = []  # URCs not read yet
        self.events.listeners.append(self._heard)
        fit(self.board)

    def _heard(self, event: Event) -> None:
        if (event.who, event.kind) == ("module", "urc"):
            self.shown.append(event.text)

    def run(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    def wait(self, seconds: float) -> None:
        self.run(self.board.wait(seconds))

    def ready(self) -> "Desk":
        """In service, with what was shown meanwhile read."""
        assert self.run(self.board.wait(60, lambda: self.board.radio.ready))
        self.shown.clear()
        return self

    def type(self, command: str) -> list[str]:
        """The lines of a command's answer, the result last."""
        buffer = bytearray(3000)
        result = self.run(self.board.call("atcmd.sendSync", [command + "\r\n", buffer, "", 5]))
        lines = [line for line in buffer.rstrip(b"\0").decode().replace("\r", "\n").split("\n") if line]
        return lines + ["OK"] * (result == 0)

    def urc(self, within: float = 20.0) -> str:
        """The next URC."""
        assert self.run(self.board.wait(within, lambda: bool(self.shown))), "no URC came"
        return self.shown.pop(0)

    def expect(self, *patterns: str) -> re.Match[str]:
        """The next URCs are these, in this order; the last one's match."""
        match = None
        for pattern in patterns:
            text = self.urc()
            match = re.fullmatch(pattern, text)
            assert match is not None, f"{text!r} came, not {pattern!r}"
        assert match is not None
        return match

    def up(self) -> list[bytes]:
        """Every datagram of the device as the platform saw it, oldest first."""
        return [row.raw for row in self.aep.trace() if row.direction == "up"]

    def down(self) -> list[bytes]:
        return [row.raw for row in self.aep.trace() if row.direction == "down"]

    def close(self) -> None:
        self.board.power_off()
        self.aep.stop()
        self.run(self.network.close())
        self.loop.close()
