"""The platform manages the application on the simulated module: two implementations of LwM2M that share no code."""

import json

import pytest

from tools.ctwing.tlv import readable
from tools.plan import Plan, quicker
from tools.scenario import Hooks, play

# Request and what it is to give: a code, or what the answer says where it is 2.05.
ASKED = [
    ("read", "/3/0/0", {}, "Quectel"),
    ("read", "/3/0/2", {}, "868543060974334"),
    ("read", "/3/0/0", {"accept": 11542}, "Quectel"),
    ("read", "/1/0/1", {}, "86400"),
    ("read", "/3/0", {"accept": 11543}, "4.06"),
    ("read", "/9/9/9", {}, "4.04"),
    ("read", "/19", {}, "4.05"),
    ("write", "/1/0/1", {"payload": "43200"}, "2.04"),
    ("read", "/1/0/1", {}, "43200"),
    ("write-partial", "/1/0", {"payload": bytes.fromhex("c40100015180")}, "2.04"),
    ("read", "/1/0/1", {}, "86400"),
    ("write", "/1/0/1", {"payload": "soon"}, "4.00"),
    ("write", "/3/0/0", {"payload": "Other"}, "4.05"),
    ("write-attributes", "/4/0", {"query": "pmin=10&pmax=600"}, "2.04"),
    ("execute", "/9/9/9", {}, "4.04"),
    ("execute", "/3/0/0", {}, "4.05"),
    ("create", "/19", {}, "4.05"),
    ("delete", "/19/1", {}, "4.05"),
    ("cancel", "/4/0", {}, "not observed"),
]


class Asking(Hooks):
    def before(self, run):
        if len(run.wakes) == 1:
            for kind, path, settings, _ in ASKED:
                run.aep.ask(run.device, kind, path, **settings)
            for kind, path in (("read", "/3"), ("read", "/4/0"), ("discover", "/3/0"), ("observe", "/4/0")):
                run.aep.ask(run.device, kind, path)


@pytest.fixture(scope="module")
def run():
    return play(quicker(Plan(wakes=3, commands=False)), None, Asking())


def said(request):
    value = readable(request.answer, request.path, request.answer_format)
    return request.result if request.result != "2.05" else value


def test_every_request_is_answered_with_what_it_deserves(run):
    assert run.problem is None
    found = run.aep.requests(run.device)
    assert [(request.kind, request.path, said(request)) for request in found[: len(ASKED)]] == [
        (kind, path, wanted) for kind, path, _, wanted in ASKED]


def test_objects_are_read_as_trees_of_their_types(run):
    device, cell, links, _ = run.aep.requests(run.device)[len(ASKED):]
    read = said(device)
    assert list(read) == ["0"] and read["0"]["2"] == "868543060974334" and 3000 < read["0"]["7"]["0"] < 4300
    assert said(cell)["8"] == 0x5A2890B and -120 < said(cell)["2"] < -60
    found = said(links).split(",")
    assert found[0] == "</3/0>" and any(link.startswith("</3/0/0>") for link in found)


def test_an_observed_path_tells_and_is_no_uplink(run):
    assert said(run.aep.requests(run.device)[-1])["8"] == 0x5A2890B
    assert "/4/0" in [row.path for row in run.aep.notifications(run.device)]
    assert all(json.loads(uplink.payload) for uplink in run.aep.uplinks(run.device))
