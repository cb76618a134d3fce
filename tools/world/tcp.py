"""One end of a TCP connection, as far as a device and its platform notice (RFC 9293): segments, acknowledgements,
retransmission, FIN, RST. No window and no congestion control: what is sent here is a few hundred bytes.

An end does no I/O. What it wants sent goes to `transmit`; what arrives comes by `receive`.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

SYN, ACK, PUSH, FIN, RESET = 2, 16, 8, 1, 4
"""Bits of the header's flags (RFC 9293 §3.1)."""

CLOSED, LISTEN, SYN_SENT, SYN_RECEIVED, ESTABLISHED = range(5)
FIN_WAIT_1, FIN_WAIT_2, CLOSE_WAIT, CLOSING, LAST_ACK, TIME_WAIT = range(5, 11)
"""States, numbered as lwIP and `getsocketsta` number them (quecpython.md §3.9)."""

MSS = 1400
"""Bytes of data in one segment: a cellular link's usual 1440 or a little less. Estimate."""

FIRST_RTO_S, LONGEST_RTO_S = 1.0, 60.0  # RFC 6298 §2.1, §2.5
SYN_TRIES, TRIES = 6, 12  # lwIP's TCP_SYNMAXRTX and TCP_MAXRTX, after which the connection is given up

ETIMEDOUT, ECONNRESET, ECONNREFUSED = 110, 104, 111


@dataclass(frozen=True)
class Segment:
    """One segment. Sequence numbers count from a random start, modulo 2^32."""

    flags: int
    seq: int
    ack: int
    data: bytes = b""

    @property
    def length(self) -> int:
        """What it takes of the sequence numbers: SYN and FIN take one."""
        return len(self.data) + bool(self.flags & SYN) + bool(self.flags & FIN)

    def __str__(self) -> str:
        names = [name for bit, name in ((SYN, "SYN"), (FIN, "FIN"), (RESET, "RST"), (PUSH, "PSH"), (ACK, "ACK"))
                 if self.flags & bit]
        return " ".join(names)


@dataclass
class Listener:
    """Who is told. `data` gets bytes in their order, each once; `closed` an error number, 0 where the peer's FIN came;
    `opened` once both know each other; `heard` after any acknowledgement."""

    data: Callable[[bytes], None]
    closed: Callable[[int], None]
    opened: Callable[[], None] = lambda: None
    heard: Callable[[], None] = lambda: None


