"""How a platform refuses, and how it floods: errors of aep/session.py's family that are loaded by the first of them."""

from link.fault import WAIT, Fault


class NotProvisioned(Fault):
    """4.03 or 4.01 at Register, CONNACK 4, TCP login 3: one and the same to the operator (`+QLWREG: -9`, guide FAQ)."""

    code = 21
    action = WAIT


class BadRequest(Fault):
    """4.00 at Register."""

    code = 22
    action = WAIT


class WrongVersion(Fault):
    """4.12 at Register."""

    code = 23
    action = WAIT


class Refused(Fault):
    """Any other error response."""

    code = 24


class Flooded(Fault):
    """More comes down than any platform sends."""

    code = 28
