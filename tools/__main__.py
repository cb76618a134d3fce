"""`python -m tools`: every command of the host side."""

import typer

from tools.run import run

cli = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False,
                  help="Tools around the ECx00x application for CTWing AEP.")
cli.command()(run)


@cli.callback()
def _tools() -> None:
    """Keeps `run` a named command while it is the only one."""


if __name__ == "__main__":
    cli()
