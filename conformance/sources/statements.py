"""The statements of functions that are to be executed, and the conditions that guard them."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import CodeType

from conformance.sources.numbers import Values, demand_of, numbers_in


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement: its own lines are those of its head, if others lie in it."""

    file: str
    first: int
    last: int
    guards: tuple[tuple[int, ...], ...] = ()
    """The sizes that the conditions around it ask for (`conformance.sources.numbers.Demand`)."""
    numbers: tuple[int, ...] = ()
    """The sizes of the rest of its function."""
    function: int = 0
    """The line at which the function begins."""
    condition: tuple[int, int, int, int, int, int] | None = None
    """Of an ``if`` without an ``else``: see `conformance.calling.measuring.Condition`."""
    unwatched: bool = False
    """Whether its function may be compiled, or run while its module is imported: then that none of
    its lines was seen says nothing."""


def statements_of(
    file: str, text: str, top: Iterable[ast.stmt], values: Values
) -> Iterator[Statement]:
    """Yield the statements inside functions, among those of a module, in order."""
    lines = _executable(text, file)
    top = list(top)
    unwatched = {*_used_by_the_import(top)}
    for function in _functions(top, unwatched, values):
        for statement in _inside(file, function.node.body, (), function, values):
            if lines.intersection(range(statement.first, statement.last + 1)):
                yield statement


@dataclass(frozen=True, slots=True)
class _Function:
    node: ast.FunctionDef | ast.AsyncFunctionDef
    numbers: tuple[int, ...]
    unwatched: bool


def _functions(
    nodes: Iterable[ast.AST], unwatched: set[str], values: Values
) -> Iterator[_Function]:
    for node in nodes:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            decorators = {_called(decorator) for decorator in node.decorator_list}
            strange = any("jit" in name or "compile" in name for name in decorators)
            yield _Function(node, _sizes_of(node, values), node.name in unwatched or strange)
        elif not isinstance(node, ast.expr):
            yield from _functions(ast.iter_child_nodes(node), unwatched, values)


def _used_by_the_import(top: Iterable[ast.stmt]) -> Iterator[str]:
    """Yield the functions that run while a module is imported, or that it hands to others then.

    What they are handed to may compile them: ``fast = njit(plain)``.
    """
    for statement in top:
        decorators: list[ast.expr] | None = getattr(statement, "decorator_list", None)
        if decorators is not None:
            yield from map(_called, decorators)
            continue
        for node in ast.walk(statement):
            if isinstance(node, ast.Call):
                yield _called(node)
                yield from (given.id for given in node.args if isinstance(given, ast.Name))


def _called(decorator: ast.expr) -> str:
    """Return the last name of a decorator: ``njit`` of ``@numba.njit(parallel=True)``."""
    node: ast.expr = decorator.func if isinstance(decorator, ast.Call) else decorator
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _inside(
    file: str,
    body: Iterable[ast.stmt],
    guards: tuple[tuple[int, ...], ...],
    function: _Function,
    values: Values,
) -> Iterator[Statement]:
    for node in body:
        if _is_text(node) or isinstance(node, (ast.Global, ast.Nonlocal)):
            continue
        blocks = [
            block
            for name in ("body", "orelse", "finalbody")
            if isinstance(block := getattr(node, name, None), list) and block
        ]
        parts = [*getattr(node, "handlers", ()), *getattr(node, "cases", ())]
        blocks += [part.body for part in parts]
        last = node.end_lineno or node.lineno
        if blocks:
            last = max(node.lineno, min(block[0].lineno for block in blocks) - 1)
        yield Statement(
            file=file,
            first=node.lineno,
            last=last,
            guards=guards,
            numbers=function.numbers,
            function=function.node.lineno,
            condition=_condition(node),
            unwatched=function.unwatched,
        )
        inside = guards
        if isinstance(node, (ast.If, ast.While)):
            inside = (*guards, *demand_of(node.test, values).choices)
        for block in blocks:
            yield from _inside(file, block, inside, function, values)


def _sizes_of(node: ast.AST, values: Values) -> tuple[int, ...]:
    """Return the sizes that the conditions of a function ask for, or else its numbers."""
    tests = [part for part in ast.walk(node) if isinstance(part, (ast.Compare, ast.BoolOp))]
    sizes = dict.fromkeys(size for one in tests for size in demand_of(one, values).sizes)
    return tuple(sizes or dict.fromkeys(number.value for number in numbers_in(node, values)))


def _condition(node: ast.stmt) -> tuple[int, int, int, int, int, int] | None:
    if not isinstance(node, ast.If) or node.orelse:
        return None
    test, first, last = node.test, node.body[0].lineno, node.body[-1].end_lineno or 0
    end = test.end_lineno or test.lineno
    if first <= end or isinstance(test, ast.Constant):
        return None
    return node.lineno, end, test.col_offset, test.end_col_offset or 0, first, last


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _executable(text: str, file: str) -> set[int]:
    """Return the lines that have code, as this Python compiles them."""
    try:
        waiting = [compile(text, file, "exec", dont_inherit=True)]
    except (SyntaxError, ValueError):
        return set()
    lines: set[int] = set()
    while waiting:
        code = waiting.pop()
        lines |= {line for _, _, line in code.co_lines() if line is not None}
        waiting += [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    return lines
