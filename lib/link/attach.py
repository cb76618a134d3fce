"""From power-on to an address: SIM, registration, data call. The firmware attaches and dials by itself while `main.py`
starts (quecpython.md §2.1); we wait for it, stage by stage, and say which one failed."""

import checkNet
import dataCall
from micropython import const

from link.fault import NoPdp, NoSim, NotRegistered

PROFILE = const(1)  # PDP context of the default APN
_SLICE = const(20)  # s of one wait: shorter than the watchdog, which is fed in between

# Two names in the field for the same call (quecpython.md §3.4).
_wait = getattr(checkNet, "waitNetworkReady", None) or getattr(checkNet, "wait_network_connected")


def attach(timeout: int, feed) -> str:
    """Waits until the data call is up and returns our address. `timeout` in s; `feed()` is called at least every 20 s.
    Raises NoSim, NotRegistered or NoPdp, whichever stage did not come about."""
    stage, state = 0, 0
    left = timeout
    while left > 0:
        feed()
        stage, state = _wait(min(left, _SLICE))
        if (stage, state) == (3, 1):
            found = address()
            if found:
                return found
        left -= _SLICE
    if stage == 1:
        raise NoSim("SIM status %d" % state)
    if stage == 2:
        raise NotRegistered("registration state %d" % state)
    raise NoPdp("no data call within %d s" % timeout)


def address() -> str:
    """Our own address, or "" while there is no data call. Both return shapes of getInfo (quecpython.md §3.3)."""
    info = dataCall.getInfo(PROFILE, 2)
    if info == -1:
        info = dataCall.getInfo(PROFILE, 0)
    if info == -1:
        return ""
    for part in info[2:]:
        if part[0] == 1 and part[2] not in ("", "0.0.0.0", "::"):
            return part[2]
    return ""
