"""`usocket`'s TCP: one connection out, with lwIP's numbers and the firmware's habits (quecpython.md §3.9).

Listening is left out: a carrier's NAT lets nobody in.
"""

from typing import Any

from tools.module.modem.usocket import (
    EAGAIN,
    EINVAL,
    ENOTCONN,
    ETIMEDOUT,
    Socket,
    free_port,
    look_up,
    waiting_time,
)
from tools.world.tcp import CLOSED, ECONNRESET, SYN_SENT, TIME_WAIT, End, Listener, Segment

EALREADY, ECONNABORTED = 114, 103

SEND_BUFFER = 8192
"""Bytes that may be sent and not acknowledged; more are taken once there is room. Estimate (lwIP's TCP_SND_BUF)."""

DELAY_S = 0.25
"""lwIP's fast timer, with which an acknowledgement goes that found nothing to go with."""

LONGEST_CONNECT_S = 24
"""Whole seconds up to which a connect heeds the time-out; with any other it waits for lwIP to give up."""


class Readable:
    """What MicroPython makes of a stream's `read`."""

    async def read(self, size: int = -1) -> bytes | None:
        raise NotImplementedError

    async def readline(self) -> bytes | None:
        """A line with its end, or what there is at the end of the stream."""
        out = b""
        while not out.endswith(b"\n"):
            part = await self.read(1)
            if not part:
                break
            out += part
        return out

    async def readinto(self, buffer: Any) -> int | None:
        """Fills the buffer as `read` would."""
        found = await self.read(len(buffer))
        if found is None:
            return None
        buffer[: len(found)] = found
        return len(found)


