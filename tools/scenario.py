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

from tools import deployment
from tools.ctwing.aep import TTL_LIMIT, Aep
from tools.module.board import Identity, PowerOff
from tools.module.flash import Flash
from tools.module.modem.misc import NEXT_REASON
from tools.module.module import Module
from tools.module.profiles import FAMILIES, Profile
from tools.module.tree import CompileError, boot_record, build, spared, surplus
from tools.plan import BINARY, TRANSPARENT, Plan
from tools.tables import ROOT, setting
from tools.things import declaration, encode
from tools.world.clock import WorldLoop
from tools.world.events import Event, Events
from tools.world.network import Datagram, Network

NO_BOOT, BATTERY_INSERTED, PSM_WAKE = 0, 3, 8  # Power.powerOnReason() (quecpython.md §3.6); 0: it was on already
RESTARTS = 3
"""Within an hour, after which a run is given up; as many as make a tree bad (boot.py)."""

RESETS = ("restart", "watchdog", "cut")
"""Ends of a power-on that another one follows at once, in the same wake."""

PERIOD = (8004, {"frozen_period": 6})

# The guide's commands (ctwing.md §1.7), in turn: service id and field.
COMMANDS = (
    (8001, {"valve_onoff": 0}),
    PERIOD,
    (8006, {"valveoff_enable": 1}),
    (8001, {"valve_onoff": 1}),
)


class ScenarioError(Exception):
    """The run could not be carried to its end. `name` is a stable word, `hint` says what to look at."""

    def __init__(self, name: str, text: str, hint: str) -> None:
        super().__init__(text)
        self.name, self.hint = name, hint


@dataclass
class Wake:
    """One wake: from power-on until PSM takes the power. Where there is no PSM it is one report interval of a long
    power-on, from the middle of one sleep to the middle of the next, and `stayed_on` says why; the world's reason, not
    the device's."""

    began: float
    mark: int
    reason: int
    stayed_on: str = ""
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

    def opened(self, datagram: Datagram) -> bytes:
        """What a datagram carried: itself, or under DTLS what was in it, nothing where nobody could open it; of TLS
        nothing."""
        if self.plan.protocol == "mqtts":
            return b""
        return datagram.data if self.aep.dtls.opened is None else self.aep.dtls.opened.get(datagram.data, b"")

    def ledger(self) -> dict[str, Any]:
        """The power meter's totals: `connected_ms`, `charge_mc`, and of that `psm_mc`, drawn while powered down."""
        board = self.module.board
        if board is None:
            return {"connected_ms": 0, "charge_mc": 0.0, "psm_mc": 0.0}
        report = board.meter.report()
        return {**report, "psm_mc": report["mc"].get("psm", 0.0)}


def interval(plan: Plan) -> int:
    """Seconds between wakes, as far as the plan's config is one that the device can use."""
    given, (_, _, _, low, high, usual, _) = plan.config.get("report.interval"), setting("report.interval")
    return given if isinstance(given, int) and low <= given <= high else usual


class Hooks:
    """What somebody else does to a run: `before` and `after` each wake; once `over` says so no further wake follows."""

    def before(self, run: Run) -> None:
        """Wake number `len(run.wakes) + 1` begins."""

    def after(self, run: Run) -> None:
        """The last of `run.wakes` has ended."""

    def over(self, run: Run) -> bool:
        """Whether what is to be seen has been seen."""
        return False


def play(plan: Plan, listen: Callable[[Event], None] | None = None, hooks: Hooks | None = None) -> Run:
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
        return loop.run_until_complete(_play(loop, events, plan, hooks or Hooks()))
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


async def _play(loop: WorldLoop, events: Events, plan: Plan, hooks: Hooks) -> Run:
    network = Network(loop, events, seed=plan.seed, loss=plan.loss, nat_keeps_port=plan.nat_keeps_port)
    aep = Aep(loop, events, seed=plan.seed, token_length=plan.token_length,
              connection_id=plan.connection_id, resumes=plan.resumes, mqtt_wrapped=plan.mqtt_wrapped)
    if plan.dtls:
        aep.dtls.opened = {}
    await deployment.serve(plan, network, aep)
    module = Module(
        loop, network, events, profile=profile(plan), seed=plan.seed, engine=plan.engine, measure_heap=plan.measure_heap
    )
    product, device = deployment.provision(plan, aep, module.identity)
    events.emit("aep", "product", f"product {product}, device {device[:8]}… created", product=product, device=device)
    config = deployment.config(plan, product, module.identity)
    if plan.engine == "cpython":
        more = surplus(ROOT, plan.app, spared(config))
        module.flash = Flash(blocks=module.profile.usr_blocks + more)
        module.flash.surplus = more
    module.flash.install(files(plan, config, aep.ca_pem if plan.protocol == "mqtts" else ""))
    run = Run(plan, events, network, aep, module, device)
    try:
        await _wakes(run, hooks)
    except ScenarioError as problem:
        run.problem = problem
    finally:
        events.listeners.clear()
        aep.stop()
        await network.close()
    return run


