"""The device's journal, decoded: the host's own reading of what lib/store/journal.py writes, with the words of
lib/device/events.py. Any bytes are read; what is no frame is said to be damage.
"""

import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from tools.module.module import REASONS
from tools.tables import HINTS, ROOT, errors, literal

EVENTS = ROOT / "lib/device/events.py"
FILES = ("journal.1", "journal.0")
"""In the order in which they were written."""

MARK = 0xEC
OVERHEAD = 6  # bytes of a frame beside its body: mark, length, CRC-32
DIGITS = 5  # of 7 bits: longer numbers the device does not write


@dataclass(frozen=True)
class Kind:
    """What a code means. `alarming`: somebody should look at it."""

    code: int
    name: str
    words: str
    alarming: bool

    def text(self, value: int) -> str:
        """The event as a sentence."""
        return re.sub(r"\{(.*?)\}", lambda match: _shown(match[1], value), self.words)


@dataclass(frozen=True)
class Entry:
    """One event. `up`: seconds since power-on; `time`: Unix seconds, None where the device did not know."""

    kind: Kind
    value: int
    up: float
    time: float | None

    @property
    def text(self) -> str:
        return self.kind.text(self.value)


@dataclass(frozen=True)
class Wake:
    """What one flush wrote: a wake, or a part of one. `boot` 0: unknown; `missed`: events that found no room."""

    boot: int
    time: float | None
    up: float
    missed: int
    entries: list[Entry] = field(default_factory=list)

    @property
    def alarming(self) -> bool:
        return self.missed > 0 or any(entry.kind.alarming for entry in self.entries)


@dataclass(frozen=True)
class Damage:
    """`size` bytes at `offset` of `file` that are no frame."""

    file: str
    offset: int
    size: int


@dataclass(frozen=True)
class Gap:
    """Boots `first` to `last` have left nothing."""

    first: int
    last: int


@dataclass(frozen=True)
class Again:
    """Boot numbers begin again after `last`: the flash was erased, or these are files of two devices."""

    last: int


Item = Wake | Damage | Gap | Again


@cache
def kinds() -> dict[int, Kind]:
    """Every event by code, from the file that the device runs."""
    found = {}
    for match in re.finditer(r"^(\w+) = const\((\d+)\)  # (! )?(.+)$", EVENTS.read_text(), re.M):
        code = int(match[2])
        found[code] = Kind(code, match[1], match[4], match[3] is not None)
    return found


@cache
def faults() -> dict[int, tuple[str, str]]:
    """(name, hint) of every fault by code, as the device has them."""
    hints = literal(HINTS, "HINTS")
    return {code: (name, hints[code]) for code, name in errors().items()}


def read(files: dict[str, bytes]) -> list[Item]:
    """Everything in these files, in the order in which it was written: `journal.1` before `journal.0`."""
    items: list[Item] = []
    last = 0
    for name in sorted(files, reverse=True):
        for item in decode(name, files[name]):
            if isinstance(item, Wake) and item.boot:
                if last and item.boot > last + 1:
                    items.append(Gap(last + 1, item.boot - 1))
                elif item.boot < last:
                    items.append(Again(last))
                last = item.boot
            items.append(item)
    return items


def decode(name: str, data: bytes) -> list[Wake | Damage]:
    """The frames of one file, and the damage between them."""
    items: list[Wake | Damage] = []
    at = good = 0  # where a frame is looked for; the end of the last one
    while at < len(data):
        found = _frame(data, at)
        if found is None:
            at += 1
            continue
        if at > good:
            items.append(Damage(name, good, at - good))
        wake, size = found
        items.append(wake)
        at = good = at + size
    if good < len(data):
        items.append(Damage(name, good, len(data) - good))
    return items


def _frame(data: bytes, at: int) -> tuple[Wake, int] | None:
    """The frame that begins at `at`, and its size."""
    if data[at] != MARK or at + OVERHEAD > len(data):
        return None
    end = at + 2 + data[at + 1]
    if end + 4 > len(data) or zlib.crc32(data[at + 1 : end]) != int.from_bytes(data[end : end + 4], "little"):
        return None
    try:
        return _wake(data[at + 2 : end]), end + 4 - at
    except IndexError:  # its CRC is right, and yet it is none of ours
        return None


def _wake(body: bytes) -> Wake:
    """IndexError where the body ends too early or a number does not end."""
    at = 0

    def number() -> int:
        nonlocal at
        value = 0
        for digit in range(DIGITS):
            byte = body[at]
            at += 1
            value |= (byte & 127) << 7 * digit
            if byte < 128:
                return value
        raise IndexError

    boot, when, up, missed = number(), number(), number(), number()
    entries: list[Entry] = []
    tenths = 0
    while at < len(body):
        code = body[at]
        at += 1
        tenths += number()
        value = number()
        kind = kinds().get(code) or Kind(code, f"CODE_{code}", f"event {code}, value {{}}", False)
        entries.append(Entry(kind, value, tenths / 10, when - (up - tenths) / 10 if when else None))
    began = entries[0].time if entries else float(when) if when else None
    return Wake(boot, began, up / 10, missed, entries)


def _shown(what: str, value: int) -> str:
    """What stands in an event's braces, for this value."""
    forms: dict[str, Callable[[int], str]] = {
        "": str,
        ".1": lambda tenths: f"{tenths / 10:.1f}",
        "boot reason": lambda reason: REASONS.get(reason, f"reason {reason}"),
        "error": lambda code: f"E{code} {faults()[code][0]}" if code in faults() else f"E{code}",
    }
    if what in forms:
        return forms[what](value)
    names = {int(number): name for number, name in re.findall(r"(\d+)=([^,]+)", what)}
    if not what.startswith("+"):
        return names.get(value, f"number {value}")
    parts = [name for bit, name in names.items() if value & bit]
    rest = value & ~sum(names)
    return ", ".join(parts + [f"bits {rest:#x}"] * bool(rest)) or "nothing"


def hint(entry: Entry) -> str:
    """What to check, where the event is a fault that has a hint."""
    return faults().get(entry.value, ("", ""))[1] if "{error}" in entry.kind.words else ""


def text_of(item: Damage | Gap | Again) -> str:
    """What is damaged or missing, as a sentence."""
    if isinstance(item, Damage):
        return f"damaged: {item.size} bytes at {item.offset} of {item.file} are no frame"
    if isinstance(item, Again):
        return f"boot numbers begin again after {item.last}: the flash was erased, or these are two devices"
    boots = f"boot {item.first}" if item.first == item.last else f"boots {item.first} to {item.last}"
    return f"missing: {boots} left nothing: power cut, watchdog, or a flash that refused"


def files_of(folder: Path) -> dict[str, bytes]:
    """The journal's files in a folder."""
    return {name: (folder / name).read_bytes() for name in FILES if (folder / name).is_file()}
