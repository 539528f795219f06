"""Correct gradient kernels, whose steps a defect can replace as those of `tests.defects.kernels`.

``grad`` (N, O, *out) has the shape of the forward result. The tables are those of the forward
pass: what a window read is where its gradient goes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np

from tests.defects import checks
from tests.defects.kernels import (
    Array,
    Axis,
    Tables,
    all_taps,
    axes_of,
    divisors,
    flat,
    gather,
    lowest,
    plain,
    product,
    scatter,
    unaltered,
    widened,
)


def conv_input_grad(
    grad: Array,
    w: Array,
    input_shape: Any,
    *,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: Any,
    alter: Callable[[list[Axis]], list[Axis]] = unaltered,
    tables: Callable[[Sequence[Axis]], Tables] = all_taps,
    scatter: Callable[[Array, Tables, Sequence[int]], Array] = scatter,
    wide: Any = None,
    skip: Collection[str] = (),
) -> Array:
    """Multiply every gradient by its kernel, and add the products up where the window read."""
    x = np.broadcast_to(np.zeros((), grad.dtype), input_shape)
    checks.conv(x, w, None, stride, padding, dilation, groups, skip)
    sizes, kernel = tuple(input_shape[2:]), w.shape[2:]
    out = checks.sizes(sizes, kernel, stride, padding, dilation)
    checks.gradient(grad, x, (len(x), len(w), *out), skip)
    axes = alter(axes_of(sizes, kernel, stride, padding, dilation, out))
    dtype = np.dtype(wide or widened(grad.dtype))
    n, o, per, p = len(x), len(w), w.shape[1], math.prod(out)
    left = grad.astype(dtype).reshape(n, groups, o // groups, p)
    right = w.astype(dtype).reshape(groups, o // groups, per, math.prod(kernel))
    parts = product("ngop,gock->ngcpk", left, right)
    parts = parts.reshape(n, groups * per, p, math.prod(kernel))
    return scatter(parts, tables(axes), sizes).astype(plain(grad.dtype))


def conv_weight_grad(
    grad: Array,
    x: Array,
    weight_shape: Any,
    *,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: Any,
    alter: Callable[[list[Axis]], list[Axis]] = unaltered,
    tables: Callable[[Sequence[Axis]], Tables] = all_taps,
    fill: float = 0,
    wide: Any = None,
    skip: Collection[str] = (),
) -> Array:
    """Multiply every gradient by what its window read, and sum over batch and positions."""
    w = np.broadcast_to(np.zeros((), x.dtype), weight_shape)
    checks.conv(x, w, None, stride, padding, dilation, groups, skip)
    sizes, kernel = x.shape[2:], tuple(weight_shape[2:])
    out = checks.sizes(sizes, kernel, stride, padding, dilation)
    checks.gradient(grad, x, (len(x), len(w), *out), skip)
    axes = alter(axes_of(sizes, kernel, stride, padding, dilation, out))
    dtype = np.dtype(wide or widened(x.dtype))
    n, o, per, p, k = len(x), len(w), w.shape[1], math.prod(out), math.prod(kernel)
    columns = gather(x.astype(dtype), tables(axes), fill).reshape(n, groups, per, p, k)
    left = grad.astype(dtype).reshape(n, groups, o // groups, p)
    return product("ngop,ngcpk->gock", left, columns).reshape(w.shape).astype(plain(x.dtype))


def conv_bias_grad(grad: Array, *, wide: Any = None, skip: Collection[str] = ()) -> Array:
    """Sum the gradients of each output channel."""
    checks.gradient(grad, grad, grad.shape, skip)
    dtype = np.dtype(wide or widened(grad.dtype))
    axes = (0, *range(2, grad.ndim))
    return np.asarray(grad.astype(dtype).sum(axis=axes)).astype(plain(grad.dtype))


def first_largest(windows: Array, real: Array) -> Array:
    """Return where the first largest real element of each window is, as one-hot (N, C, P, K)."""
    best = windows.max(axis=-1, keepdims=True, where=real, initial=lowest(windows.dtype))
    hits: Array = (windows == best) & real
    first: Array = hits & (np.cumsum(hits, axis=-1) == 1)
    return first


def max_pool_grad(
    grad: Array,
    x: Array,
    *,
    kernel: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    ceil_mode: Any,
    alter: Callable[[list[Axis]], list[Axis]] = unaltered,
    tables: Callable[[Sequence[Axis]], Tables] = all_taps,
    choose: Callable[[Array, Array], Array] = first_largest,
    scatter: Callable[[Array, Tables, Sequence[int]], Array] = scatter,
    wide: Any = None,
    skip: Collection[str] = (),
) -> Array:
    """Send the gradient of each window to the first of its largest elements."""
    checks.pool(x, kernel, stride, padding, dilation, ceil_mode, skip)
    sizes = x.shape[2:]
    out = checks.sizes(sizes, kernel, stride, padding, dilation, ceil_mode)
    checks.gradient(grad, x, (*x.shape[:2], *out), skip)
    axes = alter(axes_of(sizes, kernel, stride, padding, dilation, out))
    dtype = np.dtype(wide or widened(x.dtype))
    real = flat(tables(axes), sizes) < math.prod(sizes)
    share = choose(gather(x.astype(dtype), tables(axes), lowest(dtype)), real)
    parts = grad.astype(dtype).reshape(*x.shape[:2], math.prod(out), 1)
    with np.errstate(invalid="ignore"):  # no gradient is none, also of an infinity
        parts = np.where(share != 0, parts * share, 0)
    return scatter(parts, tables(axes), sizes).astype(plain(x.dtype))


def avg_pool_grad(
    grad: Array,
    input_shape: Any,
    *,
    kernel: Any,
    stride: Any,
    padding: Any,
    ceil_mode: Any,
    count_include_pad: Any,
    alter: Callable[[list[Axis]], list[Axis]] = unaltered,
    tables: Callable[[Sequence[Axis]], Tables] = all_taps,
    divide: Callable[[Sequence[Axis], bool], Array] = divisors,
    scatter: Callable[[Array, Tables, Sequence[int]], Array] = scatter,
    wide: Any = None,
    skip: Collection[str] = (),
) -> Array:
    """Give every element that a window read its share of the window's gradient."""
    x = np.broadcast_to(np.zeros((), grad.dtype), input_shape)
    ones = (1,) * len(kernel)
    checks.pool(x, kernel, stride, padding, ones, ceil_mode, skip)
    sizes = tuple(input_shape[2:])
    out = checks.sizes(sizes, kernel, stride, padding, ones, ceil_mode)
    checks.gradient(grad, x, (*x.shape[:2], *out), skip)
    axes = alter(axes_of(sizes, kernel, stride, padding, ones, out))
    dtype = np.dtype(wide or widened(grad.dtype))
    flat_grad = grad.astype(dtype).reshape(*grad.shape[:2], math.prod(out), 1)
    shares = flat_grad / divide(axes, count_include_pad).astype(dtype)[:, None]
    parts = np.broadcast_to(shares, (*shares.shape[:-1], math.prod(kernel)))
    return scatter(parts, tables(axes), sizes).astype(plain(grad.dtype))
