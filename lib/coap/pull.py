"""Pulls a large resource block by block (RFC 7959 §2.4). No I/O: requests leave through the exchange, what came goes to
`sink`. Nothing is kept but where we are.
"""

from micropython import const

from coap import exchange as x
from coap import message as m
from coap.block import BLOCK2, ETAG, SIZE2, SZX, pack

# Events are tuples that begin with one of these.
PULLED = const(1)  # (PULLED, total bytes)
BROKEN = const(2)  # (BROKEN, why): why is the server's code, or one of
SILENT = const(0)  # no answer, or a reset
CHANGED = const(1)  # the resource is another than at the first block (its ETag): begin again
WRONG = const(2)  # a block that was not asked for, or of a wrong size
TOO_LARGE = const(3)  # over `limit`


class Pull:
    """One transfer. `options` name the resource (Uri-Path, Uri-Query, Accept); `sink(offset, data)` takes each block,
    in order and once; `limit` bounds the total in bytes; `szx` 0-6 is the block asked for, 16 << szx bytes."""

    def __init__(self, exchange, options: list, sink, limit: int, szx: int = SZX) -> None:
        self.exchange = exchange
        self.offset = 0  # bytes that the sink has
        self._options = list(options)
        self._sink = sink
        self._limit = limit
        self._szx = szx
        self._etag = None  # list of the first block's; empty where the server gives none

    def ask(self, now: int) -> None:
        """Asks for the next block, under a token of its own."""
        mid = self.exchange.next_mid()
        block = (BLOCK2, pack(self.offset >> self._szx + 4, False, self._szx))
        token = bytes([mid >> 8, mid & 0xFF])
        self.exchange.send(m.Message(m.CON, m.GET, mid, token, self._options + [block]), now)

    def take(self, event, now: int):
        """Takes an event of the exchange about our request; returns PULLED or BROKEN at the end, None before, having
        asked for the next block."""
        if event[0] != x.RESPONSE:
            return (BROKEN, SILENT)
        response = event[1]
        if response.code != m.CONTENT:
            return (BROKEN, response.code)
        tags = response.all(ETAG)
        if self._etag is None:
            self._etag = tags
        if tags != self._etag:
            return (BROKEN, CHANGED)
        more = self._fits(response)
        if more is None:
            return (BROKEN, WRONG)
        size = len(response.payload)
        if self.offset + size + more > self._limit or (response.uint(SIZE2) or 0) > self._limit:
            return (BROKEN, TOO_LARGE)
        self._sink(self.offset, response.payload)
        self.offset += size
        if not more:
            return (PULLED, self.offset)
        self.ask(now)
        return None

    def _fits(self, response):
        """1 where more blocks follow, 0 at the last, None where this is not the block asked for. The server may choose
        a smaller size than ours, never a larger (§2.4)."""
        value = response.uint(BLOCK2)
        if value is None:
            # Without the option it is the whole; with one that is too long, nothing.
            return None if self.offset or response.all(BLOCK2) else 0
        szx = value & 7
        size = 16 << szx
        more = value >> 3 & 1
        if szx > self._szx or (value >> 4) * size != self.offset:
            return None
        if len(response.payload) > size or more and len(response.payload) < size:
            return None
        self._szx = szx
        return more
