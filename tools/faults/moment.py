"""Moments in the midst of a wake: something is done when something has happened."""

from collections.abc import Callable

from tools.scenario import Run
from tools.world.events import Event


def when(run: Run, kinds: tuple[str, ...], act: Callable[[Run], None], delay: float = 0.0) -> None:
    """Does `act`, once, `delay` seconds after the next event of one of these kinds; it runs on the world's loop, not
    inside what has caused the event."""

    def listen(event: Event) -> None:
        if event.kind in kinds:
            run.events.unlisten(listen)
            run.aep.loop.call_later(delay, act, run)

    run.events.listeners.append(listen)
