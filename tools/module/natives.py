"""MicroPython's own modules for the CPython engine, cut down to what QuecPython documents (quecpython.md §1.3, §1.6,
§1.7). What is missing here is missing on purpose: code that needs it fails as on the module.

Left out in both engines until something needs them: urandom (use uos.urandom), uselect, uzlib, ussl.
"""

import binascii
import collections
import hashlib
import io
import json
import math
import re
import struct
from collections.abc import Callable, Collection
from types import SimpleNamespace
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

HEAP = 250_000
"""What `gc` says: this engine does not measure the heap; the VM does."""


class Hash:
    """`update` and `digest`, nothing else (quecpython.md §1.7)."""

    def __init__(self, name: str, data: bytes) -> None:
        self._hash = hashlib.new(name, bytes(data), usedforsecurity=False)
        self._final = False

    def update(self, data: bytes) -> None:
        if self._final:
            raise ValueError("hash is final")
        self._hash.update(bytes(data))

    def digest(self) -> bytes:
        self._final = True
        return self._hash.digest()


class Aes:
    """`ucryptolib.aes` (quecpython.md §1.7). ECB = 1, CBC = 2, CTR = 6; one object serves one direction."""

    def __init__(self, key: Any, mode: int, iv: Any = None) -> None:
        if len(key) not in (16, 32):
            raise ValueError("key")
        if mode not in (1, 2, 6):
            raise ValueError("mode")
        if mode != 1 and (iv is None or len(iv) != 16):
            raise ValueError("IV")
        how = {1: modes.ECB, 2: modes.CBC, 6: modes.CTR}[mode]
        self._cipher = Cipher(algorithms.AES(bytes(key)), how() if mode == 1 else how(bytes(iv)))  # noqa: S305
        self._whole = mode != 6
        self._context: Any = None
        self._way = ""

    def encrypt(self, data: Any, out: Any = None) -> Any:
        return self._process("encryptor", data, out)

    def decrypt(self, data: Any, out: Any = None) -> Any:
        return self._process("decryptor", data, out)

    def _process(self, way: str, data: Any, out: Any) -> Any:
        if self._whole and len(data) % 16:
            raise ValueError("blksize % 16")
        if self._way not in ("", way):
            raise ValueError("can't encrypt & decrypt")
        if self._context is None:
            self._way, self._context = way, getattr(self._cipher, way)()
        done = self._context.update(bytes(data))
        if out is None:
            return done
        out[: len(done)] = done
        return out


def _hash(name: str) -> Callable[..., Hash]:
    return lambda data=b"": Hash(name, data)


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


def natives(open_file: Callable[..., Any], lacks: Collection[str] = ()) -> dict[str, Any]:
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
        "uhashlib": SimpleNamespace(sha256=_hash("sha256"), sha1=_hash("sha1"), md5=_hash("md5")),
        "ucryptolib": SimpleNamespace(aes=Aes),
        # Frozen Python on EIGEN images (quecpython.md §1.3); how slow it is is not shown
        "hashlib": SimpleNamespace(sha256=_hash("sha256")),
        "math": SimpleNamespace(**{name: getattr(math, name) for name in math_names}),
        "gc": _gc(),
        "micropython": SimpleNamespace(const=lambda value: value),
    }
    return {name: module for name, module in made.items() if name not in lacks}
