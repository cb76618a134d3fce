"""Runs test functions of files in a MicroPython interpreter, a process per file.

A test that hangs or kills its interpreter fails; the others are run again without it.
"""

import ast
import json
import os
import subprocess
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from tests_host.interpreters.judges import ROOT

IN_VM = Path(__file__).with_name("in_vm.py")
OLD_VM_JS = Path(__file__).with_name("old_vm.js")
LIB = ROOT / "lib"

# Tests hold their vectors as source, so the compiler is the peak; the application's own bound is the world's to keep.
HEAP = "1m"
LIMIT_S = 60.0  # real time for one process; MicroPython 1.13's division can loop for ever (quecpython.md §1.2)


class Job(NamedTuple):
    path: Path
    names: tuple[str, ...]


# (file, test) -> None when it passed, else why not
Outcomes = dict[tuple[Path, str], str | None]


def run_unix(binary: str, jobs: Iterable[Job], limit_s: float = LIMIT_S) -> Outcomes:
    """Modules are imported from files as on the module."""

    def process(job: Job) -> tuple[str, str]:
        command = [binary, "-X", f"heapsize={HEAP}", str(IN_VM), str(LIB), str(ROOT), str(job.path.parent)]
        return _process([*command, job.path.stem, *job.names], "", limit_s)

    return _run(jobs, process)


def run_old(package: str, jobs: Iterable[Job], limit_s: float = LIMIT_S) -> Outcomes:
    """A file gets its modules as text."""

    def process(job: Job) -> tuple[str, str]:
        chunks = [IN_VM.read_text("utf-8"), chunk(job)]
        return _process(["node", str(OLD_VM_JS), package], json.dumps(chunks), limit_s)

    return _run(jobs, process)


def _run(jobs: Iterable[Job], process: Callable[[Job], tuple[str, str]]) -> Outcomes:
    outcomes: Outcomes = {}
    for job in jobs:
        left = job
        while left.names:
            outcomes.update(_outcomes(*process(left), left))
            left = Job(job.path, tuple(name for name in job.names if (job.path, name) not in outcomes))
    return outcomes


def _process(command: list[str], stdin: str, limit_s: float) -> tuple[str, str]:
    """(output, how it ended)."""
    environment = {**os.environ, "MICROPYPATH": ""}
    try:
        done = subprocess.run(
            command, input=stdin.encode(), capture_output=True, timeout=limit_s, env=environment, cwd=ROOT
        )
    except subprocess.TimeoutExpired as error:
        return (error.stdout or b"").decode("utf-8", "replace"), f"no end within {limit_s:g} s"
    said = (done.stdout[-1000:] + done.stderr[-1000:]).decode("utf-8", "replace")
    return done.stdout.decode("utf-8", "replace"), f"interpreter ended with {done.returncode}: {said}"


def _outcomes(text: str, end: str, job: Job) -> Outcomes:
    """What one process said. There is always at least one outcome more than before, so that repeating ends."""
    outcomes: Outcomes = {}
    running, printed = "", ""
    for line in text.splitlines():
        if not line.startswith("@@"):
            printed += line + "\n"
            continue
        kind, name, *rest = json.loads(line[2:])
        if kind == "start":
            running, printed = name, ""
        elif name == "*":  # the file itself could not be loaded
            outcomes.update({(job.path, test): rest[0] or printed for test in job.names})
        else:
            outcomes[job.path, name] = (rest[0] or printed) if kind == "fail" else None
            running = ""
    if running:
        outcomes[job.path, running] = end + "\n" + printed
    if not outcomes:
        outcomes.update({(job.path, test): end for test in job.names})
    return outcomes


def chunk(job: Job) -> str:
    """Python text that loads a test file with all it imports of ours, and runs its tests."""
    lines = ["try:"]
    for name, path in modules_of(job.path):
        source = path.read_bytes() if path.is_file() else b""
        lines.append(f"  tests = register({name!r}, {_shown(path)!r}, {source!r}.decode())")
    lines += ["  tests._load()", f"  run_tests(tests.__getattr__, {list(job.names)!r})"]
    lines += ["except BaseException as error:"]
    return "\n".join([*lines, "  failed('*', error)"]) + "\n"


def _shown(path: Path) -> str:
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.name


def _at_import(tree: ast.Module) -> Iterator[ast.AST]:
    """What runs when a module is imported: a function's own imports wait for its call (boot.py starts a tree so)."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop(0)
        yield node
        if not isinstance(node, ast.FunctionDef):
            waiting += ast.iter_child_nodes(node)


def modules_of(test: Path) -> list[tuple[str, Path]]:
    """(dotted name, file or room folder) of everything of ours that the file needs, each after what it imports; the
    file itself comes last."""
    found: dict[str, Path] = {}

    def need(name: str) -> None:
        if name in found or name.count(".") > 1:
            return
        for top in (LIB, test.parent, ROOT):
            path = top.joinpath(*name.split("."))
            if path.with_suffix(".py").is_file():
                walk(name, path.with_suffix(".py"))
                return
            if top is LIB and path.is_dir():
                found[name] = path
                return

    def walk(name: str, path: Path) -> None:
        found[name] = path  # marks it, so that a circle ends
        tree = ast.parse(path.read_text("utf-8"))
        for node in ast.walk(tree) if path == test else _at_import(tree):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module] + [f"{node.module}.{alias.name}" for alias in node.names]
            else:
                continue
            for dependency in names:
                need(dependency.split(".")[0])
                need(dependency)
        del found[name]
        found[name] = path  # now behind what it needs

    walk(test.stem, test)
    return list(found.items())
