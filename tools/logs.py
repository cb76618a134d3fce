"""`python -m tools logs`: the wakes of a device as its journal tells them, from an image of its flash or from files
copied off the module.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from littlefs import LittleFSError
from rich.console import Console
from rich.markup import escape

from tools import journal
from tools.journal import Again, Damage, Gap, Item, Wake
from tools.module.flash import BLOCK, Flash

IN_IMAGE = "state"
"""Where the device keeps its journal, under /usr (lib/device/cycle.py)."""

SUPERBLOCK = b"littlefs"
"""In one of the first two blocks of every littlefs."""


@dataclass(frozen=True)
class Source:
    """One device's journal: where it was found, and its files by name."""

    where: str
    files: dict[str, bytes]


class NoJournal(Exception):
    """A path holds no journal; the text says what was looked for."""


def logs(
    paths: Annotated[list[Path], typer.Argument(
        help="An image of /usr (littlefs 2), a folder with journal.0 and journal.1, or these files.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line, each with its \"kind\".")] = False,
    since: Annotated[datetime | None, typer.Option(
        formats=["%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M"], help="Only wakes from then on, local time.")] = None,
    faults: Annotated[bool, typer.Option("--faults", help="Only wakes in which something went wrong.")] = False,
) -> None:
    """Show the wakes of a device in order: time, boot number, events in words; what is damaged or missing.

    Times are this computer's local time. Where the device did not know the time, only seconds since power-on are shown.
    """
    out = Console(highlight=False)
    try:
        sources = list(find(paths))
    except NoJournal as problem:
        raise typer.BadParameter(str(problem), param_hint="PATH") from None
    for source in sources:
        items = [item for item in journal.read(source.files) if _wanted(item, since, faults)]
        if as_json:
            for item in items:
                print(json.dumps({"source": source.where, **as_object(item)}, ensure_ascii=False))
            continue
        out.print(f"[bold]{escape(source.where)}[/]: {_summary(source, items)}", soft_wrap=True)
        for line in _lines(items):
            out.print(line, soft_wrap=True)


def find(paths: list[Path]) -> Iterator[Source]:
    """The journals in these paths; files of one folder are one journal. Raises NoJournal."""
    loose: dict[Path, dict[str, bytes]] = {}
    for path in paths:
        if path.is_dir():
            yield from _in_folder(path)
        elif not path.is_file():
            raise NoJournal(f"{path} does not exist" if not path.exists() else f"{path} is no file")
        elif _is_image(path):
            yield Source(str(path), _in_image(path))
        elif path.name in journal.FILES or any(
            isinstance(item, Wake) for item in journal.decode(path.name, path.read_bytes())
        ):
            loose.setdefault(path.parent, {})[path.name] = path.read_bytes()
        else:
            raise NoJournal(f"{path} is neither an image of /usr (littlefs 2) nor a file of a journal")
    for files in loose.values():
        yield Source(" ".join(str(path) for path in paths if path.name in files), files)


def _in_folder(folder: Path) -> Iterator[Source]:
    found = {path.parent for name in journal.FILES for path in folder.rglob(name)}
    if not found:
        raise NoJournal(f"{folder} has no {' or '.join(sorted(journal.FILES))} in it")
    for place in sorted(found):
        yield Source(str(place), journal.files_of(place))


def _is_image(path: Path) -> bool:
    with path.open("rb") as file:
        start = file.read(2 * BLOCK)
    return any(SUPERBLOCK in start[at : at + 32] for at in (0, BLOCK))


def _in_image(path: Path) -> dict[str, bytes]:
    blocks, rest = divmod(path.stat().st_size, BLOCK)
    if rest:
        raise NoJournal(f"{path} is cut short: an image has whole blocks of {BLOCK} bytes")
    flash = Flash(blocks=blocks)
    flash.image[:] = path.read_bytes()
    try:
        there = flash.list()
        return {name: flash.read(f"{IN_IMAGE}/{name}") for name in journal.FILES if f"{IN_IMAGE}/{name}" in there}
    except LittleFSError as error:
        raise NoJournal(f"{path} does not mount as littlefs 2 with blocks of {BLOCK} bytes: {error}") from None


def _wanted(item: Item, since: datetime | None, faults: bool) -> bool:
    if not isinstance(item, Wake):
        return True
    if since is not None and item.time is not None and item.time < since.timestamp():
        return False
    return item.alarming or not faults


def _summary(source: Source, items: list[Item]) -> str:
    if not source.files:
        return "no journal: no wake has ended on this flash"
    wakes = [item for item in items if isinstance(item, Wake)]
    bad = sum(wake.alarming for wake in wakes)
    return f"{len(wakes)} wakes, {bad} of them with something to look at"


def _lines(items: list[Item]) -> Iterator[str]:
    """Rich markup."""
    boot = None
    for item in items:
        if not isinstance(item, Wake):
            yield f"[yellow]{escape(journal.text_of(item))}[/]"
            continue
        when = "time unknown       " if item.time is None else f"{datetime.fromtimestamp(item.time):%Y-%m-%d %H:%M:%S}"
        number = f"boot {item.boot}" if item.boot else "boot unknown"
        yield f"[bold]{when}  {number}{', continued' if item.boot and item.boot == boot else ''}[/]"
        boot = item.boot
        for entry in item.entries:
            text = f"{entry.up:10.1f} s  {entry.text}"
            if entry.kind.alarming:
                hint = journal.hint(entry)
                yield f"[red]{escape(text)}[/]" + (f"  [dim]{escape(hint)}[/]" if hint else "")
            else:
                yield escape(text)
        if item.missed:
            yield f"[red]{item.up:10.1f} s  {item.missed} more events found no room[/]"


def as_object(item: Item) -> dict[str, Any]:
    """What `--json` prints of one item; "kind" is wake, damage, gap or again."""
    if isinstance(item, Damage):
        return {"kind": "damage", "file": item.file, "offset": item.offset, "bytes": item.size}
    if isinstance(item, Gap):
        return {"kind": "gap", "first": item.first, "last": item.last}
    if isinstance(item, Again):
        return {"kind": "again", "last": item.last}
    return {
        "kind": "wake",
        "boot": item.boot or None,
        "time": item.time,
        "up": item.up,
        "missed": item.missed,
        "alarming": item.alarming,
        "events": [
            {"code": e.kind.code, "name": e.kind.name, "value": e.value, "text": e.text, "up": e.up, "time": e.time,
             "alarming": e.kind.alarming}
            for e in item.entries
        ],
    }
