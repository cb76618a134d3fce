"""The fuzz target as part of the tests: 100,000 inputs in CPython, each held against a second reading of its bytes, and
5,000 of them in each VM with the same outcome, in a heap of 48 KB. A longer run:
`python -m tests_host.fuzz mqtt --inputs 5000000`."""

import os
import subprocess
from hashlib import sha256
from pathlib import Path

import pytest

from tests_host.conftest import judge
from tests_host.fuzz import main
from tests_host.interpreters.run import LIB, ROOT
from tests_host.mqtt.fuzzing import heard, made
from tests_host.mqtt.heard import summed

INPUTS, IN_VM = 100_000, 5000
SEED = 1
HEAP = "48k"  # with the compiler at work in it: the client comes as source
PIECE = 512  # bytes that come at once there, as from a socket
MOST = 8192  # bytes of heap a connection may keep there, all events of an input not asked for included
VMS = ["micropython", "micropython-1.13"] if os.environ.get("MICROPYTHON_113") else ["micropython"]


@pytest.mark.parametrize("vm", VMS)
def test_the_vm_makes_the_same_of_it_in_48_kb(vm):
    lines, digest = [], sha256()
    for at in range(IN_VM):
        one = made(SEED, at)
        lines.append("".join(str(int(flag)) for flag in (one.started, one.clean, one.late)))
        for piece in one.pieces:
            lines += [piece[begin : begin + PIECE].hex() for begin in range(0, len(piece), PIECE)]
        lines.append(".")
        digest.update(summed(*heard(one)))
    script = Path(__file__).with_name("fuzz_in_vm.py")
    done = subprocess.run(
        [judge(vm), "-X", f"heapsize={HEAP}", str(script), str(LIB), str(ROOT)],
        input="\n".join(lines) + "\n", capture_output=True, text=True, timeout=100,
        env={**os.environ, "MICROPYPATH": ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    theirs, count, most = done.stdout.split()
    assert (theirs, int(count)) == (digest.hexdigest(), IN_VM)
    assert int(most) <= MOST


def test_no_input_of_many_is_read_otherwise_than_by_the_reference():
    done = main(["mqtt", "--inputs", str(INPUTS), "--seed", str(SEED)])
    assert len(done.ends) > 1000  # many ways to end, not one early way
