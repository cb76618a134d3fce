"""The port for unsolicited result codes, as an AT host would see it: events of kind "urc". `atcmd.sendSync` never shows
one (quecpython.md §3.12); whoever replays the guide's transcripts reads them here."""

from tools.module.board import Board
from tools.world.events import Event


class Urcs:
    """`say` shows one. What follows the radio is shown where it was asked for: `cscon` by AT+CSCON=1, `psm` by
    AT+QCFG="URC/PSM",1 (guide §6.1)."""

    def __init__(self, board: Board) -> None:
        self.board = board
        self.cscon = self.psm = 0
        self._asleep = False  # the modem side is in PSM while the CPU is on
        board.events.listeners.append(self._heard)
        board.on_power_off.append(self._power_off)
        self.say("RDY")

    def say(self, text: str) -> None:
        self.board.events.emit("module", "urc", text)

    def soon(self, *texts: str) -> None:
        """After the OK of the command at hand; 20 ms is an estimate."""
        for text in texts:
            self.board.later(0.02, self.say, text)

    def wake(self) -> None:
        """Something is to be sent: PSM ends."""
        if self._asleep:
            self._asleep = False
            self.say("+QIND: EXIT PSM")

    def _heard(self, event: Event) -> None:
        if event.who != "module":
            return
        if event.kind == "sim" and event.text == "ready":
            for text in ("+CFUN: 1", "+CPIN: READY", "+QUSIM: 1", "+QIND: SMS DONE", "+QIND: PB DONE"):
                self.say(text)
        elif event.kind == "rrc":
            connected = event.text == "connected"
            if connected:
                self.wake()
            if self.cscon:
                self.say(f"+CSCON: {int(connected)}")
            if not connected and self.psm and self.board.radio.granted is not None:
                self.board.later(self.board.radio.granted.active_s + 0.001, self._enter)

    def _enter(self) -> None:
        """T3324 has ended: the modem side is in PSM, whatever keeps the CPU on (TS 24.301 §5.3.11)."""
        if not self._asleep and self.board.radio.registered and not self.board.radio.reachable:
            self._asleep = True
            self.say("+QIND: ENTER PSM")

    def _power_off(self) -> None:
        self.board.events.unlisten(self._heard)
