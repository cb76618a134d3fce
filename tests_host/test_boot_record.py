# runs in: cpython, vm, old
"""boot.py's own decisions, in every interpreter: it is never updated, so it must run under every firmware."""

import sys

happened = []  # what the firmware was asked to do
files = {}  # the flash
refuses = []  # what the flash answers instead of writing
strict = []  # what it answers to a rename over a file


class Stub:
    def __init__(self, **members):
        for name in members:
            setattr(self, name, members[name])


class File:
    def __init__(self, path, mode):
        if mode == "rb" and path not in files:
            raise OSError(2)
        if mode == "wb" and refuses:
            raise OSError(refuses[0])
        self.path, self.mode, self.data = path, mode, b""

    def read(self):
        return files[self.path]

    def write(self, data):
        self.data += data

    def __enter__(self):
        return self

    def __exit__(self, *details):
        if self.mode == "wb":
            files[self.path] = self.data


class Dog:
    def __init__(self, period):
        happened.append("armed " + str(period))

    def feed(self):
        happened.append("fed")

    def stop(self):
        happened.append("stopped")


class Timer:
    def start(self, milliseconds, cyclic, callback):
        happened.append("timer " + str(milliseconds))
        self.callback = callback


reason = [3]


def rename(old, new):
    if strict and new in files:
        raise OSError(strict[0])
    files[new] = files.pop(old)


def remove(path):
    del files[path]
    if len(strict) > 1:
        raise OSError("the power goes")


power = Stub(powerOnReason=lambda: reason[0], powerRestart=lambda: happened.append("restart"))
sys.modules["uos"] = Stub(rename=rename, remove=remove)
sys.modules["osTimer"] = Timer
sys.modules["pm"] = Stub(autosleep=lambda flag: happened.append("autosleep"))
sys.modules["machine"] = Stub(WDT=Dog)
sys.modules["misc"] = Stub(Power=power)
had_usys = sys.modules.get("usys")
sys.modules["usys"] = Stub(path=[], print_exception=lambda error: None, modules=sys.modules)

import boot  # noqa: E402

boot.load  # noqa: B018 - where modules are made of source text, the first look runs it
names = getattr(boot, "_namespace", None)
if names is None:
    boot.open = File
    boot.print = lambda *values: happened.append("said")
else:
    names["open"] = File
    names["print"] = lambda *values: happened.append("said")
del sys.modules["uos"], sys.modules["osTimer"], sys.modules["pm"], sys.modules["machine"], sys.modules["misc"]
if had_usys is None:
    del sys.modules["usys"]
else:
    sys.modules["usys"] = had_usys


def fresh(**changes):
    """A boot record, and a firmware to which nothing happened yet."""
    happened[:] = []
    refuses[:] = []
    strict[:] = []
    files.clear()
    boot._keep[:] = []
    boot.usys.path[:] = []
    reason[0] = 3
    record = {"tree": "a", "a": "new", "b": "empty", "failed": 0, "why": ""}
    record.update(changes)
    return record


def run_with(main, **changes):
    """One boot with a tree whose cycle.main is this; returns the record afterwards."""
    boot.save(fresh(**changes))
    sys.modules["device"] = sys.modules["device.cycle"] = Stub(cycle=Stub(main=main))
    try:
        boot.run()
    finally:
        del sys.modules["device"], sys.modules["device.cycle"]
    return boot.load()


def raises(error):
    def main(_):
        raise error

    return main


def test_crc32_is_the_usual_one():
    assert boot.check(b"123456789") == b"cbf43926"
    assert boot.check(b"") == b"00000000"


def test_record_comes_back_as_it_was_saved():
    record = fresh(why="an 'error' \"here\"", failed=2)
    assert boot.save(record)
    assert boot.load() == record
    assert list(files) == [boot.RECORD]


def test_an_image_that_renames_over_no_file_keeps_every_record():
    for error in (17, 1, 22):
        record = fresh()
        strict[:] = [error]
        for failed in (1, 2, 3):
            record["failed"] = failed
            assert boot.save(record) and boot.load() == record
    assert list(files) == [boot.RECORD]
    record["failed"] = 4
    strict[:] = [17, "cut"]
    boot.save(record)
    assert list(files) == [boot.RECORD + ".new"] and boot.load() == record
    first = fresh()
    boot.save(first)
    strict[:] = [5]
    assert not boot.save(record) and boot.load() == first


def test_device_that_leaves_the_factory_starts_tree_a():
    assert boot.load() == fresh() or fresh() == boot.load()


