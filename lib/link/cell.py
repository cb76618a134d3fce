"""Who we are and where: SIM, IMEI, serving cell, signal. Reads only; each returns "" or None where the modem says
-1."""

import modem
import net
import sim
import uos

from link import at
from link.fault import NoModem


def imei() -> str:
    """15 digits."""
    return _text(modem.getDevImei())


def imsi() -> str:
    """15 digits; empty without a SIM."""
    return _text(sim.getImsi())


def iccid() -> str:
    """19 or 20 digits; empty without a SIM."""
    return _text(sim.getIccid())


def model() -> str:
    """The module's model, e.g. EC800E: uname()[1] is "nodename=…" (quecpython.md §1.6)."""
    return uos.uname()[1].split("=", 1)[-1]


def firmware() -> str:
    """The module's firmware version."""
    return _text(modem.getDevFwVersion())


def signal():
    """(rsrp dBm, rsrq dB, sinr dB or None) of the serving LTE cell, or None. 99 and 255 mean unknown (§3.1)."""
    found = net.getSignal(1)
    if found == -1:
        return None
    lte = found[1]
    rsrp, rsrq = lte[1], lte[2]
    if rsrp in (99, 255, 0):
        return None
    return rsrp, rsrq, lte[4] if len(lte) > 4 and lte[4] != 255 else None


def serving():
    """{"cid": int, "tac": int, "pci": int, "earfcn": int, "mcc": int, "mnc": int} from AT+QENG="servingcell" (guide
    §6.1, ctwing.md §7.7), or None where there is no LTE cell. Quick, unlike `net.getCellInfo`, which blocks 3-5 s."""
    try:
        f = at.values('AT+QENG="servingcell"', "+QENG:")
        return {
            "mcc": int(f[4]),
            "mnc": int(f[5]),
            "cid": int(f[6], 16),
            "pci": int(f[7]),
            "earfcn": int(f[8]),
            "tac": int(f[12], 16),
        }
    except (NoModem, ValueError, IndexError):
        return None


def _text(value) -> str:
    return "" if value == -1 else value
