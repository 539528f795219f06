"""Defects of the sum: terms that are missing or counted twice, and the bias."""

# ruff: noqa: F811  (a function is named after its operator, and a module has many of each)

from __future__ import annotations

import numpy as np

from tests.defects import defect, kernels


def _added(y, bias):
    return y if bias is None else y + bias.reshape(-1, *(1,) * (y.ndim - 2))


@defect("bias-ignored", check="result", when="there is a bias")
def conv(x, w, bias, **call):
    return kernels.conv(x, w, None, **call)


@defect("bias-added-twice", check="result", when="there is a bias")
def conv(x, w, bias, **call):
    return _added(kernels.conv(x, w, bias, **call), bias)


@defect("bias-added-for-each-group", check="result", when="a bias and several groups")
def conv(x, w, bias, **call):
    return kernels.conv(x, w, bias if bias is None else bias * call["groups"], **call)


@defect("bias-dropped-with-groups", check="result", when="a bias and several groups")
def conv(x, w, bias, **call):
    return kernels.conv(x, w, bias if call["groups"] == 1 else None, **call)


@defect("bias-dropped-for-batch-element-zero", check="result", when="a bias")
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    y[:1] = kernels.conv(x[:1], w, None, **call)
    return y


@defect("bias-for-batch-element-zero-alone", check="result", when="a bias and a batch above 1")
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    y[1:] = kernels.conv(x[1:], w, None, **call)
    return y


@defect("bias-of-the-first-channel-everywhere", check="result", when="a bias that varies")
def conv(x, w, bias, **call):
    return kernels.conv(x, w, bias if bias is None else np.full_like(bias, bias[0]), **call)


@defect("bias-left-out-over-padding", check="result", when="a bias, and a window of padding alone")
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    ones = np.ones_like(x), np.ones_like(w)
    reached = kernels.conv(*ones, None, **call) > 0
    return np.where(reached, y, 0).astype(y.dtype)


@defect("bias-once-a-contribution", check="result", when="a bias, and not one tap an output")
def conv_transpose(x, w, bias, **call):
    y = kernels.conv_transpose(x, w, None, **call)
    if bias is None or not len(x):
        return y
    ones = np.ones((1, 1, *x.shape[2:]), x.dtype), np.ones((1, 1, *w.shape[2:]), x.dtype)
    count = kernels.conv_transpose(*ones, None, **call | {"groups": 1})
    return y + count * bias.reshape(-1, *(1,) * (y.ndim - 2))


@defect("transposed-bias-where-a-tap-reaches", check="result", when="a bias, and gaps")
def conv_transpose(x, w, bias, **call):
    y = kernels.conv_transpose(x, w, None, **call)
    ones = np.ones((1, 1, *x.shape[2:]), x.dtype), np.ones((1, 1, *w.shape[2:]), x.dtype)
    reached = kernels.conv_transpose(*ones, None, **call | {"groups": 1}) > 0
    return y if bias is None else np.where(reached, _added(y, bias), y)


@defect("last-input-channel-left-out", check="result", when="3 channels a group or more")
def conv(x, w, bias, **call):
    if w.shape[1] > 2:
        w = w.copy()
        w[:, -1] = 0
    return kernels.conv(x, w, bias, **call)


@defect("only-the-last-input-channel-kept", check="result", when="several channels a group")
def conv(x, w, bias, **call):
    w = w.copy()
    w[:, :-1] = 0
    return kernels.conv(x, w, bias, **call)


@defect("centre-tap-counted-twice", check="result", when="the kernel is odd and above 1")
def conv(x, w, bias, **call):
    if all(k % 2 for k in w.shape[2:]) and max(w.shape[2:]) > 1:
        w = w.copy()
        w[(..., *(k // 2 for k in w.shape[2:]))] *= 2
    return kernels.conv(x, w, bias, **call)


@defect("last-tap-left-out", check="result", when="the kernel has an odd number of taps, above 1")
def conv(x, w, bias, **call):
    taps = int(np.prod(w.shape[2:]))
    if taps % 2 and taps > 1:
        w = w.copy()
        w[(..., *(-1,) * (w.ndim - 2))] = 0
    return kernels.conv(x, w, bias, **call)


@defect("sum-not-reset-between-output-channels", check="result", when="several output channels")
def conv(x, w, bias, **call):
    return np.cumsum(kernels.conv(x, w, bias, **call), axis=1, dtype=x.dtype)


@defect("average-of-the-batch", check="result", when="the batch is above 1")
def avg_pool(x, **call):
    y = kernels.avg_pool(x, **call)
    if len(y) > 1:
        y[...] = y.mean(axis=0)
    return y


@defect("average-leaves-out-the-last-tap", check="result", when="the window has 9 taps or more")
def avg_pool(x, **call):
    def reduce(windows):
        return windows[..., : -1 if windows.shape[-1] >= 9 else None].sum(axis=-1)

    return kernels.avg_pool(x, **call, reduce=reduce)


@defect("average-of-distinct-numbers", check="result", when="a window holds a number twice")
def avg_pool(x, **call):
    def reduce(windows):
        ordered = np.sort(windows, axis=-1)
        again = ordered[..., 1:] == ordered[..., :-1]
        return windows.sum(axis=-1) - np.where(again, ordered[..., 1:], 0).sum(axis=-1)

    return kernels.avg_pool(x, **call, reduce=reduce)


@defect("maximum-of-magnitudes", check="result", when="the largest magnitude is negative")
def max_pool(x, **call):
    def reduce(windows):
        finite = np.where(np.isneginf(windows), 0, windows)
        chosen = np.abs(finite).argmax(axis=-1)[..., None]
        return np.take_along_axis(windows, chosen, axis=-1)[..., 0]

    return kernels.max_pool(x, **call, reduce=reduce)


@defect(
    "last-tap-not-compared", check="result", when="the window has an odd number of taps, above 1"
)
def max_pool(x, **call):
    def reduce(windows):
        taps = windows.shape[-1]
        return windows[..., : -1 if taps % 2 and taps > 1 else None].max(axis=-1)

    return kernels.max_pool(x, **call, reduce=reduce)
