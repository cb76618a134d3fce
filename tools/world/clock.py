"""Virtual time: it moves only when everyone waits.

`WorldLoop` is an asyncio loop whose clock jumps to the next timer as soon as no program computes and no datagram is
under way. Module, network and platform live on it, so days pass in milliseconds and every run of a seed is the same.
Time is kept as whole microseconds: no float error accumulates, whatever the pattern of waits.
"""

import asyncio
import errno
import heapq
import itertools
import selectors
from collections.abc import Callable
from typing import Any

from tools.world.streams import FIRST_PORT, MemoryServer

SILENCE_LIMIT = 30.0
"""Real seconds a computing VM or a datagram on loopback may stay silent before the world gives up."""


class Deadlock(RuntimeError):
    """Nobody computes, nothing is under way and no timer is set: the world would stand still for ever."""


class JumpSelector(selectors.BaseSelector):
    """A selector that jumps instead of waiting. `busy` counts what is still at work outside the loop."""

    def __init__(self, epoch_us: int) -> None:
        self._real = selectors.DefaultSelector()
        self.now_us = epoch_us
        self.busy = 0
        self.when_stuck: list[Callable[[], None]] = []
        self.failure: BaseException | None = None  # raised in a callback of the loop: it ends the world

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.modify(fileobj, events, data)

    def get_map(self) -> Any:
        return self._real.get_map()

    def close(self) -> None:
        self._real.close()

    def select(self, timeout: float | None = None) -> list:
        if self.failure is not None:
            failure, self.failure = self.failure, None
            raise failure
        ready = self._real.select(0)
        if ready or timeout == 0:
            return ready
        if self.busy > 0:
            ready = self._real.select(SILENCE_LIMIT)
            if not ready:
                raise Deadlock(f"the world waited {SILENCE_LIMIT:.0f} s of real time for a program or a datagram")
            return ready
        if timeout is None:
            if not self.when_stuck:
                raise Deadlock("everyone waits for ever: no timer is set")
            for act in list(self.when_stuck):
                act()
            return []
        self.now_us += max(1, round(timeout * 1e6))
        return []


