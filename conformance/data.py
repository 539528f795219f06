"""Data recipes: how the arrays of a case are made from its seed.

Every recipe asks a question of its own:

``integers``  is every product there, once? Small non-zero integers for which each partial sum in
              each order is exact in the dtype, so that correct results agree bit for bit.
``impulse``   does each product land in the right place? The input is zero but for a few ones, so
              the output shows copies of the kernel.
``normal``    is the rounding error of an ordinary computation within its bound?
``wide``      and where magnitudes differ by many orders and sums cancel?
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from conformance.case import Case, Shape
from conformance.dtypes import DEFAULT_ACCUMULATOR, FORMATS, numpy_dtype
from conformance.operators import OPERATORS
from conformance.operators.base import Array, Inputs

_READABLE = 9
"""Largest magnitude of an integer, while the dtype's precision allows it."""


def make_inputs(case: Case) -> Inputs:
    """Return the positional arguments of ``case``: C-contiguous arrays, None for no bias.

    x is (N, C, *S), w as in the operator's signature, bias (O,). The arrays depend on nothing but
    the case; NumPy's ``Generator`` streams may change between NumPy releases.
    """
    rng = np.random.default_rng(case.seed)
    shapes: list[Shape | None] = [case.x]
    if OPERATORS[case.operator].has_weight:
        assert case.w is not None
        shapes += [case.w, (OPERATORS[case.operator].output_shape(case)[1],) if case.bias else None]
    make = _RECIPES[case.data]
    dtype = numpy_dtype(case.dtype)
    return tuple(
        None if shape is None else make(rng, case, shape, index).astype(dtype)
        for index, shape in enumerate(shapes)
    )


def _normal(rng: np.random.Generator, case: Case, shape: Shape, index: int) -> Array:
    return rng.standard_normal(shape)


def _integers(rng: np.random.Generator, case: Case, shape: Shape, index: int) -> Array:
    """Non-zero integers so small that n products of them add up to at most 2**p."""
    limit = 2 ** FORMATS[case.dtype].digits
    if case.operator == "max_pool":
        return _nonzero(rng, shape, min(99, limit))
    terms = OPERATORS[case.operator].terms(case)
    if case.operator == "avg_pool":
        return _nonzero(rng, shape, max(1, min(_READABLE, limit // terms)))
    largest = max(1, min(_READABLE, math.isqrt(limit // terms)))
    values = _nonzero(rng, shape, largest)
    if index == 1 and terms * largest**2 > limit:
        # Too many products even for ones: keep few enough of each filter's weights.
        values[rng.random(shape) > limit / (2 * terms)] = 0
    return values


def _impulse(rng: np.random.Generator, case: Case, shape: Shape, index: int) -> Array:
    """An input of zeros with one 1 a channel plane, and small integers as weights."""
    if index > 0:
        return _integers(rng, case, shape, index)
    planes, length = math.prod(shape[:2]), math.prod(shape[2:])
    x = np.zeros((planes, length))
    x[np.arange(planes), rng.integers(0, length, planes)] = 1
    return x.reshape(shape)


def _wide(rng: np.random.Generator, case: Case, shape: Shape, index: int) -> Array:
    """Log-uniform magnitudes, half of the elements cancelling (x) or repeating (w) a neighbour."""
    reach = {11: 3.0, 8: 8.0, 24: 12.0, 53: 24.0}[FORMATS[case.dtype].digits]
    values = np.exp2(rng.uniform(-reach, reach, shape)) * rng.choice((-1.0, 1.0), shape)
    flat = values.reshape(-1)
    repeat = np.flatnonzero(rng.random(flat[1::2].size) < 0.5)
    flat[2 * repeat + 1] = flat[2 * repeat] * (-1.0 if index == 0 else 1.0)
    return flat.reshape(shape)


def _nonzero(rng: np.random.Generator, shape: Shape, largest: int) -> Array:
    values = rng.integers(1, 2 * largest + 1, shape)
    return np.where(values > largest, largest - values, values).astype(np.float64)


_RECIPES: dict[str, Any] = {
    "integers": _integers,
    "impulse": _impulse,
    "normal": _normal,
    "wide": _wide,
}


def sums_are_exact(case: Case, magnitude: Array, accumulate: str | None) -> bool:
    """Whether every partial sum of ``case``, in every order, is exact in dtype and accumulator.

    True for whole-number data whose sum of magnitudes, (result's shape), is at most 2**p.
    """
    if case.data not in ("integers", "impulse"):
        return False
    accumulator = accumulate or DEFAULT_ACCUMULATOR.get(case.dtype, case.dtype)
    digits = min(FORMATS[case.dtype].digits, FORMATS[accumulator].digits)
    return magnitude.size == 0 or float(magnitude.max()) <= 2.0**digits * (1 + 2.0**-20)
