"""What a session seldom does. Loaded for that alone."""

from micropython import const

from aep import refusals
from aep.shortcuts import SHORT_RETRIES, SHORT_TIMEOUT
from coap import message as m
from device import events
from m2m import client as c

_PROBED = const(2592000)  # s: the lifetime that one vendor's SDK allows, 30 days (ctwing.md §2.1)
_PROBES = const(2)  # it is asked for so often where no answer comes, once where one does


# What a refused Register means. (A refused Update means no more than that we register.)
_REFUSALS = {
    m.BAD_REQUEST: refusals.BadRequest,
    m.UNAUTHORIZED: refusals.NotProvisioned,
    m.FORBIDDEN: refusals.NotProvisioned,
    m.PRECONDITION_FAILED: refusals.WrongVersion,
}


def refused(code: int):
    """The fault that a refused Register is."""
    text = "Register answered " + (m.dotted(code) if code else "by a reset")
    return _REFUSALS.get(code, refusals.Refused)(text)


def probe(session, until: int) -> bool:
    """Registers with a lifetime beyond the documented ones, as long as the platform has not refused it; False where
    nothing was asked, or it was refused. Raises as `ask` of the session."""
    learned = session.shortcuts.learned
    left = learned.get("lt", _PROBES)
    if not left:
        return False
    if left <= _PROBES:
        learned["lt"] = left - 1
    try:
        session.ask(_PROBED, until)
    except refusals.BadRequest:
        learned["lt"] = 0
        return False
    learned["lt"] = _PROBED
    return True


def deregister(session, until: int) -> None:
    """Tells the platform that the registration has ended."""
    client = session.client
    client.deregister(session.clock.now(), SHORT_TIMEOUT, SHORT_RETRIES)
    session.wait((c.DEREGISTERED, c.REFUSED, c.SILENT), until)
    client.location = ""  # it may not have been heard: then it ends with its lifetime
    client.tokens = {}
    session.note(events.DEREGISTERED)
