"""One run of the product: a world, a local AEP with one device, a simulated module with this tree, and so many wakes.

Everything else reads what a run leaves behind: the events, the network's trace, the platform's database, the flash.
"""

import asyncio
import itertools
import json
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from tools.ctwing.aep import TTL_LIMIT, Aep
from tools.module.board import PowerOff
from tools.module.modem.misc import NEXT_REASON
from tools.module.module import Module
from tools.module.profiles import FAMILIES
from tools.module.tree import CompileError, boot_record, build
from tools.tables import ROOT, default
from tools.world.clock import WorldLoop
from tools.world.events import Event, Events
from tools.world.network import Network

AEP_ADDRESS, AEP_PORT = "221.229.214.202", 5683  # ctwing.md §0
AEP_NAMES = ("lwm2m.ctwing.cn",)
BATTERY_INSERTED, PSM_WAKE = 3, 8  # Power.powerOnReason() (quecpython.md §3.6)
RESTARTS = 3
"""In a row, after which a run is given up; as many as make a tree bad (boot.py)."""

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


def interval(plan: Plan) -> int:
    """Seconds between wakes, as far as the plan's config is one that the device can use."""
    given = plan.config.get("report.interval")
    return given if isinstance(given, int) and given > 0 else default("report.interval")


def play(plan: Plan, listen: Callable[[Event], None] | None = None) -> Run:
    """Runs a plan to its end in virtual time. What keeps it from its end is in `problem` of the result. Raises
    ScenarioError where it cannot even begin, KeyboardInterrupt where it was stopped (the second time at once)."""
    loop = WorldLoop()
    asyncio.set_event_loop(loop)
    events = Events(loop.time)
    if listen is not None:
        events.listeners.append(listen)
    before = signal.getsignal(signal.SIGINT)

    def interrupt(number: int, frame: object) -> None:
        if loop.jump.failure is not None:
            raise KeyboardInterrupt
        loop.jump.failure = KeyboardInterrupt()  # raised by the loop: inside littlefs it would be swallowed

    in_main = threading.current_thread() is threading.main_thread()
    if in_main:
        signal.signal(signal.SIGINT, interrupt)
    try:
        return loop.run_until_complete(_play(loop, events, plan))
    finally:
        events.listeners.clear()  # what follows is taking down, not part of the run
        loop.jump.failure = None
        left = asyncio.all_tasks(loop)  # only where the run was stopped
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        if in_main:
            signal.signal(signal.SIGINT, before)
        asyncio.set_event_loop(None)
        loop.close()


async def _play(loop: WorldLoop, events: Events, plan: Plan) -> Run:
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
        events.listeners.clear()
        aep.stop()
        await network.close()
    return run


def files(plan: Plan) -> dict[str, bytes]:
    """Contents of /usr as they leave the factory: this tree, compiled for the engine, and config.json."""
    if plan.config.get("power.mode", "psm") != "psm":
        raise ScenarioError("no-psm", "a run counts wakes from PSM", "set power.mode to psm, or leave it out")
    try:
        tree = build(ROOT, engine=plan.engine, replace={"app.py": plan.app.encode()} if plan.app else {})
    except CompileError as error:
        lines = [line.strip() for line in str(error).splitlines() if not line.startswith("Traceback")]
        raise ScenarioError("compile", ": ".join(lines), "see `make check`") from None
    config = {
        "server.host": AEP_NAMES[0],
        "server.port": AEP_PORT,
        "lwm2m.endpoint": plan.endpoint_format,
        **plan.config,
    }
    return {**tree, "boot.rec": boot_record(), "config.json": json.dumps(config, indent=1).encode()}


async def _wakes(loop: WorldLoop, run: Run) -> None:
    module, plan = run.module, run.plan
    reason = BATTERY_INSERTED
    orders = itertools.cycle(COMMANDS)
    restarts = 0
    while True:
        end, wake = await _power_on(loop, run, reason)
        if end.how in ("restart", "watchdog"):
            restarts += 1
            if restarts > RESTARTS:
                raise ScenarioError("restarts", f"the module restarts again and again: {_why(run)}", "see the log")
            reason = NEXT_REASON[end.how]
            continue
        if end.how != "psm":
            text = f"the module stopped: {end.how} {end.detail}".strip()
            raise ScenarioError("stopped", text, "see the last log lines")
        restarts = 0
        run.wakes.append(wake)
        if len(run.wakes) == plan.wakes:
            return
        alarm = module.wakes_at()
        if alarm is None:
            raise ScenarioError("no-alarm", "nothing would ever wake the module", "the network granted no T3412")
        await asyncio.sleep((alarm - loop.time()) / 2)
        # The last command has two wakes: where its only datagram is lost, the platform keeps it for the next.
        if plan.commands and (len(run.wakes) < plan.wakes - 1 or plan.wakes == 2):
            _command(run, *next(orders))
        await asyncio.sleep(alarm - loop.time())
        reason = PSM_WAKE


async def _power_on(loop: WorldLoop, run: Run, reason: int) -> tuple[PowerOff, Wake]:
    """One power-on and what it took; ScenarioError where it has no end."""
    module = run.module
    wake = Wake(loop.time(), run.network.mark(), reason)
    before = run.ledger()
    try:
        end = await asyncio.wait_for(module.power_on(reason), 2 * 86400 + 2 * interval(run.plan))
    except asyncio.TimeoutError:
        raise _awake(run) from None
    wake.ended, wake.end_mark, wake.flash_programs = loop.time(), run.network.mark(), module.programs
    after = run.ledger()
    wake.connected_ms = after["connected_ms"] - before["connected_ms"]
    wake.charge_mc = round(after["charge_mc"] - before["charge_mc"] - (after["psm_mc"] - before["psm_mc"]), 3)
    return end, wake


def _command(run: Run, service: int, fields: dict) -> None:
    task = len(run.given) + 1
    body = json.dumps({**fields, "taskId": task, "serviceId": service}, separators=(",", ":"))
    ttl = min(TTL_LIMIT, 3 * interval(run.plan) + 86400)  # longer than the sleeps it may have to wait
    number = run.aep.command(run.device, body, data_type="json", ttl=ttl)
    run.given.append(Given(task, service, fields, number))


def _why(run: Run) -> str:
    """What boot.py recorded of the last failure."""
    if not run.module.flash.exists("boot.rec"):
        return "nothing is recorded"
    return json.loads(run.module.flash.read("boot.rec")[9:])["why"]


def _awake(run: Run) -> ScenarioError:
    """Why a wake never ended in PSM, as far as it can be told."""
    text = f"wake {len(run.wakes) + 1} never ended in PSM"
    for event in reversed(run.events.of("log", "console")):
        if "waiting for /usr/config.json" in event.text:
            return ScenarioError("unprovisioned", event.text.split(": ", 1)[-1], "see docs/configuration.md")
        if event.text.startswith("boot: no tree starts"):
            return ScenarioError("no-tree", _why(run), "the application does not start; see the log")
    granted = run.events.of("psm")
    if not granted or granted[-1].text == "not granted":
        return ScenarioError("no-psm", text, "the network granted no PSM timers; see the network's profile")
    return ScenarioError("no-psm", text, "PSM was granted but something kept the module awake: a wakelock, USB, or "
                         "the application itself")


def quicker(plan: Plan) -> Plan:
    """The same plan in the engine without a VM: for tests and tables."""
    return replace(plan, engine="cpython", measure_heap=False)
