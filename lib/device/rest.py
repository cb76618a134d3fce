"""Sleep: PSM takes the power; where it does not, the module sleeps lightly until the next wake (device/nap.py)."""

import log
from micropython import const
from misc import Power

from device import events
from link import attach

_PSM_GRACE = const(30)  # s after T3324 within which the power should have gone; estimate
_NAP = const(120)  # s of light sleep between two feeds of the watchdog
_UNTOLD = const(3)  # wakes that end well with nothing to do, after which that is written: few enough for trouble.guard

_log = log.getLogger("sleep")


def sleep(cycle) -> str:
    """The state SLEEP; returns only where the power has not gone."""
    if cycle.delivered:  # a tree that fails after it has reported is not good, or it would do so for ever
        cycle.delivered = False
        cycle.boot.confirm()
    cycle.power.doze()
    psm = cycle.psm and not cycle.silent
    grant = _granted(cycle) if psm else None
    if not cycle.routine:
        put_by(cycle)
    if psm:
        _power_down(cycle, grant)
    from device import nap

    return nap.light(cycle)


def put_by(cycle) -> None:
    """What is to outlive power-off is written: counters, and the journal of this wake."""
    cycle.health.note(events.SLEEP, cycle.clock.now() // 1000)
    if cycle.boots - max(cycle.health.boot, cycle.kept["boot"]) >= _UNTOLD:
        cycle.health.boot = cycle.boots
    cycle.health.save(cycle.clock.unix(), cycle.boots)


def restart(cycle, why: int) -> None:
    """Restarts the module; does not return."""
    cycle.health.note(why)
    put_by(cycle)
    Power.powerRestart()


def _granted(cycle):
    """As Power.read_grant; what differs from what was asked for is said."""
    grant = cycle.power.read_grant()
    asked = cycle.asked
    if grant is None:
        if attach.address():
            cycle.health.count("psm_refused")
            cycle.health.note(events.PSM_REFUSED)
    elif grant and asked and grant[0] != asked[0]:
        _log.warning("T3412 asked %d s, granted %d s", asked[0], grant[0])
        if grant[0] > asked[0]:  # reports come later than they were meant to
            cycle.health.count("psm_longer")
            cycle.health.note(events.PSM_LONGER, grant[0])
        else:
            cycle.health.note(events.PSM_SHORTER, grant[0])
    return grant


def _power_down(cycle, grant) -> None:
    """Lets PSM take the power; returns only where it did not."""
    wait = (grant[1] if grant else cycle.settings.values["power.active"]) + _PSM_GRACE
    while wait > 0:
        cycle.boot.feed()
        cycle.clock.sleep(min(wait, _NAP) * 1000)
        wait -= _NAP
    if grant:
        cycle.health.count("psm_vetoed")  # granted, yet we are awake: USB, a wakelock, a busy thread
        cycle.health.note(events.PSM_VETOED)
