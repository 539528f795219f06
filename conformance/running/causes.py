"""From failures to causes: failures shrunk, and those that one cause explains counted as one."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from conformance.case import Case
from conformance.checks.relations import RELATED, relate
from conformance.checks.repeat import relive
from conformance.dtypes import FLOATS, available
from conformance.isolation.dispatch import caller_of
from conformance.judging import CONFORMS, CRASHED, TIMED_OUT, Prepared, Verdict, attribute
from conformance.judging.attribution import WRONG_RESULT
from conformance.known.difference import KnownDifference
from conformance.large.judging import is_large, judge_any
from conformance.operators import OPERATORS
from conformance.registration.registry import Implementation
from conformance.requirements import check_of
from conformance.running.known_in_run import matching_entry
from conformance.running.shrink import shrink
from conformance.scripts.engine import engine_script
from conformance.scripts.standalone import large_script, relation_script, replay_command, script

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


def explain(
    one: Implementation,
    failures: Sequence[Verdict],
    known: Sequence[KnownDifference] = (),
    *,
    shrinking: bool = True,
) -> Iterable[Violation]:
    """Shrink failures to their causes, and yield one violation a cause.

    A shrunk case keeps only the parameters that its failure needs. Failures of the same kind that
    have all of those count as the same cause; the next that does not is shrunk in its turn.
    Shrinking stays away from ``known`` differences: it would end at one instead of the new one.
    Without ``shrinking`` each cause is shown by the case that was found first.
    """
    caller = caller_of(one)
    restarts = _RESTARTS * caller.startup
    deadline = time.monotonic() + MAX_SECONDS + (restarts if any(map(_ended, failures)) else 0.0)
    left = list(failures)
    causes: Counter[str] = Counter()
    while left:
        found = left[0]
        kind = kind_of(found)
        limit = len(failures) if kind.startswith("REJECT") else MAX_CAUSES
        if causes[kind] >= limit:
            left = [f for f in left if kind_of(f) != kind]
            continue
        causes[kind] += 1

        def fails(case: Case, kind: str = kind, found: Verdict = found) -> bool:
            if any(entry.fatal and entry.holds(case) for entry in known):
                return False
            verdict = again(one, case, found)
            return kind_of(verdict) == kind and matching_entry(known, verdict) is None

        smallest, verdict = found.case, found
        patience = EACH_SECONDS + (restarts if _ended(found) else 0.0)
        seconds = min(patience, deadline - time.monotonic())
        if shrinking and seconds > 0:
            with caller.trying():
                if caller.lost is None and fails(found.case):
                    smallest = shrink(found.case, fails, seconds=seconds)
        if smallest != found.case:
            with caller.trying(hurried=False):
                last = again(one, smallest, found)
            if last.failed:
                verdict = last
            elif _ended(found):  # it comes back after all, later than the search waited for
                smallest = found.case
        same = [f for f in left if kind_of(f) == kind and features(smallest) <= features(f.case)]
        same = same or [found]
        yield Violation(
            requirement=cited_requirement(one, verdict, smallest),
            status=verdict.status,
            case=smallest,
            found=found.case,
            count=len(same),
            message=verdict.message,
            replay=replay_command(one, smallest),
            script=script_of(one, smallest, found),
            engine_script=engine_script_of(one, smallest, found, verdict.message),
        )
        left = [f for f in left if f not in same]


def script_of(one: Implementation, case: Case, found: Verdict) -> str:
    """Return a script that shows the failure ``found`` in a case, through the implementation."""
    if found.history == RELATED:
        return relation_script(one, case, found.requirement or "")
    if is_large(case):
        return large_script(one, case)
    return script(one, Prepared.of(case), history=bool(found.history))


def engine_script_of(one: Implementation, case: Case, found: Verdict, message: str) -> str:
    """Return one that shows it with the engine alone; empty where several calls are needed."""
    if found.history or is_large(case):
        return ""
    return engine_script(one, Prepared.of(case), message)


def again(one: Implementation, case: Case, found: Verdict) -> Verdict:
    """Judge a case anew, in the way that showed the failure."""
    if found.history == RELATED:
        failed = (verdict for verdict in relate(one, case, found.requirement) if verdict.failed)
        return next(failed, Verdict(one.name, case, CONFORMS))
    if found.history:
        return relive(one, case, found.history) or Verdict(one.name, case, CONFORMS)
    return judge_any(one, case)


def cited_requirement(one: Implementation, verdict: Verdict, case: Case) -> str:
    """Return the requirement behind a failure of a shrunk case.

    A wrong integer result is about integers, unless floating-point numbers show it as well.
    """
    if verdict.requirement in ("INTEGER-1", "INTEGER-2") and not verdict.history:
        floats = [dtype for dtype in one.dtypes if dtype in FLOATS and available(dtype)]
        plain = [case.replace(dtype=dtype) for dtype in floats[:1]]
        if not any(judge_any(one, other).failed for other in plain):
            return verdict.requirement
    return named_requirement(verdict, case)


def named_requirement(verdict: Verdict, case: Case) -> str:
    """Return the requirement behind a failure of a shrunk case: the one its parameters tell."""
    requirement = verdict.requirement or "RESULT-1"
    told = case.check in ("layout", "special")
    if verdict.history:
        return requirement
    if requirement in WRONG_RESULT or (told and requirement == "DECLARE-1"):
        named = attribute(case)
        return named if named != attribute(case.plain()) else requirement
    return requirement


def kind_of(verdict: Verdict) -> str:
    """Return what makes two failures the same kind: a wrong result, however it was noticed."""
    if not verdict.failed:
        return ""
    requirement = verdict.requirement or ""
    if verdict.history:  # how a history shows a state that is kept is a matter of chance
        return f"{check_of(requirement)} after other calls".replace("purity", "repeat")
    if verdict.case.invalid and _ended(verdict):
        return f"{requirement} {verdict.status}"
    return "result" if requirement in WRONG_RESULT else requirement


def _ended(verdict: Verdict) -> bool:
    """Whether a call ended without an answer."""
    crashed = verdict.status == CRASHED and not verdict.message.startswith("raised")
    return verdict.status == TIMED_OUT or crashed


def features(case: Case) -> frozenset[str]:
    """Return what is special about ``case``: parameters that are not their defaults, and more."""
    plain = case.plain()
    names = (*OPERATORS[case.operator].parameters, "bias")
    found = {name for name in names if getattr(case, name) != getattr(plain, name)}
    if case.invalid:
        found.add(case.invalid)
    if case.check == "layout":
        found.add(case.memory.partition("-")[0])
    if case.check == "special":
        found.add(case.data)
    return frozenset(found)
