"""Runs first in the MicroPython VM: makes it look like the module from inside, then runs /usr/main.py.

QuecPython's modules become thin proxies: one JSON line per call to the modem process (`engine.py`), read until its
reply. Threads are this VM's own, but only the one that was answered last computes: it alone reads the link. `/usr` is
the littlefs image, there is nothing beside it. It is loaded as bytecode, beside the frozen modules': compiling it here
would scatter it over the application's heap.
"""

import _thread
import binascii
import builtins
import gc
import io
import json
import os
import sys

import vfs

LINK, IMAGE = 0, 3  # descriptors, always the same ones: reading their numbers would take more steps or fewer
link = open(LINK, "r+b")  # noqa: SIM115 - open as long as the power is on
GARBAGE = 16384  # bytes allocated since the last collection that make a call collect
live = [0]  # bytes in use after it
programs = [0]  # of the flash, so far
callbacks = [None]  # what the application passed as a callback; its index travels, 0 is none
threads = {}  # [lock, message] of each thread: it waits for its lock, which is held until then, and finds its message
running = [1, None]  # the thread that computes, and what `threads` has of it; 1 is main.py's
idle = []  # those whose function has ended
late = {}  # frozen modules that are loaded when they are imported: {name: what in it is the image's own}
rom = []  # the file system they come from
jobs = {}  # (function, args, kwargs) of threads that have yet to run


# -- the link -------------------------------------------------------------------------------------------------------


def receive():
    """The next message for this thread. Its length comes first, in six hex digits: readline would cost a system call
    per byte. What is for another thread is handed to it; then that one computes and reads, until it has one for us."""
    mine = running[1]
    head = link.read(6)
    message = json.loads(link.read(int(head, 16))) if head else [1, "off", 0, 0]
    other = threads[message[0]]
    if other is not mine:
        other[1] = message
        wait = mine[0].acquire
        other[0].release()
        wait()
        message = mine[1]
        running[0], running[1] = message[0], mine
    if message[1] == "off":
        sys.exit(0)
    return message


