"""When a session that is kept in light sleep needs a sign of life. Loaded only there."""

from micropython import const

_RENEW = const(10)  # an Update is due when a tenth of the lifetime is left, as a vendor's SDK does (ctwing.md §2.8)


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
