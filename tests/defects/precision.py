"""Defects of arithmetic: formats that are too small, and results that are only nearly right."""

# ruff: noqa: F811  (a function is named after its operator, and a module has many of each)

from __future__ import annotations

import ml_dtypes
import numpy as np

from tests.defects import defect, kernels

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)


def through(dtype, array):
    """Return ``array`` rounded to ``dtype`` and back."""
    with np.errstate(all="ignore"):
        return None if array is None else array.astype(dtype).astype(array.dtype)


def tf32(array):
    """Return float32 numbers rounded to the 10 fraction bits of tf32 (to nearest, ties up)."""
    bits = array.astype(np.float32).view(np.uint32)
    return ((bits + np.uint32(0x1000)) & np.uint32(0xFFFFE000)).view(np.float32)


def summed_in(dtype):
    """Return a contraction that rounds to ``dtype`` after each product and each addition."""

    def contract(columns, w, groups):
        n, c, p, k = columns.shape
        o = len(w)
        left = columns.reshape(n, groups, 1, c // groups, p, k)
        right = w.reshape(1, groups, o // groups, c // groups, 1, k)
        y = np.zeros((n, groups, o // groups, p), dtype)
        with np.errstate(all="ignore"):
            for i, j in np.ndindex(c // groups, k):
                y = (y + (left[..., i, :, j] * right[..., i, :, j]).astype(dtype)).astype(dtype)
        return y.reshape(n, o, p).astype(columns.dtype)

    return contract


def _float32(x):
    return x.dtype == np.float32


@defect("accumulates-in-float16", check="result", when="float32")
def conv(x, w, bias, **call):
    contract = summed_in(np.float16) if _float32(x) else kernels.contract
    return kernels.conv(x, w, bias, **call, contract=contract)


@defect("accumulates-in-bfloat16", check="result", when="float32")
def conv(x, w, bias, **call):
    contract = summed_in(BFLOAT16) if _float32(x) else kernels.contract
    return kernels.conv(x, w, bias, **call, contract=contract)


@defect("float16-accumulates-in-float16", check="result", when="float16", dtypes=("float16",))
def conv(x, w, bias, **call):
    return kernels.conv(x, w, bias, **call, contract=summed_in(np.float16))


@defect("bfloat16-accumulates-in-bfloat16", check="result", when="bfloat16", dtypes=("bfloat16",))
def conv(x, w, bias, **call):
    return kernels.conv(x, w, bias, **call, contract=summed_in(BFLOAT16))


@defect("float16-average-in-float16", check="result", when="float16", dtypes=("float16",))
def avg_pool(x, **call):
    def reduce(windows):
        y = np.zeros(windows.shape[:-1], np.float16)
        for k in range(windows.shape[-1]):
            y = y + windows[..., k].astype(np.float16)
        return y.astype(np.float32)

    return kernels.avg_pool(x, **call, reduce=reduce)


@defect("multiplies-in-float16", check="result", when="float32")
def conv(x, w, bias, **call):
    if _float32(x):
        x, w = through(np.float16, x), through(np.float16, w)
    return kernels.conv(x, w, bias, **call)


@defect("multiplies-in-bfloat16", check="result", when="float32")
def conv(x, w, bias, **call):
    if _float32(x):
        x, w = through(BFLOAT16, x), through(BFLOAT16, w)
    return kernels.conv(x, w, bias, **call)


@defect("multiplies-in-tf32", check="result", when="float32")
def conv(x, w, bias, **call):
    if _float32(x):
        x, w = tf32(x), tf32(w)
    return kernels.conv(x, w, bias, **call)


@defect("weights-alone-in-tf32", check="result", when="float32")
def conv_transpose(x, w, bias, **call):
    return kernels.conv_transpose(x, tf32(w) if _float32(x) else w, bias, **call)


@defect("bias-in-float16", check="result", when="a bias")
def conv(x, w, bias, **call):
    return kernels.conv(x, w, through(np.float16, bias), **call)


@defect("float64-through-float32", check="result", when="float64")
def conv(x, w, bias, **call):
    return kernels.conv(x, w, bias, **call, wide=np.float32)


@defect("transposed-float64-through-float32", check="result", when="float64")
def conv_transpose(x, w, bias, **call):
    return kernels.conv_transpose(x, w, bias, **call, wide=np.float32)


@defect("float64-sum-of-float32-products", check="result", when="float64")
def conv(x, w, bias, **call):
    def contract(columns, weight, groups):
        if columns.dtype == np.float64:
            columns, weight = through(np.float32, columns), through(np.float32, weight)
        return kernels.contract(columns, weight, groups)

    return kernels.conv(x, w, bias, **call, contract=contract)


@defect("float64-average-through-float32", check="result", when="float64")
def avg_pool(x, **call):
    return kernels.avg_pool(x, **call, wide=np.float32)


@defect("float64-maximum-through-float32", check="result", when="float64")
def max_pool(x, **call):
    return kernels.max_pool(x, **call, wide=np.float32)


@defect("maximum-through-float16", check="result", when="numbers that float16 does not hold")
def max_pool(x, **call):
    with np.errstate(all="ignore"):
        return kernels.max_pool(x, **call, wide=np.float16)


@defect("result-stored-in-float16", check="result", when="numbers that float16 does not hold")
def conv(x, w, bias, **call):
    return through(np.float16, kernels.conv(x, w, bias, **call))


@defect("small-results-zeroed", check="result", when="results far below the largest one")
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    largest = np.abs(y).max(initial=0)
    return np.where(np.abs(y) < 1e-2 * largest, 0, y).astype(y.dtype)


@defect("results-rounded-to-four-decimals", check="result", when="the data is not whole")
def avg_pool(x, **call):
    return np.round(kernels.avg_pool(x, **call), 4)


@defect("weights-quantised-to-8-bits", check="result", when="the data is not small integers")
def conv(x, w, bias, **call):
    scale = np.abs(w).max() / 127
    return kernels.conv(x, (np.round(w / scale) * scale).astype(w.dtype), bias, **call)


@defect("inputs-quantised-to-16-bits", check="result", when="the data is not small integers")
def conv(x, w, bias, **call):
    scale = np.abs(x).max(initial=1e-30) / 32767
    return kernels.conv((np.round(x / scale) * scale).astype(x.dtype), w, bias, **call)


@defect("small-products-left-out", check="result", when="magnitudes differ by a thousand")
def conv(x, w, bias, **call):
    small = np.abs(w) < 1e-3 * np.abs(w).max()
    return kernels.conv(x, np.where(small, 0, w).astype(w.dtype), bias, **call)


@defect("average-by-running-sums", check="result", when="float32 windows in long cancelling rows")
def avg_pool(x, **call):
    """Sum the last axis of each window as a difference of two prefix sums: normwise at best."""
    step = np.cumsum(x, axis=-1, dtype=x.dtype)
    back = np.diff(step, axis=-1, prepend=0)
    return kernels.avg_pool(back.astype(x.dtype), **call)


@defect("divides-by-a-12-bit-reciprocal", check="result", when="the divisor is no power of two")
def avg_pool(x, **call):
    def divide(axes, include):
        reciprocal = (1 / kernels.divisors(axes, include)).astype(np.float32)
        return 1 / tf32(reciprocal).astype(np.float64)

    return kernels.avg_pool(x, **call, divide=divide)


@defect("convolves-with-undeclared-fft", check="result", when="magnitudes differ within a plane")
def conv(x, w, bias, **call):
    """Move the data through a Fourier transform and back, as an FFT convolution does twice."""
    if not x.size:
        return kernels.conv(x, w, bias, **call)
    there = np.fft.rfft(x, axis=-1)
    back = np.fft.irfft(there, x.shape[-1], axis=-1).astype(x.dtype)
    return kernels.conv(back, w, bias, **call)


@defect("mean-taken-off-first", check="result", when="no padding, data with cancelling terms")
def conv(x, w, bias, **call):
    """Convolve x minus its mean, and add the mean's share back: exact in exact arithmetic."""
    mean = x.mean(axis=tuple(range(2, x.ndim)), keepdims=True)
    if any(map(any, call["padding"])):
        return kernels.conv(x, w, bias, **call)
    y = kernels.conv(x - mean, w, bias, **call)
    return y + kernels.conv(np.broadcast_to(mean, x.shape).astype(x.dtype), w, None, **call)


@defect("partial-sums-kept-in-float16", check="result", when="float32, 3 channels a group or more")
def conv(x, w, bias, **call):
    """Add channels in float32, and spill the sum to float16 after every second one."""
    if not _float32(x) or w.shape[1] < 3:
        return kernels.conv(x, w, bias, **call)
    y = 0
    for start in range(0, w.shape[1], 2):
        part = np.zeros_like(w)
        part[:, start : start + 2] = w[:, start : start + 2]
        y = through(np.float16, y + kernels.conv(x, part, bias if start == 0 else None, **call))
    return y
