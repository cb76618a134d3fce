"""store.outbox on a real littlefs: durable at put, ids that never repeat, bounded, whatever the power does."""

import json
import struct
import zlib

import pytest

from tests_host.store.bench import Bench, PowerCut, fill
from tools.module.flash import Flash

PATH, LOG, RECORD = "/usr/state/out", "state/out.log", "state/out.rec"
LIMIT = 2048


@pytest.fixture
def flash():
    flash = Flash(blocks=32)
    flash.install({"state/": b""})
    return flash


def outbox(flash, limit=LIMIT):
    return Bench(flash).load("store.outbox").Outbox(PATH, limit)


def entry(n, length=60):
    return {"n": n, "f": "x" * length}


def ids(box, count=1000):
    return [number for number, _ in box.batch(count)]


def test_entry_is_there_after_power_off_under_the_id_that_put_gave(flash):
    given = outbox(flash).put({"s": 1, "t": 5, "f": [["water_flow", "1.234"], ["name", '"阀"']]})
    assert outbox(flash).batch(9) == [(given, {"s": 1, "t": 5, "f": [["water_flow", "1.234"], ["name", '"阀"']]})]


def test_batch_gives_the_oldest_and_removes_nothing(flash):
    box = outbox(flash)
    given = [box.put(entry(n)) for n in range(5)]
    assert ids(box, 2) == given[:2]
    assert ids(box) == ids(outbox(flash)) == given
    assert box.waiting == 5


def test_batch_ends_before_the_bytes_do_with_at_least_one_entry(flash):
    box = outbox(flash)
    given = [box.put(entry(n)) for n in range(5)]
    size = len(flash.read(LOG)) // 5
    assert [[number for number, _ in box.batch(9, limit)] for limit in (1, 2 * size - 1, 2 * size, 9 * size)] == [
        given[:1], given[:1], given[:2], given
    ]  # fmt: skip


def test_consumed_entries_are_gone_for_good_and_the_rest_stay(flash):
    box = outbox(flash)
    given = [box.put(entry(n)) for n in range(5)]
    box.consume(box.batch(2))
    assert ids(box) == ids(outbox(flash)) == given[2:]
    box.consume([])
    assert box.waiting == outbox(flash).waiting == 3


def test_consuming_everything_leaves_the_last_frame_alone(flash):
    """It knows the last id, should the record be damaged."""
    box = outbox(flash)
    for n in range(200):
        box.put(entry(n))
        box.consume(box.batch(1))
        assert flash.list()[LOG] <= 600
    assert ids(outbox(flash)) == []
    assert outbox(flash).batch(1) == []


def test_ids_go_on_after_everything_was_consumed_and_the_power_was_off(flash):
    for expected in (1, 2, 3):
        box = outbox(flash)
        assert box.put(entry(0)) == expected
        box.consume(box.batch(1))


def test_batch_that_was_dropped_meanwhile_brings_nothing_back(flash):
    box = outbox(flash)
    for n in range(10):
        box.put(entry(n, 150))
    old = box.batch(2)
    for n in range(20):
        box.put(entry(n, 150))
    left = ids(box)
    box.consume(old)
    assert ids(box) == ids(outbox(flash)) == left


def test_holds_looks_at_waiting_entries_only(flash):
    box = outbox(flash)
    box.put({"task": 7})
    box.put({"task": 8})
    assert box.holds("task", 7)
    assert not box.holds("task", 9)
    assert not box.holds("other", 7)
    box.consume(box.batch(1))
    assert not box.holds("task", 7)
    assert box.holds("task", 8)


@pytest.mark.parametrize(("body", "size"), [({"f": "x"}, 513), ({"f": "x" * 1200}, 0), ({"f": "阀" * 400}, 0)])
def test_too_long_an_entry_is_refused_and_nothing_is_stored(flash, body, size):
    bench = Bench(flash)
    module = bench.load("store.outbox")
    box = module.Outbox(PATH, LIMIT)
    before = bench.programs
    with pytest.raises(module.TooLong):
        box.put(body, size)
    assert bench.programs == before
    assert box.waiting == 0
    assert box.put({"f": "x"}, 512) == 1


def test_full_outbox_drops_the_oldest_and_counts_them(flash):
    box = outbox(flash)
    given = [box.put(entry(n)) for n in range(100)]
    left = ids(box)
    assert left == given[-len(left) :]
    assert box.dropped == 100 - len(left) > 0
    assert flash.list()[LOG] <= LIMIT + 4096 + 100
    again = outbox(flash)
    assert (ids(again), again.dropped) == (left, box.dropped)


