"""Suites: curated cases by name, read from the ``[[case]]`` tables of a TOML file.

That of a model (`conformance.models`) says of each call its dtype, the ranges of its numbers, which
layers make it, and what else of the model is a convolution or a pool, in tables ``[[other]]``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from conformance.case import MEASURED, Case, Measured
from conformance.cases.validity import validate
from conformance.dtypes import FLOATS, INTEGERS, meant_dtype
from conformance.errors import CaseError, SpecError, did_you_mean
from conformance.operators import FORWARD
from conformance.signatures import SIGNATURES, meant_operator
from conformance.toml import Table, parse, plural, read, show, write

_TUPLES = {"kernel": 1, "stride": 1, "dilation": 1, "output_padding": 0}
"""Fields with one whole number for each spatial axis, and the least allowed number."""
_FLAGS = ("bias", "ceil_mode", "count_include_pad")
_NOTES = ("why", "provenance", "source", "note")
_CALL = ("operator", "x", "w", *_TUPLES, "padding", "groups", *_FLAGS)
FIELDS = ("name", *_CALL, "dtype", "ranges", "layers", *_NOTES, "count")
"""The fields that a ``[[case]]`` table may have; the last six only inform a reader."""

OF_FILES = ("case", "other")
"""The tables of a suite's file."""

PLAIN = ("integers", "normal")
"""The recipes of a case of which nothing is known."""

_LARGEST = 1_000_000
"""The largest number in a case: a larger one is a typo."""


@dataclass(frozen=True, slots=True)
class SuiteCase:
    """A curated case with the default dtype and data; ``why`` gives the reason for it."""

    name: str
    case: Case
    why: str = ""
    dtype: str = ""
    """The dtype of the call, where it has one: no other one is judged then."""
    ranges: tuple[Measured, ...] = ()
    """What the numbers of each array are, where that is known."""
    layers: tuple[str, ...] = ()
    """The layers of a model that make the call."""
    count: int = 1
    """How often it is made."""

    @property
    def recipes(self) -> tuple[str, ...]:
        """The kinds of data that it is judged on."""
        if self.dtype in INTEGERS:
            return PLAIN[:1]
        if not self.dtype:
            return PLAIN
        return (PLAIN[0], "digits", *PLAIN[1:], *((MEASURED,) if self.ranges else ()))

    def expand(self, dtypes: Iterable[str]) -> tuple[Case, ...]:
        """Return the case in its dtype, or else in each of ``dtypes``, with each kind of data."""
        return tuple(
            self.case.replace(dtype=dtype, data=data, ranges=self.ranges)
            for dtype in ((self.dtype,) if self.dtype else dtypes)
            for data in self.recipes
        )


@dataclass(frozen=True, slots=True)
class Other:
    """A convolution or a pool of a model that is no call of an operator."""

    name: str
    why: str
    count: int = 1
    layers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Suite:
    """Curated cases in the order of their file. Printed, it is that file."""

    name: str
    cases: tuple[SuiteCase, ...]
    others: tuple[Other, ...] = ()

    def save(self, path: str | Path) -> None:
        """Write the suite into a TOML file, for ``convformance run --suite``."""
        try:
            Path(path).write_text(str(self), encoding="utf-8")
        except OSError as problem:
            raise SpecError(f"{path}: cannot be written: {problem.strerror}") from None

    def __str__(self) -> str:
        calls = plural(sum(entry.count for entry in self.cases), "call")
        comment = f"{self.name}: {plural(len(self.cases), 'distinct call')}, {calls} in all"
        entries = [("case", _as_table(entry)) for entry in self.cases]
        entries += [("other", _other_table(other)) for other in self.others]
        return write(entries, comment)


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

    def with_suite(self, suite: Suite) -> Suites:
        """Return a copy that has a suite as well."""
        both = Suites()
        both._files, both._suites = dict(self._files), {**self._suites, suite.name: suite}
        return both

    def contents(self) -> Iterator[bytes]:
        """Yield everything that the suites are made from."""
        for name in sorted(self):
            data = self._files[name][0] if name in self._files else b""
            cases = "" if data else str(self[name])
            yield f"{name}:{len(data)}:{cases};".encode() + data

    def __getitem__(self, name: str) -> Suite:
        if name not in self._suites:
            data, file = self._files[name]
            document = parse(data, file)
            document.only(OF_FILES, "table")
            self._suites[name] = read_suite(name, document)
        return self._suites[name]

    def __contains__(self, name: object) -> bool:
        return name in self._suites or name in self._files  # the inherited method would parse it

    def __iter__(self) -> Iterator[str]:
        return iter({**self._files, **self._suites})

    def __len__(self) -> int:
        return len({**self._files, **self._suites})


def read_file(path: Path) -> Suite:
    """Return the suite in a file, whose name is that of the file; raise `SpecError` if none is."""
    document = parse(read(path), str(path))
    document.only(OF_FILES, "table")
    return read_suite(path.stem, document)


