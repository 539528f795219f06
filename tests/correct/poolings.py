"""Other algorithms for max_pool and avg_pool."""

# ruff: noqa: F811  (a function is named after its operator, and a module has many of each)

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np

from tests.correct import unusual
from tests.defects import checks, kernels


@unusual("maximum-by-sorting", why="the last in order is the largest, and NaN comes last")
def max_pool(x, **call):
    return kernels.max_pool(x, **call, reduce=lambda windows: np.sort(windows, axis=-1)[..., -1])


@unusual("maximum-in-pairs", why="the maximum of maxima")
def max_pool(x, **call):
    def reduce(windows):
        while windows.shape[-1] > 1:
            left, right = windows[..., 0::2], windows[..., 1::2]
            best = left.copy()
            best[..., : right.shape[-1]] = np.maximum(left[..., : right.shape[-1]], right)
            windows = best
        return windows[..., 0]

    return kernels.max_pool(x, **call, reduce=reduce)


@unusual(
    "minimum-of-complements",
    why="~x turns the order of integers round",
    dtypes=("int8", "uint8", "int16", "int32", "int64"),
)
def max_pool(x, **call):
    def reduce(windows):
        return ~(~windows).min(axis=-1)

    return kernels.max_pool(x, **call, reduce=reduce)


@unusual("maximum-axis-by-axis", why="the maximum of a box is that of its rows' maxima")
def max_pool(x, **call):
    checks.pool(x, *(call[k] for k in ("kernel", "stride", "padding", "dilation", "ceil_mode")))
    y = x
    for axis in range(x.ndim - 2):
        one = {
            name: tuple(value[axis] if a == axis else plain for a in range(x.ndim - 2))
            for name, value, plain in (
                ("kernel", call["kernel"], 1),
                ("stride", call["stride"], 1),
                ("padding", call["padding"], (0, 0)),
                ("dilation", call["dilation"], 1),
            )
        }
        y = kernels.max_pool(y, **one, ceil_mode=call["ceil_mode"])
    return y


@unusual("average-axis-by-axis", why="the sum of a box is that of its rows' sums")
def avg_pool(x, **call):
    def reduce(windows):
        for size in reversed(call["kernel"]):
            rows = windows.shape[-1] // size
            windows = windows.reshape(*windows.shape[:-1], rows, size).sum(axis=-1)
        return windows[..., 0]

    return kernels.avg_pool(x, **call, reduce=reduce)


@unusual("average-by-the-reciprocal", why="a reciprocal and a product round twice, as allowed")
def avg_pool(x, **call):
    def reduce(windows):
        return windows.sum(axis=-1)

    def divide(axes, include):
        return np.ones(1)

    wide = kernels.widened(x.dtype)
    sums = kernels.avg_pool(x, **call, reduce=reduce, divide=divide)
    sizes = x.shape[2:]
    ones = (1,) * len(sizes)
    pads, kernel, stride = call["padding"], call["kernel"], call["stride"]
    out = checks.sizes(sizes, kernel, stride, pads, ones, call["ceil_mode"])
    axes = kernels.axes_of(sizes, kernel, stride, pads, ones, out)
    count = kernels.divisors(axes, call["count_include_pad"]).reshape(out)
    return (sums * (wide.type(1) / count.astype(wide))).astype(kernels.plain(x.dtype))


@unusual("average-by-a-constant-kernel", why="a convolution with ones, divided afterwards")
def avg_pool(x, **call):
    def reduce(windows):
        c, k = windows.shape[1], windows.shape[3]
        ones = np.ones((c, 1, k), windows.dtype)
        return kernels.contract(windows, ones, c)

    return kernels.avg_pool(x, **call, reduce=reduce)


def _short(case):
    return math.prod(case.x) < 600 or "600 input elements or more"


@unusual(
    "average-by-exact-running-sums", why="running sums of fractions lose nothing", supports=_short
)
def avg_pool(x, **call):
    """Subtract prefix sums along the last axis of each window, in exact arithmetic."""
    if not np.isfinite(x).all():
        return kernels.avg_pool(x, **call)

    def reduce(windows):
        size = call["kernel"][-1]
        rows = windows.reshape(-1, windows.shape[-1] // size, size)
        sums = []
        for row in rows:
            fractions = [list(itertools.accumulate(map(Fraction, part.tolist()))) for part in row]
            sums.append(float(sum(part[-1] for part in fractions)))
        return np.array(sums).reshape(windows.shape[:-1])

    return kernels.avg_pool(x, **call, reduce=reduce, wide=np.float64)
