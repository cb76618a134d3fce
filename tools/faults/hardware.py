"""The module itself and what hangs on it: clock, flash, resets, USB, the AT channel, the meter."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tools.faults import act
from tools.faults.fault import Fault
from tools.faults.moment import when
from tools.plan import Plan
from tools.scenario import Run

KEPT = "readings and commands"
DAYS = 3 * 86400
WATCHDOG, NORMAL = 5, 1  # Power.powerDownReason() (quecpython.md §3.6)


def _no_nitz(plan: Plan) -> Plan:
    return replace(plan, carrier={**plan.carrier, "nitz": False})


def _jump(seconds: int) -> Callable[[Run], None]:
    return lambda run: act.jump_clock(run, seconds)


def _reset(how: str, reason: int) -> Callable[[Run], None]:
    """While a report waits for its acknowledgement."""
    return lambda run: when(run, ("uplink",), lambda run: act.reset(run, how, reason))


def _world(**state: Any) -> Callable[[Run], None]:
    return lambda run: act.world(run, **state)


def _usb(plugged: bool) -> Callable[[Run], None]:
    def strike(run: Run) -> None:
        act.world(run, usb=plugged)
        modem = act.radio(run)
        if modem is not None:
            modem.plug(plugged)

    return strike


FAULTS = (
    Fault("clock-never-set", "the network never tells the time", 0,
          KEPT + "; readings have no time, the platform's is all there is", plan=_no_nitz, first=0, last=0),
    Fault("clock-jumps-forward", "the clock goes three days ahead during sleep", 0, KEPT + "; times are the clock's",
          strike=_jump(DAYS), passing=True),
    Fault("clock-jumps-back", "the clock goes three days back during sleep", 0, KEPT + "; times are the clock's",
          strike=_jump(-DAYS), passing=True),
    Fault("flash-full", "the flash has no free block in one wake (error 28)", 0,
          "what is on flash; what could not be stored never got an id and is counted; a report whose removal could not "
          "be stored comes again under the same id", strike=act.fill_flash, heal=act.free_flash, wakes=5, passing=True),
    Fault("watchdog-in-a-wake", "the watchdog bites while a report waits for its acknowledgement", 0,
          KEPT + "; the report comes again under the same id", strike=_reset("watchdog", WATCHDOG), passing=True),
    Fault("restart-in-a-wake", "the module restarts while a report waits for its acknowledgement", 0,
          KEPT + "; the report comes again under the same id", strike=_reset("restart", NORMAL), passing=True),
    Fault("usb-plugged-in", "USB keeps the module from PSM in one wake", 0, KEPT,
          strike=_usb(True), heal=_usb(False), passing=True),
    Fault("at-errors", "every AT command is answered ERROR in one wake", 0, KEPT,
          strike=_world(at="error"), heal=_world(at=""), passing=True),
    Fault("at-silent", "no AT command is answered in one wake", 0, KEPT,
          strike=_world(at="silent"), heal=_world(at=""), passing=True),
    Fault("meter-mute", "the meter does not answer in one wake", 0,
          KEPT + "; a reading without an answer is not taken and counted; a command is answered \"failed\"",
          strike=lambda run: act.meter(run, mute=True), heal=lambda run: act.meter(run, mute=False), passing=True),
)
