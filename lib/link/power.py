"""Sleep: enhanced sleep (fast release of the radio connection) and PSM. What is asked for and what is granted are two
things and are told apart (quecpython.md §4.2)."""

import pm
from micropython import const

from link import at, gprs_timer
from link.fault import NoModem

_RELEASE_TRIES = const(3)  # guide §6.1: at most three, then leave it to the network
_RELEASE_WAIT = const(3000)  # ms: guide §6.1: "+CSCON: 0" comes within 2-3 s
_RELEASE_POLL = const(250)  # ms between looks; there is no URC to wait for (quecpython.md §3.12)


class Power:
    """One module's power. `clock` is link.clock.Clock. `granted` is (T3412 s, T3324 s) as the network gave them, None
    while unknown; `released` tells whether the radio connection was seen to end, None where the module cannot say;
    `awake`: no sleep at all, by setting, as where there are mains."""

    def __init__(self, clock) -> None:
        self._clock = clock
        self._lock = -1
        self.granted = None  # type: tuple | None
        self.released = None
        self.awake = False

    def has_psm(self) -> bool:
        """Whether this module can power down in PSM at all: some families cannot (quecpython.md §0)."""
        return hasattr(pm, "set_psm_time")

    def ask(self, interval: int, active: int):
        """Asks for PSM with a periodic update (T3412) after `interval` s and an active time (T3324) of `active` s.
        Returns the (T3412 s, T3324 s) asked for, rounded up to what the timers can say, or None where the modem
        refuses.

        Setting writes the modem's NV memory (quecpython.md §4.2), so it is done only where it differs."""
        tau = gprs_timer.encode(gprs_timer.T3412_UNITS, interval)
        act = gprs_timer.encode(gprs_timer.T3324_UNITS, active)
        wanted = [1, tau[0], tau[1], act[0], act[1]]
        if pm.get_psm_time() != wanted and not pm.set_psm_time(*wanted[1:]):
            return None
        return tau[2], act[2]

    def decline(self) -> None:
        """No PSM. What was asked for before is in the modem's NV memory and would take the power in light sleep."""
        asked = pm.get_psm_time() if self.has_psm() else None
        if asked and asked[0]:
            pm.set_psm_time(0)

    def read_grant(self):
        """(T3412 s, T3324 s) as the network granted them, None where it did not, False where the module cannot say."""
        self.granted = None
        if hasattr(pm, "get_psm_netinfo"):
            info = pm.get_psm_netinfo()
            if info != -1 and info[0]:
                self.granted = (info[1], info[2])
            return self.granted
        try:
            at.send("AT+CEREG=4")
            fields = at.values("AT+CEREG?", "+CEREG:")
            # n, stat, tac, ci, AcT, cause type, reject cause, active time, periodic TAU (TS 27.007 §10.1.22)
            active = gprs_timer.decode(gprs_timer.T3324_UNITS, fields[7])
            interval = gprs_timer.decode(gprs_timer.T3412_UNITS, fields[8])
        except NoModem:
            return False
        except (IndexError, ValueError):
            return None
        if active is not None and interval is not None:
            self.granted = (interval, active)
        return self.granted

    def arm(self) -> bool:
        """Arms enhanced sleep before the last datagram: 1 s after the last traffic the module asks the network to
        release the connection (`AT+QSCLKEX=1,1,30`, guide §6.1). It needs autosleep. False where the module has no such
        command. Where there is a call for it, that is taken (quecpython.md §4.3)."""
        if self.awake:
            return False
        pm.autosleep(1)
        if hasattr(pm, "sclkEx_set"):
            return pm.sclkEx_set(1, 1, 30) == 0
        try:
            at.send("AT+QSCLKEX=1,1,30")
        except NoModem:
            return False
        return True

    def hold(self) -> None:
        """No sleep until `doze`: PSM would take the power while a handler waits, or in an exchange whose
        retransmissions outlast T3324."""
        if self._lock < 0:
            self._lock = pm.create_wakelock("cycle", 5)
        if self._lock >= 0:
            pm.wakelock_lock(self._lock)

    def doze(self) -> None:
        """The module may sleep whenever the application waits; without it there is no PSM either (quecpython.md §4.2).
        Not kept over power-off."""
        pm.autosleep(0 if self.awake else 1)
        if self._lock >= 0:
            pm.wakelock_unlock(self._lock)

    def release(self, pause) -> int:
        """Looks for the end of the connection and asks again if it does not come, three times with `arm`'s. Between two
        looks `pause(ms)` waits, or returns True: something is to be done first. Returns the number of tries that were
        needed; 0 where it never came or the module cannot say (the network will end it by itself, 10-20 s) or stays
        awake; -1 where `pause` broke it off."""
        if self.awake:
            return 0
        for attempt in range(1, _RELEASE_TRIES + 1):
            until = self._clock.now() + _RELEASE_WAIT
            while self._clock.now() < until:
                self.released = self._idle()
                if self.released is None:
                    return 0
                if self.released:
                    return attempt
                if pause(_RELEASE_POLL):
                    return -1
            if attempt == _RELEASE_TRIES or not self.arm():
                break
        return 0

    def _idle(self):
        try:
            return at.values("AT+CSCON?", "+CSCON:")[1] == "0"
        except (NoModem, IndexError):
            return None
