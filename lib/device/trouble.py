"""What becomes of a fault: tried again, put off, recovered from step by step. Loaded only where there is one."""

import log
from micropython import const

from device import events, rest
from link import attach
from link.entropy import random_bytes
from link.fault import REATTACH, RETRY, WAIT, NoSim, NotRegistered
from link.recovery import RADIO, REDIAL, RESTART, Ladder
from store.record import Record

_TRIES = const(2)  # of a fault that may be tried again within one wake
_BACK_OFF = const(900)  # s, doubled with each fault in a row; estimate. A fault may have a `wait` of its own
_LONGEST = const(86400)  # s; a fault that waits for a person is tried this often
_RESTART_AT = const(3)  # faults of the link in a row, and again after as many
_UNFINISHED = const(4)  # power-ons in a row that came to nothing, after which the supply is given time; estimate
_GUARD = const(21600)  # s: the longest of it; estimate
_LINK = (11, 16)  # the codes of link/fault.py that a restart of the modem may mend

_log = log.getLogger("trouble")


def fault(cycle) -> str:
    """The state FAULT."""
    found = cycle.problem
    cycle.routine = False
    cycle.health.faulted(found)
    tried = cycle.tried.get(found.code, 0)
    cycle.tried[found.code] = tried + 1
    if tried < _TRIES and cycle.session is not None:
        if found.action == RETRY:
            return "retry"
        anew = not tried and getattr(found, "anew", False) and _ladder(cycle).may(RADIO)
        if anew:
            cycle.health.note(events.CFUN_CYCLED, 1)
            attach.off()
        if anew or found.action == REATTACH:
            cycle.remember()
            cycle.close()
            return "attach again"
    return "give up"


def back_off(cycle) -> str:
    """The state BACK_OFF."""
    found = cycle.problem
    row = cycle.health.in_a_row = cycle.health.in_a_row + 1
    wait = min(_LONGEST, getattr(found, "wait", _BACK_OFF) << min(row - 1, 10))
    if found.action == WAIT and not cycle.settings.on_trial:  # what is on trial is taken back without a person
        wait = _LONGEST
    # Up to a quarter more: a fleet must not come back at once.
    wait = wait * (256 + (random_bytes(1, cycle.device.imei)[0] >> 2)) >> 8
    _put_off(cycle, wait)
    cycle.save_session()
    cycle.close()
    if _LINK[0] <= found.code <= _LINK[1] and row % _RESTART_AT == 0 and _ladder(cycle).may(RESTART):
        cycle.health.not_before = 0  # it is tried again at once
        _log.warning("restart after %d faults in a row", row)
        rest.restart(cycle, events.RESTART)
    if found.code > _LINK[1]:  # the link is up, and nothing more is to be said: it is let go as after a good wake
        cycle.power.arm()
    if isinstance(found, (NoSim, NotRegistered)):
        attach.off()
        cycle.silent = True
    return "put off"


def recover(cycle, stage: int, part: int) -> bool:
    """A look for the link in vain (link/attach.py): the next step of the ladder, if its time has come."""
    ladder = _ladder(cycle)
    before = dict(ladder.taken)
    done = ladder.help(stage, part)
    for step, code in ((REDIAL, events.REDIALED), (RADIO, events.CFUN_CYCLED)):
        if ladder.taken.get(step, 0) > before.get(step, 0):
            _log.warning("no link at stage %d: %s", stage, step)
            cycle.health.note(code, ladder.taken[step])
    return done


def guard(cycle, unfinished: int) -> None:
    """Power-ons that end before anything was reached: a battery that breaks down under the radio must not be drained by
    trying. The firmware has switched the radio on by itself (quecpython.md §2.1)."""
    if unfinished < _UNFINISHED:
        return
    wait = min(_GUARD, _BACK_OFF << min(unfinished - _UNFINISHED, 10))
    _log.error("%d power-ons came to nothing; the next try is in %d s", unfinished, wait)
    cycle.health.note(events.GUARDED, unfinished)
    _put_off(cycle, wait)
    attach.off()
    cycle.silent = True


def _put_off(cycle, wait: int) -> None:
    cycle.quiet = cycle.clock.now() + 1000 * wait
    now = cycle.clock.unix()
    cycle.health.not_before = now + wait if now else 0
    cycle.health.note(events.BACK_OFF, wait // 60)


def _ladder(cycle):
    if cycle.ladder is None:
        cycle.ladder = Ladder(Record("/usr/state/ladder.rec"), cycle.clock)
    return cycle.ladder
