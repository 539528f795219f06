"""Shrinking: from a failing case to the smallest case that still fails in the same way.

Hypothesis shrinks only what it generated in the same run. Here a failing case may also come from a
suite, from the cache or from a user. The promise is stronger, too: if any parameter of the smallest
case is set to its default, or any axis, kernel or channel count is made smaller, the case no longer
fails. So the steps are made on the case itself, the boldest first, until none is left.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from conformance.case import EVERY, RECIPES, Case, Shape
from conformance.cases.validity import is_valid
from conformance.signatures import SIGNATURES

Sizes: TypeAlias = Callable[[int, int], Iterator[int]]
"""Takes a value and the least that it can be; yields the smaller values that are tried."""
_FEW = 16
_FLAGS = ("memory", "ceil_mode", "count_include_pad", "bias")
_PER_AXIS = ("output_padding", "dilation", "stride", "padding")


def shrink(case: Case, fails: Callable[[Case], bool], *, seconds: float = 2.0) -> Case:
    """Return the smallest case for which ``fails`` is still true, as far as ``seconds`` allow.

    ``fails(case)`` must be true to begin with; it is called for valid cases only.
    """
    deadline = time.monotonic() + seconds
    tried = {case}
    while True:
        # A failure may need sizes of one kind, such as odd ones, which halving misses.
        for candidate in itertools.chain(_simpler(case), _steps(case, _every)):
            if time.monotonic() > deadline:
                return case
            if candidate in tried or not is_valid(candidate):
                continue
            tried.add(candidate)
            if fails(candidate):
                case = candidate
                break
        else:
            return case


def _simpler(case: Case) -> Iterator[Case]:
    """Yield cases simpler than ``case``, the boldest steps first.

    Data depends on shapes, so a step may hide the failure; therefore it is tried with other seeds.
    """
    for step in _steps(case, _halving):
        yield step
        for seed in (0, 1, 2):
            if seed != step.seed:
                yield step.replace(seed=seed)
    if case.seed:
        yield case.replace(seed=0)


def _steps(case: Case, sizes: Sizes) -> Iterator[Case]:
    """Yield cases simpler than ``case`` in one respect; ``sizes`` yields the smaller extents."""
    if case.data == EVERY:
        yield from _halves(case)
    simpler = RECIPES if case.data not in RECIPES else RECIPES[: RECIPES.index(case.data)]
    for recipe in simpler:
        yield case.replace(data=recipe)
    plain = case.plain()
    for name in (*_FLAGS, *_PER_AXIS):
        value = getattr(plain, name)
        if getattr(case, name) != value:
            yield case.replace(**{name: value})
    arrays = SIGNATURES[case.operator].arrays
    if case.memory not in ("contiguous", "shared") and "-" not in case.memory and arrays[1:]:
        yield from (case.replace(memory=f"{case.memory}-{name}") for name in arrays)
    if any(map(any, case.padding)):  # a window may need the space that padding gives
        grown = (size + sum(pair) for size, pair in zip(case.x[2:], case.padding, strict=True))
        yield case.replace(padding=plain.padding, x=(*case.x[:2], *grown))
    yield from _channel_steps(case, sizes)
    n, c, *spatial = case.x
    if not n:  # a batch is empty only where the failure needs it
        yield case.replace(x=(1, c, *spatial))
    for smaller in sizes(n, 1):
        yield case.replace(x=(smaller, c, *spatial))
    for axis in range(case.dims):
        yield from _axis_steps(case, axis, sizes)


def _halves(case: Case) -> Iterator[Case]:
    """Yield the two halves of the values of a call of one channel, which count up from the seed."""
    axis = next((axis for axis, size in enumerate(case.x) if size > 1), None)
    if axis is None or axis < 2:
        return
    size, each = case.x[axis], math.prod(case.x[axis + 1 :])
    for first, last in ((0, size // 2), (size // 2, size), (1, size), (0, size - 1)):
        smaller = case.replace(x=_put(case.x, axis, last - first))
        yield smaller.replace(seed=case.seed + first * each)


def _channel_steps(case: Case, sizes: Sizes) -> Iterator[Case]:
    """Yield cases with fewer groups or channels."""
    n, c, *spatial = case.x
    if case.w is None:
        for smaller in sizes(c, 1):
            yield case.replace(x=(n, smaller, *spatial))
        return
    transposed = case.operator == "conv_transpose"
    first, second, *kernel = case.w
    inner, outer = (first // case.groups, second) if transposed else (second, first // case.groups)

    def resized(groups: int, inner: int, outer: int) -> Case:
        w = (groups * inner, outer) if transposed else (groups * outer, inner)
        return case.replace(x=(n, groups * inner, *spatial), w=(*w, *kernel), groups=groups)

    for smaller in sizes(case.groups, 1):
        yield resized(smaller, inner, outer)
        yield resized(smaller, inner * (case.groups // smaller), outer)
    if case.groups > 1:
        yield resized(1, inner * case.groups, outer * case.groups)
    for smaller in sizes(inner, 1):
        yield resized(case.groups, smaller, outer)
    for smaller in sizes(outer, 1):
        yield resized(case.groups, inner, smaller)


def _axis_steps(case: Case, axis: int, sizes: Sizes) -> Iterator[Case]:
    """Yield cases that are simpler along one spatial axis."""
    window = case.window

    def with_window(shape: Shape, size: int) -> Case:
        x = _put(case.x, axis + 2, size)
        if case.w is not None:
            return case.replace(x=x, w=(*case.w[:2], *shape))
        return case.replace(x=x, kernel=shape or None)

    size = case.x[axis + 2]
    for smaller in sizes(window[axis], 1) if window else ():
        shape = _put(window, axis, smaller)
        shrunk = size - case.dilation[axis] * (window[axis] - smaller)
        if shrunk >= 1:  # the same output positions cost less
            yield with_window(shape, shrunk)
        yield with_window(shape, size)
        if case.kernel is not None:  # the padding of a pool is at most half of its kernel
            pair = tuple(min(count, smaller // 2) for count in case.padding[axis])
            yield with_window(shape, size).replace(padding=_put(case.padding, axis, pair))
    for smaller in sizes(size, 1):
        yield with_window(window, smaller)
    for name, least in (("stride", 1), ("dilation", 1), ("output_padding", 0)):
        values = getattr(case, name)
        for smaller in sizes(values[axis], least):
            yield case.replace(**{name: _put(values, axis, smaller)})
    before, after = case.padding[axis]
    pairs = [(0, 0), (before, 0), (0, after), (before // 2, after), (before, after // 2)]
    pairs += [(before - 1, after), (before, after - 1), (before - 1, after - 1)]
    for pair in pairs:
        if pair != (before, after) and min(pair) >= 0:
            yield case.replace(padding=_put(case.padding, axis, pair))


def _halving(value: int, least: int) -> Iterator[int]:
    """Yield values below ``value``, from ``least`` up, by halving the distance to ``value``."""
    step = value - least
    while step > 0:
        yield value - step
        step //= 2


def _every(value: int, least: int) -> Iterator[int]:
    """Yield the values from ``least`` up to below ``value``, or the first and last few of them."""
    values = range(least, value)
    yield from dict.fromkeys((*values[:_FEW], *values[-_FEW:]))


def _put(values: tuple[Any, ...], index: int, value: Any) -> tuple[Any, ...]:
    return (*values[:index], value, *values[index + 1 :])
