"""Tables of on-module files, read without running them: settings, states."""

import ast
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SETTINGS, CYCLE = ROOT / "lib/device/settings_table.py", ROOT / "lib/device/cycle.py"


def literal(path: Path, name: str) -> Any:
    """The value that `name` has in a file, where it is written as a literal."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", None) == name:
            return ast.literal_eval(node.value)
    raise LookupError(f"{path.name} has no table {name}")


def default(setting: str) -> Any:
    """The default of a setting."""
    return next(row[5] for row in literal(SETTINGS, "TABLE") if row[0] == setting)
