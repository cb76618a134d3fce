"""AST lint of on-module code: one walk per file, the tables of `rules.py`, one line per finding.

A line may carry `# dialect: <rule> - why`: that rule does not count there. A waiver that waives nothing is a finding.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from tools.dialect import rules
from tools.dialect.scopes import Scopes, dotted, number

WAIVER = re.compile(r"#\s*dialect:\s*([a-z0-9-]+)\s*(?:-\s*(.*))?$")


class Finding(NamedTuple):
    path: str
    line: int
    rule: str
    detail: str = ""
    instead: str = ""

    def __str__(self) -> str:
        rule = rules.RULES[self.rule]
        what = f"{rule.what}: {self.detail}" if self.detail else rule.what
        return f"{self.path}:{self.line}: {what}: write {self.instead or rule.instead} ({rule.source}) [{self.rule}]"


def on_module_files(root: Path) -> list[Path]:
    """main.py, boot.py and all of lib/, those that exist."""
    top = [path for path in (root / "main.py", root / "boot.py") if path.exists()]
    return top + sorted((root / "lib").rglob("*.py"))


def lint_tree(root: Path) -> list[Finding]:
    own = own_modules(root)
    findings: list[Finding] = []
    for path in on_module_files(root):
        findings += lint_source(path.read_text("utf-8"), path.relative_to(root).as_posix(), own)
    return findings


def own_modules(root: Path) -> frozenset[str]:
    """Dotted names of lib/'s rooms and files, as `import` spells them."""
    names: set[str] = set()
    for path in (root / "lib").rglob("*.py"):
        parts = path.relative_to(root / "lib").with_suffix("").parts
        names.update(".".join(parts[: i + 1]) for i in range(len(parts)))
    return frozenset(names)


def lint_source(source: str, path: str, own: Iterable[str] = ()) -> list[Finding]:
    """Findings of one file. `path` is relative to the project and decides which room's rules hold."""
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        return [Finding(path, error.lineno or 1, "syntax", error.msg or "")]
    found = list(_named_like_firmware(path))
    found += _Walk(path, tree, frozenset(own)).findings
    return sorted(_apply_waivers(source, path, found), key=lambda finding: (finding.line, finding.rule))


def _named_like_firmware(path: str) -> Iterator[Finding]:
    if path.startswith("lib/") and path not in rules.NAMED_LIKE_FIRMWARE:
        for name in Path(path).with_suffix("").parts[1:]:
            if name in rules.FIRMWARE:
                yield Finding(path, 1, "firmware-name", name)


def _apply_waivers(source: str, path: str, found: list[Finding]) -> list[Finding]:
    waivers: dict[tuple[int, str], str] = {}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        match = WAIVER.search(token.string) if token.type == tokenize.COMMENT else None
        if match:
            waivers[token.start[0], match[1]] = (match[2] or "").strip()
    used = {(f.line, f.rule) for f in found if waivers.get((f.line, f.rule)) and f.rule not in rules.NEVER_WAIVED}
    kept = [f for f in found if (f.line, f.rule) not in used]
    for (line, rule), why in waivers.items():
        if not why:
            kept.append(Finding(path, line, "waiver", f"{rule} without a reason"))
        elif (line, rule) not in used:
            kept.append(Finding(path, line, "waiver", f"{rule} does not occur here"))
    return kept


