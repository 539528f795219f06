"""The feature matrix: who computes what, as a table of features by implementations.

A mark stands for all cases of a run that have the feature. What fails is a mark of those features
alone that its smallest case has: a kernel that is wrong with groups is not wrong with a stride
because some cases have both. A known difference is a footnote: the number of its row in the list.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from conformance.case import Case
from conformance.errors import CaseError
from conformance.features import NAMES, Count, features_of, read, total
from conformance.reports.model import Report
from conformance.reports.order import by_dtype, grouped
from conformance.reports.text import share
from conformance.runfile import words
from conformance.runfile.tables import Cell, Implementation

NOT_ASKED, PARTLY = "not asked", "partly"
_FEATURES = "features"
_MOST_NOTES = 3


@dataclass(frozen=True, slots=True)
class Mark:
    """What one implementation makes of a feature."""

    word: str
    """A verdict, ``partly`` (conforms where it is supported) or ``not asked``."""
    count: Count
    notes: tuple[int, ...] = ()
    """The known differences that show in it, by their position in the report, from 1."""

    @property
    def supported(self) -> str:
        """The share of the cases that is supported."""
        return share(self.count.compared, self.count.compared + self.count.unsupported)

    @property
    def shown(self) -> tuple[int, ...]:
        return self.notes[:_MOST_NOTES]


@dataclass(frozen=True, slots=True)
class Group:
    """Rows of one kind: a name, and a mark for each implementation."""

    title: str
    rows: tuple[tuple[str, tuple[Mark, ...]], ...]


@dataclass(frozen=True, slots=True)
class FeatureMatrix:
    """The whole table."""

    columns: tuple[Implementation, ...]
    groups: tuple[Group, ...]


def feature_matrix(report: Report) -> FeatureMatrix:
    """Return the table; without groups where no cell was judged."""
    columns = tuple(
        i for i in report.judged if any(c.implementation == i.name for c in report.cells)
    )
    cells = grouped(
        ((cell, read(cell.features)) for cell in report.cells), lambda pair: pair[0].implementation
    )
    notes = {i.name: list(_notes(report, i.name)) for i in columns}
    blamed = {i.name: _blamed(report, i.name) for i in columns}

    def group(
        title: str,
        names: Iterable[str],
        counted: Callable[[Cell, dict[str, Count], str], Count | None],
        noted: Callable[[_Note, str], bool],
    ) -> Group:
        rows = []
        for name in names:
            marks = []
            for one in columns:
                parts = (counted(cell, by, name) for cell, by in cells[one.name])
                count = total(part for part in parts if part is not None)
                numbers = tuple(note.number for note in notes[one.name] if noted(note, name))
                numbers = numbers if count.known else ()
                violates, differs = bool(count.violating), bool(count.known)
                if title == _FEATURES:
                    violates, differs = name in blamed[one.name], bool(numbers)
                marks.append(Mark(_word(count, violates, differs), count, numbers))
            if any(mark.word != NOT_ASKED for mark in marks):
                rows.append((name, tuple(marks)))
        return Group(title, tuple(rows))

    dims = sorted({cell.dims for cell in report.cells})
    dtypes = sorted({cell.dtype for cell in report.cells}, key=by_dtype)
    groups = (
        group(
            "operators",
            report.operators,
            lambda cell, _, name: _of_cell(cell) if cell.operator == name else None,
            lambda note, name: note.operator == name,
        ),
        group(
            "dimensions",
            [f"{d}-D" for d in dims],
            lambda cell, _, name: _of_cell(cell) if f"{cell.dims}-D" == name else None,
            lambda note, name: note.dims == name,
        ),
        group(
            "dtypes",
            dtypes,
            lambda cell, _, name: _of_cell(cell) if cell.dtype == name else None,
            lambda note, name: note.dtype == name,
        ),
        group(
            _FEATURES,
            NAMES,
            lambda _, by, name: by.get(name),
            lambda note, name: name in note.features,
        ),
    )
    return FeatureMatrix(columns, tuple(one for one in groups if one.rows))


@dataclass(frozen=True, slots=True)
class _Note:
    number: int
    operator: str
    dims: str
    dtype: str
    features: tuple[str, ...]


def _notes(report: Report, implementation: str) -> Iterable[_Note]:
    for number, entry in enumerate(report.known, 1):
        if entry.implementation != implementation or not entry.count:
            continue
        try:
            case = Case.parse(entry.case)
        except CaseError:
            continue
        yield _Note(number, entry.operator, f"{case.dims}-D", case.dtype, _features(entry.case))


def _blamed(report: Report, implementation: str) -> set[str]:
    """Return the features that the smallest cases of an implementation's violations have."""
    own = {v.case for v in report.violations if v.implementation == implementation}
    return {name for text in own for name in _features(text)}


def _features(case_id: str) -> tuple[str, ...]:
    try:
        return tuple(features_of(Case.parse(case_id)))
    except CaseError:  # a run may have cases of a later version
        return ()


def _of_cell(cell: Cell) -> Count:
    return Count(cell.compared, cell.unsupported, cell.violating, cell.known)


def _word(count: Count, violates: bool, differs: bool) -> str:
    if violates:
        return words.VIOLATES
    if differs:
        return words.KNOWN_DIFFERENCE
    if not count.compared:
        return words.UNSUPPORTED if count.unsupported else NOT_ASKED
    return PARTLY if count.unsupported else words.CONFORMS
