"""`uhashlib` and `ucryptolib` in CPython, with what the firmware's objects refuse (quecpython.md §1.7). The VM has its
own of both."""

import functools
import hashlib
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

ECB, CBC, CTR = 1, 2, 6
_MODES = {ECB: modes.ECB, CBC: modes.CBC, CTR: modes.CTR}


class Hash:
    """`update` and one `digest`, nothing else. After it S21 goes on with garbage; here, as in newer MicroPython, the
    object refuses."""

    def __init__(self, name: str, data: Any = b"") -> None:
        self._hash = hashlib.new(name, bytes(data), usedforsecurity=False)
        self._final = False

    def update(self, data: Any) -> None:
        self._check()
        self._hash.update(bytes(data))

    def digest(self) -> bytes:
        self._check()
        self._final = True
        return self._hash.digest()

    def _check(self) -> None:
        if self._final:
            raise ValueError("hash is final")


class Aes:
    """`aes(key, mode[, iv])`: 16 or 32 bytes of key; one object serves one direction. `out` may be the input itself."""

    def __init__(self, key: Any, mode: int, iv: Any = None) -> None:
        if mode not in _MODES:
            raise ValueError("mode")
        if len(key) not in (16, 32):
            raise ValueError("key")
        if mode != ECB if iv is None else len(iv) != 16:
            raise ValueError("IV")
        self._cipher = Cipher(algorithms.AES(bytes(key)), _MODES[mode]() if mode == ECB else _MODES[mode](bytes(iv)))
        self._whole = mode != CTR  # blocks
        self._way = ""
        self._context: Any = None

    def encrypt(self, data: Any, out: Any = None) -> Any:
        return self._process("encryptor", data, out)

    def decrypt(self, data: Any, out: Any = None) -> Any:
        return self._process("decryptor", data, out)

    def _process(self, way: str, data: Any, out: Any) -> Any:
        if self._whole and len(data) % 16:
            raise ValueError("blksize % 16")
        if out is not None and len(out) < len(data):
            raise ValueError("output too small")
        if self._way not in ("", way):
            raise ValueError("can't encrypt & decrypt")
        if self._context is None:
            self._way, self._context = way, getattr(self._cipher, way)()
        done = self._context.update(bytes(data))
        if out is None:
            return done
        out[: len(done)] = done
        return out


UHASHLIB = {name: functools.partial(Hash, name) for name in ("sha256", "sha1", "md5")}
UCRYPTOLIB = {"aes": Aes, "MODE_ECB": ECB, "MODE_CBC": CBC, "MODE_CTR": CTR}