class _Walk(ast.NodeVisitor):
    """Visits one file; `self.scopes` knows what names are bound to."""

    def __init__(self, path: str, tree: ast.Module, own: frozenset[str]) -> None:
        self.path = path
        self.own = own
        self.findings: list[Finding] = []
        self.scopes = Scopes(tree)
        self.visit(tree)

    def add(self, node: ast.AST, rule: str, detail: str = "", instead: str = "") -> None:
        self.findings.append(Finding(self.path, getattr(node, "lineno", 1), rule, detail, instead))

    def inside(self, places: Iterable[str]) -> bool:
        return any(self.path == place or (place.endswith("/") and self.path.startswith(place)) for place in places)

    def generic_visit(self, node: ast.AST) -> None:
        rule = _SYNTAX.get(type(node).__name__)
        if rule:
            self.add(node, rule)
        super().generic_visit(node)

    # Syntax.

    def visit_List(self, node: ast.List | ast.Tuple | ast.Set) -> None:
        target = isinstance(getattr(node, "ctx", None), ast.Store)
        if not target and any(isinstance(element, ast.Starred) for element in node.elts):
            self.add(node, "display")
        self.generic_visit(node)

    visit_Tuple = visit_Set = visit_List

    def visit_Dict(self, node: ast.Dict) -> None:
        if None in node.keys:
            self.add(node, "display")
        self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        if node.is_async:
            self.add(node.target, "async")
        self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._private(node, node.name)
        if node.name in rules.SPECIAL_METHODS:
            self.add(node, "special-method", node.name)
        self._annotation(node.returns)
        self.scopes.enter(node)
        self.generic_visit(node)
        self.scopes.leave()

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._private(node, node.name)
        if node.keywords:
            self.add(node, "class-keyword", node.name)
        self.scopes.enter(node)
        self.generic_visit(node)
        self.scopes.leave()

    def visit_arguments(self, node: ast.arguments) -> None:
        for rule, odd in (("positional-only", node.posonlyargs), ("keyword-only", node.kwonlyargs)):
            for parameter in odd:
                self.add(parameter, rule, parameter.arg)
        self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> None:
        self._private(node, node.arg)
        self._annotation(node.annotation)

    def _annotation(self, annotation: ast.expr | None) -> None:
        if annotation is None:
            return
        if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
            annotation = ast.copy_location(ast.parse(annotation.value, mode="eval").body, annotation)
        for node in ast.walk(annotation):
            if isinstance(node, ast.Name) and not self.scopes.known(node.id):
                self.add(annotation, "annotation", node.id)

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        types = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
        if any(kind is None or dotted(kind) in ("Exception", "BaseException") for kind in types):
            self.add(node, "broad-in-codec" if self.inside(rules.CODECS) else "broad")
        self.generic_visit(node)

    # Names and attributes.

    def _private(self, node: ast.AST, name: str) -> None:
        if name.startswith("__") and not name.endswith("__"):
            self.add(node, "private-name", name)

    def visit_Name(self, node: ast.Name) -> None:
        self._private(node, node.id)
        if isinstance(node.ctx, ast.Load) and node.id in rules.MISSING_NAMES and not self.scopes.bound(node.id):
            self.add(node, "missing-name", node.id, rules.MISSING_NAMES[node.id])

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self._private(node, node.attr)
        module = self.scopes.module(node.value)
        instead = rules.MISSING_ATTRIBUTES.get(module or "", {}).get(node.attr)
        if instead:
            self.add(node, "missing-attribute", f"{module}.{node.attr}", instead)
        if node.attr == "__name__" and isinstance(node.value, ast.Call) and dotted(node.value.func) == "type":
            self.add(node, "class-name")
        elif node.attr in rules.FUNCTION_ATTRIBUTES or self.scopes.is_function(node.value):
            self.add(node, "function-attribute", node.attr)
        if node.attr in rules.BYTEARRAY_METHODS and self.scopes.is_bytearray(node.value):
            self.add(node, "bytearray-method", node.attr)
        self.generic_visit(node)

    # Calls.

    def visit_Call(self, node: ast.Call) -> None:
        if sum(isinstance(a, ast.Starred) for a in node.args) > 1 or sum(k.arg is None for k in node.keywords) > 1:
            self.add(node, "unpack-twice")
        if isinstance(node.func, ast.Attribute):
            self._method(node, node.func)
        elif isinstance(node.func, ast.Name) and not self.scopes.bound(node.func.id):
            self._builtin(node, node.func.id)
        self.generic_visit(node)

    def _builtin(self, node: ast.Call, name: str) -> None:
        keywords = [k.arg for k in node.keywords if k.arg]
        if (name in rules.NO_KEYWORDS and keywords) or (name == "print" and "flush" in keywords):
            self.add(node, "keyword-to-builtin", f"{name}({keywords[-1]}=)")
        if name == "pow" and len(node.args) == 3:
            self.add(node, "pow3")
        if name == "next" and len(node.args) == 2:
            self.add(node, "next-default")
        if name == "open":
            self._open(node)

    def _method(self, node: ast.Call, function: ast.Attribute) -> None:
        name, module = function.attr, self.scopes.module(function.value)
        if name in rules.MISSING_METHODS and module is None:
            self.add(node, "missing-method", name, rules.MISSING_METHODS[name])
        if name in rules.NO_KEYWORD_METHODS and module is None and any(k.arg for k in node.keywords):
            self.add(node, "keyword-to-builtin", name)
        if name == "to_bytes" and len(node.args) != 2:
            self.add(node, "to-bytes-signed")
        if name == "settimeout" and node.args:
            self._timeout(node)
        if module == "uio" and name == "open":
            self._open(node)
        if module == "uos" and name in rules.WRITING_CALLS and not self.inside(rules.STORE_FILES):
            self.add(node, "writes", f"uos.{name}")
        if isinstance(function.value, ast.Call) and (dotted(function.value.func) or "").split(".")[-1] in rules.KEPT:
            self.add(node, "dropped-object", f"{dotted(function.value.func)}().{name}")

    def _timeout(self, node: ast.Call) -> None:
        value = node.args[0]
        seconds = number(value, self.scopes.constants)
        if (isinstance(value, ast.Constant) and value.value is None) or (seconds or 0) > rules.LONGEST_TIMEOUT_S:
            self.add(node, "long-timeout")

    def _open(self, node: ast.Call) -> None:
        if not self.scopes.is_closed(node):
            self.add(node, "open-without-close")
        mode = node.args[1] if len(node.args) > 1 else next((k.value for k in node.keywords if k.arg == "mode"), None)
        text = "r" if mode is None else mode.value if isinstance(mode, ast.Constant) else "unknown mode: w?"
        if set(str(text)) & set("wax+") and not self.inside(rules.STORE_FILES):
            self.add(node, "writes", "open()")

    # Imports.

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._import(node, alias.name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if node.level or node.module is None:
            self.add(node, "relative-import")
            return
        self._import(node, node.module)
        for alias in node.names:
            full = f"{node.module}.{alias.name}"
            if node.module in self.own and f"{node.module}/" in self._rooms() and full not in self.own:
                self.add(node, "import", full)
            instead = rules.MISSING_ATTRIBUTES.get(node.module, {}).get(alias.name)
            if instead:
                self.add(node, "missing-attribute", full, instead)
            if node.module == "uos" and alias.name in rules.WRITING_CALLS and not self.inside(rules.STORE_FILES):
                self.add(node, "writes", full)

    def _rooms(self) -> frozenset[str]:
        return frozenset(name.rpartition(".")[0] + "/" for name in self.own if "." in name)

    def _import(self, node: ast.stmt, name: str) -> None:
        top = name.split(".")[0]
        if self.path in ("main.py", "boot.py") and top == "usr":
            return
        if name not in self.own and not (top in rules.ALLOWED and "." not in name):
            self.add(node, "import", name)
            return
        if top in rules.OPTIONAL and not self.scopes.guarded(node):
            self.add(node, "optional-import", name)
        if top in rules.NETWORK and not self.inside(rules.NETWORK_FILES):
            self.add(node, "network-import", name)
        if top in rules.STORE_MODULES and not self.inside(rules.STORE_FILES):
            self.add(node, "store-import", name)
        if top in rules.CRYPTO:
            if self.path != rules.CRYPTO_FILE:
                self.add(node, "crypto-import", name)
            return
        for place, allowed in rules.PURE.items():
            room = place.split("/")[1] if place.endswith("/") else ""
            if self.inside((place,)) and top not in allowed and top != room:
                self.add(node, "pure-import", name)


# Syntax that is refused wherever it stands: node type -> rule.
_SYNTAX = {
    "JoinedStr": "f-string",
    "TemplateStr": "f-string",
    "NamedExpr": "walrus",
    "AsyncFunctionDef": "async",
    "AsyncFor": "async",
    "AsyncWith": "async",
    "Await": "async",
    "Nonlocal": "nonlocal",
    "Match": "match",
    "TryStar": "except-group",
    "AnnAssign": "variable-annotation",
}
