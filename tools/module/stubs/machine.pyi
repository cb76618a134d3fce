# `machine` (quecpython.md §3.7): 0 or -1 where nothing else is said.
from collections.abc import Callable
from typing import Any, Literal, TypeAlias, overload

_Result: TypeAlias = Literal[0, -1]
_Date: TypeAlias = tuple[int, int, int, int, int, int, int, int]  # y, mo, d, wday (0 = Sunday), h, mi, s, 0

class _Pins:
    GPIO1: int
    GPIO2: int
    GPIO3: int
    GPIO4: int
    GPIO5: int
    GPIO6: int
    GPIO7: int
    GPIO8: int
    GPIO9: int
    GPIO10: int
    GPIO11: int
    GPIO12: int
    GPIO13: int
    GPIO14: int
    GPIO15: int
    GPIO16: int
    GPIO17: int
    GPIO18: int
    GPIO19: int
    GPIO20: int
    GPIO21: int
    GPIO22: int
    GPIO23: int
    GPIO24: int
    GPIO25: int
    GPIO26: int
    GPIO27: int
    GPIO28: int
    GPIO29: int
    GPIO30: int
    GPIO31: int
    GPIO32: int
    GPIO33: int
    GPIO34: int
    GPIO35: int
    GPIO36: int
    GPIO37: int
    GPIO38: int
    GPIO39: int
    GPIO40: int
    GPIO41: int
    PULL_DISABLE: int
    PULL_PU: int
    PULL_PD: int

class Pin(_Pins):
    IN: int
    OUT: int
    def __init__(self, gpio: int, direction: int = ..., pull: int = ..., level: int = ...) -> None: ...
    def read(self) -> int: ...
    def write(self, level: int) -> _Result: ...
    def get_dir(self) -> int: ...
    def set_dir(self, direction: int) -> _Result: ...

class ExtInt(_Pins):
    IRQ_RISING: int
    IRQ_FALLING: int
    IRQ_RISING_FALLING: int  # not supported on EC600E/EC800E
    def __init__(self, gpio: int, mode: int, pull: int, callback: Callable[[tuple[int, int]], object]) -> None: ...
    def enable(self) -> _Result: ...
    def disable(self) -> _Result: ...
    def line(self) -> int: ...
    def read_count(self, is_reset: int = ...) -> list[int]: ...
    def count_reset(self) -> _Result: ...
    def read_level(self) -> int: ...

class RTC:
    def __init__(self) -> None: ...
    @overload
    def datetime(self) -> _Date: ...
    @overload
    def datetime(self, when: _Date | list[int]) -> _Result: ...
    def set_alarm(self, when: _Date | list[int]) -> _Result: ...
    def enable_alarm(self, enable: int) -> _Result: ...
    def register_callback(self, callback: Callable[[None], object]) -> _Result: ...

class WDT:
    # The constructor gives False where the watchdog cannot be had: test the object before use.
    def __init__(self, period: int) -> None: ...
    def __bool__(self) -> bool: ...
    def feed(self) -> Literal[0]: ...
    def stop(self) -> Literal[0]: ...

class Timer:
    Timer0: int
    Timer1: int
    Timer2: int
    Timer3: int
    ONE_SHOT: int
    PERIODIC: int
    def __init__(self, number: int) -> None: ...
    def start(self, period: int, mode: int, callback: Callable[[Any], object]) -> _Result: ...
    def stop(self) -> _Result: ...

class UART:
    UART0: int
    UART1: int
    UART2: int
    def __init__(
        self, number: int, baud: int = ..., databits: int = ..., parity: int = ..., stopbits: int = ..., flow: int = ...
    ) -> None: ...
    def any(self) -> int: ...
    def read(self, count: int) -> bytes: ...
    def readline(self) -> bytes: ...
    def write(self, data: bytes | bytearray | str) -> int: ...
    def set_callback(self, callback: Callable[[list[int]], object]) -> _Result: ...  # [result, port, bytes waiting]
    def close(self) -> _Result: ...
