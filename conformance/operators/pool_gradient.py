"""The gradients of pooling: every window adds its gradient to positions that it read."""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from conformance.case import Case
from conformance.operators.base import (
    Array,
    Inputs,
    Reference,
    numbered,
    rounded,
    with_padding_slot,
)
from conformance.operators.exact import SMALLEST_EXPONENT, sums_of_elements
from conformance.operators.geometry import Taps
from conformance.operators.gradient import PARAMETERS, Gradient
from conformance.operators.pool import AvgPool, MaxPool

_DEEPEST = 49
"""The binary logarithm of the largest sum of the whole numbers that slices are multiplied by. If it
is larger (a window of 16 x 16 x 16 with padding may have so many different divisors), the result
is computed in float64, and its error is added to the bound."""


def added_at(case: Case, taps: Taps, values: Array) -> Array:
    """Add up ``values`` (*lead, P, K) at their taps, but for taps of -1: (*lead, *S)."""
    lead, length = values.shape[:-2], math.prod(case.x[2:])
    rows = math.prod(lead)
    shift = np.arange(rows)[:, None] * (length + 1)
    where = np.where(taps < 0, length, taps).reshape(-1) + shift
    sums = np.bincount(where.reshape(-1), values.reshape(-1), rows * (length + 1))
    return sums.astype(np.float64).reshape(rows, length + 1)[:, :length].reshape(*lead, *case.x[2:])


class AvgPoolGrad(Gradient):
    """Every window adds grad / divisor to each real position that it read."""

    name = "avg_pool_grad"
    rows = (0, 1)
    requirements = numbered("GRAD", value=5, **PARAMETERS, ceil_mode=12, count_include_pad=13)
    forward: AvgPool = AvgPool()

    def reference(self, case: Case, inputs: Inputs) -> Reference:
        grad = inputs[0]
        divisor = self.forward.divisor(case).reshape(-1)  # (P,)
        taps = self.forward.taps(case)
        shares = np.where(taps >= 0, divisor[:, None], 0).astype(np.int64)
        rounds = np.frexp(divisor)[0][:, None] != 0.5
        # A separable average rounds twice an axis, for a reciprocal and for the product with it.
        return scatter_quotients(case, grad, shares, taps, rounds, 2 * case.dims - 1)

    def squares(self, case: Case, inputs: Inputs) -> Array:
        grad, taps = inputs[0].astype(np.float64), self.forward.taps(case)
        shares = (grad / self.forward.divisor(case)).reshape(*case.x[:2], -1, 1) ** 2
        return added_at(case, taps, np.broadcast_to(shares, (*shares.shape[:3], taps.shape[1])))


class MaxPoolGrad(Gradient):
    """Every window adds its gradient to the position of its maximum (SPEC.md, GRAD-4, GRAD-14)."""

    name = "max_pool_grad"
    requirements = numbered("GRAD", value=4, **PARAMETERS, dilation=9, ceil_mode=12)
    compared = 1
    forward: MaxPool = MaxPool()

    def hits(self, case: Case, x: Array) -> Array:
        """Return which real elements of each window are its maximum, (N, C, P, K)."""
        taps = self.forward.taps(case)
        windows = with_padding_slot(x, -np.inf)[..., taps]
        hits: Array = (windows == windows.max(axis=3, keepdims=True)) & (taps >= 0)
        return hits

    def first(self, case: Case, x: Array) -> Array:
        """Return which real element of each window is its first maximum, (N, C, P, K)."""
        hits = self.hits(case, x)
        first: Array = hits & (np.cumsum(hits, axis=3) == 1)
        return first

    def reference(self, case: Case, inputs: Inputs) -> Reference:
        """Return the gradient if the first maximum gets it, which is the default of ``tie``."""
        grad, x = inputs
        first = self.first(case, x)
        return scatter_quotients(case, grad, first * 1, self.forward.taps(case), None, 0)

    def squares(self, case: Case, inputs: Inputs) -> Array:
        grad, x = inputs
        squares = grad.astype(np.float64).reshape(*grad.shape[:2], -1, 1) ** 2
        return added_at(case, self.forward.taps(case), squares * self.first(case, x))

    def split(self, case: Case, inputs: Inputs) -> Reference:
        """Return the gradient if tied maxima get equal shares of it."""
        grad, x = inputs
        hits = self.hits(case, x)
        ties = hits.sum(axis=3, keepdims=True)
        taps, extra_roundings = self.forward.taps(case), 2 * case.dims - 1  # as for avg_pool_grad
        return scatter_quotients(case, grad, hits * ties, taps, ties > 1, extra_roundings)

    def each(self, case: Case, inputs: Inputs) -> Reference:
        """Return the gradient if each tied maximum gets all of it, which no convention allows."""
        grad, x = inputs
        shares = self.hits(case, x) * 1
        return scatter_quotients(case, grad, shares, self.forward.taps(case), None, 0)

    def tied(self, case: Case, x: Array) -> Array:
        """Return which elements of x are one of several maxima of some window, (N, C, *S)."""
        hits = self.hits(case, x)
        several = hits & (hits.sum(axis=3, keepdims=True) > 1)
        tied: Array = added_at(case, self.forward.taps(case), several.astype(np.float64)) > 0
        return tied


def scatter_quotients(
    case: Case, grad: Array, shares: Array, taps: Array, rounds: Array | None, extra_roundings: int
) -> Reference:
    """Return the reference in which position taps[p, k] gets grad[n, c, p] / shares[n, c, p, k].

    ``shares`` are whole numbers, 0 for positions that get nothing. ``rounds`` says which quotients
    may round (None: none). Both broadcast to (N, C, P, K). An element has ``extra_roundings``
    besides those of its sum.
    """
    added, k = partial(added_at, case, taps), taps.shape[1]
    flat = grad.reshape(*grad.shape[:2], len(taps), 1).astype(np.float64)
    gets = shares > 0
    count = added(gets.astype(np.float64))
    count = np.where(count > 0, count + extra_roundings, 0)
    weight = np.divide(1.0, shares, out=np.zeros(shares.shape), where=gets)
    magnitude = added(np.abs(flat) * weight) * (1 + (k + 4) * 2.0**-52)
    magnitude += (magnitude > 0) * k * 2.0**SMALLEST_EXPONENT
    single_valued = True if rounds is None else added((gets & rounds).astype(np.float64)) == 0
    multiple = math.lcm(*np.unique(shares[gets]).tolist())
    if math.log2(k * multiple) > _DEEPEST:
        error = magnitude * (k + 4) * 2.0**-52
        return Reference(added(flat * weight), None, magnitude, count, error, single_valued=False)
    factor = np.where(gets, multiple // np.maximum(shares, 1), 0).astype(np.float64)
    terms = sums_of_elements(lambda part: added(part * factor), flat, k * multiple)
    return rounded(case, terms, magnitude, count, np.array(float(multiple)), single_valued)
