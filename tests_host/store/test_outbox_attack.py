"""store.outbox against what may cost a reading: a record lost when nothing waits, a flash that is full at the limit, a
file system that fails after it has written.
"""

import random

import pytest

from tests_host.store.bench import Bench, fill
from tests_host.store.test_outbox import LOG, PATH, RECORD, entry, ids, outbox
from tools.module.flash import Flash


@pytest.fixture
def flash():
    flash = Flash(blocks=32)
    flash.install({"state/": b""})
    return flash


def test_id_is_not_given_twice_where_the_record_is_damaged_while_nothing_waits(flash):
    """The platform would take the new readings for repeats of the old ones."""
    box = outbox(flash)
    given = [box.put(entry(n)) for n in range(5)]
    box.consume(box.batch(9))
    flash.write(RECORD, b"damaged")
    assert outbox(flash).put(entry("new")) > given[-1]


def test_entry_that_a_full_flash_refuses_has_pushed_no_other_out(flash):
    box = outbox(flash)
    while flash.list().get(LOG, 0) < 1900:
        box.put(entry(0))
    fill(flash)
    box = outbox(flash)
    had = ids(box)
    for _ in range(5):
        with pytest.raises(OSError):
            box.put(entry("new", 200))
    assert (ids(box), box.dropped) == (had, 0)


def test_id_of_an_entry_that_was_refused_after_it_was_written_is_not_given_again(flash):
    bench = Bench(flash)
    box = bench.load("store.outbox").Outbox(PATH)
    box.put(entry(1))
    opened = bench.builtins["open"]
    failures = [5]

    class Failing:
        """A file whose close fails once, when all is on flash."""

        def __init__(self, path, mode="r"):
            self.file, self.last = opened(path, mode), mode == "ab"

        def __getattr__(self, name):
            return getattr(self.file, name)

        def __enter__(self):
            return self.file

        def __exit__(self, *details):
            self.file.close()
            if self.last and failures:
                raise OSError(failures.pop())

    bench.builtins["open"] = Failing
    with pytest.raises(OSError):
        box.put({"n": "refused"})
    box.put({"n": "next"})
    found = ids(outbox(flash))
    assert len(found) == len(set(found)) >= 2


def test_any_damage_to_one_of_two_files_loses_no_entry_of_the_other(flash):
    """The record may be anything: what waits in the log is delivered, rather again than not at all."""
    box = outbox(flash)
    for n in range(8):
        box.put(entry(n))
    box.consume(box.batch(3))
    waiting = dict(box.batch(99))
    draw = random.Random(3)
    image = bytes(flash.image)
    for _ in range(40):
        flash.image[:] = image
        flash.write(RECORD, draw.randbytes(draw.randrange(60)))
        found = dict(outbox(flash).batch(99))
        assert waiting.items() <= found.items()
        assert outbox(flash).put(entry("new")) > max(found)
