"""Block-wise transfer, the serving side (RFC 7959): large answers leave in blocks, large requests arrive in them.

`coap.exchange` imports this at the first block and asks it on the way in and on the way out; what serves requests sees
whole ones. Bounds: one request under assembly of at most `ASSEMBLED` bytes, one answer of at most `KEPT` bytes kept for
its later blocks; the next replaces each, and none is used EXCHANGE_LIFETIME after its last block.
"""

from micropython import const

from coap import message as m

ETAG = const(4)
BLOCK2 = const(23)
BLOCK1 = const(27)
SIZE2 = const(28)
SIZE1 = const(60)
CONTINUE = const(0x5F)  # 2.31
INCOMPLETE = const(0x88)  # 4.08

SZX = const(5)  # 512 bytes (16 << SZX), the largest block sent, and the one asked for
ASSEMBLED = const(1024)  # bytes of a request: a downlink's limit (ctwing.md §2.5)
KEPT = const(4096)  # bytes of an answer; a longer one is asked of the device again for each block
_LIFETIME = const(247000)  # ms, EXCHANGE_LIFETIME (RFC 7252 §4.8.2)
# Requests alike in these and in the method are parts of one transfer (§2.4, §2.5).
_KEY = (m.URI_PATH, m.CONTENT_FORMAT, m.URI_QUERY, m.ACCEPT)


def pack(number: int, more: bool, szx: int) -> bytes:
    """A Block option's value (§2.2)."""
    return m.uint(number << 4 | (8 if more else 0) | szx)


def etag(data: bytes) -> bytes:
    """4 bytes that tell contents apart."""
    return m.uint(1 << 24 | m.digest(data))


class Blocks:
    """The blocks of one peer. An answer here is (code, options, payload)."""

    def __init__(self) -> None:
        self._asked = None  # type: list | None  # key of the request under assembly
        self._parts = b""
        self._since = 0  # ms: when its last block came
        self._kept = None  # type: tuple | None  # (key, code, options, payload) of the last answer that was too large
        self._told = 0  # ms: when its last block left

    def request(self, message, now: int):
        """Takes a request with a Block option and no critical one that we do not understand. Returns None where it is
        to be served now, whole; else its answer: 2.31 before the last block; 4.00 for the reserved size (§2.2), a block
        that has not its size, a later block of what is no GET; 4.08 for a block that is not the next (§2.9.2); 4.13
        over `ASSEMBLED` (§2.9.3)."""
        asked = message.uint(BLOCK2)
        part = message.uint(BLOCK1)
        if asked is not None and asked & 7 == 7 or part is not None and part & 7 == 7:
            return m.BAD_REQUEST, [], b""
        if part is not None:
            answer = self._assemble(message, part, now)
            if answer is not None:
                return answer
        if not asked or not asked >> 4:
            return None
        if message.code != m.GET:
            return m.BAD_REQUEST, [], b""  # it would be done once more, and what it answers fits into one block
        kept = self._kept
        if kept is None or kept[0] != _key(message) or now - self._told >= _LIFETIME:
            return None  # the device is asked again; another ETag says whether anything changed (§2.4)
        return self.response(message, now, *kept[1:])

    def response(self, request, now: int, code: int, options, payload: bytes):
        """The answer with its Block options, cut to the block asked for, or to `SZX` where none is. A block beyond the
        end is 4.00: RFC 7959 has no code of its own for it (§2.9)."""
        options = list(options)
        part = request.uint(BLOCK1)
        if part is not None:
            options.append((BLOCK1, m.uint(part)))
        asked = request.uint(BLOCK2)
        if code != m.CONTENT or asked is None and len(payload) <= 16 << SZX:
            return code, options, payload
        asked = SZX if asked is None else asked
        szx = min(asked & 7, SZX)
        size = 16 << szx
        at = (asked >> 4) * (16 << (asked & 7))
        if at and at >= len(payload):
            return m.BAD_REQUEST, [], b""
        if size < len(payload):
            self._keep(_key(request), now, options, payload)
        if size < len(payload):
            options.append((ETAG, etag(payload)))
        if request.uint(SIZE2) is not None:
            options.append((SIZE2, m.uint(len(payload))))
        options.append((BLOCK2, pack(at // size, at + size < len(payload), szx)))
        return code, options, payload[at : at + size]

    def notification(self, path: list, now: int, options: list, payload: bytes):
        """(options, payload) of a notification that is longer than a block: its first, the peer asks for the rest with
        GET (§2.6). `path` is the options of Uri-Path."""
        self._keep([m.GET] + path, now, options, payload)
        return options + [(ETAG, etag(payload)), (BLOCK2, pack(0, True, SZX))], payload[: 16 << SZX]

    def _keep(self, key: list, now: int, options: list, payload: bytes) -> None:
        """Its time of day and its signal would differ in the next second, and the peer would never come to an end."""
        self._kept = None
        if len(payload) <= KEPT:
            self._kept = (key, m.CONTENT, [option for option in options if option[0] != m.OBSERVE], payload)
            self._told = now

    def _assemble(self, message, part: int, now: int):
        """None when `message` has become the whole request, else the answer to this block."""
        size = 16 << (part & 7)
        at = (part >> 4) * size
        more = part >> 3 & 1
        key = _key(message)
        parts = self._parts if at and key == self._asked and now - self._since < _LIFETIME else b""
        self._asked, self._parts, self._since = None, b"", now
        if at != len(parts):
            return INCOMPLETE, [], b""
        if len(message.payload) > size or more and len(message.payload) < size:
            return m.BAD_REQUEST, [], b""
        parts += message.payload
        if len(parts) + more > ASSEMBLED or (message.uint(SIZE1) or 0) > ASSEMBLED:
            return m.REQUEST_TOO_LARGE, [(SIZE1, m.uint(ASSEMBLED))], b""
        if more:
            self._asked, self._parts = key, parts
            return CONTINUE, [(BLOCK1, m.uint(part))], b""
        message.payload = parts
        return None


def _key(message) -> list:
    return [message.code] + [option for option in message.options if option[0] in _KEY]
