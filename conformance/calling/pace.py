"""The pace of an implementation: what its calls usually take, and what it spent on starting up.

The first call of a kind may import, compile or tune, and nobody outside knows what a kind is: a
shape, a rank, a memory layout, a dtype, whether there is a bias, whether an array may be written
to. So start-up is told by time alone: it is what a call took beyond the usual where most calls of
the same operator, of about the same work or more, take a small part of that.
"""

from __future__ import annotations

from bisect import insort
from collections import deque

SHORT = 0.05
"""Seconds that are never start-up."""
FAR_LONGER = 8.0
"""A call that takes this many times the usual is far longer than it."""
_LESS_WORK = 2
"""Calls of at least a fourth (two bits) of a call's work can tell what it usually takes."""
_FEW, _MANY = 8, 32
"""Below the former number of comparable calls nothing is known of a slow one; with the latter it is
settled."""
PATIENCE = 30.0
"""Seconds of calls that may be taken for start-up at most before enough others can tell."""
_KEPT = 128
"""Times of calls that are kept for each operator and amount of work."""


class Pace:
    """The times of calls, and how much of them was start-up."""

    def __init__(self) -> None:
        self.total = 0.0
        """Seconds of all calls together, and of what the ends of some have cost."""
        self._settled = 0.0
        self._slow: list[tuple[str, int, float]] = []
        """Operator, amount of work and seconds of the slow calls that are not settled."""
        self._times: dict[str, dict[int, _Times]] = {}
        self._waited = 0.0

    def wait(self, seconds: float) -> None:
        """Note that an answer came so much later than its call can tell, or (below 0) sooner.

        A worker sends some answers together. They wait for the last of these calls, which may be
        a slow one, and is noted last.
        """
        self._waited = max(0.0, self._waited + seconds)

    def note(self, operator: str, work: int, seconds: float) -> None:
        """Note that a call of ``work`` multiply-accumulates took so many seconds."""
        self.total += seconds
        amount = work.bit_length()
        times = self._times.setdefault(operator, {})
        if amount not in times:
            times[amount] = _Times()
        times[amount].add(seconds)
        if seconds > SHORT:
            self._slow.append((operator, amount, seconds))

    @property
    def startup(self) -> float:
        """Seconds of start-up so far, as far as is known: a slow call may turn out to be usual."""
        known = unknown = 0.0
        waiting = []
        for operator, amount, seconds in self._slow:
            count, usual = self._usual(operator, amount)
            excess = seconds - usual if seconds > FAR_LONGER * usual else 0.0
            if count >= _MANY:
                self._settled += excess
                continue
            waiting.append((operator, amount, seconds))
            if excess:
                known += excess
            elif count < _FEW:
                unknown += seconds
        self._slow = waiting
        return self._settled + known + min(unknown + self._waited, PATIENCE)

    def _usual(self, operator: str, amount: int) -> tuple[int, float]:
        """Return how many calls are comparable, and what the quicker quarter of them takes."""
        comparable = [
            times for other, times in self._times[operator].items() if other >= amount - _LESS_WORK
        ]
        count = sum(len(times.ordered) for times in comparable)
        if len(comparable) == 1:
            return count, comparable[0].ordered[(count - 1) // 4]
        ordered = sorted(second for times in comparable for second in times.ordered)
        return count, ordered[(count - 1) // 4]


class _Times:
    """The latest times of calls, in the order of calls and sorted."""

    def __init__(self) -> None:
        self.latest = deque[float]()
        self.ordered: list[float] = []

    def add(self, seconds: float) -> None:
        self.latest.append(seconds)
        insort(self.ordered, seconds)
        if len(self.latest) > _KEPT:
            self.ordered.remove(self.latest.popleft())
