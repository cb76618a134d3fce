"""Fuzzes a client of lib/ in CPython: `python -m tests_host.fuzz dtls --inputs 5000000 --seed 7`. Where an input fails,
the command that runs it alone is told. The `test_fuzz.py` of each room runs a part of them.
"""

import argparse
import sys
import time
from importlib import import_module
from typing import Any

from tests_host.interpreters import aliases
from tests_host.interpreters.run import LIB

ROOMS = ("dtls", "mqtt")
STEP = 2000  # inputs between two signs of life


def main(arguments: list[str] | None = None) -> Any:
    """The room's Fuzz after its last input."""
    parser = argparse.ArgumentParser(prog="python -m tests_host.fuzz", description=__doc__)
    parser.add_argument("room", choices=ROOMS)
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first input of the seed")
    chosen = parser.parse_args(arguments)
    aliases.install()
    if str(LIB) not in sys.path:
        sys.path.insert(0, str(LIB))
    fuzz, start = import_module(f"tests_host.{chosen.room}.fuzzing").Fuzz(chosen.seed), time.monotonic()
    for first in range(chosen.first, chosen.first + chosen.inputs, STEP):
        try:
            fuzz.run(first, min(STEP, chosen.first + chosen.inputs - first))
        except BaseException:
            again = f"python -m tests_host.fuzz {chosen.room} --seed {chosen.seed} --first {fuzz.at} --inputs 1"
            print(f"\ninput {fuzz.at} failed: {again}", file=sys.stderr)
            raise
        done = first + STEP - chosen.first
        print(f"\r{min(done, chosen.inputs):,} inputs, {time.monotonic() - start:.0f} s", end="", file=sys.stderr)
    print(file=sys.stderr)
    print(f"{chosen.inputs:,} inputs, {len(fuzz.ends)} ends, at most {fuzz.deepest} bytes held")
    return fuzz


if __name__ == "__main__":
    main()
