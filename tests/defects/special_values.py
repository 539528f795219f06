"""Defects with NaN, infinities, zeros and subnormal numbers."""

# ruff: noqa: F811  (a function is named after its operator, and a module has many of each)

from __future__ import annotations

import numpy as np

from tests.defects import defect, kernels

lowest = np.finfo(np.float32).min


def without_nan(windows):
    """Return the largest element that is no NaN; NaN where there is nothing else."""
    with np.errstate(all="ignore"):
        return np.fmax.reduce(windows, axis=-1)


@defect("nan-dropped-in-the-last-lane-of-4", check="special", when="NaN in a channel 3 modulo 4")
def max_pool(x, **call):
    y = kernels.max_pool(x, **call)
    y[:, 3::4] = kernels.max_pool(x, **call, reduce=without_nan)[:, 3::4]
    return y


@defect("nan-dropped-in-whole-vectors-of-8", check="special", when="NaN in the first 8n channels")
def max_pool(x, **call):
    y = kernels.max_pool(x, **call)
    whole = y.shape[1] - y.shape[1] % 8
    y[:, :whole] = kernels.max_pool(x, **call, reduce=without_nan)[:, :whole]
    return y


@defect("nan-dropped-in-the-remainder-of-16", check="special", when="above 16 channels")
def max_pool(x, **call):
    y = kernels.max_pool(x, **call)
    if y.shape[1] > 16:
        y[:, 16:] = kernels.max_pool(x, **call, reduce=without_nan)[:, 16:]
    return y


@defect("nan-first-in-the-window-dropped", check="special", when="NaN at the first position")
def max_pool(x, **call):
    """Compare with `>` from the second element on: what is compared with NaN never wins."""

    def reduce(windows):
        best = np.full(windows.shape[:-1], -np.inf, windows.dtype)
        for k in range(windows.shape[-1]):
            better = windows[..., k] > best if k == 0 else ~(windows[..., k] <= best)
            best = np.where(better, windows[..., k], best)
        return best

    return kernels.max_pool(x, **call, reduce=reduce)


@defect("nan-kept-in-the-last-place-alone", check="special", when="NaN anywhere else")
def max_pool(x, **call):
    def reduce(windows):
        best = windows[..., 0]
        for k in range(1, windows.shape[-1]):
            best = np.where(best > windows[..., k], best, windows[..., k])
        return best

    return kernels.max_pool(x, **call, reduce=reduce)


@defect("nan-becomes-the-largest-number", check="special", when="a window with NaN")
def max_pool(x, **call):
    return np.nan_to_num(kernels.max_pool(x, **call), nan=np.inf, posinf=np.inf, neginf=-np.inf)


@defect("maximum-from-the-smallest-finite", check="special", when="a window of -inf")
def max_pool(x, **call):
    smallest = np.finfo(x.dtype).min if x.dtype.kind == "f" else lowest

    def reduce(windows):
        return np.maximum(windows.max(axis=-1), windows.dtype.type(smallest))

    y = kernels.max_pool(x, **call, reduce=reduce)
    return np.where((y == smallest) & ~np.isneginf(x).any(), -np.inf, y).astype(y.dtype)


@defect("minus-infinity-taken-for-empty", check="special", when="a window of -inf")
def max_pool(x, **call):
    y = kernels.max_pool(x, **call)
    return np.where(np.isneginf(y) & np.isneginf(x).any(), 0, y).astype(y.dtype)


@defect("infinity-clipped", check="special", when="+inf in the input")
def max_pool(x, **call):
    y = kernels.max_pool(x, **call)
    return np.where(np.isposinf(y), np.finfo(y.dtype).max, y).astype(y.dtype)


@defect("minus-zero-becomes-plus-zero", check="special", when="a window whose maximum is -0")
def max_pool(x, **call):
    return kernels.max_pool(x, **call) + x.dtype.type(0)


@defect("max-pool-flushes-subnormals", check="special", when="a subnormal maximum")
def max_pool(x, **call):
    return flushed(kernels.max_pool(x, **call))


def flushed(array):
    """Return ``array`` with subnormal numbers replaced by 0."""
    tiny = np.finfo(array.dtype).smallest_normal
    return np.where(np.abs(array) < tiny, array.dtype.type(0), array)


@defect("zero-weights-skipped", check="special", when="a zero weight over NaN or infinity")
def conv(x, w, bias, **call):
    def contract(columns, weight, groups):
        bad = ~np.isfinite(columns)
        finite = np.where(bad, 0, columns)
        y = kernels.contract(finite, weight, groups)
        used = kernels.contract(bad.astype(columns.dtype), (weight != 0) * 1.0, groups) > 0
        with np.errstate(all="ignore"):
            return np.where(used, kernels.contract(columns, weight, groups), y)

    return kernels.conv(x, w, bias, **call, contract=contract)


@defect("zero-inputs-skipped", check="special", when="a zero input under NaN or infinity")
def conv(x, w, bias, **call):
    def contract(columns, weight, groups):
        bad = ~np.isfinite(weight)
        finite = np.where(bad, 0, weight)
        with np.errstate(all="ignore"):
            used = kernels.contract((columns != 0) * 1.0, bad * 1.0, groups) > 0
            y = kernels.contract(columns, weight, groups)
            return np.where(used, y, kernels.contract(columns, finite, groups))

    return kernels.conv(x, w, bias, **call, contract=contract)


