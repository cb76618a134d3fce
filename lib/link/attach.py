"""From power-on to an address: SIM, registration, data call. The firmware attaches and dials by itself while `main.py`
starts (quecpython.md §2.1); we wait for it, stage by stage, help where it does not come (recovery.py), and say which
stage failed."""

import checkNet
import dataCall
import net
from micropython import const

from link import at
from link.fault import NoModem, NoPdp, NoSim, NotRegistered

PROFILE = const(1)  # PDP context of the default APN
SIM, NETWORK, CALL = const(1), const(2), const(3)  # checkNet's stages (quecpython.md §3.4)
_SLICE = const(20)  # s of one look; some images return at once when the SIM is missing or locked, others wait it out
_PAUSE = const(1000)  # ms between two looks
_SETTLED = const(15000)  # ms after which a SIM or a network that refuses is believed; estimate
HALF = const(128)  # of an attach's time, in 1/256
_DENIED = const(3)  # registration state
_STARTING = (18, 21)  # SIM states that may pass: initialising, unknown (quecpython.md §3.2)

# Two names in the field for the same call (quecpython.md §3.4).
_wait = getattr(checkNet, "waitNetworkReady", None) or checkNet.wait_network_connected


def attach(timeout: int, clock, ladder) -> str:
    """Waits until the data call is up and returns our address. `timeout` in s; `clock` is link.clock.Clock;
    `ladder(stage, part)` is asked at each look in vain for help: `part` is how much of the time has gone, in 1/256; it
    returns whether something was done that is worth waiting for.
    Raises NoSim, NotRegistered or NoPdp, whichever stage did not come about in time."""
    if net.getModemFun() != 1:  # off since the last try failed
        net.setModemFun(1)
    start = since = clock.now()
    until = start + timeout * 1000
    while True:
        left = (until - clock.now()) // 1000
        stage, state = _wait(max(1, min(left, _SLICE)))
        if (stage, state) == (CALL, 1):
            found = address()
            if found:
                return found
        now = clock.now()
        if now + _PAUSE >= until:
            break
        final = now - since > _SETTLED and _final(stage, state)
        part = (now - start) * 256 // (timeout * 1000)
        if ladder(stage, max(part, HALF) if final else part):
            since = clock.now()
        elif final:  # nothing will change by waiting with the radio on
            break
        clock.sleep(_PAUSE)
    spent = (clock.now() - start) // 1000
    if stage == SIM:
        raise NoSim("SIM status %d after %d s" % (state, spent))
    if stage == NETWORK:
        raise NotRegistered("registration state %d after %d s" % (state, spent))
    raise NoPdp("no data call within %d s" % spent)


def _final(stage: int, state: int) -> bool:
    """A SIM that is absent or locked, a network that has said no."""
    return stage == SIM and state not in _STARTING or stage == NETWORK and state == _DENIED


def off() -> None:
    """Radio and SIM off until the next `attach`: searching costs fifty times what sleep does (quecpython.md §4.1),
    and what a locked or loose SIM needs is to be started again."""
    net.setModemFun(0)


def address() -> str:
    """Our own address, IPv4 before IPv6, or "" while there is no data call. Both return shapes of getInfo
    (quecpython.md §3.3)."""
    for kind in (2, 0, 1):
        info = dataCall.getInfo(PROFILE, kind)
        if info == -1:
            continue
        for part in info[2:]:
            if part[0] == 1 and part[2].strip("0.:"):
                return part[2]
    return ""


def use_dns(servers: str) -> bool:
    """Sets one or two name servers, "a,b", where the network gave none (guide FAQ: AT+QIDNSCFG). False where the module
    refuses them."""
    info = dataCall.getInfo(PROFILE, 2)
    if info != -1 and [part for part in info[2:] if part[3].strip("0.:")]:
        return True
    try:
        at.send('AT+QIDNSCFG=%d,"%s"' % (PROFILE, servers.replace(",", '","')))
    except NoModem:
        return False
    return True
