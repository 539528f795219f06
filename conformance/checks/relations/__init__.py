"""Relations: what an implementation must agree on with itself, whatever the exact result is.

No reference is needed, so that shapes may be as large as the implementation can take. Each large
call is compared with calls on its parts, or with another spelling of its parameters: small parts
are what ordinary cases judge against the exact result. All calls of a case are listed first, made
one after the other, and judged afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from conformance.calling import Array, Observation, Request
from conformance.case import Case
from conformance.cases.data import make_inputs
from conformance.cases.validity import validate
from conformance.checks.relations import adjoint, parameters, structure
from conformance.checks.relations.claims import Call, Claim, Relation, widened
from conformance.checks.relations.shapes import cases
from conformance.checks.relations.tolerance import error
from conformance.errors import CaseError
from conformance.isolation.dispatch import call_once
from conformance.judging import CONFORMS, CRASHED, UNSUPPORTED, VIOLATES, Accuracy, Verdict
from conformance.judging.verdicts import ENDED
from conformance.large.projection import array_problem
from conformance.operators import work
from conformance.registration.registry import Implementation

__all__ = [
    "RELATED",
    "RELATIONS",
    "cases",
    "claims",
    "judge",
    "perform",
    "relate",
    "survey",
    "telling",
]

RELATED = "relations"
"""What a verdict says of the calls that showed it, in the place of a history."""

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
    return [claim for relation in chosen for claim in relation(whole) if _valid(claim)]


def _valid(claim: Claim) -> bool:
    try:
        for call in claim.calls:
            validate(call.case)
    except CaseError:
        return False
    return all(call.case.x[0] > 0 for call in claim.calls)


def perform(one: Implementation, calls: Iterable[Call]) -> dict[Call, Observation]:
    """Make each call once; what ``one`` declares not to compute is not called."""
    seen = {}
    for call in dict.fromkeys(calls):
        gap = one.gap(call.case)
        if gap is not None:
            seen[call] = Observation(unsupported=gap)
            continue
        case, inputs = call.case, call.inputs
        request = Request(case.operator, inputs, case.parameters, one.layout, work=work(case))
        seen[call] = call_once(one, request)
    return seen


def judge(one: Implementation, case: Case, claim: Claim, seen: dict[Call, Observation]) -> Verdict:
    """Judge one claim about ``case`` by what was observed of its calls."""
    outputs = []
    for call in claim.calls:
        found = seen[call]
        if found.unsupported is not None:
            return Verdict(one.name, case, UNSUPPORTED, None, found.unsupported)
        problem = _problem(call, found)
        if problem is not None:
            status, requirement, text = problem
            where = f"{call.case.operator} of {call.inputs[0].shape}, for {claim.says}: "
            return Verdict(one.name, call.case, status, requirement, where + text)
        outputs.append(widened(found.output))
    with np.errstate(all="ignore"):
        left, right, slack = claim.sides(outputs)
        if np.array_equal(left, right):
            return Verdict(one.name, case, CONFORMS)
        accuracy = Accuracy.of(one)
        allowed = slack + sum(call.weight * error(call, accuracy) for call in claim.calls)
        return _compare(one, case, claim, left, right, allowed)


def _problem(call: Call, seen: Observation) -> tuple[str, str, str] | None:
    """Say why a call has no output to compare: status, requirement and message."""
    if seen.ended is not None:
        status, requirement, words = ENDED[seen.ended]
        return status, requirement, f"{words}: {seen.how}"
    if seen.raised is not None:
        return CRASHED, "DECLARE-1", f"raised on a valid case: {seen.raised}"
    problem = array_problem(call.case, seen.output)
    if problem is not None:
        return VIOLATES, *problem
    if seen.changed:
        return VIOLATES, "PURE-1", "the call changed its inputs"
    if seen.shared:
        return VIOLATES, "PURE-2", "the output shares memory with an input"
    return None


def _compare(
    one: Implementation, case: Case, claim: Claim, left: Array, right: Array, allowed: float
) -> Verdict:
    off = np.abs(left - right)
    wrong = (left != right) & ~(off <= allowed)  # infinities of one sign are equal
    if not wrong.any():
        return Verdict(one.name, case, CONFORMS)
    ranked = np.where(wrong, np.nan_to_num(off, nan=np.inf), -1.0)
    at = np.unravel_index(int(np.argmax(ranked)), wrong.shape)
    limit = f"+-{allowed:.3g}" if allowed else "no difference (every sum is exact here)"
    where = ", ".join(str(int(i)) for i in at)
    text = (
        f"not what {claim.says} gives: {np.count_nonzero(wrong)} of {wrong.size} elements differ; "
        f"worst at [{where}]: {left[at]:.17g} against {right[at]:.17g}, allowed: {limit}"
    )
    return Verdict(one.name, case, VIOLATES, claim.requirement, text, history=RELATED)


def relate(
    one: Implementation,
    case: Case,
    requirement: str | None = None,
    *,
    chosen: Sequence[Relation] = RELATIONS,
) -> list[Verdict]:
    """Return the verdict on every claim about ``case``, or on those of one requirement."""
    made = [c for c in claims(case, chosen) if requirement in (None, c.requirement)]
    made = [c for c in made if all(call.case.operator in one.functions for call in c.calls)]
    seen = perform(one, (call for claim in made for call in claim.calls))
    return [judge(one, case, claim, seen) for claim in made]


def telling(case: Case) -> tuple[Relation, ...]:
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


def survey(
    one: Implementation, chosen: Sequence[Case], afford: Callable[[Case], bool]
) -> Iterator[Verdict]:
    """Yield the verdicts on ``chosen``, the cheapest first, up to one that it cannot ``afford``."""
    for case in sorted(chosen, key=work):
        if one.gap(case) is not None:
            continue
        if not afford(case):
            return
        yield from relate(one, case, chosen=telling(case))
