"""Fuzzes the MQTT client in CPython: `python -m tests_host.mqtt.fuzz --inputs 5000000 --seed 7`. Where one fails, the
command that runs it alone is told. `test_fuzz.py` runs 100,000 of them."""

import argparse
import sys
import time

from tests_host.interpreters import aliases
from tests_host.interpreters.run import LIB

aliases.install()
sys.path.insert(0, str(LIB))

from tests_host.mqtt.fuzzing import Fuzz  # noqa: E402 - needs both

STEP = 2000  # inputs between two signs of life


def main(arguments: list[str] | None = None) -> Fuzz:
    """Returned after its last input."""
    parser = argparse.ArgumentParser(prog="python -m tests_host.mqtt.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first input of the seed")
    chosen = parser.parse_args(arguments)
    fuzz, start = Fuzz(chosen.seed), time.monotonic()
    for first in range(chosen.first, chosen.first + chosen.inputs, STEP):
        try:
            fuzz.run(first, min(STEP, chosen.first + chosen.inputs - first))
        except BaseException:
            again = f"python -m tests_host.mqtt.fuzz --seed {chosen.seed} --first {fuzz.at} --inputs 1"
            print(f"\ninput {fuzz.at} failed: {again}", file=sys.stderr)
            raise
        done = first + STEP - chosen.first
        print(f"\r{min(done, chosen.inputs):,} inputs, {time.monotonic() - start:.0f} s", end="", file=sys.stderr)
    print(file=sys.stderr)
    print(f"{chosen.inputs:,} inputs, {len(fuzz.ends)} ends, at most {fuzz.deepest} bytes held")
    return fuzz


if __name__ == "__main__":
    main()
