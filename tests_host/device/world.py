"""A world under the test's hand: the local AEP, one simulated module with this tree in the CPython engine, and time.

    world = World(config={"report.interval": 3600})
    world.power_on()                # until the power goes; "psm"
    world.command(8001, valve_onoff=0)
    world.wake()                    # at the granted T3412, to the next end
"""

import asyncio
import functools
import json
import random
from dataclasses import replace
from typing import Any

from tools import deployment
from tools.checker import Verdict, check, entries, waiting
from tools.ctwing.aep import Aep
from tools.ctwing.dtls_own import Engine, Options
from tools.deployment import AEP_ADDRESS, AEP_NAMES, AEP_PORT
from tools.module.board import Identity
from tools.module.flash import Flash
from tools.module.modem.misc import NEXT_REASON
from tools.module.module import Module
from tools.module.profiles import FAMILIES
from tools.module.profiles.networks import CHINA_TELECOM
from tools.plan import Plan
from tools.scenario import Run, ScenarioError, files, give
from tools.world.clock import WorldLoop
from tools.world.events import Event, Events
from tools.world.network import Network

HOUR, DAY = 3600, 86400
COMMAND_TTL = 2 * DAY


@functools.lru_cache(maxsize=32)
def image(config: str | None, app: str | None, engine: str = "cpython", protocol: str = "lwm2m", product: int = 0,
          ca: str = "") -> bytes:
    """The flash as it leaves the factory."""
    flash = Flash(blocks=FAMILIES["EC800E"].usr_blocks)
    plan = Plan(engine=engine, app=app, protocol=protocol, config=json.loads(config or "{}"))
    content = files(plan, deployment.config(plan, product, Identity()), ca)
    if config is None:
        del content["config.json"]
    flash.install(content)
    return bytes(flash.image)


