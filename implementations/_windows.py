"""Windows on arrays, for the course and the adapters: padding, divisors, dtypes to sum in."""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.implementations._arguments import Array, Padding, Shape, check_padding, native


def padded(x: Array, padding: Padding, fill: float, dtype: np.dtype[Any], first: int = 2) -> Array:
    """Return ``x`` in ``dtype`` with ``fill`` around the spatial axes, which start at ``first``.

    Never write to the result, which may be ``x`` itself. Raises ValueError for padding that is not
    a pair of numbers of 0 or more for each spatial axis.
    """
    if any(map(any, padding)):
        check_padding(x.ndim - 2, padding)
    return surrounded(x, padding, fill, dtype, first)


def surrounded(x: Array, padding: Padding, fill: float, dtype: np.dtype[Any], first: int) -> Array:
    """Do what `padded` does, for a ``padding`` that has been checked."""
    if not any(map(any, padding)):
        return x.astype(dtype, copy=False)
    shape, inside = list(x.shape), [slice(None)] * x.ndim
    for axis, (before, after) in enumerate(padding, first):
        inside[axis] = slice(before, before + shape[axis])
        shape[axis] += before + after
    result = np.empty(shape, dtype) if fill else np.zeros(shape, dtype)
    if fill:
        result.fill(fill)
    result[tuple(inside)] = x
    return result


def divisors(
    size: Shape, out: Shape, kernel: Shape, stride: Shape, padding: Padding, include: bool
) -> NDArray[np.int64]:
    """Return how many positions of each window avg_pool divides by, as (*out).

    They are those in the input or, with ``include``, in the padded input; those that ``ceil_mode``
    adds beyond the padding never count.
    """
    counts: list[NDArray[np.int64]] = []
    for s, o, k, step, (before, after) in zip(size, out, kernel, stride, padding, strict=True):
        start = np.arange(o, dtype=np.int64) * step - before  # (o,)
        end = np.minimum(start + k, s + after if include else s)  # (o,)
        counts.append(end - (start if include else np.maximum(start, 0)))
    return reduce(np.multiply.outer, counts)


def accumulator(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype to sum in: float32 for float16 and bfloat16, else ``dtype`` itself."""
    half = dtype.itemsize == 2 and dtype.kind in "fV"  # NumPy calls bfloat16's kind V
    return np.dtype(np.float32) if half else native(dtype)


def lowest(dtype: np.dtype[Any]) -> float:
    """Return max_pool's padding: -inf, or the smallest value of an integer dtype."""
    return int(np.iinfo(dtype).min) if dtype.kind in "iu" else -np.inf
