"""`python -m tools run`: a simulated module with this tree reports to a local AEP, takes commands, sleeps and wakes."""

import enum
import json
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tools import figures
from tools.checker import check
from tools.ctwing.trace import write_pcap
from tools.module.module import ENGINES
from tools.module.profiles import FAMILIES
from tools.scenario import Plan, ScenarioError, play
from tools.timeline import Timeline, summary

Family = enum.Enum("Family", {name: name for name in FAMILIES}, type=str)  # type: ignore[misc]
Engine = enum.Enum("Engine", {name: name for name in ENGINES}, type=str)  # type: ignore[misc]
Protocol = enum.Enum("Protocol", {"lwm2m": "lwm2m"}, type=str)


def run(
    protocol: Annotated[Protocol, typer.Option(help="How the device speaks to the platform.")] = Protocol.lwm2m,
    family: Annotated[Family, typer.Option(help="Module family to simulate.")] = Family.EC800E,  # type: ignore[attr-defined]
    wakes: Annotated[int, typer.Option(min=1, max=10000, help="Wakes to run.")] = 3,
    engine: Annotated[Engine, typer.Option(help="vm: the MicroPython VM; cpython: in process.")] = Engine.vm,  # type: ignore[attr-defined]
    seed: Annotated[int, typer.Option(help="Everything that is drawn is drawn from it.")] = 1,
    loss: Annotated[float, typer.Option(min=0, max=0.9, help="Share of datagrams lost, e.g. 0.02.")] = 0.0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout, all else on stderr.")] = False,
    pcap: Annotated[Path | None, typer.Option(help="Write the platform's trace here, for Wireshark.")] = None,
    flash: Annotated[Path | None, typer.Option(help="Leave the module's flash here, for `tools logs`.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Show AT commands and sensors too.")] = False,
) -> None:
    """Boot a simulated module with this tree; report, take a command, sleep in PSM, wake and resume.

    Exit 0 only if every reading was acknowledged and every command answered.
    """
    for path, option in ((pcap, "--pcap"), (flash, "--flash")):
        if path is not None:
            _writable(path, option)
    out = Console(stderr=as_json, highlight=False)
    plan = Plan(family=family.value, engine=engine.value, wakes=wakes, seed=seed, loss=loss, protocol=protocol.value)
    started = time.perf_counter()
    try:
        done = play(plan, Timeline(out, everything=everything))
    except ScenarioError as error:
        out.print(f"FAILED: {error}\n{error.hint}", style="bold red", soft_wrap=True)
        raise typer.Exit(1) from None
    seconds = time.perf_counter() - started
    result = figures.result(done)
    days = (done.events.log[-1].t - done.events.log[0].t) / 86400
    summary(out, result, check(done), days, seconds)
    if as_json:
        print(json.dumps(result), flush=True)
    if pcap is not None:
        count = write_pcap(pcap, done.aep.trace())
        out.print(f"{count} datagrams written to {pcap}")
    if flash is not None:
        flash.write_bytes(done.module.flash.image)
        out.print(f"the module's flash written to {flash}")
    raise typer.Exit(0 if result["error"] is None else 1)


def _writable(path: Path, option: str) -> None:
    """Said before the run, not after it."""
    try:
        path.open("ab").close()
    except OSError as error:
        raise typer.BadParameter(f"{path} cannot be written: {error.strerror}", param_hint=option) from None
