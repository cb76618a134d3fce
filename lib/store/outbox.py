"""What goes up, kept until the platform has it.

Contract: an entry is durable when `put` returns and has an id that never repeats; `batch` reads without removing;
`consume` removes, and is called only after the platform's acknowledgement. Bounded: when it is full the oldest entries
are dropped and counted. Delivery is at least once; the id travels along, so that the other side can tell a repeat.

On flash: `<path>.log`, frames appended (length, CRC-32, id, JSON), and `<path>.rec`, where reading begins (`head`) and
what id comes next. An id is at or above `head`, or consumed. The log keeps the last frame that was consumed: it knows
the last id should the record be damaged.
"""

import ujson
import uos
import ustruct
from micropython import const

from store.record import Record, crc32, discard, replace
from store.shape import shaped

PAYLOAD_LIMIT = const(512)  # bytes an uplink should not exceed (ctwing.md §2.5); the platform's hard limit is 1024

_HEADER = ">HII"  # body length, CRC-32 of id and body, id
_HEADER_SIZE = const(10)
_SHORTEST = const(12)  # bytes of a frame: the header and "{}"
_BODY_LIMIT = const(1200)  # a longer frame is damage; estimate: a payload's text quoted again, twice as long at most
_DEAD_LIMIT = const(4096)  # bytes of consumed frames tolerated before the log is rewritten: one littlefs block
_IDLE_LIMIT = const(512)  # and where nothing waits: what littlefs keeps beside the file's name, cheap to append to


class TooLong(ValueError):
    """An entry is too long to be sent; nothing was stored."""


