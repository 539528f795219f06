"""Arithmetic of other formats and orders, emulated: what the tests of the bound compute with.

Formats are emulated by rounding float64 after each operation, which is innocuous for formats of
25 digits or less (Figueroa, *When is double rounding innocuous?*, SIGNUM 1995).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from conformance.calling import Observation
from conformance.dtypes import numpy_dtype
from conformance.judging import Accuracy, Prepared, Verdict, judge_observation

Array = np.ndarray[Any, np.dtype[Any]]
Round = Callable[[Array], Array]
Order = Callable[[Array, Round], Array]

DTYPES = ("float32", "float64", "float16", "bfloat16")
ACCUMULATORS = {"float16": "float32", "bfloat16": "float32"}


def round_to(name: str) -> Round:
    """Return the function that rounds float64 numbers to the format called ``name``."""
    if name == "tf32":
        return tf32
    if name == "float64":
        return lambda a: a
    return lambda a: np.asarray(a).astype(numpy_dtype(name)).astype(np.float64)


def tf32(a: Array) -> Array:
    """Round float32 numbers to 10 fraction bits, ties to even, as a tensor core's input is."""
    bits = np.asarray(a, np.float32).view(np.uint32).astype(np.uint64)
    bits = (bits + 0xFFF + (bits >> 13 & 1)) & 0xFFFFE000
    return bits.astype(np.uint32).view(np.float32).astype(np.float64)


def judged(prepared: Prepared, output: Array, accuracy: Accuracy | None = None) -> Verdict:
    """Return the verdict on ``output``, rounded to the case's dtype and given its shape."""
    dtype, shape = numpy_dtype(prepared.case.dtype), prepared.reference.exact.shape
    seen = Observation(output=np.asarray(output).reshape(shape).astype(dtype))
    return judge_observation("emulated", accuracy or Accuracy(), prepared, seen)[0]


# --- orders of summation, over the last axis ------------------------------------------------------


def forward(p: Array, rounded: Round) -> Array:
    total = p[..., 0]
    for i in range(1, p.shape[-1]):
        total = rounded(total + p[..., i])
    return total


def backward(p: Array, rounded: Round) -> Array:
    return forward(p[..., ::-1], rounded)


def shuffled(p: Array, rounded: Round) -> Array:
    return forward(p[..., np.random.default_rng(7).permutation(p.shape[-1])], rounded)


def pairwise(p: Array, rounded: Round) -> Array:
    if p.shape[-1] == 1:
        return p[..., 0]
    half = p.shape[-1] // 2
    return rounded(pairwise(p[..., :half], rounded) + pairwise(p[..., half:], rounded))


def lanes(p: Array, rounded: Round) -> Array:
    """Eight partial sums, as in a vector register, added pairwise at the end."""
    return pairwise(np.stack([forward(p[..., i::8], rounded) for i in range(8)], -1), rounded)


def blocked(p: Array, rounded: Round) -> Array:
    """Blocks of five summed one by one, then their sums."""
    blocks = [forward(p[..., i : i + 5], rounded) for i in range(0, p.shape[-1], 5)]
    return forward(np.stack(blocks, -1), rounded)


def growing(p: Array, rounded: Round) -> Array:
    return forward(np.take_along_axis(p, np.argsort(np.abs(p), axis=-1), -1), rounded)


def shrinking(p: Array, rounded: Round) -> Array:
    return forward(np.take_along_axis(p, np.argsort(-np.abs(p), axis=-1), -1), rounded)


def signs_apart(p: Array, rounded: Round) -> Array:
    """All positive products, all negative ones, and their difference."""
    positive, negative = np.maximum(p, 0.0), np.minimum(p, 0.0)
    return rounded(forward(positive, rounded) + forward(negative, rounded))


def compensated(p: Array, rounded: Round) -> Array:
    """Kahan's summation (*Further remarks on reducing truncation errors*, CACM 1965)."""
    total, lost = p[..., 0], np.zeros(p.shape[:-1])
    for i in range(1, p.shape[-1]):
        term = rounded(p[..., i] - lost)
        new = rounded(total + term)
        lost = rounded(rounded(new - total) - term)
        total = new
    return total


ORDERS: dict[str, Order] = {
    order.__name__: order
    for order in (
        *(forward, backward, shuffled, pairwise, lanes, blocked),
        *(growing, shrinking, signs_apart, compensated),
    )
}
