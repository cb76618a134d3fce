"""Servers of streams in memory: what `asyncio.start_server` opens on a world's loop. No byte of theirs leaves this
process, so what is under way is known and every run of a seed is the same; `tools/world/flows.py` connects to them.
"""

import asyncio
import ssl
from asyncio import sslproto
from collections.abc import Callable
from typing import Any

FIRST_PORT = 40000  # of servers that leave the choice to the loop

Address = tuple[str, int]


class MemoryTransport(asyncio.Transport):
    """The server's side of one connection. What it writes goes to `out`; `ended(abortive)` is called once it closes."""

    def __init__(self, loop: asyncio.AbstractEventLoop, own: Address, peer: Address, out: Callable[[bytes], None],
                 ended: Callable[[bool], None]) -> None:
        super().__init__({"peername": peer, "sockname": own, "socket": None})
        self._loop, self._out, self._ended = loop, out, ended
        self._protocol: Any = None
        self._closing = self._eof = False
        self._paused = False
        self._waiting: list[bytes] = []  # arrived while reading was paused

    # -- what the network does -------------------------------------------------------------------------------------

    def begin(self, protocol: Any) -> None:
        """The connection stands."""
        self._protocol = protocol
        protocol.connection_made(self)

    def arrive(self, data: bytes) -> None:
        """Bytes of the peer."""
        if self._closing:
            return
        if self._paused:
            self._waiting.append(data)
        elif isinstance(self._protocol, asyncio.BufferedProtocol):
            while data:
                buffer = memoryview(self._protocol.get_buffer(len(data)))
                count = min(len(buffer), len(data))
                buffer[:count] = data[:count]
                self._protocol.buffer_updated(count)
                data = data[count:]
        else:
            self._protocol.data_received(data)

    def finish(self, error: OSError | None) -> None:
        """The peer's FIN, or with `error` its RST or its silence."""
        if self._closing:
            return
        if error is not None:
            self._lose(error)
        elif not self._protocol.eof_received():
            self.close()

    # -- what a transport is ---------------------------------------------------------------------------------------

    def write(self, data: Any) -> None:
        if data and not self._closing and not self._eof:
            self._out(bytes(data))

    def write_eof(self) -> None:
        if not self._eof and not self._closing:
            self._eof = True
            self._ended(False)

    def can_write_eof(self) -> bool:
        return True

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        if not self._closing:
            if not self._eof:
                self._ended(False)
            self._lose(None)

    def abort(self) -> None:
        if not self._closing:
            self._ended(True)
            self._lose(None)

    def _force_close(self, error: Exception | None) -> None:  # asyncio's sslproto ends a failed handshake so
        self.abort()

    def _lose(self, error: OSError | None) -> None:
        self._closing = True
        self._loop.call_soon(self._protocol.connection_lost, error)

    def set_protocol(self, protocol: Any) -> None:
        self._protocol = protocol

    def get_protocol(self) -> Any:
        return self._protocol

    def pause_reading(self) -> None:
        self._paused = True

    def resume_reading(self) -> None:
        self._paused = False
        waiting, self._waiting = self._waiting, []
        for data in waiting:
            self.arrive(data)

    def is_reading(self) -> bool:
        return not self._paused and not self._closing

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Nothing is buffered here."""


class _Name:
    """A listening socket as far as anybody asks: where it listens."""

    def __init__(self, address: Address) -> None:
        self._address = address

    def getsockname(self) -> Address:
        return self._address


class MemoryServer(asyncio.AbstractServer):
    """What listens; `accept` makes one connection, `closed` is told when it no longer listens."""

    def __init__(self, loop: asyncio.AbstractEventLoop, factory: Callable[[], Any], address: Address,
                 context: ssl.SSLContext | None, closed: Callable[[], None]) -> None:
        self._loop, self._factory, self.address, self._context, self._closed = loop, factory, address, context, closed
        self._serving = True
        self.sockets = (_Name(address),)

    def accept(self, peer: Address, out: Callable[[bytes], None], ended: Callable[[bool], None]) -> MemoryTransport:
        """A connection from `peer`."""
        transport = MemoryTransport(self._loop, self.address, peer, out, ended)
        protocol = self._factory()
        if self._context is not None:
            protocol = sslproto.SSLProtocol(self._loop, protocol, self._context, None, server_side=True)  # type: ignore
        transport.begin(protocol)
        return transport

    def is_serving(self) -> bool:
        return self._serving

    def close(self) -> None:
        if self._serving:
            self._serving = False
            self._closed()

    async def wait_closed(self) -> None:
        """Connections end by themselves."""

    async def start_serving(self) -> None:
        """It serves from the beginning."""

    async def serve_forever(self) -> None:
        await self._loop.create_future()

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return self._loop
