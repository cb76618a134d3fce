# `usys` (quecpython.md §1.3; `sys` on old images).
from typing import Any, NoReturn

version: str
implementation: tuple[Any, ...]
byteorder: str
platform: str
maxsize: int
path: list[str]
modules: dict[str, Any]
stdin: Any
stdout: Any
stderr: Any

def exit(code: object = ...) -> NoReturn: ...
def print_exception(error: BaseException, file: Any = ...) -> None: ...
