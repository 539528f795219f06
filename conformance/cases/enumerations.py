"""Enumerations: cases that are listed completely, beside those that are drawn.

Each is a space that matters so much that nothing of it is left to luck. A tier names those that it
judges, and each has a budget of its own in a cell.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from conformance.case import Case
from conformance.cases import fastpaths, sums
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
        "sums": Enumeration(asked.SUMS, sums.cases),
    }
)
"""The enumerations by the names that tiers have for them, in the order in which they are judged."""
