"""boot.py in the simulated module: whatever a tree does, the device ends in a state from which it comes back."""

import json
import zlib

import pytest

from tests_host.device.world import DAY, HOUR, World
from tests_host.store.bench import fill

TRIES = 3
WAIT = 6 * HOUR

BAD = {
    "syntax error": b"def broken(:\n",
    "import error": b"import nothing_of_that_name\n",
    "name error": b"undefined\n",
    "out of memory": b"raise MemoryError\n",
    "raises later": b"def main(boot):\n    raise ValueError('later')\n",
    "no main": b"",
}
HANGS = b"import utime\ndef main(boot):\n    while True:\n        utime.sleep(1000)\n"
WORKS = b"def main(boot):\n    boot.confirm()\n    boot.rest()\n    print('tree %s works')\n"


def cycle(world, tree, source):
    world.flash.install({f"{tree}/device/cycle.py": source})


def boots(world, count, reason=3):
    """Ends of so many power-ons in a row, as each end leads to the next."""
    ends = []
    for _ in range(count):
        ends.append(world.power_on(reason, limit=400))
        reason = {"restart": 2, "watchdog": 5}[ends[-1]]
    return ends


def waits(world, seconds=HOUR, reason=2):
    """Starts and sees that the device stays where it is, asleep, with the REPL open; left running."""
    world.start(reason)
    world.advance(seconds)
    assert not world.on.done(), world.on.result()
    assert "boot: no tree starts" in world.log()[-1]
    return world.log()[-1]


def record(world, **changes):
    """Puts a boot record on the flash."""
    body = json.dumps({"tree": "a", "a": "good", "b": "empty", "failed": 0, "why": "", **changes}).encode()
    world.flash.write("boot.rec", b"%08x " % zlib.crc32(body) + body)


def test_good_tree_is_confirmed_by_a_report_that_was_acknowledged_and_a_wake_that_ended():
    with World() as world:
        assert world.power_on() == "psm"
        assert world.boot_record() == {"tree": "a", "a": "good", "b": "empty", "failed": 0, "why": ""}


def test_good_tree_writes_no_record_again():
    with World() as world:
        world.power_on()
        before = world.flash.read("boot.rec")
        writes = world.flash.write
        world.flash.remove("boot.rec")
        writes("boot.rec", before)
        world.wake()
        assert world.flash.read("boot.rec") == before
        assert not world.flash.exists("boot.rec.new")


def test_tree_that_has_not_reported_is_not_confirmed():
    with World(platform=False) as world:
        factory = world.flash.read("boot.rec")
        assert world.power_on() == "psm"
        assert world.flash.read("boot.rec") == factory
        assert world.boot_record()["a"] == "new"


@pytest.mark.parametrize("name", BAD)
def test_tree_that_does_not_start_is_tried_three_times_and_then_waited_with(name):
    with World() as world:
        cycle(world, "a", BAD[name])
        assert boots(world, TRIES) == ["restart"] * TRIES
        kept = world.boot_record()
        assert (kept["a"], kept["failed"]) == ("bad", TRIES)
        assert kept["why"] in waits(world)
        assert world.milliseconds("sleep") > 0.9 * HOUR * 1000


def test_module_left_half_imported_is_never_imported_again_in_the_same_vm():
    """A second import of it would succeed silently (quecpython.md §1.2): every try is a power-on of its own."""
    with World() as world:
        cycle(world, "a", b"print('imported')\nimport nothing\n")
        cycle(world, "b", b"print('imported')\nimport nothing\n")
        record(world, b="new")
        boots(world, 2 * TRIES)
        assert world.log().count("imported") == world.module.boots == 2 * TRIES
        waits(world)
        assert world.log().count("imported") == 2 * TRIES


def test_other_tree_takes_over_after_three_failures():
    with World() as world:
        cycle(world, "a", BAD["import error"])
        cycle(world, "b", WORKS % b"b")
        record(world, b="new")
        assert boots(world, TRIES) == ["restart"] * TRIES
        world.start(2)
        world.advance(HOUR)
        assert "tree b works" in world.log()
        assert world.boot_record() == {"tree": "b", "a": "bad", "b": "good", "failed": 0,
                                       "why": world.boot_record()["why"]}


@pytest.mark.parametrize("other", ["bad", "empty"])
def test_other_tree_that_is_bad_or_not_there_is_not_tried(other):
    with World() as world:
        cycle(world, "a", BAD["import error"])
        cycle(world, "b", b"print('tried b')\n" + WORKS % b"b")
        record(world, b=other)
        boots(world, TRIES)
        waits(world)
        assert "tried b" not in world.log()


def test_bad_trees_get_one_try_every_six_hours():
    with World() as world:
        cycle(world, "a", b"print('tried')\nimport nothing\n")
        boots(world, TRIES)
        assert world.power_on(2, limit=WAIT + 60) == "restart"
        assert world.power_on(2) == "restart"
        assert world.log().count("tried") == TRIES + 1
        waits(world)


def test_tree_that_was_repaired_meanwhile_reports_again():
    with World() as world:
        good = world.flash.read("a/device/cycle.py")
        cycle(world, "a", BAD["import error"])
        boots(world, TRIES)
        cycle(world, "a", good)
        assert world.power_on(2, limit=WAIT + 60) == "restart"
        assert world.power_on(2) == "psm"
        assert world.boot_record()["a"] == "good"
        assert world.boot_record()["failed"] == 0
        assert world.verdict().problems == []


