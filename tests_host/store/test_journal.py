# runs in: cpython, vm, old
"""store.journal in every interpreter: the bytes of a frame, what is bounded, what a flash that refuses does; and the
codes of device.events, which are for ever."""

import sys

files = {}  # the flash
refuses = []  # what it answers instead of writing
opened = []
ticks = [0]


class File:
    def __init__(self, path, mode):
        assert mode == "ab"
        opened.append(path)
        if refuses:
            raise OSError(refuses[0])
        self.path = path

    def write(self, data):
        files[self.path] = files.get(self.path, b"") + bytes(data)

    def __enter__(self):
        return self

    def __exit__(self, *details):
        pass


class Uos:
    def stat(self, path):
        if path not in files:
            raise OSError(2)
        return (0x8000, 0, 0, 0, 0, 0, len(files[path]), 0, 0, 0)

    def rename(self, old, new):
        if refuses:
            raise OSError(refuses[0])
        files[new] = files.pop(old)

    def remove(self, path):
        del files[path]


before = sys.modules.get("uos")
sys.modules["uos"] = Uos()

from device import events  # noqa: E402
from store import journal as j  # noqa: E402
from store import record  # noqa: E402

j.Journal  # noqa: B018 - where modules are made of source text, the first look runs it
record.crc32  # noqa: B018
names = getattr(j, "_namespace", None)
if names is None:
    j.open = File
else:
    names["open"] = File
if before is not None:
    sys.modules["uos"] = before
else:
    del sys.modules["uos"]
for name in ("store.journal", "store.record"):  # they hold on to this flash
    sys.modules.pop(name)


def journal(limit=2560):
    files.clear()
    del refuses[:], opened[:]
    ticks[0] = 0
    return j.Journal("log", lambda: ticks[0], limit)


def test_a_frame_is_mark_length_body_and_crc():
    log = journal()
    ticks[0] = 250
    log.note(events.BOOT, 8)
    ticks[0] = 13100
    log.note(events.ATTACHED, 300)
    ticks[0] = 14000
    assert log.flush(200, 1795392000)
    body = b"\xc8\x01" b"\x80\x84\x8e\xd8\x06" b"\x8c\x01" b"\x00" b"\x0a\x02\x08" b"\x14\x81\x01\xac\x02"
    crc = record.crc32(bytes([len(body)]) + body)
    tail = bytes([crc >> shift & 255 for shift in (0, 8, 16, 24)])
    assert files == {"log.0": b"\xec" + bytes([len(body)]) + body + tail}


def test_noting_writes_nothing_and_one_flush_writes_once():
    log = journal()
    for _ in range(9):
        log.note(events.FAULT, 25)
    assert opened == []
    assert log.flush(1, 0)
    assert opened == ["log.0"]


def test_nothing_noted_is_nothing_written():
    log = journal()
    assert log.flush(1, 0)
    log.note(events.FAULT, 25)
    assert log.flush(1, 0)
    assert log.flush(1, 0)
    assert opened == ["log.0"]


def test_the_older_file_is_dropped_when_the_newer_is_full_and_neither_grows_beyond_its_limit():
    log = journal(300)
    first = ""
    for boot in range(1, 60):
        log.note(events.BOOT, boot)
        assert log.flush(boot, 0)
        assert sum([len(data) > 300 for data in files.values()]) == 0
        assert sorted(files) in (["log.0"], ["log.0", "log.1"])
        first = first or files["log.0"]
    assert not files["log.1"].startswith(first)


def test_a_flood_of_events_takes_bounded_ram_and_what_is_missed_is_counted_in_the_frame():
    log = journal()
    for _ in range(1000):
        ticks[0] += 60000
        log.note(events.FAULT, 1 << 29)
    missed = log.missed
    assert 940 < missed < 1000
    assert log.flush(1, 0)
    assert log.missed == 0
    assert len(files["log.0"]) <= 261
    # Behind mark, length, boot, time 0 and 3 bytes of tenths.
    assert files["log.0"][7:9] == bytes([missed & 127 | 128, missed >> 7])


def test_a_flash_that_refuses_raises_nothing_and_the_events_go_into_the_next_frame():
    for error in (28, 5, 1):
        log = journal()
        log.note(events.FAULT, 25)
        refuses.append(error)
        assert not log.flush(1, 0)
        log.note(events.NO_FLASH, error)
        assert not log.flush(1, 0)
        del refuses[:]
        assert log.flush(1, 0)
        assert len(files["log.0"]) == 2 + 4 + 3 + 3 + 4


def test_a_full_file_that_cannot_be_renamed_is_not_appended_to():
    log = journal(300)
    boot = 0
    while len(files.get("log.0", b"")) < 290:
        boot += 1
        log.note(events.BOOT, boot)
        log.flush(boot, 0)
    refuses.append(5)
    log.note(events.BOOT, 1)
    assert not log.flush(99, 0)
    assert sorted(files) == ["log.0"] and len(files["log.0"]) <= 300


def test_the_largest_events_and_head_fit_into_a_frame():
    log = journal()
    for _ in range(100):
        ticks[0] += (1 << 29) * 100
        log.note(events.FAULT, 1 << 29)
    assert log.flush(1 << 29, 1 << 31) and files["log.0"][1] == len(files["log.0"]) - 6 <= 255


def test_a_file_is_filled_to_its_limit():
    log = journal(2 * 14)
    for boot in range(3):
        log.note(events.BOOT, 1000)
        assert log.flush(boot, 0)
    assert (len(files["log.0"]), len(files["log.1"])) == (14, 28)


def test_a_number_has_seven_bits_in_a_byte_and_no_byte_more_than_it_needs():
    for value, end in ((127, b"\x7f"), (128, b"\x80\x01"), (16383, b"\xff\x7f"), (16384, b"\x80\x80\x01")):
        log = journal()
        log.note(events.FAULT, value)
        assert log.flush(1, 0)
        assert files["log.0"][:-4].endswith(bytes([events.FAULT]) + b"\0" + end)


def test_values_out_of_range_become_the_nearer_end():
    for value, end in ((-1, b"\0"), (1 << 40, b"\xff\xff\xff\xff\x03")):
        log = journal()
        log.note(events.FAULT, value)
        assert log.flush(1, 0)
        assert files["log.0"][:-4].endswith(bytes([events.FAULT]) + b"\0" + end)


def test_codes_are_stable_for_ever():
    """Frozen: a code may be added here, never changed or given away again. A dash is a code that is free."""
    frozen = [
        [10, "BOOT - LACKS"],
        [20, "ATTACHED REDIALED CFUN_CYCLED RESTART NAME_KEPT PATH_LOST GUARDED"],
        [30, "RESUMED REGISTERED DIRECT SHORT_CUT - DEREGISTERED REBOOT_ASKED UPDATE_ASKED STRANGERS"],
        [40, "ACKNOWLEDGED HANDED_OVER DROPPED"],
        [50, "STORED RUN REPEATED"],
        [60, "CHANGED KEPT TAKEN_BACK CONFIG_REFUSED"],
        [70, "RELEASED UNRELEASED SLEEP PSM_REFUSED PSM_SHORTER PSM_LONGER PSM_VETOED"],
        [80, "FAULT BACK_OFF NO_FLASH DAMAGED"],
        [90, "CLOCK_SET CLOCK_AHEAD CLOCK_BACK"],
    ]
    for first, names in frozen:
        names = names.split()
        assert len(names) <= 10
        for at, name in enumerate(names):
            assert name == "-" or getattr(events, name) == first + at
