"""The command log: what becomes of a command, whichever protocol carries it. Every change is an event too."""

import asyncio

from tools.ctwing import store as db
from tools.ctwing.store import Command, Store
from tools.world.events import Events


class CommandLog:
    def __init__(self, loop: asyncio.AbstractEventLoop, events: Events, store: Store) -> None:
        self.loop, self.events, self.store = loop, events, store

    def _command(self, number: int) -> Command:
        command = self.store.command(number)
        assert command is not None
        return command

    def sent(self, command: Command, text: str, **data: object) -> None:
        """It is on its way."""
        self.store.set_command(command.id, db.SENT, self.loop.time())
        self.events.emit("aep", "command-sent", text, device=command.device, command=command.id, **data)

    def finish(self, number: int, status: str, result: str) -> None:
        """DELIVERED, FAILED or EXPIRED, and nothing follows."""
        command = self._command(number)
        self.store.set_command(number, status, self.loop.time(), result)
        self.events.emit("aep", f"command-{status.lower()}", f"command {number}: {result}", device=command.device,
                         command=number, result=result)

    def take_back(self, number: int, why: str) -> None:
        """A command that was sent and not answered waits again while its ttl lasts."""
        command = self._command(number)
        if command.ttl == 0:
            self.finish(number, db.FAILED, why)
        elif command.expires <= self.loop.time():
            self.finish(number, db.EXPIRED, why)
        else:
            self.store.set_command(number, db.SAVED, self.loop.time(), why)
            self.events.emit("aep", "command-saved", f"command {number} waits again: {why}", device=command.device,
                             command=number)

    def uncached(self, device: str, reason: str) -> None:
        """The device went off-line: what was to be sent now or never fails."""
        for command in self.store.commands(device, db.SAVED):
            if command.ttl == 0:
                self.finish(command.id, db.FAILED, reason)
