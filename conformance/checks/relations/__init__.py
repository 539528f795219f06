"""Relations between calls of one implementation, which hold whatever the exact result is.

They need no reference, so that shapes may be as large as the implementation can take. A large call
is compared with calls on its parts, or with a call that writes its parameters in another way;
ordinary cases judge small calls against the exact result. All calls of a case are listed first,
then made one after the other, and then judged.
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
from conformance.checks.relations.claims import Claim, RelatedCall, Relation, widened
from conformance.checks.relations.shapes import cases
from conformance.checks.relations.tolerance import error
from conformance.isolation.dispatch import call_once
from conformance.judging import (
    DECLINED,
    HISTORY_OF_RELATIONS,
    Accuracy,
    Prepared,
    Problem,
    Verdict,
    judge_prepared,
    judge_seen,
)
from conformance.judging.comparing import differing, worst_index
from conformance.judging.judges import beyond
from conformance.judging.verdict import without_result
from conformance.large.judge import Large, is_large, judge_large_observation
from conformance.large.projection import array_problem, verifier
from conformance.operators import OPERATORS, work
from conformance.registration.implementation import Implementation
from conformance.runfile.words import CONFORMS, UNSUPPORTED, VIOLATES

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
    """Return every claim about ``case``, on data of small whole numbers."""
    case = case.replace(data="integers", memory="contiguous")
    whole = RelatedCall(case, make_inputs(case))
    candidates = (claim for relation in chosen for claim in relation(whole))
    return [
        claim
        for claim in candidates
        if all(is_valid(call.case) and call.case.x[0] > 0 for call in claim.calls)
    ]


def _observe(implementation: Implementation, call: RelatedCall) -> Observation:
    """Make a call, unless ``implementation`` declares that it does not support it."""
    case, gap = call.case, implementation.gap(call.case)
    if gap is not None:
        return Observation(unsupported=gap)
    parameters, layout = case.parameters, implementation.layout
    request = Request(case.operator, call.inputs, parameters, layout, work=work(case))
    return call_once(implementation, request)


def _judge_claim(
    implementation: Implementation,
    case: Case,
    claim: Claim,
    observations: Mapping[RelatedCall, Observation],
) -> Verdict:
    """Judge one claim about ``case`` by what was observed of its calls.

    A call of another operator that is wrong by itself says nothing of this one.
    """
    name, outputs = implementation.name, []
    for call in claim.calls:
        observation = observations[call]
        verdict = without_result(name, call.case, observation) or _unusable(name, call, observation)
        if verdict is not None and verdict.outcome == DECLINED:
            return replace(verdict, case=case)
        if verdict is not None and call.case.operator != case.operator:
            return _says_nothing(name, case, verdict)
        if verdict is not None:
            where = f"{call.case.operator} of {call.inputs[0].shape}, for {claim.says}: "
            return replace(verdict, message=where + verdict.message, side=observation.side)
        outputs.append(widened(observation.output))
    with np.errstate(all="ignore"):
        left, right, slack = claim.sides(outputs)
        if np.array_equal(left, right):
            return Verdict(name, case, CONFORMS)
        accuracy = Accuracy.of(implementation)
        allowed = slack + sum(call.weight * error(call, accuracy) for call in claim.calls)
        off = np.abs(left - right)
        wrong = (left != right) & ~(off <= allowed)  # infinities of the same sign are equal
    if not wrong.any():
        return Verdict(name, case, CONFORMS)
    for call in claim.calls:
        if call.case.operator != case.operator and isinstance(
            observations[call].output, np.ndarray
        ):
            verdict = _judge_call(implementation, call, observations[call])
            if verdict.failed:
                return _says_nothing(name, case, verdict)
    at = worst_index(wrong, off)  # in the two sides, which may have another shape than the output
    limit = f"+-{allowed:.3g}" if allowed else "no difference (every sum is exact here)"
    worst = f"{left[at]:.17g} against {right[at]:.17g}, allowed: {limit}"
    text = f"not what {claim.says} gives: {differing(wrong, at, worst)}"
    return Verdict(name, case, VIOLATES, claim.requirement, text, history=HISTORY_OF_RELATIONS)


def _judge_call(
    implementation: Implementation, call: RelatedCall, observation: Observation
) -> Verdict:
    """Judge one call of a claim by itself, against its exact result."""
    case, inputs = call.case, call.inputs
    if is_large(case):
        large = Large(case, inputs, verifier(case, inputs, case.seed))
        return judge_large_observation(implementation, large, observation)[0]
    prepared = Prepared(case, inputs, OPERATORS[case.operator].reference(case, inputs))
    return judge_seen(implementation, prepared, observation)[0]


def _says_nothing(name: str, case: Case, verdict: Verdict) -> Verdict:
    text = f"{verdict.case.operator} is wrong by itself: {verdict.message}"
    return Verdict(name, case, UNSUPPORTED, message=text, outcome=DECLINED)


def _unusable(name: str, call: RelatedCall, observation: Observation) -> Verdict | None:
    """Return the violation that keeps a call's output from being compared, or None."""
    problem = array_problem(call.case, observation.output)
    if problem is None and observation.changed:
        problem = Problem("PURE-1", "the call changed its inputs")
    if problem is None and observation.shared:
        problem = Problem("PURE-2", "the output shares memory with an input")
    if problem is None and observation.overrun:
        problem = Problem("MEMORY-2", f"the call wrote {beyond(call.case, observation)}")
    if problem is None:
        return None
    return Verdict(name, call.case, VIOLATES, problem.requirement, problem.message)


def relate(
    implementation: Implementation,
    case: Case,
    requirement: str | None = None,
    *,
    chosen: Sequence[Relation] = RELATIONS,
) -> list[Verdict]:
    """Return the verdict on every claim about ``case``, or on those of one requirement."""
    selection = [
        claim
        for claim in claims(case, chosen)
        if requirement in (None, claim.requirement)
        if all(call.case.operator in implementation.functions for call in claim.calls)
    ]
    calls = dict.fromkeys(call for claim in selection for call in claim.calls)
    observations = {call: _observe(implementation, call) for call in calls}
    return [_judge_claim(implementation, case, claim, observations) for claim in selection]


def relations_worth_asking(case: Case) -> tuple[Relation, ...]:
    """Return the relations to judge ``case`` by: for a large one, those that take it apart."""
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
"""The smallest axis that is worth taking apart."""
_SMALL = 20_000
"""Every relation is cheap for cases of fewer multiply-accumulates."""


def judge_alone(implementation: Implementation, verdict: Verdict) -> Verdict:
    """Return the verdict on the call of a broken relation by itself, if that is plainly wrong.

    Relations are for shapes too large for an exact result. Of a small one that is at hand: where
    the call is wrong by itself, no relation is needed to say so.
    """
    case = verdict.case.replace(data="integers", memory="contiguous")
    if verdict.history != HISTORY_OF_RELATIONS or work(case) >= _SMALL:
        return verdict
    alone, _ = judge_prepared(implementation, Prepared.of(case))
    return alone if alone.failed else verdict


def judge_cases(
    implementation: Implementation, chosen: Sequence[Case], afford: Callable[[Case], bool]
) -> Iterator[Verdict]:
    """Yield verdicts on ``chosen`` cases, the cheapest first, up to one it cannot ``afford``."""
    for case in sorted(chosen, key=work):
        if implementation.gap(case) is not None:
            continue
        if not afford(case):
            return
        yield from relate(implementation, case, chosen=relations_worth_asking(case))
