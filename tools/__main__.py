"""`python -m tools`: every command of the host side."""

import io
import os
import sys

import typer

from tools.aep import aep
from tools.bench import bench
from tools.docs import docs
from tools.logs import logs
from tools.run import run
from tools.things import services

cli = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False,
                  help="Tools around the ECx00x application for CTWing AEP.")
for command in (run, bench, logs, docs, aep, services):
    cli.command()(command)


def main() -> None:
    """Runs a command. A stop by hand, a closed pipe and a full disk end without a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without UTF-8 gets question marks, not an end
    try:
        cli(standalone_mode=True)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(141)
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
