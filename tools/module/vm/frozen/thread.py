"""The firmware's `_thread` (quecpython.md §1.5). Locks are not re-entrant, anyone may release them, and they know no
time-out. The engine sets `_call`, `_begin` (lets a function run as the thread of an id) and `get_ident`."""

_call = None
_begin = None
get_ident = None

_SMALLEST = 8192
_stack = [8448]


class LockType:
    def __init__(self):
        self._held = False
        self._deleted = False
        self._waiting = 0

    def acquire(self, waitflag=1):
        while self._held:
            if not waitflag:
                return False
            self._waiting += 1
            _call("!park")
            self._waiting -= 1
        self._held = True
        return True

    def release(self):
        if self._deleted or not self._held:
            raise RuntimeError("release unlocked lock")
        self._held = False
        if self._waiting:
            _call("!released")

    def locked(self):
        return self._held

    def __enter__(self):
        self.acquire()
        return self

    def __exit__(self, *details):
        self.release()


def allocate_lock():
    return LockType()


def delete_lock(lock):
    """Frees the mutex. What a lock does afterwards is undefined: here it stays locked for ever (inferred)."""
    lock._held = lock._deleted = True


def start_new_thread(function, args, named=None):
    if not isinstance(args, tuple):
        raise TypeError("args must be a tuple")
    ident = _call("!start")
    _begin(ident, function, args, named or {})
    return ident


def stop_thread(ident):
    """0 is the caller. The main thread and an unknown id are a ValueError."""
    _call("!stop", ident or get_ident())


def threadIsRunning(ident):
    return _call("!running", ident)


def exit():
    raise SystemExit


def stack_size(size=None):
    """The size for new threads; setting it gives 0, or -1 where it is too small. Every stack here is large enough."""
    if size is None:
        return _stack[0]
    if size < _SMALLEST:
        return -1
    _stack[0] = size
    return 0
