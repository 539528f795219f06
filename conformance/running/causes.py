"""From failures to causes: failures are shrunk, and those of one cause are one violation."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from conformance.case import Case
from conformance.checks.conventions import judge_convention
from conformance.checks.histories import NAMES
from conformance.checks.relations import judge_alone, relate
from conformance.checks.repeat import judge_named_history
from conformance.errors import ConformanceError
from conformance.isolation.dispatch import caller_of
from conformance.judging import CONFORMS, HISTORY_OF_RELATIONS, VIOLATES, Verdict
from conformance.judging.attribution import WRONG_RESULT
from conformance.known.difference import KnownDifference
from conformance.large.judge import judge_any
from conformance.registration.implementation import Implementation
from conformance.requirements import check_of, requirements, severity
from conformance.running.citing import cite, deviations
from conformance.running.known_in_run import matching_entry
from conformance.running.shrink import shrink
from conformance.scripts.engine import engine_script_of
from conformance.scripts.standalone import replay_command, script_of

MAX_CAUSES = 4
"""How many causes of failures of one kind are shrunk in one cell."""
EACH_SECONDS = 4.0
"""Time for shrinking one failure."""
MAX_SECONDS = 10.0
"""Time for shrinking the failures of one cell; the remaining ones are reported unshrunk."""
_RESTARTS = 10
"""How many starts of a worker are allowed on top, where failures end the worker."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One cause of failure in a cell, shown by the smallest case that still fails."""

    requirement: str
    status: str
    severity: str
    """How bad it is: one of `conformance.requirements.SEVERITIES`."""
    case: Case
    found: Case
    count: int
    message: str
    script: str
    engine_script: str
    """The case as a script of at most ten lines that needs the engine alone; may be empty."""
    replay: str
    named: str = ""
    """The names of the user's own cases that show it: case 'conv1' of suite 'mine'."""


def shrink_to_violations(
    implementation: Implementation,
    failures: Sequence[Verdict],
    known: Sequence[KnownDifference] = (),
    *,
    shrinking: bool = True,
    name_of: Callable[[Case], str] = lambda case: "",
) -> Iterator[Violation]:
    """Shrink failures to their causes, and yield one violation for each cause.

    A shrunk case keeps only the parameters that its failure needs. All failures of the same kind
    that have these parameters count as the same cause; then the next failure is shrunk. Shrinking
    avoids ``known`` differences, since it would end at one of them instead of at the new failure.
    Without ``shrinking`` each cause is shown by the case that failed first. ``name_of`` says what
    the user calls a case, "" if nothing.
    """
    caller = caller_of(implementation)
    restarts = _RESTARTS * caller.startup
    ended = any(failure.ended for failure in failures)
    deadline = time.monotonic() + MAX_SECONDS + (restarts if ended else 0.0)
    unexplained = list(failures)
    causes: Counter[str] = Counter()
    while unexplained:
        failure = unexplained[0]
        kind = kind_of(failure)
        limit = len(failures) if kind.startswith("REJECT") else MAX_CAUSES
        if causes[kind] >= limit:
            unexplained = [other for other in unexplained if kind_of(other) != kind]
            continue
        causes[kind] += 1

        def fails(case: Case, kind: str = kind, failure: Verdict = failure) -> bool:
            if any(entry.fatal and entry.holds(case) for entry in known):
                return False
            verdict = judge_again(implementation, case, failure)
            return kind_of(verdict) == kind and matching_entry(known, verdict) is None

        smallest, verdict = failure.case, failure
        limit_seconds = EACH_SECONDS + (restarts if failure.ended else 0.0)
        seconds = min(limit_seconds, deadline - time.monotonic())
        if shrinking and seconds > 0:
            with caller.while_shrinking():
                if caller.given_up_because is None and fails(failure.case):
                    smallest = shrink(failure.case, fails, seconds=seconds)
        if smallest != failure.case or failure.requirement == "DECLARE-5":
            with caller.while_shrinking(short_limits=False):
                final_verdict = judge_again(implementation, smallest, failure, in_full=True)
            if final_verdict.failed:
                verdict = final_verdict
            elif failure.ended:  # the call does return, but later than the search waited for
                smallest = failure.case
        verdict = judge_alone(implementation, verdict)
        shown = failure if verdict.history else replace(failure, history="")
        needed = deviations(smallest)
        same = [
            other
            for other in unexplained
            if kind_of(other) == kind and needed <= deviations(other.case)
        ] or [failure]
        cited = cite(implementation, verdict, smallest)
        requirement = cited.requirement or ""
        named = _listed([name_of(other.case) for other in same])
        valid = not smallest.invalid or implementation.accepts(smallest.invalid)
        yield Violation(
            requirement=requirement,
            status=verdict.status,
            severity=severity(requirement, verdict.status, valid),
            case=smallest,
            found=failure.case,
            named=named,
            count=len(same),
            message=f"found by {named}: {cited.message}" if named else cited.message,
            replay=replay_command(implementation, smallest, way_of(shown)),
            script=script_of(implementation, smallest, shown),
            engine_script=engine_script_of(implementation, smallest, shown, verdict),
        )
        unexplained = [other for other in unexplained if other not in same]


