"""What the names of one file are bound to, as far as an AST shows it: modules, functions, bytearrays, constants, files.

Evidence is textual and local (an assignment in the same function or class); where it is missing the answer is no.
"""

import ast
import builtins
from collections.abc import Iterator

Function = ast.FunctionDef | ast.AsyncFunctionDef
Owner = ast.Module | ast.ClassDef | Function


def dotted(node: ast.AST | None) -> str | None:
    """`a.b.c` of nested attributes, None for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        head = dotted(node.value)
        return f"{head}.{node.attr}" if head else None
    return None


def number(node: ast.AST, constants: dict[str, float]) -> float | None:
    """The value of a number literal, `const(literal)`, or a module constant."""
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return node.value
    if isinstance(node, ast.Name):
        return constants.get(node.id)
    if isinstance(node, ast.Call) and dotted(node.func) in ("const", "micropython.const") and node.args:
        return number(node.args[0], constants)
    return None


def assignments(owner: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """(dotted target, value) of the plain assignments anywhere below `owner`."""
    for node in ast.walk(owner):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                name = dotted(target)
                if name:
                    yield name, node.value


def _makes_bytearray(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and dotted(node.func) == "bytearray"


class Scopes:
    """Follows the walk through functions and classes (`enter`, `leave`) and answers for the place it is at."""

    def __init__(self, tree: ast.Module) -> None:
        self._stack: list[Owner] = [tree]
        self._parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
        self._imports: dict[str, str] = {}
        names: set[str] = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                self._imports.update((a.asname or a.name.split(".")[0], a.name) for a in node.names)
            elif isinstance(node, ast.ImportFrom):
                names.update(a.asname or a.name for a in node.names)
            elif isinstance(node, Function | ast.ClassDef):
                names.add(node.name)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                names.add(node.id)
            elif isinstance(node, ast.arg):
                names.add(node.arg)
        self._bound = names | set(self._imports)
        self._functions = {node.name for node in tree.body if isinstance(node, Function)}
        self.constants: dict[str, float] = {}
        for name, value in assignments(tree):
            worth = number(value, self.constants)
            if worth is not None:
                self.constants[name] = worth

    def enter(self, owner: Owner) -> None:
        self._stack.append(owner)

    def leave(self) -> None:
        self._stack.pop()

    def bound(self, name: str) -> bool:
        """Whether the file itself binds the name (so that it is not the built-in)."""
        return name in self._bound

    def known(self, name: str) -> bool:
        return name in self._bound or hasattr(builtins, name)

    def module(self, node: ast.AST) -> str | None:
        """The module that a name stands for."""
        name = dotted(node)
        return self._imports.get(name) if name else None

    def is_function(self, node: ast.AST) -> bool:
        """Whether the node names a module-level function of this file."""
        name = dotted(node)
        return name in self._functions and not any(name == n for n, _ in assignments(self._stack[0]))

    def is_bytearray(self, node: ast.AST) -> bool:
        if _makes_bytearray(node):
            return True
        name = dotted(node)
        if name is None:
            return False
        owner = self._owner(ast.ClassDef) if name.startswith("self.") else self._stack[-1]
        if owner is None:
            return False
        if isinstance(owner, Function):
            arguments = owner.args.args
            if any(a.arg == name and a.annotation and dotted(a.annotation) == "bytearray" for a in arguments):
                return True
        values = [value for target, value in assignments(owner) if target == name]
        return bool(values) and all(_makes_bytearray(value) for value in values)

    def is_closed(self, call: ast.Call) -> bool:
        """Whether `open()` is a with item, or goes to a name whose close() is called in the same function or class."""
        parent = self._parents.get(call)
        if isinstance(parent, ast.withitem):
            return True
        if not isinstance(parent, ast.Assign):
            return False
        name = dotted(parent.targets[0])
        owner = self._owner(ast.ClassDef) if name and name.startswith("self.") else self._stack[-1]
        closes = f"{name}.close"
        return any(isinstance(n, ast.Call) and dotted(n.func) == closes for n in ast.walk(owner or self._stack[0]))

    def guarded(self, statement: ast.stmt) -> bool:
        """Whether a try with `except ImportError` is around the statement, or the statement is its fall-back."""
        node: ast.AST | None = statement
        while node is not None:
            node = self._parents.get(node)
            if isinstance(node, ast.Try):
                for handler in node.handlers:
                    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
                    if any(kind is None or dotted(kind) in ("ImportError", "Exception") for kind in kinds):
                        return True
        return False

    def _owner(self, kind: type[ast.AST]) -> ast.AST | None:
        return next((owner for owner in reversed(self._stack) if isinstance(owner, kind)), None)
