"""Judging a large case, whose full reference would cost much more than the call.

A projection checks every element of one call (`conformance.large.projection`); the elements at
corners, edges and where the projection points are compared with their exact results.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from conformance.calling import Array, Inputs, Observation, Request
from conformance.case import Case
from conformance.cases.data import make_inputs
from conformance.cases.limits import check_window, check_windows
from conformance.dtypes import FLOATS, numpy_dtype
from conformance.isolation.dispatch import call_once, caller_of
from conformance.judging import Accuracy, Prepared, Verdict, judge_observation, judge_prepared
from conformance.judging.judges import side_effects, with_calls_before
from conformance.judging.verdict import together
from conformance.large.projection import VERIFIED, Verifier, array_problem, is_projected, verifier
from conformance.operators import OPERATORS, work
from conformance.operators.base import Reference
from conformance.registration.implementation import Implementation
from conformance.runfile.words import CONFORMS, VIOLATES

WORK = 4_000_000
"""The multiply-accumulates of the smallest case that is judged without its full reference."""


def is_large(case: Case) -> bool:
    """Whether ``case`` is judged without its full reference: a large call on whole numbers."""
    if case.data not in ("integers", "digits"):
        return False
    ordinary = not case.invalid and case.memory == "contiguous" and case.x[0] > 0
    if not ordinary or case.operator not in VERIFIED or case.dtype not in FLOATS:
        return False
    return work(case) >= WORK and (is_projected(case) or not OPERATORS[case.operator].has_weight)


def check_judgeable(case: Case) -> None:
    """Raise `CaseError` if a valid case is too large for the way in which it would be judged."""
    if is_large(case):
        check_window(case)
    else:
        check_windows(case)


@dataclass(frozen=True, slots=True)
class Large:
    """A large case with its inputs and its verifier, made once for all implementations."""

    case: Case
    inputs: Inputs
    verifier: Verifier

    @classmethod
    def of(cls, case: Case) -> Large:
        """Make the inputs and the verifier of a case on whole numbers; `CaseError` if too large."""
        check_window(case)
        inputs = make_inputs(case)
        return cls(case, inputs, verifier(case, inputs, case.seed))


def judge_large(implementation: Implementation, large: Large) -> tuple[Verdict, Array | None]:
    """Call and judge; return the verdict and, where one can be compared, the output."""
    case = large.case
    gap = implementation.gap(case)
    if gap is not None:
        return judge_large_observation(implementation, large, Observation(unsupported=gap))
    parameters, macs = case.parameters, work(case)
    request = Request(
        case.operator, large.inputs, parameters, implementation.layout, work=macs, case=case
    )
    observation = call_once(implementation, request)
    verdict, output = judge_large_observation(implementation, large, observation)
    return with_calls_before(verdict, caller_of(implementation), observation.side), output


def judge_large_observation(
    implementation: Implementation, large: Large, observation: Observation
) -> tuple[Verdict, Array | None]:
    """Judge what was observed of a call on a large case."""
    name, case, accuracy = implementation.name, large.case, Accuracy.of(implementation)
    if observation.output is None:
        # Nothing is compared: the verdict does not depend on the exact result.
        shaped = Reference(np.broadcast_to(0.0, OPERATORS[case.operator].output_shape(case)))
        prepared = Prepared(case, large.inputs, shaped)
        return judge_observation(name, accuracy, prepared, observation)
    output = observation.output
    problems = [array_problem(case, output)]
    wrong_dtype = problems[0] is not None and problems[0].requirement == "RESULT-4"
    if wrong_dtype and np.can_cast(numpy_dtype(case.dtype), output.dtype):
        output = output.astype(numpy_dtype(case.dtype))  # the values are judged in spite of it
    if problems[0] is None or output is not observation.output:
        with np.errstate(all="ignore"):
            problems.append(large.verifier.check(output, accuracy))
    verdicts = side_effects(name, case, observation)
    verdicts += [
        Verdict(name, case, VIOLATES, problem.requirement, problem.message, at=problem.at)
        for problem in problems
        if problem is not None
    ]
    verdict = together(verdicts) if verdicts else Verdict(name, case, CONFORMS)
    return verdict, observation.output


def judge_any(implementation: Implementation, case: Case) -> Verdict:
    """Judge a case of any size: by its full reference, unless it is large."""
    if is_large(case):
        return judge_large(implementation, Large.of(case))[0]
    return judge_prepared(implementation, Prepared.of(case))[0]
