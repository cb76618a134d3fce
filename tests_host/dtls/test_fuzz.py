"""The fuzz target as part of the tests: 200,000 inputs in CPython, 10,000 of them in each VM with the same outcome to
the byte, and the heap one datagram may cost there. A longer run: `python -m tests_host.fuzz dtls --inputs 5000000`."""

import os
import subprocess
from pathlib import Path

import pytest

from tests_host.conftest import judge
from tests_host.dtls.fuzzing import Fuzz
from tests_host.fuzz import main
from tests_host.interpreters.run import LIB, ROOT

INPUTS, IN_VM = 200_000, 10_000
SEED = 1
HEAP = "4m"  # all states of all scenarios at once
LEFT = 4096  # bytes of heap that one datagram may leave in use in the 64-bit VM: half a handshake's worth
USED = {"micropython": 64_000, "micropython-1.13": 128_000}  # and use on the way, nothing collected; 1.13 has no AES
VMS = sorted(USED) if os.environ.get("MICROPYTHON_113") else ["micropython"]  # the other one is asked where it is named


@pytest.fixture(scope="module")
def fuzz():
    """After the inputs that the VMs have too: those are the first of the seed."""
    fuzz = Fuzz(SEED)
    fuzz.run(0, IN_VM)
    return fuzz


@pytest.mark.parametrize("vm", VMS)
def test_the_vm_comes_to_the_same_ends_within_a_bounded_heap(fuzz, vm):
    script = Path(__file__).with_name("fuzz_in_vm.py")
    done = subprocess.run(
        [judge(vm), "-X", f"heapsize={HEAP}", str(script), str(LIB), str(ROOT), str(SEED), str(IN_VM)],
        capture_output=True, text=True, timeout=100, env={**os.environ, "MICROPYPATH": ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    digest, left, used = done.stdout.split()
    assert digest == fuzz.digest()
    assert int(left) <= LEFT and int(used) <= USED[vm]


def test_no_input_of_many_breaks_the_client():
    done = main(["dtls", "--inputs", str(INPUTS), "--seed", str(SEED)])
    assert len(done.ends) > 1000  # many ways to end, not one early way
