"""Fuzzes the DTLS client in CPython: `python -m tests_host.dtls.fuzz --inputs 2000000 --seed 7`. What fails is told with
the command that runs that one input again. `test_fuzz.py` runs 200,000 of them."""

import argparse
import sys
import time

from tests_host.interpreters import aliases

aliases.install()
sys.path.insert(0, "lib")

from tests_host.dtls.fuzzing import Fuzz  # noqa: E402 - needs both

STEP = 2000  # inputs between two signs of life


def main(arguments: list[str] | None = None) -> str:
    """The digest of what came of all inputs."""
    parser = argparse.ArgumentParser(prog="python -m tests_host.dtls.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first input of the seed")
    chosen = parser.parse_args(arguments)
    fuzz, start = Fuzz(chosen.seed), time.monotonic()
    for first in range(chosen.first, chosen.first + chosen.inputs, STEP):
        try:
            fuzz.run(first, min(STEP, chosen.first + chosen.inputs - first))
        except BaseException:
            again = f"python -m tests_host.dtls.fuzz --seed {chosen.seed} --first {fuzz.at} --inputs 1"
            print(f"\ninput {fuzz.at} failed: {again}", file=sys.stderr)
            raise
        done = first + STEP - chosen.first
        print(f"\r{min(done, chosen.inputs):,} inputs, {time.monotonic() - start:.0f} s", end="", file=sys.stderr)
    print(file=sys.stderr)
    digest = fuzz.digest()
    print(f"{chosen.inputs:,} inputs, {len(fuzz.ends)} ends, at most {fuzz.deepest} bytes held, digest {digest}")
    return digest


if __name__ == "__main__":
    main()
