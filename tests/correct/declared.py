"""What declarations allow: other formats, layouts and conventions, and gaps."""

# ruff: noqa: F811  (a function is named after its operator, and a module has many of each)

from __future__ import annotations

import math

import numpy as np

from conformance import Unsupported
from tests.correct import unusual
from tests.defects import checks, kernels
from tests.defects.precision import summed_in, tf32
from tests.defects.special_values import flushed


@unusual("tf32-declared", why="multiply says so", multiply="tf32", dtypes=("float32",))
def conv(x, w, bias, **call):
    """Round both factors to 11 digits; subnormal numbers are left to float32."""
    checks.conv(x, w, bias, *(call[k] for k in ("stride", "padding", "dilation", "groups")))
    with np.errstate(all="ignore"):
        return kernels.conv(_rounded(x), _rounded(w), bias, **call)


def _rounded(array):
    """Return normal numbers rounded to tf32, and the others as they are."""
    ordinary = np.isfinite(array) & (np.abs(array) >= np.finfo(np.float32).smallest_normal)
    return np.where(ordinary, tf32(array), array)


@unusual(
    "float16-accumulator-declared",
    why="accumulate says so",
    accumulate="float16",
    dtypes=("float16",),
)
def conv(x, w, bias, **call):
    def contract(columns, weight, groups):
        return summed_in(np.float16)(columns, weight, groups)

    def through(array):
        return None if array is None else array.astype(np.float16)

    y = kernels.conv(x, w, None, **call, contract=contract)
    if bias is not None:
        y = y + kernels.column(through(bias), np.float16, x.ndim - 2)
    return y


@unusual(
    "flushes-subnormals-as-declared",
    why="the convention says so",
    conventions={"subnormal": "flush"},
)
def conv(x, w, bias, **call):
    clean = None if bias is None else flushed(bias)
    return flushed(kernels.conv(flushed(x), flushed(w), clean, **call))


@unusual("nan-ignored-as-declared", why="the convention says so", conventions={"nan": "ignore"})
def max_pool(x, **call):
    def reduce(windows):
        with np.errstate(all="ignore"):
            return np.fmax.reduce(windows, axis=-1)

    return kernels.max_pool(x, **call, reduce=reduce)


accepts = unusual(
    "padding-beyond-half-as-declared",
    why="the convention says so",
    conventions={"pool_padding": "accept"},
)


@accepts
def max_pool(x, **call):
    return kernels.max_pool(x, **call, skip={"half"})


@accepts
def avg_pool(x, **call):
    with np.errstate(all="ignore"):
        return kernels.avg_pool(x, **call, skip={"half"})


@unusual(
    "mixed-dtypes-promoted-as-declared",
    why="the convention says so",
    conventions={"mixed_dtypes": "promote"},
)
def conv(x, w, bias, **call):
    arrays = [a for a in (x, w, bias) if a is not None]
    if any(a.dtype.kind not in "fiu" for a in arrays):
        raise TypeError(f"dtypes {[a.dtype for a in arrays]}: no numbers")
    common = np.result_type(*arrays)
    x, w, bias = (None if a is None else a.astype(common) for a in (x, w, bias))
    return kernels.conv(x, w, bias, **call)


@unusual("channels-last", why="the layout is declared", layout="NHWC")
def conv(x, w, bias, **call):
    weight = np.moveaxis(w, (-1, -2), (0, 1))
    y = kernels.conv(np.moveaxis(x, -1, 1), weight, bias, **call)
    return np.ascontiguousarray(np.moveaxis(y, 1, -1))


@unusual("channels-last-pools", why="the layout is declared", layout="NHWC")
def max_pool(x, **call):
    y = kernels.max_pool(np.moveaxis(x, -1, 1), **call)
    return np.ascontiguousarray(np.moveaxis(y, 1, -1))


@unusual(
    "no-dilation",
    why="supports= says so",
    supports=lambda case: max(case.dilation) == 1 or "dilation",
)
def conv(x, w, bias, **call):
    if max(call["dilation"]) > 1:
        raise ValueError(f"dilation={call['dilation']!r}: must be 1 on every axis")
    return kernels.conv(x, w, bias, **call)


@unusual("no-groups", why="Unsupported says so when it is called")
def conv(x, w, bias, **call):
    if call["groups"] > 1:
        raise Unsupported("groups above 1")
    return kernels.conv(x, w, bias, **call)


@unusual("no-third-dimension", why="NotImplementedError is a gap, not a failure")
def max_pool(x, **call):
    if x.ndim == 5:
        raise NotImplementedError("three spatial dimensions")
    return kernels.max_pool(x, **call)


@unusual("one-dtype", why="it declares no other", dtypes=("float64",))
def avg_pool(x, **call):
    if x.dtype.newbyteorder("=") != np.float64:
        raise TypeError(f"x: dtype {x.dtype}; must be float64")
    return kernels.avg_pool(x, **call)


def _small(case):
    window = math.prod(case.window)
    return math.prod(case.x) * window < 3000 or "slow: more than 3000 steps"


@unusual("plain-python", why="slow is not wrong", supports=_small)
def max_pool(x, **call):
    """Loop over windows in Python, number by number."""

    def reduce(windows):
        flat = windows.reshape(-1, windows.shape[-1]).tolist()
        best = []
        for window in flat:
            largest = window[0]
            for value in window[1:]:
                if value > largest or value != value:
                    largest = value
                if largest != largest:
                    break
            best.append(largest)
        return np.array(best, windows.dtype).reshape(windows.shape[:-1])

    return kernels.max_pool(x, **call, reduce=reduce)


whole = unusual(
    "every-integer-type",
    why="integer arithmetic is exact",
    dtypes=("int8", "int16", "int32", "int64", "uint8"),
    supports=lambda case: case.operator == "max_pool" or case.dtype in ("int32", "int64"),
)


@whole
def conv(x, w, bias, **call):
    return kernels.conv(x, w, bias, **call)


@whole
def max_pool(x, **call):
    return kernels.max_pool(x, **call)
