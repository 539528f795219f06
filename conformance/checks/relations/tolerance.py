"""How far two answers of one correct implementation may lie apart, without knowing the exact one.

The bound of RESULT-1 (`conformance.rounding`) needs sum |x||w|. This module bounds that sum for all
elements of an output at once: by the number of terms times the largest factors, or by the product
of norms (Cauchy and Schwarz). The result is wider, but it only matters where sums are not exact:
for averages, and for implementations that declare a normwise bound or a rounding multiplier.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from conformance.calling import Array
from conformance.case import Case
from conformance.checks.relations.claims import RelatedCall, widened
from conformance.dtypes import FORMATS, INTEGERS
from conformance.judging import Accuracy
from conformance.operators import OPERATORS
from conformance.operators.pool import AvgPool

_MORE_TERMS = 8
"""Added to the number of terms, for divisions and for the float64 arithmetic of the comparison."""


def error(call: RelatedCall, accuracy: Accuracy) -> float:
    """Return the largest error that any element of the output of ``call`` may have.

    It is 0 where every order of summation is exact, and infinity where nothing is promised.
    """
    case, operator = call.case, OPERATORS[call.case.operator]
    if case.dtype in INTEGERS or case.operator == "max_pool":
        return 0.0
    arithmetic = replace(accuracy.arithmetic(case.dtype), flush=True)
    accumulator, stored = arithmetic.accumulator, arithmetic.stored
    terms = operator.terms(case)
    magnitude = _magnitude(call, terms)
    exact_up_to = arithmetic.exact_up_to
    if accuracy.amplification is not None and operator.has_weight:
        magnitude = max(accuracy.amplification * _norm(call), magnitude)
    elif (
        accuracy.multiply is None
        and magnitude <= exact_up_to
        and _divides_exactly(case, accuracy, magnitude, exact_up_to)
    ):
        return 0.0
    if magnitude > 2.0 ** min(accumulator.max_exponent, stored.max_exponent - 1):
        return math.inf
    terms += _MORE_TERMS + 2 * case.dims
    if not arithmetic.is_bounded(terms):
        return math.inf
    return arithmetic.bound(terms, magnitude, magnitude)


def _magnitude(call: RelatedCall, terms: int) -> float:
    """Return a bound on sum |x||w| + |bias| of every element of the output."""
    case = call.case
    if not OPERATORS[case.operator].has_weight:
        first = call.inputs[0]
        if case.operator == "avg_pool":
            terms = 1  # the mean of magnitudes is at most the largest
        elif case.operator == "conv_bias_grad":
            terms = max(1, first.size // max(1, first.shape[1]))
        return terms * _peak(first)
    bias = call.arguments.get("bias")
    products = (terms - case.bias) * _peak(call.inputs[0]) * _peak(call.inputs[1])
    total = products + (0.0 if bias is None else _peak(bias))
    return total if total <= 2.0 ** FORMATS[case.dtype].digits else min(total, _norm(call))


def _norm(call: RelatedCall) -> float:
    """Return the largest product of norms that bounds sum |x||w|."""
    scale = OPERATORS[call.case.operator].norms(call.case, call.inputs)
    return float(np.max(scale, initial=0.0))


def _peak(array: Array) -> float:
    return float(np.abs(widened(array)).max(initial=0.0))


def _divides_exactly(case: Case, accuracy: Accuracy, magnitude: float, exact_up_to: float) -> bool:
    """Whether a pool's divisors, if it has any, leave exact sums exact."""
    if case.operator == "max_pool_grad":
        return accuracy.tie != "split"
    if case.operator == "avg_pool":
        halves = np.frexp(AvgPool().divisor(case))[0] == 0.5
        return bool(halves.all()) and magnitude * math.prod(case.window) <= exact_up_to
    return case.operator != "avg_pool_grad"