def test_removing_the_record_starts_a_repaired_tree_at_once():
    with World() as world:
        good = world.flash.read("a/device/cycle.py")
        cycle(world, "a", BAD["import error"])
        boots(world, TRIES)
        assert "remove /usr/boot.rec" in waits(world)
        world.cut()
        cycle(world, "a", good)
        world.flash.remove("boot.rec")
        assert world.power_on() == "psm"


def test_hanging_tree_is_bitten_by_the_watchdog_and_counted():
    with World() as world:
        cycle(world, "a", HANGS)
        assert boots(world, TRIES) == ["watchdog"] * TRIES
        assert (world.boot_record()["a"], world.boot_record()["failed"]) == ("new", TRIES - 1)
        assert "reset with reason 5" in waits(world, reason=5)
        assert world.boot_record()["a"] == "bad"


def test_reset_after_a_dump_of_the_modem_is_counted_like_the_watchdogs():
    with World() as world:
        cycle(world, "a", HANGS)
        for _ in range(TRIES):
            world.start(9)
            world.advance(60)
            world.cut()
        assert world.boot_record()["a"] == "bad"


def test_failures_far_apart_do_not_add_up_when_reports_arrive_between():
    with World() as world:
        world.power_on()
        for _ in range(4):
            world.advance(60)
            world.power_on(5)
            world.wake()
        assert world.boot_record()["a"] == "good"
        assert world.boot_record()["failed"] == 0


def test_tree_that_fails_after_each_report_is_not_good():
    """Else it would report, fail and restart without end."""
    with World() as world:
        power = world.flash.read("a/link/power.py")
        assert power.count(b"def release(") == 1
        world.flash.write("a/link/power.py", power.replace(b"def release(", b"def released_("))
        ends = [world.power_on()]
        while world.boot_record()["a"] != "bad" and len(ends) < 10:
            ends.append(world.again(ends[-1]))
        assert ends.count("restart") == TRIES
        assert len([entry for entry in world.reports() if "water_flow" in entry]) == TRIES


def test_psm_that_takes_the_power_of_a_waiting_device_does_not_strand_it():
    """The timers of the last good wake still hold in the modem: the six hours' timer dies with the power."""
    with World() as world:
        assert world.power_on() == "psm"
        good = world.flash.read("a/device/cycle.py")
        cycle(world, "a", b"print('tried')\nimport nothing\n")
        record(world, a="bad", failed=TRIES)
        assert world.power_on(2) == "psm"
        assert "tried" not in world.log()
        assert world.wake() == "restart"
        assert world.log().count("tried") == 1
        assert world.power_on(2) == "psm"
        cycle(world, "a", good)
        assert world.wake() == "psm"
        assert world.boot_record()["a"] == "good"


@pytest.mark.parametrize("torn", [b"", b"00000000 {}", b"\xff" * 40, b'12345678 {"tree": "a"}', b"x" * 9000])
def test_torn_record_counts_as_a_new_device(torn):
    with World() as world:
        world.flash.write("boot.rec", torn)
        assert world.power_on() == "psm"
        assert world.boot_record()["a"] == "good"


def test_record_torn_between_its_two_copies_leaves_one_of_them():
    with World() as world:
        record(world, a="bad", why="kept")
        kept = world.flash.read("boot.rec")
        world.flash.remove("boot.rec")
        world.flash.write("boot.rec.new", kept)
        assert "kept" in waits(world)


def test_cut_at_any_flash_program_while_failures_are_recorded_still_ends_in_a_defined_state():
    for cut_at in range(1, 12):
        with World() as world:
            cycle(world, "a", BAD["import error"])
            world.power_on(3, cut_at=cut_at)
            for _ in range(TRIES + 1):
                world.start(3)
                world.advance(60)
                if not world.on.done():
                    break
            assert "boot: no tree starts" in world.log()[-1]
            assert world.boot_record()["a"] == "bad"


def test_failure_that_cannot_be_recorded_is_waited_out_not_repeated():
    with World() as world:
        cycle(world, "a", b"import uos\ndef no(*args):\n    raise OSError(28)\nuos.rename = no\nimport nothing\n")
        world.start()
        world.advance(5 * HOUR)
        assert world.module.boots == 1
        assert "boot: no tree starts" in world.log()[-1]
        world.advance(2 * HOUR)
        assert world.on.done()
        assert world.on.result().how == "restart"


def test_full_flash_does_not_keep_a_failing_tree_from_its_end():
    with World() as world:
        cycle(world, "a", BAD["import error"])
        fill(world.flash)
        for _ in range(TRIES + 2):
            world.start(2)
            world.advance(60)
            if not world.on.done():
                break
        assert "boot: no tree starts" in world.log()[-1]


def test_waiting_device_stays_for_days_without_a_reset():
    with World() as world:
        cycle(world, "a", BAD["import error"])
        boots(world, TRIES)
        before = world.module.boots
        reason, end = 2, world.loop.time() + 2 * DAY
        while world.loop.time() < end:
            assert world.power_on(reason, limit=WAIT + 60) == "restart"
        assert world.module.boots - before <= 2 * 2 * DAY // WAIT + 1
