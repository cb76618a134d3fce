"""`uos`: who the firmware is, and random bytes (quecpython.md §1.6). Its file functions are the engine's: they work on
/usr directly."""

from tools.module.board import Firmware


class Uos(Firmware):
    NAME = "uos"

    def uname(self) -> tuple[str, ...]:
        """Six "key=value" strings."""
        return self.board.profile.uname()

    def urandom(self, count: int) -> bytes:
        """Random bytes, the same for the same seed. Documented, though commented out in newer sources."""
        return self.board.rng.randbytes(count)
