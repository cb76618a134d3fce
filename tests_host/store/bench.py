"""Runs files of lib/ as on the module, without one: u-named modules, /usr on a real littlefs whose power can be cut at
any flash program, and of QuecPython what a test puts there. One `Bench` is one power-on; the flash outlives it.

    bench = Bench(flash, cut_at=3)
    outbox = bench.load("store.outbox").Outbox("/usr/outbox")
"""

from pathlib import Path
from typing import Any

from tools.module.cpython import Application, compiled
from tools.module.flash import CutContext, Flash
from tools.module.usr import Usr

LIB = Path(__file__).resolve().parents[2] / "lib"
NOTHING: dict[str, Any] = {"functions": [], "constants": {}, "classes": {}, "is_class": ""}


class PowerCut(BaseException):
    """The power went in the middle of a flash program."""


class Bench(Application):
    """One power-on. `cut_at`: the flash program in the middle of which the power goes (1 is the first). `firmware` are
    the QuecPython modules there are, by name. `printed` is what was written to the console."""

    def __init__(self, flash: Flash, cut_at: int | None = None, **firmware: Any) -> None:
        super().__init__({"uos": NOTHING})
        self.context = CutContext(flash.image, cut_at)
        self.printed = ""
        self.install(Usr(flash.mount(self.context), self.context, lambda: self.call("!cut")))
        self.modules.update(firmware)

    def load(self, name: str) -> Any:
        """A module of lib/, by its name there."""
        return self.import_(name, fromlist=("*",))

    @property
    def programs(self) -> int:
        """Flash programs so far."""
        return self.context.programs

    def call(self, path: str, *args: Any, **named: Any) -> Any:
        if path == "!cut":
            raise PowerCut
        assert path == "!console", path
        self.printed += args[1]
        return None

    def _find(self, name: str) -> tuple[str, str] | None:
        path = LIB.joinpath(*name.split("."))
        if path.is_dir():
            return "directory", str(path)
        return ("file", f"{path}.py") if path.with_suffix(".py").is_file() else None

    def _execute(self, path: str, scope: dict[str, Any]) -> None:
        scope.update({"__file__": path, "__builtins__": self.builtins})
        exec(compiled(Path(path).read_bytes(), path), scope)


def fill(flash: Flash) -> int:
    """Fills the flash to its last block, as a download that went too far would; returns the number of files
    /usr/fill.0, fill.1 … of one block each."""
    bench = Bench(flash)
    number = 0
    while True:  # `statvfs` counts directories twice
        try:
            with bench.usr.open(f"/usr/fill.{number}", "wb") as file:
                file.write(b"\xa5" * 4096)
        except OSError as error:
            if error.args != (28,):
                raise
            return number
        number += 1
