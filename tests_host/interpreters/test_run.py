"""The runners report what each interpreter does with a test, also when it hangs or cannot load the file."""

import pytest

from tests_host.conftest import judge
from tests_host.interpreters.collect import RUNNERS, declared_tests, interpreters_of
from tests_host.interpreters.run import Job, modules_of

INTERPRETERS = ["vm", "old"]
LIMIT_S = 4.0  # real time; one start takes 0.3 s


def run(interpreter, *jobs):
    name, runner = RUNNERS[interpreter]
    return runner(judge(name), jobs, LIMIT_S)


def write(path, text):
    path.write_text("# runs in: cpython, vm, old\n" + text, encoding="utf-8")
    return path


@pytest.mark.parametrize("interpreter", INTERPRETERS)
def test_pass_and_failure_are_told_apart_with_the_traceback(tmp_path, interpreter):
    text = "def test_good():\n    pass\ndef test_bad():\n    print('seen')\n    assert 1 == 2\n"
    path = write(tmp_path / "test_x.py", text)
    outcomes = run(interpreter, Job(path, ("test_good", "test_bad")))
    assert outcomes[path, "test_good"] is None
    assert "AssertionError" in outcomes[path, "test_bad"]
    assert "line 6" in outcomes[path, "test_bad"]


@pytest.mark.parametrize("interpreter", INTERPRETERS)
def test_hanging_test_fails_and_the_others_still_run(tmp_path, interpreter):
    hangs = write(tmp_path / "test_a.py", "def test_loop():\n    while True: pass\ndef test_next():\n    pass\n")
    other = write(tmp_path / "test_b.py", "def test_other():\n    pass\n")
    outcomes = run(interpreter, Job(hangs, ("test_loop", "test_next")), Job(other, ("test_other",)))
    assert "no end within 4 s" in outcomes[hangs, "test_loop"]
    assert outcomes[hangs, "test_next"] is None
    assert outcomes[other, "test_other"] is None


@pytest.mark.parametrize("interpreter", INTERPRETERS)
def test_file_that_does_not_load_fails_all_its_tests(tmp_path, interpreter):
    path = write(tmp_path / "test_x.py", "import absent\ndef test_one():\n    pass\ndef test_two():\n    pass\n")
    outcomes = run(interpreter, Job(path, ("test_one", "test_two")))
    assert "absent" in outcomes[path, "test_one"]
    assert "absent" in outcomes[path, "test_two"]


@pytest.mark.parametrize("interpreter", INTERPRETERS)
def test_each_file_gets_fresh_modules(tmp_path, interpreter):
    (tmp_path / "helper.py").write_text("seen = []\n")
    text = "import helper\ndef test_first():\n    helper.seen.append(1)\n    assert len(helper.seen) == 1\n"
    paths = [write(tmp_path / name, text) for name in ("test_a.py", "test_b.py")]
    outcomes = run(interpreter, *(Job(path, ("test_first",)) for path in paths))
    assert list(outcomes.values()) == [None, None]


@pytest.mark.parametrize("interpreter", INTERPRETERS)
def test_modules_look_alike_however_they_are_imported(tmp_path, interpreter):
    (tmp_path / "helper.py").write_text("n = 0\ndef count():\n    global n\n    n += 1\n    return n\n")
    text = "import helper\nfrom helper import count\ndef test_x():\n    count()\n    assert helper.n == 1\n"
    path = write(tmp_path / "test_x.py", text)
    assert run(interpreter, Job(path, ("test_x",))) == {(path, "test_x"): None}


def test_modules_come_after_what_they_import(tmp_path):
    (tmp_path / "a.py").write_text("import b\n")
    (tmp_path / "b.py").write_text("import c\n")
    (tmp_path / "c.py").write_text("import a\n")
    path = write(tmp_path / "test_x.py", "import a\nimport ustruct\n")
    assert [name for name, _ in modules_of(path)] == ["c", "b", "a", "test_x"]


def test_header_names_the_interpreters(tmp_path, monkeypatch):
    path = tmp_path / "test_x.py"
    for header, found in (
        ("# runs in: cpython, vm, old", ["cpython", "vm", "old"]),
        ("# runs in: vm", ["vm"]),
        ('"""An ordinary test."""', []),
    ):
        monkeypatch.delenv("MICROPYTHON_113", raising=False)
        path.write_text(header + "\n")
        assert interpreters_of(path) == found
        monkeypatch.setenv("MICROPYTHON_113", "somewhere")
        assert interpreters_of(path) == found + (["v113"] if found else [])


@pytest.mark.parametrize(
    "text",
    ["import pytest\n", "from pytest import raises\n", "def test_x(tmp_path): pass\n", "@mark\ndef test_x(): pass\n"],
)
def test_what_only_pytest_has_is_refused(tmp_path, text):
    with pytest.raises(pytest.UsageError):
        declared_tests(write(tmp_path / "test_x.py", text))


@pytest.mark.parametrize(("ci", "outcome"), [("true", pytest.fail.Exception), ("", pytest.skip.Exception)])
def test_missing_judge_skips_at_home_and_fails_in_ci_with_its_install_line(monkeypatch, ci, outcome):
    monkeypatch.setenv("CI", ci)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(outcome, match="tshark is not installed: apt-get install tshark"):
        judge("tshark")
