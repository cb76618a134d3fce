"""lib/services.py, read without running it, and written."""

import ast
from pathlib import Path
from typing import Any

from tools.tables import ROOT
from tools.things.model import FRAMES, RANGES, Field, ModelError, Service, check

SERVICES = ROOT / "lib/services.py"

TEXT = '''"""This product's services, where it is not transparent (setting payload): what the platform's console lists.

Made by `python -m tools services`.
"""
'''
_WIDTH = 120
_DEFAULTS = Field("", "")


def read(source: str) -> list[Service]:
    """The services that a services.py declares. Raises ModelError, with the line."""
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        raise ModelError(f"line {error.lineno}: {error.msg}") from None
    except ValueError as error:  # a zero byte, in Python 3.10
        raise ModelError(str(error)) from None
    found = []
    for node in tree.body:
        if isinstance(node, ast.ImportFrom | ast.Import) or _is_text(node):
            continue
        call = node.value if isinstance(node, ast.Expr) else None
        if not isinstance(call, ast.Call) or getattr(call.func, "id", None) != "service":
            raise ModelError(f"line {node.lineno}: only calls of service(...) are read here")
        found.append(_service(call))
    check(found)
    return found


def read_file(path: Path = SERVICES) -> list[Service]:
    return read(path.read_text(encoding="utf-8"))


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _service(call: ast.Call) -> Service:
    if len(call.args) < 3 or call.keywords:
        raise ModelError(f"line {call.lineno}: service(id, identifier, KIND, field(...), ...)")
    number, identifier, kind, *fields = call.args
    return Service(_literal(number), _literal(identifier), _name(kind), [_field(one) for one in fields])


def _field(call: ast.expr) -> Field:
    if not isinstance(call, ast.Call) or getattr(call.func, "id", None) != "field" or not call.args:
        raise ModelError(f"line {call.lineno}: field(name, TYPE, ...) is wanted")
    names = ["name", "type", "unit", "low", "high", "empty", "size", "values"]
    given: dict[str, ast.expr] = dict(zip(names, call.args, strict=False))
    given.update({keyword.arg or "": keyword.value for keyword in call.keywords})
    unknown = [name for name in given if name not in names]
    if unknown or "type" not in given:
        raise ModelError(f"line {call.lineno}: field(name, TYPE, unit=, low=, high=, empty=, size=, values=)")
    read: dict[str, Any] = {name: _literal(value) for name, value in given.items() if name != "type"}
    return Field(type=_name(given["type"]), **read)


def _literal(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError:
        raise ModelError(f"line {node.lineno}: a number or text is wanted, as it is") from None


def _name(node: ast.expr) -> str:
    name = getattr(node, "id", None)
    if name not in FRAMES and name not in RANGES:
        raise ModelError(f"line {node.lineno}: one of {', '.join([*FRAMES, *RANGES])} is wanted")
    return name


def write(services: list[Service], text: str = TEXT) -> str:
    """A services.py that declares them, under a docstring. Raises ModelError."""
    check(services)
    kinds = {service.kind for service in services}
    types = {one.type for service in services for one in service.fields}
    names = [*sorted(kinds | types), "field", "service"]
    line = f"from aep.thing import {', '.join(names)}"
    imports = [line] if len(line) <= _WIDTH else ["from aep.thing import (", *(f"    {name}," for name in names), ")"]
    body = [line for service in services for line in _lines(service)]
    return "\n".join([text.rstrip("\n"), "", *imports, "", *body, ""])


def _lines(service: Service) -> list[str]:
    head = f"{service.id}, {_quoted(service.identifier)}, {service.kind}"
    fields = [_said(one) for one in service.fields]
    title = [f"# {' '.join(service.title.split())}"] if service.title.strip() else []
    line = f"service({head}, {', '.join(fields)})"
    if len(fields) == 1 and len(line) <= _WIDTH:
        return [*title, line]
    return [*title, "service(", f"    {head},", *(f"    {one}," for one in fields), ")  # fmt: skip"]


def _said(one: Field) -> str:
    parts = [_quoted(one.name), one.type]
    for name in ("unit", "low", "high", "empty", "size", "values"):
        value = getattr(one, name)
        if value != getattr(_DEFAULTS, name) or name == "empty" and value is not None:
            parts.append(f"{name}={_shown(value)}")
    return f"field({', '.join(parts)})"


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_shown(text)}" for key, text in value.items()) + "}"
    return _quoted(value) if isinstance(value, str) else repr(value)


def _quoted(text: str) -> str:
    shown = repr(text)
    return shown if '"' in text else f'"{shown[1:-1]}"'
