"""AT+QLW…, the LwM2M commands of the guide (§4.1.3, §4.1.4; ctwing.md §1.6), as far as they can be polled: OK means
that the modem has taken a command, the state is AT+QLWSTATUS?, and what the platform asks is read by AT+QLWRD.

The numbers of the state are in one header of Quectel's (quecpython.md §3.13). Where an image has others, the Observe
read by QLWRD still says that all is well, and a refused QLWNOTIFY that it is not.
"""

import ubinascii
from micropython import const

from aep.lwm2m_modem import FAILED, LEAVE_WAIT, READY, REFUSED, WAITING, taken, unhexed
from aep.session import HANDED_OVER, NotObserved, SessionLost
from link import at
from link.fault import NoModem

_REGISTERED = const(12)
_LEAVING = const(15)
_GONE = (13, 14, _LEAVING, 16)  # registration failed, no data call, deregistering, deregistered
_REJECTED = const(17)
_COMING = (2, 3, 4, 5, 6, 7, 11)  # data call, name, socket, handshake, Register
_ROOM = const(2048)  # bytes of an answer: the longest that atcmd gives, a downlink of 980 bytes in hex
_UNSEEN = const(3000)  # ms after registration in which an Observe would have shown; with auto_ack it may not
_REFUSED_WAIT = const(12000)  # ms for the answer to Register after the Observe: two repeats are inside
_SENDING = const(1000)  # ms in which the modem sends a report, radio connection and all; estimate
_PAUSE = const(200)  # ms between two looks at a client that ends
_CONTENT = '1,19,0,0,2,0,"",0'  # 2.05 without content: the platform might store what is there (guide §4.1.3.1)
_DONE, _MALFORMED = const(2), const(11)  # 2.04, 4.00 (ctwing.md §1.6)
_MOST = const(16)  # entries of the buffer that are read at once: more than any keeps


