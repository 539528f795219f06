"""What a run is going to be, known before it: how many cases, how long about, how much memory.

The cases are prepared for it, and the run finds them in the cache. Times are those that calls are
reckoned at (`conformance.running.budget`), so that they are those of no machine in particular.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

from conformance.isolation.dispatch import close_all
from conformance.judging import Prepared
from conformance.registration.implementation import Implementation
from conformance.running.block import judged_dtypes
from conformance.running.budget import of_calls, reckoned_work
from conformance.running.plan import Plan, fixed, resolve
from conformance.running.preparing import (
    first_dtype,
    prepare_block,
    prepare_enumerated,
    prepare_spaces,
)
from conformance.running.selection import Selection, implementations_of
from conformance.running.units import Unit, in_shard, units_of

CELL_SECONDS = 0.2
"""What histories, relations and probes of a cell take besides its cases, about."""
WORKER_BYTES = 300 << 20
"""What a worker with an engine holds, about; a large library takes several times as much."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a run is going to be."""

    blocks: int
    cells: int
    cases: int
    """Different ones."""
    judgments: int
    """Calls of them by all implementations, at most: some decline some."""
    seconds: float
    """How long it takes, about, on so many processes."""
    memory: int
    """Bytes that all processes together hold, about."""


def forecast(
    selection: Selection, jobs: int = 1, tell: Callable[[int, int, str], None] = lambda *_: None
) -> Forecast:
    """Return what a run of this selection on so many processes is going to be.

    Raises `ConformanceError` for a selection that names nothing.
    """
    try:
        selection = fixed(selection)
        plan = resolve(selection, implementations_of(selection))
        units = in_shard(units_of(plan), selection.shard)
        cells = cases = judgments = 0
        longest, seconds = 0.0, 0.0
        for number, unit in enumerate(units):
            tell(number, len(units), f"preparing {unit.name}")
            counted = _Counted(plan, unit)
            cells, cases = cells + counted.cells, cases + len(counted.cases)
            judgments, seconds = judgments + counted.judgments, seconds + counted.seconds
            longest = max(longest, counted.seconds)
        workers = sum(i.installed and i.place is not None for i in plan.implementations)
        processes = min(jobs, max(1, len(units)))
        return Forecast(
            blocks=len(units),
            cells=cells,
            cases=cases,
            judgments=judgments,
            seconds=max(seconds / processes, longest),
            memory=processes * (_own_memory() + workers * WORKER_BYTES),
        )
    finally:
        close_all()


class _Counted:
    """One block, counted."""

    def __init__(self, plan: Plan, unit: Unit) -> None:
        self.plan, self.unit = plan, unit
        self.cells, self.judgments, self.seconds = 0, 0, 0.0
        self.cases: set[object] = set()
        prepared = prepare_block(plan, unit.operator, unit.dims)
        for implementation in plan.implementations:
            if implementation.installed and unit.operator in implementation.functions:
                self._count(implementation, prepared)

    def _count(self, implementation: Implementation, prepared: list[Prepared]) -> None:
        plan, operator, dims = self.plan, self.unit.operator, self.unit.dims
        dtypes = judged_dtypes(implementation, prepared, plan)
        own = frozenset(dtypes) & frozenset(implementation.dtypes)
        every = [*prepared]
        for found in prepare_enumerated(plan, operator, dims, own).values():
            every += found
        for dtype in own:
            for _, found in prepare_spaces(
                plan, operator, dims, dtype, dtype == first_dtype(own)
            ).values():
                every += found
        for dtype in own:
            of_dtype = [p.case for p in every if p.case.dtype == dtype]
            calls = sum(of_calls(implementation, reckoned_work(case)) for case in of_dtype)
            self.cells += 1
            self.judgments += len(of_dtype)
            self.seconds += min(plan.seconds, CELL_SECONDS + calls)
            self.cases.update(of_dtype)


def _own_memory() -> int:
    """Return the most bytes that this process has held, with the prepared cases."""
    if sys.platform == "win32":
        return WORKER_BYTES
    import resource  # missing on Windows

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most << 10
