"""What of a Python file, and of the modules beside it that it imports, a function makes use of.

Names tell: what a function mentions, and what that mentions in turn. Where code looks names up
while it runs (`getattr`, `globals`), all of its file counts.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

_DYNAMIC = {"getattr", "globals", "eval", "exec", "vars", "__import__", "import_module"}
"""Functions that find others by names that are not in the source."""


@dataclass(eq=False)
class Module:
    """A Python file: its tree, what defines each name, and where imported names come from."""

    file: Path
    text: str
    tree: ast.Module
    definitions: dict[str, list[ast.stmt]] = field(default_factory=lambda: defaultdict(list))
    imports: dict[str, list[tuple[Path, str]]] = field(default_factory=lambda: defaultdict(list))
    """The file and the name there, "" where it is the module itself and "*" for all names."""

    @classmethod
    def read(cls, file: Path) -> Module | None:
        """Return the module, None where the file cannot be read or is no Python."""
        try:
            text = file.read_text("utf-8")
            module = cls(file, text, ast.parse(text))
        except (OSError, ValueError, SyntaxError, RecursionError):
            return None
        for statement in module.tree.body:
            for name in _defined(statement):
                module.definitions[name].append(statement)
        for node in ast.walk(module.tree):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                for name, target, attribute in _imported(node, file):
                    module.imports[name].append((target, attribute))
        return module

    def at(self, line: int) -> ast.stmt | None:
        """Return the statement of the module that a line belongs to."""
        for statement in self.tree.body:
            if _begins(statement) <= line <= (statement.end_lineno or 0):
                return statement
        return None


def reached(starts: Iterable[tuple[str, int]], others: Iterable[tuple[str, int]]) -> Reached:
    """Return what functions that begin at ``starts``, each a file and a line, make use of.

    ``others`` are functions of other operators, which are used by them alone. A line of 0, or one
    that belongs to nothing, stands for the whole file.
    """
    return Reached().follow(list(starts), set(others))


class Reached(dict[Module, list[ast.stmt]]):
    """The statements of each module that are made use of, in the order of the file."""

    def __init__(self) -> None:
        super().__init__()
        self._modules: dict[Path, Module | None] = {}
        self._marked: set[int] = set()
        self._waiting: list[tuple[Module, ast.stmt]] = []
        self._home: Path | None = None
        self._others: set[tuple[str, int]] = set()

    def follow(self, starts: list[tuple[str, int]], others: set[tuple[str, int]]) -> Reached:
        self._others = others - set(starts)
        for file, line in starts:
            module = self._module(Path(file))
            if module is None:
                continue
            self._home = self._home or module.file.parent
            statement = module.at(line) if line else None
            if statement is None:
                self._mark_all(module)
            else:
                self._mark(module, statement)
        while self._waiting:
            self._use(*self._waiting.pop())
        for module, statements in self.items():
            statements.sort(key=lambda statement: statement.lineno)
            self[module] = statements
        return self

    def _module(self, file: Path) -> Module | None:
        if file not in self._modules:
            self._modules[file] = Module.read(file)
        return self._modules[file]

    def _mark(self, module: Module, statement: ast.stmt) -> None:
        if id(statement) in self._marked or _is_main(statement):
            return
        if (str(module.file), _begins(statement)) in self._others:
            return
        self._marked.add(id(statement))
        self.setdefault(module, []).append(statement)
        self._waiting.append((module, statement))

    def _mark_all(self, module: Module) -> None:
        for statement in module.tree.body:
            self._mark(module, statement)

    def _use(self, module: Module, statement: ast.stmt) -> None:
        names, attributes = _mentioned(statement)
        if (names | attributes) & _DYNAMIC:
            self._mark_all(module)
        for other in module.tree.body:  # `@register`, which no name leads to
            if _is_registered(other, module):
                self._mark(module, other)
        for name in sorted(names):
            for definition in module.definitions.get(name, ()):
                self._mark(module, definition)
        for name in sorted({*names, "*"} & module.imports.keys()):
            for file, attribute in module.imports[name]:
                self._import(file, attribute, names | attributes)

    def _import(self, file: Path, attribute: str, names: set[str]) -> None:
        if self._home is None or not file.is_relative_to(self._home):
            return
        module = self._module(file)
        if module is None:
            return
        wanted = names if attribute in ("", "*") else {attribute}
        for name in sorted(wanted):
            for definition in module.definitions.get(name, ()):
                self._mark(module, definition)
            for further, other in module.imports.get(name, ()):  # what it has imported itself
                if further != file:
                    self._import(further, other, names)


def _begins(statement: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(statement, "decorator_list", [])
    return min([statement.lineno, *(decorator.lineno for decorator in decorators)])


def _defined(statement: ast.stmt) -> Iterator[str]:
    """Yield the names that a statement of a module defines, or whose values it changes."""
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        yield statement.name
        return
    if isinstance(statement, ast.Expr):  # KERNELS.update(...), register(...)
        yield from {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)}
        return
    for node in ast.walk(statement):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, (ast.Subscript, ast.Attribute)) and isinstance(node.ctx, ast.Store):
            base: ast.expr = node
            while isinstance(base, (ast.Subscript, ast.Attribute)):
                base = base.value
            if isinstance(base, ast.Name):
                yield base.id


def _mentioned(statement: ast.stmt) -> tuple[set[str], set[str]]:
    """Return the names that a statement mentions, and those of attributes."""
    nodes = list(ast.walk(statement))
    return (
        {node.id for node in nodes if isinstance(node, ast.Name)},
        {node.attr for node in nodes if isinstance(node, ast.Attribute)},
    )


def _is_registered(statement: ast.stmt, module: Module) -> bool:
    """Whether a function is decorated by something that its own module defines."""
    decorators = getattr(statement, "decorator_list", [])
    names = {name for decorator in decorators for name in _mentioned(ast.Expr(decorator))[0]}
    return not names.isdisjoint(module.definitions)


def _is_main(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.If) and "__main__" in ast.dump(statement.test)


def _imported(node: ast.Import | ast.ImportFrom, file: Path) -> Iterator[tuple[str, Path, str]]:
    """Yield each name that is imported from a file: the name, the file, and the name there."""
    root = file.parent
    while (root / "__init__.py").is_file():
        root = root.parent
    if isinstance(node, ast.Import):
        for alias in node.names:
            target = _file_of(root, alias.name) or _file_of(file.parent, alias.name)
            if target is not None:
                yield alias.asname or alias.name.partition(".")[0], target, ""
        return
    folder = root
    if node.level:
        folder = file.parents[min(node.level, len(file.parents)) - 1]
    for alias in node.names:
        parts = [*(node.module or "").split("."), alias.name] if node.module else [alias.name]
        whole = _file_of(folder, ".".join(parts)) if alias.name != "*" else None
        target = whole or _file_of(folder, node.module or "")
        if target is not None:
            yield alias.asname or alias.name, target, "" if whole else alias.name


def _file_of(folder: Path, name: str) -> Path | None:
    """Return the file of a module below a folder, None where there is none."""
    path = folder.joinpath(*name.split(".")) if name else folder
    files = (path.with_suffix(".py"), path / "__init__.py") if name else (path / "__init__.py",)
    return next((file for file in files if file.is_file()), None)
