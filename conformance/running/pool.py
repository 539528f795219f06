"""The time of a cell, dealt to what is judged in it, one series of calls after another.

What a series leaves over falls to those after it: fast calls are made on every case there is, and
slow ones on as many of each kind as its weight is worth. All of it is reckoned, and none of it
measured (`conformance.running.budget`), so that two runs judge the same cases.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TypeAlias

from conformance.registration.implementation import Implementation
from conformance.runfile import asked
from conformance.running.budget import Budget
from conformance.running.cell import MIN_COMPARED

Kind: TypeAlias = str | None
"""What a series judges: a class of cases (`runfile.asked`), or None for those of all the others."""

CONVENTIONS = "conventions"

WEIGHTS: Mapping[Kind, float] = MappingProxyType(
    {
        asked.FINDINGS: 1.0,
        asked.HISTORIES: 5.0,
        None: 6.0,
        asked.SOURCE: 1.5,
        asked.SUMS: 1.0,
        asked.CHANNELS: 1.0,
        asked.MIXTURES: 1.0,
        asked.LENGTHS: 1.0,
        asked.ROWS: 1.0,
        asked.VALUES: 0.5,
        asked.COUNTERS: 1.5,
        asked.FAR_COUNTERS: 5.0,
        asked.TAILS: 6.0,
        asked.TAIL_PAIRS: 10.0,
        asked.GEOMETRIES: 8.0,
        asked.WIDE_GEOMETRIES: 10.0,
        asked.RELATIONS: 1.5,
        CONVENTIONS: 0.5,
    }
)
"""What each kind is worth beside the others, in the order in which they are judged."""
_ALWAYS = (asked.HISTORIES, None, asked.RELATIONS, CONVENTIONS)
LEAST = 0.25
"""The share of its part that a kind has where those before it have taken more than theirs."""


class Pool:
    """The seconds that a cell may take, for what every cell has and for the further ``kinds``."""

    def __init__(self, seconds: float, clock: float, kinds: Iterable[Kind] = ()) -> None:
        self._seconds = self._left = seconds
        self._clock = clock
        self._waiting = {kind: WEIGHTS[kind] for kind in (*_ALWAYS, *kinds)}
        self._all = sum(self._waiting.values())
        self._last: Budget | None = None

    def part(self, kind: Kind) -> float:
        """Return the seconds that a kind has if those before it take no more than theirs."""
        return self._seconds * WEIGHTS[kind] / self._all

    def deal(
        self,
        implementation: Implementation,
        kind: Kind,
        *,
        least: float = 0.0,
        warm: bool = False,
    ) -> Budget:
        """Return the budget of what is judged next, of at ``least`` so many seconds."""
        if self._last is not None:
            self._left -= self._last.seconds * self._last.spent
        weight = WEIGHTS[kind]
        self._waiting.pop(kind, None)  # of a kind that comes again none waits
        part = weight / (weight + sum(self._waiting.values()))
        seconds = max(self._left * part, LEAST * self.part(kind), least)
        declared = implementation.call_seconds + implementation.shape_seconds
        clock = min(1.0, weight / WEIGHTS[None]) * (self._clock + MIN_COMPARED * declared)
        self._last = Budget(implementation, seconds, clock, warm=warm)
        return self._last
