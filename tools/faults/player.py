"""Plays faults in a run: one of the table, or those that chance brings."""

import random
from asyncio import TimerHandle
from dataclasses import replace
from typing import Any

from tools import figures
from tools.faults.fault import Fault
from tools.plan import Plan
from tools.scenario import Hooks, Run

RANDOM = "random"
HOW_OFTEN, TWO_AT_ONCE, BEFORE = 1 / 3, 1 / 4, 1 / 2
"""Share of wakes that chance strikes, of those the share with two faults, and of faults the share that is there before
the wake begins."""

LATEST = 15.0
"""Seconds after a wake's beginning until which a fault strikes: a good one takes about ten."""


class One(Hooks):
    """One fault as its row says."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault

    def before(self, run: Run) -> None:
        if len(run.wakes) + 1 == self.fault.first:
            run.events.emit("world", "fault", f"{self.fault.name}: {self.fault.text}")
            self.fault.strike(run)

    def after(self, run: Run) -> None:
        if len(run.wakes) == self.fault.last:
            self.fault.heal(run)
            run.events.emit("world", "fault", f"{self.fault.name} is over")

    def over(self, run: Run) -> bool:
        """An error that a person must mend has been told."""
        told = figures.fault(run)
        return self.fault.ends != 0 and told is not None and told["code"] == self.fault.ends


class Chance(Hooks):
    """Faults drawn by seed from those that pass: about one wake in three, at a moment before or within it, each over
    when the wake is."""

    def __init__(self, faults: list[Fault], seed: int) -> None:
        self.faults, self.seed = faults, seed
        self.struck: list[Fault] = []
        self._waiting: list[TimerHandle] = []

    def before(self, run: Run) -> None:
        draws = random.Random(f"{self.seed}/faults/{len(run.wakes) + 1}")
        if draws.random() >= HOW_OFTEN:
            return
        for fault in draws.sample(self.faults, 2 if draws.random() < TWO_AT_ONCE else 1):
            if draws.random() < BEFORE:
                self._strike(run, fault)
            else:
                later = run.aep.loop.call_later(draws.uniform(0.0, LATEST), self._strike, run, fault)
                self._waiting.append(later)

    def _strike(self, run: Run, fault: Fault) -> None:
        run.events.emit("world", "fault", f"{fault.name}: {fault.text}")
        self.struck.append(fault)
        fault.strike(run)

    def after(self, run: Run) -> None:
        for timer in self._waiting:
            timer.cancel()
        for fault in self.struck:
            fault.heal(run)
        self._waiting.clear()
        self.struck.clear()


def plan_of(fault: Fault, plan: Plan) -> Plan:
    """What the fault makes of a plan."""
    return replace(fault.plan(plan), wakes=fault.wakes)


def outcome(name: str, expected: int, result: dict[str, Any]) -> dict[str, Any]:
    """The `fault` of a result: how it was to end and how it did; 0 is recovery."""
    error = result["error"]
    return {"name": name, "expected": expected, "ended": error["code"] if error is not None else 0}