@dataclass(eq=False)
class End:
    """One end. `later(seconds, function)` sets a timer, `delay_s` is how long an acknowledgement waits for something to
    go with."""

    transmit: Callable[[Segment], None]
    later: Callable[..., asyncio.TimerHandle]
    listener: Listener
    first: int
    delay_s: float
    state: int = CLOSED
    _sent: deque[Segment] = field(default_factory=deque)  # and not acknowledged
    _early: dict[int, Segment] = field(default_factory=dict)  # arrived before what comes first
    _tries: int = 0
    _rto: Any = None
    _delayed: Any = None

    def __post_init__(self) -> None:
        self.next = self.first  # sequence number of what is sent next
        self.expected = 0  # and of what should arrive next

    # -- what the owner does ---------------------------------------------------------------------------------------

    def connect(self) -> None:
        """Begins the handshake."""
        self.state = SYN_SENT
        self._send(SYN)

    def write(self, data: bytes) -> None:
        """Sends bytes, in as many segments as they need; they are kept until the peer has acknowledged them."""
        for at in range(0, len(data), MSS):
            last = at + MSS >= len(data)
            self._send(ACK | PUSH * last, data[at : at + MSS])

    def close(self) -> None:
        """Sends FIN behind everything else; what the peer still sends is acknowledged. Twice is harmless."""
        if self.state in (ESTABLISHED, SYN_RECEIVED):
            self.state = FIN_WAIT_1
        elif self.state == CLOSE_WAIT:
            self.state = LAST_ACK
        else:
            if self.state == SYN_SENT:
                self.vanish()
            return
        self._send(ACK | FIN)

    def abort(self) -> None:
        """Sends RST and forgets the connection."""
        if self.state not in (CLOSED, TIME_WAIT):
            self.transmit(Segment(RESET | ACK, self.next, self.expected))
        self.vanish()

    def vanish(self) -> None:
        """The connection is forgotten without a word."""
        self.state = CLOSED
        self._sent.clear()
        for timer in (self._rto, self._delayed):
            if timer is not None:
                timer.cancel()
        self._rto = self._delayed = None

    @property
    def unacknowledged(self) -> int:
        """Bytes sent that the peer has not acknowledged."""
        return sum(len(segment.data) for segment in self._sent)

    # -- what arrives ----------------------------------------------------------------------------------------------

    def receive(self, segment: Segment) -> None:
        """One segment of the peer."""
        if segment.flags & RESET:
            self._reset(segment)
        elif self.state == CLOSED and segment.flags & SYN and not segment.flags & ACK:
            self.state = SYN_RECEIVED
            self.expected = _plus(segment.seq, 1)
            self._send(SYN | ACK)
        elif self.state == CLOSED:
            self.transmit(refusal(segment))
        elif self.state == SYN_SENT:
            self._answered(segment)
        else:
            self._acknowledged(segment)
            if segment.length:
                self._arrived(segment)

    def _reset(self, segment: Segment) -> None:
        if self.state == CLOSED or self.state == SYN_SENT and segment.ack != self.next:
            return
        error = ECONNREFUSED if self.state == SYN_SENT else ECONNRESET
        over = self.state in (CLOSING, LAST_ACK, TIME_WAIT)  # both have said that they are done
        self.vanish()
        if not over:
            self.listener.closed(error)

    def _answered(self, segment: Segment) -> None:
        """What says anything else than yes is of an older connection between the same two ports: RST ends that, and the
        SYN that is sent again finds its place free (RFC 9293 §3.5.1)."""
        if not segment.flags & ACK:
            return
        if segment.ack != self.next:
            self.transmit(refusal(segment))
        elif segment.flags & SYN:
            self.expected = _plus(segment.seq, 1)
            self.state = ESTABLISHED
            self._acknowledged(segment)
            self._acknowledge()
            self.listener.opened()

    def _acknowledged(self, segment: Segment) -> None:
        if not segment.flags & ACK:
            return
        fresh = False
        while self._sent and _minus(segment.ack, _plus(self._sent[0].seq, self._sent[0].length)) >= 0:
            self._sent.popleft()
            fresh = True
        if not fresh:
            return
        self._tries = 0
        self._clock()
        if self.state == SYN_RECEIVED:
            self.state = ESTABLISHED
            self.listener.opened()
        if not self._sent:
            if self.state == LAST_ACK or self.state == CLOSING:
                self.vanish()
            elif self.state == FIN_WAIT_1:
                self.state = FIN_WAIT_2
        self.listener.heard()

    def _arrived(self, segment: Segment) -> None:
        ahead = _minus(segment.seq, self.expected)
        if ahead != 0:
            if ahead > 0 and not segment.flags & SYN:
                self._early[segment.seq] = segment
            self._acknowledge()  # a repeated one: its acknowledgement was lost; or the SYN of who has forgotten us
            return
        found: Segment | None = segment
        while found is not None:
            self.expected = _plus(self.expected, found.length)
            if found.data:
                self.listener.data(found.data)
            if found.flags & FIN:
                self._finished()
                return
            found = self._early.pop(self.expected, None)
        if self._delayed is None and self.state != CLOSED:
            self._delayed = self.later(self.delay_s, self._acknowledge)

    def _finished(self) -> None:
        self._acknowledge()
        if self.state == ESTABLISHED:
            self.state = CLOSE_WAIT
        elif self.state == FIN_WAIT_1:
            self.state = CLOSING
        elif self.state == FIN_WAIT_2:
            self.state = TIME_WAIT
        self.listener.closed(0)

    # -- inside ----------------------------------------------------------------------------------------------------

    def _send(self, flags: int, data: bytes = b"") -> None:
        segment = Segment(flags, self.next, self.expected, data)
        self.next = _plus(self.next, segment.length)
        self._sent.append(segment)
        self._transmit(segment)
        if self._rto is None:
            self._clock()

    def _transmit(self, segment: Segment) -> None:
        """Sends it with what has arrived by now."""
        self._no_delay()
        self.transmit(Segment(segment.flags, segment.seq, self.expected, segment.data))

    def _acknowledge(self) -> None:
        self._no_delay()
        self.transmit(Segment(ACK, self.next, self.expected))

    def _no_delay(self) -> None:
        if self._delayed is not None:
            self._delayed.cancel()
            self._delayed = None

    def _clock(self) -> None:
        """Starts, restarts or stops the retransmission timer."""
        if self._rto is not None:
            self._rto.cancel()
            self._rto = None
        if self._sent:
            self._rto = self.later(min(FIRST_RTO_S * 2**self._tries, LONGEST_RTO_S), self._again)

    def _again(self) -> None:
        self._rto = None
        self._tries += 1
        if self._tries > (SYN_TRIES if self.state in (SYN_SENT, SYN_RECEIVED) else TRIES):
            self.vanish()
            self.listener.closed(ETIMEDOUT)
            return
        self._clock()
        for segment in list(self._sent):
            self._transmit(segment)


def refusal(segment: Segment) -> Segment:
    """The RST that answers a segment of no connection (RFC 9293 §3.5.2)."""
    return Segment(RESET | ACK, segment.ack, _plus(segment.seq, segment.length))


def _plus(seq: int, count: int) -> int:
    return (seq + count) & 0xFFFFFFFF


def _minus(a: int, b: int) -> int:
    """a − b, where neither is more than half the numbers away."""
    return ((a - b + 0x80000000) & 0xFFFFFFFF) - 0x80000000
