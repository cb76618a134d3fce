"""What the platform was seen to take, learned over wakes: nobody documents it (DESIGN §4). Plain state, no I/O.

A short cut is a cheaper way of opening a session: it saves datagrams where it works and costs about six seconds of
radio where it does not. One that fails twice in a row is tried at every second opportunity, then every fourth, down to
one in 64; one success makes it the usual way again.
"""

from micropython import const

UPDATE = "u"  # after power-off: an Update keeps the registration, no Register
DIRECT = "d"  # with the socket kept: a report goes without an Update, though the NAT may have forgotten us
# A short cut gets two tries and about 6 s, never CoAP's own 62-93 s with the radio on (DESIGN §4). Estimate: an answer
# takes 1 s even where the radio connection is set up first; with jitter the waits are 1.6-2.4 s and twice that.
SHORT_TIMEOUT = const(1600)  # ms
SHORT_RETRIES = const(1)
_RAREST = const(6)  # 2**6 opportunities between two tries


def _sound(name: str, value) -> bool:
    """What we would have learned so."""
    return isinstance(value, int) if name in ("lt", "o") else isinstance(value, list) and len(value) == 2


class Shortcuts:
    """`learned` is what an earlier wake saved: {short cut: [failures in a row, opportunities passed by since]},
    "lt": the lifetime beyond the documented ones that the platform took, a small number of tries left, or 0 where it
    refuses, "o": ms after which an Observe had not come."""

    def __init__(self, learned: dict) -> None:
        self.learned = {name: value for name, value in learned.items() if _sound(name, value)}

    def worth(self, name: str) -> bool:
        """Whether to try it now."""
        failures, passed = self.learned.get(name, (0, 0))
        if not failures or passed + 1 >= 1 << min(failures - 1, _RAREST):
            return True
        self.learned[name] = [failures, passed + 1]
        return False

    def outcome(self, name: str, good: bool) -> None:
        """It was tried."""
        if good:
            self.learned.pop(name, None)
        else:
            self.learned[name] = [self.learned.get(name, (0, 0))[0] + 1, 0]
