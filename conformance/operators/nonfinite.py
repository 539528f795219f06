"""References for inputs that hold NaN or infinities, as IEEE 754 arithmetic makes them.

A sum of products is NaN where a product is (NaN times anything, zero times infinity) or where
infinities of both signs meet; else infinite where a product is; else what the finite products
alone give. Which products are special is counted with the same taps as the sum itself.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from conformance.case import Case
from conformance.operators.base import Array, Inputs, Operator, Reference, with_missing
from conformance.operators.conv import ConvTranspose, _Convolution
from conformance.operators.gradient import ConvInputGrad, ConvWeightGrad
from conformance.operators.nonfinite_gradients import multiplied, summed
from conformance.operators.pool import AvgPool
from conformance.operators.pool_gradient import MaxPoolGrad


def reference(operator: Operator, case: Case, inputs: Inputs) -> Reference:
    """Return the reference of ``case``, some of whose inputs are not finite.

    Elements in which padding meets a weight (in conv_weight_grad: a grad) that is not finite are
    unspecified, but for those that are NaN already: their error is infinite. An operator without
    arithmetic (max_pool) is its own reference.
    """
    unspecified: Array
    if isinstance(operator, ConvInputGrad):  # a transposed convolution of grad
        grad, w, _ = inputs
        return reference(ConvTranspose(), operator.transposed(case), (grad, w, None))
    if isinstance(operator, _Convolution):
        kinds, unspecified = _convolution(operator, case, inputs)
    elif isinstance(operator, AvgPool):
        kinds, unspecified = _average(operator, case, inputs), np.zeros((), bool)
    elif isinstance(operator, ConvWeightGrad):
        kinds, unspecified = multiplied(operator, case, inputs)
    elif operator.name.endswith("_grad"):
        kinds, unspecified = summed(operator, case, inputs)
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


def _convolution(operator: _Convolution, case: Case, inputs: Inputs) -> tuple[Any, Array]:
    """Return where the result is (NaN, +inf, -inf), and where it is unspecified."""
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


def _average(operator: AvgPool, case: Case, inputs: Inputs) -> Any:
    """Return where the mean is (NaN, +inf, -inf)."""
    (x,) = inputs
    windows = with_missing(x.astype(np.float64), 0.0)[..., operator.taps(case)]
    out = operator.output_shape(case)
    kinds = (np.isnan(windows), windows == np.inf, windows == -np.inf)
    return tuple(kind.any(axis=3).reshape(out) for kind in kinds)
