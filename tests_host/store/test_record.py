"""store.record on a real littlefs whose power goes at any flash program."""

import json
import zlib

import pytest

from tests_host.store.bench import Bench, PowerCut, fill
from tools.module.flash import Flash

PATH = "/usr/x.rec"


def record(flash, cut_at=None):
    return Bench(flash, cut_at).load("store.record").Record(PATH)


def frame(value):
    body = json.dumps(value).encode()
    return b"%08x " % zlib.crc32(body) + body


@pytest.fixture
def flash():
    return Flash(blocks=24)


def cuts(flash, run):
    """Runs `run(bench)` cut at each of its flash programs in turn, each time on a flash as it is now; yields
    (flash, bench, whether the power went)."""
    before, cut_at = bytes(flash.image), 0
    while True:
        cut_at += 1
        flash.image[:] = before
        bench = Bench(flash, cut_at)
        try:
            run(bench)
        except PowerCut:
            yield flash, bench, True
        else:
            yield flash, bench, False
            return


def test_never_saved_loads_as_none(flash):
    assert record(flash).load() is None


def test_saved_value_survives_power_off(flash):
    value = {"a": 1, "text": "阀门", "list": [1, 2.5, None, True], "d": {"x": "y"}}
    record(flash).save(value)
    assert record(flash).load() == value


def test_on_flash_is_json_behind_its_crc32(flash):
    record(flash).save({"a": 1})
    assert flash.read("x.rec") == frame({"a": 1})


def test_removed_record_is_gone(flash):
    record(flash).save({"a": 1})
    record(flash).remove()
    assert record(flash).load() is None
    record(flash).remove()


def test_cut_at_any_program_of_a_save_leaves_the_old_or_the_new_value(flash):
    record(flash).save({"n": 1, "pad": "x" * 700})
    seen = set()

    def run(bench):
        bench.load("store.record").Record(PATH).save({"n": 2, "pad": "y" * 900})

    for left, _, cut in cuts(flash, run):
        value = record(left).load()
        seen.add(value["n"])
        assert value in ({"n": 1, "pad": "x" * 700}, {"n": 2, "pad": "y" * 900})
        assert cut or value["n"] == 2
        record(left).save({"n": 3})  # and it can be written again
        assert record(left).load() == {"n": 3}
    assert seen == {1, 2}


def test_cut_at_any_program_of_the_first_save_leaves_nothing_or_the_value(flash):
    for left, _, cut in cuts(flash, lambda bench: bench.load("store.record").Record(PATH).save({"n": 1})):
        assert record(left).load() in ((None, {"n": 1}) if cut else ({"n": 1},))


def test_cut_while_removing_brings_no_older_value_back(flash):
    """A copy that an earlier cut left aside must not outlive the record itself."""
    flash.write("x.rec.new", frame({"n": "stale"}))
    flash.write("x.rec", frame({"n": "in force"}))
    for left, _, cut in cuts(flash, lambda bench: bench.load("store.record").Record(PATH).remove()):
        assert record(left).load() in ((None, {"n": "in force"}) if cut else (None,))


@pytest.mark.parametrize(
    "damaged",
    [b"", b"0", b"00000000 {}", frame({"n": 1})[:-1], b"x" + frame({"n": 1})[1:], frame({"n": 1}) + b" ", frame([1]),
     frame(1), b"%08x {" % zlib.crc32(b"{"), b"\xff" * 8193],
    ids=["empty", "one byte", "wrong sum", "short", "wrong digit", "long", "list", "number", "no JSON", "too long"],
)  # fmt: skip
def test_what_is_no_record_of_ours_is_not_read(flash, damaged):
    flash.write("x.rec", damaged)
    assert record(flash).load() is None


def test_second_copy_is_read_where_the_first_is_damaged_or_missing(flash):
    flash.write("x.rec.new", frame({"n": 2}))
    assert record(flash).load() == {"n": 2}
    flash.write("x.rec", b"torn")
    assert record(flash).load() == {"n": 2}
    flash.write("x.rec", frame({"n": 1}))
    assert record(flash).load() == {"n": 1}


def test_too_long_a_value_is_refused_and_the_old_one_stays(flash):
    record(flash).save({"n": 1})
    with pytest.raises(OSError) as caught:
        record(flash).save({"n": "x" * 8192})
    assert caught.value.args == (27,)
    assert record(flash).load() == {"n": 1}


def test_full_flash_refuses_and_the_old_value_stays(flash):
    record(flash).save({"n": 1})
    fill(flash)
    with pytest.raises(OSError) as caught:
        record(flash).save({"n": "x" * 5000})
    assert caught.value.args == (28,)
    assert record(flash).load() == {"n": 1}


def test_the_longest_value_that_is_taken_is_read_again(flash):
    value = {"n": "x" * (8192 - 9 - len(b'{"n": ""}'))}
    record(flash).save(value)
    assert len(flash.read("x.rec")) == 8192 and record(flash).load() == value
    with pytest.raises(OSError):
        record(flash).save({"n": value["n"] + "x"})


