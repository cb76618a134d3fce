"""Tables of on-module files, read without running them: settings, states."""

import ast
import functools
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
FAULTS = (ROOT / "lib/link/fault.py", ROOT / "lib/aep/thing.py", ROOT / "lib/aep/session.py",
          ROOT / "lib/aep/refusals.py", ROOT / "lib/aep/dtls_faults.py", ROOT / "lib/aep/stream_faults.py")
HINTS = ROOT / "lib/link/hints.py"
SETTINGS, CYCLE = ROOT / "lib/device/settings_table.py", ROOT / "lib/device/cycle.py"


@functools.lru_cache
def literal(path: Path, name: str) -> Any:
    """The value that `name` has in a file, where it is written as a literal."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", None) == name:
            return ast.literal_eval(node.value)
    raise LookupError(f"{path.name} has no table {name}")


def states() -> list[tuple[str, int, str]]:
    """The cycle's states: (name, longest stay in seconds, 0 for no bound; what it does: its method's first line)."""
    methods = {}
    for node in ast.walk(ast.parse(CYCLE.read_text())):
        if isinstance(node, ast.FunctionDef):
            methods[node.name] = (ast.get_docstring(node) or "").split("\n")[0].rstrip(".")
    rows = [line.split(": ") for line in literal(CYCLE, "STATES").split("\n") if line]
    return [(name, int(limit), methods["_" + name.lower()]) for name, limit in rows]


def moves() -> list[tuple[str, str, str]]:
    """The cycle's transitions: (state, event, next state)."""
    rows = [line.split(": ") for line in literal(CYCLE, "TABLE").split("\n") if line]
    return [(*key.split(", "), target) for key, target in rows]


def setting(name: str) -> list[Any]:
    """The row of a setting: [name, type, unit, lowest or choices, highest, default, what it does]. LookupError."""
    for row in literal(SETTINGS, "TABLE"):
        if row[0] == name:
            return row
    raise LookupError(name)


def default(name: str) -> Any:
    """The default of a setting."""
    return setting(name)[5]


def errors() -> dict[int, str]:
    """The device's errors: {code: name}, as `class NoSim(Fault): code = 11` says it."""
    found = {}
    for path in FAULTS:
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef):
                codes = [item.value for item in node.body
                         if isinstance(item, ast.Assign) and getattr(item.targets[0], "id", None) == "code"]
                found.update({ast.literal_eval(code): node.name for code in codes})
    return found
