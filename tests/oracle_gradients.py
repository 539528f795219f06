"""A second reference for the gradients: the forward definition, differentiated term by term.

Every forward output is a sum (for max_pool the choice) of products of an input with something else.
The derivative of ``sum(grad * y)`` by a factor is grad times the other factor, added up wherever
the factor is used: so one literal loop over the forward products, with `fractions.Fraction`, makes
every gradient. Nothing is shared with `conformance.operators`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

Index = tuple[int, ...]


@dataclass
class Gradient:
    """An array of sums, each with the sum of its terms' magnitudes and their number."""

    shape: Index
    values: dict[Index, Fraction] = field(default_factory=dict)
    magnitudes: dict[Index, Fraction] = field(default_factory=dict)
    terms: dict[Index, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for index in indices(self.shape):
            self.values[index] = self.magnitudes[index] = Fraction(0)
            self.terms[index] = 0

    def add(self, index: Index, term: Fraction) -> None:
        self.values[index] += term
        self.magnitudes[index] += abs(term)
        self.terms[index] += 1


def compute(case: Any, inputs: tuple[Any, ...], tie: str = "first") -> Gradient:
    """Return the gradient that ``case`` asks for, ``inputs`` being the arguments of its call."""
    grad = inputs[0]
    if case.operator == "conv_bias_grad":
        result = Gradient((grad.shape[1],))
        for index in indices(grad.shape):
            result.add((index[1],), number(grad[index]))
        return result
    if case.operator == "max_pool_grad":
        return max_pool(case, grad, inputs[1], tie)
    if case.operator == "avg_pool_grad":
        return avg_pool(case, grad)
    if case.operator == "conv_input_grad":
        result = Gradient(case.x)
        for y, x, w in conv_products(case):
            result.add(x, number(grad[y]) * number(inputs[1][w]))
        return result
    result = Gradient(case.w)
    for y, x, w in conv_products(case):
        result.add(w, number(grad[y]) * number(inputs[1][x]))
    return result


def conv_products(case: Any) -> Iterator[tuple[Index, Index, Index]]:
    """Yield the indices (y, x, w) of every product that the forward convolution adds up."""
    batch, _, *size = case.x
    filters, per_group, *kernel = case.w
    for n, o, c in itertools.product(range(batch), range(filters), range(per_group)):
        channel = o // (filters // case.groups) * per_group + c
        for p in indices(windows(case, size, kernel)):
            for k in indices(kernel):
                q = tap(case, p, k)
                if inside(q, size):
                    yield (n, o, *p), (n, channel, *q), (o, c, *k)


def max_pool(case: Any, grad: Any, x: Any, tie: str) -> Gradient:
    """Hand each window's gradient to its first maximum, or split it among all of them."""
    result = Gradient(case.x)
    for n, c, *p in indices(grad.shape):
        seen = [tap(case, p, k) for k in indices(case.kernel)]
        real = [q for q in seen if inside(q, case.x[2:])]
        if not real:
            continue
        largest = max(float(x[(n, c, *q)]) for q in real)
        best = [q for q in real if float(x[(n, c, *q)]) == largest]
        for q in best[:1] if tie == "first" else best:
            share = number(grad[(n, c, *p)]) / (1 if tie == "first" else len(best))
            result.add((n, c, *q), share)
    return result


def avg_pool(case: Any, grad: Any) -> Gradient:
    """Hand the gradient over the divisor to each real position of a window."""
    result = Gradient(case.x)
    size = case.x[2:]
    for n, c, *p in indices(grad.shape):
        seen = [tap(case, p, k) for k in indices(case.kernel)]
        counted = [q for q in seen if inside(q, size, case.padding)]
        real = [q for q in seen if inside(q, size)]
        divisor = len(counted) if case.count_include_pad else len(real)
        for q in real:
            result.add((n, c, *q), number(grad[(n, c, *p)]) / divisor)
    return result


def windows(case: Any, size: Any, kernel: Any) -> Index:
    """Count the windows along each axis: those that fit, and with ceil_mode those that begin."""
    counts = []
    for s, k, step, (before, after), d in zip(
        size, kernel, case.stride, case.padding, case.dilation, strict=True
    ):
        start, count = -before, 0
        while start + d * (k - 1) < s + after:
            count, start = count + 1, start + step
        fits_all = start - step + d * (k - 1) == s + after - 1
        counts.append(count + (case.ceil_mode and not fits_all and start < s))
    return tuple(counts)


def tap(case: Any, p: Any, k: Any) -> Index:
    return tuple(
        i * step + j * d - before
        for i, j, step, d, (before, _) in zip(
            p, k, case.stride, case.dilation, case.padding, strict=True
        )
    )


def inside(q: Index, size: Any, padding: Any = None) -> bool:
    """Whether position ``q`` lies in the input, or in the input with ``padding`` around it."""
    around = padding or [(0, 0)] * len(q)
    return all(-b <= i < s + a for i, s, (b, a) in zip(q, size, around, strict=True))


def indices(shape: Any) -> list[Index]:
    return list(itertools.product(*map(range, shape)))


def number(value: Any) -> Fraction:
    return Fraction(float(value))


def nearest(gradient: Gradient) -> list[float]:
    """Return the values, each correctly rounded to float64, in the order of the array."""
    return [float(gradient.values[index]) for index in indices(gradient.shape)]


def rounded_up(value: Fraction) -> float:
    return math.nextafter(float(value), math.inf)
