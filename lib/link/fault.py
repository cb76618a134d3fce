"""What can go wrong, as one family: every error the device knows has a number, a hint for a person, and the one thing
the cycle should do about it. The session's errors (`aep/session.py`) continue the list."""

from micropython import const

# What the cycle does next.
RETRY = const(1)  # again at once, within this wake
BACK_OFF = const(2)  # sleep, longer each time
REATTACH = const(3)  # the link is stale: attach again within this wake
WAIT = const(4)  # only a person can mend it: one try per longest back-off


class Fault(Exception):
    """Base of all. `code` is stable and appears in health and results; `hint` says what to check; `action` what the
    cycle does. The text given when it is raised says what was seen; it never holds a secret."""

    code = 1
    hint = "Unexpected; the text says what was seen."
    action = BACK_OFF


class NoSim(Fault):
    code = 11
    hint = "No usable SIM: seated? contacts? locked by a PIN? (AT+CPIN?)"
    action = WAIT


class NotRegistered(Fault):
    code = 12
    hint = "No registration: antenna, coverage, data subscription, IMEI-bound SIM? (AT+CEREG?, AT+QENG)"


class NoPdp(Fault):
    code = 13
    hint = "Registered but no data call: APN, data volume used up, SIM restrictions? (AT+CGPADDR)"


class NoName(Fault):
    code = 14
    hint = "The server's name does not resolve: right name? DNS server? (AT+QIDNSCFG) address of the APN's IP version?"


class NoPath(Fault):
    code = 15
    hint = "The socket died: the address changed or the data call dropped."
    action = REATTACH


class NoFlash(Fault):
    code = 17
    hint = "The flash refuses to write: is it full, or worn out? (uos.statvfs('/usr'))"


class NoModem(Fault):
    code = 16
    hint = "An AT command found no answer; the text names it."
