"""What a call did to calls of other functions: found in their cells, it belongs to its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from conformance.runfile.row import Row
from conformance.running import rows
from conformance.running.cell import Cell
from conformance.running.violation import Violation

Accusation = tuple[str, Violation]
"""An implementation's name, and the violation of one of its functions."""


def settle(cells: list[Cell], accusations: Iterable[Accusation]) -> Iterator[Row]:
    """Put each accusation into its cell, and yield the rows of the cells that this changes.

    What concerns a cell that was not judged gets a cell of its own.
    """
    for name, violation in accusations:
        case = violation.case
        key = (name, case.operator, case.dims, case.dtype)
        own = (c for c in cells if (c.implementation, c.operator, c.dims, c.dtype) == key)
        cell = next(own, None)
        if cell is None:
            cells.append(cell := Cell(*key, planned=1, reached=1, compared=1))
        new = cell.accuse(violation)
        yield cell.row()
        if new:
            yield rows.violation(violation, cell)
