"""How errors are distributed: of a cell, how many cases have a largest error in each range.

An error is a share of its bound, so that 1 is the most that correct arithmetic can give.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Sequence

EDGES = (0.0, 0.001, 0.01, 0.1, 0.25, 0.5, 0.75, 1.0)
"""The upper end of each range but the last, which has no end: it holds what is wrong."""
RANGES = len(EDGES) + 1
LABELS = ("0", *(f"<= {edge:g}" for edge in EDGES[1:]), "> 1")


def range_of(share: float) -> int:
    """Return the number of the range in which a share of the bound lies."""
    return bisect_left(EDGES, share)


def written(counts: Sequence[int]) -> str:
    """Return the counts, one a range, as text for the run file."""
    return json.dumps(list(counts))


def read(text: str) -> tuple[int, ...]:
    """Return the counts that `written` wrote; zeros for any other text."""
    try:
        counts = tuple(map(int, json.loads(text)))
    except (ValueError, TypeError):
        counts = ()
    return counts if len(counts) == RANGES else (0,) * RANGES
