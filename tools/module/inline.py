"""Numbers for names: what a linker would do to the constants that files of lib/ share.

MicroPython's compiler folds `const()` inside a file; a constant of another file is looked up when it runs, and keeps a
name and a place in a module's dictionary. In a tree of fifty files that is some kilobytes of heap. So before lib/ is
compiled each use of another file's integer constant becomes its number, and the constant a private one, which leaves
no trace in bytecode. And each file's own private functions and tables share a few short names with those of every
other file: a name is kept once for the whole tree. Line numbers stay; whatever is not plainly such a use stays as it is
written.
"""

import ast
from dataclasses import dataclass, field


@dataclass
class _File:
    """One file: its text, its constants, and the names by which it knows other files and their constants."""

    source: str
    tree: ast.Module
    constants: dict[str, int] = field(default_factory=dict)
    modules: dict[str, str] = field(default_factory=dict)  # alias -> module
    borrowed: dict[str, tuple[str, str]] = field(default_factory=dict)  # name -> (module, constant)
    bound: set[str] = field(default_factory=set)  # names that something else is bound to as well
    short: dict[str, str] = field(default_factory=dict)  # private names of the file -> what they are called instead


def inlined(sources: dict[str, bytes]) -> dict[str, bytes]:
    """lib/'s files ({"coap/message.py": source}) with numbers for shared constants."""
    files = {_module(name): _read(text.decode()) for name, text in sources.items()}
    for file in files.values():
        _imports(file, files)
    for file in files.values():
        _keep_what_is_used_otherwise(file, files)
    return {name: _written(_module(name), files).encode() for name in sources}


def _module(name: str) -> str:
    return name.removesuffix(".py").replace("/", ".")


def _read(source: str) -> _File:
    file = _File(source, ast.parse(source))
    for node in file.tree.body:
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            value = _constant(node.value)
            if value is not None and not node.targets[0].id.startswith("_"):
                file.constants[node.targets[0].id] = value
    stores: list[str] = []
    for inner in ast.walk(file.tree):
        if isinstance(inner, ast.Name) and not isinstance(inner.ctx, ast.Load):
            stores.append(inner.id)
        elif isinstance(inner, ast.arg):
            stores += [inner.arg, inner.arg]
        elif isinstance(inner, ast.Global):
            stores += inner.names * 2
    file.bound = {name for name in stores if stores.count(name) > (name in file.constants)}
    file.short = _shortened(file.tree)
    return file


def _shortened(tree: ast.Module) -> dict[str, str]:
    """Private functions, classes and tables of one file, in their order, and a name for each."""
    names: list[str] = []
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.append(node.name)
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and _constant(node.value) is None:
            names.append(node.targets[0].id)
    taken: set[str] = set()  # as something else too: a local, an argument, an attribute, a keyword
    for node in tree.body:
        for inner in ast.walk(node):
            if isinstance(inner, ast.Name) and not isinstance(inner.ctx, ast.Load) and inner not in _targets(node):
                taken.add(inner.id)
            elif isinstance(inner, (ast.arg, ast.keyword)) and inner.arg:
                taken.add(inner.arg)
            elif isinstance(inner, ast.Attribute):
                taken.add(inner.attr)
            elif isinstance(inner, (ast.FunctionDef, ast.ClassDef)) and inner is not node:
                taken.add(inner.name)
            elif isinstance(inner, ast.alias):
                taken.add(inner.asname or inner.name)
    private = [name for name in dict.fromkeys(names) if name[0] == "_" and name[:2] != "__" and name not in taken]
    return {name: f"_{number}" for number, name in enumerate(private)}


def _targets(node: ast.stmt) -> list[ast.expr]:
    return node.targets if isinstance(node, ast.Assign) else []


