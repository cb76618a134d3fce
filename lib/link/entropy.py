"""Random bytes, from the hardware where the image has them, else from what differs between devices and moments."""

import utime

try:
    from uos import urandom
except ImportError:  # commented out in newer sources (quecpython.md §1.6)
    urandom = None  # type: ignore[assignment]


def random_bytes(count: int, seed: str = "") -> bytes:
    """`count` bytes for jitter, first message ids and tokens. Not for keys: without `uos.urandom` they are only spread,
    by the IMEI in `seed` and the time since power-on."""
    if urandom is not None:
        return urandom(count)
    state = 2166136261  # FNV-1a over what differs, then an LCG: small ints only where it matters
    for byte in (seed + str(utime.ticks_us()) + str(utime.time())).encode():
        state = (state ^ byte) * 16777619 & 0xFFFFFFFF
    out = bytearray(count)
    for i in range(count):
        state = (state * 1103515245 + 12345) & 0xFFFFFFFF
        out[i] = state >> 16 & 0xFF
    return bytes(out)
