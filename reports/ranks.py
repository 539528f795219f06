"""A rank test: are the numbers of one sample larger than those of another, or is it chance?

No distribution is assumed, and an outlier counts as much as any other number. Source: H. B. Mann
and D. R. Whitney, On a Test of Whether One of Two Random Variables is Stochastically Larger than
the Other, 1947; the correction for ties and for continuity as in E. L. Lehmann, Nonparametrics,
1975, section 1.4.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from functools import cache

_EXACT = 400
"""Up to this product of the sizes of two samples without ties, the chances are counted."""


def chance(first: Sequence[float], second: Sequence[float]) -> float:
    """Return how likely samples of one distribution differ as much in rank, either way.

    It is 1 where one of them is empty.
    """
    n, m = len(first), len(second)
    if not n or not m:
        return 1.0
    counts = Counter((*first, *second))
    ranks, below = dict[float, float](), 0
    for value in sorted(counts):
        ranks[value] = below + (counts[value] + 1) / 2
        below += counts[value]
    larger = sum(ranks[value] for value in first) - n * (n + 1) / 2  # Mann and Whitney's U
    distance = abs(larger - n * m / 2)
    if n * m <= _EXACT and len(counts) == n + m:
        most = int(n * m / 2 - distance)
        share = sum(_ways(n, m, u) for u in range(most + 1)) / math.comb(n + m, n)
        return min(1.0, 2 * share)
    ties = sum(count**3 - count for count in counts.values()) / ((n + m) * (n + m - 1))
    variance = n * m / 12 * (n + m + 1 - ties)
    if variance <= 0:  # all numbers are equal
        return 1.0
    return math.erfc(max(0.0, distance - 0.5) / math.sqrt(2 * variance))


@cache
def _ways(n: int, m: int, u: int) -> int:
    """Return in how many orders of n and m numbers exactly u pairs have the first one larger."""
    if u < 0 or u > n * m:
        return 0
    if n == 0 or m == 0:
        return 1
    return _ways(n - 1, m, u - m) + _ways(n, m - 1, u)
