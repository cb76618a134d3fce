"""`python -m tools run`: a simulated module with this tree reports to a local AEP, takes commands, sleeps and wakes."""

import difflib
import enum
import json
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from tools import figures
from tools.checker import check
from tools.ctwing.trace import write_pcap, write_raw_pcap
from tools.deployment import PROTOCOLS
from tools.faults import BY_NAME, TABLE, listing
from tools.faults.player import RANDOM, Chance, One, outcome, plan_of
from tools.module.module import ENGINES
from tools.module.profiles import CLIENTS, FAMILIES, OPTIONAL
from tools.plan import Plan
from tools.scenario import Hooks, ScenarioError, play
from tools.tables import SETTINGS, literal, setting
from tools.timeline import Timeline, summary

Family = enum.Enum("Family", {name: name for name in FAMILIES}, type=str)  # type: ignore[misc]
Engine = enum.Enum("Engine", {name: name for name in ENGINES}, type=str)  # type: ignore[misc]
Protocol = enum.Enum("Protocol", {name: name for name in PROTOCOLS}, type=str)  # type: ignore[misc]
Lacks = enum.Enum("Lacks", {name: name for name in OPTIONAL}, type=str)  # type: ignore[misc]
Client = enum.Enum("Client", {name: name for name in CLIENTS}, type=str)  # type: ignore[misc]
Speaker = enum.Enum("Speaker", {name: name for name in setting("lwm2m.engine")[3]}, type=str)  # type: ignore[misc]
WAKES = 3

DERIVED = ("protocol", "security")
"""Settings that --protocol makes, with all that belongs to them."""


def run(
    protocol: Annotated[Protocol, typer.Option(help="How the device speaks to the platform.")] = Protocol.lwm2m,  # type: ignore[attr-defined]
    connection_id: Annotated[int, typer.Option(min=0, max=32, help="Bytes of the DTLS connection ids that the platform "
                                               "gives; 0: none.")] = 0,
    family: Annotated[Family, typer.Option(help="Module family to simulate.")] = Family.EC800E,  # type: ignore[attr-defined]
    wakes: Annotated[int | None, typer.Option(min=1, max=10000, help="Wakes to run.", show_default=str(WAKES))] = None,
    engine: Annotated[Engine, typer.Option(help="vm: the MicroPython VM; cpython: in process.")] = Engine.vm,  # type: ignore[attr-defined]
    seed: Annotated[int, typer.Option(help="Everything that is drawn is drawn from it.")] = 1,
    lwm2m_engine: Annotated[Speaker | None, typer.Option(help="Who speaks LwM2M: our own client, or the module's.",
                                                         show_default="python")] = None,
    modem_client: Annotated[Client | None, typer.Option(help="The LwM2M client that the image has.",
                                                        show_default="the family's")] = None,
    loss: Annotated[float, typer.Option(min=0, max=0.9, help="Share of datagrams lost, e.g. 0.02.")] = 0.0,
    settings: Annotated[list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A setting of config.json, "
                                                       "e.g. power.mode=sleep; may be given again.")] = None,
    lacks: Annotated[list[Lacks] | None, typer.Option(help="What the firmware image has not; may be given "
                                                      "again.")] = None,
    fault: Annotated[str | None, typer.Option(help=f"A fault of --list-faults, or {RANDOM}.")] = None,
    list_faults: Annotated[bool, typer.Option("--list-faults", help="Show the table of faults and end.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout, all else on stderr.")] = False,
    pcap: Annotated[Path | None, typer.Option(help="Write the platform's trace here, for Wireshark.")] = None,
    raw_pcap: Annotated[Path | None, typer.Option(help="Write every datagram as it was on the wire here: for Wireshark "
                                                  "with the PSK.")] = None,
    flash: Annotated[Path | None, typer.Option(help="Leave the module's flash here, for `tools logs`.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Show AT commands and sensors too.")] = False,
) -> None:
    """Boot a simulated module with this tree; report, take a command, sleep in PSM, wake and resume.

    Exit 0 only if every reading was acknowledged and every command answered.
    """
    out = Console(stderr=as_json, highlight=False)
    if list_faults:
        listing.show(out, as_json)
        return
    for path, option in ((pcap, "--pcap"), (raw_pcap, "--raw-pcap"), (flash, "--flash")):
        if path is not None:
            _writable(path, option)
    plan, hooks = _with_fault(fault, Plan(family=family.value, engine=engine.value, wakes=wakes or WAKES, seed=seed,
                                          loss=loss, protocol=protocol.value, connection_id=connection_id,
                                          client=modem_client.value if modem_client else None,
                                          lacks=tuple(each.value for each in lacks or ())))
    if lwm2m_engine is not None and plan.streams:
        raise typer.BadParameter(f"protocol {plan.protocol} has no LwM2M client", param_hint="--lwm2m-engine")
    spoken = {"lwm2m.engine": lwm2m_engine.value} if lwm2m_engine else {}
    plan = replace(plan, wakes=wakes or plan.wakes, config={**plan.config, **spoken, **_config(settings or [])})
    started = time.perf_counter()
    try:
        done = play(plan, Timeline(out, everything=everything), hooks)
    except ScenarioError as error:
        out.print(f"FAILED: {error}\n{error.hint}", style="bold red", soft_wrap=True)
        raise typer.Exit(1) from None
    seconds = time.perf_counter() - started
    result = figures.result(done)
    if fault is not None:
        result["fault"] = outcome(fault, BY_NAME[fault].ends if fault in BY_NAME else 0, result)
    days = (done.events.log[-1].t - done.events.log[0].t) / 86400
    summary(out, result, check(done), days, seconds)
    if as_json:
        print(json.dumps(result), flush=True)
    if pcap is not None:
        count = write_pcap(pcap, done.aep.trace())
        out.print(f"{count} datagrams written to {pcap}")
    if raw_pcap is not None:
        count = write_raw_pcap(raw_pcap, done.network.trace)
        out.print(f"{count} datagrams written to {raw_pcap}")
    if flash is not None:
        flash.write_bytes(done.module.flash.image)
        out.print(f"the module's flash written to {flash}")
    raise typer.Exit(0 if result["error"] is None else 1)


