"""Small stand-ins for what a room of lib/device leans on, each a few lines and no more than the contract says."""

import copy
from typing import Any


class Memory:
    """A store.record.Record without flash. `saves` counts; `fails` makes the next saves raise OSError(28)."""

    def __init__(self, value: Any = None) -> None:
        self.value, self.saves, self.fails = value, 0, False

    def load(self) -> Any:
        return copy.deepcopy(self.value)

    def save(self, value: dict) -> None:
        if self.fails:
            raise OSError(28)
        self.value, self.saves = copy.deepcopy(value), self.saves + 1

    def remove(self) -> None:
        self.value = None


class Health:
    """device.health.Health without a log: `counters`, `errors`, and `noted` events as (code, value)."""

    def __init__(self) -> None:
        self.counters: dict[str, int] = {}
        self.errors: list[Exception] = []
        self.noted: list[tuple[int, int]] = []

    def note(self, code: int, value: int = 0) -> None:
        self.noted.append((code, value))

    def count(self, name: str) -> None:
        self.counters[name] = self.counters.get(name, 0) + 1

    def failed(self, what: str, which: str, error: Exception) -> None:
        self.count(what + "_failed")
        self.errors.append(error)

    def faulted(self, fault: Any) -> None:
        self.count("fault_%d" % fault.code)

    def write(self, record: Any, value: dict, what: str) -> None:
        try:
            record.save(value)
        except OSError as error:
            self.failed("flash", what, error)


class Journal:
    """store.journal.Journal without flash: what was noted, and (boot, time) of each flush."""

    def __init__(self) -> None:
        self.noted: list[tuple[int, int]] = []
        self.flushed: list[tuple[int, int]] = []

    def note(self, code: int, value: int = 0) -> None:
        self.noted.append((code, value))

    def flush(self, boot: int, when: int) -> bool:
        self.flushed.append((boot, when))
        return True


class Ticks:
    """link.clock.Clock under the test's hand: ms since power-on, Unix time or 0, and what passed while it slept."""

    def __init__(self, unix: int = 0) -> None:
        self.ms, self.base, self.slept = 0, unix, 0

    def now(self) -> int:
        return self.ms

    def unix(self) -> int:
        return self.base + self.ms // 1000 if self.base else 0

    def sleep(self, milliseconds: int) -> None:
        assert milliseconds > 0
        self.ms += milliseconds
        self.slept += milliseconds
