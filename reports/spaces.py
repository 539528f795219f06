"""The spaces of calls that were judged whole, as sentences that can be quoted.

Such as ``every conv1d geometry with width <= 9, ... (float32): 1,725 cases, all judged``.
"""

from __future__ import annotations

from dataclasses import dataclass

from conformance.reports.model import Report
from conformance.reports.order import grouped
from conformance.reports.text import plural
from conformance.runfile.tables import Cell


@dataclass(frozen=True, slots=True)
class Space:
    """A space in one cell, and how much of it was judged."""

    implementation: str
    operator: str
    dims: int
    dtype: str
    words: str
    """Which calls it holds."""
    cases: int
    unsupported: int
    judged: int

    @property
    def whole(self) -> bool:
        """Whether every call of it was judged."""
        return self.judged == self.cases

    @property
    def sentence(self) -> str:
        """What was judged, to be quoted."""
        gaps = f", {self.unsupported:,} not supported" if self.unsupported else ""
        judged = "all judged" if self.whole else f"{self.judged:,} judged"
        return f"{self.words} ({self.dtype}): {plural(self.cases, 'case')}{gaps}, {judged}"


def spaces(report: Report) -> tuple[Space, ...]:
    """Return the spaces of all cells, in the order of the cells."""
    return tuple(space for cell in report.cells for space in of_cell(cell))


def of_cell(cell: Cell) -> tuple[Space, ...]:
    """Return the spaces of a cell."""
    found = []
    for kind, (words, cases) in cell.by_space.items():
        due, judged = cell.by_class.get(kind, (0, 0))
        place = cell.implementation, cell.operator, cell.dims, cell.dtype
        found.append(Space(*place, words, cases, cases - due, judged))
    return tuple(found)


def summary(report: Report) -> str:
    """Return how many spaces each implementation was judged on whole, in one line, or nothing."""
    parts = []
    for name, own in grouped(spaces(report), lambda space: space.implementation).items():
        whole = [space for space in own if space.whole]
        cases = sum(space.cases for space in whole)
        of = "" if len(whole) == len(own) else f" of {len(own):,}"
        parts.append((name, f"{len(whole):,}{of} ({plural(cases, 'case')})"))
    if not parts:
        return ""
    alike = len({text for _, text in parts}) == 1
    text = parts[0][1] if alike else ", ".join(f"{name} {text}" for name, text in parts)
    return f"spaces of small calls judged whole: {text}"
