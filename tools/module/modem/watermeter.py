"""The world's water meter: a small computer of its own on UART1, counting litres on its own battery.

Its line protocol is **ours**, made for this simulation; real meters speak CJ/T 188 or Modbus. ASCII, one line each way:

    READ       -> FLOW,<n>,<litres>     n counts the samples it has handed out, litres are a whole number that grows
    VALVE,0/1  -> OK                    0 closes, 1 opens; ERR when the valve is stuck
    else       -> ERR

Every sample it hands out and every move of its valve is an event: the truth that a checker compares with.
"""

import random
from collections.abc import Callable
from typing import Any

from tools.module.board import Board

HOUR_US = 3_600_000_000
LITRES_PER_HOUR = (4, 90)
"""A household's draw in one hour, least and greatest: an estimate. The rate of each hour is drawn from the seed."""

ANSWER_MS = (18, 22)
"""Until the answer is there: around 20 ms, of the order of a line at 9600 baud."""

LONGEST_LINE = 32


class WaterMeter:
    """State is in `nv.values["watermeter"]`: the module's power is not the meter's. Set `stuck` there to jam the valve,
    `mute` to cut its line.

    `drawn` counts litre-microseconds per hour so that totals are exact however often they are read.
    """

    def __init__(self, board: Board) -> None:
        self.board = board
        self.send: Callable[[bytes], None] = lambda line: None
        self._line = b""
        self.state: dict[str, Any] = board.nv.values.get("watermeter") or self._installed()
        board.nv.values["watermeter"] = self.state
        self._rng = random.Random(board.rng.getrandbits(64))

    def _installed(self) -> dict[str, Any]:
        seed = self.board.rng.getrandbits(32)
        litres = random.Random(seed).randint(10_000, 99_999)
        return {"seed": seed, "since_us": self.board.loop.now_us, "drawn": litres * HOUR_US, "told": 0, "n": 0,
                "valve": 1, "stuck": False, "mute": False}

    def receive(self, data: bytes) -> None:
        """Bytes from the module; the answer to each full line comes by `send` a little later."""
        *lines, rest = (self._line + data).split(b"\n")
        self._line = rest if len(rest) <= LONGEST_LINE else b""
        for line in lines:
            self.board.later(self._rng.randint(*ANSWER_MS) / 1000, self._answer, line.rstrip(b"\r"))

    def _answer(self, line: bytes) -> None:
        if self.state["mute"]:
            self.board.events.emit("module", "mute", line.decode(errors="replace"))
        elif line == b"READ":
            self.send(b"FLOW,%d,%d\r\n" % self.sample())
        elif line in (b"VALVE,0", b"VALVE,1") and not self.state["stuck"]:
            self.turn(int(line[-1:]))
            self.send(b"OK\r\n")
        else:
            self.send(b"ERR\r\n")

    def sample(self) -> tuple[int, int]:
        """(n, litres): hands out the next sample. Two samples are never alike while water flows."""
        state = self.state
        self._flow()
        litres = state["drawn"] // HOUR_US
        if litres <= state["told"] and state["valve"]:
            litres = state["told"] + 1
            state["drawn"] = litres * HOUR_US
        state["told"] = max(litres, state["told"])
        state["n"] += 1
        self.board.events.emit("module", "sensor", "flow", field="flow", value=state["told"], n=state["n"])
        return state["n"], state["told"]

    def turn(self, valve: int) -> None:
        """Moves the valve; 0 stops the flow."""
        self._flow()
        self.state["valve"] = valve
        self.board.events.emit("module", "valve", "open" if valve else "closed", state=valve)

    def _flow(self) -> None:
        """Counts what has run through since the last look."""
        state, now = self.state, self.board.loop.now_us
        while state["since_us"] < now:
            hour = state["since_us"] // HOUR_US
            until = min(now, (hour + 1) * HOUR_US)
            if state["valve"]:
                rate = random.Random(f"{state['seed']}/{hour}").randint(*LITRES_PER_HOUR)
                state["drawn"] += rate * (until - state["since_us"])
            state["since_us"] = until
