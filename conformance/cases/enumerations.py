"""Enumerations: cases that are listed completely, beside those that are drawn.

Each is a space that matters so much that nothing of it is left to luck. A tier names those that it
judges, and each has a budget of its own in a cell.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from conformance.case import Case
from conformance.cases import counters, fastpaths, rows, sums, tail_pairs, values, worlds
from conformance.runfile import asked


@dataclass(frozen=True, slots=True)
class Enumeration:
    """Cases that are listed completely."""

    kind: str
    """What its cases are called among the classes of a cell (`conformance.runfile.asked`)."""
    cases: Callable[[str, int, Sequence[str], Sequence[str]], Sequence[Case]]
    """Return the cases of an operator and number of dimensions: in ``dtypes``, which stand for one
    another, and in ``claimed`` ones. Of a budget that ends early the first ones are judged."""


ENUMERATIONS: Mapping[str, Enumeration] = MappingProxyType(
    {
        "tails": Enumeration(asked.TAILS, fastpaths.cases),
        "tail_pairs": Enumeration(asked.TAIL_PAIRS, tail_pairs.cases),
        "sums": Enumeration(asked.SUMS, sums.cases),
    }
)
"""The enumerations by the names that tiers have for them, in the order in which they are judged."""


@dataclass(frozen=True, slots=True)
class Space:
    """All calls within stated limits, of an operator, a number of dimensions and a dtype."""

    kind: str
    """What its cases are called among the classes of a cell (`conformance.runfile.asked`)."""
    cases: Callable[[str, int, str, bool], Sequence[Case]]
    """Return the cases of an operator and number of dimensions in a dtype; the last argument says
    whether that dtype stands for all others of an implementation."""
    in_words: Callable[[str, int, str, bool], str]
    """Return which calls they are, in words that can be quoted."""
    together: bool = False
    """Whether many of the cases share arrays and sums (`conformance.judging.together`)."""
    one_by_one: bool = False
    """Whether the cases are so large that each is made when it is judged, and none is kept."""


SPACES: Mapping[str, Space] = MappingProxyType(
    {
        "geometries": Space(
            asked.GEOMETRIES, worlds.geometries, worlds.every_geometry, together=True
        ),
        "wide_geometries": Space(
            asked.WIDE_GEOMETRIES, worlds.wide_geometries, worlds.every_wide_geometry, together=True
        ),
        "mixtures": Space(asked.MIXTURES, worlds.mixtures, worlds.every_mixture, together=True),
        "lengths": Space(asked.LENGTHS, worlds.lengths, worlds.every_length, together=True),
        "rows": Space(asked.ROWS, rows.rows, rows.every_row, together=True),
        "channels": Space(asked.CHANNELS, worlds.channels, worlds.every_channel, together=True),
        "values": Space(asked.VALUES, values.values, values.every_value, together=True),
        "counters": Space(asked.COUNTERS, counters.counters, counters.every_counter),
        "far_counters": Space(
            asked.FAR_COUNTERS, counters.far_counters, counters.every_far_counter, one_by_one=True
        ),
    }
)
"""The spaces by the names that tiers have for them, in the order in which they are judged."""
