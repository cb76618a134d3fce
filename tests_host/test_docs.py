"""Documents that are generated agree with the code; README's commands work; both languages say the same."""

import re
import subprocess
import sys

import pytest

from tools.docs import DOCUMENTS
from tools.scenario import ROOT

README, README_ZH = (ROOT / "README.md").read_text(), (ROOT / "README.zh-CN.md").read_text()


def commands(text):
    return [line for block in re.findall(r"```sh\n(.*?)```", text, re.S) for line in block.splitlines()]


@pytest.mark.parametrize("path", list(DOCUMENTS), ids=lambda path: path.name)
def test_generated_documents_are_up_to_date(path):
    assert path.read_text() == DOCUMENTS[path](), "run: python -m tools docs"


def test_both_readmes_show_the_same_commands_code_and_headings():
    assert commands(README) == commands(README_ZH)
    code = re.compile(r"```python\n(.*?)```", re.S)
    assert code.findall(README) == code.findall(README_ZH)
    assert [len(h) for h in re.findall(r"^#+", README, re.M)] == [len(h) for h in re.findall(r"^#+", README_ZH, re.M)]
    assert set(re.findall(r"\]\(([^)\s]+)\)", README)) - {"README.zh-CN.md"} == (
        set(re.findall(r"\]\(([^)\s]+)\)", README_ZH)) - {"README.md"})


def test_every_link_of_the_readmes_leads_to_a_file():
    for target in re.findall(r"\]\(([^)\s]+)\)", README + README_ZH):
        assert (ROOT / target).exists(), target


# `make test` and `make check` would run this test again; CI calls them.
@pytest.mark.parametrize("line", [c for c in commands(README) if not c.startswith(("make test", "make check"))])
def test_the_commands_of_the_readme_work(line):
    done = subprocess.run([f"{line} READY= PY={sys.executable}"], shell=True, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_the_readmes_figures_are_the_benchmarks():
    from tools.bench import report_run
    from tools.figures import REPORT, cost, resumed

    run = report_run("imei", 4)
    assert cost(run, resumed(run), REPORT) == (4, 225)
    assert "4 datagrams and 225 bytes" in " ".join(README.split()) and "4 个报文、225 字节" in README_ZH


def test_the_code_in_the_readme_is_that_of_app_py():
    app = (ROOT / "lib/app.py").read_text()
    for definition in re.findall(r"```python\n(.*?)```", README, re.S)[0].split("\n\n\n"):
        assert definition.split("\n    ")[0].strip() in app
