"""References for inputs that hold NaN or infinities, as IEEE 754 arithmetic makes them.

A sum of products is NaN where a product is (NaN times anything, zero times infinity) or where
infinities of both signs meet; else infinite where a product is; else what the finite products
alone give. Which products are special is counted with the same taps as the sum itself.

Each gradient is linear in ``grad``, and in the other array that it multiplies, if any. So where a
product of two kinds of numbers is added shows in the exact gradient of two masks, ones where the
numbers are of those kinds and zeros elsewhere: it is above zero there.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np

from conformance.case import Case
from conformance.operators.base import Array, Inputs, Operator, Reference, with_missing
from conformance.operators.conv import ConvTranspose, _Convolution
from conformance.operators.gradient import ConvInputGrad, ConvWeightGrad
from conformance.operators.pool import AvgPool
from conformance.operators.pool_gradient import MaxPoolGrad

Kinds: TypeAlias = tuple[tuple[Array, Array, Array], Array]
"""Where the result is NaN, +inf and -inf, and where it is unspecified."""


def reference(operator: Operator, case: Case, inputs: Inputs) -> Reference:
    """Return the reference of ``case``, some of whose inputs are not finite.

    Elements in which padding meets a weight (in conv_weight_grad: a grad) that is not finite are
    unspecified, but for those that are NaN already: their error is infinite. An operator without
    arithmetic (max_pool) is its own reference.
    """
    if isinstance(operator, ConvInputGrad):  # a transposed convolution of grad
        grad, w, _ = inputs
        return reference(ConvTranspose(), operator.transposed(case), (grad, w, None))
    if isinstance(operator, _Convolution):
        kinds, unspecified = _convolution(operator, case, inputs)
    elif isinstance(operator, AvgPool):
        kinds, unspecified = _average(operator, case, inputs)
    elif isinstance(operator, ConvWeightGrad):
        kinds, unspecified = _weight_gradient(operator, case, inputs)
    elif operator.name.endswith("_grad"):
        kinds, unspecified = _summing_gradient(operator, case, inputs)
    else:
        return operator.reference(case, inputs)
    kept = 1 if isinstance(operator, MaxPoolGrad) else None  # its x tells where gradients go
    tame = tuple(
        np.where(np.isfinite(value), value, np.zeros((), value.dtype))
        if isinstance(value, np.ndarray) and place != kept
        else value
        for place, value in enumerate(inputs)
    )
    finite = operator.reference(case, tame)
    nan, positive, negative = kinds
    exact = np.where(positive, np.inf, finite.exact)
    exact = np.where(negative, -np.inf, exact)
    exact = np.where(nan | (positive & negative), np.nan, exact)
    special = ~np.isfinite(exact)
    assert finite.magnitude is not None
    return replace(
        finite,
        exact=exact,
        residual=None if finite.residual is None else np.where(special, 0.0, finite.residual),
        magnitude=np.where(special, 0.0, finite.magnitude),
        error=np.where(
            unspecified & ~np.isnan(exact), np.inf, np.where(special, 0.0, finite.error)
        ),
    )


def _convolution(operator: _Convolution, case: Case, inputs: Inputs) -> Kinds:
    """Return the kinds of a convolution, whose padding may meet a weight that is not finite."""
    x, w, bias = inputs
    # Padding reads 2: a number that is neither zero nor special, and that nothing counts.
    flat = with_missing(x.astype(np.float64), 2.0)
    weight = operator.grouped(case, w).astype(np.float64)
    inside = np.ones_like(flat)
    inside[..., -1] = 0.0

    def meets(a: Array, b: Array) -> Array:
        """Return where a product of a weight of kind ``a`` and an input of kind ``b`` is added."""
        return operator.products(case, a.astype(np.float64), b * inside) > 0

    anything_w, anything_x = np.ones_like(weight), np.ones_like(flat)
    nan = meets(np.isnan(weight), anything_x) | meets(anything_w, np.isnan(flat))
    nan |= meets(np.isinf(weight), flat == 0) | meets(weight == 0, np.isinf(flat))
    # a product is infinite where one factor is and the other is neither zero nor NaN
    signs = {}
    for sign in (1, -1):
        signs[sign] = meets(weight > 0, flat == sign * np.inf)
        signs[sign] |= meets(weight < 0, flat == -sign * np.inf)
        signs[sign] |= meets(weight == sign * np.inf, flat > 0)
        signs[sign] |= meets(weight == -sign * np.inf, flat < 0)
    if bias is not None:
        column = bias.astype(np.float64).reshape(-1, *(1,) * case.dims)
        nan |= np.isnan(column)
        signs[1] |= column == np.inf
        signs[-1] |= column == -np.inf
    wild = (~np.isfinite(weight)).astype(np.float64)
    padded = operator.products(case, wild, anything_x) > operator.products(case, wild, inside)
    return (nan, signs[1], signs[-1]), padded


def _average(operator: AvgPool, case: Case, inputs: Inputs) -> Kinds:
    """Return the kinds of a mean."""
    (x,) = inputs
    windows = with_missing(x.astype(np.float64), 0.0)[..., operator.taps(case)]
    out = operator.output_shape(case)

    def met(mask: Array) -> Array:
        return mask.any(axis=3).reshape(out)

    kinds = met(np.isnan(windows)), met(windows == np.inf), met(windows == -np.inf)
    return kinds, np.zeros((), bool)


def _summing_gradient(operator: Operator, case: Case, inputs: Inputs) -> Kinds:
    """Return the kinds of a gradient that sums elements of ``grad`` with positive weights."""
    grad, *others = inputs
    plain = case.replace(dtype="float32", data="integers")

    def reached(mask: Array) -> Array:
        sums = operator.reference(plain, (mask.astype(np.float32), *others)).exact
        return np.asarray(sums > 0)

    kinds = reached(np.isnan(grad)), reached(grad == np.inf), reached(grad == -np.inf)
    return kinds, np.zeros((), bool)


def _weight_gradient(operator: ConvWeightGrad, case: Case, inputs: Inputs) -> Kinds:
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
