"""Defects of declarations: promises that are not kept."""

# ruff: noqa: F811  (a function is named after its operator, and a module has many of each)

from __future__ import annotations

import numpy as np

from conformance import Unsupported
from tests.defects import defect, kernels
from tests.defects.precision import BFLOAT16, summed_in, through

HALF = ("float16", "bfloat16")


@defect("float64-declared-and-refused", check="declare", when="float64", dtypes=("float64",))
def conv(x, w, bias, **call):
    if x.dtype == np.float64:
        raise TypeError("expected Float but found Double")
    return kernels.conv(x, w, bias, **call)


@defect("three-dimensions-declared-and-refused", check="declare", when="3-D")
def max_pool(x, **call):
    if x.ndim == 5:
        raise RuntimeError("expected 3-D or 4-D input")
    return kernels.max_pool(x, **call)


def _undilated(case):
    return max(case.dilation) < 3 or "dilation of 3 and more"


@defect(
    "supports-says-more-than-is-true",
    check="declare",
    when="a dilation of 2",
    supports=_undilated,
)
def conv(x, w, bias, **call):
    if max(call["dilation"]) > 1:
        raise ValueError("dilation is not implemented")
    return kernels.conv(x, w, bias, **call)


@defect("asymmetric-padding-refused", check="declare", when="asymmetric padding")
def avg_pool(x, **call):
    if any(before != after for before, after in call["padding"]):
        raise AssertionError("padding")
    return kernels.avg_pool(x, **call)


@defect("groups-with-bias-run-out-of-bounds", check="declare", when="groups above 1 and a bias")
def conv_transpose(x, w, bias, **call):
    if bias is not None and call["groups"] > 1:
        raise IndexError(f"index {len(bias)} is out of bounds for axis 0")
    return kernels.conv_transpose(x, w, bias, **call)


@defect("declines-after-a-look-at-the-data", check="declare", when="negative data first")
def conv(x, w, bias, **call):
    if x.size and x.reshape(-1)[0] < 0:
        raise Unsupported("negative numbers")
    return kernels.conv(x, w, bias, **call)


@defect("declines-every-second-call", check="declare", when="the second call", state=dict)
def max_pool(kept, x, **call):
    kept["calls"] = kept.get("calls", 0) + 1
    if kept["calls"] % 2 == 0:
        raise NotImplementedError("busy")
    return kernels.max_pool(x, **call)


@defect(
    "float32-accumulator-declared-float16-used",
    check="declare",
    when="float16",
    dtypes=("float16",),
    accumulate="float32",
)
def conv(x, w, bias, **call):
    return kernels.conv(x, w, bias, **call, contract=summed_in(np.float16))


@defect(
    "tf32-declared-bfloat16-used",
    check="declare",
    when="float32",
    dtypes=("float32",),
    multiply="tf32",
)
def conv(x, w, bias, **call):
    return kernels.conv(through(BFLOAT16, x), through(BFLOAT16, w), bias, **call)


@defect(
    "normwise-declared-float16-used",
    check="declare",
    when="float32",
    dtypes=("float32",),
    error="normwise",
    amplification=8.0,
)
def conv(x, w, bias, **call):
    return kernels.conv(through(np.float16, x), through(np.float16, w), bias, **call)


@defect(
    "normwise-declared-with-too-small-a-factor",
    check="declare",
    when="long sums",
    error="normwise",
    amplification=1.0,
)
def conv(x, w, bias, **call):
    """Add and take off again a number 1,000 times as large as the largest result can be."""
    large = 1000 * np.abs(x).max(initial=0) * np.abs(w).sum()
    y = kernels.conv(x, w, bias, **call) + x.dtype.type(large)
    return y - x.dtype.type(large)


@defect(
    "nan-ignored-declared-and-propagated",
    check="special",
    when="NaN in a window",
    conventions={"nan": "ignore"},
)
def max_pool(x, **call):
    return kernels.max_pool(x, **call)


@defect(
    "nan-ignored-declared-and-mixed",
    check="special",
    when="NaN, more than 4 channels",
    conventions={"nan": "ignore"},
)
def max_pool(x, **call):
    def reduce(windows):
        with np.errstate(all="ignore"):
            y = np.fmax.reduce(windows, axis=-1)
        y[:, 4:] = windows[:, 4:].max(axis=-1)
        return y

    return kernels.max_pool(x, **call, reduce=reduce)


@defect("channels-first-returned-for-nhwc", check="result", when="always", layout="NHWC")
def max_pool(x, **call):
    return kernels.max_pool(np.moveaxis(x, -1, 1), **call)


@defect("half-types-declared-float16-range-used", check="result", when="bfloat16", dtypes=HALF)
def avg_pool(x, **call):
    with np.errstate(all="ignore"):
        return kernels.avg_pool(x.astype(np.float16), **call).astype(x.dtype)
