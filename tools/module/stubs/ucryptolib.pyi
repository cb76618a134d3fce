# `ucryptolib` (quecpython.md §1.7): key of 16 or 32 bytes, mode 1 ECB, 2 CBC, 6 CTR; one object, one direction.
from typing import TypeAlias

_Buffer: TypeAlias = bytes | bytearray | memoryview

MODE_ECB: int
MODE_CBC: int
MODE_CTR: int

class aes:
    def __init__(self, key: _Buffer, mode: int, iv: _Buffer = ...) -> None: ...
    def encrypt(self, data: _Buffer, out: bytearray | memoryview = ...) -> bytes: ...
    def decrypt(self, data: _Buffer, out: bytearray | memoryview = ...) -> bytes: ...