def _constant(node: ast.expr) -> int | None:
    """The integer of `const(…)`, None for anything else."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or node.func.id != "const":
        return None
    try:
        value = ast.literal_eval(node.args[0])
    except ValueError:
        return None
    return value if type(value) is int else None


def _imports(file: _File, files: dict[str, _File]) -> None:
    for node in ast.walk(file.tree):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                name = alias.asname or alias.name
                if f"{node.module}.{alias.name}" in files:
                    file.modules[name] = f"{node.module}.{alias.name}"
                elif node.module in files and alias.name in files[node.module].constants:
                    file.borrowed[name] = (node.module, alias.name)


def _keep_what_is_used_otherwise(file: _File, files: dict[str, _File]) -> None:
    """A constant stays public where a name for it is bound to something else too, in its own file or in this."""
    for name in list(file.constants):
        if name in file.bound:
            del file.constants[name]
    for name, (module, constant) in list(file.borrowed.items()):
        if name in file.bound:
            files[module].constants.pop(constant, None)
    for alias, module in file.modules.items():
        if alias in file.bound:
            for node in ast.walk(file.tree):
                if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == alias:
                    files[module].constants.pop(node.attr, None)


def _written(module: str, files: dict[str, _File]) -> str:
    file = files[module]
    edits: list[tuple[ast.AST, str]] = []
    aliases_left: set[str] = set()
    inside = set()
    for node in ast.walk(file.tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in file.modules:
            value = files[file.modules[node.value.id]].constants.get(node.attr)
            if value is not None and node.value.id not in file.bound and isinstance(node.ctx, ast.Load):
                edits.append((node, _number(value)))
                inside.add(node.value)
    for node in ast.walk(file.tree):
        if isinstance(node, ast.Name) and node not in inside:
            if node.id in file.constants:
                edits.append((node, f"_{node.id}_"))
            elif node.id in file.borrowed and _value(file.borrowed[node.id], files) is not None:
                edits.append((node, _number(_value(file.borrowed[node.id], files))))
            elif node.id in file.modules:
                aliases_left.add(node.id)
            elif node.id in file.short:
                edits.append((node, file.short[node.id]))
    edits += _definitions(file)
    edits += _imports_left(file, files, aliases_left)
    return _applied(file.source, edits)


def _imports_left(file: _File, files: dict[str, _File], aliases_left: set[str]) -> list[tuple[ast.AST, str]]:
    edits: list[tuple[ast.AST, str]] = []
    for node in ast.walk(file.tree):
        if isinstance(node, ast.ImportFrom):
            left = [alias for alias in node.names if _stays(alias, file, files, aliases_left)]
            if len(left) < len(node.names):
                edits.append((node, _import(node, left)))
    return edits


def _definitions(file: _File) -> list[tuple[ast.AST, str]]:
    return [(_Name(node), file.short[node.name]) for node in file.tree.body
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name in file.short]


class _Name(ast.AST):
    """Where the name of a definition stands."""

    def __init__(self, node: ast.FunctionDef | ast.ClassDef) -> None:
        super().__init__()
        self.lineno = self.end_lineno = node.lineno
        self.col_offset = node.col_offset + len("def " if isinstance(node, ast.FunctionDef) else "class ")
        self.end_col_offset = self.col_offset + len(node.name.encode())


def _value(borrowed: tuple[str, str], files: dict[str, _File]) -> int | None:
    return files[borrowed[0]].constants.get(borrowed[1])


def _stays(alias: ast.alias, file: _File, files: dict[str, _File], aliases_left: set[str]) -> bool:
    name = alias.asname or alias.name
    if name in file.borrowed:
        return _value(file.borrowed[name], files) is None
    return name not in file.modules or name in aliases_left or alias.name == "app"


def _import(node: ast.ImportFrom, left: list[ast.alias]) -> str:
    """The statement with these names, over as many lines as it had."""
    names = ", ".join(alias.name + (f" as {alias.asname}" if alias.asname else "") for alias in left)
    text = f"from {node.module} import {names}" if left else "pass"
    lines = (node.end_lineno or node.lineno) - node.lineno
    return text + "\n" * lines


def _number(value: int | None) -> str:
    return str(value) if value is not None and value >= 0 else f"({value})"


def _applied(source: str, edits: list[tuple[ast.AST, str]]) -> str:
    """The text with each node replaced; positions are of UTF-8 bytes (ast)."""
    lines = source.encode().split(b"\n")
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line) + 1)
    data = source.encode()
    places = [
        (starts[node.lineno - 1] + node.col_offset, starts[node.end_lineno - 1] + node.end_col_offset, text)  # type: ignore[attr-defined]
        for node, text in edits
    ]
    for start, end, text in sorted(places, reverse=True):
        data = data[:start] + text.encode() + data[end:]
    return data.decode()
