"""What judging takes, reckoned: so that two runs judge the same cases.

A budget that a clock measures ends at another case each time, and a verdict with it. Here it is
spent on what calls usually take, and what an implementation declares that its calls take besides:
``shape_seconds`` where its engine compiles for each shape, ``work_seconds`` where it loops. The
clock ends only what takes many times as long as it may; where those are the cases of a cell, the
report says so.
"""

from __future__ import annotations

import time

from conformance.case import Case
from conformance.operators import OPERATORS
from conformance.registration.registry import Implementation

_CALL = 2e-4
"""Seconds that a call and its judgment take."""
_WORK = 5e-10
"""Seconds that a multiply-accumulate takes, and in a reference with its judgment:"""
_REFERENCE = 2e-7
_HISTORY = 10
"""Calls of a history (`checks.histories`), most with data of their own,"""
_RELATED = 8
"""and of a case of the relations; some are of shapes that were not called before."""
_MAKING = 1e-3
"""Seconds that it takes to make the data of each."""
_USUAL = 50_000
"""What a call costs besides its work, in multiply-accumulates."""
PATIENCE = 10.0
"""Times as long as the clock allows is too long."""


def of_call(one: Implementation, work: float, *, shapes: int = 1) -> float:
    """Return the seconds that a call of so much work is reckoned at, ``shapes`` of it being new."""
    return _CALL + shapes * one.shape_seconds + work * max(_WORK, one.work_seconds)


class Budget:
    """What one implementation may spend on calls that follow one another.

    Each method spends, and returns whether the budget still holds that. The clock, which runs from
    the second time on (what comes before may import and compile; nothing has to, of what is
    ``warm``), ends what takes `PATIENCE` times as long as it allows, or would.
    """

    def __init__(
        self, one: Implementation, seconds: float, clock: float, *, warm: bool = False
    ) -> None:
        self.stopped = False
        """Whether the clock ended it, so that another time may end it elsewhere."""
        self._one, self._seconds, self._clock = one, seconds, clock
        self._spent = self._worked = 0.0
        self._begun = time.perf_counter() if warm else None
        self._shapes: set[Case] = set()

    def affords_case(
        self, case: Case, *, called: bool = True, done: float = 0.0, enough: float = 1.0
    ) -> bool:
        """Spend what a case takes: less where its shape was ``called`` before, or not at all.

        ``done`` is the share of all that is to be done, and ``enough`` how many times over the
        budget may be spent.
        """
        shape = case.replace(data="integers", seed=0, memory="contiguous")
        new = called and not case.invalid and shape not in self._shapes
        self._shapes.add(shape)
        return self._affords(1, _work(case), int(new), 0.0, done, enough)

    def affords_history(self, case: Case) -> bool:
        """Spend what a history of ``case`` takes."""
        work = _HISTORY * _work(case)
        return self._affords(_HISTORY, work, 2, _HISTORY * _MAKING + work * _REFERENCE)

    def affords_relations(self, case: Case) -> bool:
        """Spend what the relations of ``case`` take."""
        return self._affords(_RELATED, _RELATED * _work(case), _RELATED, _RELATED * _MAKING)

    def _affords(
        self,
        calls: int,
        work: float,
        shapes: int,
        besides: float,
        done: float = 0.0,
        enough: float = 1.0,
    ) -> bool:
        now = time.perf_counter()
        if self._worked and self._begun is None:
            self._begun = now
        taken = now - self._begun if self._begun is not None else 0.0
        work_and_calls = work + calls * _USUAL
        ahead = taken * work_and_calls / self._worked if self._worked else 0.0
        share = max(done, self._spent / (enough * self._seconds))
        self._spent += of_call(self._one, work, shapes=shapes) + besides
        self._worked += work_and_calls
        most = PATIENCE * self._clock
        slow = taken > enough * self._clock and taken > most * share
        self.stopped |= slow or taken + ahead > most
        return self._spent <= enough * self._seconds and not self.stopped


def _work(case: Case) -> float:
    return OPERATORS[case.operator].work(case)