class StreamSocket(Readable, Socket):
    """One TCP socket. A peer's RST is 104 from then on, its FIN b'' (S25). What is left when the address is gone is 103
    (inferred: lwIP aborts the connections of an interface that goes down)."""

    def _begin(self) -> None:
        self._port = free_port(self.board)
        self._ports.add(self._port)
        self._buffer = bytearray()
        self._error = 0
        self._finished = False
        self._end: End | None = None
        self.board.on_power_off.append(self._vanish)

    # -- address ---------------------------------------------------------------------------------------------------

    def bind(self, address: Any) -> None:
        """The port is the one it has; lwIP's result is ignored."""
        self._check_open()

    async def connect(self, address: Any) -> None:
        """Blocks until the connection stands: 104 where the peer refuses (S25), 110 after a time-out of 1-24 s or when
        lwIP gives up, 114 on a socket that has been connected before."""
        self._check_open()
        if self._end is not None:
            raise OSError(EALREADY)
        ip = (await look_up(self.board, address[0], self._family))[0]
        self._peer = (ip, int(address[1]))
        listener = Listener(self._data, self._ended, opened=self.board.changed.set, heard=self.board.changed.set)
        self._end = End(self._transmit, self.board.later, listener, self.board.rng.getrandbits(32), DELAY_S)
        self.board.network.flows.legs[self._ip, self._port] = self._segment_arrives
        self._end.connect()
        whole = self._timeout is not None and self._timeout == int(self._timeout)
        limit = self._timeout if whole and 1 <= (self._timeout or 0) <= LONGEST_CONNECT_S else None
        if self._timeout == 0:
            return
        end = self._end
        if not await self.board.wait(limit, lambda: end.state != SYN_SENT or self._lost()):
            end.vanish()
            raise OSError(ETIMEDOUT)
        if self._lost() or end.state == CLOSED:
            raise OSError({ETIMEDOUT: ETIMEDOUT, 0: ECONNABORTED}.get(self._error, ECONNRESET))

    # -- up --------------------------------------------------------------------------------------------------------

    async def send(self, data: Any) -> int:
        """Bytes taken: fewer than given where the buffer is full."""
        end = self._connected()
        if end.unacknowledged >= SEND_BUFFER:
            if self._timeout == 0:
                raise OSError(EAGAIN)
            limit = None if self._timeout is None else waiting_time(self._timeout)
            if not await self.board.wait(limit, lambda: end.unacknowledged < SEND_BUFFER or self._lost()):
                raise OSError(ETIMEDOUT)
            self._connected()
        taken = bytes(data)[: SEND_BUFFER - end.unacknowledged]
        end.write(taken)
        return len(taken)

    async def sendall(self, data: Any) -> None:
        if await self.send(data) != len(data):
            raise OSError(ETIMEDOUT)

    async def write(self, data: Any) -> int:
        """As a stream: all of it, piece by piece."""
        left = bytes(data)
        while left:
            left = left[await self.send(left):]
        return len(data)

    def sendto(self, data: Any, address: Any) -> int:
        raise OSError(EINVAL)  # inferred

    # -- down ------------------------------------------------------------------------------------------------------

    async def recv(self, size: int) -> bytes:
        """What has come, `size` bytes at most. 110 after the time-out, 11 where it does not block; b'' once the peer's
        FIN has come, 104 after its RST, 107 on a socket that was never connected."""
        if not await self._filled():
            raise OSError(EAGAIN if self._timeout == 0 else ETIMEDOUT)
        return self._take(size)

    async def recvfrom(self, size: int) -> tuple[bytes, Any]:
        return await self.recv(size), self._peer

    async def read(self, size: int = -1) -> bytes | None:
        """`size` bytes, fewer only at the end of the stream; None where it does not block and nothing is there."""
        out = b""
        while size < 0 or len(out) < size:
            if not await self._filled():
                if self._timeout == 0:
                    return out or None
                raise OSError(ETIMEDOUT)
            part = self._take(size - len(out) if size >= 0 else len(self._buffer) or 1)
            if not part:
                break
            out += part
        return out

    async def _filled(self) -> bool:
        """Waits for something to read; False where the time is up."""
        self._check_open()
        if self._end is None:
            raise OSError(ENOTCONN)
        if not self._readable():
            if self._timeout == 0:
                return False
            limit = None if self._timeout is None else waiting_time(self._timeout)
            if not await self.board.wait(limit, self._readable):
                return False
        self._check_open()
        return True

    def _readable(self) -> bool:
        return bool(self._buffer) or self._finished or self._lost() or self._closed

    def _take(self, size: int) -> bytes:
        if not self._buffer and self._lost():
            raise OSError(self._error or ECONNABORTED)
        out = bytes(self._buffer[:size])
        del self._buffer[: len(out)]
        return out

    # -- the rest --------------------------------------------------------------------------------------------------

    def getsocketsta(self) -> int:
        """The state as lwIP numbers it; -1 once closed."""
        if self._closed:
            return -1
        return CLOSED if self._end is None else self._end.state

    def close(self) -> None:
        """Frees the socket; FIN goes behind what was sent. Twice is harmless."""
        if self._closed:
            return
        self._closed = True
        if self._end is not None:
            if self._own() == self._ip:
                self._end.close()
            else:
                self._end.vanish()
        self._left()
        self.board.changed.set()

    # -- inside ----------------------------------------------------------------------------------------------------

    def _connected(self) -> End:
        self._check_open()
        if self._end is None or self._end.state == SYN_SENT:
            raise OSError(ENOTCONN)
        if self._lost():
            raise OSError(self._error or ECONNABORTED)
        return self._end

    def _lost(self) -> bool:
        """The connection is gone: by RST, by silence, or with the address."""
        return bool(self._error) or self._own() != self._ip

    def _transmit(self, segment: Segment) -> None:
        if self._own() != self._ip or self._peer is None:
            return
        delay = self.board.radio.traffic("up")
        now = self.board.loop.now_us
        self._next_us = max(self._next_us, now + round((delay or 0) * 1e6))
        self.board.later((self._next_us - now) / 1e6, self._segment_on_air, segment)

    def _segment_on_air(self, segment: Segment) -> None:
        if self._own() == self._ip and self._peer is not None:
            self.board.network.flows.up((self._ip, self._port), segment, self._peer)
        self._left()

    def _segment_arrives(self, segment: Segment, sender: Any) -> None:
        """The network has a segment: the radio must find the module first."""
        delay = None if self._own() != self._ip else self.board.radio.traffic("down")
        if delay is None:
            if segment.data:
                self.board.events.emit("module", "unreached", "downlink", bytes=len(segment.data), raw=segment.data)
        else:
            self.board.later(delay, self._segment_lands, segment, sender)

    def _segment_lands(self, segment: Segment, sender: Any) -> None:
        if self._end is not None and sender == self._peer and self._own() == self._ip:
            self._end.receive(segment)
            self._left()

    def _data(self, data: bytes) -> None:
        if not self._closed:
            self._buffer += data
            self.board.changed.set()

    def _ended(self, error: int) -> None:
        if error:
            self._error = error
        else:
            self._finished = True
        self.board.changed.set()
        self._left()

    def _left(self) -> None:
        """The port is free once nobody needs it."""
        if self._closed and (self._end is None or self._end.state in (CLOSED, TIME_WAIT)):
            self._ports.discard(self._port)
            if self.board.network.flows.legs.get((self._ip, self._port)) == self._segment_arrives:
                del self.board.network.flows.legs[self._ip, self._port]

    def _vanish(self) -> None:
        """The power goes."""
        if self._end is not None:
            self._end.vanish()
        self._closed = True
        self._left()

