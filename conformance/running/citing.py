"""The requirement that a failure of a shrunk case cites, and the deviations left in that case.

A requirement is cited only if the call is right but for it: its plain twin, the same call without
the mistake, the memory layout, the special values or the parameter that the requirement is about,
must conform, and what came back must be what that requirement explains
(`conformance.judging.explaining`). Otherwise the value is plainly wrong, and the requirement that
says so is cited.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from conformance.calling import CRASH
from conformance.case import Case
from conformance.cases import invalid
from conformance.cases.validity import is_valid
from conformance.dtypes import FLOATS, available
from conformance.judging import RAISED, Accuracy, Prepared, Verdict, judge_prepared
from conformance.judging.accepted import result_of_accepted_call
from conformance.judging.attribution import (
    OF_WHOLE_RESULTS,
    WRONG_RESULT,
    deciding_parameters,
    layout_requirement,
    non_default_parameters,
    parameter_requirement,
    special_requirements,
)
from conformance.judging.explaining import explained, plain_twin
from conformance.judging.prepared import reference_of
from conformance.judging.verdict import ENDED
from conformance.large.judge import is_large, judge_any
from conformance.operators import OPERATORS
from conformance.registration.implementation import Implementation
from conformance.running.locating import FAULTS, locate

_SEEDS = 3
"""Seeds of data, besides its own, for which a call without its parameter must be right."""


def cite(implementation: Implementation, verdict: Verdict, case: Case) -> Verdict:
    """Return the verdict on a shrunk case with the requirement that is behind its failure."""
    if verdict.cause.partition(" at ")[0] in FAULTS and not verdict.history and not case.invalid:
        located = locate(implementation, case)
        if located is not None:
            requirement, message = located
            _, _, how = verdict.message.partition(f"{ENDED[CRASH][2]}: ")
            return replace(verdict, requirement=requirement, message=f"{message}: {how}")
    requirement = cited_requirement(implementation, verdict, case)
    message = verdict.message
    if requirement != verdict.requirement and (verdict.requirement or "").startswith("DECLARE"):
        message = message.partition(" attained: ")[2] or message  # it is not the arithmetic
    return replace(verdict, requirement=requirement, message=message)


def cited_requirement(implementation: Implementation, verdict: Verdict, case: Case) -> str:
    """Return the requirement behind a failure of a shrunk case.

    A wrong integer result violates a requirement on integers, unless the result is also wrong in a
    floating-point dtype.
    """
    requirement = verdict.requirement or "RESULT-1"
    if verdict.history or requirement in ("DECLARE-5", *OF_WHOLE_RESULTS):
        return requirement
    if case.invalid:
        return _cited_of_invalid(implementation, verdict, case)
    if requirement in ("DECLARE-2", "DECLARE-3"):
        # Every format that is tried holds a few small numbers, and their sums, exactly.
        exact = replace(implementation, multiply=None)
        wrong = _wrong(judge_any(exact, case.replace(data="impulse")))
        return "RESULT-1" if wrong else requirement
    if requirement == "GRAD-14":
        if not _wrong(judge_any(implementation, case.replace(data="normal"))):
            return requirement
        requirement = "RESULT-2"
        verdict = replace(verdict, requirement=requirement)
    if requirement in ("INTEGER-1", "INTEGER-2"):
        usual = case.replace(memory="contiguous")
        if usual != case and not _wrong(judge_any(implementation, usual)):
            return layout_requirement(case)
        floats = [dtype for dtype in implementation.dtypes if dtype in FLOATS and available(dtype)]
        others = [case.replace(dtype=dtype) for dtype in floats[:1]]
        if not any(_wrong(judge_any(implementation, other)) for other in others):
            return requirement
    marked = case.check in ("layout", "special")
    if requirement not in WRONG_RESULT and not (marked and requirement == "DECLARE-1"):
        return requirement
    if is_large(case):
        return _cited_of_parameter(implementation, verdict, case)
    return _cited_of_call(implementation, verdict, Prepared.of(case))


def _cited_of_twin(implementation: Implementation, twin: Case) -> str | None:
    """Return the requirement that the plain twin of a call violates; None if it conforms."""
    verdict = _wrong(judge_any(implementation, twin))
    return cited_requirement(implementation, verdict, twin) if verdict else None


def _wrong(verdict: Verdict) -> Verdict | None:
    """Return the finding that a value is wrong or missing, None if there is none.

    What else is wrong with a call, such as its dtype or what it prints, does not make another
    requirement of its value less to blame.
    """
    for finding in verdict.findings:
        if finding.requirement in (*WRONG_RESULT, "GRAD-14") or finding.outcome is not None:
            return finding
    return None


def _cited_of_invalid(implementation: Implementation, verdict: Verdict, case: Case) -> str:
    """Return what an invalid call violates: nothing of its own where the valid one does the same.

    It is the same if both end their process, if both change their inputs, and if a call that a
    convention accepts is as wrong as a valid one.
    """
    assert verdict.requirement is not None
    twin = plain_twin(case)
    plain = judge_any(implementation, twin)
    if verdict.ended:
        return plain.requirement or "" if plain.ended else verdict.requirement
    if verdict.requirement == "REJECT-2":
        return "PURE-1" if plain.requirement == "PURE-1" else verdict.requirement
    convention, alternative = invalid.MISTAKES[case.invalid].convention or ("", "")
    if alternative and implementation.conventions.get(convention) == alternative:
        wide = _dtype_of_accepted(case, convention)
        for valid in (twin, twin.replace(dtype=wide)):
            asked = valid.dtype in implementation.dtypes and is_valid(valid)
            same = judge_any(implementation, valid) if asked else None
            if same is not None and same.failed:
                return cited_requirement(implementation, same, valid)
    return verdict.requirement


def _dtype_of_accepted(case: Case, convention: str) -> str:
    inputs = Prepared.of(case.replace(invalid="")).inputs
    arguments, parameters = invalid.apply(case, inputs, case.parameters)
    accepted = result_of_accepted_call(case, convention, arguments, parameters)
    return case.dtype if accepted is None else accepted.case.dtype


@np.errstate(all="ignore")
def _cited_of_call(implementation: Implementation, verdict: Verdict, prepared: Prepared) -> str:
    """Return what a valid call violates that gives a wrong result, or raises."""
    case = prepared.case
    if case.memory != "contiguous":
        twin = prepared.replace(case=case.replace(memory="contiguous"))
        plain = _wrong(judge_prepared(implementation, twin)[0])
        if plain is None:
            return layout_requirement(case)
        if plain.requirement not in (*WRONG_RESULT, "DECLARE-1"):
            return plain.requirement or ""
        return _cited_of_call(implementation, plain, twin)
    if case.check != "special":
        return _cited_of_parameter(implementation, verdict, case)
    if cited := _cited_of_twin(implementation, plain_twin(case)):
        return cited
    if verdict.outcome == RAISED:
        due = special_requirements(case)
        return due[0] if due and case.data not in ("subnormal", "huge") else "DECLARE-1"
    if case.data == "zeros":  # the sign of a zero is to blame only if another sign is right
        plain = _wrong(judge_prepared(implementation, _with_zeros_as(prepared, 0))[0])
        if plain is not None:
            return _cited_of_parameter(implementation, plain, case)
    output = judge_prepared(implementation, prepared)[1]
    cited = None if output is None else explained(prepared, Accuracy.of(implementation), output)
    if cited in ("SPECIAL-1", "SPECIAL-3") and OPERATORS[case.operator].has_weight:
        # Zeros that are skipped are to blame if the call is right where there are none.
        plain = _wrong(judge_prepared(implementation, _with_zeros_as(prepared, 1))[0])
        cited = cited if plain else "SPECIAL-4"
    return cited or _cited_of_parameter(implementation, verdict, case)


def _with_zeros_as(prepared: Prepared, number: int) -> Prepared:
    """Return a call with a number for the zeros of both signs in its arrays."""
    case = prepared.case
    inputs = tuple(
        np.where(value == 0, value.dtype.type(number), value)
        if isinstance(value, np.ndarray)
        else value
        for value in prepared.inputs
    )
    return Prepared(case, inputs, reference_of(case, inputs))


def _cited_of_parameter(implementation: Implementation, verdict: Verdict, case: Case) -> str:
    """Return what a wrong result violates: about its one parameter, without which it is right."""
    assert verdict.requirement is not None
    requirement, named = verdict.requirement, parameter_requirement(case)
    names = deciding_parameters(case)
    if case.operator in ("max_pool", "max_pool_grad") and case.check == "result":
        prepared = Prepared.of(case)
        output = judge_prepared(implementation, prepared)[1]
        if output is not None and explained(prepared, Accuracy.of(implementation), output):
            named, names = OPERATORS[case.operator].requirements["padding"], ("padding",)
    if named is None or requirement not in WRONG_RESULT:
        return requirement
    seeds = dict.fromkeys((case.seed, *range(0 if is_large(case) else _SEEDS)))
    for twin in _without(case, names):
        if is_valid(twin):
            again = (judge_any(implementation, twin.replace(seed=seed)) for seed in seeds)
            return requirement if any(map(_wrong, again)) else named
    return named


def _without(case: Case, parameters: Sequence[str]) -> Iterator[Case]:
    """Yield calls like ``case`` with these parameters at their defaults: the first valid one is it.

    If there are none, it is the window that has different sizes.
    """
    plain = case.plain()
    if not parameters:
        most = max(case.window)
        spare = ((most - k) * d for k, d in zip(case.window, case.dilation, strict=True))
        size = (s + more for s, more in zip(case.x[2:], spare, strict=True))
        window = (most,) * case.dims
        changes = {"kernel": window} if case.w is None else {"w": (*case.w[:2], *window)}
        yield case.replace(x=(*case.x[:2], *size), **changes)
        return
    values = {name: getattr(plain, name) for name in parameters}
    if "groups" in values and case.w is not None:
        values["w"] = (case.w[0], case.w[1] * case.groups, *case.w[2:])
    yield case.replace(**values)
    grown = (size + sum(pair) for size, pair in zip(case.x[2:], case.padding, strict=True))
    yield case.replace(**values, x=(*case.x[:2], *grown))


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
