"""References for inputs that hold NaN or infinities, as IEEE 754 arithmetic makes them.

A sum of products is NaN if a product is NaN (NaN times anything, zero times infinity) or if
infinities of both signs meet. Otherwise it is infinite if a product is, and else finite. Most
operators find these elements (`Operator.special`) by applying themselves to masks of the inputs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from conformance.case import Case
from conformance.operators.base import Array, Inputs, Operator, Reference, Special


def reference(operator: Operator, case: Case, inputs: Inputs) -> Reference:
    """Return the reference of ``case``, some of whose inputs are not finite.

    Unspecified elements have an infinite error, except those that are NaN in any case.
    """
    special = operator.special(case, inputs)
    if special is None:
        return operator.reference(case, inputs)
    tame = tuple(
        np.where(np.isfinite(value), value, np.zeros((), value.dtype))
        if isinstance(value, np.ndarray) and position != operator.compared
        else value
        for position, value in enumerate(inputs)
    )
    finite = operator.reference(case, tame)
    exact = np.where(special.positive, np.inf, finite.exact)
    exact = np.where(special.negative, -np.inf, exact)
    exact = np.where(special.nan | (special.positive & special.negative), np.nan, exact)
    wild = ~np.isfinite(exact)
    assert finite.magnitude is not None
    error = np.where(wild, 0.0, finite.error)
    return replace(
        finite,
        exact=exact,
        residual=None if finite.residual is None else np.where(wild, 0.0, finite.residual),
        magnitude=np.where(wild, 0.0, finite.magnitude),
        error=np.where(special.unspecified & ~np.isnan(exact), np.inf, error),
    )


def special_of_sum(operator: Operator, case: Case, inputs: Inputs) -> Special:
    """Return the special elements of sums of the first argument with positive weights.

    On a mask such a sum is positive if an element of the mask's kind is added.
    """
    first, *others = inputs
    plain = case.replace(dtype="float32", data="integers")
    nan, positive, negative = (
        operator.reference(plain, (mask.astype(np.float32), *others)).exact > 0
        for mask in (np.isnan(first), first == np.inf, first == -np.inf)
    )
    return Special(nan, positive, negative)


def special_of_products(
    meets: Callable[[Array, Array], Array], a: Array, b: Array, unspecified: Array
) -> Special:
    """Return the special elements of sums of products of ``a`` and ``b``.

    ``meets`` returns where the product of an element in a mask of ``a`` and one in a mask of ``b``
    is added. ``unspecified`` is that of the result.
    """
    nan = meets(np.isnan(a), np.ones(b.shape, bool)) | meets(np.ones(a.shape, bool), np.isnan(b))
    nan |= meets(np.isinf(a), b == 0) | meets(a == 0, np.isinf(b))
    # A product is infinite where one factor is and the other is neither zero nor NaN.
    positive, negative = (
        meets(a > 0, b == infinity)
        | meets(a < 0, b == -infinity)
        | meets(a == infinity, b > 0)
        | meets(a == -infinity, b < 0)
        for infinity in (np.inf, -np.inf)
    )
    return Special(nan, positive, negative, unspecified)
