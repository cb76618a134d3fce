"""`sim`: the card and what it says (quecpython.md §3.2). `SimCard` is the card, `Sim` the QuecPython module."""

from typing import Any

from tools.module.board import Board, Firmware

ABSENT, READY, PIN, PUK, INITIALISING, BLOCKED = 0, 1, 2, 3, 18, 19


class SimCard:
    """The card in the module. Put a world's card in by `nv.values["sim"]`: {"status", "pin", "puk"}; by default it is
    there and asks for no PIN. A "loose" card is not seen at power-on, but when CFUN 0 and 1 start it again."""

    def __init__(self, board: Board) -> None:
        self.board = board
        self.status = INITIALISING

    @property
    def card(self) -> dict[str, Any]:
        """What the card itself remembers: `asks` for its PIN at power-on, tries left."""
        card: dict[str, Any] = self.board.nv.values.setdefault("sim", {})
        for key, value in (("status", READY), ("pin", "1234"), ("puk", "12345678"), ("asks", False), ("left", 3)):
            card.setdefault(key, value)
        return card

    @property
    def ready(self) -> bool:
        return self.status == READY

    def started(self) -> None:
        """The module has read the card."""
        card = self.card
        self.status = ABSENT if card.get("loose") else card["status"]
        if self.status == READY and card["left"] == 0:
            self.status = PUK
        elif self.status == READY and card["asks"]:
            self.status = PIN

    def restarted(self) -> None:
        """CFUN 0 and 1 have taken its power for a moment; whether a card that was unlocked asks again is not known, so
        only one that was not there is looked for."""
        card = self.card
        if self.status == ABSENT:
            card["loose"] = False
            self.started()

    def removed(self) -> None:
        """It is taken out while the module is on."""
        self.status = ABSENT
        self.board.radio.lost_service()

    def check(self, pin: str) -> bool:
        """Three wrong PINs lock the card until its PUK is given (TS 31.101)."""
        card = self.card
        if self.status in (ABSENT, INITIALISING) or card["left"] == 0:
            return False
        if pin != card["pin"]:
            card["left"] -= 1
            if card["left"] == 0:
                self.status = PUK
            return False
        card["left"] = 3
        return True

    def unlock(self) -> None:
        """The card accepts commands now: the module looks for the network."""
        if self.status != READY:
            self.status = READY
            self.board.radio.search()


class Sim(Firmware):
    """quecpython.md §3.2: strings, or the int -1; 0 or -1. `getCurSimid`, `switchCard` are on _LD boards only."""

    NAME = "sim"

    def __init__(self, board: Board) -> None:
        super().__init__(board)
        self._detect = (0, 0)
        self._callback: int | None = None

    def getImsi(self) -> str | int:
        return self.board.identity.imsi if self.board.sim.ready else -1

    def getIccid(self) -> str | int:
        """Readable as soon as there is a card: the ICCID needs no PIN (TS 31.102 EF_ICCID)."""
        return self.board.identity.iccid if self.board.sim.status not in (ABSENT, INITIALISING) else -1

    def getPhoneNumber(self) -> str | int:
        """-1: cards for things seldom hold their number (inferred)."""
        return -1

    def getStatus(self) -> int:
        return self.board.sim.status

    def verifyPin(self, pin: str) -> int:
        if not self.board.sim.check(pin):
            return -1
        self.board.sim.unlock()
        return 0

    def enablePin(self, pin: str) -> int:
        return self._ask(pin, True)

    def disablePin(self, pin: str) -> int:
        return self._ask(pin, False)

    def changePin(self, old: str, new: str) -> int:
        if not self.board.sim.check(old):
            return -1
        self.board.sim.card["pin"] = new
        return 0

    def unblockPin(self, puk: str, new: str) -> int:
        card = self.board.sim.card
        if self.board.sim.status != PUK or puk != card["puk"]:
            return -1
        card["pin"], card["left"] = new, 3
        self.board.sim.unlock()
        return 0

    def setSimDet(self, enable: int, level: int) -> int:
        if enable not in (0, 1) or level not in (0, 1):
            return -1
        self._detect = (enable, level)
        return 0

    def getSimDet(self) -> tuple[int, int]:
        return self._detect

    def setCallback(self, callback: int | None) -> int:
        """cb(1) inserted, cb(2) removed; 0."""
        self._callback = callback
        return 0

    def _ask(self, pin: str, asks: bool) -> int:
        if not self.board.sim.check(pin):
            return -1
        self.board.sim.card["asks"] = asks
        return 0
