"""What was asked of a cell, class by class, and how much of it is enough for a verdict.

A class is a kind of case that other kinds do not stand for: each memory layout, each recipe of
special values, invalid calls, histories of calls, relations between calls. Its counts are how many
of its cases were due (planned, and supported by the implementation) and how many were compared.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import TypeAlias

Counts: TypeAlias = Mapping[str, tuple[int, int]]
"""The cases due and the cases compared, by the name of their class."""

HISTORIES, RELATIONS = "histories of calls", "relations between calls"
LARGE = "large cases"
TAILS, TAIL_PAIRS, SUMS = "tails of fast paths", "pairs of tails", "large sums"
SOURCE = "sizes of its own source"
FINDINGS = "findings of fuzzing"

SHARE, SMALL_SHARE, SMALL = 0.5, 0.2, 100
"""A verdict needs half of the cases that are due; where these are fewer than 100, a fifth."""
CLASS_SHARE = 0.1
"""And of each class this share, but at least one; of histories and of relations one."""

GEOMETRIES, WIDE_GEOMETRIES = "small geometries", "wider geometries"
CHANNELS, VALUES, COUNTERS = "channels and groups", "every value", "sizes above counters"
FAR_COUNTERS, LENGTHS = "sizes above 2^24", "long windows"
MIXTURES, ROWS = "kernels and strides by axis", "rows longer than a vector"

ENUMERATED = (
    TAILS,
    TAIL_PAIRS,
    SUMS,
    GEOMETRIES,
    WIDE_GEOMETRIES,
    MIXTURES,
    LENGTHS,
    ROWS,
    CHANNELS,
    VALUES,
    COUNTERS,
    FAR_COUNTERS,
)
"""The classes of cases that are listed completely (`conformance.cases.enumerations`)."""
ENUMERATED_SHARE, ENUMERATED_CASES = 0.05, 20
"""And of each of them, which are many, this share, or so many where those are fewer."""

_APART = (HISTORIES, RELATIONS, LARGE, SOURCE, FINDINGS, *ENUMERATED)
"""The classes that have a budget of their own, and do not count among the cases of a cell."""

OF_CHECK = {
    "layout": "memory layouts",
    "special": "special values",
    "reject": "invalid calls",
    "repeat": HISTORIES,
    "relations": RELATIONS,
}
"""What a run that leaves out a check does not ask, by the check."""


def enough(counts: Counts) -> bool:
    """Whether so many cases were compared, in all and of each class, that a verdict is due."""
    return progress(counts) >= 1 and not too_few(counts)


def of_series(counts: Counts, kind: str | None) -> Counts:
    """Return the counts of the class ``kind``, or None: of those without a budget of their own."""
    return {n: pair for n, pair in counts.items() if n == kind or (not kind and n not in _APART)}


def progress(counts: Counts) -> float:
    """Return the cases compared, of all classes, as a share of those that a verdict needs."""
    pairs = [counts[name] for name in counts if name not in _APART]
    due, compared = sum(due for due, _ in pairs), sum(compared for _, compared in pairs)
    needed = (SHARE if due >= SMALL else SMALL_SHARE) * due
    return compared / needed if needed else 1.0


def too_few(counts: Counts) -> dict[str, tuple[int, int]]:
    """Return the classes of which too few cases were compared, with their counts."""
    return {
        name: (due, compared)
        for name, (due, compared) in counts.items()
        if due and name not in (LARGE, SOURCE) and compared < _needed(name, due)
    }


def _needed(name: str, due: int) -> int:
    if name in (HISTORIES, RELATIONS):
        return 1
    if name in ENUMERATED:
        return min(math.ceil(ENUMERATED_SHARE * due), ENUMERATED_CASES)
    return math.ceil(CLASS_SHARE * due)


def written(counts: Mapping[str, tuple[int | str, int]]) -> str:
    """Return pairs by class, of counts or of words and a count, as text for the run file."""
    return json.dumps({name: list(pair) for name, pair in counts.items()})


def read(text: str) -> dict[str, tuple[int, int]]:
    """Return the counts that `written` wrote; none for any other text."""
    try:
        return {str(name): (int(due), int(done)) for name, (due, done) in json.loads(text).items()}
    except (ValueError, TypeError, AttributeError):
        return {}


def read_spaces(text: str) -> dict[str, tuple[str, int]]:
    """Return the words and numbers of cases by class that `written` wrote; none for other text."""
    try:
        spaces = json.loads(text)
        return {str(name): (str(words), int(count)) for name, (words, count) in spaces.items()}
    except (ValueError, TypeError, AttributeError):
        return {}
