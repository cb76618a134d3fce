# `misc` (quecpython.md §3.6). Power is used as a class: `Power.powerDown()`.
from typing import NoReturn

class Power:
    @staticmethod
    def powerDown() -> NoReturn: ...
    @staticmethod
    def powerRestart() -> NoReturn: ...
    @staticmethod
    def powerOnReason() -> int: ...
    @staticmethod
    def powerDownReason() -> int: ...
    @staticmethod
    def getVbatt() -> int: ...  # mV
