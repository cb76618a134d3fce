"""/usr for the CPython engine: `open` and the file functions of `uos` as MicroPython's VFS has them, on littlefs.

Errors are OSError with the errno alone (quecpython.md §1.2). Files go to littlefs directly, without buffers of
Python's, so that the flash sees the same programs as from the VM.
"""

from collections.abc import Callable, Iterator
from typing import Any

from littlefs import LittleFS, LittleFSError, lfs

from tools.module.flash import BLOCK, CutContext

EPERM, ENOENT, ENODEV = 1, 2, 19
DIRECTORY, REGULAR = 0x4000, 0x8000
ENCODING = "utf-8"

FUNCTIONS = ("chdir", "getcwd", "ilistdir", "listdir", "mkdir", "remove", "rename", "rmdir", "stat", "statvfs")
"""What `uos` has of them (quecpython.md §1.6); the mounts are the firmware's."""


class Usr:
    """The file system as the application sees it: "/usr", and nothing else under "/". `cut` is called when the power
    went in the middle of an operation, or before it; it does not return."""

    def __init__(self, fs: LittleFS, context: CutContext, cut: Callable[[], None]) -> None:
        self.fs, self.context, self._cut = fs, context, cut
        self.cwd = "/"
        self.surplus = 0  # see tools/module/flash.py
        self.open_files: set[File] = set()  # littlefs keeps pointers to them

    def do(self, operation: Callable[..., Any], *args: Any) -> Any:
        """One operation of littlefs on this file system."""
        try:
            return operation(self.fs.fs, *args)
        except LittleFSError as error:
            if self.context.frozen:
                self._cut()
            raise OSError(-int(error.code)) from None

    def inner(self, path: str) -> str:
        """The path inside littlefs; OSError(19) outside of /usr, OSError(1) for "/" itself."""
        full = self.absolute(path)
        if full == "/":
            raise OSError(EPERM)
        if full != "/usr" and not full.startswith("/usr/"):
            raise OSError(ENODEV)
        return full[4:] or "/"

    def absolute(self, path: str) -> str:
        full = path if path.startswith("/") else self.cwd.rstrip("/") + "/" + path
        return "/" + full.strip("/")

    def kind(self, path: str) -> str:
        """'file', 'directory' or '' for nothing: what import asks."""
        try:
            return "directory" if self.stat(path)[0] == DIRECTORY else "file"
        except OSError:
            return ""

    # -- uos -------------------------------------------------------------------------------------------------------

    def functions(self) -> dict[str, Callable[..., Any]]:
        return {name: getattr(self, name) for name in FUNCTIONS}

    def chdir(self, path: str) -> None:
        if self.absolute(path) != "/" and self.stat(path)[0] != DIRECTORY:
            raise OSError(ENOENT)
        self.cwd = self.absolute(path)

    def getcwd(self) -> str:
        return self.cwd

    def ilistdir(self, path: str = "") -> Iterator[tuple]:
        if self.absolute(path) == "/":
            return iter([("usr", DIRECTORY, 0, 0)])
        handle = self.do(lfs.dir_open, self.inner(path), ENCODING)
        entries = []
        while (entry := self.do(lfs.dir_read, handle, ENCODING)) is not None:
            if entry.name not in (".", ".."):
                directory = entry.type == lfs.LFSStat.TYPE_DIR
                entries.append((entry.name, DIRECTORY if directory else REGULAR, 0, entry.size))
        self.do(lfs.dir_close, handle)
        return iter(entries)

    def listdir(self, path: str = "") -> list[str]:
        return [entry[0] for entry in self.ilistdir(path)]

    def mkdir(self, path: str) -> None:
        self.do(lfs.mkdir, self.inner(path), ENCODING)

    def remove(self, path: str) -> None:
        self.do(lfs.remove, self.inner(path), ENCODING)

    def rmdir(self, path: str) -> None:
        self.remove(path)

    def rename(self, old: str, new: str) -> None:
        """Replaces an existing target (quecpython.md §1.6, inferred)."""
        self.do(lfs.rename, self.inner(old), self.inner(new), ENCODING)

    def stat(self, path: str) -> tuple[int, ...]:
        """A 10-tuple: kind at 0, size at 6."""
        if self.absolute(path) == "/":
            return (DIRECTORY,) + (0,) * 9
        info = self.do(lfs.stat, self.inner(path), ENCODING)
        directory = info.type == lfs.LFSStat.TYPE_DIR
        return (DIRECTORY if directory else REGULAR, 0, 0, 0, 0, 0, 0 if directory else info.size, 0, 0, 0)

    def statvfs(self, path: str) -> tuple[int, ...]:
        """(block size, fragment size, blocks, free, free for all, 0, 0, 0, 0, longest name)."""
        self.inner(path)
        blocks = len(self.context.buffer) // BLOCK - self.surplus
        directories = sum(len(names) for _, names, _ in self.fs.walk("/"))  # two blocks each, which the VM counts twice
        free = blocks - (self.do(lfs.fs_size) - self.surplus) - 2 * directories
        return (BLOCK, BLOCK, blocks, free, free, 0, 0, 0, 0, 255)

    def open(self, path: str, mode: str = "r", **ignored: Any) -> "File":
        """`encoding=` is accepted and ignored (quecpython.md §1.2)."""
        flags: str | int = mode
        if "a" in mode:  # MicroPython creates the file, littlefs-python does not
            flag = {entry.name: int(entry) for entry in lfs.LFSFileFlag}
            flags = flag["creat"] | flag["append"] | flag["wronly"] | (flag["rdonly"] if "+" in mode else 0)
        return File(self, self.do(lfs.file_open, self.inner(path), flags, ENCODING), "b" in mode)


