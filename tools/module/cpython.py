"""The application in CPython, in this process: fast, and a debugger can step through it.

Each power-on gets a greenlet with its own modules, builtins and /usr, and one more for each thread. A call of the
firmware switches to the host, which answers from the board. When the power goes the greenlets are unwound with the
flash frozen and every call refused, so that no `finally:` or `with` of the application has an effect after its time.
"""

import builtins
import functools
import traceback
from collections.abc import Callable
from types import CodeType, ModuleType, SimpleNamespace
from typing import Any

import greenlet

from tools.module.board import Handle
from tools.module.engine import FROZEN, FROZEN_MODULES, MAIN, USYS, Engine, late
from tools.module.flash import CutContext
from tools.module.natives import natives
from tools.module.usr import Usr

BUILTINS = """
ArithmeticError AssertionError AttributeError BaseException EOFError Ellipsis Exception GeneratorExit ImportError
IndentationError IndexError KeyError KeyboardInterrupt LookupError MemoryError NameError NotImplemented
NotImplementedError OSError OverflowError RuntimeError StopAsyncIteration StopIteration SyntaxError SystemExit TypeError
UnicodeError ValueError ZeroDivisionError abs all any bin bool bytearray bytes callable chr classmethod compile delattr
dict dir divmod enumerate eval exec filter float getattr globals hasattr hash hex id int isinstance issubclass iter len
list locals map max memoryview min next object oct ord pow property range repr round set setattr slice sorted
staticmethod str sum super tuple type zip __build_class__ __name__
""".split()  # noqa: SIM905 - a list of a hundred quoted names is harder to read
"""What the dialect has of Python's builtins (quecpython.md §1.2): no frozenset, no reversed."""


ERRORS = {"OSError": OSError, "ValueError": ValueError, "TypeError": TypeError}


class Remote:
    """A module, static class or object whose functions are calls of the firmware."""

    def __init__(self, call: Callable[..., Any], path: str, functions: list[str], constants: dict[str, Any]) -> None:
        self.__dict__.update(constants)
        self.path = path
        for name in functions:
            setattr(self, name, functools.partial(call, path + "." + name))


class RemoteClass:
    """A class of the firmware: calling it constructs an object, or gives False where the firmware refuses."""

    def __init__(self, call: Callable[..., Any], path: str, methods: list[str], constants: dict[str, Any]) -> None:
        self.__dict__.update(constants)
        self._call, self._path, self._methods, self._constants = call, path, methods, constants

    def __call__(self, *args: Any, **named: Any) -> Any:
        handle = self._call(self._path, *args, **named)
        return Remote(self._call, f"@{handle}", self._methods, self._constants) if handle else False


class Stream:
    """usys.stdout or usys.stderr."""

    def __init__(self, call: Callable[..., Any], name: str) -> None:
        self._call, self._name = call, name

    def write(self, text: str) -> int:
        self._call("!console", self._name, text)
        return len(text)

    def flush(self) -> None:
        pass


@functools.lru_cache(maxsize=512)
def compiled(source: bytes, path: str) -> CodeType:
    """Boots compile the same files again and again."""
    return compile(source, path, "exec", dont_inherit=True)


def trace_of(error: BaseException) -> str:
    """As MicroPython prints it, with the application's own lines only."""
    lines = ["Traceback (most recent call last):"]
    for frame in traceback.extract_tb(error.__traceback__):
        if frame.filename.startswith(("/usr", "usr/")):
            lines.append(f'  File "{frame.filename}", line {frame.lineno}, in {frame.name}')
    lines.append(f"{type(error).__name__}: {error}".removesuffix(": "))
    return "\n".join(lines) + "\n"