def read_suite(name: str, document: Table) -> Suite:
    """Return the suite that the ``[[case]]`` tables of ``document`` make."""
    tables = document.tables("case", "[[case]]")
    others = tuple(_read_others(document))
    if not tables and not others:
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
    return Suite(name, tuple(cases.values()), others)


def _read_others(document: Table) -> Iterator[Other]:
    for number, values in enumerate(document.tables("other", "[[other]]"), start=1):
        table = Table(document.file, f"[[other]] number {number}", values)
        table.only(field.name for field in fields(Other))
        for field in ("name", "why"):
            if field not in values:
                raise table.failure(f"{field} is missing; allowed: name and why at the least")
        count = table.whole("count", 1, _LARGEST) if "count" in values else 1
        layers = table.texts("layers") if "layers" in values else ()
        yield Other(table.text("name"), table.text("why"), count, layers)


def _read_case(table: Table) -> SuiteCase:
    table.only(FIELDS)
    for field in ("name", "operator", "x"):
        if field not in table.values:
            raise table.failure(f"{field} is missing; allowed: name, operator and x at the least")
    for field in ("name", *_NOTES):
        if field in table.values:
            table.text(field)
    count = table.whole("count", 1, _LARGEST) if "count" in table.values else 1
    layers = table.texts("layers") if "layers" in table.values else ()
    if table.text("operator") not in FORWARD:
        meant = meant_operator(table.text("operator")).split(" ")[0]  # x tells the dimensions
        hint = did_you_mean(table.text("operator"), FORWARD, meant if meant in FORWARD else "")
        raise table.error("operator", f"one of {', '.join(FORWARD)}", hint)
    case = Case(operator=table.text("operator"), **_read_parameters(table))
    dtype = _read_dtype(table, case.operator)
    if dtype:
        case = case.replace(dtype=dtype)
    ranges = _read_ranges(table, case)
    try:
        validate(case)
    except CaseError as problem:
        raise table.failure(str(problem).partition(": ")[2]) from None
    why = table.values.get("why", "")
    return SuiteCase(table.text("name"), case, why, dtype, ranges, layers, count)


def _read_dtype(table: Table, operator: str) -> str:
    if "dtype" not in table.values:
        return ""
    dtype, allowed = table.text("dtype"), SIGNATURES[operator].dtypes
    if dtype not in allowed:
        meant = meant_dtype(dtype)
        hint = did_you_mean(dtype, allowed, meant if meant in allowed else "")
        raise table.error("dtype", f"one of {', '.join(allowed)}", hint)
    return dtype


def _read_ranges(table: Table, case: Case) -> tuple[Measured, ...]:
    """Return the ranges of all arrays of a case; none of them may be left out."""
    if "ranges" not in table.values:
        return ()
    if table.values.get("dtype") not in FLOATS:
        raise table.failure(f"ranges without a dtype; allowed: beside one of {', '.join(FLOATS)}")
    given = table.table("ranges", "{ x = [least, greatest, root of the mean square], ... }")
    names = [name for name in SIGNATURES[case.operator].arrays if name != "bias" or case.bias]
    given = Table(table.file, f"{table.entry}: ranges", given.values)
    given.only(names)
    ranges = []
    for name in names:
        value = given.values.get(name, [])
        numbers = isinstance(value, list) and all(
            isinstance(n, (int, float)) and not isinstance(n, bool) and math.isfinite(n)
            for n in value
        )
        if not numbers or len(value) != 3 or not value[0] <= value[1] or value[2] < 0:
            raise given.error(name, "[least, greatest, root of the mean square], finite numbers")
        ranges.append((float(value[0]), float(value[1]), float(value[2])))
    return tuple(ranges)


def _as_table(entry: SuiteCase) -> dict[str, Any]:
    """Return the fields of the table of a case, without those that are the defaults."""
    case, plain = entry.case, entry.case.plain()
    values: dict[str, Any] = {"name": entry.name}
    for field in _CALL:
        value = getattr(case, field)
        needed = field in ("operator", "x") or value != getattr(plain, field)
        if needed or (field in ("w", "kernel") and value is not None):
            values[field] = value
    if case.operator == "avg_pool":
        values["count_include_pad"] = case.count_include_pad
    if entry.dtype:
        values["dtype"] = entry.dtype
    if entry.ranges:
        names = SIGNATURES[case.operator].arrays
        values["ranges"] = dict(zip(names, entry.ranges, strict=False))
    values["count"] = entry.count
    if entry.why:
        values["why"] = entry.why
    return values | ({"layers": entry.layers} if entry.layers else {})


def _other_table(other: Other) -> dict[str, Any]:
    values = {"name": other.name, "why": other.why, "count": other.count}
    return values | ({"layers": other.layers} if other.layers else {})


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
