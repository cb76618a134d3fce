"""Types: one mypy run for on-module code against MicroPython's typeshed and our stubs of QuecPython's modules, one
ordinary run for tools/ (configured in pyproject.toml).

MicroPython's stubs lie outside site-packages, where they would shadow CPython's `time`, `socket`, `unittest` (PyPI
`micropython-stdlib-stubs`, pinned in typings.txt, installed by make into <environment>/typings).
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TYPINGS = Path(sys.prefix) / "typings"
INSTALL = "python -m pip install --no-deps --target {} -r tools/dialect/typings.txt"


def module_command(root: Path, typings: Path) -> list[str]:
    files = [name for name in ("main.py", "boot.py", "lib") if (root / name).exists()]
    config = str(root / "tools/dialect/mypy_module.ini")
    cache = str(root / ".mypy_cache/module")
    return _mypy("--config-file", config, "--cache-dir", cache, "--custom-typeshed-dir", str(typings), *files)


def module_path(root: Path, typings: Path) -> str:
    """lib/ is the top of the import path on the module, so it comes first; own stubs win over the general ones."""
    return os.pathsep.join(str(path) for path in (root / "lib", root / "tools/module/stubs", typings))


def tools_command() -> list[str]:
    return _mypy("--cache-dir", ".mypy_cache/tools", "tools")


def _mypy(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "mypy", "--no-error-summary", *arguments]


def main() -> int:
    if not (TYPINGS / "stdlib/VERSIONS").exists():
        print(f"MicroPython's type stubs are missing: {INSTALL.format(TYPINGS)}", file=sys.stderr)
        return 1
    environment = {**os.environ, "MYPYPATH": module_path(ROOT, TYPINGS)}
    on_module = subprocess.run(module_command(ROOT, TYPINGS), cwd=ROOT, env=environment).returncode
    on_host = subprocess.run(tools_command(), cwd=ROOT).returncode
    return 1 if on_module or on_host else 0


if __name__ == "__main__":
    sys.exit(main())
