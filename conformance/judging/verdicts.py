"""The judge: an observation and a reference in, a verdict out."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from conformance.calling import Array, Observation, observe
from conformance.case import Case, validate
from conformance.cases.data import memory_ways
from conformance.judging.accuracy import Accuracy
from conformance.judging.comparing import compare, compare_exactly, tied, wrong_kind
from conformance.judging.prepared import Prepared
from conformance.operators import OPERATORS
from conformance.operators.pool_gradient import MaxPoolGrad
from conformance.registry import Implementation, find
from conformance.signatures import SIGNATURES

if TYPE_CHECKING:
    from collections.abc import Callable

CONFORMS, VIOLATES, UNSUPPORTED, CRASHED = "conforms", "violates", "unsupported", "crashed"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one implementation on one case."""

    implementation: str
    case: Case
    status: str
    """conforms, violates, unsupported or crashed."""
    requirement: str | None = None
    """The requirement that is violated."""
    message: str = ""
    worst: float = 0.0
    """The largest error as a fraction of the bound; 0 where the result involves no arithmetic."""
    history: str = ""
    """The name of the history of calls that shows it (`conformance.checks.histories`); empty where
    one call does."""

    @property
    def failed(self) -> bool:
        return self.status in (VIOLATES, CRASHED)

    def __str__(self) -> str:
        head = f"{self.implementation}: {self.status}"
        if self.requirement:
            head += f" {self.requirement}"
        return f"{head}: {self.message}" if self.message else head


def judge(implementation: object, case: Case | str) -> Verdict:
    """Return the verdict on one implementation (object, name or function) for one case (or id).

    Raises `ConformanceError` for an unknown implementation or an invalid case.
    """
    found = find(implementation)
    if isinstance(case, str):
        case = Case.parse(case)
    else:
        validate(case)
    return judge_prepared(found, Prepared.of(case))[0]


def judge_prepared(
    implementation: Implementation, prepared: Prepared
) -> tuple[Verdict, Array | None]:
    """Call and judge; return the verdict and, where one can be compared, the output.

    The output is channels-first, whatever the implementation's layout.
    """
    case = prepared.case
    gap = implementation.gap(case)
    if gap is not None:
        return Verdict(implementation.name, case, UNSUPPORTED, None, gap), None
    function: Callable[..., Any] = implementation.functions[case.operator]
    if case.invalid:
        return _judge_rejection(implementation, function, prepared), None
    layout, ways = implementation.layout, memory_ways(case)
    seen = observe(
        function,
        prepared.inputs,
        case.parameters,
        layout,
        ways,
        signature=SIGNATURES[case.operator],
    )
    if case.memory.startswith("byteswapped"):
        seen = _in_native_order(seen)
    return verdict(implementation.name, Accuracy.of(implementation), prepared, seen)


def verdict(
    name: str, accuracy: Accuracy, prepared: Prepared, seen: Observation
) -> tuple[Verdict, Array | None]:
    """Judge what was observed of one call."""
    case = prepared.case
    if seen.unsupported is not None:
        return Verdict(name, case, UNSUPPORTED, None, seen.unsupported), None
    if seen.raised is not None:
        text = f"raised on a valid case: {seen.raised}"
        return Verdict(name, case, CRASHED, "DECLARE-1", text), None
    output = seen.output
    problem = wrong_kind(case, output, prepared.reference)
    if problem is not None:
        return Verdict(name, case, VIOLATES, *problem, worst=math.inf), None
    arguments = OPERATORS[case.operator].arguments
    if seen.changed:
        text = f"the call changed its input {_names(arguments, seen.changed)}"
        return Verdict(name, case, VIOLATES, "PURE-1", text), output
    if seen.shared:
        text = f"the output shares memory with {_names(arguments, seen.shared)}"
        return Verdict(name, case, VIOLATES, "PURE-2", text), output
    operator = OPERATORS[case.operator]
    if accuracy.tie != "first" and isinstance(operator, MaxPoolGrad):
        prepared = tied(operator, prepared, accuracy, output)
    if prepared.reference.magnitude is None:
        wrong = compare_exactly(prepared, accuracy, output)
        worst = 0.0 if wrong is None else math.inf
    else:
        wrong, worst = compare(prepared, accuracy, output)
    if wrong is None:
        return Verdict(name, case, CONFORMS, worst=worst), output
    requirement, text = wrong
    return Verdict(name, case, VIOLATES, requirement, text, worst), output


def _judge_rejection(
    implementation: Implementation, function: Callable[..., Any], prepared: Prepared
) -> Verdict:
    """Judge an invalid call: it must raise, whatever it raises, and leave its inputs alone."""
    from conformance import rejection

    case, name = prepared.case, implementation.name
    mutation = rejection.MUTATIONS[case.invalid]
    inputs, parameters = rejection.apply(case, prepared.inputs, case.parameters)
    seen = observe(
        function,
        inputs,
        parameters,
        implementation.layout,
        signature=SIGNATURES[case.operator],
    )
    if seen.changed:
        text = f"a call that is invalid ({rejection.describe(case)}) changed its inputs"
        return Verdict(name, case, VIOLATES, "REJECT-2", text)
    if seen.raised is not None or seen.unsupported is not None:
        return Verdict(name, case, CONFORMS)
    if mutation.convention is not None:
        convention, alternative = mutation.convention
        if implementation.conventions.get(convention) == alternative:
            return Verdict(name, case, CONFORMS)
    shape = f"shape {output.shape}" if isinstance(output := seen.output, np.ndarray) else "that"
    what = rejection.describe(case)
    text = f"accepted what is invalid ({what}) and returned a {type(output).__name__} of {shape}"
    return Verdict(name, case, VIOLATES, mutation.requirement, text)


def _in_native_order(seen: Observation) -> Observation:
    """Allow for what byte-swapped inputs permit: to be declined, and a byte-swapped result."""
    if seen.raised is not None:
        return replace(seen, raised=None, unsupported=f"byte-swapped arrays: {seen.raised}")
    if isinstance(seen.output, np.ndarray) and not seen.output.dtype.isnative:
        return replace(seen, output=seen.output.astype(seen.output.dtype.newbyteorder("=")))
    return seen


def _names(arguments: tuple[str, ...], positions: tuple[int, ...]) -> str:
    return " and ".join(arguments[position] for position in positions)
