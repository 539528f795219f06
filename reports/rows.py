"""One frozen dataclass for each table of the run file, and reading its rows with their types."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from conformance.errors import RunFileError
from conformance.reports.text import clean, one_line

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Implementation:
    """What an implementation declares, and the verdict on it."""

    name: str
    family: str
    version: str
    layout: str
    accumulate: str | None
    multiply: str | None
    error: str
    verdict: str
    note: str
    settings: str = ""
    """How its engine was told to compute, where its users may have it otherwise."""


@dataclass(frozen=True, slots=True)
class Cell:
    """The cases of one implementation, operator, number of spatial dimensions and dtype."""

    implementation: str
    operator: str
    dims: int
    dtype: str
    planned: int
    reached: int
    compared: int
    unsupported: int
    violating: int
    elements: int
    nonzero: int
    worst: float | None
    """The largest error as a fraction of the bound; None where nothing was compared."""
    worst_case: str | None
    seconds: float
    verdict: str
    known: int = 0
    """Failures that a known difference covers; not among the violating ones."""


@dataclass(frozen=True, slots=True)
class Violation:
    """The smallest case of a cell that violates one requirement."""

    implementation: str
    operator: str
    dims: int
    dtype: str
    requirement: str
    status: str
    case: str
    found: str
    """The case that first showed it, before it was shrunk."""
    count: int
    """How many of the cell's cases violate the requirement."""
    message: str
    script: str
    engine_script: str
    """The case in ten lines at most that use the engine alone; empty where there is none."""
    replay: str
    """The command that judges the case again."""


@dataclass(frozen=True, slots=True)
class Known:
    """A known difference on the list of an implementation, and whether it still occurs."""

    implementation: str
    requirement: str
    operator: str
    case: str
    covers: str
    """Which cases it may show in, and on which machines."""
    reason: str
    link: str
    versions: str
    status: str
    """known difference (it occurs), stale, not judged, other version or other machine."""
    count: int
    """How many failures of the run it covers."""
    message: str
    script: str
    engine_script: str
    replay: str


@dataclass(frozen=True, slots=True)
class Large:
    """What came of one implementation on one large case: a layer, or a generated shape."""

    implementation: str
    layer: str
    operator: str
    dims: int
    case: str
    """The case that was judged."""
    share: float
    """How many of the layer's output elements it has."""
    status: str
    message: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Witness:
    """What an implementation makes of the smallest case that shows another's violation."""

    implementation: str
    requirement: str
    operator: str
    case: str
    status: str
    cited: str
    """The requirement that this implementation violates there, or nothing."""
    message: str
    engine_script: str


@dataclass(frozen=True, slots=True)
class Convention:
    """Which alternative of a convention the probes saw an implementation follow."""

    implementation: str
    convention: str
    requirement: str
    operator: str
    dims: int
    dtype: str
    declared: str
    followed: str
    """An alternative, ``mixed``, ``neither`` or ``not applicable``."""
    agrees: bool
    """Whether what was seen is what was declared."""
    probes: int
    case: str
    message: str


@dataclass(frozen=True, slots=True)
class Gap:
    """Why an implementation left cases of an operator uncomputed, and how many."""

    implementation: str
    operator: str
    reason: str
    count: int


@dataclass(frozen=True, slots=True)
class Pair:
    """The outputs of two implementations on the cases of an operator that both computed."""

    first: str
    second: str
    operator: str
    cases: int
    elements: int
    identical: int
    """Elements that are equal bit for bit."""
    largest: float | None
    """The largest difference as a multiple of the bound."""
    largest_case: str | None


@dataclass(frozen=True, slots=True)
class Timing:
    """How long one implementation takes for one layer: seconds of a call."""

    implementation: str
    layer: str
    case: str
    calls: int
    median: float | None
    lower: float | None
    upper: float | None
    ratio: float | None
    macs: int
    gflops: float | None
    peak: float | None
    threads: int
    verified: str
    """``conforms``, or what was wrong with the outputs of the timed calls."""

    @property
    def is_verified(self) -> bool:
        return self.verified == "conforms"


_SEVERAL_LINES = {"message", "script", "engine_script", "note", "reason", "verified"}


def read_rows(
    row_type: type[Row], table: str, rows: Iterable[Mapping[str, Any]], path: object
) -> tuple[Row, ...]:
    """Return the rows of a table as ``row_type``, strings cleaned.

    Raises `RunFileError`, naming the table and the column, where a value has another type than
    the schema says: SQLite stores what it is given.
    """
    read = []
    for row in rows:
        values = {}
        for field in fields(row_type):  # type: ignore[arg-type]  # every row type is a dataclass
            try:
                values[field.name] = _value(field.name, str(field.type), row[field.name])
            except (KeyError, IndexError, TypeError, ValueError, OverflowError):
                raise RunFileError(
                    f"run file {path}: table {table}, column {field.name}: "
                    f"{one_line(repr(row.get(field.name)))[:80]} is not of type {field.type}"
                ) from None
        read.append(row_type(**values))
    return tuple(read)


def _value(name: str, kind: str, value: Any) -> str | int | float | None:
    if value is None:
        if "None" in kind:
            return None
        raise TypeError
    if kind.startswith("str"):
        if not isinstance(value, str):
            raise TypeError
        return clean(value) if name in _SEVERAL_LINES else one_line(value)
    if isinstance(value, (str, bytes)):
        raise TypeError
    if kind.startswith(("int", "bool")):
        return int(value)
    return None if math.isnan(float(value)) and "None" in kind else float(value)