def test_a_large_entry_drops_no_more_than_it_needs(flash):
    box = outbox(flash)
    box.put(entry(0))
    size = len(flash.read(LOG))
    while len(flash.read(LOG)) <= LIMIT - size:
        box.put(entry(1))
    assert box.dropped == 0
    free = LIMIT - len(flash.read(LOG))
    assert free
    box.put(entry(2, 60 + 2 * size + free))  # three entries' room more than there is
    assert box.dropped == 3


def test_smaller_limit_than_before_drops_no_more_than_comes(flash):
    """It may be on trial: what is dropped under it does not come back."""
    box = outbox(flash, 16384)
    for n in range(100):
        box.put(entry(n))
    box = outbox(flash, LIMIT)
    assert box.waiting == 100
    box.put(entry(100))
    assert box.waiting + box.dropped == 101
    assert box.dropped <= 2  # of frames that are a little shorter


def test_flash_it_takes_is_bounded_over_years(flash):
    box = outbox(flash)
    for n in range(600):
        box.put(entry(n))
        if n % 7 == 0:
            box.consume(box.batch(4))
    assert flash.list()[LOG] <= LIMIT + 2 * 4096


# -- the power goes ----------------------------------------------------------------------------------------------------


class Model:
    """What must be on the flash: entries of `sure`, perhaps the one being put or the ones being consumed."""

    def __init__(self):
        self.put = {}  # id -> entry, everything a put has returned for
        self.gone = set()  # ids a consume has returned for
        self.going = set()  # ids of a consume under way
        self.coming = None  # entry of a put under way

    def run(self, flash, cut_at, script, limit=LIMIT):
        """One power-on; True when the power went."""
        bench = Bench(flash, cut_at)
        try:
            box = bench.load("store.outbox").Outbox(PATH, limit)
            for what, value in script:
                if what == "put":
                    self.coming = value
                    number = box.put(value)
                    assert number not in self.put
                    self.put[number], self.coming = value, None
                else:
                    batch = box.batch(value)
                    self.going = {number for number, _ in batch}
                    box.consume(batch)
                    self.gone |= self.going
                    self.going = set()
        except PowerCut:
            return True
        return False

    def check(self, flash):
        """The next power-on finds what it must; returns its outbox."""
        box = outbox(flash)
        found = dict(box.batch(10000))
        assert list(found) == sorted(found)
        assert not box.damaged
        assert not self.gone & set(found)
        new = {number for number in found if number not in self.put}
        assert len(new) <= 1
        assert all(found[number] == self.coming for number in new)
        assert all(found[number] == self.put[number] for number in found if number in self.put)
        missing = set(self.put) - set(found) - self.gone - self.going
        assert len(missing) <= box.dropped
        assert all(number < min(found, default=1 << 40) for number in missing)
        taken = max([0, *self.put, *found])
        number = box.put(entry("next"))
        assert number > taken
        assert ids(box)[-1] == number
        return box