def test_every_bit_of_the_record_is_checked():
    boot.save(fresh(failed=2, why="x"))
    good = files[boot.RECORD]
    for bit in range(8 * len(good)):
        if bit // 8 == 8:  # the space between sum and text
            continue
        spoiled = bytearray(good)
        spoiled[bit // 8] ^= 1 << bit % 8
        files[boot.RECORD] = bytes(spoiled)
        assert boot.load()["failed"] == 0, bit


def test_second_copy_counts_where_the_first_is_damaged():
    boot.save(fresh(failed=1))
    files[boot.RECORD + ".new"] = files[boot.RECORD]
    files[boot.RECORD] = b"torn"
    assert boot.load()["failed"] == 1


def test_tree_that_runs_is_first_on_the_path_and_guarded_by_the_watchdog():
    seen = []
    run_with(lambda guard: seen.append((boot.usys.path[0], list(happened))))
    assert seen == [("/usr/a", ["armed 300"])]


def test_tree_that_raises_is_counted_and_the_module_restarts():
    for error in (ValueError("x"), MemoryError(), SyntaxError(), ImportError("no module named 'y'"), OSError(5)):
        record = run_with(raises(error))
        assert record["failed"] == 1
        assert record["a"] == "new"
        assert happened[:2] == ["armed 300", "restart"]  # which does not return on a module
        assert "Error" in record["why"]


def test_third_failure_in_a_row_makes_the_tree_bad():
    assert run_with(raises(ValueError("x")), failed=2)["a"] == "bad"
    assert run_with(raises(ValueError("x")), failed=2, a="good")["a"] == "bad"


def test_bad_tree_is_never_started():
    record = run_with(raises(ValueError("started")), a="bad", failed=3, why="kept")
    assert record["why"] == "kept"
    assert happened == ["armed 300", "stopped", "said", "timer 21600000", "autosleep"]


def test_after_six_hours_bad_trees_get_one_more_try():
    run_with(None, a="bad", b="bad", failed=3)
    boot._keep[0].callback(None)
    assert happened[-1] == "restart"
    record = boot.load()
    assert (record["a"], record["b"], record["failed"]) == ("new", "new", 2)


def test_end_of_psm_while_waiting_is_one_more_try():
    boot.save(fresh(a="bad", b="bad", failed=3))
    reason[0] = 8
    sys.modules["device"] = sys.modules["device.cycle"] = Stub(cycle=Stub(main=raises(ValueError("x"))))
    boot.run()
    del sys.modules["device"], sys.modules["device.cycle"]
    assert happened[:2] == ["armed 300", "restart"]
    assert boot.load()["a"] == "bad"


def test_six_hours_end_in_a_restart_even_where_the_flash_refuses():
    run_with(None, a="bad", failed=3)
    refuses.append(28)
    boot._keep[0].callback(None)
    assert happened[-1] == "restart"


def test_other_tree_is_chosen_when_it_was_never_tried_or_has_worked():
    for state in ("new", "good"):
        seen = []
        record = run_with(lambda guard, seen=seen: seen.append(boot.usys.path[0]), a="bad", b=state, failed=3)
        assert seen == ["/usr/b"]
        assert (record["tree"], record["failed"]) == ("b", 0)


def test_reset_by_watchdog_or_dump_counts_and_others_do_not():
    for why in range(11):
        fresh()
        boot.save(fresh())
        reason[0] = why
        sys.modules["device"] = sys.modules["device.cycle"] = Stub(cycle=Stub(main=lambda guard: None))
        boot.run()
        del sys.modules["device"], sys.modules["device.cycle"]
        assert boot.load()["failed"] == (1 if why in (5, 9) else 0), why


def test_confirming_makes_the_tree_good_and_is_written_only_where_it_is_news():
    boot.save(fresh(failed=2))
    guard = boot.Boot(boot.load())
    guard.confirm()
    assert (boot.load()["a"], boot.load()["failed"]) == ("good", 0)
    files.clear()
    guard.confirm()
    assert files == {}


def test_failure_that_cannot_be_recorded_is_waited_out():
    def main(_):
        refuses.append(28)
        raise ValueError("x")

    boot.save(fresh())
    run_with(main)
    assert "restart" not in happened
    assert "timer 21600000" in happened


def test_somebody_at_the_repl_is_not_bitten():
    try:
        run_with(raises(KeyboardInterrupt()))
    except KeyboardInterrupt:
        pass
    else:
        raise AssertionError("Ctrl-C must reach the REPL")
    assert happened == ["armed 300", "stopped"]
    assert boot.load()["failed"] == 0


def test_watchdog_that_cannot_be_had_is_done_without():
    kept = boot.WDT
    boot.WDT = lambda period: False
    try:
        guard = boot.Boot(fresh())
        guard.feed()
        guard.rest()
    finally:
        boot.WDT = kept
