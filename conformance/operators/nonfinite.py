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


def special_of_sum(add: Callable[[Array], Array], array: Array) -> Special:
    """Return the special elements of sums of the elements of ``array`` with positive weights.

    ``add`` returns the sums of such an array of zeros and ones, or of their squares.
    """
    masks = np.isnan(array), array == np.inf, array == -np.inf
    return Special(*(add(mask.astype(np.float32)) > 0 for mask in masks))


def special_of_products(multiply: Callable[[Array, Array], Array], a: Array, b: Array) -> Special:
    """Return the special elements of sums of products of ``a`` and ``b``.

    ``b`` has the place of padding last (`with_padding_slot`). ``multiply`` returns the sums of such
    arrays of zeros and ones, which have one more axis before all others.
    """
    (a_nan, a_wild, a_most, a_least), (b_nan, b_wild, b_most, b_least) = (
        [find(array) for find in (np.isnan, np.isinf, np.isposinf, np.isneginf)] for array in (a, b)
    )
    every_a, every_b = np.ones(a.shape, bool), np.ones(b.shape, bool)
    nan = (a_nan, every_b), (every_a, b_nan), (a_wild, b == 0), (a == 0, b_wild)
    # A product is infinite where one factor is and the other is neither zero nor NaN.
    positive = (a > 0, b_most), (a < 0, b_least), (a_most, b > 0), (a_least, b < 0)
    negative = (a > 0, b_least), (a < 0, b_most), (a_least, b > 0), (a_most, b < 0)
    padded = (a_nan | a_wild, every_b)
    pairs = (*nan, *positive, *negative, padded)
    left, right = (np.stack(masks).astype(np.float32) for masks in zip(*pairs, strict=True))
    right[:-1, ..., -1] = 0
    right[-1, ..., :-1] = 0
    meets = multiply(left, right) > 0
    parts = np.split(meets, np.cumsum([len(nan), len(positive), len(negative)]))
    return Special(*[np.asarray(part.any(axis=0)) for part in parts])