_MOST_NAMED = 4


def _listed(names: Sequence[str]) -> str:
    """Return the different ones of some names, those beyond the first few as a number."""
    different = [name for name in dict.fromkeys(names) if name]
    more = len(different) - _MOST_NAMED
    listed = ", ".join(different[:_MOST_NAMED])
    return f"{listed} and {more} more" if more > 0 else listed


def judge_again(
    implementation: Implementation, case: Case, failure: Verdict, *, in_full: bool = False
) -> Verdict:
    """Judge a case again, in the way that showed a failure.

    With ``in_full`` a convention that is not followed is probed in its other cases, too.
    """
    if failure.requirement == "DECLARE-5":
        return judge_convention(implementation, case, in_full=in_full)
    if not failure.history:
        return judge_any(implementation, case)
    if failure.history == HISTORY_OF_RELATIONS:
        related = relate(implementation, case, failure.requirement)
        verdict = next((verdict for verdict in related if verdict.failed), None)
    else:
        verdict = judge_named_history(implementation, case, failure.history)
    return verdict or Verdict(implementation.name, case, CONFORMS)


def way_of(failure: Verdict) -> str:
    """Return how a failure was shown, if not by one call; `as_shown` reads it.

    It is the name of a history, the requirement of a relation, or ``conventions``.
    """
    if failure.requirement == "DECLARE-5":
        return CONVENTIONS
    if failure.history == HISTORY_OF_RELATIONS:
        return failure.requirement or ""
    return failure.history


def as_shown(implementation: Implementation, case: Case, way: str) -> Verdict:
    """Judge a case in the way in which a run showed a failure of it, as `way_of` names it.

    Raises `ConformanceError` for a way that does not exist.
    """
    shown = Verdict(implementation.name, case, VIOLATES)
    if way == CONVENTIONS:
        shown = replace(shown, requirement="DECLARE-5")
    elif way in NAMES:
        shown = replace(shown, history=way)
    elif way in requirements() and check_of(way) == "relations":
        shown = replace(shown, requirement=way, history=HISTORY_OF_RELATIONS)
    else:
        known = ", ".join((*NAMES, CONVENTIONS))
        raise ConformanceError(
            f"a case is not judged as '{way}'; allowed: {known}, or a relation such as RELATE-1"
        )
    return judge_again(implementation, case, shown, in_full=True)


CONVENTIONS = "conventions"
"""The way in which probes show a convention that is not followed."""


def kind_of(verdict: Verdict) -> str:
    """Return the kind of a failure: all wrong results are of one kind. Empty for no failure."""
    if not verdict.failed:
        return ""
    requirement = verdict.requirement or ""
    if verdict.history:  # it is chance which requirement a kept state violates
        return f"{check_of(requirement)} after other calls".replace("purity", "repeat")
    if verdict.case.invalid and verdict.ended:
        return f"{requirement} {verdict.status}"
    return "result" if requirement in WRONG_RESULT else requirement
