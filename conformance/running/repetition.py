"""A smallest case that fails, called again: in a new worker, several times, and after others.

Before an implementation is accused, its smallest failing case is repeated in a worker that has made
no call. If it fails there every time, the case is to blame. If it fails now and then, the kernel
races, or returns memory that it has not written. If it never fails there, the calls that came
before it in the first worker are made again, and fewer and fewer of them: one of them wrote outside
of its arrays, or left state. A failure that was seen once and never again is reported as such.

Where this process makes the calls, nothing makes it new: there a case is only called several times.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from conformance.calling import HANG, MadeCall
from conformance.case import Case
from conformance.isolation.dispatch import caller_of, fresh_worker
from conformance.judging import Verdict
from conformance.registration.implementation import Implementation

CALLS = 10
"""How often a smallest case is called in all."""
CALLS_THAT_END = 3
"""How often one that ends its process is: each needs a new worker."""
_PATIENCE = 10.0
"""Seconds that a call may take which did not come back before."""
_SECONDS = 1.0
"""Seconds for calls after the first one, which also limit how often a slow case is called."""
_SEARCH_SECONDS, _SEARCH_WORKERS = 20.0, 24
"""Seconds and workers for finding out which calls a failure needs before it."""
SHOWN = 8
"""How many of the calls before a failure are reported, where it did not show again."""


@dataclass(frozen=True, slots=True)
class Repetition:
    """How often a smallest case was called alone, how often it failed, and what it needs."""

    times_called: int = 0
    times_failed: int = 0
    verdict: Verdict | None = None
    """What the first call that failed again showed."""
    after: tuple[MadeCall, ...] = ()
    """The calls without which it does not fail, where it needs any."""
    before: tuple[MadeCall, ...] = ()
    """The last calls before it where it failed, if it has not failed again."""

    @property
    def alone(self) -> bool:
        """Whether the case fails whenever it is called, whatever was called before."""
        return self.times_called == self.times_failed and not self.after

    @property
    def cases_after(self) -> tuple[Case, ...]:
        """The calls without which it does not fail, if they are few and each is one of a case."""
        cases = tuple(c.request.case for c in self.after if isinstance(c.request.case, Case))
        return cases if len(cases) == len(self.after) <= SHOWN else ()

    def words(self) -> str:
        """Say how often it fails, and after what; nothing where it always fails."""
        if self.after:
            return fails_only_after([call.name for call in self.after])
        if self.alone:
            return ""
        if not self.times_failed:
            text = "fails only after other calls in its process"
            last = ", ".join(call.name for call in self.before[-3:])
            return f"{text}, the last of them {last}" if last else text
        if self.times_failed == 1:
            return f"failed once in {self.times_called} tries, whatever was called before"
        return (
            f"fails in {self.times_failed} of {self.times_called}: "
            "a race, or memory that was not written"
        )


def fails_only_after(names: Sequence[str]) -> str:
    """Say which calls a failure needs before it."""
    others = len(names) - 3
    listed = ", ".join(names[:3]) + (f" and {others} others" if others > 0 else "")
    what = "that call" if len(names) == 1 else "one of those calls"
    return f"fails only after {listed}: {what} wrote outside its arrays, or left state"


Fails = Callable[[Case], Verdict | None]
"""Calls a case, and returns the failure that is looked for, if the call shows it."""


def repeated_here(case: Case, fails: Fails, *, calls: int = CALLS) -> Repetition:
    """Call a case several times with whatever makes the calls now."""
    verdicts = list(_several(case, fails, calls))
    failures = [verdict for verdict in verdicts if verdict is not None]
    first = failures[0] if failures else None
    return Repetition(len(verdicts), len(failures), first)


def repeated(
    implementation: Implementation,
    failures: Sequence[Verdict],
    fails: Fails,
    *,
    at_most: int = CALLS,
) -> Repetition:
    """Call the smallest failing case again, in new workers, and say how often it fails there.

    ``failures`` are the case's own and that which was found first, with the calls before them.
    """
    smallest, first = failures[0], failures[-1]
    alone = _alone(implementation, smallest, fails, at_most, slow=smallest is not first)
    if alone.times_failed:
        return alone
    once = replace(alone, times_called=alone.times_called + 1, times_failed=1)
    if implementation.place is None or smallest.history:
        return replace(once, before=_last(first.before))
    for failure in failures:
        found = _Search(implementation, failure.case, fails).smallest(failure.before)
        if found is not None:
            return replace(found, times_called=alone.times_called)
    with caller_of(implementation).while_shrinking():
        again = repeated_here(smallest.case, fails)
    if again.times_failed == again.times_called:  # the calls that it needs are not kept any more
        return replace(alone, verdict=again.verdict, before=_last(first.before))
    tries, times = once.times_called + again.times_called, 1 + again.times_failed
    return Repetition(tries, times, again.verdict, before=_last(first.before))


def _alone(
    implementation: Implementation, failure: Verdict, fails: Fails, at_most: int, *, slow: bool
) -> Repetition:
    """Call a case in a new worker, and another one after each end of it."""
    startup = caller_of(implementation).startup
    with fresh_worker(implementation) as fresh:
        if fresh is None:
            return Repetition() if failure.history else repeated_here(failure.case, fails)
        calls = CALLS_THAT_END if failure.ended else CALLS
        if failure.outcome == HANG:
            calls = 1
        if failure.history and failure.requirement != "REPEAT-5":  # threads meet now and then
            calls = 1  # what it leaves behind would change a second one
        seconds = min(fresh.limits.seconds, _PATIENCE)
        loading = min(fresh.limits.loading, seconds, 1.0 + 5 * startup)
        fresh.limits = replace(fresh.limits, seconds=seconds, loading=loading)
        with fresh.while_shrinking(short_limits=not slow):
            return repeated_here(failure.case, fails, calls=min(calls, at_most))


def _last(calls: tuple[MadeCall, ...]) -> tuple[MadeCall, ...]:
    return calls[-SHOWN:]


def _several(case: Case, fails: Fails, calls: int) -> list[Verdict | None]:
    verdicts, begun = [], 0.0
    for _ in range(calls):
        verdicts.append(fails(case))
        begun = begun or time.monotonic()
        if time.monotonic() - begun > _SECONDS:
            break
    return verdicts


class _Search:
    """The search for the calls that a failure needs before it, each time in a new worker."""

    def __init__(self, implementation: Implementation, case: Case, fails: Fails) -> None:
        self.implementation, self.case, self.fails = implementation, case, fails
        self.workers = _SEARCH_WORKERS
        self.deadline = time.monotonic() + _SEARCH_SECONDS

    def smallest(self, calls: tuple[MadeCall, ...]) -> Repetition | None:
        """Return the failure after as few of the calls as are found in time, or None.

        The latest call is looked for with which the failure begins; if it needs others as well,
        the earliest one is looked for with which they suffice, and so on.
        """
        found = self._failure_after(calls) if calls else None
        if found is None:
            return None
        first = self._last_true(len(calls), lambda start: calls[start:])
        needed, rest = calls[first : first + 1], calls[first + 1 :]
        while rest:
            if (verdict := self._failure_after(needed)) is not None:
                return Repetition(0, 0, verdict, after=needed)
            left = self._last_true(len(rest) + 1, _without_last(needed, rest))
            rest = rest[: len(rest) - left]
            if not self._goes_on():
                break
            needed, rest = (*needed, *rest[-1:]), rest[:-1]
        after = (*needed, *rest)  # what was found may have come of a call that is left out
        return Repetition(0, 0, self._failure_at_last(after) or found, after=after)

    def _last_true(self, size: int, calls: Callable[[int], tuple[MadeCall, ...]]) -> int:
        """Return the largest number for which the calls are enough; for 0 they are."""
        low, high = 0, size
        while high - low > 1 and self._goes_on():
            middle = (low + high) // 2
            if self._failure_after(calls(middle)) is not None:
                low = middle
            else:
                high = middle
        return low

    def _goes_on(self) -> bool:
        return self.workers > 0 and time.monotonic() < self.deadline

    def _failure_after(self, calls: tuple[MadeCall, ...]) -> Verdict | None:
        return self._failure_at_last(calls) if calls and self._goes_on() else None

    def _failure_at_last(self, calls: tuple[MadeCall, ...]) -> Verdict | None:
        """Do the same, however many workers that was."""
        self.workers -= 1
        with fresh_worker(self.implementation) as fresh:
            assert fresh is not None
            with fresh.while_shrinking():
                return self.fails(self.case) if fresh.make_again(calls) else None


def _without_last(
    needed: tuple[MadeCall, ...], rest: tuple[MadeCall, ...]
) -> Callable[[int], tuple[MadeCall, ...]]:
    """Return what makes a list of calls: those that are needed, and the rest but for its last."""
    return lambda number: (*needed, *rest[: len(rest) - number])
