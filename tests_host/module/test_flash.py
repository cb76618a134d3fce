"""The module's flash between power-ons, and the block device that is cut off in the middle of a program."""

import pytest
from littlefs import LittleFSError

from tools.module.flash import BLOCK, CutContext, Flash, put


def test_installs_files_in_directories_and_empty_directories():
    flash = Flash(blocks=64)
    flash.install({"main.py": b"m", "a/link/at.py": b"x" * 5000, "b/": b""})
    assert flash.list() == {"a/": 0, "a/link/": 0, "a/link/at.py": 5000, "b/": 0, "main.py": 1}
    assert flash.read("/usr/main.py") == flash.read("main.py") == b"m"
    assert flash.exists("a/link") and not flash.exists("c")


def test_write_replaces_and_remove_takes_directories_too():
    flash = Flash(blocks=64)
    before = flash.statvfs()["free"]
    flash.install({"a/x": b"1" * 9000})
    flash.write("a/x", b"22")
    assert flash.read("a/x") == b"22"
    flash.remove("a")
    assert flash.list() == {} and flash.statvfs() == {"block_size": BLOCK, "blocks": 64, "free": before}


def test_missing_files_are_errors():
    flash = Flash(blocks=64)
    for action in (flash.read, flash.remove):
        with pytest.raises(FileNotFoundError):
            action("nothing")


def test_a_full_flash_refuses():
    with pytest.raises(LittleFSError) as full:
        Flash(blocks=16).write("big", bytes(16 * BLOCK))
    assert full.value.code == -28  # ENOSPC


def test_an_image_in_a_file_is_kept_and_read_again(tmp_path):
    path = tmp_path / "usr.img"
    Flash(blocks=32, path=path).write("kept", b"1")
    assert Flash(blocks=32, path=path).read("kept") == b"1"
    assert path.stat().st_size == 32 * BLOCK
    with pytest.raises(ValueError, match="64 blocks are expected"):
        Flash(blocks=64, path=path)


def test_an_image_that_does_not_mount_is_not_formatted_over(tmp_path):
    path = tmp_path / "usr.img"
    path.write_bytes(bytes(32 * BLOCK))
    with pytest.raises(LittleFSError):
        Flash(blocks=32, path=path).list()
    assert path.read_bytes() == bytes(32 * BLOCK)


@pytest.mark.parametrize("in_file", [True, False])
def test_a_program_outside_sees_and_changes_the_image(tmp_path, in_file):
    flash = Flash(blocks=32, path=tmp_path / "usr.img" if in_file else None)
    other = Flash(blocks=32)
    other.write("theirs", b"2")
    with flash.as_file() as path:
        assert path.stat().st_size == 32 * BLOCK
        path.write_bytes(other.image)
    assert flash.list() == {"theirs": 1}


def test_the_power_goes_at_the_nth_program_and_nothing_is_written_after_it():
    flash = Flash(blocks=32)
    flash.write("record", b"old")
    context = CutContext(flash.image, cut_at=1)
    fs = flash.mount(context)
    with pytest.raises(LittleFSError):
        put(fs, "record", b"new" * 300)
    assert context.cut and context.programs == 1
    frozen = bytes(flash.image)
    with pytest.raises(LittleFSError):
        fs.mkdir("later")
    assert bytes(flash.image) == frozen and flash.read("record") == b"old"


def test_half_of_the_cut_program_is_written():
    image = bytearray(b"\xff" * BLOCK)
    context = CutContext(image, cut_at=2)
    assert context.prog(None, 0, 0, b"a" * 128) == 0
    assert context.prog(None, 0, 128, b"b" * 128) != 0
    assert context.erase(None, 0) != 0
    assert bytes(image[:320]) == b"a" * 128 + b"b" * 64 + b"\xff" * 128


def test_after_any_cut_the_image_mounts_with_the_old_content_or_the_new():
    cuts = 0
    for program in range(1, 50):
        flash = Flash(blocks=32)
        flash.write("record", b"old")
        fs = flash.mount(CutContext(flash.image, cut_at=program))
        try:
            put(fs, "record.new", b"new" * 300)
            fs.rename("record.new", "record")
        except LittleFSError:
            cuts += 1
            assert flash.read("record") in (b"old", b"new" * 300)
            continue
        assert flash.read("record") == b"new" * 300
        break
    assert cuts >= 3


def test_at_the_end_of_a_power_on_the_image_is_frozen():
    flash = Flash(blocks=32)
    context = CutContext(flash.image)
    with flash.powered(context) as fs:
        put(fs, "saved", b"1")
    before = bytes(flash.image)
    with pytest.raises(LittleFSError):
        put(fs, "late", b"2" * 1000)
    assert bytes(flash.image) == before and flash.list() == {"saved": 1}
