"""What every way to the platform looks like to the cycle, and the errors they share.

A session is one object per protocol, all alike:

- `open(until)` reaches the platform, resuming where the saved state allows; `resumed` tells whether it did;
- `send(payload, until, sure, service, task)` returns a receipt: ACKNOWLEDGED by the platform, or HANDED_OVER to the
  stack (NON, QoS 0). `payload` is what is to lie in the protocol's message; `sure` asks for an acknowledgement;
  `service` and `task` are the ids of a thing model's message, for protocols that say them beside the payload;
- `receive(until, asleep)` gives one downlink, already stored by `keep`, or None at `until` (clock milliseconds), and
  `asleep` as soon as the platform has asked anything else;
- `due(settings)` and `settle(until, settings)` tell the platform what else it is to know, when reports are done;
- `renewal(heard, settings)` tells when a kept session needs a sign of life; `refresh` makes the next opening one;
- `closes`: whether it is closed before the radio connection is released;
- `deregister(until)` ends the registration where the protocol has one;
- `saved()` is what must outlive power-off, a small dict of plain values;
- `close()` frees what it holds.

Times are clock milliseconds. Protocol-level answers (ACK, 2.04, PUBACK, 83) are the session's own.
`keep(payload, service, task)` is called with each downlink *before* the platform is told that it was received, with
`service` and `task` where the protocol says them beside the command's parameters; it returns KEPT when the downlink is
durable, DONE when its task was answered before, MALFORMED or BUSY when it was refused and nothing is stored. A session
never sleeps on its own account, never retries for ever, and never touches the outbox.
"""

from micropython import const

from link.fault import BACK_OFF, RETRY, Fault

ACKNOWLEDGED = const(1)
HANDED_OVER = const(2)
# ms without a datagram after which the way back to us is taken for closed, as a vendor's SDK does (ctwing.md §2.7)
NAT_IDLE = const(30000)

KEPT = const(1)
MALFORMED = const(2)
BUSY = const(3)
DONE = const(4)


class Silent(Fault):
    """Nothing came back."""

    code = 25
    action = BACK_OFF


class SessionLost(Fault):
    """4.04 or 4.01 at Update, RST to a notification: the platform has forgotten us."""

    code = 26
    action = RETRY


class NotObserved(Fault):
    """Registered, but the platform did not observe 19/0/0, without which nothing can be reported."""

    code = 27
    action = RETRY