def profile(plan: Plan) -> Profile:
    """The family's profile with what the plan changes."""
    family = FAMILIES[plan.family]
    if plan.client is not None:
        family = family.with_client(plan.client)
    return replace(family, carrier=replace(family.carrier, **plan.carrier), connect_filters=plan.connect_filters,
                   umqtt_tells=plan.umqtt_tells,
                   lacks=family.lacks | {*plan.lacks})


def files(plan: Plan, config: dict[str, Any] | None = None, ca: str = "") -> dict[str, bytes]:
    """Contents of /usr as they leave the factory: this tree, compiled for the engine, config.json (None: LwM2M's), and
    the CA that MQTTS holds the platform to."""
    if config is None:
        config = deployment.config(plan, 0, Identity())
    try:
        tree = build(ROOT, engine=plan.engine, replace={"app.py": plan.app.encode()} if plan.app else {},
                     without=spared(config))
    except CompileError as error:
        lines = [line.strip() for line in str(error).splitlines() if not line.startswith("Traceback")]
        raise ScenarioError("compile", ": ".join(lines), "see `make check`") from None
    more = {deployment.CA_FILE: ca.encode()} if ca else {}
    return {**tree, **more, "boot.rec": boot_record(), "config.json": json.dumps(config, indent=1).encode()}


def commands(plan: Plan) -> list[tuple[int, dict]]:
    """The commands of a run: the one that sets the period sets what it is, or is left out where it cannot say that."""
    hours, rest = divmod(interval(plan), 3600)
    usual = rest == 0 and 1 <= hours <= 24
    period = [(PERIOD[0], {"frozen_period": hours})] if usual else []
    return [each for command in COMMANDS for each in (period if command is PERIOD else [command])]


async def _wakes(run: Run, hooks: Hooks) -> None:
    power, orders = _Power(run), itertools.cycle(commands(run.plan))
    try:
        while True:
            hooks.before(run)
            run.wakes.append(await _wake(run, power))
            hooks.after(run)
            if len(run.wakes) == run.plan.wakes or hooks.over(run):
                return
            pause = 0.0 if power.on else _sleep(run)
            await asyncio.sleep(pause / 2)
            # The last command has two wakes: where its only datagram is lost, the platform keeps it for the next.
            if run.plan.commanded and (len(run.wakes) < run.plan.wakes - 1 or run.plan.wakes == 2):
                _command(run, *next(orders))
            await asyncio.sleep(pause / 2)
    finally:
        await power.off()


class _Power:
    """The module's supply over a run: one power-on after another, each a task of the loop."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.reason = BATTERY_INSERTED  # of the next power-on
        self._task: asyncio.Task | None = None
        self._restarts: list[float] = []

    @property
    def on(self) -> bool:
        return self._task is not None

    async def until(self, when: float) -> PowerOff | None:
        """Switches on where it is off; the end of this power-on, or None where it is still on at `when`."""
        loop = self.run.aep.loop
        if self._task is None:
            self._task = loop.create_task(self.run.module.power_on(self.reason))
        await asyncio.wait({self._task}, timeout=max(0.0, when - loop.time()))
        if not self._task.done():
            return None
        task, self._task = self._task, None
        end: PowerOff = task.result()
        self.reason = NEXT_REASON.get(end.how, BATTERY_INSERTED)
        return end

    def restarted(self) -> None:
        """Another restart without a wake's end; ScenarioError where there are too many."""
        now = self.run.aep.loop.time()
        self._restarts = [then for then in self._restarts if then > now - 3600] + [now]
        if len(self._restarts) > RESTARTS:
            text = f"the module restarts again and again: {_why(self.run)}"
            raise ScenarioError("restarts", text, "see the log")

    async def off(self) -> None:
        """Takes the battery out, where the module is still on."""
        if self._task is not None and not self._task.done():
            self.run.module.power_cut("the run is over")
            await asyncio.wait({self._task})


