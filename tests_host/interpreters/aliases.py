"""The firmware's u-named modules in CPython, for tests of code that needs no modem. The simulated module brings its
own, behaviour and defects included, for as long as it runs."""

import binascii
import collections
import errno
import io
import json
import random
import re
import struct
import sys
import time
import types

from tools.module.crypto import UCRYPTOLIB, UHASHLIB

TICKS_PERIOD = 1 << 30  # quecpython.md §1.6


def _module(name: str, **members: object) -> types.ModuleType:
    module = types.ModuleType(name)
    module.__dict__.update(members)
    return module


def _ticks_diff(end: int, start: int) -> int:
    half = TICKS_PERIOD // 2
    return (end - start + half) % TICKS_PERIOD - half


def _no_sleep(_: float) -> None:
    raise AssertionError("a test slept: pass time in, or let the simulated module run")


def install() -> None:
    """Adds what is missing; replaces nothing."""
    modules = {
        "ubinascii": binascii,
        "ucollections": collections,
        "ucryptolib": _module("ucryptolib", **UCRYPTOLIB),
        "uerrno": errno,
        "uhashlib": _module("uhashlib", **UHASHLIB),
        "uio": io,
        "ujson": json,
        "urandom": random,
        "ure": re,
        "ustruct": struct,
        "micropython": _module("micropython", const=lambda value: value),
        "utime": _module(
            "utime",
            time=lambda: int(time.time()),
            ticks_ms=lambda: int(time.monotonic() * 1e3) % TICKS_PERIOD,
            ticks_us=lambda: int(time.monotonic() * 1e6) % TICKS_PERIOD,
            ticks_add=lambda ticks, delta: (ticks + delta) % TICKS_PERIOD,
            ticks_diff=_ticks_diff,
            sleep=_no_sleep,
            sleep_ms=_no_sleep,
            sleep_us=_no_sleep,
        ),
    }
    for name, module in modules.items():
        sys.modules.setdefault(name, module)
