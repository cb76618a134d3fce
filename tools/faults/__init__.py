"""What the field may bring: one table of named faults, each with its expected end.

A fault strikes before one wake and heals after another, or never. `python -m tools run --fault NAME` shows it,
`--fault random` draws from those that pass; docs/failure-semantics.md is written from the table, and a test walks it.
"""

from tools.faults.fault import Fault

TABLE: tuple[Fault, ...] = ()

BY_NAME = {fault.name: fault for fault in TABLE}

__all__ = ["BY_NAME", "TABLE", "Fault"]
