"""The time that judging is reckoned to take, so that two runs judge the same cases.

If a clock measured the budget, it would end at another case in each run, and verdicts would change.
Instead, each call costs the time that calls usually take, plus what an implementation declares:
``call_seconds`` if its calls are dear, ``shape_seconds`` if its engine compiles for each shape,
``work_seconds`` if it loops. The clock
ends only what takes many times as long as allowed; if it ends a cell, the report says so.

Start-up (`conformance.calling.pace`) is not on the clock: a kernel that is compiled by its first
call of a kind is judged on the same cases whether its compiler has a cache that is warm or cold.
Each implementation has `STARTUP_SECONDS` for it in a run. Of a worker the clock counts the calls
alone. Nor is it on the clock how long the thread that makes the calls waits for a core: the same
cases are judged on a busy machine.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import fields
from operator import attrgetter
from typing import TypeAlias

from conformance.calling.starving import longest
from conformance.case import Case
from conformance.isolation.dispatch import caller_of
from conformance.operators import OPERATORS, work
from conformance.registration.implementation import Implementation

CLOCK_FACTOR = 10.0
"""The clock ends calls that take this many times as long as it allows."""

STARTUP_SECONDS = 600.0
"""Seconds that an implementation may spend on start-up in a run, in each process of the run. What
it takes beyond them is on the clock."""

CALL_SECONDS = 1e-4
"""Seconds that a call and its judgment take at least."""
CALL_OVERHEAD_MACS = 50_000
"""The overhead of a call, in multiply-accumulates."""
MAC_SECONDS = 5e-10
"""Seconds that a multiply-accumulate takes."""
OUTPUT_MACS, _MANY = 8, 10_000
"""An output element takes as long as so many multiply-accumulates, where it is of many."""
REFERENCE_MAC_SECONDS = 2e-7
"""Seconds that a multiply-accumulate takes in a reference, its judgment included."""
DATA_SECONDS = 1e-3
"""Seconds that making the data of a call takes."""
CALLS_PER_HISTORY = 10
"""Calls of a history (`checks.histories`); most of them have data of their own."""
CALLS_PER_RELATION = 8
"""Calls for the relations of a case; some have shapes that were not called before."""

Shape: TypeAlias = tuple[object, ...]
shape_of: Callable[[Case], Shape] = attrgetter(
    *(spec.name for spec in fields(Case) if spec.name not in ("data", "seed", "memory"))
)
"""Return what an engine may compile for: all of a case but its data."""


def reckoned_work(case: Case) -> float:
    """Return the multiply-accumulates that a call is reckoned at, writing its output included."""
    macs = work(case)
    if macs <= _MANY:
        return macs
    return max(macs, OUTPUT_MACS * math.prod(OPERATORS[case.operator].output_shape(case)))


def of_calls(
    implementation: Implementation, macs: float, *, calls: int = 1, shapes: int = 1
) -> float:
    """Return the seconds that calls of ``macs`` multiply-accumulates in all are reckoned to take.

    ``shapes`` is the number of their shapes that were not called before.
    """
    per_mac = max(MAC_SECONDS, implementation.work_seconds)
    declared = calls * implementation.call_seconds + shapes * implementation.shape_seconds
    return CALL_SECONDS + declared + macs * per_mac


class Budget:
    """The time that one implementation may spend on a series of calls.

    Each method spends some of it, and returns whether the budget still affords that. The clock
    starts with the second call, since the first may import and compile; for an implementation that
    is ``warm`` it starts at once. It stands still during start-up, and ends the series when that
    takes, or is going to take, `CLOCK_FACTOR` times as long as the clock allows.
    """

    def __init__(
        self, implementation: Implementation, seconds: float, clock: float, *, warm: bool = False
    ) -> None:
        self.stopped = False
        """Whether the clock ended the series, which may end elsewhere in another run."""
        self.seconds = seconds
        """What may be spent, as it is reckoned."""
        self._implementation, self._clock = implementation, clock
        self._spent = self._worked = 0.0
        caller = caller_of(implementation)
        self._pace, self._waits = caller.pace, caller.waits
        self._isolated = implementation.place is not None
        self._begun = self._now() if warm else None
        self._started_up, self._waited = self._startup(), self._waits()
        self._shapes: set[Shape] = set()

    @property
    def spent(self) -> float:
        """The time that was spent, as a share of what may be spent."""
        return self._spent / self.seconds

    def pause(self, seconds: float) -> None:
        """Stop the clock for so long: it is not the calls of the series that took the time."""
        if self._begun is not None:
            self._begun += seconds

    def affords_case(
        self, case: Case, *, called: bool = True, done: float = 0.0, enough: float = 1.0
    ) -> bool:
        """Spend what a case takes, which is less if its shape is not new or it is not ``called``.

        ``done`` is the share of the whole series that is done, and ``enough`` is the factor by
        which the budget may be exceeded.
        """
        shape = shape_of(case)
        new = called and not case.invalid and shape not in self._shapes
        self._shapes.add(shape)
        return self._affords(int(called), reckoned_work(case), int(new), done=done, enough=enough)

    def affords_history(self, case: Case) -> bool:
        """Spend what a history of ``case`` takes."""
        macs = CALLS_PER_HISTORY * work(case)
        besides = CALLS_PER_HISTORY * DATA_SECONDS + macs * REFERENCE_MAC_SECONDS
        return self._affords(CALLS_PER_HISTORY, macs, 2, besides=besides)

    def affords_relations(self, case: Case) -> bool:
        """Spend what the relations of ``case`` take."""
        calls = CALLS_PER_RELATION
        return self._affords(calls, calls * work(case), calls, besides=calls * DATA_SECONDS)

    def _affords(
        self,
        calls: int,
        macs: float,
        shapes: int,
        *,
        besides: float = 0.0,
        done: float = 0.0,
        enough: float = 1.0,
    ) -> bool:
        """Spend on ``calls`` with ``macs`` of work in all, and further seconds ``besides``."""
        now = self._now()
        if self._worked and self._begun is None:
            self._begun, self._started_up = now, self._startup()
            self._waited = self._waits()
        taken = now - self._begun if self._begun is not None else 0.0
        work_and_calls = macs + max(calls, 1) * CALL_OVERHEAD_MACS
        ahead = work_and_calls / self._worked if self._worked else 0.0
        share = max(done, self._spent / (enough * self.seconds))
        self._spent += besides + of_calls(self._implementation, macs, calls=calls, shapes=shapes)
        self._worked += work_and_calls
        most = CLOCK_FACTOR * self._clock

        def late(taken: float) -> bool:
            slow = taken > enough * self._clock and taken > most * share
            return slow or taken + taken * ahead > most

        # How much of it was start-up, or spent without a core, takes long to tell, and matters to
        # what is late alone.
        if late(taken):
            taken -= max(0.0, self._startup() - self._started_up)
            taken -= longest(self._waited, self._waits())
            self.stopped |= late(taken)
        return self._spent <= enough * self.seconds and not self.stopped

    def _now(self) -> float:
        """Return the time of the clock: of a worker, the time of its calls alone.

        On a busy machine the pipes between two processes take longer than the calls.
        """
        return self._pace.total if self._isolated else time.perf_counter()

    def _startup(self) -> float:
        """Return the seconds of start-up so far, as many as are allowed."""
        return min(self._pace.startup, STARTUP_SECONDS)
