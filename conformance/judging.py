"""The judge: an observation and a reference in, a verdict out.

The bound (Higham, *Accuracy and Stability of Numerical Algorithms*, 2nd ed., ch. 3): for an
output that sums n products, a bias counted as one, in an accumulator of unit roundoff u, stored
with unit roundoff v,

    |got - exact| <= (1 + v) * gamma(n, u) * sum |x||w| + v * |exact| + n * tiny

with gamma(n, u) = n*u / (1 - n*u) and tiny the smallest subnormal number. Each product passes
through at most n roundings, so that this holds for every order of summation, every blocking and
every fused multiply-add; adding an exact zero rounds nothing, so that n counts real taps only.
A multiplier that first rounds its inputs to a format of unit roundoff m has sum |x||w| grow by
(1 + m)**2. A result that breaks the bound cannot come from correct arithmetic of that precision.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from conformance.calling import Array, Inputs, Observation, observe
from conformance.case import Case, validate
from conformance.data import make_inputs, sums_are_exact
from conformance.dtypes import DEFAULT_ACCUMULATOR, FORMATS, numpy_dtype
from conformance.operators import OPERATORS
from conformance.operators.base import Reference
from conformance.registry import Implementation, find
from conformance.requirements import PARAMETER_REQUIREMENTS

if TYPE_CHECKING:
    from collections.abc import Callable

CONFORMS, VIOLATES, UNSUPPORTED, CRASHED = "conforms", "violates", "unsupported", "crashed"


@dataclass(frozen=True, slots=True)
class Accuracy:
    """What an implementation declares about its rounding errors."""

    accumulate: str | None = None
    multiply: str | None = None
    amplification: float | None = None
    """None for componentwise; else the factor of the normwise bound."""

    @classmethod
    def of(cls, implementation: Implementation) -> Accuracy:
        """Return what ``implementation`` declares."""
        normwise = implementation.error == "normwise"
        return cls(
            implementation.accumulate,
            implementation.multiply,
            implementation.amplification if normwise else None,
        )


@dataclass(slots=True)
class Prepared:
    """A case with its inputs and its reference: made once, judged everywhere."""

    case: Case
    inputs: Inputs
    reference: Reference
    _bounds: dict[Accuracy, tuple[Array, bool]] = field(default_factory=dict)

    @classmethod
    def of(cls, case: Case) -> Prepared:
        """Make the inputs and the reference of a valid case."""
        inputs = make_inputs(case)
        return cls(case, inputs, OPERATORS[case.operator].reference(case, inputs))

    def bound(self, accuracy: Accuracy) -> tuple[Array, bool]:
        """Return the allowed error, in the result's shape, and whether bits must be equal."""
        if accuracy not in self._bounds:
            self._bounds[accuracy] = _bound(self, accuracy)
        return self._bounds[accuracy]


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
    """Call and judge; return the verdict and, where it is comparable, the output (channels-first)."""
    case = prepared.case
    gap = implementation.gap(case)
    if gap is not None:
        return Verdict(implementation.name, case, UNSUPPORTED, None, gap), None
    function: Callable[..., Any] = implementation.functions[case.operator]
    seen = observe(function, prepared.inputs, case.parameters, implementation.layout)
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
    problem = _wrong_kind(case, output, prepared.reference)
    if problem is not None:
        return Verdict(name, case, VIOLATES, *problem, worst=math.inf), None
    arguments = OPERATORS[case.operator].arguments
    if seen.changed:
        text = f"the call changed its input {_names(arguments, seen.changed)}"
        return Verdict(name, case, VIOLATES, "PURE-1", text), output
    if seen.shared:
        text = f"the output shares memory with {_names(arguments, seen.shared)}"
        return Verdict(name, case, VIOLATES, "PURE-2", text), output
    if prepared.reference.magnitude is None:
        wrong = _compare_exactly(prepared, output)
        worst = 0.0 if wrong is None else math.inf
    else:
        wrong, worst = _compare(prepared, accuracy, output)
    if wrong is None:
        return Verdict(name, case, CONFORMS, worst=worst), output
    requirement, text = wrong
    return Verdict(name, case, VIOLATES, requirement, text, worst), output


def attribute(case: Case) -> str:
    """Return the requirement behind a wrong value in ``case``.

    A shrunk case keeps a parameter only while the violation needs it: where exactly one is left
    that is not its default, the violation is about that parameter.
    """
    defaults = Case(operator=case.operator, x=case.x, w=case.w, kernel=case.kernel)
    requirements = PARAMETER_REQUIREMENTS[case.operator]
    left = [
        name
        for name in (*OPERATORS[case.operator].parameters, "bias")
        if name != "kernel" and getattr(case, name) != getattr(defaults, name)
    ]
    if not left and len(set(case.window)) > 1:
        return requirements["kernel"]
    return requirements[left[0]] if len(left) == 1 else requirements["value"]


def _names(arguments: tuple[str, ...], positions: tuple[int, ...]) -> str:
    return " and ".join(arguments[position] for position in positions)


