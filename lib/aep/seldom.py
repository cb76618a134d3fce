"""What a session seldom does. Loaded for that alone."""

from micropython import const

from aep import session as s
from aep.shortcuts import SHORT_RETRIES, SHORT_TIMEOUT
from device import events
from m2m import client as c

_RENEW = const(10)  # an Update is due when a tenth of the lifetime is left, as a vendor's SDK does (ctwing.md §2.8)
_PROBED = const(2592000)  # s: the lifetime that one vendor's SDK allows, 30 days (ctwing.md §2.1)
_PROBES = const(2)  # it is asked for so often where no answer comes, once where one does


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
    except s.BadRequest:
        learned["lt"] = 0
        return False
    learned["lt"] = _PROBED
    return True


def renewal(session, heard: int, settings: dict):
    """See lwm2m.Session: a kept session must not end, nor the way to us close where the platform is to reach us at any
    time."""
    out = None
    keepalive = settings["lwm2m.keepalive"]
    if keepalive:
        out = heard + 1000 * keepalive
    left = session.left()
    if left is not None:
        end = session.clock.now() + 1000 * max(0, left - session.lifetime() // _RENEW)
        out = end if out is None else min(out, end)
    return out


def deregister(session, until: int) -> None:
    """Tells the platform that the registration has ended."""
    client = session.client
    client.deregister(session.clock.now(), SHORT_TIMEOUT, SHORT_RETRIES)
    session.wait((c.DEREGISTERED, c.REFUSED, c.SILENT), until)
    client.location = ""  # it may not have been heard: then it ends with its lifetime
    client.tokens = {}
    session.note(events.DEREGISTERED)
