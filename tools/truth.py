"""What the world did to a run, as far as it excuses the device: clock, flash, resets, the meter's line, the data call.

From the world's own events, never from what the device says."""

from bisect import bisect_right

from tools.scenario import Given, Run, Wake

RESETS = ("cut", "watchdog", "restart")
LANDING = 10.0
"""Seconds within which a datagram that was let go has landed, or nowhere."""


class Truth:
    """Read once per run; asked many times."""

    def __init__(self, run: Run) -> None:
        self._events = run.events
        self.told = self.times("clock", "told")
        self.mute = self.times("mute")
        self.resets = self.times("power", *RESETS)
        self.full = self.times("flash", "full")
        self._clock, ahead = [(0.0, 0)], 0
        for event in run.events.of("clock"):
            ahead = 0 if event.text == "told" else ahead + event.data["seconds"]
            self._clock.append((event.t, ahead))
        self._flash = [(0.0, False)] + [(event.t, event.text == "full") for event in run.events.of("flash")]
        self._call = [(0.0, False)] + [
            (event.t, event.kind == "pdp" and event.text == "up") for event in run.events.of("pdp", "power")
        ]

    def times(self, kind: str, *texts: str) -> list[float]:
        """When something happened."""
        return [event.t for event in self._events.of(kind) if not texts or event.text in texts]

    def clock_error(self, t: float) -> int:
        """Seconds by which the module's clock was ahead at a time: it jumps, and the network sets it right."""
        return _at(self._clock, t)

    def flash_refused(self, t: float) -> bool:
        """Whether the world had filled the flash at that time."""
        return _at(self._flash, t)

    def connected(self, wake: Wake) -> bool:
        """Whether the module had a data call at any time of the wake."""
        return _at(self._call, wake.began) or any(up and wake.began <= t <= wake.ended for t, up in self._call)

    def stranded(self, raw: bytes) -> list[float]:
        """When such a datagram came to nobody: NAT, address or socket were gone."""
        return [event.t for event in self._events.of("dropped", "unreached") if event.data.get("raw") == raw]

    def stopped(self, given: Given, answered: float) -> bool:
        """Whether the world kept the device from carrying a command out before its answer came: the meter's line was
        cut, the power went, the flash refused."""
        saved = next(event.t for event in self._events.of("command-saved") if event.data["command"] == given.command)
        return any(saved <= t <= answered for t in self.mute + self.resets + self.full)


def _at(steps: list, t: float):
    """The value in force at a time, of [(since, value), ...]."""
    return steps[bisect_right(steps, t, key=lambda step: step[0]) - 1][1]
