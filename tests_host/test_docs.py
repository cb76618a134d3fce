"""Documents that are generated agree with the code; README's commands work; both languages say the same."""

import re
import subprocess
import sys

import pytest

from tools.docs import DOCUMENTS
from tools.scenario import ROOT
from tools.wakes import COLUMNS, packets_of, wake_of

README, README_ZH = (ROOT / "README.md").read_text(), (ROOT / "README.zh-CN.md").read_text()
PROTOCOLS = (ROOT / "docs/protocols.md").read_text()
PAIRS = {"README": (README, README_ZH), "protocols": (PROTOCOLS, (ROOT / "docs/protocols.zh-CN.md").read_text())}


def blocks(text, language):
    return re.findall(rf"```{language}\n(.*?)```", text, re.S)


def commands(text):
    return [line for block in blocks(text, "sh") for line in block.splitlines()]


def links(text):
    """Where it leads, but to its own other language."""
    own = {"README.md", "README.zh-CN.md", "protocols.md", "protocols.zh-CN.md"}
    return {target.replace(".zh-CN", "") for target in set(re.findall(r"\]\(([^)\s]+)\)", text)) - own}


def rows(text):
    """Of its tables: for each row the numbers and the code of its cells, in any order."""
    return [sorted(re.findall(r"`[^`]+`|\d+(?:\.\d+)*", line)) for line in text.splitlines() if line.startswith("|")]


def table(text, heading):
    """{first cell: the other cells} of the first table under this heading."""
    lines = text.split(heading, 1)[1].split("\n\n|", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    return {cells[0]: cells[1:] for cells in ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)}


def numbers(text):
    return [float(each) for each in re.findall(r"\d+(?:\.\d+)?", text)]


@pytest.mark.parametrize("path", list(DOCUMENTS), ids=lambda path: path.name)
def test_generated_documents_are_up_to_date(path):
    assert path.read_text() == DOCUMENTS[path](), "run: python -m tools docs"


@pytest.mark.parametrize("name", PAIRS)
def test_both_languages_show_the_same_commands_code_tables_and_headings(name):
    english, chinese = PAIRS[name]
    assert commands(english) == commands(chinese)
    for language in ("python", "json", "text"):
        assert blocks(english, language) == blocks(chinese, language)
    assert [len(h) for h in re.findall(r"^#+", english, re.M)] == [len(h) for h in re.findall(r"^#+", chinese, re.M)]
    assert links(english) == links(chinese)
    assert rows(english) == rows(chinese)


@pytest.mark.parametrize("example", [each for text in (README, PROTOCOLS) for each in blocks(text, "json")])
def test_the_examples_of_config_json_are_good(example):
    from device import settings_table

    values, wrong = settings_table.parse(example.encode())
    assert not wrong and values["server.port"] in (5683, 5684, 1883, 8883, 8996)
    token = values.get("device.token", "")
    assert not token or "NOTaREALtoken" in token


@pytest.mark.parametrize("path", ["README.md", "README.zh-CN.md", "docs/protocols.md", "docs/protocols.zh-CN.md"])
def test_every_link_leads_to_a_file(path):
    for target in re.findall(r"\]\(([^)\s]+)\)", (ROOT / path).read_text()):
        assert ((ROOT / path).parent / target).exists(), target


@pytest.fixture(scope="module")
def checkout():
    """Where the commands run: one after the other, since some read what others have written."""
    return ROOT


# `make test` and `make check` would run this test again; CI calls them.
@pytest.mark.parametrize("line", [c for c in dict.fromkeys(commands(README) + commands(PROTOCOLS))
                                  if not c.startswith(("make test", "make check"))])
def test_the_commands_of_the_documents_work(line, checkout):
    done = subprocess.run([f"{line} READY= PY={sys.executable}"], shell=True, cwd=checkout, capture_output=True,
                          text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_the_readmes_figures_are_the_benchmarks():
    from tools.bench import report_run
    from tools.figures import REPORT, cost, resumed

    run = report_run("imei", 4)
    assert cost(run, resumed(run), REPORT) == (4, 225)
    assert "4 datagrams and 225 bytes" in " ".join(README.split()) and "4 个报文、225 字节" in README_ZH


SHOWN = {"`lwm2m`": "lwm2m", "`mqtt`": "mqtt", "`mqtts`": "mqtts", "`tcp`": "tcp"}
"""Rows of README's table of protocols, and the benchmarks' rows for them; what DTLS sends has a sheet of its own."""


@pytest.mark.parametrize("row", SHOWN)
def test_the_table_of_protocols_has_the_benchmarks_figures(row):
    """Heap and sizes change with each line of code: within 3 %."""
    shown = table(README, "## Another protocol")[row]
    _, wire, ms, _, heap, code, blocks = table((ROOT / "docs/benchmarks.md").read_text(), "## Protocols")[SHOWN[row]]
    up, down, packets_up, packets_down = numbers(wire)
    assert numbers(shown[2]) == [up + down, packets_up + packets_down]
    assert numbers(shown[3]) == [round(int(ms) / 1000, 1)]
    assert numbers(shown[4])[0] == pytest.approx(int(heap) / 1024, rel=0.03)
    assert numbers(shown[5]) == pytest.approx([int(code) / 1000, int(blocks)], rel=0.03)


def test_the_table_of_protocols_has_the_benchmarks_figures_of_dtls():
    shown, found = table(README, "## Another protocol")["`lwm2m`, `security` `psk`"], (
        table((ROOT / "docs/benchmarks.md").read_text(), "## DTLS: reports"))
    assert numbers(shown[2]) == numbers(found["new session, Update, report"][0]) + numbers(
        found["session kept by a connection id, report"][0])


def test_both_tables_of_protocols_show_the_same():
    """README's sums are those of docs/protocols.md."""
    short, long = table(README, "## Another protocol"), table(PROTOCOLS, "## What it costs")
    for (_, _, *brief), (wire, packets, *further) in zip(short.values(), long.values(), strict=True):
        both = [numbers(wire), numbers(packets)]
        if "+" in wire:
            both = [[sum(each)] for each in both]
        assert sorted(numbers(brief[0])) == sorted(both[0] + both[1])
        assert numbers(" ".join(brief[1:])) == numbers(" ".join(further))


@pytest.mark.parametrize("protocol", COLUMNS)
def test_the_tables_of_protocols_are_what_runs_send(protocol):
    run, wake = wake_of(protocol)
    found = packets_of(run, wake)
    shown = table(README, "## Another protocol")[f"`{protocol}`"]
    assert numbers(shown[2]) == [sum(one.size for one in found), len(found)]


def test_the_code_in_the_readme_is_that_of_app_py():
    app = (ROOT / "lib/app.py").read_text()
    for definition in blocks(README, "python")[0].split("\n\n\n"):
        assert definition.split("\n    ")[0].strip() in app
