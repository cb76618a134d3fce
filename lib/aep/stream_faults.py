"""What can go wrong on a connection, beside what every protocol knows. It continues the family of link/fault.py and
aep/session.py, and is loaded with MQTT and TCP."""

from aep.session import Silent
from link.fault import RETRY, WAIT, Fault


class NoConnection(Fault):
    """The platform takes no connection: refused, or no answer to SYN."""

    code = 41


class ConnectionLost(Fault):
    """The platform or the network has ended the connection: FIN, RST."""

    code = 42
    action = RETRY


class LoggedIn(Fault):
    """TCP login result 4: an earlier connection of this device still counts."""

    code = 43
    wait = 330  # s; the platform forgets a connection after 300 without a heartbeat (ctwing.md §4.2)


class BadCertificate(Fault):
    """TLS: the platform's certificate does not hold, or there is no CA to hold it to."""

    code = 44
    action = WAIT
    anew = True  # once in a wake the radio is attached anew: if the clock is wrong, that alone sets it


class NoTls(Fault):
    """TLS is refused, or this image cannot do it."""

    code = 45


class BadFrame(Fault):
    """What came is no frame of this protocol."""

    code = 46


class NotConfirmed(Silent):
    """The connection stands, but nothing shows that a report arrived."""

    code = 47
