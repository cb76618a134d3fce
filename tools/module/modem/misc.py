"""`misc`: power-off, reasons and the supply voltage (quecpython.md §3.6). EC800E's list has no `USB`."""

from tools.module.board import Board, Firmware, PowerOff, Thing

NEXT_REASON = {"psm": 8, "watchdog": 5, "cut": 3, "down": 1, "restart": 2}
"""`powerOnReason()` of the power-on that follows each end: 8 PSM wake-up, 5 watchdog, 3 VBAT, 1 PWRKEY (someone must
press it), and after `powerRestart` 2, RESET: an estimate, the table has no entry for it."""

FRESH_MV = 3650  # estimate: a lithium thionyl chloride cell, new, under light load
CELL_MC = 8_500 * 3600  # estimate: 8.5 Ah
SAG_MV = 250  # estimate: what it has lost when empty


class Power(Thing):
    """Called on the class: `Power.powerDown()`. The first two never return."""

    STATIC = True

    def __init__(self, board: Board) -> None:
        super().__init__(board)
        self._down_reason: int = board.nv.values.pop("down_reason", 0)

    async def powerDown(self) -> None:
        await self._leave("down")

    async def powerRestart(self) -> None:
        await self._leave("restart")

    def powerOnReason(self) -> int:
        """0 unknown, 1 PWRKEY, 2 RESET, 3 VBAT, 4 RTC, 5 watchdog, 6 VBUS, 7 charger, 8 PSM wake-up, 9 dump."""
        return self.board.reason

    def powerDownReason(self) -> int:
        """0 unknown, 1 normal, 5 watchdog, … of the end before this power-on."""
        return self._down_reason

    def getVbatt(self) -> int:
        """Millivolt; every call is a measurement (+-2 mV, estimate)."""
        used = self.board.meter.report()["charge_mc"]
        value = FRESH_MV - round(SAG_MV * min(1.0, used / CELL_MC)) + self.board.rng.randint(-2, 2)
        self.board.events.emit("module", "sensor", "battery", field="battery", value=value)
        return value

    async def _leave(self, how: str) -> None:
        radio = self.board.radio
        if radio.registered:
            await radio.work(radio.rng.randint(*radio.carrier.detach_ms) / 1000)
            radio.detach()
        self.board.nv.values["down_reason"] = 1
        raise PowerOff(how)


class Misc(Firmware):
    NAME = "misc"
    CLASSES = {"Power": Power}