class Client:
    """One registration by these commands. `registered` once the platform has answered, whether it observes or not."""

    closes = False  # what nobody answers the platform keeps
    updates = True
    names = True  # it resolves a name by itself (guide §7)

    def __init__(self, settings: dict, device, clock) -> None:
        self._settings = settings
        self._device = device
        self._clock = clock
        self._room = bytearray(_ROOM)
        self._writes = []  # [mid, payload] read and not handed on
        self._since = 0  # clock ms at which it was first seen to be registered
        self.registered = False
        self.observed = False
        self._answers = False  # Observes, since the client does not by itself

    def begin(self, until: int, host: str) -> None:
        """Configures and registers: a client that is still registered deregisters first. Raises NoModem."""
        found = self._settings
        self.registered = self.observed = False
        if self._number() == _REGISTERED:
            self.leave(min(until, self._clock.now() + LEAVE_WAIT))
        self._read()
        self._writes = []  # of a registration that has ended: the platform gives them again
        taken('AT+QLWCFG="retransmit",%d,%d' % (max(2, found["lwm2m.ack_timeout"] // 1000), found["lwm2m.retries"]))
        taken('AT+QLWCFG="dtls_mode",0')
        self._answers = not taken('AT+QLWCFG="auto_ack",1')
        at.send('AT+QLWCFG="lifetime_enable",0')
        self._configure(host)
        taken("AT+QLWDELOBJ=19")
        at.send("AT+QLWADDOBJ=19,0,1,0")
        at.send("AT+QLWADDOBJ=19,1,1,0")
        self._register()

    def _configure(self, host: str) -> None:
        found = self._settings
        end = "3,0"  # the guide's plain form ends with one more 0, whatever it means
        if found["security"] == "psk":
            end = '0,"%s","%s"' % (found["psk_id"] or self._device.imei, hex_key(found))
        at.send('AT+QLWCONFIG=0,"%s",%d,"%s",%d,%s' % (
            host, found["server.port"], self._device.endpoint, found["lwm2m.lifetime"], end,
        ))  # fmt: skip

    def _register(self) -> None:
        if not taken("AT+QLWREG") and self._number() not in _COMING:  # one that is under way ends like ours
            raise NoModem("AT+QLWREG: ERROR")

    def state(self) -> int:
        """WAITING, READY, REFUSED or FAILED."""
        self._read()
        number = self._number()
        if number == _REJECTED:
            return REFUSED
        if number in _GONE:
            return FAILED
        if number == _REGISTERED or self.observed:
            self._seen()
        if self.observed:
            return READY
        return READY if self.registered and self._clock.now() - self._since >= _UNSEEN else WAITING

    def report(self, payload: bytes, confirmed: bool, until: int) -> int:
        """HANDED_OVER once the modem has taken it and, where it is `confirmed`, has had the time to send it or the
        platform has spoken since; after an Observe that overtook the answer to Register it may not take it at once.
        Raises SessionLost or NotObserved."""
        rai = self._settings["lwm2m.rai"]
        command = 'AT+QLWNOTIFY=19,0,0,2,%d,"%s",0,%d%s' % (
            len(payload), ubinascii.hexlify(payload).decode(), confirmed, ",%d" % rai if rai else "",
        )  # fmt: skip
        end = min(until, self._clock.now() + _REFUSED_WAIT)
        while not taken(command):
            if self._clock.now() >= end or self.state() not in (READY, WAITING):
                if self.registered and not self.observed:
                    raise NotObserved("the modem takes no report, and no Observe on 19/0/0 was seen")
                raise SessionLost("the modem takes no report: registered and observed?")
            self._clock.sleep(_PAUSE)
        waiting, end = len(self._writes), self._clock.now() + (_SENDING if confirmed else 0)
        while len(self._writes) == waiting and self._clock.now() < min(until, end):
            if self.state() not in (READY, WAITING):
                raise SessionLost("the registration is gone while a report is under way")
            self._clock.sleep(_PAUSE)
        return HANDED_OVER

    def update(self, lifetime: int) -> bool:
        """Whether the modem has taken it."""
        return taken("AT+QLWUPDATE=0,%d" % lifetime)

    def leave(self, until: int) -> None:
        """Deregisters, and waits for that as long as may be."""
        if taken("AT+QLWDEREG"):
            self._wait_gone(until)

    def _wait_gone(self, until: int) -> None:
        while self._clock.now() < until and self._number() in (_REGISTERED, _LEAVING):
            self._clock.sleep(_PAUSE)
        self.registered = self.observed = False

    def downlink(self):
        """[what `answer` wants, payload] of the oldest write, None where there is none."""
        if not self._writes:
            self._read()
        return self._writes.pop(0) if self._writes else None

    def answer(self, mid: int, good: bool) -> None:
        """2.04 or 4.00; where the platform has given up meanwhile, it asks again."""
        taken("AT+QLWWRRSP=%d,%d" % (mid, _DONE if good else _MALFORMED))

    def _seen(self) -> None:
        """Registered."""
        if not self.registered:
            self.registered = True
            self._since = self._clock.now()

    # -- inside ----------------------------------------------------------------------------------------------------

    def _read(self) -> None:
        """What waits in the modem's buffer: it ends with ERROR (guide §4.1.4.2), or nothing. Raises NoModem."""
        for _ in range(_MOST):
            try:
                text = at.send("AT+QLWRD", 5, self._room)
            except NoModem as fault:
                if "ERROR" in str(fault):
                    return
                raise
            if not text:
                return
            for line in text.split("\n"):
                if line.startswith("+QLWRD:"):
                    self._take([field.strip(' "') for field in line[7:].split(",")])

    def _take(self, fields: list) -> None:
        """left,"observe",mid,flag,19,0,0 or left,"write",mid,19,1,0,2,length,hex,index. Anything else is not for us;
        the index is missing where atcmd's buffer was too short."""
        kind = fields[1] if len(fields) > 6 else ""
        if kind == "observe" and fields[4:7] == ["19", "0", "0"]:
            self.observed = fields[3] == "0"
            if self.observed and self._answers and fields[2].isdigit():
                taken("AT+QLWOBSRSP=%s,%s" % (fields[2], _CONTENT))
        elif kind == "write" and fields[3:7] == ["19", "1", "0", "2"] and 9 <= len(fields) <= 10:
            payload = unhexed(fields[8], fields[7])
            if payload is not None and fields[2].isdigit():
                self._writes.append([int(fields[2]), payload])

    def _number(self) -> int:
        """AT+QLWSTATUS?, -1 where the image has no such command, or answers otherwise."""
        try:
            return int(at.values("AT+QLWSTATUS?", "+QLWSTATUS")[0])
        except ValueError:
            return -1
        except NoModem as fault:
            if "timeout" in str(fault):
                raise
            return -1


def hex_key(settings: dict) -> str:
    """The key as the command wants it: a text's bytes in hex (guide §4.1.3.2)."""
    return settings["psk_hex"] or ubinascii.hexlify(settings["psk"].encode()).decode()
