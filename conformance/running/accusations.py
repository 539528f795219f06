"""What a call did to calls of other functions: found in their cells, it belongs to its own."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from conformance.runfile.row import Row
from conformance.running import rows
from conformance.running.cell import Cell
from conformance.running.violation import Violation

Accusation = tuple[str, Violation]
"""An implementation's name, and the violation of one of its functions."""


def settle(
    cells: list[Cell],
    accusations: list[Accusation],
    *,
    unwritten: Sequence[Cell] = (),
    last: bool = False,
) -> Iterator[Row]:
    """Put each accusation into its cell, and yield the rows of cells that were written before.

    What concerns a cell that is not judged yet waits, unless these are the ``last`` ones: then it
    gets a cell of its own.
    """
    for name, violation in list(accusations):
        case = violation.case
        key = (name, case.operator, case.dims, case.dtype)
        own = (c for c in cells if (c.implementation, c.operator, c.dims, c.dtype) == key)
        cell = next(own, None)
        if cell is None and last:
            cells.append(cell := Cell(*key, planned=1, reached=1, compared=1))
        if cell is None:
            continue
        new = cell.accuse(violation)
        accusations.remove((name, violation))
        if not _is_among(cell, unwritten):
            yield cell.row()
            if new:
                yield rows.violation(violation, cell)


def _is_among(cell: Cell, cells: Collection[Cell]) -> bool:
    return any(other is cell for other in cells)
