"""The charge a module draws: time in each power state, at the profile's mean current for it.

An integral over states, no waveform: it compares ways of working, it does not predict a battery's life. The time
between two power-ons counts too (`psm`, `off`). Totals live in `NonVolatile`, so they span the module's whole life.
"""

from typing import Any

STATES = ("boot", "searching", "connected", "idle", "sleep", "flight", "flight_sleep", "psm", "off")
"""boot: power to SIM ready · searching: no cell yet · connected: RRC connected, the attach included · idle: registered,
RRC idle, CPU awake · sleep: the same in autosleep · flight, flight_sleep: radio off · psm · off: power-down or cut."""


class Meter:
    """Integrates microseconds and charge per state. `enter` at every change of state."""

    def __init__(self, board: Any) -> None:
        self.board = board
        self.currents: dict[str, int] = board.profile.currents_ua
        fresh = {"state": "off", "since_us": board.loop.now_us, "us": {}, "ua_us": {}}
        self._kept: dict[str, Any] = board.nv.values.setdefault("meter", fresh)

    @property
    def state(self) -> str:
        return self._kept["state"]

    def enter(self, state: str) -> None:
        """The module is in `state` from now on."""
        self._settle()
        self._kept["state"] = state

    def _settle(self) -> None:
        kept, now = self._kept, self.board.loop.now_us
        state, spent = kept["state"], now - kept["since_us"]
        kept["since_us"] = now
        kept["us"][state] = kept["us"].get(state, 0) + spent
        # microampere x microseconds = 1e-9 mC, kept whole so that sums do not depend on their order
        kept["ua_us"][state] = kept["ua_us"].get(state, 0) + spent * self.currents[state]

    def shift(self, us: int, to: str) -> None:
        """So much of the present state's time was really spent in `to`."""
        self._settle()
        state = self._kept["state"]
        for name, part in ((state, -us), (to, us)):
            self._kept["us"][name] = self._kept["us"].get(name, 0) + part
            self._kept["ua_us"][name] = self._kept["ua_us"].get(name, 0) + part * self.currents[name]

    def us(self, state: str) -> int:
        """Microseconds spent in `state` so far."""
        self._settle()
        return self._kept["us"].get(state, 0)

    def report(self) -> dict[str, Any]:
        """Since the module was made: {"ms": {state: ms}, "mc": {state: mC}, "connected_ms": ms, "charge_mc": mC}."""
        self._settle()
        us, charge = self._kept["us"], self._kept["ua_us"]
        return {
            "ms": {state: us[state] // 1000 for state in STATES if state in us},
            "mc": {state: round(charge[state] / 1e9, 3) for state in STATES if state in charge},
            "connected_ms": us.get("connected", 0) // 1000,
            "charge_mc": round(sum(charge.values()) / 1e9, 3),
        }
