"""mypy sees on-module code as the module does: MicroPython's typeshed, our stubs, lib/ first on the import path."""

import os
import subprocess
from pathlib import Path

import pytest

from tests_host.conftest import judge
from tools.dialect import types as type_check

INI = Path(type_check.__file__).with_name("mypy_module.ini")


@pytest.fixture
def check(tmp_path):
    typings = Path(judge("micropython-stubs"))
    (tmp_path / "tools/dialect").mkdir(parents=True)
    (tmp_path / "tools/dialect/mypy_module.ini").write_text(INI.read_text())
    (tmp_path / "tools/module/stubs").mkdir(parents=True)
    (tmp_path / "tools/module/stubs/pm.pyi").write_text("def set_psm_time(mode: int, /) -> bool: ...\n")

    def run(**files: str) -> str:
        for name, text in files.items():
            path = tmp_path / "lib" / (name.replace("__", "/") + ".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        environment = {**os.environ, "MYPYPATH": type_check.module_path(tmp_path, typings)}
        command = type_check.module_command(tmp_path, typings)
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.stderr == ""
        return done.stdout

    return run


def test_rooms_vendor_stubs_and_u_names_are_found(check):
    assert (
        check(
            coap__message="import ustruct\nfrom micropython import const\n_N = const(4)\n"
            "def f(a: bytes) -> int:\n    return ustruct.unpack('>H', a)[0] + _N\n",
            app="import pm\nimport utime\nfrom coap import message\n"
            "def g() -> None:\n    pm.set_psm_time(message.f(b'12'))\n    utime.ticks_diff(utime.ticks_ms(), 5)\n",
        )
        == ""
    )


def test_wrong_types_across_rooms_are_reported_even_in_unannotated_functions(check):
    told = check(
        coap__message="def f(a: bytes) -> int:\n    return len(a)\n",
        app="import pm\nfrom coap import message\ndef g():\n    pm.set_psm_time('x')\n    message.f('x')\n",
    )
    assert told.count("[arg-type]") == 2


def test_attribute_typed_by_comment_may_hold_none_first(check):
    text = "class A:\n    def __init__(self) -> None:\n        self.a = None  # type: bytes | None\n"
    assert check(app=text + "    def f(self) -> None:\n        self.a = b''\n") == ""
    assert "[assignment]" in check(app=text + "    def f(self) -> None:\n        self.a = 1\n")