def pack(value, buffers):
    """A value as JSON can say it. Buffers are numbered in `buffers`, for what the host writes into them."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, bytes):
        return {"b": binascii.hexlify(value).decode()}
    if isinstance(value, (bytearray, memoryview)):
        buffers.append(value)
        return {"w": binascii.hexlify(value).decode()}
    if isinstance(value, tuple):
        return {"t": [pack(item, buffers) for item in value]}
    if isinstance(value, list):
        return [pack(item, buffers) for item in value]
    if isinstance(value, dict):
        return {"d": [[pack(k, buffers), pack(v, buffers)] for k, v in value.items()]}
    if isinstance(value, Remote):
        return {"h": int(value._path[1:])}
    if callable(value):
        if value not in callbacks:
            callbacks.append(value)
        return {"c": callbacks.index(value)}
    raise TypeError("can't convert " + type(value).__name__)


def unpack(value):
    if isinstance(value, dict):
        if "b" in value:
            return binascii.unhexlify(value["b"])
        if "t" in value:
            return tuple([unpack(item) for item in value["t"]])
        return {unpack(k): unpack(v) for k, v in value["d"]}
    if isinstance(value, list):
        return [unpack(item) for item in value]
    return value


def say(name, args, named):
    """One line to the host, with the live heap if that is measured. The module's firmware is C and makes no garbage, so
    this file's garbage must not scatter the application's heap: it is collected when there is some."""
    heap = gc.mem_alloc()
    if measured or heap > live[0] + GARBAGE:
        gc.collect()
        heap = live[0] = gc.mem_alloc()
    link.write(json.dumps([name, args, named, heap if measured else 0, programs[0]]) + "\n")


def call(path, *args, **named):
    """One call of the firmware. It blocks; virtual time may pass and callbacks may run meanwhile."""
    buffers = []
    say(path, [pack(value, buffers) for value in args], {k: pack(v, buffers) for k, v in named.items()})
    while True:
        _, kind, value, extra = receive()
        if kind == "call back":
            try:
                callbacks[value](unpack(extra))
            except (Exception, SystemExit) as error:  # noqa: BLE001 - printed and swallowed (quecpython.md 1.5)
                print_exception(error)
            say("!done", [], {})
        elif kind == "return":
            for index, content in extra:
                buffers[index][:] = binascii.unhexlify(content)
            return unpack(value)
        elif kind == "OSError":
            raise OSError(value)
        else:
            raise (ValueError if kind == "ValueError" else TypeError)(value)


# -- threads --------------------------------------------------------------------------------------------------------


def held():
    """A lock that is taken. The process's id stands in it, among what the collector walks over: who starts no thread
    has none, so that its instructions are the same in every run."""
    lock = _thread.allocate_lock()
    lock.acquire()
    return lock


def begin(ident, function, args, named):
    """Has a function run in a thread of this VM, an idle one if there is any, once the host lets it go."""
    jobs[ident] = (function, args, named)
    if idle:
        threads[ident] = idle.pop()
        return
    if threads[1][0] is None:
        threads[1][0] = held()
    threads[ident] = [held(), None]
    there = held()
    real_start_new_thread(worker, (threads[ident], there))
    there.acquire()


def worker(mine, there):
    """A thread of this VM: runs one thread of the application after the other. It never ends: while it did, another one
    would already compute."""
    wait = mine[0].acquire
    there.release()
    wait()
    running[0], running[1] = mine[1][0], mine
    there = wait = None
    while True:
        run(*jobs.pop(running[0]))
        del threads[running[0]]
        idle.append(mine)
        say("!done", [], {})
        receive()


def run(function, args, named):
    """A thread of the application; what it raises ends only itself (quecpython.md 1.5)."""
    try:
        function(*args, **named)
    except SystemExit:
        pass
    except BaseException as error:  # noqa: BLE001 - as the firmware does
        print_line("Unhandled exception in thread started by <function>")
        print_exception(error)


# -- the firmware's modules -----------------------------------------------------------------------------------------


class Remote:
    """A module, a class whose functions are static, or an object: its functions are calls of the firmware."""

    def __init__(self, path, functions, constants):
        self._path, self._functions = path, functions
        for name, value in constants.items():
            setattr(self, name, unpack(value))

    def __getattr__(self, name):
        if name in self._functions:
            path = self._path + "." + name
            return lambda *args, **named: call(path, *args, **named)
        raise AttributeError(name)


class RemoteClass(Remote):
    """A class of the firmware: calling it constructs an object, or gives False where the firmware refuses."""

    def __init__(self, path, methods, constants):
        Remote.__init__(self, path, (), constants)
        self._methods, self._constants = methods, constants

    def __call__(self, *args, **named):
        handle = call(self._path, *args, **named)
        return Remote("@%d" % handle, self._methods, self._constants) if handle else False


class Namespace:
    """A module with just the attributes it is given."""

    def __init__(self, attributes):
        for name, value in attributes.items():
            setattr(self, name, value)


def module(name, spec):
    """The module that `Board.surface` describes."""
    made = Remote(name, spec["functions"], spec["constants"])
    for cls, inner in spec["classes"].items():
        kind = Remote if inner["static"] else RemoteClass
        setattr(made, cls, kind(name + "." + cls, inner["methods"], inner["constants"]))
    return getattr(made, spec["is_class"]) if spec["is_class"] else made


# -- the console ----------------------------------------------------------------------------------------------------


class Stream:
    """usys.stdout or usys.stderr."""

    def __init__(self, name):
        self._name = name

    def write(self, text):
        call("!console", self._name, text if isinstance(text, str) else bytes(text).decode())
        return len(text)

    def flush(self):
        pass


stdout, stderr = Stream("stdout"), Stream("stderr")


def print_line(*values, sep=" ", end="\n", file=None):
    (file or stdout).write(sep.join([str(value) for value in values]) + end)


def trace_of(error):
    """The trace without this file's own lines."""
    text = io.StringIO()
    real_print_exception(error, text)
    return "\n".join([line for line in text.getvalue().split("\n") if 'File "shim.py"' not in line])


def print_exception(error, file=None):
    (file or stdout).write(trace_of(error))


# -- /usr -----------------------------------------------------------------------------------------------------------


