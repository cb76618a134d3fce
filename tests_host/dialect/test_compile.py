"""Both bytecode compilers are told apart and report what they refuse."""

import pytest

from tools.dialect import compile as compilers


@pytest.fixture
def tree(tmp_path):
    (tmp_path / "lib/coap").mkdir(parents=True)
    (tmp_path / "boot.py").write_text("x = 1\n")
    (tmp_path / "lib/app.py").write_text("def f(a: int | None) -> bytes:\n    return b''\n")
    (tmp_path / "lib/coap/message.py").write_text("def f(a):\n    return a + 1\n")
    return tmp_path


def require(*versions):
    for version in versions:
        if compilers.find(version) is None:
            pytest.skip(f"mpy-cross {version}: {compilers.COMPILERS[version][3]}")


def test_bytecode_version_is_the_one_asked_for(tree):
    require("v5", "v6.3")
    for version, first in (("v5", b"M\x05"), ("v6.3", b"M\x06")):
        code, error = compilers.compile_source(compilers.find(version), tree / "boot.py", "boot.py", ())
        assert (code[:2], error) == (first, "")


def test_sizes_are_counted_per_room(tree):
    require("v5")
    report = compilers.compile_tree(tree)
    assert report.problems == []
    sizes = report.sizes()
    assert sorted(sizes["mpy_v5_bytes"]) == ["boot.py", "lib/app.py", "lib/coap"]
    assert sizes["total"] == sum(sizes["mpy_v5_bytes"].values()) > 0
    assert "lib/coap" in report.table()


def test_what_one_compiler_refuses_is_named_with_file_and_version(tree):
    require("v5", "v6.3")
    (tree / "lib/app.py").write_text("x = 1\ny = f'{x}'\n")  # v6.3 knows f-strings, v5 does not
    (problem,) = compilers.compile_tree(tree).problems
    assert problem.startswith("lib/app.py: mpy-cross v5: ")
    assert "SyntaxError" in problem


@pytest.mark.parametrize(("ci", "place"), [("true", "problems"), ("", "notes")])
def test_missing_compiler_is_a_note_at_home_and_a_failure_in_ci(tree, monkeypatch, ci, place):
    monkeypatch.setenv("CI", ci)
    monkeypatch.setattr(compilers.importlib.util, "find_spec", lambda name: None)
    report = compilers.compile_tree(tree)
    assert len(getattr(report, place)) == 2
    assert len(report.problems) + len(report.notes) == 2