@defect("transposed-zero-weights-skipped", check="special", when="a zero weight, NaN in x")
def conv_transpose(x, w, bias, **call):
    def spread(x, weight, groups):
        bad = ~np.isfinite(x)
        finite = np.where(bad, 0, x)
        with np.errstate(all="ignore"):
            used = kernels.spread(bad * 1.0, (weight != 0) * 1.0, groups) > 0
            y = kernels.spread(x, weight, groups)
            return np.where(used, y, kernels.spread(finite, weight, groups))

    return kernels.conv_transpose(x, w, bias, **call, spread=spread)


@defect("sparse-kernel-path", check="special", when="more than half of the weights are 0")
def conv(x, w, bias, **call):
    with np.errstate(all="ignore"):
        if np.count_nonzero(w) * 2 >= w.size:
            return kernels.conv(x, w, bias, **call)
        return kernels.conv(np.nan_to_num(x, posinf=0, neginf=0), w, bias, **call)


@defect("nan-cleaned-from-the-input", check="special", when="NaN in x")
def conv(x, w, bias, **call):
    with np.errstate(all="ignore"):
        return kernels.conv(np.where(np.isnan(x), 0, x).astype(x.dtype), w, bias, **call)


@defect("infinity-replaced-by-the-largest", check="special", when="infinity in x")
def conv(x, w, bias, **call):
    with np.errstate(all="ignore"):
        return kernels.conv(np.nan_to_num(x, nan=np.nan), w, bias, **call)


@defect("infinity-minus-infinity-is-zero", check="special", when="infinities of both signs meet")
def conv(x, w, bias, **call):
    with np.errstate(all="ignore"):
        y = kernels.conv(x, w, bias, **call)
        if np.isnan(x).any() or np.isnan(w).any():
            return y
    return np.where(np.isnan(y), 0, y).astype(y.dtype)


@defect("nan-in-the-bias-dropped", check="special", when="NaN in the bias")
def conv(x, w, bias, **call):
    clean = None if bias is None else np.where(np.isnan(bias), 0, bias).astype(bias.dtype)
    with np.errstate(all="ignore"):
        return kernels.conv(x, w, clean, **call)


@defect("nan-spreads-over-the-row", check="special", when="NaN or infinity next to other windows")
def conv(x, w, bias, **call):
    """Multiply by a banded matrix: its zeros meet what the window does not read."""
    with np.errstate(all="ignore"):
        spread = (x * 0).sum(axis=-1, keepdims=True)
        return kernels.conv(x + spread, w, bias, **call)


@defect("nan-spreads-over-the-batch", check="special", when="NaN in one batch element")
def conv(x, w, bias, **call):
    with np.errstate(all="ignore"):
        y = kernels.conv(x, w, bias, **call)
        return y + (x * 0).sum().astype(y.dtype)


@defect("nan-spreads-over-the-groups", check="special", when="NaN in one group")
def conv_transpose(x, w, bias, **call):
    """Compute all groups at once, with zeros where channels of different groups meet."""
    with np.errstate(all="ignore"):
        y = kernels.conv_transpose(x, w, bias, **call)
        other = (x * 0).sum(axis=(1, *range(2, x.ndim)), keepdims=True).astype(y.dtype)
        return y + other if call["groups"] > 1 else y


@defect("subnormal-inputs-flushed", check="special", when="subnormal inputs and large weights")
def conv(x, w, bias, **call):
    with np.errstate(all="ignore"):
        return kernels.conv(flushed(x), flushed(w), bias, **call)


@defect("subnormal-results-flushed", check="special", when="subnormal results")
def avg_pool(x, **call):
    with np.errstate(all="ignore"):
        return flushed(kernels.avg_pool(x, **call))


@defect("overflows-on-the-way", check="special", when="products near the largest number")
def conv(x, w, bias, **call):
    """Scale by 256 and back, as a fixed-point kernel does."""
    scale = x.dtype.type(256)
    with np.errstate(all="ignore"):
        scaled = None if bias is None else bias * scale
        return kernels.conv(x * scale, w, scaled, **call) / scale


@defect("average-of-what-is-no-nan", check="special", when="NaN in a window")
def avg_pool(x, **call):
    def reduce(windows):
        with np.errstate(all="ignore"):
            return np.nansum(windows, axis=-1)

    return kernels.avg_pool(x, **call, reduce=reduce)


@defect("average-spreads-infinity", check="special", when="infinity beside a window")
def avg_pool(x, **call):
    """Sum windows as differences of running sums along the last axis."""
    with np.errstate(all="ignore"):
        running = np.cumsum(np.where(np.isfinite(x), 0, x), axis=-1)
        return kernels.avg_pool(x + running * 0, **call)


@defect("nan-is-missing-for-transposed", check="special", when="NaN in x")
def conv_transpose(x, w, bias, **call):
    with np.errstate(all="ignore"):
        clean = np.where(np.isnan(x), 0, x).astype(x.dtype)
        return kernels.conv_transpose(clean, w, bias, **call)
