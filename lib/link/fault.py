"""What can go wrong, as one family: every error the device knows has a number, a hint for a person, and the one thing
the cycle should do about it. The session's errors (`aep/session.py`) continue the list."""

from micropython import const

# What the cycle does next.
RETRY = const(1)  # again at once, within this wake
BACK_OFF = const(2)  # sleep, longer each time
REATTACH = const(3)  # the link is stale: attach again within this wake
WAIT = const(4)  # only a person can mend it: one try per longest back-off


class Fault(Exception):
    """Base of all. `code` is stable and appears in health and results; `action` is what the cycle does. The text given
    when it is raised says what was seen; it never holds a secret."""

    code = 1
    action = BACK_OFF

    def hint(self) -> str:
        """What a person should check. The texts are loaded when one is said (link/hints.py)."""
        from link.hints import HINTS

        return HINTS[self.code]


class NoSim(Fault):
    code = 11
    action = WAIT


class NotRegistered(Fault):
    code = 12


class NoPdp(Fault):
    code = 13


class NoName(Fault):
    code = 14


class NoPath(Fault):
    code = 15
    action = REATTACH


class NoFlash(Fault):
    code = 17


class NoModem(Fault):
    code = 16
