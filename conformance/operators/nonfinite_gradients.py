"""Where the gradients of inputs that hold NaN or infinities are not finite.

Each gradient is linear in ``grad``, and in the other array that it multiplies, if any. So where a
product of two kinds of numbers is added shows in the exact gradient of two masks, ones where the
numbers are of those kinds and zeros elsewhere: it is above zero there.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from conformance.case import Case
from conformance.operators.base import Array, Inputs, Operator
from conformance.operators.gradient import ConvWeightGrad

Kinds: TypeAlias = tuple[tuple[Array, Array, Array], Array]
"""Where the result is NaN, +inf and -inf, and where it is unspecified."""


def summed(operator: Operator, case: Case, inputs: Inputs) -> Kinds:
    """Return the kinds of a gradient that sums elements of ``grad`` with positive weights."""
    grad, *others = inputs
    plain = case.replace(dtype="float32", data="integers")

    def reached(mask: Array) -> Array:
        made = operator.reference(plain, (mask.astype(np.float32), *others))
        return np.asarray(made.exact > 0)

    kinds = reached(np.isnan(grad)), reached(grad == np.inf), reached(grad == -np.inf)
    return kinds, np.zeros((), bool)


def multiplied(operator: ConvWeightGrad, case: Case, inputs: Inputs) -> Kinds:
    """Return the kinds of conv_weight_grad, whose padding may meet a ``grad`` that is not finite.

    Whether it is a factor of zero there, or none, is unspecified (SPEC.md, SPECIAL-5).
    """
    grad, x, shape = inputs
    plain = case.replace(dtype="float32", data="integers")

    def meets(a: Any, b: Any) -> Array:
        """Return where a product of a ``grad`` of kind ``a`` and an x of kind ``b`` is added."""
        masks = a.astype(np.float32), b.astype(np.float32)
        return operator.reference(plain, (*masks, shape)).exact

    every_grad, every_x = np.ones(grad.shape), np.ones(x.shape)
    nan = meets(np.isnan(grad), every_x) + meets(every_grad, np.isnan(x))
    nan = nan + meets(np.isinf(grad), x == 0) + meets(grad == 0, np.isinf(x))
    signs = [
        meets(grad > 0, x == sign * np.inf)
        + meets(grad < 0, x == -sign * np.inf)
        + meets(grad == sign * np.inf, x > 0)
        + meets(grad == -sign * np.inf, x < 0)
        for sign in (1, -1)
    ]
    wild = ~np.isfinite(grad)
    taps = wild.sum(axis=(0, *range(2, grad.ndim))).reshape(-1, *(1,) * (grad.ndim - 1))
    padded = taps > meets(wild, every_x)
    return (nan > 0, signs[0] > 0, signs[1] > 0), padded
