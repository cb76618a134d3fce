"""`osTimer`: a class registered as a module: `import osTimer; t = osTimer()` (quecpython.md §3.8)."""

from asyncio import TimerHandle

from tools.module.board import Board, Firmware, Thing


class OsTimer(Thing):
    """start(ms, cyclic, cb), stop(), delete_timer(): 0, or -1 after deletion or for bad arguments (the latter
    inferred). cb(None)."""

    def __init__(self, board: Board) -> None:
        super().__init__(board)
        self._timer: TimerHandle | None = None
        self._deleted = False

    def start(self, ms: int, cyclic: int, callback: int | None) -> int:
        """A timer that runs is started anew."""
        if self._deleted or type(ms) is not int or ms <= 0 or cyclic not in (0, 1) or callback is None:
            return -1
        self.stop()
        self._timer = self.board.later(ms / 1000, self._fire, ms / 1000, cyclic, callback)
        return 0

    def stop(self) -> int:
        if self._deleted:
            return -1
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return 0

    def delete_timer(self) -> int:
        if self._deleted:
            return -1
        self.stop()
        self._deleted = True
        return 0

    def _fire(self, seconds: float, cyclic: int, callback: int) -> None:
        self._timer = self.board.later(seconds, self._fire, seconds, cyclic, callback) if cyclic else None
        self.board.call_back(callback, None)


class OsTimerModule(Firmware):
    NAME = "osTimer"
    CLASSES = {"osTimer": OsTimer}
    MODULE_IS_CLASS = "osTimer"
