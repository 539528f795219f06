"""Suites: curated cases by name, read from the ``[[case]]`` tables of a TOML file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from conformance.case import Case
from conformance.cases.validity import validate
from conformance.errors import CaseError, did_you_mean
from conformance.operators import FORWARD
from conformance.signatures import meant_operator
from conformance.toml import Table, parse, plural, show

_TUPLES = {"kernel": 1, "stride": 1, "dilation": 1, "output_padding": 0}
"""Fields with one whole number for each spatial axis, and the least allowed number."""
_FLAGS = ("bias", "ceil_mode", "count_include_pad")
_NOTES = ("why", "provenance", "source", "note")
FIELDS = ("name", "operator", "x", "w", *_TUPLES, "padding", "groups", *_FLAGS, *_NOTES, "count")
"""The fields that a ``[[case]]`` table may have; the last five only inform a reader."""

_LARGEST = 1_000_000
"""The largest number in a case: a larger one is a typo."""


@dataclass(frozen=True, slots=True)
class SuiteCase:
    """A curated case with the default dtype and data; ``why`` gives the reason for it."""

    name: str
    case: Case
    why: str = ""

    def expand(
        self, dtypes: Iterable[str], recipes: Iterable[str] = ("integers", "normal")
    ) -> tuple[Case, ...]:
        """Return the case in each dtype with each kind of data."""
        kinds = tuple(recipes)
        return tuple(
            self.case.replace(dtype=dtype, data=data) for dtype in dtypes for data in kinds
        )


@dataclass(frozen=True, slots=True)
class Suite:
    """Curated cases in the order of their file."""

    name: str
    cases: tuple[SuiteCase, ...]


class Suites(Mapping[str, Suite]):
    """Suites by name; each is parsed when it is first asked for, since some are large."""

    def __init__(self) -> None:
        self._files: dict[str, tuple[bytes, str]] = {}
        self._suites: dict[str, Suite] = {}

    def add_file(self, name: str, data: bytes, file: str) -> None:
        """Add the suite in ``data``, the contents of ``file``; it replaces a suite of that name."""
        self._files[name] = (data, file)
        self._suites.pop(name, None)

    def add(self, suite: Suite) -> None:
        """Add a suite."""
        self._suites[suite.name] = suite

    def contents(self) -> Iterator[bytes]:
        """Yield everything that the suites are made from."""
        for name in sorted(self):
            data = self._files[name][0] if name in self._files else b""
            cases = "" if data else ";".join(f"{c.name} {c.case.id}" for c in self[name].cases)
            yield f"{name}:{len(data)}:{cases};".encode() + data

    def __getitem__(self, name: str) -> Suite:
        if name not in self._suites:
            data, file = self._files[name]
            document = parse(data, file)
            document.only(("case",), "table")
            self._suites[name] = read_suite(name, document)
        return self._suites[name]

    def __contains__(self, name: object) -> bool:
        return name in self._suites or name in self._files  # the inherited method would parse it

    def __iter__(self) -> Iterator[str]:
        return iter({**self._files, **self._suites})

    def __len__(self) -> int:
        return len({**self._files, **self._suites})


def read_suite(name: str, document: Table) -> Suite:
    """Return the suite that the ``[[case]]`` tables of ``document`` make."""
    tables = document.tables("case", "[[case]]")
    if not tables:
        raise document.failure("no case; allowed: one or more, each a table written [[case]]")
    cases: dict[str, SuiteCase] = {}
    for number, values in enumerate(tables, start=1):
        given = values.get("name")
        named = isinstance(given, str) and given.strip() and given.isprintable()
        label = show(given) if named else f"number {number}"
        case = _read_case(Table(document.file, f"[[case]] {label}", values))
        if case.name in cases:
            raise Table(document.file, f"[[case]] number {number}", values).error(
                "name", "a name that no other case of the file has"
            )
        cases[case.name] = case
    return Suite(name, tuple(cases.values()))


def _read_case(table: Table) -> SuiteCase:
    table.only(FIELDS)
    for field in ("name", "operator", "x"):
        if field not in table.values:
            raise table.failure(f"{field} is missing; allowed: name, operator and x at the least")
    for field in ("name", *_NOTES):
        if field in table.values:
            table.text(field)
    if "count" in table.values:
        table.whole("count", 1, _LARGEST)
    if table.text("operator") not in FORWARD:
        meant = meant_operator(table.text("operator")).split(" ")[0]  # x tells the dimensions
        hint = did_you_mean(table.text("operator"), FORWARD, meant if meant in FORWARD else "")
        raise table.error("operator", f"one of {', '.join(FORWARD)}", hint)
    case = Case(operator=table.text("operator"), **_read_parameters(table))
    try:
        validate(case)
    except CaseError as problem:
        raise table.failure(str(problem).partition(": ")[2]) from None
    return SuiteCase(table.text("name"), case, table.values.get("why", ""))


def _read_parameters(table: Table) -> dict[str, Any]:
    """Return the fields of a `Case` that ``table`` has, each of the right type and length."""
    values: dict[str, Any] = {"x": table.wholes("x", 0, _LARGEST, length=(3, 5))}
    dims = len(values["x"]) - 2
    if "w" in table.values:
        values["w"] = table.wholes("w", 1, _LARGEST, length=(dims + 2, dims + 2))
    for field, least in _TUPLES.items():
        if field in table.values:
            values[field] = table.wholes(field, least, _LARGEST, length=(dims, dims))
    if "padding" in table.values:
        values["padding"] = _read_padding(table, dims)
    if "groups" in table.values:
        values["groups"] = table.whole("groups", 1, _LARGEST)
    for field in _FLAGS:
        if field in table.values:
            values[field] = table.flag(field)
    return values


def _read_padding(table: Table, dims: int) -> tuple[tuple[int, int], ...]:
    value = table.values["padding"]
    pairs = value if isinstance(value, list) else []
    if len(pairs) != dims or not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
        raise table.error("padding", f"{plural(dims, 'pair')} [before, after], one a spatial axis")
    for pair in pairs:
        if not all(
            isinstance(size, int) and not isinstance(size, bool) and 0 <= size <= _LARGEST
            for size in pair
        ):
            raise table.error("padding", f"pairs of whole numbers, each 0 to {_LARGEST}")
    return tuple((before, after) for before, after in pairs)