def _with_fault(name: str | None, plan: Plan) -> tuple[Plan, Hooks]:
    """The plan, and who plays the fault in it."""
    if name is None:
        return plan, Hooks()
    if name == RANDOM:
        return plan, Chance([fault for fault in TABLE if fault.passing], plan.seed)
    if name not in BY_NAME:
        near = difflib.get_close_matches(name, [*BY_NAME, RANDOM], n=3) or [RANDOM]
        raise typer.BadParameter(f"there is no fault {name!r}; did you mean {' or '.join(near)}? --list-faults shows "
                                 "them all", param_hint="--fault")
    return plan_of(BY_NAME[name], plan), One(BY_NAME[name])


def _config(given: list[str]) -> dict[str, Any]:
    """Settings from NAME=VALUE, by their table; what it does not allow is said before the run."""
    out: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if name in DERIVED:
            raise typer.BadParameter(f"{name} follows from --protocol: {', '.join(PROTOCOLS)}", param_hint="--set")
        try:
            _, kind, unit, low, high, _, _ = setting(name)
        except LookupError:
            known = [row[0] for row in literal(SETTINGS, "TABLE")]
            near = difflib.get_close_matches(name, known, n=1) or known
            raise typer.BadParameter(f"there is no setting {name!r}; docs/configuration.md lists them, e.g. {near[0]}",
                                     param_hint="--set") from None
        wanted = f"one of {', '.join(low)}" if kind == "choice" else f"{low}-{high} {unit}".strip()
        if kind == "int":
            good = value.isascii() and value.isdigit() and low <= int(value) <= high
        elif kind == "addresses":
            good = not value or re.fullmatch(r"[0-9A-Fa-f.:]{2,39}(,[0-9A-Fa-f.:]{2,39})?", value) is not None
            wanted = f"{low}-{high} IP addresses, by comma"
        elif kind == "secret hex":
            good = re.fullmatch("([0-9A-Fa-f]{2})*", value) is not None and low <= len(value) <= high
        else:
            good = value in low if kind == "choice" else low <= len(value.encode()) <= high
            wanted += " bytes of text" * (kind == "text")
        if not equals or not good:
            shown = "" if kind.startswith("secret") else f", not {value!r}"
            raise typer.BadParameter(f"{name} is {wanted}{shown}", param_hint="--set")
        out[name] = int(value) if kind == "int" else value
    return out


def _writable(path: Path, option: str) -> None:
    """Said before the run, not after it."""
    try:
        path.open("ab").close()
    except OSError as error:
        raise typer.BadParameter(f"{path} cannot be written: {error.strerror}", param_hint=option) from None
