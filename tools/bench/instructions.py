"""Instructions that the VM executes, counted by valgrind's callgrind: the same in every run on a machine, but for
NOISE.

They are a 64-bit PC's, the simulation's proxies for the firmware's modules included; an empty application's are taken
off. They compare one state of the tree with another, and say nothing about the module's own processor.
"""

import contextlib
import shutil
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tools.bench.device import APP, warm_plan
from tools.bench.footprint import boot
from tools.module.vm.engine import EMPTY_MAIN, WRAPPER
from tools.plan import Plan
from tools.scenario import play
from tools.world.events import Event

HOW_TO_GET = "valgrind is not installed here (apt-get install valgrind): no instruction counts"

END = "from misc import Power\nPower.powerDown()\n"
REPORTS = Plan(wakes=2, commands=False, app=APP, measure_heap=False)

SCAN = "gc_collect_root"
"""The collector looks for pointers among whatever lies on the C stack, glibc's random numbers too: its own steps are
not counted, for they differ by a few hundred from run to run."""

NOISE = 1e-4
"""How much of itself a count may differ by all the same, as a bound: what looks like a pointer there is followed once
more, 20 instructions each time, with what it leads to."""


class Reached(KeyboardInterrupt):
    """The run has come as far as it is to be counted, and is stopped like one that is stopped by hand."""


def counts(step: Callable[[str], object] = lambda text: None) -> dict[str, int] | None:
    """From boot to the first datagram and for the whole wake with one report, registering (`cold`) and `resumed`; for
    one minute more in light sleep with a report (`warm_minute`). None without valgrind. `step` hears what is run."""
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        return None
    # The last VM that was started is the one in question.
    step("instructions of an empty application")
    empty = counted(valgrind, partial(boot, EMPTY_MAIN.decode() + END))[-1]
    step("instructions of two wakes")
    cold, resumed = counted(valgrind, partial(play, REPORTS))[-2:]
    out = {"cold_wake": cold - empty, "resumed_wake": resumed - empty}
    for name, event in (("cold", "register"), ("resumed", "update")):
        step(f"instructions up to the {event}")
        out[name + "_to_first_datagram"] = counted(valgrind, partial(until, event))[-1] - empty
    step("instructions of wakes from light sleep")
    plans = (warm_plan(wakes, engine="vm", interval=60) for wakes in (2, 3))  # a listening device is never quite idle
    two, three = (counted(valgrind, partial(play, plan))[-1] for plan in plans)
    return {**out, "warm_minute": three - two}


def counted(valgrind: str, work: Callable[[], object]) -> list[int]:
    """Instructions of each VM that `work` starts, in that order."""
    with tempfile.TemporaryDirectory() as room:
        WRAPPER[:] = [valgrind, "-q", "--tool=callgrind", "--toggle-collect=run_main*", "--compress-strings=no",
                      f"--callgrind-out-file={room}/%p"]
        try:
            work()
        finally:
            WRAPPER.clear()
        written = sorted(Path(room).iterdir(), key=lambda path: path.stat().st_mtime_ns)
        return [instructions(path.read_text()) for path in written]


def instructions(profile: str) -> int:
    """The total of a callgrind profile, less SCAN's own."""
    total, inside, of_a_call = 0, False, False
    for line in profile.splitlines():
        if line.startswith("summary: "):
            total += int(line.split()[1])
        elif line.startswith("fn="):
            inside = line == "fn=" + SCAN
        elif inside and line[:1] in "+-*0123456789" and line:
            total -= 0 if of_a_call else int(line.split()[-1])
        of_a_call = line.startswith("calls=")  # the next line is what the function called took
    return total


def until(kind: str) -> None:
    """Plays REPORTS until the platform meets this event: the VM then waits for the answer."""

    def listen(event: Event) -> None:
        if event.kind == kind:
            raise Reached

    with contextlib.suppress(Reached):
        play(REPORTS, listen)