class Outbox:
    """Entries are dicts of plain values. `limit` bounds the bytes of waiting entries on flash."""

    def __init__(self, path: str, limit: int = 16384) -> None:
        self.limit = limit
        self._log = path + ".log"
        self._record = Record(path + ".rec")
        saved = shaped(self._record.load(), {"head": 1, "next": 1, "dropped": 0})
        self._head = saved["head"]
        self._next = saved["next"]
        self.dropped = saved["dropped"]
        self._alive = 0  # bytes of waiting entries
        self._dead = 0  # bytes of consumed ones before them
        self.waiting = 0
        self.damaged = 0  # 1 when a damaged tail was found at start
        self._ragged = False  # the log's end cannot be appended to
        self._recover()

    def put(self, entry: dict, size: int = 0) -> int:
        """Stores an entry and returns its id. `size` is the length of its payload in bytes.

        Raises TooLong (over PAYLOAD_LIMIT) or OSError (28: flash full); nothing is stored then. A full flash drops
        nothing: what waits is worth no less than one entry more, and makes room when it has been delivered."""
        body = ujson.dumps(entry).encode()
        if size > PAYLOAD_LIMIT or len(body) > _BODY_LIMIT:
            raise TooLong("payload of %d bytes, at most %d can be sent" % (max(size, len(body)), PAYLOAD_LIMIT))
        number = self._next
        frame = _frame(number, body)
        if self._ragged and not self._try_compact():
            raise OSError(28)
        try:
            with open(self._log, "ab") as file:
                file.write(frame)
        except OSError:
            self._ragged = (_size(self._log) or 0) != self._alive + self._dead
            self._next += self._ragged  # it may be there, id and all
            raise
        self._next = number + 1
        self._account(number, len(frame))
        if self._alive > self.limit:
            self._make_room(len(frame))
        return number

    def batch(self, count: int, limit: int = 0x3FFFFFFF) -> list:
        """Up to `count` of the oldest waiting entries as (id, entry), at least one, of `limit` bytes on flash
        together."""
        out = []
        frames = self._frames(True)
        for number, size, body in frames:
            if number >= self._head:
                limit -= size
                if len(out) == count or out and limit < 0:
                    break
                out.append((number, ujson.loads(body)))
        frames.close()  # an open file cannot be removed (quecpython.md §2.2)
        return out

    def holds(self, key: str, value) -> bool:
        """Whether a waiting entry has this value under `key`."""
        found = False
        for number, _, body in self._frames(True):
            if number >= self._head and ujson.loads(body).get(key) == value:
                found = True
        return found

    def used(self) -> bool:
        """Whether an entry was ever consumed."""
        return self._head > 1

    def consume(self, batch: list) -> None:
        """Removes the entries of a batch, durably. The batch must be the oldest waiting ones, as `batch` gave them;
        only its ids are looked at."""
        if batch:
            self._advance(max(self._head, batch[-1][0] + 1))

    def _recover(self) -> None:
        """Finds what is waiting. A damaged tail is cut off, so that what is put next can be read again."""
        aside = self._log + ".new"
        size = _size(self._log)
        if size is None and _size(aside) is not None:  # the power went inside `replace`
            uos.rename(aside, self._log)
            size = _size(self._log)
        discard(aside)
        for number, length, _ in self._frames(False):
            self._account(number, length)
            self._next = max(self._next, number + 1)
        lost = (size or 0) - self._alive - self._dead
        if lost:
            self.damaged = 1
            self._ragged = True
            # What is lost may have been sent: its ids stay used, as many as there can have been.
            self._next += lost // _SHORTEST + 1
            self._save()
            self._try_compact()

    def _advance(self, head: int) -> None:
        """Entries below `head` are gone when this returns."""
        self._head = head
        self._save()
        alive = dead = count = 0
        for number, size, _ in self._frames(False):
            if number < head:
                dead += size
            else:
                alive += size
                count += 1
        self._alive, self._dead, self.waiting = alive, dead, count
        if self._dead <= (_DEAD_LIMIT if count else _IDLE_LIMIT) or self._try_compact() or count:
            return
        # The flash has no room for it. The log goes, after the record: the other way round a cut would free used ids.
        discard(self._log)
        self._dead = 0

    def _make_room(self, size: int) -> None:
        """Drops the oldest entries for one of `size` bytes that came over the limit. A limit that was lowered is not
        enforced at one blow: it may be on trial, and what was dropped does not come back."""
        need = min(self._alive - self.limit, size)
        head = self._head
        frames = self._frames(False)
        for number, length, _ in frames:
            if need <= 0:
                break
            if number >= self._head:
                need -= length
                self.dropped += 1
                head = number + 1
        frames.close()
        self._advance(head)

    def _compact(self) -> None:
        aside = self._log + ".new"
        last = b""
        with open(aside, "wb") as file:
            for number, _, body in self._frames(True):
                if number >= self._head:
                    file.write(_frame(number, body))
                else:
                    last = _frame(number, body)
            if self.waiting:
                last = b""  # those that wait know the ids
            file.write(last)
        replace(aside, self._log)
        self._dead = len(last)
        self._ragged = False

    def _try_compact(self) -> bool:
        """False where the flash has no room for it now: a later time will do, nothing depends on it."""
        try:
            self._compact()
        except OSError:
            discard(self._log + ".new")
            return False
        return True

    def _account(self, number: int, size: int) -> None:
        if number < self._head:
            self._dead += size
        else:
            self._alive += size
            self.waiting += 1

    def _save(self) -> None:
        self._record.save({"head": self._head, "next": self._next, "dropped": self.dropped})

    def _frames(self, bodies: bool):
        """Generator of (id, frame size, body or None). Stops at the first damaged frame: what follows cannot be
        framed."""
        try:
            file = open(self._log, "rb")  # noqa: SIM115 - closed by the generator's end
        except OSError:
            return
        try:
            while True:
                header = file.read(_HEADER_SIZE)
                if len(header) < _HEADER_SIZE:
                    return
                length, check, number = ustruct.unpack(_HEADER, header)
                if length > _BODY_LIMIT:
                    return
                body = file.read(length)
                if len(body) < length or crc32(body, crc32(header[6:])) != check:
                    return
                yield number, _HEADER_SIZE + length, body if bodies else None
        finally:
            file.close()


def _frame(number: int, body: bytes) -> bytes:
    tail = ustruct.pack(">I", number)
    return ustruct.pack(">HI", len(body), crc32(body, crc32(tail))) + tail + body


def _size(path: str):
    try:
        return uos.stat(path)[6]
    except OSError:
        return None
