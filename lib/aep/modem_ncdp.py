"""AT+NCDP and its group (quecpython.md §3.13, ctwing.md §2.9): the modem's LwM2M client for AEP, where an image has
these commands. Each of its ends can be polled: a report's by AT+QLWULDATASTATUS?.

The endpoint is the IMEI, there is no key and no Update. Downlinks are answered by the modem before we read them: one
that a power cut takes from its buffer is lost. So that none comes after the last look, the device deregisters before it
powers down; the platform keeps commands for the next registration.
"""

import ubinascii
from micropython import const

from aep.lwm2m_modem import FAILED, LEAVE_WAIT, READY, REFUSED, WAITING, taken, unhexed
from aep.session import ACKNOWLEDGED, HANDED_OVER, SessionLost, Silent
from link import at
from link.fault import NoModem

_ROOM = const(2048)
_PAUSE = const(200)  # ms between two looks
# AT+NMSTATUS?: registered or on the way, then refused, then given up; anything else is on the way (§3.14)
_REGISTERED = ("REGISTERED", "REGISTERED_AND_OBSERVED", "MO_DATA_ENABLED")
_REFUSED = ("REJECTED_BY_SERVER", "REG_FAILED")
_FAILED = ("TIMEOUT", "TIMEOUT_AND_RETRYING", "DEREGISTERED", "NO_UE_IP")
_ON_THE_WAY = ("0", "1")  # AT+QLWULDATASTATUS?: not sent, sent
_UNCONFIRMED = ("0x0000", "0x0001", "0x0010")  # AT+QLWULDATAEX, by lwm2m.rai; CON has one release, after the answer
_GOOD = "4"
_RESET = "5"
_SEQUENCES = const(255)
_LEFT_WAIT = const(12000)  # ms until another registration may begin: two repeats of the deregistration are inside
_MOST = const(16)  # answers to one look that are no downlink


class Client:
    """One registration by these commands. `registered` once the platform has answered, whether it observes or not."""

    closes = True
    updates = False
    names = False
    sequence = 0  # of the last report of this power-on: what the modem says of it is not said of the next

    def __init__(self, settings: dict, device, clock) -> None:
        self._settings = settings
        self._device = device
        self._clock = clock
        self._room = bytearray(_ROOM)
        self.registered = False

    def begin(self, until: int, host: str) -> None:
        """Configures and registers. Raises NoModem or Silent."""
        found = self._settings
        if found["security"] != "none" or self._device.endpoint != self._device.imei:
            raise NoModem("AT+NCDP has no key, and the IMEI for endpoint")
        if self._status() in _REGISTERED:
            self.leave(min(until, self._clock.now() + LEAVE_WAIT))
        for command in ("AT+QREGSWT=0", "AT+NNMI=0", 'AT+QCFG="LWM2M/Lifetime",%d' % found["lwm2m.lifetime"]):
            taken(command)
        at.send("AT+NCDP=%s,%d" % (host, found["server.port"]))
        end = min(until, self._clock.now() + _LEFT_WAIT)
        while not taken("AT+QLWSREGIND=0"):
            if self._clock.now() >= end:
                raise Silent("the modem begins no registration: no answer to the deregistration before?")
            self._clock.sleep(_PAUSE)

    def state(self) -> int:
        """WAITING, READY, REFUSED or FAILED."""
        status = self._status()
        self.registered = status in _REGISTERED
        if self.registered:
            return READY if status != _REGISTERED[0] else WAITING
        return REFUSED if status in _REFUSED else FAILED if status in _FAILED else WAITING

    def report(self, payload: bytes, confirmed: bool, until: int) -> int:
        """ACKNOWLEDGED once the poll says so. Raises SessionLost or Silent."""
        sequence = Client.sequence = Client.sequence % _SEQUENCES + 1
        data = ubinascii.hexlify(payload).decode()
        rai = self._settings["lwm2m.rai"]
        mode = ("0x0101,%d" if rai else "0x0100,%d") % sequence if confirmed else _UNCONFIRMED[rai]
        if not taken("AT+QLWULDATAEX=%d,%s,%s" % (len(payload), data, mode)):
            raise SessionLost("the modem takes no report: registered and observed?")
        if not confirmed:
            return HANDED_OVER
        while True:
            found = at.values("AT+QLWULDATASTATUS?", "+QLWULDATASTATUS")
            # Some say whose it is: that of the report before is none of this one's
            own = len(found) < 2 or found[1] == str(sequence)
            status = found[0] if own else _ON_THE_WAY[0]
            if status == _GOOD:
                return ACKNOWLEDGED
            if status == _RESET:
                raise SessionLost("reset in answer to a report")
            if status not in _ON_THE_WAY or self._clock.now() >= until:
                raise Silent("report not acknowledged")
            self._clock.sleep(_PAUSE)

    def update(self, lifetime: int) -> bool:
        """The group has none: the session registers."""
        return False

    def leave(self, until: int) -> None:
        """Deregisters, and waits for that as long as may be."""
        if taken("AT+QLWSREGIND=1"):
            while self._clock.now() < until and self._status() in _REGISTERED:
                self._clock.sleep(_PAUSE)
        self.registered = False

    def downlink(self):
        """[None, payload] of the oldest, None where there is none: length,hex. What is neither hides nothing."""
        for _ in range(_MOST):
            text = at.send("AT+NMGR", 5, self._room)
            if not text:
                break
            for line in text.split("\n"):
                fields = line[line.find(":") + 1 :].split(",")
                payload = unhexed(fields[1], fields[0]) if len(fields) == 2 else None
                if payload:
                    return [None, payload]
        return None

    def answer(self, which, good: bool) -> None:
        """The modem has answered already."""

    # -- inside ----------------------------------------------------------------------------------------------------

    def _status(self) -> str:
        return at.values("AT+NMSTATUS?", "+NMSTATUS")[0]
