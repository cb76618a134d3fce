"""Every kind of request of a server, to the device as it runs: LwM2M 1.0 §5.4's code for each, and none without an
answer."""

import pytest

from tests_host.device.world import HOUR, World

TEXT, LINKS, OPAQUE, TLV, JSON = 0, 40, 42, 11542, 11543

READ = [
    ("read", path, {}, code)
    for code, paths in {
        "2.05": "/1 /1/0 /1/0/1 /1/0/7 /3 /3/0 /3/0/0 /3/0/7 /3/0/11 /3/0/13 /4 /4/0 /4/0/2 /4/0/8 /5 /5/0 /5/0/3"
        " /19/0/0",
        "4.04": "/0 /0/0 /2 /3/1 /3/0/5 /3/0/9 /3/0/99 /4/0/5 /5/0/8 /65535",
        "4.05": "/1/0/4 /1/0/8 /3/0/4 /3/0/12 /5/0/0 /5/0/2 /19 /19/0 /19/1/0",
    }.items()
    for path in paths.split()
]
FORMATS = [
    ("read", "/3/0/0", {"accept": TEXT}, "2.05"), ("read", "/3/0/0", {"accept": TLV}, "2.05"),
    ("read", "/3/0/0", {"accept": JSON}, "4.06"), ("read", "/3/0/0", {"accept": OPAQUE}, "4.06"),
    ("read", "/3/0", {"accept": TLV}, "2.05"), ("read", "/3/0", {"accept": TEXT}, "4.06"),
    ("read", "/3/0/7", {"accept": TEXT}, "4.06"), ("discover", "/3", {}, "2.05"), ("discover", "/3/0/7", {}, "2.05"),
    ("discover", "/3/0/9", {}, "4.04"), ("discover", "/7", {}, "4.04"), ("observe", "/3/0/4", {}, "4.05"),
    ("observe", "/3/0/9", {}, "4.04"), ("observe", "/4/0/2", {}, "2.05"), ("cancel", "/4/0/2", {}, "2.05"),
]  # fmt: skip
ATTRIBUTES = [
    ("write-attributes", path, {"query": query}, code)
    for path, query, code in (
        ("/4/0", "pmin=10&pmax=7200", "2.04"), ("/4/0/2", "gt=-80&lt=-110&st=5", "2.04"), ("/4/0", "pmin", "2.04"),
        ("/4/0", "pmin=20&pmax=10", "4.00"), ("/4/0/2", "lt=-80&gt=-110", "4.00"), ("/3/0/0", "gt=5", "4.00"),
        ("/3/0", "foo=1", "4.00"), ("/3/0/4", "pmin=5", "4.05"), ("/19/0/0", "pmin=5", "4.05"),
        ("/9/0", "pmin=5", "4.04"),
    )
]  # fmt: skip
CHANGES = [
    ("write", "/1/0/2", {"payload": "60", "content_format": TEXT}, "2.04"),
    ("write", "/1/0/6", {"payload": "0", "content_format": TEXT}, "2.04"),
    ("write", "/1/0/1", {"payload": "x", "content_format": TEXT}, "4.00"),
    ("write", "/1/0/1", {"payload": "100", "content_format": TEXT}, "4.00"),
    ("write", "/1/0/2", {"payload": "1", "content_format": JSON}, "4.15"),
    ("write", "/1/0/0", {"payload": "1", "content_format": TEXT}, "4.05"),
    ("write", "/3/0/0", {"payload": "x", "content_format": TEXT}, "4.05"),
    ("write", "/5/0/0", {"payload": b"x", "content_format": OPAQUE}, "4.05"),
    ("execute", "/3/0/12", {}, "2.04"), ("execute", "/3/0/5", {}, "4.04"), ("execute", "/3/0/0", {}, "4.05"),
    ("execute", "/5/0/2", {}, "4.05"), ("create", "/3", {}, "4.05"), ("create", "/19", {}, "4.05"),
    ("delete", "/3/0", {}, "4.05"), ("delete", "/19/0", {}, "4.05"),
]  # fmt: skip
ROUNDS = {"read": READ, "formats": FORMATS, "attributes": ATTRIBUTES, "changes": CHANGES}


@pytest.mark.parametrize("asked", ROUNDS.values(), ids=list(ROUNDS))
def test_each_request_gets_its_code_and_the_report_of_that_wake_goes_up_all_the_same(asked):
    with World({"report.interval": HOUR}) as world:
        assert world.power_on() == "psm"
        for kind, path, more, _ in asked:
            world.aep.ask(world.device, kind, path, **more)
        before = len(world.reports())
        assert world.wake() == "psm"
        answered = world.aep.requests(world.device)
        assert [(r.kind, r.path, r.query, r.accept, r.result) for r in answered] == [
            (kind, path, more.get("query", ""), more.get("accept"), code) for kind, path, more, code in asked
        ]
        assert len(world.reports()) == before + 1
        assert world.verdict().problems == []
