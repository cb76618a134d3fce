"""The command: measures, shows, and writes docs/benchmarks.md where asked to."""

import json
from typing import Annotated

import typer
from rich.console import Console

from tools.bench.measure import measure
from tools.bench.sheets import markdown, show
from tools.tables import ROOT

DOCUMENT = ROOT / "docs/benchmarks.md"


def bench(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout, all else on stderr.")] = False,
    write: Annotated[bool, typer.Option("--write", help="Write docs/benchmarks.md as well.")] = False,
) -> None:
    """Count datagrams and bytes of a report beside aiocoap's, code size, heap and instructions."""
    progress = Console(stderr=True)
    with progress.status("running") as status:
        figures = measure(lambda text: status.update("counting: " + text))
    show(Console(stderr=as_json, highlight=False), figures)
    if write:
        DOCUMENT.write_text(markdown(figures))
        progress.print(f"written: {DOCUMENT.relative_to(ROOT)}")
    if as_json:
        print(json.dumps(figures))
