"""What happened, in the order it happened: the list that timeline, checkers and tests read."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Event:
    """One fact. `t` is Unix seconds of the world; `who` is module, app, network or aep; `kind` is a stable word."""

    t: float
    who: str
    kind: str
    text: str
    data: dict[str, Any] = field(default_factory=dict)


class Events:
    """A list of events with listeners; `emit` stamps them with the world's time."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self.log: list[Event] = []
        self.listeners: list[Callable[[Event], None]] = []

    def emit(self, who: str, kind: str, text: str = "", **data: Any) -> Event:
        event = Event(self._now(), who, kind, text, data)
        self.log.append(event)
        for listener in list(self.listeners):
            listener(event)
        return event

    def unlisten(self, listener: Callable[[Event], None]) -> None:
        """Takes a listener away, where it still is one."""
        if listener in self.listeners:
            self.listeners.remove(listener)

    def of(self, *kinds: str) -> list[Event]:
        """Events of these kinds, oldest first."""
        return [event for event in self.log if event.kind in kinds]
