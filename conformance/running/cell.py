"""What came of a block: a cell for each implementation and dtype, and what they share."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from conformance.case import Case
from conformance.checks.conventions import Probe
from conformance.judging import Prepared, Verdict
from conformance.runfile import tables
from conformance.runfile.words import (
    ADAPTER_WRONG,
    CONFORMS,
    INCONCLUSIVE,
    KNOWN_DIFFERENCE,
    UNSUPPORTED,
    VIOLATES,
)
from conformance.running import known_in_run
from conformance.running.causes import Violation
from conformance.running.layers import LayerVerdict

MIN_COMPARED = 10
"""A cell that compared fewer cases than this proves too little to be called conforming."""

MIN_NONZERO = 0.1
"""So does one in which fewer than this share of the cases has a result that is not all zero."""


@dataclass(slots=True)
class Cell:
    """What came of one implementation for one operator, dimension and dtype."""

    implementation: str
    operator: str
    dims: int
    dtype: str
    planned: int = 0
    reached: int = 0
    compared: int = 0
    unsupported: int = 0
    violating: int = 0
    elements: int = 0
    nonzero: int = 0
    worst: float = 0.0
    worst_case: Case | None = None
    seconds: float = 0.0
    violations: list[Violation] = field(default_factory=list)
    known: int = 0
    """Failures that a known difference covers; they are not among the violating ones."""
    covered: Counter[int] = field(default_factory=Counter)
    """Those failures by the place of the entry in the implementation's list."""
    conventions: list[Probe] = field(default_factory=list)
    """Which alternative of each convention was seen to be followed."""
    stopped: bool = False
    """Whether the clock ended it, so that another run may judge other cases."""
    adapter_wrong: bool = False
    """Whether nothing was judged, because the adapter fails the simplest cases."""

    @property
    def verdict(self) -> str:
        """violates, conforms, unsupported, inconclusive where too little was compared, or known.

        Or that the adapter is wrong, where it is, and nothing was judged.
        """
        if self.adapter_wrong:
            return ADAPTER_WRONG
        if self.violating:
            return VIOLATES
        if self.known:
            return KNOWN_DIFFERENCE
        if self.unsupported and not self.nonzero:  # invalid calls alone were compared
            return UNSUPPORTED
        if self.nonzero < max(MIN_COMPARED, MIN_NONZERO * self.compared):
            return INCONCLUSIVE
        return CONFORMS

    def row(self) -> tables.Cell:
        """Return the cell as a row of the run file."""
        return tables.Cell.of(self, worst_case=self.worst_case.id if self.worst_case else None)


@dataclass(slots=True)
class Block:
    """What came of one block: cells, gaps with their counts, pairs, and where the time went."""

    operator: str
    dims: int
    cells: list[Cell]
    gaps: Counter[tuple[str, str]]
    """How many cases an implementation does not compute, by (name, reason)."""
    pairs: list[tables.Pair]
    spent: Counter[str]
    """Microseconds, by what they were spent on."""
    examples: dict[known_in_run.Key, known_in_run.Example] = field(default_factory=dict)
    """What the cases of the known differences of this block showed."""
    layers: list[LayerVerdict] = field(default_factory=list)
    notes: dict[str, str] = field(default_factory=dict)
    """Why no more calls of an implementation were made, by its name."""
    interrupted: bool = False
    """Whether the rest of the block was not judged, because the user has ended the run."""


def count(cell: Cell, verdict: Verdict, prepared: Prepared) -> None:
    """Add a verdict on a prepared case to its cell."""
    cell.reached += 1
    if verdict.status == UNSUPPORTED:
        cell.unsupported += 1
        return
    cell.compared += 1
    exact = prepared.reference.exact
    cell.elements += exact.size
    cell.nonzero += bool(np.any(exact))
    if verdict.worst > cell.worst:
        cell.worst, cell.worst_case = verdict.worst, verdict.case
