"""The requirement that a failure of a shrunk case cites, and the deviations left in that case."""

from __future__ import annotations

from conformance.case import Case
from conformance.dtypes import FLOATS, available
from conformance.judging import Verdict
from conformance.judging.attribution import WRONG_RESULT, attribute, non_default_parameters
from conformance.large.judge import judge_any
from conformance.registration.implementation import Implementation


def cited_requirement(implementation: Implementation, verdict: Verdict, case: Case) -> str:
    """Return the requirement behind a failure of a shrunk case.

    A wrong integer result violates a requirement on integers, unless the result is also wrong in a
    floating-point dtype.
    """
    if verdict.requirement in ("INTEGER-1", "INTEGER-2") and not verdict.history:
        floats = [dtype for dtype in implementation.dtypes if dtype in FLOATS and available(dtype)]
        others = [case.replace(dtype=dtype) for dtype in floats[:1]]
        if not any(judge_any(implementation, other).failed for other in others):
            return verdict.requirement
    return named_requirement(verdict, case)


def named_requirement(verdict: Verdict, case: Case) -> str:
    """Return the requirement behind a failure of a shrunk case, by the parameters it kept."""
    requirement = verdict.requirement or "RESULT-1"
    own_check = case.check in ("layout", "special")
    if verdict.history:
        return requirement
    if requirement in WRONG_RESULT or (own_check and requirement == "DECLARE-1"):
        named = attribute(case)
        return named if named != attribute(case.plain()) else requirement
    return requirement


def deviations(case: Case) -> frozenset[str]:
    """Return the names of what is not plain about ``case``.

    These are its parameters that are not at their defaults, its mistake, its memory layout, and its
    recipe if that makes special values.
    """
    names = {*non_default_parameters(case)}
    if case.invalid:
        names.add(case.invalid)
    if case.check == "layout":
        names.add(case.memory.partition("-")[0])
    if case.check == "special":
        names.add(case.data)
    return frozenset(names)
