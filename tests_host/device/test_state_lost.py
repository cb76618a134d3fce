"""Files of /usr/state are gone, torn or full of garbage between two wakes: the device goes on. What that costs is said
here: which reports come again, what is lost, which numbers begin anew.
"""

import itertools
import json
import random
import re
import zlib

import pytest

from tests_host.device.cutting import numbers, read_journal
from tests_host.device.test_cycle import save
from tests_host.device.world import HOUR, World
from tools import journal
from tools.faults import act

FILES = ("app.rec", "commands.rec", "health.rec", "ladder.rec", "outbox.log", "outbox.rec", "readings.rec",
         "session.rec", "settings.rec", "journal.0", "numbers.rec")
"""The last two last: after them the journal is damaged, and numbers have begun anew."""

SILENT = ("silent-register", "silent-update", "drop-report")


def record(body):
    return b"%08x " % zlib.crc32(body) + body


DAMAGES = {
    "removed": None,
    "empty": lambda data: b"",
    "torn": lambda data: data[: len(data) // 2],
    "garbage": lambda data: random.Random(len(data)).randbytes(len(data)),
    "foreign": lambda data: record(b'{"x":1}'),  # a good record, and nothing in it that is known
}

# What the checker says where these are damaged; anything else is a defect.
AGAIN = r"doubled: id \d+ came again though its first message was acknowledged"
GAP = r"lost: id \d+ is neither at the platform nor in the outbox"
COSTS = {
    "outbox.rec": [AGAIN],  # the log keeps up to 512 bytes of what was consumed: it goes up again, same ids
    "outbox.log": [GAP],  # ids are skipped, as many as the damaged bytes may have been
}
UNSENT = r"lost: flow \d+ drawn at \d+ is nowhere"  # it was in the log


def lived(world):
    """Three wakes with two commands, one wake of them silent, one without a network: every file is there."""
    assert world.power_on() == "psm"
    world.command(8001, valve_onoff=0)
    act.carrier(world.run, pdp_after="cfun")
    assert world.wake() == "psm"
    act.carrier_again(world.run)
    world.command(8006, valveoff_enable=1)
    for name in SILENT:
        world.aep.fault(name)
    assert world.wake() == "psm"
    for name in SILENT:
        world.aep.heal(name)


def delivered(world):
    """And one good wake: nothing waits."""
    lived(world)
    assert world.wake() == "psm"
    assert world.waiting() == []


def damage(world, name, how):
    path = "state/" + name
    data = world.flash.read(path) if world.flash.exists(path) else bytes(64)
    if world.flash.exists(path):
        world.flash.remove(path)
    if DAMAGES[how] is not None:
        world.flash.write(path, DAMAGES[how](data))


def goes_on(world, names, costs=(), before=()):
    """The next wakes are as if nothing had been, but for what is said in COSTS, and `before`. Returns what the checker
    says."""
    world.command(8001, valve_onoff=len(world.run.given) % 2)
    for _ in range(2):
        assert world.wake() == "psm"
    costs = [*costs, *(cost for name in names for cost in COSTS.get(name, []))]
    problems = world.verdict().problems
    for problem in problems:
        assert problem in before or any(re.fullmatch(cost, problem) for cost in costs), problem
    assert world.waiting() == [] and world.record("commands")["queue"] == []
    assert world.boot_record()["failed"] == 0
    if not {"numbers.rec", "journal.0"} & {*names}:
        numbers(world.run)
        read_journal(world.flash)
    return problems


def one_after_the_other(cases):
    """A device to which all of this happens: (names, damage)."""
    with World({"report.interval": HOUR}) as world:
        delivered(world)
        told = []
        for names, how in cases:
            for name in names:
                damage(world, name, how)
            try:
                told = goes_on(world, names, before=told)
            except AssertionError as error:
                raise AssertionError(f"{how} {' and '.join(names)}: {error}") from error


def test_these_are_all_the_files_of_a_device_in_the_field():
    with World() as world:
        delivered(world)
        assert {name[6:] for name in world.flash.list() if re.match("state/.", name)} == {*FILES}


@pytest.mark.parametrize("how", DAMAGES)
def test_one_file_is_damaged_and_the_device_goes_on(how):
    known = FILES[how == "foreign":]  # app.rec is app.py's, which takes what it finds there
    one_after_the_other([([name], how) for name in known])


def test_two_files_are_damaged_and_the_device_goes_on():
    pairs = sorted(itertools.combinations(FILES, 2), key=lambda pair: pair[1] in FILES[-2:])
    pairs.remove(("outbox.log", "outbox.rec"))
    one_after_the_other([(pair, ("removed", "garbage")[n % 2]) for n, pair in enumerate(pairs)])


@pytest.mark.parametrize("how", ["removed", "garbage"])
@pytest.mark.parametrize("name", ["outbox.log", "outbox.rec", "commands.rec", "session.rec"])
def test_one_file_is_damaged_while_reports_wait(name, how):
    """What was in the log is lost with it."""
    with World() as world:
        lived(world)
        damage(world, name, how)
        goes_on(world, [name], [UNSENT] if name == "outbox.log" else [])


def test_log_and_record_of_the_outbox_both_gone_begin_at_id_1_again():
    """Nothing else on flash knows the last id. The platform gets ids it has seen; their times tell them apart."""
    with World() as world:
        delivered(world)
        known = {entry["id"]: entry for entry in world.stored()}
        for name in ("outbox.log", "outbox.rec"):
            damage(world, name, "removed")
        assert world.wake() == "psm"
        new = world.stored()[len(known):]
        assert [entry["id"] for entry in new] == list(range(1, len(new) + 1))
        assert all(entry["t"] > max(each["t"] for each in known.values()) for entry in new)
        assert world.waiting() == [] and world.boot_record()["failed"] == 0


def test_lost_numbers_begin_anew_and_the_journal_shows_it():
    """A wake apart, RFC 7641 §3.4 takes a smaller Observe number for the newer one: 128 s have gone. Message ids begin
    at random."""
    with World() as world:
        delivered(world)
        first = world.network.mark()
        damage(world, "numbers.rec", "removed")
        goes_on(world, ["numbers.rec"])
        assert world.record("numbers")["boot"] == 3
        mids = [{d.data[2:4] for d in part if d.direction == "up" and not d.data[0] & 0x20}
                for part in (world.network.trace[:first], world.network.trace[first:])]
        assert not mids[0] & mids[1]
        items = journal.read({name: world.flash.read("state/" + name) for name in journal.FILES[1:]})
        assert len([item for item in items if isinstance(item, journal.Again)]) == 1


# -- good records of another shape: another version of the tree has written them --------------------------------------

def shape(**changes):
    return lambda record: {**record, **changes}


def without(name):
    return lambda record: {**record, "session": {key: value for key, value in record["session"].items() if key != name}}


def inner(**changes):
    return lambda record: {**record, "session": {**record["session"], **changes}}


SHAPES = {
    "session of another type": shape(session="?"), "gap of another type": shape(gap="?"),
    "boot of another type": shape(boot="?"), "server of another type": shape(server=[1]),
    **{f"session without {name}": without(name) for name in ("ep", "loc", "tok")},
    **{f"{name} of another type": inner(**{name: 7}) for name in ("tok", "attr", "marks", "learn")},
    "mark of another type": inner(marks={"3/0": 7}), "wait of another type": inner(learn={"o": "?"}),
}
BREAKING = {
    **{f"session without {name}": without(name) for name in ("at", "lt")},
    **{f"{name} of another type": inner(**{name: "?"}) for name in ("at", "lt")},
    "token of another type": inner(tok={"19/0/0": 7}), "token no hex": inner(tok={"19/0/0": "?"}),
    "attributes of another type": inner(attr={"3/0": 7}), "short cut of another type": inner(learn={"u": 7}),
}


@pytest.mark.parametrize("change", [
    pytest.param(change, id=name) for name, change in {**SHAPES, **BREAKING}.items()
])
def test_session_record_of_another_shape_only_costs_a_register(change):
    with World() as world:
        assert world.power_on() == "psm"
        save(world, "session", change(world.record("session")))
        goes_on(world, [])
        assert len(world.aep.registrations(world.device)) <= 2


def test_ladder_record_of_another_shape_hinders_no_recovery():
    with World() as world:
        assert world.power_on() == "psm"
        save(world, "ladder", {"n": {"redial": 1}, "since": "?"})
        act.carrier(world.run, pdp_after="cfun")
        assert world.wake() == "psm"
        assert world.boot_record()["failed"] == 0


def test_lost_session_is_not_taken_for_a_weak_battery():
    with World({"report.interval": HOUR}) as world:
        assert world.power_on() == "psm"
        for _ in range(5):
            assert world.wake() == "psm"
        damage(world, "session.rec", "removed")
        world.start(3)
        world.advance(600)
        assert not [line for line in world.log() if "came to nothing" in line]
        assert world.waiting() == []


def test_state_that_is_gone_altogether_is_a_device_from_the_factory():
    with World() as world:
        delivered(world)
        for name in FILES:
            damage(world, name, "removed")
        assert world.wake() == "psm"
        assert world.wake() == "psm"
        assert json.loads(world.flash.read("state/numbers.rec")[9:])["boot"] == 3
        assert world.waiting() == [] and world.boot_record()["failed"] == 0