SCRIPTS = {
    "put": [("put", entry(n)) for n in range(4)],
    "put and consume": [("put", entry(1)), ("put", entry(2)), ("consume", 1), ("put", entry(3)), ("consume", 9)],
    "consume everything, twice": [("put", entry(1)), ("consume", 1), ("put", entry(2)), ("consume", 1)],
    "oldest dropped": [("put", entry(n, 400)) for n in range(7)],
    "rewritten": [("put", entry(n, 1000)) for n in range(6)] + [("consume", 5), ("put", entry(7)), ("consume", 1)],
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_cut_at_any_flash_program_loses_nothing_and_repeats_no_id(flash, name):
    limit = 16384 if name == "rewritten" else LIMIT
    start = bytes(flash.image)
    cut_at, went = 0, True
    while went:
        cut_at += 1
        flash.image[:] = start
        model = Model()
        went = model.run(flash, cut_at, SCRIPTS[name], limit)
        model.check(flash)
    assert cut_at > 4


def test_cut_after_cut_while_starting_loses_nothing(flash):
    """The power goes again while the outbox finds out what the first cut has left."""
    model = Model()
    big = [("put", entry(n, 1000)) for n in range(6)] + [("consume", 5)]
    assert not model.run(flash, None, big[:-1], 16384)
    start = bytes(flash.image)
    for first in range(1, 12):
        for second in range(1, 4):
            flash.image[:] = start
            again = Model()
            again.put = dict(model.put)
            again.run(flash, first, [("consume", 5)], 16384)
            again.run(flash, second, [("put", entry(9))], 16384)
            again.check(flash)


# -- damage ------------------------------------------------------------------------------------------------------------


def frame(number, body):
    tail = struct.pack(">I", number) + json.dumps(body).encode()
    return struct.pack(">HI", len(tail) - 4, zlib.crc32(tail)) + tail


@pytest.mark.parametrize("tail", [b"\0", b"\xff" * 50, frame(3, {"n": 3})[:-1], frame(3, {"n": 3})[:9], b"\0" * 30])
def test_damaged_tail_is_cut_off_and_what_comes_next_can_be_read(flash, tail):
    flash.write(LOG, frame(1, {"n": 1}) + frame(2, {"n": 2}) + tail)
    box = outbox(flash)
    assert box.damaged == 1
    assert ids(box) == [1, 2]
    number = box.put({"n": "new"})
    assert ids(outbox(flash)) == [1, 2, number]
    assert outbox(flash).damaged == 0


def test_ids_lost_in_a_damaged_tail_stay_used(flash):
    """They may have reached the platform before the flash was damaged."""
    box = outbox(flash)
    given = [box.put({"n": n}) for n in range(10)]
    log = bytearray(flash.read(LOG))
    log[30] ^= 1
    flash.write(LOG, bytes(log))
    assert ids(outbox(flash)) == given[:1]
    assert outbox(flash).put({"n": "new"}) > given[-1]


def test_damaged_place_falls_back_on_the_log(flash):
    box = outbox(flash)
    for n in range(3):
        box.put(entry(n))
    box.consume(box.batch(1))
    flash.write(RECORD, b"damaged")
    box = outbox(flash)
    assert ids(box) == [1, 2, 3]  # delivered again rather than lost, under the same ids
    assert box.put(entry(9)) == 4


def test_bit_flipped_anywhere_in_the_log_brings_no_false_entry(flash):
    box = outbox(flash)
    for n in range(3):
        box.put({"n": n})
    good = dict(box.batch(9))
    log = flash.read(LOG)
    for bit in range(0, 8 * len(log), 3):
        spoiled = bytearray(log)
        spoiled[bit // 8] ^= 1 << bit % 8
        flash.write(LOG, bytes(spoiled))
        box = outbox(flash)
        assert all(good.get(number) == body for number, body in box.batch(9))
        assert box.put({}) > 3
        flash.remove(RECORD)


# -- flash full --------------------------------------------------------------------------------------------------------


def test_full_flash_refuses_and_keeps_what_waits_and_goes_on_when_there_is_room(flash):
    box = outbox(flash, 16384)
    given = [box.put(entry(n, 500)) for n in range(8)]
    fill(flash)
    box = outbox(flash, 16384)
    with pytest.raises(OSError) as caught:
        for n in range(20):
            given.append(box.put(entry(n, 900)))
    assert caught.value.args == (28,)
    assert box.dropped == 0
    assert ids(box) == ids(outbox(flash, 16384)) == given
    flash.remove("fill.0")
    given.append(box.put(entry("after", 900)))
    assert ids(outbox(flash, 16384)) == given
    assert given == sorted(set(given))


def test_consuming_works_on_a_full_flash_and_makes_room(flash):
    box = outbox(flash, 16384)
    for n in range(14):
        box.put(entry(n, 1000))
    fill(flash)
    box = outbox(flash, 16384)
    for left in (9, 4, 0):  # past the point where the log would be rewritten
        box.consume(box.batch(5))
        assert box.waiting == left
        assert len(ids(outbox(flash, 16384))) == left
    assert box.put(entry("new", 900)) == 15


def test_a_cut_between_removing_and_renaming_finds_the_second_copy(flash):
    """Where the file system does not rename over a file (quecpython.md §1.6)."""
    given = outbox(flash).put(entry(1))
    flash.write(LOG + ".new", flash.read(LOG))
    bench = Bench(flash)
    bench.modules["uos"].remove("/usr/" + LOG)
    assert ids(outbox(flash)) == [given] and not flash.exists(LOG + ".new")


def test_a_copy_that_was_left_aside_brings_nothing_back(flash):
    box = outbox(flash)
    given = [box.put(entry(n)) for n in range(2)]
    flash.write(LOG + ".new", flash.read(LOG))
    box = outbox(flash)
    assert ids(box) == given and not flash.exists(LOG + ".new")


def test_damaged_tail_on_a_full_flash_is_cut_off_once_there_is_room(flash):
    flash.write(LOG, b"".join(frame(n, entry(n, 900)) for n in range(1, 9)) + b"\xff" * 20)
    fill(flash)
    box = outbox(flash, 16384)
    assert box.waiting == 8 and not flash.exists(LOG + ".new")
    with pytest.raises(OSError):
        box.put(entry("new"))
    for n in range(4):
        flash.remove(f"fill.{n}")
    number = box.put(entry("new"))
    assert ids(outbox(flash, 16384)) == [*range(1, 9), number]


def test_one_entry_costs_few_flash_programs(flash):
    """Counted, because flash wears: an append, and for the acknowledgement a record and a removal."""
    bench = Bench(flash)
    box = bench.load("store.outbox").Outbox(PATH, LIMIT)
    for n in range(3):
        before = bench.programs
        box.put(entry(n))
        put = bench.programs
        box.consume(box.batch(1))
        assert put - before <= 3
        assert bench.programs - put <= 8
