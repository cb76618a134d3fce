"""From power-on to an address: SIM, registration, data call. The firmware attaches and dials by itself while `main.py`
starts (quecpython.md §2.1); we wait for it, stage by stage, and say which one failed."""

import checkNet
import dataCall
import net
from micropython import const

from link.fault import NoPdp, NoSim, NotRegistered

PROFILE = const(1)  # PDP context of the default APN
_SLICE = const(20)  # s of one look; some images return at once when the SIM is missing or locked, others wait it out
_PAUSE = const(1000)  # ms between two looks

# Two names in the field for the same call (quecpython.md §3.4).
_wait = getattr(checkNet, "waitNetworkReady", None) or checkNet.wait_network_connected


def attach(timeout: int, clock) -> str:
    """Waits until the data call is up and returns our address. `timeout` in s; `clock` is link.clock.Clock.
    Raises NoSim, NotRegistered or NoPdp, whichever stage did not come about in time."""
    if net.getModemFun() != 1:  # off since the last try failed
        net.setModemFun(1)
    until = clock.now() + timeout * 1000
    while True:
        left = (until - clock.now()) // 1000
        stage, state = _wait(max(1, min(left, _SLICE)))
        if (stage, state) == (3, 1):
            found = address()
            if found:
                return found
        if clock.now() + _PAUSE >= until:
            break
        clock.sleep(_PAUSE)
    if stage == 1:
        raise NoSim("SIM status %d" % state)
    if stage == 2:
        raise NotRegistered("registration state %d" % state)
    raise NoPdp("no data call within %d s" % timeout)


def off() -> None:
    """Radio and SIM off until the next `attach`: searching costs fifty times what sleep does (quecpython.md §4.1),
    and what a locked or loose SIM needs is to be started again."""
    net.setModemFun(0)


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
