"""One run of the product: a world, a local AEP with one device, a simulated module with this tree, and so many wakes.

Everything else reads what a run leaves behind: the events, the network's trace, the platform's database, the flash.
"""

import asyncio
import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tools.ctwing.aep import Aep
from tools.module.module import Module
from tools.module.profiles import FAMILIES
from tools.module.tree import build
from tools.world.clock import WorldLoop
from tools.world.events import Event, Events
from tools.world.network import Network

ROOT = Path(__file__).resolve().parent.parent
AEP_ADDRESS, AEP_PORT = "221.229.214.202", 5683  # ctwing.md §0
AEP_NAMES = ("lwm2m.ctwing.cn",)
COMMAND_TTL = 172_800  # s: longer than a sleep, so that the cached command is there when the device wakes
BATTERY_INSERTED, PSM_WAKE, RESTARTED = 3, 8, 2  # Power.powerOnReason() (quecpython.md §3.6)

# The guide's commands (ctwing.md §1.7), in turn: service id and field.
COMMANDS = (
    (8001, {"valve_onoff": 0}),
    (8004, {"frozen_period": 6}),
    (8006, {"valveoff_enable": 1}),
    (8001, {"valve_onoff": 1}),
)


@dataclass(frozen=True)
class Plan:
    """What to run. `loss` is the share of datagrams lost; `token_length` None draws 1-8 by seed."""

    family: str = "EC800E"
    engine: str = "vm"
    wakes: int = 3
    seed: int = 1
    loss: float = 0.0
    protocol: str = "lwm2m"
    endpoint_format: str = "imei"
    token_length: int | None = 4
    commands: bool = True
    measure_heap: bool = True
    config: dict = field(default_factory=dict)
    """Settings beside the server's address; they win over what the scenario sets."""
    app: str | None = None
    """Source of another app.py than this tree's."""
    provisioned: bool = True
    """Whether the device exists on the platform."""


class ScenarioError(Exception):
    """The run could not be carried to its end. `name` is a stable word, `hint` says what to look at."""

    def __init__(self, name: str, text: str, hint: str) -> None:
        super().__init__(text)
        self.name, self.hint = name, hint


@dataclass
class Wake:
    """One wake: where it begins in the trace and how long the radio connection was held."""

    began: float
    mark: int
    reason: int
    ended: float = 0.0
    end_mark: int = 0
    connected_ms: int = 0
    charge_mc: float = 0.0
    flash_programs: int = 0


@dataclass
class Given:
    """A command as it was given to the platform."""

    task: int
    service: int
    fields: dict
    command: int


@dataclass
class Run:
    """What a run leaves behind."""

    plan: Plan
    events: Events
    network: Network
    aep: Aep
    module: Module
    device: str
    wakes: list[Wake] = field(default_factory=list)
    given: list[Given] = field(default_factory=list)
    problem: ScenarioError | None = None

    def ledger(self) -> dict[str, Any]:
        """The power meter's totals: `connected_ms`, `charge_mc`, and of that `psm_mc`, drawn while powered down."""
        board = self.module.board
        if board is None:
            return {"connected_ms": 0, "charge_mc": 0.0, "psm_mc": 0.0}
        report = board.meter.report()
        return {**report, "psm_mc": report["mc"].get("psm", 0.0)}


def play(plan: Plan, listen: Callable[[Event], None] | None = None) -> Run:
    """Runs a plan to its end in virtual time. What keeps it from its end is in `problem` of the result."""
    loop = WorldLoop()
    asyncio.set_event_loop(loop)
    try:
        return loop.run_until_complete(_play(loop, plan, listen))
    finally:
        for task in asyncio.all_tasks(loop):  # left only where the simulation itself has failed
            task.cancel()
        loop.run_until_complete(loop.shutdown_asyncgens())
        asyncio.set_event_loop(None)
        loop.close()


