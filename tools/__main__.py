"""`python -m tools`: every command of the host side."""

import typer

from tools.bench import bench
from tools.docs import docs
from tools.run import run

cli = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False,
                  help="Tools around the ECx00x application for CTWing AEP.")
for command in (run, bench, docs):
    cli.command()(command)


if __name__ == "__main__":
    cli()
