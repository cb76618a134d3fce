"""The module's flash: one littlefs 2 image for /usr, kept in memory or in a file.

`Flash` is the host's view between power-ons. The VM opens the same image as a block device; the CPython engine mounts
it through `CutContext`. Nothing here knows about QuecPython.
"""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from littlefs import LittleFS, LittleFSError, lfs
from littlefs.context import UserContext

BLOCK = 4096
"""Bytes of an erase block (`statvfs` sample, quecpython.md §1.4)."""

GEOMETRY: Any = {"block_size": BLOCK, "read_size": 128, "prog_size": 128, "cache_size": 512, "lookahead_size": 32}
"""littlefs's own parameters; the VM's VfsLfs2 is given the same, so that both read and write one image."""

BLANK = b"\xff"


class CutContext(UserContext):
    """Block device over `image` whose power goes at the `cut_at`-th program (1 is the first; None: never).

    Half of that program's bytes are written, and nothing after them: every later program and erase is ignored and
    answered with an I/O error, so that code that still runs cannot write.
    """

    def __init__(self, image: bytearray, cut_at: int | None = None) -> None:
        super().__init__(buffer=image)
        self.cut_at = cut_at
        self.programs = 0
        self.frozen = False
        self.cut = False

    def prog(self, cfg: object, block: int, off: int, data: bytes) -> int:
        if self.frozen:
            return LittleFSError.Error.LFS_ERR_IO
        self.programs += 1
        start = block * BLOCK + off
        if self.programs == self.cut_at:
            half = len(data) // 2
            self.buffer[start : start + half] = data[:half]
            self.frozen = self.cut = True
            return LittleFSError.Error.LFS_ERR_IO
        self.buffer[start : start + len(data)] = data
        return 0

    def erase(self, cfg: object, block: int) -> int:
        if self.frozen:
            return LittleFSError.Error.LFS_ERR_IO
        self.buffer[block * BLOCK : (block + 1) * BLOCK] = BLANK * BLOCK
        return 0

    def read(self, cfg: object, block: int, off: int, size: int) -> bytearray:
        start = block * BLOCK + off
        return self.buffer[start : start + size]


class Flash:
    """/usr of one module. Paths here are relative to /usr ("a/app.py") or absolute ("/usr/a/app.py").

    `path` names the file that holds the image; it is read if it exists and written back after every change. Methods
    raise littlefs.LittleFSError; `read` and `remove` say FileNotFoundError. An existing image that does not mount is an
    error, never formatted over.
    """

    surplus = 0
    """Blocks by which it is larger here than on a module, since sources take more than bytecode. The CPython engine's
    `uos.statvfs` leaves them out, so that both engines say the same."""

    def __init__(self, blocks: int = 256, path: Path | None = None) -> None:
        self.path = path
        if path is not None and path.exists():
            self.image = bytearray(path.read_bytes())
            if len(self.image) != blocks * BLOCK:
                raise ValueError(f"{path}: {len(self.image)} bytes where {blocks} blocks are expected")
        else:
            self.image = bytearray(BLANK * (blocks * BLOCK))
            LittleFS(CutContext(self.image), mount=False, block_count=blocks, **GEOMETRY).format()
            self._save()

    @property
    def blocks(self) -> int:
        return len(self.image) // BLOCK

    def mount(self, context: CutContext | None = None) -> LittleFS:
        """The mounted file system; through `context` where programs are counted and cut."""
        fs = LittleFS(context or CutContext(self.image), mount=False, block_count=self.blocks, **GEOMETRY)
        fs.mount()
        return fs

    # -- the host's access, between power-ons --------------------------------------------------------------------

    def install(self, files: dict[str, bytes]) -> None:
        """Writes `files`, making directories as needed; a name that ends in "/" is an empty directory."""
        with self._changing() as fs:
            for name, content in files.items():
                inner = _inner(name)
                directory = inner if name.endswith("/") else inner.rpartition("/")[0]
                if directory:
                    fs.makedirs(directory, exist_ok=True)
                if not name.endswith("/"):
                    put(fs, inner, content)

    def write(self, name: str, content: bytes) -> None:
        """Writes one file."""
        self.install({name: content})

    def read(self, name: str) -> bytes:
        """The content of one file."""
        fs = self.mount()
        try:
            handle = lfs.file_open(fs.fs, _inner(name), "rb", "utf-8")
        except LittleFSError as error:
            if error.code == LittleFSError.Error.LFS_ERR_NOENT:
                raise FileNotFoundError(name) from None
            raise
        try:
            return bytes(lfs.file_read(fs.fs, handle, lfs.file_size(fs.fs, handle)))
        finally:
            lfs.file_close(fs.fs, handle)

    def exists(self, name: str) -> bool:
        """Whether there is a file or directory of that name."""
        try:
            self.mount().stat(_inner(name))
        except LittleFSError as error:
            if error.code != LittleFSError.Error.LFS_ERR_NOENT:
                raise
            return False
        return True

    def remove(self, name: str) -> None:
        """Removes a file, or a directory with all that is in it."""
        with self._changing() as fs:
            fs.remove(_inner(name), recursive=True)

    def list(self) -> dict[str, int]:
        """Every file with its size; directories end in "/" and have size 0."""
        out: dict[str, int] = {}
        fs = self.mount()
        for top, directories, names in fs.walk("/"):
            base = top.strip("/")
            base = base + "/" if base else ""
            out.update({base + name + "/": 0 for name in directories})
            out.update({base + name: fs.stat("/" + base + name).size for name in names})
        return dict(sorted(out.items()))

    def statvfs(self) -> dict[str, int]:
        """`blocks` there are and `free` ones, of 4096 bytes."""
        return {"block_size": BLOCK, "blocks": self.blocks, "free": self.blocks - self.mount().used_block_count}

    @contextlib.contextmanager
    def as_file(self) -> Iterator[Path]:
        """The image as a file for a program outside; what it has written there is the image afterwards, however it
        ended."""
        if self.path is not None:
            try:
                yield self.path
            finally:
                self.image[:] = self.path.read_bytes()
            return
        with tempfile.NamedTemporaryFile(prefix="usr-", suffix=".littlefs") as file:
            file.write(self.image)
            file.flush()
            try:
                yield Path(file.name)
            finally:
                self.image[:] = Path(file.name).read_bytes()

    @contextlib.contextmanager
    def powered(self, context: CutContext) -> Iterator[LittleFS]:
        """The file system for one power-on in this process; at its end the image is frozen as it is."""
        try:
            yield self.mount(context)
        finally:
            context.frozen = True
            self._save()

    @contextlib.contextmanager
    def _changing(self) -> Iterator[LittleFS]:
        fs = self.mount()
        try:
            yield fs
        finally:
            fs.unmount()
            self._save()

    def _save(self) -> None:
        if self.path is not None:
            self.path.write_bytes(self.image)


def _inner(name: str) -> str:
    """The path inside the image."""
    name = name.strip("/")
    return name[4:] if name.startswith("usr/") else "" if name == "usr" else name


def put(fs: LittleFS, name: str, content: bytes) -> None:
    """Writes one file of a mounted image. Not through `LittleFS.open`: its file is closed twice when closing fails, and
    littlefs aborts the process for that."""
    handle = lfs.file_open(fs.fs, name, "wb", "utf-8")
    try:
        lfs.file_write(fs.fs, handle, content)
    finally:
        lfs.file_close(fs.fs, handle)
