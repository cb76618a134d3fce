"""What the field may bring: one table of named faults, each with its expected end.

A fault strikes before one wake and heals after another, or never. `python -m tools run --fault NAME` shows it,
`--fault random` draws from those that pass; docs/failure-semantics.md is written from the table, and a test walks it.
"""

from tools.faults import cellular, datagrams, hardware, platform
from tools.faults.fault import Fault

ROOMS: dict[str, tuple[Fault, ...]] = {
    "On the way": datagrams.FAULTS,
    "Network and SIM": cellular.FAULTS,
    "The module": hardware.FAULTS,
    "The platform": platform.FAULTS,
}
"""The table by where a fault comes from."""

TABLE: tuple[Fault, ...] = tuple(fault for faults in ROOMS.values() for fault in faults)

BY_NAME = {fault.name: fault for fault in TABLE}

__all__ = ["BY_NAME", "ROOMS", "TABLE", "Fault"]
