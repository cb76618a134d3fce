"""THE USER'S FILE: what this product measures and what each command does. Here: a water meter.

The meter's own controller counts and drives the valve; it is asked over UART1, one line each way.
"""

import utime
from machine import UART
from misc import Power

from device import settings
from device.commands import Failed, between, command, one_of
from device.readings import SIGNAL_REPORT, days, dropped, hours, reading
from link import cell
from store.record import Record


class Meter:
    """The meter's controller. `ask` sends a line and returns the answer's line within half a second."""

    def __init__(self) -> None:
        self._uart = UART(UART.UART1, 9600, 8, 0, 1, 0)

    def ask(self, line: str) -> str:
        self._take()  # an answer that came too late would be taken for this one's
        self._uart.write(line.encode() + b"\r\n")
        answer = b""
        for _ in range(10):
            utime.sleep_ms(50)
            answer += self._take()
            if answer.endswith(b"\n"):
                return answer.decode().strip()
        raise Failed("the meter does not answer")

    def _take(self) -> bytes:
        count = self._uart.any()
        return self._uart.read(count) if count else b""


meter = Meter()
kept = Record("/usr/state/app.rec")  # PSM keeps no RAM: what must outlive sleep is saved


@reading("water_flow", digits=3)
def total_flow():
    """Cubic metres since installation."""
    return int(meter.ask("READ").split(",")[2]) / 1000


@reading("battery_voltage", every=days(1), digits=3)
def battery():
    """Volts."""
    return Power.getVbatt() / 1000


@reading("dropped", every=days(1))
def lost():
    """Reports that found no room while the platform was out of reach; nothing as a rule."""
    return dropped() or None


@reading("rsrp", "sinr", every=hours(12), service=SIGNAL_REPORT)
def signal():
    """dBm and dB of the serving cell."""
    found = cell.signal()
    return None if found is None else (found[0], found[2])


@command(8001, valve_onoff=one_of(0, 1))
def valve(valve_onoff):
    """Opens (1) or closes (0) the valve; closing must be allowed (8006)."""
    if not valve_onoff and not (kept.load() or {"valve_off": 1})["valve_off"]:
        raise Failed("closing is not enabled")
    if meter.ask("VALVE,%d" % valve_onoff) != "OK":
        raise Failed("the valve is stuck")
    return {"valve_onoff": valve_onoff}


@command(8004, frozen_period=between(1, 24))
def period(frozen_period):
    """Hours between reports."""
    settings.change("report.interval", hours(frozen_period))
    return {"frozen_period": frozen_period}


@command(8006, valveoff_enable=one_of(0, 1))
def enable(valveoff_enable):
    """Whether the valve may be closed."""
    kept.save({"valve_off": valveoff_enable})
    return {"valveoff_enable": valveoff_enable}