class BlockDevice:
    """The image as littlefs's block device. Opened before "/" is unmounted. At the `cut_at`-th program the power goes,
    with half of the bytes written."""

    def __init__(self, descriptor, block_size, cut_at):
        self.file = open(descriptor, "r+b")  # noqa: SIM115 - open as long as the power is on
        self.block_size, self.cut_at = block_size, cut_at
        self.blocks = self.file.seek(0, 2) // block_size
        self.blank = b"\xff" * block_size

    def readblocks(self, block, buffer, offset=0):
        self.file.seek(block * self.block_size + offset)
        self.file.readinto(buffer)

    def writeblocks(self, block, buffer, offset=0):
        programs[0] += 1
        self.file.seek(block * self.block_size + offset)
        if programs[0] == self.cut_at:
            self.file.write(memoryview(buffer)[: len(buffer) // 2])
            call("!cut")
        self.file.write(buffer)

    def ioctl(self, operation, argument):
        if operation == 4:
            return self.blocks
        if operation == 5:
            return self.block_size
        if operation == 6:
            self.file.seek(argument * self.block_size)
            self.file.write(self.blank)
        return 0


# -- imports --------------------------------------------------------------------------------------------------------

# Built-in modules of this VM that the module has not, at least not under this name (quecpython.md 1.3).
ABSENT = (
    "_asyncio", "argparse", "array", "asyncio", "binascii", "builtins", "cmath", "collections", "cryptolib", "deflate",
    "errno", "framebuf", "hashlib", "heapq", "io", "json", "machine", "mip", "os", "platform", "random", "re",
    "requests", "select", "socket", "ssl", "struct", "sys", "termios", "time", "tls", "uasyncio", "uctypes", "vfs",
    "websocket",
)


def guarded_import(name, scope=None, local=None, fromlist=None, level=0):
    """`import` as the module has it: absent built-ins are absent unless the application put something in their place
    (quecpython.md 2.5: the alias trick), and a module that raised while importing is there, half-built, the second time
    (quecpython.md 1.2)."""
    if level == 0 and name not in sys.modules and (name in ABSENT or name[:1] == "u" and name[1:] in ABSENT):
        raise ImportError("no module named '%s'" % name)
    known = name in sys.modules
    if name in late and not known:
        load(name)
    try:
        found = real_import(name, scope, local, fromlist, level)
    except Exception as error:
        if not (known or missing(name, error)):
            leave_half_built(name)
        raise
    if fromlist and isinstance(found, Remote):
        for item in fromlist:
            if not hasattr(found, item):
                raise ImportError("can't import name " + item)
    return found


def load(name):
    """The first import of a frozen module; the image is within reach for as long."""
    vfs.mount(rom[0], "/rom")
    sys.path.append("/rom")
    try:
        made = real_import(name)
    finally:
        sys.path.pop()
        vfs.umount("/rom")
    for attribute, value in late[name].items():
        setattr(made, attribute, value)


def missing(name, error):
    """Whether there is no such module, or no such package around it."""
    if not isinstance(error, ImportError) or not error.args:
        return False
    levels = name.split(".")
    return error.args[0] in ["no module named '%s'" % ".".join(levels[: i + 1]) for i in range(len(levels))]


def leave_half_built(name):
    """This VM takes a module out of `sys.modules` when it raises; the module's does not."""
    if name not in sys.modules:
        sys.modules[name] = Namespace({"__name__": name})


def gone(*args):
    raise NameError("name isn't defined")


# -- boot -----------------------------------------------------------------------------------------------------------


def natives():
    """The u-named modules that this VM has itself."""
    import collections
    import re
    import struct

    import aes
    import micropython
    import uhashlib

    del sys.modules["aes"]
    return {
        "micropython": Namespace({"const": micropython.const}),
        "ustruct": struct,
        "ubinascii": binascii,
        "ujson": json,
        "uio": Namespace({"open": open, "StringIO": io.StringIO, "BytesIO": io.BytesIO}),
        "ucollections": Namespace({"namedtuple": collections.namedtuple, "deque": collections.deque}),
        "ure": Namespace({"compile": re.compile, "match": re.match, "search": re.search}),
        "uhashlib": Namespace({name: getattr(uhashlib, name) for name in ("sha256", "sha1", "md5")}),
        "ucryptolib": Namespace({"aes": aes.aes, "MODE_ECB": aes.ECB, "MODE_CBC": aes.CBC, "MODE_CTR": aes.CTR}),
    }


def install(boot):
    """Puts the firmware's modules in place; afterwards nothing of the host is within reach."""
    modules = {name: module(name, spec) for name, spec in boot.pop("surface").items()}
    for name in boot["file_functions"]:
        setattr(modules["uos"], name, getattr(os, name))
    usys = {k: unpack(v) for k, v in boot["usys"].items()}
    usys.update({
        "path": sys.path, "modules": sys.modules, "exit": sys.exit, "print_exception": print_exception,
        "stdout": stdout, "stderr": stderr,
    })
    modules["usys"] = Namespace(usys)
    modules.update({name: made for name, made in natives().items() if name not in boot["lacks"]})
    sys.modules.update(modules)
    import thread

    thread._call, thread._begin, thread.get_ident = call, begin, lambda: running[0]
    sys.modules["_thread"] = thread
    del sys.modules["thread"]
    gc.collect()  # what is frozen lies in the module's ROM: here it must not scatter the application's heap
    for name in boot["frozen_modules"]:
        __import__(name)
    device = BlockDevice(IMAGE, boot["block_size"], boot["cut_at"])
    filesystem = vfs.VfsLfs2(device, readsize=128, progsize=128, lookahead=32, mtime=False)
    late.update(boot["late"])
    rom.append(vfs.VfsPosix(os.getcwd()))
    vfs.umount("/")
    vfs.mount(filesystem, "/usr")
    os.chdir("/")
    sys.path[:] = [""]
    builtins.print = print_line
    builtins.reversed = builtins.frozenset = builtins.help = gone
    builtins.__import__ = guarded_import


threads[1] = running[1] = [None, None]
boot = receive()[2]
measured = boot["measured"]
real_import, real_print_exception = builtins.__import__, sys.print_exception
real_start_new_thread = _thread.start_new_thread
install(boot)
del boot
error = None  # has its place before the heap can be full
gc.collect()
try:
    with open("/usr/main.py") as file:
        source = file.read()
    exec(compile(source, "/usr/main.py", "exec"), {"__name__": "__main__", "__file__": "/usr/main.py"})
except SystemExit:
    pass
except BaseException as error:  # noqa: BLE001, F811 - the REPL would print it and stay
    print_exception(error)
    call("!crash", trace_of(error))
source = None
call("!idle")
