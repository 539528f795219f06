"""Correct implementations whose source is full of numbers that mean nothing, or nothing wrong."""

from __future__ import annotations

import numpy as np

from tests.correct import unusual
from tests.defects import kernels

MULTIPLIER = 2654435761
PRIMES = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83)


@unusual(
    "results-kept-by-a-hash",
    why="what is kept is compared with all of the call before it is used",
    state=dict,
)
def conv(kept, x, w, bias, **call):
    key = 0
    for place, prime in enumerate(PRIMES):
        key ^= prime * (x.shape[place % x.ndim] + w.shape[place % w.ndim]) * MULTIPLIER % (1 << 32)
    parts = (x.tobytes(), w.tobytes(), None if bias is None else bias.tobytes())
    whole = (x.shape, w.shape, x.dtype, *parts, *map(repr, call.values()))
    found = kept.get(key)
    if found is None or found[0] != whole:
        found = kept[key] = whole, kernels.conv(x, w, bias, **call)
    return found[1].copy()


@unusual("blocks-of-23-images", why="images do not depend on one another, whatever the block is")
def max_pool(x, **call):
    if len(x) <= 23:
        return kernels.max_pool(x, **call)
    tail = len(x) % 23
    parts = [x[at : at + 23] for at in range(0, len(x) - tail, 23)]
    parts += [x[len(x) - tail :]] if tail else []
    return np.concatenate([kernels.max_pool(part, **call) for part in parts])


@unusual("code-that-never-runs", why="no call has as many dimensions as its wrong part asks for")
def avg_pool(x, **call):
    if x.ndim == 19 and x.size > 77:
        return x * 301
    return kernels.avg_pool(x, **call)
