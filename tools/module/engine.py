"""What both engines share: the calls that are the engine's own, and what happens when the application ends.

An engine runs `/usr/main.py` on a `Board`. Calls of QuecPython's modules go to the board. Names that begin with "!" are
the engine's own: text for the console, an uncaught exception, a power cut, threads and their locks, the idle REPL.

Threads wait for the firmware side by side but never compute at the same time: the host answers one of them, which then
runs to its next call before the host does anything else. So a run of a seed is the same in both engines.
"""

import asyncio
import contextvars
from pathlib import Path
from typing import Any

from tools.module.board import Board, PowerOff
from tools.module.flash import Flash

FROZEN = Path(__file__).parent / "vm" / "frozen"
"""Python that the firmware carries inside (quecpython.md §1.3); both engines run the same files."""

FROZEN_MODULES = ("log", "hashlib")
"""Frozen modules that the application can import; the other files there are the engines' own."""

MAIN = 1
"""The thread of main.py, by its id."""

present: contextvars.ContextVar[int] = contextvars.ContextVar("thread", default=MAIN)
"""The thread whose call is being served."""

THREADS = 16
"""Threads at once, the main one among them (quecpython.md §1.5; whether it counts: inferred)."""

ENOMEM = 12
"""What refuses one more thread (the documentation says "exception" only: inferred)."""

ERRNO = {
    "EPERM": 1, "ENOENT": 2, "EIO": 5, "EAGAIN": 11, "ENOMEM": 12, "EEXIST": 17, "ENODEV": 19, "EINVAL": 22,
    "EOPNOTSUPP": 95, "ECONNABORTED": 103, "ECONNRESET": 104, "ENOTCONN": 107, "ETIMEDOUT": 110, "ECONNREFUSED": 111,
    "EHOSTUNREACH": 113, "EALREADY": 114, "EINPROGRESS": 115,
}
"""uerrno: Linux's numbers on every host (quecpython.md §1.2)."""

USYS = {
    "version": "3.4.0", "implementation": ("micropython", (1, 13, 0)), "byteorder": "little", "platform": "quecpython",
    "maxsize": 0x7FFFFFFF,
}
"""usys's constants; what a real image says is unknown (quecpython.md §8)."""

REPL_END = "main.py returned"


class HostError(Exception):
    """The simulation itself is broken (a VM that died, a call that a stand-in cannot serve): the run must end."""


class Engine:
    """Base of both engines. `run` never returns: it raises PowerOff when the power goes, and any other exception is a
    defect of the simulation."""

    def __init__(self, board: Board, flash: Flash, *, cut_at_program: int | None = None) -> None:
        self.board, self.flash, self.cut_at_program = board, flash, cut_at_program
        self._lines = {"stdout": "", "stderr": ""}
        self._threads: dict[int, asyncio.Task[None]] = {}  # those that live, without the main one
        self._started = MAIN  # the last id given
        self._released = 0  # locks given back for which a thread waited

    def surface(self) -> dict[str, Any]:
        """The firmware's surface with what needs no behaviour: uerrno, and `uos` for its file functions."""
        empty = {"functions": [], "constants": {}, "classes": {}, "is_class": ""}
        return {"uos": empty, **self.board.surface(), "uerrno": {**empty, "constants": ERRNO}}

    @property
    def programs(self) -> int:
        """Flash programs of this power-on, up to its last call."""
        raise NotImplementedError

    async def run(self) -> None:
        """Boots /usr/main.py."""
        raise NotImplementedError

    async def run_thread(self, ident: int) -> None:
        """Runs a thread of the application to its end."""
        raise NotImplementedError

    async def serve(self, name: str, args: list[Any], named: dict[str, Any]) -> Any:
        """One call of the application."""
        await self.board.take_time()
        if not name.startswith("!"):
            return await self.board.call(name, args, named)
        return await getattr(self, "do_" + name[1:])(*args)

    async def answer(self, name: str, args: list[Any], named: dict[str, Any]) -> tuple[str, Any]:
        """("return", value), or the class and argument of an error that the firmware raises: a plain OSError with an
        errno, ValueError or TypeError. Everything else that a stand-in raises is its defect and ends the run."""
        try:
            return "return", await self.serve(name, args, named)
        except OSError as error:
            if len(error.args) != 1:
                raise
            return "OSError", error.args[0]
        except (ValueError, TypeError) as error:
            if type(error) not in (ValueError, TypeError):
                raise
            return type(error).__name__, str(error)

    # -- the engine's own calls ------------------------------------------------------------------------------------

    async def do_console(self, stream: str, text: str) -> None:
        """Text printed by the application: whole lines become events, `usys.stderr` is where `log` writes
        (quecpython.md §3.8)."""
        *lines, self._lines[stream] = (self._lines[stream] + text).split("\n")
        for line in lines:
            self.board.events.emit("app", "log" if stream == "stderr" else "console", line)

    async def do_crash(self, text: str) -> None:
        """main.py ended with an exception that nobody caught."""
        self.board.events.emit("module", "crash", text)

    async def do_cut(self) -> None:
        """The power went in the middle of a flash program."""
        raise PowerOff("cut", f"at flash program {self.cut_at_program}")

    # -- threads (quecpython.md §1.5) --------------------------------------------------------------------------------

    async def do_start(self) -> int:
        """The id of a new thread; it runs as soon as the others wait."""
        if len(self._threads) >= THREADS - 1:
            raise OSError(ENOMEM)
        self._started += 1
        self._threads[self._started] = asyncio.ensure_future(self._live(self._started))
        return self._started

    async def _live(self, ident: int) -> None:
        """A thread's whole life. What ends the power-on in it reaches main.py's thread, and so `run`."""
        present.set(ident)
        try:
            await self.run_thread(ident)
        except asyncio.CancelledError:
            raise
        except BaseException as end:  # noqa: BLE001 - PowerOff, or a defect of the simulation
            self.board.fail(end)
        finally:
            self._threads.pop(ident, None)

    async def do_stop(self, ident: int) -> None:
        """Ends a thread where it is: nothing is unwound, its locks stay locked."""
        if ident not in self._threads:
            raise ValueError("no thread " + str(ident))
        thread = self._threads.pop(ident)
        thread.cancel()
        if thread is asyncio.current_task():
            await asyncio.Event().wait()

    async def do_running(self, ident: int) -> bool:
        return ident in self._threads or ident == MAIN

    def go_on(self) -> int:
        """The present thread, which is about to compute again; it does not if it was stopped meanwhile."""
        thread = present.get()
        if thread != MAIN and thread not in self._threads:
            raise asyncio.CancelledError
        return thread

    async def end_threads(self) -> None:
        """The power is off."""
        threads = list(self._threads.values())
        for thread in threads:
            thread.cancel()
        await asyncio.gather(*threads, return_exceptions=True)

    async def do_park(self) -> None:
        """Waits until a lock has been given back, by a thread or by a callback."""
        seen = self._released
        await self.board.wait(None, lambda: self._released != seen)

    async def do_released(self) -> None:
        """A lock for which a thread waits has been given back."""
        self._released += 1
        self.board.changed.set()

    async def do_idle(self) -> None:
        """main.py is over: the REPL waits for somebody, callbacks still run (quecpython.md §2.1). If nothing can happen
        any more the power-on ends, so that a run does."""
        end = self._nothing_left
        self.board.loop.when_stuck.append(end)
        try:
            await self.board.wait(None)
        finally:
            self.board.loop.when_stuck.remove(end)

    def _nothing_left(self) -> None:
        self.board.doom("exit", REPL_END)
