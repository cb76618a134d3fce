"""What can go wrong under DTLS, by the phase in which it does, as far as the wire tells. It continues the family of
link/fault.py and aep/session.py, and is loaded with DTLS."""

from aep.session import Silent
from link.fault import RETRY, WAIT, Fault


class NoDtls(Fault):
    """Silence to ClientHello."""

    code = 31


class BadKey(Fault):
    """An alert or silence after ClientKeyExchange and Finished: identity or key."""

    code = 32
    action = WAIT


class NoSuite(Fault):
    """An alert before the keys are in use, or a server that is none."""

    code = 33


class SecureSilent(Silent):
    """Silence under a DTLS session that was good."""

    code = 34


class SecureEnded(Fault):
    """The server has ended the session: alert, close_notify."""

    code = 35
    action = RETRY
