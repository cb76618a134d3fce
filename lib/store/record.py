"""One small record on flash that is either the old one or the new one, whatever happens while it is written.

A record is a dict of plain values, kept as JSON behind a CRC-32. Saving writes a second file, reads it back and renames
it over the first: littlefs makes a closed file durable and a rename atomic (quecpython.md §2.2); the checksum covers
what that leaves open.
"""

import ujson
import uos
from micropython import const

from store.shape import shaped

_LIMIT = const(8192)  # bytes; a longer file is no record of ours


class Record:
    """The record at `path`. `load` and `save` are all there is; nothing is cached."""

    def __init__(self, path: str) -> None:
        self.path = path

    def load(self):
        """The dict last saved, or None: never saved, or both copies damaged.

        The second copy counts only where the first is missing or damaged: a cut between write and rename leaves the old
        record in force, as if `save` had never been called."""
        for path in (self.path, self.path + ".new"):
            value = _read(path)
            if value is not None:
                return value
        return None

    def save(self, value: dict) -> None:
        """Durable when it returns. Raises OSError (28: flash full; 27: over 8 KiB; 5: what was written reads back
        differently); the old record is then still in force."""
        body = ujson.dumps(value).encode()
        if len(body) + 9 > _LIMIT:
            raise OSError(27)
        head = b"%08x " % crc32(body)
        aside = self.path + ".new"
        with open(aside, "wb") as file:
            file.write(head)
            file.write(body)
        with open(aside, "rb") as file:
            same = file.read(9) == head and file.read() == body
        if not same:
            discard(aside)
            raise OSError(5)
        replace(aside, self.path)

    def remove(self) -> None:
        """Forgets the record."""
        # The second copy first: without the first it would be read, and may be from an earlier save that was cut.
        discard(self.path + ".new")
        discard(self.path)


class Numbers:
    """Numbers that must never repeat, whenever the power goes: each is reserved ahead on flash in a block, so that a
    cut skips some and repeats none. `blocks` is {name: numbers reserved at a time}, `first` {name: where to begin on a
    new device}.

    One save, at the first number drawn after power-on, reserves for all names together."""

    def __init__(self, path: str, blocks: dict, first: dict) -> None:
        self._record = Record(path)
        self._blocks = blocks
        self._next = shaped(self._record.load(), {name: first.get(name, 1) for name in blocks})
        self._limit = dict(self._next)

    def next(self, name: str) -> int:
        """A number of this name that was never given before."""
        if self._next[name] >= self._limit[name]:
            limit = {name: self._next[name] + block for name, block in self._blocks.items()}
            self._record.save(limit)  # raises where they are not reserved: none of them is given then
            self._limit = limit
        number = self._next[name]
        self._next[name] = number + 1
        return number


def _read(path: str):
    try:
        with open(path, "rb") as file:
            data = file.read(_LIMIT + 1)
    except OSError:
        return None
    if len(data) > _LIMIT or data[8:9] != b" " or data[:8] != b"%08x" % crc32(data[9:]):
        return None
    try:
        value = ujson.loads(data[9:])
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def replace(source: str, target: str) -> None:
    """Renames over an existing file. Where the file system refuses that (to be probed, quecpython.md §1.6), the target
    is removed first; `Record.load` then finds the second copy if the power goes in between."""
    try:
        uos.rename(source, target)
    except OSError as error:
        if error.args[0] not in (17, 1, 22):  # EEXIST, EPERM, EINVAL
            raise
        uos.remove(target)
        uos.rename(source, target)


def directory(path: str) -> None:
    """Makes a directory that may be there already."""
    try:
        uos.mkdir(path)
    except OSError as error:
        if error.args[0] != 17:
            raise


def discard(path: str) -> None:
    """Removes a file that may not be there."""
    try:
        uos.remove(path)
    except OSError as error:
        if error.args[0] != 2:
            raise


# CRC-32 (IEEE 802.3, reflected) by half bytes: ubinascii.crc32 is not on every image (quecpython.md §1.6), and 16
# entries cost less heap than 256.
_NIBBLES = (
    0x00000000, 0x1DB71064, 0x3B6E20C8, 0x26D930AC, 0x76DC4190, 0x6B6B51F4, 0x4DB26158, 0x5005713C,
    0xEDB88320, 0xF00F9344, 0xD6D6A3E8, 0xCB61B38C, 0x9B64C2B0, 0x86D3D2D4, 0xA00AE278, 0xBDBDF21C,
)  # fmt: skip


def crc32(data: bytes, crc: int = 0) -> int:
    """CRC-32 of `data`, continuing from `crc`."""
    crc ^= 0xFFFFFFFF
    for byte in data:
        crc = _NIBBLES[(crc ^ byte) & 15] ^ crc >> 4
        crc = _NIBBLES[(crc ^ byte >> 4) & 15] ^ crc >> 4
    return crc ^ 0xFFFFFFFF