@pytest.mark.parametrize("old", [{"n": 1}, None])
@pytest.mark.parametrize(
    "written",
    [frame({"n": 3}), frame({"n": 2})[:9] + b'{"n": 3}', b"00000000 " + frame({"n": 2})[9:]],
    ids=["a record that is whole, but not the one that was saved", "its head", "its body"],
)
def test_what_reads_back_differently_is_refused_and_the_old_value_stays(flash, old, written):
    if old is not None:
        record(flash).save(old)
    bench = Bench(flash)
    kept = bench.load("store.record").Record(PATH)
    opened = bench.usr.open

    def falsified(path, mode="r"):
        if mode == "wb":
            with opened(path, mode) as file:
                file.write(written)
            return opened("/usr/elsewhere", mode)
        return opened(path, mode)

    bench.builtins["open"] = falsified
    with pytest.raises(OSError) as caught:
        kept.save({"n": 2})
    assert caught.value.args == (5,)
    assert record(flash).load() == old


@pytest.mark.parametrize("number", [17, 1, 22])
def test_file_system_that_does_not_rename_over_a_file_is_served(flash, number):
    """To be probed (quecpython.md §1.6): rename onto an existing file, and what it is refused with."""
    record(flash).save({"n": 1})

    def run(bench):
        uos = bench.modules["uos"]
        rename = uos.rename

        def strict(old, new):
            if bench.usr.kind(new):
                raise OSError(number)
            rename(old, new)

        uos.rename = strict
        bench.load("store.record").Record(PATH).save({"n": 2})

    for left, _, cut in cuts(flash, run):
        assert record(left).load()["n"] in ((1, 2) if cut else (2,))
    assert json.loads(flash.read("x.rec")[9:]) == {"n": 2} and not flash.exists("x.rec.new")


@pytest.mark.parametrize("number", [5, 28])
def test_a_rename_that_fails_otherwise_costs_nothing(flash, number):
    record(flash).save({"n": 1})
    bench = Bench(flash)

    def failing(old, new):
        raise OSError(number)

    bench.modules["uos"].rename = failing
    with pytest.raises(OSError) as caught:
        bench.load("store.record").Record(PATH).save({"n": 2})
    assert caught.value.args == (number,) and record(flash).load() == {"n": 1}
    assert flash.read("x.rec") == frame({"n": 1})


def test_a_file_that_cannot_be_removed_is_said_and_one_that_is_not_there_is_not(flash):
    bench = Bench(flash)
    discard = bench.load("store.record").discard
    discard("/usr/nothing")

    def failing(path):
        raise OSError(5)

    bench.modules["uos"].remove = failing
    with pytest.raises(OSError) as caught:
        discard("/usr/something")
    assert caught.value.args == (5,)


def test_a_directory_is_made_once_and_what_stands_in_its_way_is_said(flash):
    bench = Bench(flash)
    directory = bench.load("store.record").directory
    for _ in range(2):
        directory("/usr/state")
        assert bench.usr.kind("/usr/state")
    with pytest.raises(OSError) as caught:
        directory("/usr/nowhere/state")
    assert caught.value.args == (2,)


# -- Numbers ---------------------------------------------------------------------------------------------------------


def numbers(bench, **blocks):
    return bench.load("store.record").Numbers(PATH, blocks or {"mid": 4, "seq": 3}, {"mid": 100})


def test_numbers_begin_where_told_and_count_up(flash):
    drawn = numbers(Bench(flash))
    assert [drawn.next("mid") for _ in range(6)] == [100, 101, 102, 103, 104, 105]
    assert [drawn.next("seq") for _ in range(2)] == [1, 2]


def test_number_is_never_given_twice_whenever_the_power_goes(flash):
    seen = {"mid": [], "seq": []}

    def run(bench):
        drawn = numbers(bench)
        for _ in range(9):
            for name in seen:
                seen[name].append(drawn.next(name))

    for left, _, _ in cuts(flash, run):
        run(Bench(left))
        for name, given in seen.items():
            assert len(set(given)) == len(given), name
            given.clear()


def test_one_save_reserves_for_all_names(flash):
    numbers(Bench(flash)).next("mid")
    bench = Bench(flash)
    drawn = numbers(bench)
    drawn.next("mid")
    before = bench.programs
    for _ in range(3):
        drawn.next("mid")
        drawn.next("seq")
    assert bench.programs == before


def test_numbers_that_could_not_be_reserved_are_not_given(flash):
    drawn = numbers(Bench(flash), mid=2)
    drawn._record.save = lambda value: (_ for _ in ()).throw(OSError(28))
    for _ in range(2):
        with pytest.raises(OSError):
            drawn.next("mid")


def test_crc32_is_zlibs_and_continues():
    crc32 = Bench(Flash(blocks=24)).load("store.record").crc32
    assert crc32(b"123456789") == 0xCBF43926
    assert crc32(b"456789", crc32(b"123")) == 0xCBF43926
    assert [crc32(bytes([byte])) for byte in range(256)] == [zlib.crc32(bytes([byte])) for byte in range(256)]
