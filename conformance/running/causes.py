"""From failures to causes: failures shrunk, and those that one cause explains counted as one."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from conformance.case import Case
from conformance.checks.relations import relate
from conformance.checks.repeat import judge_named_history
from conformance.isolation.dispatch import caller_of
from conformance.judging import CONFORMS, HISTORY_OF_RELATIONS, Verdict
from conformance.judging.attribution import WRONG_RESULT
from conformance.known.difference import KnownDifference
from conformance.large.judge import judge_any
from conformance.registration.implementation import Implementation
from conformance.requirements import check_of
from conformance.running.citing import cited_requirement, deviations
from conformance.running.known_in_run import matching_entry
from conformance.running.shrink import shrink
from conformance.scripts.engine import engine_script_of
from conformance.scripts.standalone import replay_command, script_of

MAX_CAUSES = 4
"""Different causes of failure of one check that are shrunk in one cell."""
EACH_SECONDS = 4.0
"""Time for shrinking one failure."""
MAX_SECONDS = 10.0
"""Time for shrinking the failures of one cell; what is left is reported as it was found."""
_RESTARTS = 10
"""Starts of a worker that shrinking failures which end it may cost, besides its time."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One cause of failure in a cell, shown by the smallest case that still fails."""

    requirement: str
    status: str
    case: Case
    found: Case
    count: int
    message: str
    script: str
    engine_script: str
    """The case with the engine alone, in ten lines at most; empty where there is no such script."""
    replay: str


def shrink_to_violations(
    one: Implementation,
    failures: Sequence[Verdict],
    known: Sequence[KnownDifference] = (),
    *,
    shrinking: bool = True,
) -> Iterator[Violation]:
    """Shrink failures to their causes, and yield one violation a cause.

    A shrunk case keeps only the parameters that its failure needs. Failures of the same kind that
    have all of those count as the same cause; the next that does not is shrunk in its turn.
    Shrinking stays away from ``known`` differences: it would end at one instead of the new one.
    Without ``shrinking`` each cause is shown by the case that was found first.
    """
    caller = caller_of(one)
    restarts = _RESTARTS * caller.startup
    ended = any(failure.ended for failure in failures)
    deadline = time.monotonic() + MAX_SECONDS + (restarts if ended else 0.0)
    left = list(failures)
    causes: Counter[str] = Counter()
    while left:
        failure = left[0]
        kind = kind_of(failure)
        limit = len(failures) if kind.startswith("REJECT") else MAX_CAUSES
        if causes[kind] >= limit:
            left = [other for other in left if kind_of(other) != kind]
            continue
        causes[kind] += 1

        def fails(case: Case, kind: str = kind, failure: Verdict = failure) -> bool:
            if any(entry.fatal and entry.holds(case) for entry in known):
                return False
            verdict = judge_again(one, case, failure)
            return kind_of(verdict) == kind and matching_entry(known, verdict) is None

        smallest, verdict = failure.case, failure
        patience = EACH_SECONDS + (restarts if failure.ended else 0.0)
        seconds = min(patience, deadline - time.monotonic())
        if shrinking and seconds > 0:
            with caller.trying():
                if caller.lost is None and fails(failure.case):
                    smallest = shrink(failure.case, fails, seconds=seconds)
        if smallest != failure.case:
            with caller.trying(hurried=False):
                last = judge_again(one, smallest, failure)
            if last.failed:
                verdict = last
            elif failure.ended:  # it comes back after all, later than the search waited for
                smallest = failure.case
        needed = deviations(smallest)
        same = [
            other for other in left if kind_of(other) == kind and needed <= deviations(other.case)
        ] or [failure]
        yield Violation(
            requirement=cited_requirement(one, verdict, smallest),
            status=verdict.status,
            case=smallest,
            found=failure.case,
            count=len(same),
            message=verdict.message,
            replay=replay_command(one, smallest),
            script=script_of(one, smallest, failure),
            engine_script=engine_script_of(one, smallest, failure, verdict),
        )
        left = [other for other in left if other not in same]


def judge_again(one: Implementation, case: Case, failure: Verdict) -> Verdict:
    """Judge a case anew, in the way that showed a failure."""
    if not failure.history:
        return judge_any(one, case)
    if failure.history == HISTORY_OF_RELATIONS:
        related = relate(one, case, failure.requirement)
        verdict = next((verdict for verdict in related if verdict.failed), None)
    else:
        verdict = judge_named_history(one, case, failure.history)
    return verdict or Verdict(one.name, case, CONFORMS)


def kind_of(verdict: Verdict) -> str:
    """Return what makes two failures the same kind: a wrong result, however it was noticed."""
    if not verdict.failed:
        return ""
    requirement = verdict.requirement or ""
    if verdict.history:  # how a history shows a state that is kept is a matter of chance
        return f"{check_of(requirement)} after other calls".replace("purity", "repeat")
    if verdict.case.invalid and verdict.ended:
        return f"{requirement} {verdict.status}"
    return "result" if requirement in WRONG_RESULT else requirement
