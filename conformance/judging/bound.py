"""The bound: how far a result may lie from the exact one, and when not at all.

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

import numpy as np

from conformance.calling import Array, Inputs
from conformance.case import Case
from conformance.cases.data import sums_are_exact
from conformance.dtypes import DEFAULT_ACCUMULATOR, FORMATS, Format
from conformance.judging.accuracy import Accuracy
from conformance.operators import OPERATORS
from conformance.operators.base import Reference


@np.errstate(all="ignore")
def bound(
    case: Case, inputs: Inputs, reference: Reference, accuracy: Accuracy
) -> tuple[Array, bool]:
    """Return the allowed error, in the result's shape, and whether bits must be equal."""
    operator = OPERATORS[case.operator]
    assert reference.magnitude is not None
    stored = FORMATS[case.dtype]
    accumulator = FORMATS[accuracy.accumulate or DEFAULT_ACCUMULATOR.get(case.dtype, case.dtype)]
    v = stored.unit_roundoff
    terms, magnitude = np.asarray(reference.terms, np.float64), reference.magnitude
    if accuracy.amplification is not None and operator.has_weight:
        # An algorithm with a normwise bound works on whole windows and planes.
        terms = np.asarray(operator.terms(case), np.float64)
        norms = accuracy.amplification * operator.norms(case, inputs)
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
        compared &= _are_normal(inputs[:2], FORMATS[accuracy.multiply])
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
