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
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from conformance.calling import Array, Inputs, Observation, observe
from conformance.case import Case, validate
from conformance.data import make_inputs, memory_ways, sums_are_exact
from conformance.dtypes import DEFAULT_ACCUMULATOR, FORMATS, INTEGERS, Format, numpy_dtype
from conformance.operators import OPERATORS, nonfinite, ties
from conformance.operators.base import Reference
from conformance.operators.pool_gradient import MaxPoolGrad
from conformance.registry import Implementation, find
from conformance.requirements import PARAMETER_REQUIREMENTS
from conformance.signatures import SIGNATURES

if TYPE_CHECKING:
    from collections.abc import Callable

CONFORMS, VIOLATES, UNSUPPORTED, CRASHED = "conforms", "violates", "unsupported", "crashed"


@dataclass(frozen=True, slots=True)
class Accuracy:
    """What an implementation declares about its arithmetic: formats, error class, conventions."""

    accumulate: str | None = None
    multiply: str | None = None
    amplification: float | None = None
    """None for componentwise; else the factor of the normwise bound."""
    flush: bool = False
    """Whether subnormal numbers may count as zero (convention ``subnormal``)."""
    ignore_nan: bool = False
    """Whether max_pool passes over NaN (convention ``nan``)."""
    tie: str = "first"
    """Which of several maxima of a window gets its gradient (convention ``tie``)."""

    @classmethod
    def of(cls, implementation: Implementation) -> Accuracy:
        """Return what ``implementation`` declares."""
        normwise = implementation.error == "normwise"
        return cls(
            implementation.accumulate,
            implementation.multiply,
            implementation.amplification if normwise else None,
            implementation.conventions.get("subnormal") == "flush",
            implementation.conventions.get("nan") == "ignore",
            implementation.conventions.get("tie", "first"),
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
        with np.errstate(all="ignore"):  # an implementation may have turned warnings into errors
            inputs = make_inputs(case)
            if case.invalid:
                return cls(case, inputs, Reference(np.empty(0)))
            operator = OPERATORS[case.operator]
            if case.data in ("nan", "inf"):
                return cls(case, inputs, nonfinite.reference(operator, case, inputs))
            return cls(case, inputs, operator.reference(case, inputs))

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
    operator = OPERATORS[case.operator]
    if accuracy.tie != "first" and isinstance(operator, MaxPoolGrad):
        prepared = _tied(operator, prepared, accuracy, output)
    if prepared.reference.magnitude is None:
        wrong = _compare_exactly(prepared, accuracy, output)
        worst = 0.0 if wrong is None else math.inf
    else:
        wrong, worst = _compare(prepared, accuracy, output)
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


_LAYOUT_REQUIREMENTS = {
    "fortran": "LAYOUT-1",
    "strided": "LAYOUT-2",
    "offset": "LAYOUT-2",
    "reversed": "LAYOUT-3",
    "broadcast": "LAYOUT-4",
    "unaligned": "LAYOUT-5",
    "readonly": "LAYOUT-6",
    "byteswapped": "LAYOUT-7",
}
_SPECIAL_REQUIREMENTS = {
    "nan": "SPECIAL-1",
    "inf": "SPECIAL-3",
    "zeros": "SPECIAL-6",
    "subnormal": "SPECIAL-7",
    "huge": "SPECIAL-2",
}
_MAX_POOL_REQUIREMENTS = {"nan": "MAXPOOL-5", "inf": "MAXPOOL-11", "zeros": "MAXPOOL-10"}


def attribute(case: Case) -> str:
    """Return the requirement behind a wrong value in ``case``.

    A shrunk case keeps a parameter only while the violation needs it: where exactly one is left
    that is not its default, the violation is about that parameter.
    """
    defaults = Case(operator=case.operator, x=case.x, w=case.w, kernel=case.kernel)
    requirements = PARAMETER_REQUIREMENTS[case.operator]
    if case.memory != "contiguous":
        return _LAYOUT_REQUIREMENTS[case.memory.partition("-")[0]]
    if case.data in _SPECIAL_REQUIREMENTS:
        special = _MAX_POOL_REQUIREMENTS if case.operator == "max_pool" else {}
        return special.get(case.data, _SPECIAL_REQUIREMENTS[case.data])
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
    if type(output) is not np.ndarray:  # a subclass, such as a masked array, is not plain either
        kind = f"{type(output).__module__}.{type(output).__qualname__}"
        return "RESULT-5", f"returned a {kind} where a plain numpy.ndarray is due"
    if output.dtype.hasobject:
        return "RESULT-5", f"returned an array of dtype {output.dtype} where numbers are due"
    dtype = numpy_dtype(case.dtype)
    if output.shape != reference.exact.shape:
        return "RESULT-3", f"returned shape {output.shape} where {reference.exact.shape} is due"
    if output.dtype != dtype:
        return "RESULT-4", f"returned dtype {output.dtype} where {dtype} is due"
    return None


@np.errstate(all="ignore")
def _bound(prepared: Prepared, accuracy: Accuracy) -> tuple[Array, bool]:
    case, reference = prepared.case, prepared.reference
    operator = OPERATORS[case.operator]
    assert reference.magnitude is not None
    stored = FORMATS[case.dtype]
    accumulator = FORMATS[accuracy.accumulate or DEFAULT_ACCUMULATOR.get(case.dtype, case.dtype)]
    v = stored.unit_roundoff
    terms, magnitude = np.asarray(reference.terms, np.float64), reference.magnitude
    if accuracy.amplification is not None and operator.has_weight:
        # An algorithm with a normwise bound works on whole windows and planes.
        terms = np.asarray(operator.terms(case), np.float64)
        norms = accuracy.amplification * operator.norms(case, prepared.inputs)
        magnitude = np.maximum(norms, magnitude)
    tiny: Array | float = max(stored.smallest_subnormal, accumulator.smallest_subnormal)
    if accuracy.flush:
        tiny = max(stored.smallest_normal, accumulator.smallest_normal)
        if case.data == "subnormal":  # each product with a subnormal factor may be missing
            tiny = tiny + reference.magnitude / np.maximum(terms, 1)
    roundings = terms * accumulator.unit_roundoff
    gamma = roundings / (1 - roundings)
    growth = gamma
    if accuracy.multiply:
        growth = (1 + gamma) * (1 + FORMATS[accuracy.multiply].unit_roundoff) ** 2 - 1
    allowed = (
        (1 + v) * growth * magnitude + v * np.abs(reference.exact) + terms * tiny + reference.error
    ) * (1 + 2.0**-48)  # the bound's own arithmetic, rounded up
    # Not compared: more than half of 1/u terms, of which the bound says nothing (SPEC.md,
    # RESULT-1), what the declared formats cannot hold, and, under a normwise bound, what a NaN or
    # an infinity may spread to (SPECIAL-2) and data at the ends of the range (DECLARE-4).
    compared = (roundings <= 0.5) & (reference.magnitude <= 2.0**accumulator.max_exponent)
    compared &= np.isfinite(magnitude)
    if accuracy.amplification is not None and case.data in ("subnormal", "huge"):
        compared = np.zeros_like(compared)
    if accuracy.multiply:
        compared &= _are_normal(prepared.inputs[:2], FORMATS[accuracy.multiply])
    allowed = np.where(compared, allowed, np.inf)
    bits = (
        accuracy.amplification is None
        and accuracy.multiply is None
        and not (accuracy.flush and case.data == "subnormal")
        and sums_are_exact(case, reference.magnitude, accuracy.accumulate)
    )
    return allowed, bits


def _are_normal(inputs: Inputs, multiplier: Format) -> bool:
    """Whether all numbers that are multiplied, zeros apart, are normal ones of ``multiplier``."""
    for value in inputs:
        if isinstance(value, np.ndarray):
            size = np.abs(value.astype(np.float64))
            size = size[(size > 0) & np.isfinite(size)]
            least, most = multiplier.smallest_normal, 2.0**multiplier.max_exponent
            if size.size and not (least <= size.min() and size.max() <= most):
                return False
    return True


@np.errstate(all="ignore")
def _compare(
    prepared: Prepared, accuracy: Accuracy, output: Array
) -> tuple[tuple[str, str] | None, float]:
    """Compare with the exact result; return what is wrong, and the worst share of the bound."""
    reference = prepared.reference
    allowed, bits = prepared.bound(accuracy)
    got = output.astype(np.float64)
    off = np.abs(got - reference.exact)
    if reference.residual is not None:
        off = np.abs(got - reference.exact - reference.residual)
    share = np.where(np.isinf(allowed), 0.0, off / np.maximum(allowed, 5e-324))
    share[np.isnan(share)] = np.inf  # NaN and infinity are beyond every bound
    special = ~np.isfinite(reference.exact) & np.isfinite(reference.error)
    if special.any():
        equal = (got == reference.exact) | (np.isnan(got) & np.isnan(reference.exact))
        if accuracy.amplification is not None:  # transforms mix infinities: NaN may come of them
            equal |= ~np.isfinite(got)
        share = np.where(special, np.where(equal, 0.0, np.inf), share)
    worst = float(share.max()) if share.size else 0.0
    exactly = np.broadcast_to(bits & np.asarray(reference.exact_mask), share.shape)
    unequal = exactly & (off != 0)
    if unequal.any():
        at = _worst(unequal, off)
        allows = "allowed: no difference (every order of summation is exact here)"
        cited = "GRAD-14" if _misplaced(prepared, unequal, got, off) else "RESULT-2"
        return (cited, _describe(prepared, unequal, got, at, allows)), worst
    wrong = share > 1
    if not wrong.any():
        return None, worst
    at = _worst(wrong, share)
    allows = f"allowed +-{float(allowed[at]):.3g}"
    if np.isfinite(got[at]):
        allows += f"; the error {float(off[at]):.3g} is {float(share[at]):.4g} times the bound"
    cited = "GRAD-14" if _misplaced(prepared, wrong, got, off) else "RESULT-1"
    return (cited, _describe(prepared, wrong, got, at, allows)), worst


def _tied(operator: MaxPoolGrad, prepared: Prepared, accuracy: Accuracy, output: Array) -> Prepared:
    """Return ``prepared`` with the reference that the declared convention ``tie`` asks for."""
    case, inputs = prepared.case, prepared.inputs
    if accuracy.tie == "split":
        made = operator.split(case, inputs)
    else:
        first, accumulate = prepared.reference, accuracy.accumulate
        made = ties.chosen(operator, case, inputs, output, first, accumulate)
    return replace(prepared, reference=made, _bounds={})


def _misplaced(prepared: Prepared, wrong: Array, got: Array, off: Array) -> bool:
    """Whether all that is wrong is which of several maxima got a gradient, not a rounding error."""
    operator = OPERATORS[prepared.case.operator]
    if not isinstance(operator, MaxPoolGrad):
        return False
    tied = operator.tied(prepared.case, prepared.inputs[1])
    assert prepared.reference.magnitude is not None
    large = off > (prepared.reference.magnitude + np.abs(got)) / 8
    return bool(not (wrong & ~tied).any() and (wrong & large).any())


@np.errstate(all="ignore")
def _compare_exactly(
    prepared: Prepared, accuracy: Accuracy, output: Array
) -> tuple[str, str] | None:
    """Compare a result that involves no arithmetic: bit for bit, a NaN being any NaN.

    Where zeros of both signs are the largest element of a window, either one may come back.
    """
    case, reference = prepared.case, prepared.reference
    exact = reference.exact
    skips_nan = accuracy.ignore_nan and case.data == "nan"
    if output.tobytes() == exact.tobytes() and not skips_nan:
        return None
    if case.dtype in INTEGERS:
        return _compare_integers(prepared, output)
    same = np.signbit(output) == np.signbit(exact)
    same = (output == exact) & (same | ~np.asarray(reference.exact_mask))
    wrong = ~(same | (np.isnan(output) & np.isnan(exact)))
    if skips_nan:
        (x,) = prepared.inputs
        tame = OPERATORS[case.operator].reference(case, (np.where(np.isnan(x), -np.inf, x),)).exact
        wrong = (output != tame) & ~(np.isnan(output) & (tame == -np.inf))
        exact = tame
    if accuracy.flush and case.data == "subnormal":
        wrong &= np.abs(output - exact) >= FORMATS[case.dtype].smallest_normal
    if not wrong.any():
        return None
    got = output.astype(np.float64)
    at = _worst(wrong, np.abs(got - exact.astype(np.float64)))
    allows = "allowed: no difference (the result is an element of its window)"
    return "MAXPOOL-4", _describe(prepared, wrong, got, at, allows)


def _compare_integers(prepared: Prepared, output: Array) -> tuple[str, str] | None:
    exact = prepared.reference.exact
    wrong = output != exact
    if not wrong.any():
        return None
    at = _worst(wrong, np.abs(output.astype(np.float64) - exact.astype(np.float64)))
    requirement = "INTEGER-2" if prepared.case.operator == "max_pool" else "INTEGER-1"
    return requirement, _describe(prepared, wrong, output, at, "allowed: no difference")


def _worst(wrong: Array, size: Array) -> tuple[Any, ...]:
    """Return the index of the largest ``size`` among the wrong elements, NaN above all."""
    ranked = np.where(wrong, np.where(np.isnan(size), np.inf, size), -1.0)
    return np.unravel_index(int(np.argmax(ranked)), ranked.shape)


def _describe(
    prepared: Prepared, wrong: Array, got: Array, at: tuple[Any, ...], allows: str
) -> str:
    """Say how many elements differ, and where, by how much and against what the worst does."""
    index = ", ".join(str(int(i)) for i in at)
    exact = prepared.reference.exact
    digits = {"float64": 17, "float32": 9}.get(prepared.case.dtype, 6)
    if prepared.case.dtype in INTEGERS:
        values = str(got[at]), str(exact[at])
    else:
        values = f"{float(got[at]):.{digits}g}", f"{float(exact[at]):.17g}"
    return (
        f"{np.count_nonzero(wrong)} of {wrong.size} elements differ; worst at [{index}]: got "
        f"{values[0]}, exact {values[1]}, {allows}"
    )
