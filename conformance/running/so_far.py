"""What a run has found until now, in a few words, for whoever watches it."""

from __future__ import annotations

from collections.abc import Iterable

from conformance.running.cell import Cell

_NAMED = 3


def found_so_far(cells: Iterable[Cell]) -> str:
    """Return ``; found: CONV-5 of mine, REJECT-3 of other and 2 more``, or nothing."""
    found = dict.fromkeys(
        f"{violation.requirement} of {cell.implementation}"
        for cell in cells
        for violation in cell.violations
    )
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return f"; found: {', '.join([*found][:_NAMED])}{more}" if found else ""
