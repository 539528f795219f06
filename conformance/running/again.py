"""A failure judged again: the way in which it was shown, and the kind of failure that it is."""

from __future__ import annotations

from dataclasses import replace

from conformance.calling import HANG
from conformance.case import Case
from conformance.checks.conventions import judge_convention
from conformance.checks.histories import NAMES
from conformance.checks.relations import relate
from conformance.checks.repeat import judge_named_history
from conformance.errors import ConformanceError
from conformance.judging import CONFORMS, HISTORY_OF_RELATIONS, RAISED, VIOLATES, Verdict
from conformance.judging.attribution import WRONG_RESULT
from conformance.large.judge import judge_any
from conformance.registration.implementation import Implementation
from conformance.requirements import check_of, requirements

CONVENTIONS = "conventions"
"""The way in which probes show a convention that is not followed."""


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


def kind_of(verdict: Verdict) -> str:
    """Return the kind of a failure, which has causes of its own. Empty for no failure.

    All wrong values are of one kind, wrong shapes of another, and so is each requirement besides.
    What was raised is told apart by its type and the line that raised it, and how a process ended
    by the signal: memory that is corrupt ends it at any line.
    """
    if not verdict.failed:
        return ""
    requirement = verdict.requirement or ""
    if requirement == "PROCESS-6":
        return f"{requirement} {verdict.cause}"
    if requirement in ("REPEAT-5", "REPEAT-6"):  # of several threads, of an output as an argument
        return requirement
    if verdict.history:  # it is chance which requirement a kept state violates
        return f"{check_of(requirement)} after other calls".replace("purity", "repeat")
    if verdict.outcome == HANG:  # it may be seen at any line of a loop
        return f"{requirement} {verdict.status}"
    if verdict.ended:
        ending = verdict.cause.partition(" at ")[0]
        return " ".join(filter(None, (requirement, verdict.status, ending)))
    if verdict.outcome == RAISED:
        return f"{requirement} {verdict.cause}".rstrip()
    if requirement == "RESULT-3":
        return "shape"
    return "result" if requirement in WRONG_RESULT else requirement
