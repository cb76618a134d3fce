"""`_thread`'s lock for an application that has one thread and callbacks: not re-entrant, anyone may release it
(quecpython.md §1.5). The engine sets `park`, which waits until a callback has run."""

park = None


class Lock:
    def __init__(self):
        self._held = False

    def acquire(self, waitflag=1):
        while self._held:
            if not waitflag:
                return False
            park()
        self._held = True
        return True

    def release(self):
        if not self._held:
            raise RuntimeError("release unlocked lock")
        self._held = False

    def locked(self):
        return self._held

    def __enter__(self):
        self.acquire()
        return self

    def __exit__(self, *details):
        self.release()
