"""The source of one operator of an implementation: its numbers, conditions and statements.

It is what the function uses of its own file, of the modules beside it that it imports, and of the
files that the implementation declares as its ``source=``. An engine's is not looked at, nor that of
what comes with this suite.
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from conformance.calling.gcov import lines_of
from conformance.calling.measuring import Condition
from conformance.registration.implementation import Implementation, source_line
from conformance.sources.modules import reached
from conformance.sources.numbers import (
    Demand,
    Number,
    Values,
    blocks_in,
    demand_of,
    numbers_in,
    numbers_of_c,
    values_of,
)
from conformance.sources.statements import Statement, statements_of

_OWN_PACKAGE = __name__.partition(".")[0]
_INSTALLED = re.compile(r"[/\\](?:site|dist)-packages[/\\]")
_ENTRY = "convformance_"
"""With it the names of a C library's functions begin that are called."""
_LARGEST_FILE = 2_000_000
"""Bytes of a file that is read."""


@dataclass(frozen=True, slots=True)
class Source:
    """What the source of one operator says."""

    files: tuple[str, ...]
    """The Python files."""
    numbers: tuple[int, ...]
    """Its integers, those of conditions first and those of tables last."""
    demands: tuple[Demand, ...]
    blocks: tuple[int, ...]
    """The numbers that something is divided by, with a remainder."""
    statements: tuple[Statement, ...]

    @property
    def conditions(self) -> dict[str, list[Condition]]:
        """The conditions of each file, as they are measured."""
        found: dict[str, list[Condition]] = {file: [] for file in self.files}
        found |= {statement.file: [] for statement in self.statements}
        for statement in self.statements:
            if statement.condition is not None:
                found[statement.file].append(statement.condition)
        return found

    def __bool__(self) -> bool:
        return bool(self.files or self.numbers)


def source_of(implementation: Implementation, operator: str) -> Source | None:
    """Return the source of an operator, None where there is none to read."""
    own = implementation.module.partition(".")[0] == _OWN_PACKAGE
    if own or operator not in implementation.functions:
        return None
    places = {name: source_line(f) for name, f in implementation.functions.items()}
    start = places[operator] or (implementation.origin, 0)
    if implementation.place is not None and implementation.place.form:
        start = ("", 0)  # its source is declared
    if not Path(start[0]).is_file() or _INSTALLED.search(start[0]):
        start = ("", 0)
    others = tuple(place for name, place in places.items() if place and name != operator)
    folder = Path(implementation.origin).parent
    declared = tuple(str(folder / name) for name in implementation.source)
    notes = tuple(map(str, folder.glob("*.gcno"))) if declared else ()
    states = tuple(map(_state, (start[0], *declared, *notes)))
    found = _read(start, others, declared, notes, states)
    return found or None


def _state(file: str) -> tuple[int, int]:
    """Return what tells a file from one that has been edited since."""
    try:
        status = Path(file).stat()
    except OSError:
        return 0, 0
    return status.st_mtime_ns, status.st_size


@lru_cache(maxsize=64)
def _read(
    start: tuple[str, int],
    others: Sequence[tuple[str, int]],
    declared: Sequence[str],
    notes: Sequence[str],
    states: Sequence[tuple[int, int]],
) -> Source:
    numbers: list[Number] = []
    demands: list[Demand] = []
    blocks: list[int] = []
    statements: list[Statement] = []
    modules = reached([start] if start[0] else [], others)
    values = values_of(module.tree for module in modules)
    for module, used in modules.items():
        for statement in used:
            numbers += numbers_in(statement, values)
            demands += _tests_of(statement, values)
            blocks += blocks_in(statement, values)
        statements += statements_of(str(module.file), module.text, used, values)
    for file in declared:
        further, asked = numbers_of_c(_text_of(file))
        numbers += further
        demands += asked
    statements += _counted(declared, notes)
    ranked = sorted(numbers, key=lambda number: number.rank)
    return Source(
        files=tuple(str(module.file) for module in modules),
        numbers=tuple(dict.fromkeys(number.value for number in ranked)),
        demands=tuple(dict.fromkeys(one for one in demands if one.choices)),
        blocks=tuple(dict.fromkeys(blocks)),
        statements=tuple(statements),
    )


def _counted(declared: Sequence[str], notes: Sequence[str]) -> Iterator[Statement]:
    """Yield the lines of C that gcov counts; a call enters the functions of one operator alone."""
    lines = lines_of(map(Path, notes))
    for file in map(os.path.realpath, declared):
        functions: dict[str, int] = {}
        for number, line in sorted(lines.get(file, {}).items()):
            begin = functions.setdefault(line.function, number)
            entry = line.function.startswith(_ENTRY)
            yield Statement(file, number, number, function=begin, unwatched=entry)


def _tests_of(
    node: ast.AST, values: Values, around: tuple[tuple[int, ...], ...] = ()
) -> Iterator[Demand]:
    """Yield the conditions of a piece of source, each with those that lead to it."""
    if isinstance(node, (ast.Compare, ast.BoolOp)):
        if own := demand_of(node, values).choices:
            yield Demand((*around, *own))
        return
    inner = around
    if isinstance(node, (ast.If, ast.While, ast.IfExp)):
        inner = (*around, *demand_of(node.test, values).choices)
    for name, value in ast.iter_fields(node):
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _tests_of(child, values, inner if name == "body" else around)


def _text_of(file: str) -> str:
    try:
        with open(file, encoding="utf-8", errors="replace") as opened:
            return opened.read(_LARGEST_FILE)
    except OSError:
        return ""
