"""Light sleep until the next wake, hearing the platform where the session was kept (DESIGN §5). Loaded only where PSM
does not take the power."""

import log
from micropython import const

from device import events, orders
from link import attach
from link.fault import Fault

_NAP = const(120)  # s of light sleep between two feeds of the watchdog
_SOONEST = const(60)  # s from one notification to the next, where nobody answers
_LOSSES = const(6)  # of the path between two wakes, after which it is not sought again before the next

_log = log.getLogger("sleep")


def light(cycle) -> str:
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
    """When the platform is to hear of us at the latest (clock ms), or None."""
    return None if cycle.session is None else cycle.session.renewal(cycle.heard, cycle.settings.values)


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