class Application:
    """One power-on's world as seen from main.py."""

    def __init__(self, surface: dict[str, Any], lacks: frozenset[str] = frozenset(),
                 later: dict[str, dict[str, Any]] | None = None) -> None:
        self.host = greenlet.getcurrent()
        self.dead = False
        self.running = MAIN  # the thread that computes
        self.begun: dict[int, tuple[Any, tuple, dict[str, Any]]] = {}  # functions of threads that have yet to run
        self.callbacks: list[Any] = [None]
        self.modules: dict[str, Any] = {}
        self.path: list[str] = [""]
        self.surface = surface
        self.lacks = lacks
        self.late = later or {}
        self.usr: Usr  # by `install`

    # -- calls of the firmware -------------------------------------------------------------------------------------

    def call(self, path: str, *args: Any, **named: Any) -> Any:
        """One call; virtual time may pass and callbacks may run meanwhile."""
        if self.dead:
            raise greenlet.GreenletExit
        views: list[tuple[memoryview, bytearray]] = []
        values = [self._outgoing(value, views) for value in args]
        given = {name: self._outgoing(value, views) for name, value in named.items()}
        result = self.host.switch((path, values, given))
        for view, copy in views:
            if bytes(view) != copy:
                view[:] = copy
        return result

    def _outgoing(self, value: Any, views: list) -> Any:
        if value is None or isinstance(value, (bool, int, float, str, bytes, bytearray)):
            return value
        if isinstance(value, memoryview):
            views.append((value, bytearray(value)))
            return views[-1][1]
        if isinstance(value, (tuple, list)):
            return type(value)([self._outgoing(item, views) for item in value])
        if isinstance(value, dict):
            return {self._outgoing(k, views): self._outgoing(v, views) for k, v in value.items()}
        if isinstance(value, Remote):
            return Handle(int(value.path[1:]))
        if callable(value):
            if value not in self.callbacks:
                self.callbacks.append(value)
            return self.callbacks.index(value)
        raise TypeError("can't convert " + type(value).__name__)

    # -- what it finds there ---------------------------------------------------------------------------------------

    def install(self, usr: Usr) -> None:
        """Puts the firmware's modules and builtins in place."""
        self.usr = usr
        self.stdout, self.stderr = Stream(self.call, "stdout"), Stream(self.call, "stderr")
        self.builtins = {name: getattr(builtins, name) for name in BUILTINS}
        self.builtins.update(
            {"open": usr.open, "print": self.print, "__import__": self.import_, "execfile": self.execfile}
        )
        self.modules.update({name: self._module(name, spec) for name, spec in self.surface.items()})
        self.modules["uos"].__dict__.update(usr.functions())
        self.modules.update(natives(usr.open, self.lacks))
        self.modules["usys"] = SimpleNamespace(
            **USYS, path=self.path, modules=self.modules, exit=self.exit, print_exception=self.print_exception,
            stdout=self.stdout, stderr=self.stderr,
        )
        thread = self.modules["_thread"] = self._frozen("thread")
        thread.__dict__.update(_call=self.call, _begin=self._begin, get_ident=lambda: self.running)
        for name in FROZEN_MODULES:
            if name not in self.lacks:
                self.modules[name] = self._frozen(name)

    def _module(self, name: str, spec: dict[str, Any]) -> Any:
        made = Remote(self.call, name, spec["functions"], spec["constants"])
        for cls, inner in spec["classes"].items():
            kind = Remote if inner["static"] else RemoteClass
            setattr(made, cls, kind(self.call, f"{name}.{cls}", inner["methods"], inner["constants"]))
        return getattr(made, spec["is_class"]) if spec["is_class"] else made

    def _frozen(self, name: str) -> ModuleType:
        file = FROZEN / f"{name}.py"
        module = ModuleType(name)
        module.__dict__["__builtins__"] = self.builtins
        exec(compiled(file.read_bytes(), str(file)), module.__dict__)
        return module

    def print(self, *values: Any, sep: str = " ", end: str = "\n", file: Any = None) -> None:
        (file or self.stdout).write(sep.join(str(value) for value in values) + end)

    def print_exception(self, error: BaseException, file: Any = None) -> None:
        (file or self.stdout).write(trace_of(error))

    def exit(self, *code: Any) -> None:
        raise SystemExit(*code)

    def execfile(self, path: str) -> None:
        self._execute(path, {"__name__": "__main__"})

    # -- import ----------------------------------------------------------------------------------------------------

    def import_(self, name: str, scope: Any = None, local: Any = None, fromlist: Any = (), level: int = 0) -> Any:
        """`import` as MicroPython has it: built-ins first, a directory without __init__.py is a package, `from package
        import module` imports the module."""
        if level:
            raise ImportError("relative import")
        parts = name.split(".")
        for depth in range(1, len(parts) + 1):
            self._load(".".join(parts[:depth]))
        if not fromlist:
            return self.modules[parts[0]]
        module = self.modules[name]
        for item in fromlist:
            if not hasattr(module, item) and hasattr(module, "__path__") and self._find(f"{name}.{item}"):
                self._load(f"{name}.{item}")
            if item != "*" and not hasattr(module, item):  # or the host would look for it among its own
                raise ImportError("can't import name " + item)
        return module

    def _find(self, name: str) -> tuple[str, str] | None:
        """(kind, path) of a module on /usr: 'directory' or 'file'. A directory wins, then .py, then .mpy."""
        package, _, last = name.rpartition(".")
        roots = [self.modules[package].__path__] if package else self.path
        for root in roots:
            base = f"{root}/{last}" if root else last
            if self.usr.kind(base) == "directory":
                return "directory", base
            for suffix in (".py", ".mpy"):
                if self.usr.kind(base + suffix) == "file":
                    return "file", base + suffix
        return None

    def _load(self, name: str) -> None:
        """Imports one level. A module that raises stays in `usys.modules`, half-built (quecpython.md §1.2)."""
        package, _, last = name.rpartition(".")
        if name in self.late and name not in self.modules:
            self.modules[name] = self._frozen(name)
            self.modules[name].__dict__.update(self.late[name])
        if name in self.modules:
            if package and not hasattr(self.modules[package], last):
                setattr(self.modules[package], last, self.modules[name])
            return
        found = None if package and not hasattr(self.modules[package], "__path__") else self._find(name)
        if found is None:
            raise ImportError(f"no module named '{name}'")
        kind, path = found
        module = self.modules[name] = ModuleType(name)
        if kind == "directory":
            module.__dict__["__path__"] = path
            path += "/__init__.py"
        if kind == "file" or self.usr.kind(path) == "file":
            self._execute(path, module.__dict__)
        if package:
            setattr(self.modules[package], last, module)

    def _execute(self, path: str, scope: dict[str, Any]) -> None:
        if path.endswith(".mpy"):
            raise ValueError("incompatible .mpy file")
        with self.usr.open(path, "rb") as file:
            source = file.read()
        scope.update({"__file__": path, "__builtins__": self.builtins})
        exec(compiled(source, path), scope)

    # -- threads -----------------------------------------------------------------------------------------------------

    def _begin(self, ident: int, function: Any, args: tuple, named: dict[str, Any]) -> None:
        self.begun[ident] = (function, args, named)

    def thread(self, ident: int) -> None:
        """A thread's body; what it raises ends only itself (quecpython.md §1.5)."""
        function, args, named = self.begun.pop(ident)
        try:
            function(*args, **named)
        except SystemExit:
            pass
        except Exception as error:  # noqa: BLE001 - as the firmware does
            self.print("Unhandled exception in thread started by <function>")
            self.print_exception(error)

    # -- main.py -----------------------------------------------------------------------------------------------------

    def main(self) -> None:
        try:
            self.execfile("/usr/main.py")
        except SystemExit:
            pass
        except Exception as error:  # noqa: BLE001 - the REPL would print it and stay
            self.print_exception(error)
            self.call("!crash", trace_of(error))
        self.call("!idle")

    def call_back(self, callback: int, argument: Any) -> None:
        """Runs one callback; what it raises is printed and swallowed (quecpython.md §1.5)."""
        try:
            self.callbacks[callback](argument)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - as the firmware does
            self.print_exception(error)


