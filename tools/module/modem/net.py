"""`net`: registration, signal, cell, CFUN (quecpython.md §3.1)."""

import random
from typing import Any

from tools.module.board import Board, Firmware

NO_SERVICE = [0, 0, 0, 10, 0, 0]  # [state, lac, cid, rat, reject, psc]; rat 10 = none
VOICE = 11  # what the doc's sample says of voice on a data-only module
E_UTRAN = 7
NOT_LTE = [99, 99, 255, 255]  # the first list on an LTE-only module


class Net(Firmware):
    """quecpython.md §3.1. EC800E is LTE only; `getCellInfo` reads the MCC's hex digits as decimal: 0x460 -> 1120."""

    NAME = "net"

    def __init__(self, board: Board) -> None:
        super().__init__(board)
        self._rng = random.Random(board.rng.getrandbits(64))

    # -- registration --------------------------------------------------------------------------------------------

    def getState(self) -> tuple[list[int], list[int]] | int:
        """-1 before the stack is up (taken as: before the SIM has been read)."""
        radio, cell = self.board.radio, self.board.radio.carrier.cell
        if self.board.sim.status == 18:
            return -1
        if not radio.registered:
            state = [radio.state, *NO_SERVICE[1:]]
            return (state, list(state))
        here = [cell.tac, cell.cell_id, E_UTRAN, 0, cell.pci]  # PCI in psc's place: inferred
        return ([VOICE, *here], [radio.state, *here])

    def setCallback(self, callback: int | None) -> int:
        """cb((1, status, lac, cid, act)) at each change of the data registration; 0."""
        self.board.radio.on_registration = callback
        return 0

    def operatorName(self) -> tuple[str, str, str, str] | int:
        carrier = self.board.radio.carrier
        if not self.board.radio.registered:
            return -1
        return (*carrier.operator, carrier.cell.mcc, carrier.cell.mnc)

    def nitzTime(self) -> tuple[str, int, int] | int:
        """(text, seconds, leap); delivered once, with the attach. A resumption from PSM brings none (inferred)."""
        return self.board.radio.nitz or -1

    def getConfig(self) -> tuple[int, bool]:
        """(5 = LTE only, roaming allowed)."""
        return (5, self.board.nv.values.get("roaming", False))

    def setConfig(self, mode: int, roaming: int | None = None) -> int:
        """LTE only. Roaming is kept in NV and read back, but keeps the module from no network here (both inferred)."""
        if mode != 5 or roaming not in (None, 0, 1):
            return -1
        if roaming is not None:
            self.board.nv.values["roaming"] = bool(roaming)
        return 0

    def getNetMode(self) -> tuple[int, str, str, int] | int:
        cell = self.board.radio.carrier.cell
        return (0, cell.mcc, cell.mnc, E_UTRAN) if self.board.radio.registered else -1

    def getModemFun(self) -> int:
        return self.board.radio.fun

    async def setModemFun(self, fun: int, rst: int = 0) -> int:
        """0 minimum, 1 full, 4 flight. `rst` 1 would restart the module first; it is accepted and ignored."""
        radio = self.board.radio
        if fun not in (0, 1, 4):
            return -1
        if fun != 1 and radio.registered:
            await radio.work(radio.rng.randint(*radio.carrier.detach_ms) / 1000)
        radio.set_fun(fun)
        return 0

    # -- signal --------------------------------------------------------------------------------------------------

    def csqQueryPoll(self) -> int:
        """0-31, 99 unknown (TS 27.007 §8.5: 2 dB steps from -113 dBm)."""
        if not self.board.radio.registered:
            return 99
        csq = min(31, max(0, (self._near(self.board.radio.carrier.cell.rssi, 3) + 113) // 2))
        self._sensed("csq", csq)
        return csq

    def getSignal(self, sinr: int = 0) -> tuple[list[int], list[int]]:
        """([rssi, ber, rscp, ecno], [rssi, rsrp, rsrq, cqi(, sinr)]) in dBm and dB; every call is a new measurement."""
        if not self.board.radio.registered:
            return (list(NOT_LTE), list(NOT_LTE) + [255] * bool(sinr))
        cell = self.board.radio.carrier.cell
        drift = self._rng.randint(-3, 3)  # rssi and rsrp move together; spread is an estimate
        lte = [cell.rssi + drift, cell.rsrp + drift, self._near(cell.rsrq, 1), self._rng.randint(7, 12)]
        for field, value in zip(("rssi", "rsrp", "rsrq"), lte, strict=False):
            self._sensed(field, value)
        if sinr:
            lte.append(self._near(cell.sinr, 2))
            self._sensed("sinr", lte[-1])
        return (list(NOT_LTE), lte)

    async def getCellInfo(self, sinr: int = 0) -> tuple[list, list, list] | int:
        """([], [], [(flag, cid, mcc, mnc, pci, tac, earfcn, rssi, rsrq(, sinr))]) or -1. Blocks 3-5 s; the rssi column
        is RSRP."""
        radio, cell = self.board.radio, self.board.radio.carrier.cell
        await radio.work(self._rng.randint(3000, 5000) / 1000)
        if not radio.registered:
            return -1
        row: tuple[Any, ...] = (0, cell.cell_id, self._odd_mcc(), int(cell.mnc), cell.pci, cell.tac, cell.earfcn,
                                self._near(cell.rsrp, 3), self._near(cell.rsrq, 1))
        return ([], [], [(*row, self._near(cell.sinr, 2)) if sinr else row])

    # -- serving cell and neighbours (the simulated network has no neighbours) -------------------------------------

    def getServingCi(self) -> int:
        return self._serving(self.board.radio.carrier.cell.cell_id)

    def getServingLac(self) -> int:
        return self._serving(self.board.radio.carrier.cell.tac)

    def getServingMnc(self) -> int:
        return self._serving(int(self.board.radio.carrier.cell.mnc))

    def getServingMcc(self) -> int:
        """May be 1120 for 460, as in `getCellInfo`."""
        return self._serving(self._odd_mcc())

    def getCi(self) -> list[int] | int:
        return self._listed(self.getServingCi())

    def getLac(self) -> list[int] | int:
        return self._listed(self.getServingLac())

    def getMnc(self) -> list[int] | int:
        return self._listed(self.getServingMnc())

    def getMcc(self) -> list[int] | int:
        return self._listed(self.getServingMcc())

    # -- optional builds: absent unless a profile lets them in -------------------------------------------------------

    def getT3412(self) -> str | int:
        """Granted periodic TAU as bits or seconds is unknown: seconds as text (estimate), or -1."""
        granted = self.board.radio.granted
        return str(granted.tau_s) if granted else -1

    def getT3324(self) -> str | int:
        """Granted active time, seconds as text (estimate), or -1."""
        granted = self.board.radio.granted
        return str(granted.active_s) if granted else -1

    def _odd_mcc(self) -> int:
        return int(self.board.radio.carrier.cell.mcc, 16 if self.board.profile.mcc_as_hex else 10)

    def _serving(self, value: int) -> int:
        return value if self.board.radio.registered else -1

    @staticmethod
    def _listed(value: int) -> list[int] | int:
        return -1 if value == -1 else [value]

    def _near(self, middle: int, spread: int) -> int:
        return middle + self._rng.randint(-spread, spread)

    def _sensed(self, field: str, value: int) -> None:
        """A measurement that the application has been given: the checker's truth."""
        self.board.events.emit("module", "sensor", field, field=field, value=value)