def _wrong_kind(case: Case, output: Any, reference: Reference) -> tuple[str, str] | None:
    """Return requirement and message where ``output`` is not even an array to compare."""
    if not isinstance(output, np.ndarray):
        kind = f"{type(output).__module__}.{type(output).__qualname__}"
        return "RESULT-5", f"returned a {kind} where a numpy.ndarray is due"
    dtype = numpy_dtype(case.dtype)
    if output.shape != reference.exact.shape:
        return "RESULT-3", f"returned shape {output.shape} where {reference.exact.shape} is due"
    if output.dtype != dtype:
        return "RESULT-4", f"returned dtype {output.dtype} where {dtype} is due"
    return None


def _bound(prepared: Prepared, accuracy: Accuracy) -> tuple[Array, bool]:
    case, reference = prepared.case, prepared.reference
    assert reference.magnitude is not None
    stored = FORMATS[case.dtype]
    accumulator = FORMATS[
        accuracy.accumulate or DEFAULT_ACCUMULATOR.get(case.dtype, case.dtype)
    ]
    v = stored.unit_roundoff
    if accuracy.amplification is None:
        terms, magnitude = np.asarray(reference.terms, np.float64), reference.magnitude
    else:  # an algorithm with a normwise bound works on whole windows and planes
        terms = np.asarray(OPERATORS[case.operator].terms(case), np.float64)
        magnitude = accuracy.amplification * OPERATORS[case.operator].norms(case, prepared.inputs)
        magnitude = np.maximum(magnitude, reference.magnitude)
    roundings = terms * accumulator.unit_roundoff
    # Beyond half of 1/u terms the bound says nothing (SPEC.md, RESULT-1): infinite, never passed on.
    gamma = np.where(roundings <= 0.5, roundings / np.maximum(1 - roundings, 0.5), np.inf)
    growth = (1 + gamma) * (1 + FORMATS[accuracy.multiply].unit_roundoff) ** 2 - 1 if (
        accuracy.multiply
    ) else gamma
    allowed = (
        (1 + v) * growth * magnitude
        + v * np.abs(reference.exact)
        + terms * max(stored.smallest_subnormal, accumulator.smallest_subnormal)
        + reference.error
    )
    bits = (
        accuracy.amplification is None
        and accuracy.multiply is None
        and sums_are_exact(case, reference.magnitude, accuracy.accumulate)
    )
    return allowed, bits


def _compare(
    prepared: Prepared, accuracy: Accuracy, output: Array
) -> tuple[tuple[str, str] | None, float]:
    """Compare with the exact result; return what is wrong, and the worst share of the bound."""
    reference = prepared.reference
    allowed, bits = prepared.bound(accuracy)
    got = output.astype(np.float64)
    with np.errstate(all="ignore"):
        off = got - reference.exact
        if reference.residual is not None:
            off -= reference.residual
        share = np.abs(off) / np.maximum(allowed, 5e-324)
    worst = float(share.max()) if share.size else 0.0
    if bits:
        wrong = off != 0
        if reference.exact_mask is not True:
            wrong = np.where(reference.exact_mask, wrong, ~(share <= 1))
        if wrong.any():
            return ("RESULT-2", _describe(prepared, wrong, got, share, allowed, bits)), worst
    elif not worst <= 1:  # also where it is NaN
        wrong = ~(share <= 1)
        text = _describe(prepared, wrong, got, share, allowed, bits)
        return ("RESULT-1", text), math.inf if math.isnan(worst) else worst
    return None, worst


def _compare_exactly(prepared: Prepared, output: Array) -> tuple[str, str] | None:
    """Compare a result that involves no arithmetic: bit for bit, a NaN being any NaN."""
    exact = prepared.reference.exact
    if output.tobytes() == exact.tobytes():
        return None
    same = (output == exact) & (np.signbit(output) == np.signbit(exact))
    wrong = ~(same | (np.isnan(output) & np.isnan(exact)))
    if not wrong.any():
        return None
    share = np.where(wrong, np.inf, 0.0)
    text = _describe(prepared, wrong, output, share, np.zeros(exact.shape), bits=True)
    return "RESULT-2", text


def _describe(
    prepared: Prepared, wrong: Array, got: Array, share: Array, allowed: Array, bits: bool
) -> str:
    """Say how many elements differ, and where, by how much and against what the worst does."""
    exact = prepared.reference.exact
    off = np.abs(got.astype(np.float64) - exact.astype(np.float64))
    ranked = np.where(wrong, np.where(np.isnan(off), np.inf, off), -1.0)
    at = np.unravel_index(int(np.argmax(np.where(wrong, share, -1.0))), exact.shape)
    if bits or not np.isfinite(share[at]):
        at = np.unravel_index(int(np.argmax(ranked)), exact.shape)
    index = ", ".join(str(int(i)) for i in at)
    count = int(np.count_nonzero(wrong))
    digits = {"float64": 17, "float32": 9}.get(prepared.case.dtype, 6)
    text = (
        f"{count} of {exact.size} elements differ; worst at [{index}]: got "
        f"{float(got[at]):.{digits}g}, exact {float(exact[at]):.17g}, "
    )
    if bits:
        return text + "allowed: no difference (every order of summation is exact here)"
    return text + (
        f"allowed +-{float(allowed[at]):.3g}; the error {float(off[at]):.3g} is "
        f"{float(share[at]):.3g} times the bound"
    )
