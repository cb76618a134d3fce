"""What a network answers to a module's request for PSM."""

from dataclasses import dataclass

from tools.module.modem import timers
from tools.module.profiles.networks import Carrier


@dataclass(frozen=True)
class Grant:
    """PSM timers as granted: bits as in AT+CEREG (TS 24.008 §10.5.7.3, .4a), and seconds."""

    tau_bits: str
    active_bits: str
    tau_s: int
    active_s: int


def grant(request: list[int], carrier: Carrier) -> Grant | None:
    """The answer to [mode, tau_unit, tau, act_unit, act]: as asked for, moved to the carrier's limits, or None.

    A deactivated T3324 means no PSM; a deactivated T3412 leaves the network's own period (TS 24.301 §5.3.11).
    """
    mode, *fields = request
    tau, active = (fields[0], fields[1]), (fields[2], fields[3])
    asked_active = timers.seconds(timers.ACTIVE_UNITS, *active)
    if mode != 1 or not carrier.psm or asked_active is None:
        return None
    if timers.seconds(timers.TAU_UNITS, *tau) is None:
        tau_s = carrier.t3412_s
    else:
        tau, tau_s = _within(timers.TAU_UNITS, tau, carrier.tau_limits_s)
    active, active_s = _within(timers.ACTIVE_UNITS, active, carrier.active_limits_s)
    return Grant(timers.bits(*tau), timers.bits(*active), tau_s, active_s)


def _within(units: dict[int, int], field: tuple[int, int], limits: tuple[int, int]) -> tuple[tuple[int, int], int]:
    """The field as it is, or the limit it passes; and its seconds."""
    asked = timers.seconds(units, *field) or 0
    if not limits[0] <= asked <= limits[1]:
        field = timers.nearest(units, min(max(asked, limits[0]), limits[1]))
    return field, timers.seconds(units, *field) or 0