class CPythonEngine(Engine):
    """Runs the application in a greenlet of this process."""

    _context: CutContext | None = None

    @property
    def programs(self) -> int:
        return self._context.programs if self._context is not None else 0

    async def run(self) -> None:
        self.board.deliver = self._deliver
        context = self._context = CutContext(self.flash.image, self.cut_at_program)
        app = self._app = Application(self.surface(), self.board.profile.lacks, late(self.board.profile))
        self._running: list[greenlet.greenlet] = []
        with self.flash.powered(context) as fs:
            try:
                usr = Usr(fs, context, lambda: app.call("!cut"))
                usr.surplus = self.flash.surplus
                app.install(usr)
                await self._drive(app.main)
            finally:
                context.frozen = app.dead = True
                await self.end_threads()
                for running in reversed(self._running):
                    running.throw(greenlet.GreenletExit)

    async def run_thread(self, ident: int) -> None:
        await self._drive(self._app.thread, ident)

    async def _deliver(self, callback: int, argument: Any) -> None:
        await self._drive(self._app.call_back, callback, argument)

    async def _drive(self, function: Callable[..., Any], *args: Any) -> None:
        """Runs a function of the application in the present thread to its end, serving its calls. The greenlet of a
        thread that was stopped stays: nothing of it is unwound before the power goes."""
        app, running = self._app, greenlet.greenlet(function)
        self._running.append(running)
        app.running = self.go_on()
        request = running.switch(*args)
        while not running.dead:
            kind, result = await self.answer(*request)
            app.running = self.go_on()
            request = running.switch(result) if kind == "return" else running.throw(ERRORS[kind](result))
        self._running.remove(running)
