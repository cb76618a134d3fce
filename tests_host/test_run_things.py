"""The main job of a product with a thing model: app.py as it is, the format by settings alone; judged by the checker,
which decodes by itself."""

import copy
import json
from dataclasses import replace

import pytest

from tools import figures
from tools.checker import check, entries
from tools.plan import Plan, quicker
from tools.scenario import play
from tools.things import declaration, decode

FORMATS = ("thing-json", "thing-binary")
every_format = pytest.mark.parametrize("form", FORMATS)


def plan(form, **more):
    return Plan(config={"payload": form}, **more)


@every_format
def test_wakes_with_losses_lose_and_double_nothing_and_both_engines_send_the_same_bytes_at_the_same_times(form):
    runs = [play(plan(form, wakes=12, loss=0.05, seed=2)), play(quicker(plan(form, wakes=12, loss=0.05, seed=2)))]
    for done in runs:
        result = figures.result(done)
        assert result["error"] is None, result
        assert result["readings_acknowledged"] == result["readings_taken"] > 12
        assert (result["readings_lost"], result["readings_duplicated"]) == (0, 0)
        assert result["commands_answered"] == result["commands_sent"] == 10
    assert runs[0].network.trace_sha256() == runs[1].network.trace_sha256()


@every_format
def test_each_entry_goes_up_alone_in_the_format_of_the_product(form):
    done = play(quicker(plan(form, wakes=6)))
    services = declaration.read_file()
    found = [decode.uplink(services, uplink.payload, form) for uplink in done.aep.uplinks(done.device)]
    assert {each["serviceId"] for each in found} == {1, 2, 9001, 9004, 9006}
    assert [each["taskId"] for each in found if "taskId" in each] == [1, 2, 3, 4]
    reports = [each for each in found if each["serviceId"] == 1]
    assert len(reports) == 6 and len({each["id"] for each in reports}) == 6
    batteries = [each["battery_voltage"] for each in reports]
    assert batteries.count(0) == 4 and max(batteries) > 3  # twice in 30 hours; else it is the declared empty one
    assert all(1_795_000_000_000 < each["t"] < 1_796_000_000_000 for each in reports)


def test_both_formats_and_the_transparent_one_say_the_same():
    said = []
    for form in ("transparent", *FORMATS):
        done = play(quicker(plan(form, wakes=4)))
        said.append([(e["serviceId"], round(float(e["water_flow"]), 3)) for e in entries(done) if "water_flow" in e])
    assert said[0] == said[1] == said[2] and len(said[0]) == 4


@every_format
def test_a_repeat_whose_acknowledgement_was_lost_is_known_with_and_without_an_id(form):
    doubled = 0
    for seed in range(1, 12):
        done = play(quicker(plan(form, wakes=10, loss=0.3, seed=seed)))
        if not done.problem:
            verdict = check(done)
            doubled += verdict.readings_duplicated
            assert [p for p in verdict.problems if p.startswith(("doubled", "invented", "not as", "changed"))] == []
    assert doubled


@pytest.fixture(scope="module", params=FORMATS)
def good(request):
    done = play(quicker(plan(request.param, wakes=6)))
    assert check(done).passed() and check(done).problems == []
    return done


def spoiled(good, change):
    """The verdict where the platform had stored something else."""
    run = copy.copy(good)
    run.aep = copy.copy(good.aep)
    uplinks = good.aep.uplinks(good.device)
    change(uplinks, lambda at, payload: uplinks.__setitem__(at, replace(uplinks[at], payload=payload)))
    run.aep.all_uplinks = lambda device: uplinks
    return check(run)


def lowered(payload):
    """A report with another water_flow."""
    if payload[:1] == b"{":
        body = json.loads(payload)
        return json.dumps({**body, "water_flow": body["water_flow"] - 1}).encode()
    return payload[:6] + bytes([payload[6] ^ 1]) + payload[7:]


def is_answer(payload):
    return payload[:1] == b"\x86" or b"taskId" in payload


SPOILED = {
    "flow": lambda ups, put: put(0, lowered(ups[0].payload)),
    "cut short": lambda ups, put: put(0, ups[0].payload[:-1]),
    "too long": lambda ups, put: put(0, ups[0].payload + b"}"),
    "another kind": lambda ups, put: put(0, b"\x07" + ups[0].payload[1:]),
    "signal": lambda ups, put: put(1, ups[1].payload.replace(b"-", b"").replace(b"\xff\xff\xff", b"\0\0\0")),
    "signal gone": lambda ups, put: ups.pop(1),
    "report gone": lambda ups, put: ups.pop(2),
    "signal twice": lambda ups, put: ups.append(ups[1]),
    "report twice": lambda ups, put: ups.append(ups[0]),
    "answer gone": lambda ups, put: ups.remove(next(up for up in ups if is_answer(up.payload))),
}


@pytest.mark.parametrize("what", SPOILED)
def test_what_is_spoiled_is_seen(good, what):
    assert not spoiled(good, lambda ups, put: None).problems
    verdict = spoiled(good, SPOILED[what])
    assert verdict.problems and not verdict.passed()
