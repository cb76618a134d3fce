"""One fault: what it does to a run, when, and how the run is to end."""

from collections.abc import Callable
from dataclasses import dataclass

from tools.plan import Plan
from tools.scenario import Run


def unchanged(plan: Plan) -> Plan:
    return plan


def nothing(run: Run) -> None:
    """A fault that is all in its plan, or that passes by itself."""


@dataclass(frozen=True)
class Fault:
    """`strike` is called before wake `first` (1 is the first), `heal` after wake `last`; 0: it never heals. What must
    happen in the midst of a wake, `strike` arranges with `when` (tools/faults/moment.py)."""

    name: str
    """In words with hyphens, as `--fault` takes it."""

    text: str
    """What happens, one line."""

    ends: int
    """0: the device recovers, nothing is lost and every command is answered; else the code of its error."""

    kept: str
    """What is kept, what may be repeated, what is dropped: a row of docs/failure-semantics.md."""

    plan: Callable[[Plan], Plan] = unchanged
    """What is run: settings, carrier, family, whether the device is provisioned."""

    strike: Callable[[Run], None] = nothing
    heal: Callable[[Run], None] = nothing
    first: int = 2
    last: int = 2
    wakes: int = 4
    """Wakes that show its end."""

    passing: bool = False
    """`--fault random` may draw it: it heals, and two of them at the same time do no harm either."""

    journal: str = ""
    """The event that the device's journal must hold of it (lib/device/events.py), "" where it cannot know."""
