"""The recovery ladder: dial again, radio off and on, restart of the module. Loaded only where there is no link.

Each step is counted on flash before it is taken, so that a device whose supply breaks down under it, or that is
restarted by it, still keeps the cap per hour.
"""

import dataCall
import net
from micropython import const

from link.attach import CALL, HALF, PROFILE
from store.shape import shaped

REDIAL, RADIO, RESTART = "redial", "radio", "restart"
_CAPS = {REDIAL: 6, RADIO: 3, RESTART: 1}  # per hour; estimate: each costs a search of the network at most
_HOUR = const(3600)
_THIRD, _TWO_THIRDS = const(85), const(170)  # of an attach's time, in 1/256
_OFF = const(2000)  # ms with the radio off; estimate: the SIM loses its power


class Ladder:
    """`record` (store.record.Record) keeps what was taken in this hour. `taken` counts the steps since power-on."""

    def __init__(self, record, clock) -> None:
        self._record = record
        self._clock = clock
        self._steps = {}
        self.taken = {}

    def help(self, stage: int, part: int) -> bool:
        """Takes the next step where its time has come, each once in an attach: after a third of the time a data call
        is dialled again, after half a SIM or a registration gets the radio off and on, after two thirds a data call
        too."""
        if stage == CALL and part >= _THIRD and REDIAL not in self._steps:
            return self._step(REDIAL, redial)
        if part >= (_TWO_THIRDS if stage == CALL else HALF) and RADIO not in self._steps:
            return self._step(RADIO, self._radio)
        return False

    def may(self, step: str) -> bool:
        """Counts a step, durably, before it is taken. False where the hour's cap is reached or the flash refuses."""
        now = self._clock.unix()
        saved = shaped(self._record.load(), {"n": {}, "since": 0})
        counts, since = saved["n"], saved["since"]
        # Without the time of day the hour is one since power-on: rather too few steps than too many.
        over = not 0 <= now - since < _HOUR if now and since else self._clock.now() > 1000 * _HOUR
        if over or not counts:
            counts, since = {}, now
        counts = shaped(counts, {REDIAL: 0, RADIO: 0, RESTART: 0})
        if counts[step] >= _CAPS[step]:
            return False
        counts[step] += 1
        try:
            self._record.save({"n": counts, "since": since})
        except OSError:
            return False
        return True

    def _step(self, step: str, act) -> bool:
        self._steps[step] = 1
        if not self.may(step):
            return False
        self.taken[step] = self.taken.get(step, 0) + 1
        act()
        return True

    def _radio(self) -> None:
        net.setModemFun(0)
        self._clock.sleep(_OFF)
        net.setModemFun(1)


def redial() -> None:
    """Dials once more, under the stored context. Older images know only `start` (quecpython.md §3.3)."""
    if hasattr(dataCall, "activate"):
        dataCall.deactivate(PROFILE)
        dataCall.activate(PROFILE)
        return
    context = dataCall.getPDPContext(PROFILE)
    dataCall.start(PROFILE, *(() if context == -1 else context))