async def _wake(run: Run, power: _Power) -> Wake:
    """One wake and what it took; ScenarioError where the run cannot go on from it."""
    loop, module = run.aep.loop, run.module
    wake = Wake(loop.time(), run.network.mark(), NO_BOOT if power.on else power.reason)
    before, programs, first = run.ledger(), -module.programs if power.on else 0, len(run.events.log)
    while not wake.stayed_on:
        end = await power.until(_middle(run, wake, first))
        if end is None:
            if loop.time() >= _middle(run, wake, first):
                wake.stayed_on = _awake(run)
            continue
        programs += module.programs
        if end.how == "psm":
            break
        if end.how not in RESETS:
            text = f"the module stopped: {end.how} {end.detail}".strip()
            raise ScenarioError("stopped", text, "see the last log lines")
        power.restarted()
    wake.ended, wake.end_mark = loop.time(), run.network.mark()
    wake.flash_programs = programs + (module.programs if power.on else 0)
    after = run.ledger()
    wake.connected_ms = after["connected_ms"] - before["connected_ms"]
    wake.charge_mc = round(after["charge_mc"] - before["charge_mc"] - (after["psm_mc"] - before["psm_mc"]), 3)
    return wake


def _middle(run: Run, wake: Wake, first: int) -> float:
    """The middle of the sleep that follows the wake: half an interval after the meter was asked, or should have been.
    A wake without a boot began in the middle of the sleep before it. `first`: its first event."""
    half = interval(run.plan) / 2
    asked = [event.t for event in run.events.log[first:] if event.kind == "sensor" and event.text == "flow"]
    latest = wake.began + 3 * half  # where the meter is asked again and again
    return min(max([wake.began + half * (wake.reason == NO_BOOT), *asked[-1:]]), latest) + half


def _sleep(run: Run) -> float:
    """Seconds until the module wakes from PSM; ScenarioError where nothing ever wakes it."""
    alarm = run.module.wakes_at()
    if alarm is None:
        raise ScenarioError("no-alarm", "nothing would ever wake the module", "the network granted no T3412")
    return alarm - run.aep.loop.time()


def _command(run: Run, service: int, fields: dict) -> None:
    ttl = min(TTL_LIMIT, 3 * interval(run.plan) + 86400)  # longer than the sleeps it may have to wait
    give(run, service, fields, ttl)


def give(run: Run, service: int, fields: dict, ttl: int) -> int:
    """Gives a command in the product's format; returns its task. Over a connection the platform itself says the service
    and the task of a thing model's (ctwing.md §3.3, §4.1)."""
    task = len(run.given) + 1
    if run.plan.streams and run.plan.payload != TRANSPARENT:
        number = run.aep.command(run.device, {"serviceId": service, "params": fields}, ttl=ttl)
        task = next(one.task for one in run.aep.commands(run.device) if one.id == number)
    elif run.plan.payload == BINARY:
        body = encode.command(declaration.read_file(), service, task, fields, BINARY)
        number = run.aep.command(run.device, body.hex(), data_type="hex", ttl=ttl)
    else:
        text = json.dumps({**fields, "taskId": task, "serviceId": service}, separators=(",", ":"))
        number = run.aep.command(run.device, text, data_type="json", ttl=ttl)
    run.given.append(Given(task, service, fields, number))
    return task


def _why(run: Run) -> str:
    """What boot.py recorded of the last failure."""
    if not run.module.flash.exists("boot.rec"):
        return "nothing is recorded"
    return json.loads(run.module.flash.read("boot.rec")[9:])["why"]


def _awake(run: Run) -> str:
    """What in the world keeps a module on between two wakes; ScenarioError where nothing does but the application."""
    for event in reversed(run.events.of("log", "console")):
        if "waiting for /usr/config.json" in event.text:
            raise ScenarioError("unprovisioned", event.text.split(": ", 1)[-1], "see docs/configuration.md")
        if event.text.startswith("boot: no tree starts"):
            raise ScenarioError("no-tree", _why(run), "the application does not start; see the log")
    assert run.module.board is not None
    radio = run.module.board.radio
    if run.plan.mode != "psm":
        return "light sleep is its mode"
    if not run.module.profile.has_psm:
        return "the family has no PSM"
    if radio.usb:
        return "USB is plugged in"
    if radio.granted is None:
        return "the network has granted no PSM"
    raise ScenarioError("no-psm", f"wake {len(run.wakes) + 1} never ended in PSM", "PSM was granted but something kept "
                        "the module awake: a wakelock, or the application itself")
