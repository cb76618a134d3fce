"""A ring of coded events on flash (device/events.py), for the day somebody asks what happened in the field.

`note` keeps an event in RAM, `flush` appends all of them as one frame: once a wake, so that a wake costs one write.
What was not flushed when the power went is lost; the next frame's boot number shows the gap.

On flash: `<path>.0`, to which frames are appended, and `<path>.1`, what was `.0` before. A frame is a mark, the length
of its body, the body, the CRC-32 of length and body. The body is boot number, Unix time (0: unknown), tenths of a
second since power-on, events missed; then per event its code, tenths of a second since the event before (since power-on
for the first), its value. All but mark, length, code and CRC are numbers of 7 bits a byte, low ones first, the top bit
set on all but the last. The device never reads it back; a reader looks behind damage for the next mark with a good CRC.
"""

import uos
import ustruct
from micropython import const

from store.record import crc32, replace

_MARK = const(0xEC)
_ROOM = const(224)  # bytes of events in RAM: with its head a body stays below 256; about 60 events
_LONGEST = const(11)  # bytes of one event
_FILE = const(2560)  # bytes: littlefs copies a file's last block to append to it, 4 programs of 512 bytes on average
_LARGEST = const(0x3FFFFFFF)  # of a number: what a small int holds on the module


class Journal:
    """`now()` gives the milliseconds since power-on. `limit` bounds each of the two files: at most a littlefs block,
    4096."""

    def __init__(self, path: str, now, limit: int = _FILE) -> None:
        self._path = path
        self._now = now
        self._limit = limit
        self._events = bytearray()
        self._last = 0  # tenths of a second since power-on, of the last event
        self.missed = 0  # events that found no room in RAM, since the last flush

    def note(self, code: int, value: int = 0) -> None:
        """Keeps an event; a value outside of 0…2**30-1 becomes the nearer end. Writes nothing."""
        if len(self._events) > _ROOM - _LONGEST:
            self.missed += 1
            return
        tenths = self._now() // 100
        self._events.append(code)
        _number(self._events, tenths - self._last)
        _number(self._events, max(0, min(value, _LARGEST)))
        self._last = tenths

    def flush(self, boot: int, when: int) -> bool:
        """Appends what was noted, durably; `boot` is the boot's number, `when` the Unix time, both 0 where unknown.
        False where the flash refused: it is kept for the next flush. Never raises."""
        if not self._events:
            return True
        body = bytearray(2)
        for number in (boot, when, self._now() // 100, self.missed):
            _number(body, number)
        body.extend(self._events)
        body[0] = _MARK
        body[1] = len(body) - 2
        body.extend(ustruct.pack("<I", crc32(bytes(body[1:]))))
        try:
            self._append(body)
        except OSError:
            return False
        self._events = bytearray()
        self._last = self.missed = 0
        return True

    def _append(self, frame: bytearray) -> None:
        path = self._path + ".0"
        if _size(path) + len(frame) > self._limit:
            replace(path, self._path + ".1")
        with open(path, "ab") as file:
            file.write(frame)


def _number(out: bytearray, number: int) -> None:
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)


def _size(path: str) -> int:
    try:
        return uos.stat(path)[6]
    except OSError:
        return 0
