"""Sleep: PSM takes the power, or the module sleeps lightly until the next wake and goes on hearing the platform where
the session was kept (DESIGN §5)."""

import log
from micropython import const
from misc import Power

from device import events, orders
from link import attach
from link.fault import Fault

_PSM_GRACE = const(30)  # s after T3324 within which the power should have gone; estimate
_NAP = const(120)  # s of light sleep between two feeds of the watchdog
_RENEW = const(10)  # an Update is due when a tenth of the lifetime is left, as a vendor's SDK does (ctwing.md §2.8)
_SOONEST = const(60)  # s from one notification to the next, where nobody answers
_UNTOLD = const(3)  # wakes that end well with nothing to do, after which that is written: few enough for trouble.guard
_LOSSES = const(6)  # of the path between two wakes, after which it is not sought again before the next

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
    return _light(cycle)


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
    """The timers of PSM as granted, or None; what differs from what was asked for is said."""
    grant = cycle.power.read_grant()
    asked = cycle.asked
    if grant is None:
        if attach.address():
            cycle.health.count("psm_refused")
            cycle.health.note(events.PSM_REFUSED)
    elif asked and grant[0] != asked[0]:
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
    if grant is not None:
        cycle.health.count("psm_vetoed")  # granted, yet we are awake: USB, a wakelock, a busy thread
        cycle.health.note(events.PSM_VETOED)


def _light(cycle) -> str:
    """Light sleep until something is to be done. Wakes are an interval apart as they are from PSM, whatever is due then
    and whatever the time of day says; only what waits for a back-off to end need not wait longer."""
    until = cycle.sampled + 1000 * cycle.settings.values["report.interval"]
    if (cycle.outbox.waiting or cycle.lacks_session()) and cycle.sampled < cycle.quiet < until:
        until = cycle.quiet
    while True:
        renew, tell, now = _renewal(cycle), _notice(cycle), cycle.clock.now()
        if now >= until:
            return "woke without a boot"
        cycle.boot.feed()
        nap = min(until, now + 1000 * _NAP)
        if cycle.session is None:
            cycle.clock.sleep(nap - now)
            continue
        if renew is not None and now >= renew:
            cycle.session.refresh = cycle.routine = True
            event = "sign of life due"
        elif tell is not None and now >= tell:
            cycle.told = now
            event = "more"
        else:
            cycle.routine = False
            event = _hear(cycle, min([nap] + [at for at in (renew, tell) if at is not None]))
        if event == "path lost":
            cycle.losses += 1
            cycle.health.note(events.PATH_LOST)
            if cycle.losses > _LOSSES:
                event = ""
        if event:
            cycle.power.hold()
            return event


def _renewal(cycle):
    """When the platform is to hear of us at the latest (clock ms), or None: a kept session must not end, nor the way to
    us close where the platform is to reach us at any time."""
    if cycle.session is None:
        return None
    out = None
    keepalive = cycle.settings.values["lwm2m.keepalive"]
    if keepalive:
        out = cycle.heard + 1000 * keepalive
    left = cycle.session.left()
    if left is not None:
        end = cycle.clock.now() + 1000 * max(0, left - cycle.session.lifetime() // _RENEW)
        out = end if out is None else min(out, end)
    return out


def _notice(cycle):
    """When an observer is to be told something though nothing has changed (clock ms), or None."""
    now = cycle.clock.unix()
    due = cycle.session.next_due() if cycle.session is not None and now else 0
    return max(cycle.clock.now() + 1000 * (due - now), cycle.told + 1000 * _SOONEST) if due else None


def _hear(cycle, until: int) -> str:
    """Listens with the module asleep; the event that ends sleep, or ""."""
    try:
        downlink = cycle.session.receive(until, True)
    except Fault as fault:
        _log.warning("while asleep: %s", fault)
        downlink = None
        lost = True
    else:
        lost = attach.address() != cycle.device.address
    if lost:
        cycle.remember()
        cycle.close()
        return "path lost"
    if downlink is None:
        return "more" if orders.pending else ""
    cycle.heard = cycle.clock.now()
    return "commands" if cycle.commands.waiting() else "more"
