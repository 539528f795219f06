"""Which requirement a failure of a shrunk case cites, and what is left in that case."""

from __future__ import annotations

from conformance.case import Case
from conformance.dtypes import FLOATS, available
from conformance.judging import Verdict
from conformance.judging.attribution import WRONG_RESULT, attribute, non_default_parameters
from conformance.large.judge import judge_any
from conformance.registration.implementation import Implementation


def cited_requirement(one: Implementation, verdict: Verdict, case: Case) -> str:
    """Return the requirement behind a failure of a shrunk case.

    A wrong integer result is about integers, unless floating-point numbers show it as well.
    """
    if verdict.requirement in ("INTEGER-1", "INTEGER-2") and not verdict.history:
        floats = [dtype for dtype in one.dtypes if dtype in FLOATS and available(dtype)]
        others = [case.replace(dtype=dtype) for dtype in floats[:1]]
        if not any(judge_any(one, other).failed for other in others):
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


def deviations(case: Case) -> frozenset[str]:
    """Return what is not plain about ``case``.

    That is its parameters that are not at their defaults, its mistake, its memory layout, and its
    recipe where that makes special values.
    """
    names = {*non_default_parameters(case)}
    if case.invalid:
        names.add(case.invalid)
    if case.check == "layout":
        names.add(case.memory.partition("-")[0])
    if case.check == "special":
        names.add(case.data)
    return frozenset(names)
