"""store.journal on a real littlefs whose power goes at any flash program, read back by the host's own decoder."""

import random

import pytest

from tests_host.store.bench import Bench, PowerCut, fill
from tools import journal as host
from tools.module.flash import BLOCK, Flash

PATH = "/usr/state/journal"
LIMIT = 1600  # 15 to 18 wakes of COUNT events; files of up to 512 bytes would lie in the directory
COUNT = 18
NOON = 1795406400


@pytest.fixture
def flash():
    flash = Flash(blocks=32)
    flash.install({"state/": b""})
    return flash


def journal(bench, **limit):
    return bench.load("store.journal").Journal(PATH, lambda: 1000, **limit)


def wake(log, boot, count=4):
    """One wake with `count` events; True where its flush was accepted."""
    for n in range(count):
        log.note(40, 1000 * boot + n)
    return log.flush(boot, NOON + boot)


def items(flash):
    there = flash.list()
    return host.read({name: flash.read(f"state/{name}") for name in host.FILES if f"state/{name}" in there})


def boots(flash):
    return [item.boot for item in items(flash) if isinstance(item, host.Wake)]


def whole(item):
    return [entry.value for entry in item.entries] == [1000 * item.boot + n for n in range(len(item.entries))]


def test_wakes_come_back_in_order_with_their_times_and_values(flash):
    for boot in range(1, 6):
        assert wake(journal(Bench(flash)), boot)
    found = items(flash)
    assert [(item.boot, item.time, len(item.entries)) for item in found] == [(n, NOON + n, 4) for n in range(1, 6)]
    assert all(whole(item) for item in found)


@pytest.mark.parametrize("before", [0, 1, 5, 17, 18, 19, 32, 33, 34])
def test_cut_at_any_program_of_a_flush_loses_at_most_that_frame_and_the_next_ones_are_read(flash, before):
    """Also in the midst of a rotation."""
    log = journal(Bench(flash), limit=LIMIT)
    for boot in range(1, before + 1):
        assert wake(log, boot, COUNT)
    had, start = boots(flash), bytes(flash.image)
    cut_at, went = 0, True
    while went:
        cut_at += 1
        flash.image[:] = start
        try:
            wake(journal(Bench(flash, cut_at), limit=LIMIT), before + 1, COUNT)
        except PowerCut:
            after = boots(flash)
        else:
            went, after = False, boots(flash)
            assert after[-1] == before + 1
        kept = [boot for boot in after if boot <= before]
        # Earlier ones go only with a whole file, to make room.
        assert kept == had or (kept == had[-len(kept):] and len(kept) >= 15), (cut_at, had, kept)
        assert after == [*kept, before + 1][: len(after)]
        for boot in range(before + 2, before + 5):
            assert wake(journal(Bench(flash), limit=LIMIT), boot, COUNT)
        assert boots(flash)[-3:] == [before + 2, before + 3, before + 4]
        found = items(flash)
        assert not [item for item in found if isinstance(item, host.Damage)]
        assert all(whole(item) for item in found if isinstance(item, host.Wake))
        assert all(size <= LIMIT for name, size in flash.list().items() if "journal" in name)
    assert cut_at >= 2


def test_the_ring_takes_two_blocks_and_two_names_for_ever(flash):
    log = journal(Bench(flash), limit=BLOCK)
    free = None
    for boot in range(1, 900):
        assert wake(log, boot, 1 + boot % 40)
        sizes = {name: size for name, size in flash.list().items() if "journal" in name}
        assert set(sizes) <= {"state/journal.0", "state/journal.1"} and max(sizes.values()) <= BLOCK
        if "state/journal.1" in sizes and sizes["state/journal.0"] > 512:  # shorter files lie in the directory
            free = flash.statvfs()["free"] if free is None else free
            assert flash.statvfs()["free"] == free
    assert boots(flash)[-1] == 899


def test_a_wake_costs_four_flash_programs_on_average(flash):
    """Counted, because flash wears and programs take charge; nine events a wake."""
    bench = Bench(flash)
    log = journal(bench)
    before = bench.programs
    for boot in range(1, 301):
        assert wake(log, boot, 9)
    assert (bench.programs - before) / 300 <= 4


def test_a_full_flash_refuses_and_the_events_are_kept_until_there_is_room(flash):
    log = journal(Bench(flash))
    boot = 0
    while flash.list().get("state/journal.0", 0) < 1500:
        boot += 1
        wake(log, boot)
    fill(flash)
    log = journal(Bench(flash))
    if wake(log, boot + 1):  # the last block's rest may have done
        boot += 1
    full = boots(flash)
    refused = not wake(log, boot + 1)
    assert full == list(range(1, boot + 1)) and refused
    assert boots(flash) == full
    log = journal(bench := Bench(flash))
    log.note(80, 17)
    assert not log.flush(boot + 1, 0)
    bench.usr.remove("/usr/fill.0")
    bench.usr.remove("/usr/fill.1")
    assert log.flush(boot + 1, 0)
    assert boots(flash) == [*full, boot + 1]
    assert items(flash)[-1].entries[0].value == 17


def test_whatever_lies_on_flash_the_device_goes_on_and_what_it_writes_is_read(flash):
    draw = random.Random(1)
    for n in range(60):
        for name in host.FILES:
            flash.write(f"state/{name}", draw.randbytes(draw.choice((0, 1, 9, 300, 2559, 2560, 9000))))
        log = journal(Bench(flash))
        for boot in range(1, 4):
            assert wake(log, boot)
        assert boots(flash) == [1, 2, 3], n
        assert flash.list()["state/journal.0"] <= 2560


@pytest.mark.parametrize("spoil", [b"\0" * 7, b"\xff" * 40, b"\xec", b"\xec\xff", b"\xec\x05ab", b"\xec" * 30])
def test_a_torn_tail_is_said_to_be_damage_and_frames_behind_it_are_found(flash, spoil):
    wake(journal(Bench(flash)), 1)
    flash.write("state/journal.0", (good := flash.read("state/journal.0")) + spoil)
    wake(journal(Bench(flash)), 2)
    first, damage, second = items(flash)
    assert (first.boot, damage, second.boot) == (1, host.Damage("journal.0", len(good), len(spoil)), 2)
    assert whole(first) and whole(second)
