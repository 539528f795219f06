"""Medians and what is known of them: intervals from the order of the values, whatever their law."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

CONFIDENCE = 0.95


def interval(values: Sequence[float]) -> tuple[float, float] | None:
    """Return the 95 % confidence interval of the median, None where there are too few values.

    Of n independent values the k-th smallest and the k-th largest enclose the median of what they
    are drawn from unless fewer than k lie on one side: with a probability of 1 - 2 P(B < k), B
    binomial with n and 1/2 (David, Nagaraja, *Order Statistics*, section 7.1). Six are needed.
    """
    n = len(values)
    outside, k = 0.5**n, 0
    while 2 * outside <= 1 - CONFIDENCE and 2 * (k + 1) <= n:
        k += 1
        outside += math.comb(n, k) * 0.5**n
    if k == 0:
        return None
    ordered = sorted(values)
    return ordered[k - 1], ordered[n - k]


def half_width(values: Sequence[float]) -> float:
    """Return half of the interval's width as a share of the median; infinity if there is none."""
    found = interval(values)
    if found is None:
        return math.inf
    return (found[1] - found[0]) / 2 / float(np.median(values))
