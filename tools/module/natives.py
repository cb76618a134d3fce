"""MicroPython's own modules for the CPython engine, cut down to what QuecPython documents (quecpython.md §1.3, §1.6,
§1.7). What is missing here is missing on purpose: code that needs it fails as on the module.

Left out in both engines until something needs them: urandom (use uos.urandom), uselect, uzlib.
"""

import binascii
import collections
import io
import json
import math
import re
import struct
from collections.abc import Callable, Collection
from types import SimpleNamespace
from typing import Any

from tools.module.crypto import UCRYPTOLIB, UHASHLIB

HEAP = 250_000
"""What `gc` says: this engine does not measure the heap; the VM does."""


def _value_error(function: Callable[..., Any], error: type[Exception]) -> Callable[..., Any]:
    """MicroPython raises ValueError where CPython has a class of its own."""

    def wrapped(*args: Any) -> Any:
        try:
            return function(*args)
        except error as raised:
            raise ValueError(str(raised)) from None

    return wrapped


def _ustruct() -> SimpleNamespace:
    names = ("calcsize", "pack", "pack_into", "unpack", "unpack_from")
    return SimpleNamespace(**{name: _value_error(getattr(struct, name), struct.error) for name in names})


def _no_number(text: str) -> None:
    """NaN and Infinity are bad input (quecpython.md §1.6)."""
    raise ValueError(text + " is not JSON")


def _ujson() -> SimpleNamespace:
    def dumps(value: Any) -> str:
        return json.dumps(value, ensure_ascii=False, separators=(", ", ": "))

    def loads(text: Any) -> Any:
        # UTF-8 alone, where json would guess at UTF-16. MicroPython's parser is more lenient than json in other ways: a
        # comma before the end, names that are no text.
        return json.loads(text if isinstance(text, str) else bytes(text).decode(), parse_constant=_no_number)

    return SimpleNamespace(
        dumps=dumps, loads=loads, load=lambda stream: loads(stream.read()),
        dump=lambda value, stream: stream.write(dumps(value)),
    )


def _gc() -> SimpleNamespace:
    return SimpleNamespace(
        collect=lambda: 0, mem_free=lambda: HEAP // 2, mem_alloc=lambda: HEAP // 2, threshold=lambda *amount: -1,
        enable=lambda: None, disable=lambda: None, isenabled=lambda: True,
    )


def _hexlify(data: Any, *separator: Any) -> bytes:
    return binascii.hexlify(bytes(data), *separator)


def natives(open_file: Callable[..., Any], lacks: Collection[str]) -> dict[str, Any]:
    """The modules by name, without those that the image lacks; `open_file` is the application's `open`."""
    math_names = [name for name in dir(math) if not name.startswith("_") and name not in ("inf", "nan", "tau")]
    made = {
        "ustruct": _ustruct(),
        "ubinascii": SimpleNamespace(
            hexlify=_hexlify, unhexlify=binascii.unhexlify, a2b_base64=binascii.a2b_base64,
            b2a_base64=binascii.b2a_base64,
        ),
        "ujson": _ujson(),
        "uio": SimpleNamespace(open=open_file, StringIO=io.StringIO, BytesIO=io.BytesIO),
        "ucollections": SimpleNamespace(namedtuple=collections.namedtuple, deque=collections.deque),
        "ure": SimpleNamespace(compile=re.compile, match=re.match, search=re.search),
        "uhashlib": SimpleNamespace(**UHASHLIB),
        "ucryptolib": SimpleNamespace(**UCRYPTOLIB),
        "math": SimpleNamespace(**{name: getattr(math, name) for name in math_names}),
        "gc": _gc(),
        "micropython": SimpleNamespace(const=lambda value: value),
    }
    return {name: module for name, module in made.items() if name not in lacks}