async def _play(loop: WorldLoop, plan: Plan, listen: Callable[[Event], None] | None) -> Run:
    events = Events(loop.time)
    if listen is not None:
        events.listeners.append(listen)
    network = Network(loop, events, seed=plan.seed, loss=plan.loss)
    aep = Aep(loop, events, seed=plan.seed, token_length=plan.token_length)
    network.serve(AEP_ADDRESS, AEP_PORT, await aep.start(), AEP_NAMES)
    module = Module(
        loop, network, events, profile=FAMILIES[plan.family], seed=plan.seed, engine=plan.engine,
        measure_heap=plan.measure_heap,
    )
    product = aep.create_product("water meters", endpoint_format=plan.endpoint_format, power_mode="PSM")
    who = module.identity
    imei = who.imei if plan.provisioned else "86000000" + who.imei[8:]
    device = aep.create_device(product, name="meter", imei=imei, imsi=who.imsi)
    events.emit("aep", "product", f"product {product}, device {device[:8]}… created", product=product, device=device)
    module.flash.install(files(plan))
    run = Run(plan, events, network, aep, module, device)
    try:
        await _wakes(loop, run)
    except ScenarioError as problem:
        run.problem = problem
    finally:
        events.listeners.clear()  # what follows is taking down, not part of the run
        aep.stop()
        await network.close()
    return run


def files(plan: Plan) -> dict[str, bytes]:
    """Contents of /usr as they leave the factory: this tree, compiled for the engine, and config.json."""
    tree = build(ROOT, engine=plan.engine, replace={"app.py": plan.app.encode()} if plan.app else {})
    config = {
        "server.host": AEP_NAMES[0],
        "server.port": AEP_PORT,
        "lwm2m.endpoint": plan.endpoint_format,
        **plan.config,
    }
    return {**tree, "config.json": json.dumps(config, indent=1).encode()}


async def _wakes(loop: WorldLoop, run: Run) -> None:
    module, plan = run.module, run.plan
    reason = BATTERY_INSERTED
    orders = itertools.cycle(COMMANDS)
    restarts = 0
    while len(run.wakes) < plan.wakes:
        wake = Wake(loop.time(), run.network.mark(), reason)
        before = run.ledger()
        patience = 2 * 86400 + 2 * int(plan.config.get("report.interval", 21600))
        try:
            end = await asyncio.wait_for(module.power_on(reason), patience)
        except asyncio.TimeoutError:
            raise ScenarioError("no-psm", f"wake {len(run.wakes) + 1} never ended in PSM", _psm_hint(run)) from None
        wake.ended, wake.end_mark, wake.flash_programs = loop.time(), run.network.mark(), module.programs
        after = run.ledger()
        wake.connected_ms = after["connected_ms"] - before["connected_ms"]
        wake.charge_mc = round(after["charge_mc"] - before["charge_mc"] - (after["psm_mc"] - before["psm_mc"]), 3)
        if end.how == "restart":
            restarts += 1
            if restarts > 3:
                raise ScenarioError("restarts", "the module restarts again and again", "see the log before them")
            reason = RESTARTED
            continue
        if end.how != "psm":
            text = f"the module stopped: {end.how} {end.detail}".strip()
            raise ScenarioError("stopped", text, "see the last log lines")
        run.wakes.append(wake)
        if len(run.wakes) == plan.wakes:
            return
        alarm = module.wakes_at()
        if alarm is None:
            raise ScenarioError("no-alarm", "nothing would ever wake the module", "the network granted no T3412")
        await asyncio.sleep((alarm - loop.time()) / 2)
        if plan.commands:
            _command(run, *next(orders))
        await asyncio.sleep(alarm - loop.time())
        reason = PSM_WAKE


def _command(run: Run, service: int, fields: dict) -> None:
    task = len(run.given) + 1
    body = json.dumps({**fields, "taskId": task, "serviceId": service}, separators=(",", ":"))
    number = run.aep.command(run.device, body, data_type="json", ttl=COMMAND_TTL)
    run.given.append(Given(task, service, fields, number))


def _psm_hint(run: Run) -> str:
    granted = [event for event in run.events.of("psm")]
    if not granted or granted[-1].text == "not granted":
        return "the network granted no PSM timers: check power.mode and the network profile"
    return "PSM was granted but something kept the module awake: a wakelock, USB, or the application itself"


def quicker(plan: Plan) -> Plan:
    """The same plan in the engine without a VM: for tests and tables."""
    return replace(plan, engine="cpython", measure_heap=False)
