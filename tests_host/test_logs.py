"""`python -m tools logs`: the decoder on good, damaged and hostile bytes; images, folders, files; what is printed."""

import json
import subprocess
import sys
import time
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools import journal
from tools.journal import Again, Damage, Gap, Wake
from tools.module.flash import BLOCK, Flash
from tools.tables import ROOT

NOON = 1795406400  # 2026-11-23 12:00:00 in China


def number(value):
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def frame(boot, *events, when=NOON, up=100, missed=0):
    """`events`: (code, tenths since the one before, value)."""
    body = b"".join(map(number, (boot, when, up, missed)))
    body += b"".join(bytes([code]) + number(tenths) + number(value) for code, tenths, value in events)
    body = bytes([len(body)]) + body
    return b"\xec" + body + zlib.crc32(body).to_bytes(4, "little")


def logs(*arguments, zone="Asia/Shanghai"):
    command = [sys.executable, "-m", "tools", "logs", *map(str, arguments)]
    environment = {"TZ": zone, "PATH": "", "COLUMNS": "200"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert "Traceback" not in done.stderr
    return done


def said(done):
    """An error's words, wherever its lines break."""
    return " ".join(done.stderr.replace("│", " ").split())


@pytest.fixture
def folder(tmp_path):
    older = frame(1, (10, 2, 3), (20, 120, 122)) + frame(2, (10, 2, 8), (80, 150, 21), (81, 3, 15), up=200)
    newer = frame(5, (10, 2, 8), (40, 100, 3), (72, 10, 11), when=NOON + 86400)
    newer += b"\xff" * 9 + frame(6, (10, 1, 5), when=0, missed=4)
    (tmp_path / "journal.1").write_bytes(older)
    (tmp_path / "journal.0").write_bytes(newer)
    return tmp_path


# -- the decoder -------------------------------------------------------------------------------------------------------


def test_the_time_of_each_event_is_counted_back_from_that_of_its_flush():
    (wake,) = journal.decode("journal.0", frame(7, (10, 5, 8), (20, 120, 300), up=250))
    assert (wake.boot, wake.up, wake.missed) == (7, 25.0, 0)
    assert [(e.kind.name, e.value, e.up, e.time) for e in wake.entries] == [
        ("BOOT", 8, 0.5, NOON - 24.5),
        ("ATTACHED", 300, 12.5, NOON - 12.5),
    ]


def test_the_older_file_comes_first_and_boots_that_left_nothing_are_named():
    files = {"journal.0": frame(5, (10, 0, 8)) + frame(2, (10, 0, 3)), "journal.1": frame(1) + frame(1) + frame(2)}
    found = [item.boot if isinstance(item, Wake) else item for item in journal.read(files)]
    assert found == [1, 1, 2, Gap(3, 4), 5, Again(5), 2]


def test_an_unknown_boot_number_makes_no_gap():
    assert [item.boot for item in journal.read({"journal.0": frame(1) + frame(0) + frame(2)})] == [1, 0, 2]


def test_a_code_of_a_later_version_is_shown_by_its_number():
    (wake,) = journal.decode("journal.0", frame(1, (250, 0, 6)))
    assert wake.entries[0].text == "event 250, value 6"


def test_every_event_has_a_code_of_its_own_and_words_that_take_its_value():
    text = journal.EVENTS.read_text()
    assert len(journal.kinds()) == text.count("= const(") > 40
    for kind in journal.kinds().values():
        for value in (0, 1, 2, 3, 21, 255, 1 << 30):
            words = kind.text(value)
            assert words and "{" not in words and "}" not in words, (kind, words)


@pytest.mark.parametrize(
    ("code", "value", "words"),
    [
        (10, 8, "started: PSM wake-up"),
        (10, 77, "started: reason 77"),
        (12, 0, "this module lacks nothing"),
        (12, 5, "this module lacks PSM settings, eDRX"),
        (12, 65, "this module lacks PSM settings, bits 0x40"),
        (20, 123, "attached in 12.3 s"),
        (33, 2, "a short cut failed: Update"),
        (33, 9, "a short cut failed: number 9"),
        (80, 21, "fault E21 NotProvisioned"),
        (80, 99, "fault E99"),
    ],
)
def test_values_are_shown_in_words(code, value, words):
    assert journal.kinds()[code].text(value) == words


@given(st.binary(max_size=600))
def test_any_bytes_are_read_and_every_byte_is_accounted_for(data):
    assert sum(item.size for item in journal.decode("journal.0", data) if isinstance(item, Damage)) == len(data)


@given(st.lists(st.binary(max_size=40), max_size=5), st.data())
def test_frames_are_found_between_any_damage(spoils, data):
    spoils = [spoil for spoil in spoils if b"\xec" not in spoil] or [b"x"]
    good = frame(3, (10, 1, 8), (72, 90, 9))
    found = journal.decode("journal.0", b"".join(spoil + good for spoil in spoils))
    assert [item.size for item in found if isinstance(item, Damage)] == [len(spoil) for spoil in spoils if spoil]
    assert [item.boot for item in found if isinstance(item, Wake)] == [3] * len(spoils)


@given(st.binary(max_size=255))
def test_a_body_with_a_right_crc_and_any_content_is_read_or_is_damage(body):
    body = bytes([len(body)]) + body
    data = b"\xec" + body + zlib.crc32(body).to_bytes(4, "little")
    for item in journal.decode("journal.0", data):
        if isinstance(item, Wake) and item.entries:
            time.localtime(item.entries[-1].time or 0)
            assert all(entry.text for entry in item.entries)


@given(st.integers(0, 8 * len(frame(1, (10, 1, 8))) - 1))
def test_a_flipped_bit_makes_no_false_event(bit):
    data = bytearray(frame(1, (10, 1, 8)))
    data[bit // 8] ^= 1 << bit % 8
    assert journal.decode("journal.0", bytes(data) + frame(2)) == [
        Damage("journal.0", 0, len(data)), *journal.decode("journal.0", frame(2))]


# -- the command -------------------------------------------------------------------------------------------------------


def test_a_folder_is_shown_wake_by_wake_in_local_time_with_what_is_damaged_and_missing(folder):
    done = logs(folder)
    assert done.returncode == 0
    assert done.stdout == f"""\
{folder}: 4 wakes, 2 of them with something to look at
2026-11-23 11:59:50  boot 1
       0.2 s  started: supply
      12.2 s  attached in 12.2 s
2026-11-23 11:59:40  boot 2
       0.2 s  started: PSM wake-up
      15.2 s  fault E21 NotProvisioned  {journal.faults()[21][1]}
      15.5 s  next try not before 15 minutes
missing: boots 3 to 4 left nothing: power cut, watchdog, or a flash that refused
2026-11-24 11:59:50  boot 5
       0.2 s  started: PSM wake-up
      10.2 s  entries acknowledged by the platform: 3
      11.2 s  sleeps, 11 s after power-on
damaged: 9 bytes at {len(frame(5, (10, 2, 8), (40, 100, 3), (72, 10, 11)))} of journal.0 are no frame
time unknown         boot 6
       0.1 s  started: watchdog
      10.0 s  4 more events found no room
"""


def test_faults_and_since_leave_wakes_out(folder):
    assert "boot 2" in logs("--faults", folder).stdout and "boot 5" not in logs("--faults", folder).stdout
    later = logs("--since", "2026-11-24", folder).stdout
    assert "boot 2" not in later and "boot 5" in later and "boot 6" in later  # of unknown time: rather shown


def test_json_is_one_object_per_line(folder):
    lines = [json.loads(line) for line in logs("--json", folder).stdout.splitlines()]
    assert [line["kind"] for line in lines] == ["wake", "wake", "gap", "wake", "damage", "wake"]
    assert lines[1]["events"][1] == {"code": 80, "name": "FAULT", "value": 21, "text": "fault E21 NotProvisioned",
                                     "up": 15.2, "time": NOON - 4.8, "alarming": True}
    assert (lines[5]["time"], lines[5]["missed"], lines[5]["alarming"]) == (None, 4, True)
    assert {line["source"] for line in lines} == {str(folder)}


def test_an_image_and_the_files_copied_from_it_tell_the_same(folder, tmp_path):
    flash = Flash(blocks=32, path=tmp_path / "usr.img")
    flash.install({f"state/{name}": (folder / name).read_bytes() for name in journal.FILES})
    from_image, from_files = logs(tmp_path / "usr.img"), logs(folder / "journal.0", folder / "journal.1")
    assert from_image.stdout.splitlines()[1:] == from_files.stdout.splitlines()[1:] != []


def test_a_folder_of_several_devices_shows_each_under_its_own_place(tmp_path):
    for n in (1, 2):
        (tmp_path / f"meter{n}").mkdir()
        (tmp_path / f"meter{n}/journal.0").write_bytes(frame(n))
    lines = logs(tmp_path).stdout.splitlines()
    assert [line.split(":")[0] for line in lines if "meter" in line] == [f"{tmp_path}/meter1", f"{tmp_path}/meter2"]


def test_an_image_on_which_no_wake_has_ended_says_so(tmp_path):
    Flash(blocks=16, path=tmp_path / "usr.img")
    done = logs(tmp_path / "usr.img")
    assert done.returncode == 0 and "no wake has ended on this flash" in done.stdout


def broken(tmp_path):
    image = Flash(blocks=16).image
    (tmp_path / "short").write_bytes(image[:-100])
    (tmp_path / "torn").write_bytes(image[:40] + b"\0" * (len(image) - 40))
    (tmp_path / "text").write_text("hello")
    (tmp_path / "blank").write_bytes(b"\xff" * (16 * BLOCK))
    (tmp_path / "empty").mkdir()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nowhere", "does not exist"),
        ("short", "is cut short"),
        ("torn", "does not mount as littlefs 2"),
        ("text", "is neither an image of /usr (littlefs 2) nor a file of a journal"),
        ("blank", "is neither an image of /usr (littlefs 2) nor a file of a journal"),
        ("empty", "has no journal.0 or journal.1 in it"),
    ],
)
def test_a_wrong_path_is_told_in_one_sentence(tmp_path, name, words):
    broken(tmp_path)
    done = logs(tmp_path / name)
    assert done.returncode == 2 and not done.stdout
    assert words in said(done)


def test_a_run_leaves_its_flash_behind_and_says_before_it_runs_when_it_cannot(tmp_path):
    command = [sys.executable, "-m", "tools", "run", "--engine", "cpython", "--wakes", "1", "--flash"]
    done = subprocess.run([*command, tmp_path / "usr.img"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert logs(tmp_path / "usr.img").returncode == 0
    blocks = (tmp_path / "usr.img").stat().st_size // BLOCK
    assert "config.json" in Flash(blocks=blocks, path=tmp_path / "usr.img").list()
    done = subprocess.run([*command, tmp_path / "no/usr.img"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and "cannot be written" in said(done)