class World:
    """`config` are settings beside the server's address, None for no config.json; `app` is another app.py; the VM's
    heap is bounded; `power_mode` is the product's; `dtls` is None without DTLS, else how our own server is; `client` is
    the image's own LwM2M client; the rest changes the carrier's network (tools/module/profiles/networks.py)."""

    def __init__(self, config: dict | None = {}, app: str | None = None, *, provisioned: bool = True, seed: int = 1,  # noqa: B006
                 loss: float = 0.0, platform: bool = True, engine: str = "cpython", power_mode: str = "PSM",
                 dtls: Options | None = None, protocol: str = "lwm2m", client: str = "qlw", **carrier: Any) -> None:
        self.loop = WorldLoop()
        asyncio.set_event_loop(self.loop)
        self.events = Events(self.loop.time)
        self.network = Network(self.loop, self.events, seed=seed, loss=loss)
        self.aep = Aep(self.loop, self.events, seed=seed)
        if dtls is not None:
            self.aep.dtls.engine = Engine(self.aep.dtls.engine.keys, random.Random(seed), dtls)
            self.aep.dtls.opened = {}
            protocol = "lwm2m-dtls"
        plan = Plan(engine=engine, config={"power.mode": "psm", **(config or {})}, app=app, protocol=protocol,
                    provisioned=provisioned)
        self.plan = plan
        self.platform_on() if platform else self.platform_off()
        profile = replace(FAMILIES["EC800E"].with_client(client), carrier=replace(CHINA_TELECOM, **carrier))
        self.module = Module(self.loop, self.network, self.events, profile=profile, seed=seed, engine=engine)
        self.flash = self.module.flash
        product, self.device = deployment.provision(plan, self.aep, self.module.identity, power_mode)
        self.flash.image[:] = image(None if config is None else json.dumps(config, sort_keys=True), app, engine,
                                    protocol, product, self.aep.ca_pem if protocol == "mqtts" else "")
        plan = replace(plan, config=config or {})
        self.run = Run(plan, self.events, self.network, self.aep, self.module, self.device)
        self.run.problem = ScenarioError("by hand", "a test leads", "")  # so wakes may end as it wants
        self.on: asyncio.Task | None = None

    def platform_on(self) -> None:
        """The platform answers from now on."""
        self.loop.run_until_complete(deployment.serve(self.plan, self.network, self.aep))

    def platform_off(self) -> None:
        """Its name resolves, and nobody answers."""
        if self.plan.streams:
            self.network.serve_stream(deployment.STREAM_ADDRESS, 1, ("127.0.0.1", 1))
            for name, addresses in deployment.NAMES.items():
                self.network.name(name, addresses)
            return
        opened = self.loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0))
        transport, _ = self.loop.run_until_complete(opened)
        self.network.serve(AEP_ADDRESS, AEP_PORT, transport.get_extra_info("sockname"), AEP_NAMES)

    def __enter__(self) -> "World":
        return self

    def __exit__(self, *details: Any) -> None:
        if self.on is not None and not self.on.done():
            self.cut()
        self.aep.stop()
        self.loop.run_until_complete(self.network.close())
        asyncio.set_event_loop(None)
        self.loop.close()

    # -- power -----------------------------------------------------------------------------------------------------

    def power_on(self, reason: int = 3, *, cut_at: int | None = None, limit: float = 3 * DAY) -> str:
        """One power-on to its end; says how it ended. AssertionError when it lasts longer than `limit` seconds."""
        self.start(reason, cut_at)
        try:
            return self.loop.run_until_complete(asyncio.wait_for(self.on, limit)).how
        except asyncio.TimeoutError:
            raise AssertionError(f"still on after {limit} s:\n" + "\n".join(self.log()[-10:])) from None

    def wake(self, **options: Any) -> str:
        """Sleeps until the granted T3412 and runs that wake."""
        alarm = self.module.wakes_at()
        assert alarm is not None
        self.advance(alarm - self.loop.time())
        return self.power_on(8, **options)

    def again(self, how: str, **options: Any) -> str:
        """The power-on that follows such an end."""
        return self.wake(**options) if how == "psm" else self.power_on(NEXT_REASON[how], **options)

    def stay(self, seconds: float) -> None:
        """The device is on for so long, over its own restarts."""
        end = self.loop.time() + seconds
        self.start()
        while self.loop.time() < end:
            task = self.on
            assert task is not None
            self.loop.run_until_complete(asyncio.wait({task}, timeout=end - self.loop.time()))
            if not task.done():
                return
            if task.result().how not in ("restart", "watchdog"):
                return
            self.start(NEXT_REASON[task.result().how])

    def start(self, reason: int = 3, cut_at: int | None = None) -> None:
        """Switches on and does not wait."""
        self.module.cut_at_program = cut_at
        self.on = self.loop.create_task(self.module.power_on(reason))

    def cut_in(self, programs: int) -> None:
        """The power goes at that flash program from now, of a module that is on (cpython engine)."""
        context = self.module._running._context
        context.cut_at = context.programs + programs

    def advance(self, seconds: float) -> None:
        """Lets time pass."""
        self.loop.run_until_complete(asyncio.sleep(seconds))

    def cut(self) -> None:
        """The supply fails now."""
        self.module.power_cut()
        assert self.on is not None
        self.loop.run_until_complete(self.on)

    # -- the platform ----------------------------------------------------------------------------------------------

    def command(self, service: int, **fields: Any) -> int:
        """Gives a command; returns its task."""
        return give(self.run, service, fields, COMMAND_TTL)

    def stored(self) -> list[dict[str, Any]]:
        """Every entry the platform has, in the order it came."""
        return entries(self.run)

    def reports(self) -> list[dict[str, Any]]:
        return [entry for entry in self.stored() if "taskId" not in entry]

    def answers(self) -> list[dict[str, Any]]:
        return [entry for entry in self.stored() if "taskId" in entry]

    # -- what is seen ----------------------------------------------------------------------------------------------

    def verdict(self) -> Verdict:
        return check(self.run)

    def waiting(self) -> list[dict[str, Any]]:
        """Entries of the outbox that are not consumed."""
        return waiting(self.flash)

    def record(self, name: str) -> dict[str, Any]:
        """A record of /usr/state, {} where there is none."""
        path = f"state/{name}.rec"
        return json.loads(self.flash.read(path)[9:]) if self.flash.exists(path) else {}

    def boot_record(self) -> dict[str, Any]:
        return json.loads(self.flash.read("boot.rec")[9:])

    def counters(self) -> dict[str, int]:
        return self.record("health").get("counters", {})

    def of(self, *kinds: str) -> list[Event]:
        return self.events.of(*kinds)

    def log(self) -> list[str]:
        """What the application wrote."""
        return [event.text for event in self.events.of("log", "console")]

    def milliseconds(self, state: str) -> int:
        """Time the module has spent in a state of the power meter, over its life."""
        return self.module.board.meter.us(state) // 1000