class File:
    """An open file. What is written is durable after `flush` or `close`; a file still open when the power goes keeps
    its old content (quecpython.md §2.2)."""

    def __init__(self, usr: Usr, handle: Any, binary: bool) -> None:
        self._usr, self._handle, self._binary = usr, handle, binary
        usr.open_files.add(self)

    def _do(self, operation: Callable[..., Any], *args: Any) -> Any:
        if self not in self._usr.open_files:
            raise ValueError("closed file")
        return self._usr.do(operation, self._handle, *args)

    def _out(self, data: bytes) -> Any:
        return data if self._binary else data.decode()

    def read(self, size: int = -1) -> Any:
        """`size` bytes, also of a text file; all that is left by default."""
        if size is None or size < 0:
            size = self._do(lfs.file_size) - self._do(lfs.file_tell)
        return self._out(bytes(self._do(lfs.file_read, size)))

    def readinto(self, buffer: Any) -> int:
        data = self._do(lfs.file_read, len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def readline(self) -> Any:
        start = self._do(lfs.file_tell)
        line = b""
        while b"\n" not in line and (chunk := bytes(self._do(lfs.file_read, 64))):
            line += chunk
        line = line[: line.find(b"\n") + 1] or line
        self._do(lfs.file_seek, start + len(line), 0)
        return self._out(line)

    def readlines(self) -> list:
        return list(self)

    def __iter__(self) -> Iterator[Any]:
        while line := self.readline():
            yield line

    def write(self, data: Any) -> int:
        return self._do(lfs.file_write, data.encode() if isinstance(data, str) else bytes(data))

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._do(lfs.file_seek, offset, whence)

    def tell(self) -> int:
        return self._do(lfs.file_tell)

    def flush(self) -> None:
        self._do(lfs.file_sync)

    def close(self) -> None:
        if self in self._usr.open_files:
            try:
                self._do(lfs.file_close)
            finally:
                self._usr.open_files.discard(self)

    def __enter__(self) -> "File":
        return self

    def __exit__(self, *details: Any) -> None:
        self.close()
