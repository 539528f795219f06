"""Relations: what an implementation must agree on with itself, whatever the exact result is.

No reference is needed, so that shapes may be as large as the implementation can take. Each large
call is compared with calls on its parts, or with another spelling of its parameters: small parts
are what ordinary cases judge against the exact result. All calls of a case are listed first, made
one after the other, and judged afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from conformance.calling import Observation, Request
from conformance.case import Case
from conformance.cases.data import make_inputs
from conformance.cases.validity import is_valid
from conformance.checks.relations import adjoint, parameters, structure
from conformance.checks.relations.claims import Call, Claim, Relation, widened
from conformance.checks.relations.shapes import cases
from conformance.checks.relations.tolerance import error
from conformance.isolation.dispatch import call_once
from conformance.judging import DECLINED, HISTORY_OF_RELATIONS, Accuracy, Problem, Verdict
from conformance.judging.comparing import differing, worst_index
from conformance.judging.verdict import without_result
from conformance.large.projection import array_problem
from conformance.operators import work
from conformance.registration.implementation import Implementation
from conformance.runfile.words import CONFORMS, VIOLATES

__all__ = ["RELATIONS", "cases", "claims", "judge_cases", "relate", "relations_worth_asking"]

RELATIONS: tuple[Relation, ...] = (
    structure.batch,
    structure.groups,
    parameters.one_by_one,
    parameters.dilation,
    parameters.stride,
    parameters.padding,
    adjoint.transpose,
    adjoint.gradient,
    parameters.reversal,
    adjoint.average,
    structure.channels,
    structure.additivity,
    structure.locality,
    structure.shift,
)
"""In the order of their requirements, RELATE-1 to RELATE-14."""


def claims(case: Case, chosen: Sequence[Relation] = RELATIONS) -> list[Claim]:
    """Return every claim that can be made of ``case``; its data are small whole numbers."""
    case = case.replace(data="integers", memory="contiguous")
    whole = Call(case, make_inputs(case))
    made = (claim for relation in chosen for claim in relation(whole))
    return [
        claim
        for claim in made
        if all(is_valid(call.case) and call.case.x[0] > 0 for call in claim.calls)
    ]


def _observe(one: Implementation, call: Call) -> Observation:
    """Make a call, unless ``one`` declares not to compute it."""
    case, gap = call.case, one.gap(call.case)
    if gap is not None:
        return Observation(unsupported=gap)
    request = Request(case.operator, call.inputs, case.parameters, one.layout, work=work(case))
    return call_once(one, request)


def _judge_claim(
    one: Implementation, case: Case, claim: Claim, observations: Mapping[Call, Observation]
) -> Verdict:
    """Judge one claim about ``case`` by what was observed of its calls."""
    outputs = []
    for call in claim.calls:
        seen = observations[call]
        verdict = without_result(one.name, call.case, seen) or _unusable(one, call, seen)
        if verdict is not None and verdict.outcome == DECLINED:
            return replace(verdict, case=case)
        if verdict is not None:
            where = f"{call.case.operator} of {call.inputs[0].shape}, for {claim.says}: "
            return replace(verdict, message=where + verdict.message)
        outputs.append(widened(seen.output))
    with np.errstate(all="ignore"):
        left, right, slack = claim.sides(outputs)
        if np.array_equal(left, right):
            return Verdict(one.name, case, CONFORMS)
        accuracy = Accuracy.of(one)
        allowed = slack + sum(call.weight * error(call, accuracy) for call in claim.calls)
        off = np.abs(left - right)
        wrong = (left != right) & ~(off <= allowed)  # infinities of one sign are equal
    if not wrong.any():
        return Verdict(one.name, case, CONFORMS)
    at = worst_index(wrong, off)  # of the two sides, which need not have the output's shape
    limit = f"+-{allowed:.3g}" if allowed else "no difference (every sum is exact here)"
    worst = f"{left[at]:.17g} against {right[at]:.17g}, allowed: {limit}"
    text = f"not what {claim.says} gives: {differing(wrong, at, worst)}"
    return Verdict(one.name, case, VIOLATES, claim.requirement, text, history=HISTORY_OF_RELATIONS)


def _unusable(one: Implementation, call: Call, seen: Observation) -> Verdict | None:
    """Return the violation for which a call's output is not compared, or None."""
    problem = array_problem(call.case, seen.output)
    if problem is None and seen.changed:
        problem = Problem("PURE-1", "the call changed its inputs")
    if problem is None and seen.shared:
        problem = Problem("PURE-2", "the output shares memory with an input")
    if problem is None:
        return None
    return Verdict(one.name, call.case, VIOLATES, problem.requirement, problem.message)


def relate(
    one: Implementation,
    case: Case,
    requirement: str | None = None,
    *,
    chosen: Sequence[Relation] = RELATIONS,
) -> list[Verdict]:
    """Return the verdict on every claim about ``case``, or on those of one requirement."""
    asked = [
        claim
        for claim in claims(case, chosen)
        if requirement in (None, claim.requirement)
        if all(call.case.operator in one.functions for call in claim.calls)
    ]
    calls = dict.fromkeys(call for claim in asked for call in claim.calls)
    observations = {call: _observe(one, call) for call in calls}
    return [_judge_claim(one, case, claim, observations) for claim in asked]


def relations_worth_asking(case: Case) -> tuple[Relation, ...]:
    """Return the relations worth asking of ``case``: of a large one those that take it apart."""
    if work(case) < _SMALL:
        return RELATIONS
    many = case.x[1] >= _LARGE
    apart = {
        structure.batch: case.x[0] >= _LARGE,
        structure.groups: case.groups > 1,
        structure.channels: many and case.groups == 1,
        structure.additivity: many and case.groups == 1,
        structure.locality: max(case.x[2:]) >= _LARGE,
        adjoint.transpose: True,
        adjoint.gradient: True,
    }
    return tuple(relation for relation, asked in apart.items() if asked)


_LARGE = 64
"""The size from which on an axis is worth taking apart."""
_SMALL = 20_000
"""Multiply-accumulates of a case up to which every relation is cheap."""


def judge_cases(
    one: Implementation, chosen: Sequence[Case], afford: Callable[[Case], bool]
) -> Iterator[Verdict]:
    """Yield the verdicts on ``chosen``, the cheapest first, up to one that it cannot ``afford``."""
    for case in sorted(chosen, key=work):
        if one.gap(case) is not None:
            continue
        if not afford(case):
            return
        yield from relate(one, case, chosen=relations_worth_asking(case))
