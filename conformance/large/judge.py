"""Judging a large case: one call, checked by projection and at sampled positions.

A case is large where its full reference would cost more than the call: then every element is seen
by a projection (`conformance.large.projection`), and corners, edges and what a projection points
at are compared with their exact results.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from conformance.calling import Array, Inputs, Observation, Request
from conformance.case import Case
from conformance.cases.data import make_inputs
from conformance.dtypes import FLOATS
from conformance.isolation.dispatch import call_once
from conformance.judging import Accuracy, Prepared, Verdict, judge_observation, judge_prepared
from conformance.large.projection import VERIFIED, Verifier, array_problem, verifier
from conformance.operators import OPERATORS, work
from conformance.operators.base import Reference
from conformance.registration.implementation import Implementation
from conformance.runfile.words import CONFORMS, VIOLATES

WORK = 4_000_000
"""Multiply-accumulates from which on a case is judged without its full reference."""


def is_large(case: Case) -> bool:
    """Whether ``case`` is judged without its full reference: a large call on whole numbers."""
    ordinary = not case.invalid and case.memory == "contiguous" and case.x[0] > 0
    if not ordinary or case.operator not in VERIFIED or case.dtype not in FLOATS:
        return False
    return case.data == "integers" and work(case) >= WORK


@dataclass(frozen=True, slots=True)
class Large:
    """A large case with what its outputs are checked with: made once, used by all."""

    case: Case
    inputs: Inputs
    verifier: Verifier

    @classmethod
    def of(cls, case: Case) -> Large:
        """Make the inputs of a case on whole numbers, and what outputs are checked with."""
        inputs = make_inputs(case)
        return cls(case, inputs, verifier(case, inputs, case.seed))


def judge_large(one: Implementation, large: Large) -> tuple[Verdict, Array | None]:
    """Call and judge; return the verdict and, where one can be compared, the output."""
    case = large.case
    gap = one.gap(case)
    if gap is not None:
        return judge_large_observation(one, large, Observation(unsupported=gap))
    parameters, macs = case.parameters, work(case)
    request = Request(case.operator, large.inputs, parameters, one.layout, work=macs)
    return judge_large_observation(one, large, call_once(one, request))


def judge_large_observation(
    one: Implementation, large: Large, seen: Observation
) -> tuple[Verdict, Array | None]:
    """Judge what was observed of a call on a large case."""
    case = large.case
    if seen.output is None or seen.changed or seen.shared:
        # Nothing to compare: what is said of it does not depend on the exact result.
        shaped = Reference(np.broadcast_to(0.0, OPERATORS[case.operator].output_shape(case)))
        prepared = Prepared(case, large.inputs, shaped)
        return judge_observation(one.name, Accuracy.of(one), prepared, seen)
    problem = array_problem(case, seen.output)
    if problem is None:
        with np.errstate(all="ignore"):
            problem = large.verifier.check(seen.output, Accuracy.of(one))
    if problem is None:
        return Verdict(one.name, case, CONFORMS), seen.output
    requirement, text, at = problem
    return Verdict(one.name, case, VIOLATES, requirement, text, at=at), seen.output


def judge_any(one: Implementation, case: Case) -> Verdict:
    """Judge a case of any size, by its full reference where that is affordable."""
    if is_large(case):
        return judge_large(one, Large.of(case))[0]
    return judge_prepared(one, Prepared.of(case))[0]