class WorldLoop(asyncio.SelectorEventLoop):
    """The loop of a world. `epoch` is the Unix time at which it begins, in seconds."""

    def __init__(self, epoch: int = 1_795_392_000) -> None:
        self.jump = JumpSelector(epoch * 1_000_000)
        self._open: set[int] = set()  # ports of endpoints that can receive
        self._known: set[int] = set()  # ports of every endpoint there ever was: their datagrams are counted
        self._orders = itertools.count()
        self.servers: dict[int, MemoryServer] = {}  # of streams, by port
        super().__init__(self.jump)
        self._clock_resolution = 1e-6

    def time(self) -> float:
        """Unix time of the world in seconds."""
        return self.jump.now_us / 1e6

    @property
    def now_us(self) -> int:
        """Unix time of the world in whole microseconds."""
        return self.jump.now_us

    @property
    def when_stuck(self) -> list[Callable[[], None]]:
        """What to do, instead of raising Deadlock, when nothing can happen any more; it must make something happen."""
        return self.jump.when_stuck

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """As asyncio's, but what a timer or a protocol raises ends the run: a world with a defect proves nothing."""
        super().call_exception_handler(context)
        if "handle" in context and self.jump.failure is None:
            self.jump.failure = context.get("exception")

    def hold(self) -> None:
        """Something outside the loop begins to work; time stands still until `release`."""
        self.jump.busy += 1

    def release(self) -> None:
        """What `hold` announced has answered."""
        self.jump.busy -= 1

    def call_at(  # type: ignore[override]
        self, when: float, callback: Any, *args: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        """As asyncio's, but timers of the same instant run in the order in which they were set."""
        loop: Any = self  # asyncio's own list of timers, the same since Python 3.7
        loop._check_closed()
        timer: Any = _Timer(when, callback, args, self, context)
        timer.order = (round(when * 1e6), next(self._orders))
        heapq.heappush(loop._scheduled, timer)
        timer._scheduled = True
        return timer

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> asyncio.Future:  # type: ignore[override]
        """Runs `func` at once: a thread's real time would not be the world's."""
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - handed to whoever awaits the future
            future.set_exception(error)
        return future

    async def create_server(  # type: ignore[override]
        self, protocol_factory: Any, host: Any = None, port: Any = None, *, ssl: Any = None, **kwargs: Any
    ) -> MemoryServer:
        """A server in memory: whoever connects to it lives in this world too (tools/world/flows.py). Port 0 takes the
        next free one."""
        number = port or next(n for n in itertools.count(FIRST_PORT) if n not in self.servers)
        if number in self.servers:
            raise OSError(errno.EADDRINUSE, f"port {number} is taken")
        address = (host if isinstance(host, str) else "127.0.0.1", number)
        server = MemoryServer(self, protocol_factory, address, ssl, lambda: self._no_server(number))
        self.servers[number] = server
        return server

    def _no_server(self, number: int) -> None:
        self.servers.pop(number, None)

    async def create_datagram_endpoint(self, protocol_factory: Any, *args: Any, **kwargs: Any) -> Any:
        """As asyncio's; a datagram between two endpoints of this loop holds the clock until it has landed."""

        def factory() -> _Landing:
            return _Landing(self, protocol_factory())

        transport, landing = await super().create_datagram_endpoint(factory, *args, **kwargs)
        port = transport.get_extra_info("sockname")[1]
        self._open.add(port)
        self._known.add(port)
        return _Launching(self, transport), landing.inner


class _Timer(asyncio.TimerHandle):
    """A timer with its microsecond and its place among those of the same; asyncio's heap leaves that to chance."""

    order = (0, 0)

    def __lt__(self, other: Any) -> bool:
        return self.order < other.order


class _Landing(asyncio.DatagramProtocol):
    """Between transport and protocol: tells the loop that a datagram has arrived."""

    def __init__(self, loop: WorldLoop, inner: Any) -> None:
        self.loop, self.inner = loop, inner

    def connection_made(self, transport: Any) -> None:
        self.inner.connection_made(_Launching(self.loop, transport))

    def datagram_received(self, data: bytes, addr: Any) -> None:
        if data and addr[1] in self.loop._known:
            self.loop.release()
        self.inner.datagram_received(data, addr)

    def error_received(self, error: Exception) -> None:
        self.inner.error_received(error)

    def connection_lost(self, error: Exception | None) -> None:
        self.inner.connection_lost(error)


class _Launching:
    """A transport that tells the loop when a datagram for one of its own endpoints is under way."""

    def __init__(self, loop: WorldLoop, transport: Any) -> None:
        self._loop, self._transport = loop, transport

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def sendto(self, data: bytes, addr: Any = None) -> None:
        target = addr or self._transport.get_extra_info("peername")
        # asyncio before 3.12 silently drops an empty datagram: nothing would ever land.
        if data and target is not None and target[1] in self._loop._open:
            self._loop.hold()
        if data:
            self._transport.sendto(data, addr)
        else:  # asyncio before Python 3.12 sends no empty datagram
            self._transport.get_extra_info("socket")._sock.sendto(data, target)

    def close(self) -> None:
        """Closes the endpoint; datagrams still queued for it are taken out first, so that none holds the clock."""
        sock = self._transport.get_extra_info("socket")
        port = self._transport.get_extra_info("sockname")[1]
        self._loop._open.discard(port)
        while True:
            try:
                data, sender = sock._sock.recvfrom(65535) if hasattr(sock, "_sock") else sock.recvfrom(65535)
            except (BlockingIOError, OSError):
                break
            if data and sender[1] in self._loop._known:
                self._loop.release()
        self._transport.close()
