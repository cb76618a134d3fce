"""pytest items for test files that begin with `# runs in: cpython, vm, old` (any subset).

cpython   collected by pytest as usual
vm        the newest MicroPython VM, items `vm:<test>`
old       MicroPython 1.10, items `old:<test>`
Where MICROPYTHON_113 names a binary, files of vm or old run there too, as `v113:<test>`.

Such a file has plain asserts, no fixtures, no pytest; helpers it imports lie in its own folder or in lib/.
"""

import ast
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests_host.interpreters.judges import judge
from tests_host.interpreters.run import Job, Outcomes, run_old, run_unix

HEADER = re.compile(r"# runs in: *(\w+(?:, *\w+)*) *$")
RUNNERS = {
    "vm": ("micropython", run_unix),
    "old": ("micropython-1.10", run_old),
    "v113": ("micropython-1.13", run_unix),
}
OUTCOMES = pytest.StashKey[dict[tuple[str, Path], Outcomes]]()


def interpreters_of(path: Path) -> list[str]:
    """What the first line asks for, and v113; empty for an ordinary test file."""
    with path.open(encoding="utf-8") as file:
        match = HEADER.match(file.readline().rstrip("\n"))
    if match is None:
        return []
    names = re.split(r", *", match[1])
    unknown = set(names) - {"cpython", "vm", "old"}
    if unknown:
        raise pytest.UsageError(f"{path}: `# runs in:` names {', '.join(sorted(unknown))}")
    if os.environ.get("MICROPYTHON_113") and names != ["cpython"]:
        names.append("v113")
    return names


def declared_tests(path: Path) -> list[tuple[str, int]]:
    """(name, line) of the tests; raises where the file uses what only pytest has."""
    found = []
    for node in ast.parse(path.read_text("utf-8"), str(path)).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] + [getattr(node, "module", None)]
            if "pytest" in names:
                raise pytest.UsageError(f"{path}:{node.lineno}: imports pytest, which a MicroPython VM has not")
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            if node.args.args or node.decorator_list:
                raise pytest.UsageError(f"{path}:{node.lineno}: {node.name} has fixtures or marks")
            found.append((node.name, node.lineno))
    return found


class InterpreterFile(pytest.File):
    def collect(self) -> Iterator[pytest.Item]:
        tests = declared_tests(self.path)
        for interpreter in interpreters_of(self.path):
            for test, line in tests if interpreter != "cpython" else ():
                yield InterpreterItem.from_parent(
                    self, name=f"{interpreter}:{test}", interpreter=interpreter, test=test, line=line
                )


class InterpreterItem(pytest.Item):
    def __init__(self, *, interpreter: str, test: str, line: int, **keywords) -> None:
        super().__init__(**keywords)
        self.interpreter = interpreter
        self.test = test
        self.line = line

    def runtest(self) -> None:
        error = _outcomes(self)[self.path, self.test]
        if error is not None:
            raise InterpreterFailure(f"{self.interpreter}: {error}")

    def repr_failure(self, excinfo, style=None):
        if isinstance(excinfo.value, InterpreterFailure):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self):
        return self.path, self.line - 1, self.name


class InterpreterFailure(Exception):
    """The traceback of the VM is the text."""


def _outcomes(asked: InterpreterItem) -> Outcomes:
    """Outcomes of the file's selected items of that interpreter: all run when the first is asked for."""
    cache = asked.session.stash.setdefault(OUTCOMES, {})
    key = asked.interpreter, asked.path
    if key not in cache:
        name, run = RUNNERS[asked.interpreter]
        items = (item for item in asked.session.items if isinstance(item, InterpreterItem))
        tests = tuple(item.test for item in items if (item.interpreter, item.path) == key)
        cache[key] = run(judge(name), [Job(asked.path, tests)])
    return cache[key]
