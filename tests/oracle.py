"""A second reference, written from DESIGN.md alone: literal loops over `fractions.Fraction`.

It shares nothing with `conformance.operators`, not even the arithmetic of shapes: what the two
agree on is not one mistake made twice. It is slow, and meant to be read. `oracle_gradients` has
the gradients.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

Index = tuple[int, ...]


@dataclass(frozen=True)
class Exact:
    """An exact result, element by element."""

    shape: Index
    values: dict[Index, Any]
    """Fractions, floats where they are not finite; for max_pool the set of what may come back."""
    magnitudes: dict[Index, Fraction]
    """The same sums with every factor replaced by its magnitude."""
    terms: dict[Index, int]
    """How many products of real taps were summed, the bias included."""


def compute(case: Any, inputs: tuple[Any, ...]) -> Exact:
    """Return the exact result of ``case`` (anything with a case's fields) for ``inputs``."""
    operators = {
        "conv": conv,
        "conv_transpose": conv_transpose,
        "max_pool": max_pool,
        "avg_pool": avg_pool,
    }
    return operators[case.operator](case, *inputs)


def conv(case: Any, x: Any, w: Any, bias: Any) -> Exact:
    """floor((S + before + after - dilation*(K-1) - 1) / stride) + 1 windows, not flipped."""
    batch, channels, *size = x.shape
    filters, per_group, *kernel = w.shape
    assert channels == per_group * case.groups
    out = [
        math.floor(
            Fraction(
                size[j] + sum(case.padding[j]) - case.dilation[j] * (kernel[j] - 1) - 1,
                case.stride[j],
            )
        )
        + 1
        for j in range(len(size))
    ]
    sums = _Sums((batch, filters, *out))
    for n, o, *p in _indices(sums.shape):
        group = o // (filters // case.groups)
        if bias is not None:
            sums.add((n, o, *p), _fraction(bias[o]))
        for c, *k in _indices((per_group, *kernel)):
            q = [
                p[j] * case.stride[j] + k[j] * case.dilation[j] - case.padding[j][0]
                for j in range(len(size))
            ]
            if all(0 <= q[j] < size[j] for j in range(len(size))):
                value = _fraction(x[(n, group * per_group + c, *q)])
                sums.add((n, o, *p), value * _fraction(w[(o, c, *k)]))
    return sums.exact()


def conv_transpose(case: Any, x: Any, w: Any, bias: Any) -> Exact:
    """The adjoint of conv in x: every input element adds its own multiple of the kernel."""
    batch, channels, *size = x.shape
    _, per_group, *kernel = w.shape
    out = [
        (size[j] - 1) * case.stride[j]
        - sum(case.padding[j])
        + case.dilation[j] * (kernel[j] - 1)
        + case.output_padding[j]
        + 1
        for j in range(len(size))
    ]
    sums = _Sums((batch, per_group * case.groups, *out))
    if bias is not None:
        for index in _indices(sums.shape):
            sums.add(index, _fraction(bias[index[1]]))
    for n, c, *q in _indices(x.shape):
        group = c // (channels // case.groups)
        for o, *k in _indices((per_group, *kernel)):
            p = [
                q[j] * case.stride[j] + k[j] * case.dilation[j] - case.padding[j][0]
                for j in range(len(size))
            ]
            if all(0 <= p[j] < out[j] for j in range(len(size))):
                product = _fraction(x[(n, c, *q)]) * _fraction(w[(c, o, *k)])
                sums.add((n, group * per_group + o, *p), product)
    return sums.exact()


def max_pool(case: Any, x: Any) -> Exact:
    """The largest element of each window; either zero where +0 and -0 tie; NaN wins."""
    shape = (*x.shape[:2], *_pool_shape(case, x.shape[2:]))
    values = {}
    for n, c, *p in _indices(shape):
        window = [float(x[(n, c, *q)]) for q in _window(case, p, x.shape[2:], case.dilation)]
        if any(map(math.isnan, window)):
            values[(n, c, *p)] = {"nan"}
        else:
            largest = max(window, default=-math.inf)
            values[(n, c, *p)] = {repr(v) for v in window if v == largest} or {"-inf"}
    return Exact(shape, values, {}, {})


def avg_pool(case: Any, x: Any) -> Exact:
    """The sum of each window over the number of its positions that count."""
    size = x.shape[2:]
    ones = (1,) * len(size)
    sums = _Sums((*x.shape[:2], *_pool_shape(case, size)))
    for n, c, *p in _indices(sums.shape):
        for q in _window(case, p, size, ones):
            sums.add((n, c, *p), _fraction(x[(n, c, *q)]) / _divisor(case, p, size))
    return sums.exact()


def _divisor(case: Any, p: Any, size: Index) -> int:
    """Return how many positions of a window of avg_pool count."""
    divisor = 0
    for k in _indices(case.kernel):
        q = [p[j] * case.stride[j] + k[j] - case.padding[j][0] for j in range(len(size))]
        reach = case.padding if case.count_include_pad else ((0, 0),) * len(size)
        divisor += all(-reach[j][0] <= q[j] < size[j] + reach[j][1] for j in range(len(q)))
    return divisor


class _Sums:
    """An array of sums that are added to, term by term."""

    def __init__(self, shape: Index) -> None:
        self.shape = shape
        self.values = dict.fromkeys(_indices(shape), Fraction(0))
        self.magnitudes = dict(self.values)
        self.terms = dict.fromkeys(self.values, 0)

    def add(self, index: Index, term: Fraction) -> None:
        self.values[index] += term
        self.magnitudes[index] += abs(term)
        self.terms[index] += 1

    def exact(self) -> Exact:
        return Exact(self.shape, self.values, self.magnitudes, self.terms)


def _indices(shape: Any) -> list[Index]:
    return list(itertools.product(*map(range, shape)))


def _fraction(value: Any) -> Any:
    """Return a number as a fraction; NaN and infinities as they are, for IEEE 754 to add up.

    Python multiplies and adds a fraction and a float as floats: 0 times infinity is NaN.
    """
    number = float(value)  # every dtype's numbers are float64 numbers
    return Fraction(number) if math.isfinite(number) else number


def _pool_shape(case: Any, size: Index) -> Index:
    """Count the windows: all that fit, and with ceil_mode those that begin before the end."""
    out = []
    for j in range(len(size)):
        before, after = case.padding[j]
        last = size[j] + before + after - case.dilation[j] * (case.kernel[j] - 1) - 1
        starts = [0]
        while starts[-1] + case.stride[j] <= last:
            starts.append(starts[-1] + case.stride[j])
        if case.ceil_mode and starts[-1] < last and starts[-1] + case.stride[j] < size[j] + before:
            starts.append(starts[-1] + case.stride[j])
        out.append(len(starts))
    return tuple(out)


def _window(case: Any, p: Any, size: Index, dilation: Index) -> list[Index]:
    """Return the input positions that a window reads, padding left out."""
    positions = []
    for k in _indices(case.kernel):
        q = tuple(
            p[j] * case.stride[j] + k[j] * dilation[j] - case.padding[j][0]
            for j in range(len(size))
        )
        if all(0 <= q[j] < size[j] for j in range(len(size))):
            positions.append(q)
    return positions


def nearest(value: Fraction) -> float:
    """Return the float64 nearest to ``value``, ties to even (Python rounds division correctly)."""
    return float(value)


def array(exact: Exact) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the values of a result that sums, each correctly rounded, as an array."""
    flat = [nearest(exact.values[index]) for index in _indices(exact.shape)]
    return np.array(flat, np.float64).reshape(exact.shape)
