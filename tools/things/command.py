"""`python -m tools services`: the platform's service list as lib/services.py, and lib/services.py as the list."""

import enum
import json
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from tools.things import declaration, listing
from tools.things.model import ModelError, Service

DECLARATION, LISTING = "declaration", "aep"
Form = enum.Enum("Form", {name: name for name in (DECLARATION, LISTING)}, type=str)  # type: ignore[misc]


def services(
    source: Annotated[str, typer.Option("--from", metavar="FILE", help="The platform's list (JSON), a services.py, or "
                                        "`standard`: AEP's water meter.")] = str(declaration.SERVICES),
    to: Annotated[Form | None, typer.Option(help="declaration: a services.py; aep: the platform's list. Without "
                                            "it: the other one.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write it here, not on stdout.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout, all else on stderr.")] = False,
) -> None:
    """Turn the platform's service list into lib/services.py, or back.

    The list is what GET /aep_device_model/dm/app/model/services answers. It is checked either way.
    """
    console = Console(stderr=True, highlight=False)
    try:
        found, warnings, came = read(source)
        wanted = to.value if to is not None else LISTING if came == DECLARATION else DECLARATION
        text = declaration.write(found) if wanted == DECLARATION else listing.write(found)
    except ModelError as error:
        _fail(console, f"{source}: {error}", as_json)
    for warning in warnings:
        console.print(f"warning: {warning}", markup=False, soft_wrap=True)
    if out is not None:
        out.write_text(text, encoding="utf-8")
    if as_json:
        print(json.dumps({"services": listing.rows(found), "text": text, "warnings": warnings, "error": None}))
    elif out is None:
        print(text, end="")


def read(source: str) -> tuple[list[Service], list[str], str]:
    """(services, warnings, what they came as). Raises ModelError."""
    try:
        text = (listing.STANDARD if source == "standard" else Path(source)).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if text.lstrip()[:1] in ("{", "["):
        return (*listing.read(text), LISTING)
    found = declaration.read(text)
    if not found:
        raise ModelError("no service is declared in it")
    return found, [], DECLARATION


def _fail(console: Console, text: str, as_json: bool) -> NoReturn:
    console.print(f"FAILED: {text}", style="bold red", markup=False, soft_wrap=True)
    if as_json:
        print(json.dumps({"services": [], "text": "", "warnings": [], "error": text}))
    raise typer.Exit(1)
