"""Defects past a boundary: vector widths, tiles, remainder loops, and index types."""

# ruff: noqa: F811  (a function is named after its operator, and a module has many of each)

from __future__ import annotations

import numpy as np

from tests.defects import defect, kernels


def _without_channels(w, kept):
    w = w.copy()
    w[:, kept:] = 0
    return w


@defect("remainder-of-8-input-channels-dropped", check="result", when="above 8, no multiple of 8")
def conv(x, w, bias, **call):
    c = w.shape[1]
    return kernels.conv(x, _without_channels(w, c - c % 8 if c > 8 else c), bias, **call)


@defect(
    "input-channels-beyond-16-dropped",
    check="result",
    when="above 16 channels a group",
    at="conv1d:float32:x=1,17,3:w=2,17,2:integers@0",
)
def conv(x, w, bias, **call):
    return kernels.conv(x, _without_channels(w, 16), bias, **call)


@defect(
    "input-channels-beyond-32-counted-twice",
    check="result",
    when="above 32 channels a group",
    at="conv1d:float32:x=1,33,3:w=2,33,2:integers@0",
)
def conv(x, w, bias, **call):
    w = w.copy()
    w[:, 32:] *= 2
    return kernels.conv(x, w, bias, **call)


@defect(
    "last-of-exactly-16-input-channels-dropped",
    check="result",
    when="16 channels a group",
    at="conv1d:float32:x=1,16,3:w=2,16,2:integers@0",
)
def conv(x, w, bias, **call):
    return kernels.conv(
        x, _without_channels(w, 15 if w.shape[1] == 16 else w.shape[1]), bias, **call
    )


@defect("remainder-of-4-output-channels-zero", check="result", when="above 4, no multiple of 4")
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    o = y.shape[1]
    y[:, o - o % 4 if o > 4 else o :] = 0
    return y


@defect("output-channels-beyond-16-repeat-the-first", check="result", when="above 16 of them")
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    y[:, 16:] = y[:, :1]
    return y


@defect("output-channels-beyond-32-without-bias", check="result", when="above 32, with a bias")
def conv(x, w, bias, **call):
    if bias is not None and len(bias) > 32:
        bias = np.where(np.arange(len(bias)) < 32, bias, 0).astype(bias.dtype)
    return kernels.conv(x, w, bias, **call)


@defect(
    "columns-beyond-32-zero",
    check="result",
    when="an output wider than 32",
    at="conv1d:float32:x=1,2,33:w=2,2,1:integers@0",
)
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    y[..., 32:] = 0
    return y


@defect(
    "tile-of-64-columns-without-its-halo",
    check="result",
    when="wider than 64, kernel above 1",
    at="conv1d:float32:x=1,2,70:w=2,2,2:integers@0",
)
def conv(x, w, bias, **call):
    def tables(axes):
        *others, columns = kernels.all_taps(axes)
        same_tile = (columns // 64 == columns[:, :1] // 64) | (columns[:, :1] < 0)
        return [*others, np.where(same_tile, columns, -1)]

    return kernels.conv(x, w, bias, **call, tables=tables)


@defect(
    "tile-of-16-columns-without-its-halo",
    check="result",
    when="wider than 16, kernel above 1",
    at="conv1d:float32:x=1,2,20:w=2,2,2:integers@0",
)
def conv(x, w, bias, **call):
    def tables(axes):
        *others, columns = kernels.all_taps(axes)
        same_tile = (columns // 16 == columns[:, :1] // 16) | (columns[:, :1] < 0)
        return [*others, np.where(same_tile, columns, -1)]

    return kernels.conv(x, w, bias, **call, tables=tables)


@defect("remainder-loop-of-4-columns-one-short", check="result", when="3 columns are left over")
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    if y.shape[-1] % 4 == 3:
        y[..., -1] = 0
    return y


@defect(
    "rows-beyond-31-repeat",
    check="result",
    when="an output of 32 rows or more, 2-D or 3-D",
    at="conv2d:float32:x=1,2,34,2:w=2,2,2,2:integers@0",
)
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    if y.ndim > 3:
        y[:, :, 31:] = y[:, :, 30:31] if y.shape[2] > 31 else 0
    return y


@defect("kernel-unrolled-to-16-taps", check="result", when="the kernel has more than 16 taps")
def conv(x, w, bias, **call):
    flat = w.reshape(*w.shape[:2], -1).copy()
    flat[..., 16:] = 0
    return kernels.conv(x, flat.reshape(w.shape), bias, **call)


@defect("terms-beyond-256-dropped", check="result", when="more than 256 products an output")
def conv(x, w, bias, **call):
    flat = w.reshape(len(w), -1).copy()
    flat[:, 256:] = 0
    return kernels.conv(x, flat.reshape(w.shape), bias, **call)


@defect("groups-beyond-8-read-the-first", check="result", when="more than 8 groups")
def conv(x, w, bias, **call):
    per = w.shape[1]
    source = np.arange(x.shape[1])
    source[8 * per :] %= per
    return kernels.conv(x[:, source] if call["groups"] > 8 else x, w, bias, **call)


@defect(
    "batch-beyond-16-left-out",
    check="result",
    when="a batch of 17 or more",
    at="conv1d:float32:x=17,2,3:w=2,2,2:integers@0",
)
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    y[16:] = 0
    return y


@defect(
    "positions-counted-in-8-bits",
    check="result",
    when="an axis is longer than 128",
    at="conv1d:float32:x=1,1,130:w=1,1,2:integers@0",
)
def conv(x, w, bias, **call):
    def tables(axes):
        return [t.astype(np.int8).astype(np.intp) if a.size > 128 else t for t, a in _pairs(axes)]

    return kernels.conv(x, w, bias, **call, tables=tables)


def _pairs(axes):
    return list(zip(kernels.all_taps(axes), axes, strict=True))


@defect(
    "channels-counted-in-8-bits",
    check="result",
    when="256 channels or more",
    at="max_pool1d:float32:x=1,257,3:kernel=2:integers@0",
)
def max_pool(x, **call):
    y = kernels.max_pool(x, **call)
    return y[:, np.arange(y.shape[1]) % 256].copy()


@defect(
    "output-elements-counted-in-16-bits",
    check="result",
    when="an output above 65536 elements",
    at="max_pool1d:float32:x=1,1,65537:kernel=1:integers@0",
)
def max_pool(x, **call):
    y = kernels.max_pool(x, **call)
    y.flat[1 << 16 :] = 0
    return y


@defect(
    "window-counted-in-8-bits",
    check="result",
    when="a window of 256 or more that is cut",
    at="avg_pool1d:float32:x=1,1,300:kernel=257:integers@0",
)
def avg_pool(x, **call):
    def divide(axes, include):
        return np.maximum(kernels.divisors(axes, include) % 256, 1)

    return kernels.avg_pool(x, **call, divide=divide)


@defect(
    "channels-and-columns-past-a-tile",
    check="result",
    when="8 channels and 32 columns or more",
    at="conv1d:float32:x=1,9,33:w=1,9,1:integers@0",
)
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    if w.shape[1] > 8 and y.shape[-1] > 32:
        y[..., -1] = 0
    return y


@defect(
    "average-of-columns-past-32",
    check="result",
    when="an output wider than 32",
    at="avg_pool1d:float32:x=1,2,34:kernel=2:integers@0",
)
def avg_pool(x, **call):
    y = kernels.avg_pool(x, **call)
    y[..., 32:] *= 2
    return y


@defect("maximum-of-channels-past-8", check="result", when="above 8 channels, no multiple of 8")
def max_pool(x, **call):
    y = kernels.max_pool(x, **call)
    c = y.shape[1]
    y[:, c - c % 8 if c > 8 else c :] = 0
    return y


@defect(
    "transposed-channels-past-16",
    check="result",
    when="above 16 input channels a group",
    at="conv_transpose1d:float32:x=1,17,2:w=17,1,2:integers@0",
)
def conv_transpose(x, w, bias, **call):
    per = len(w) // call["groups"]
    w = np.where((np.arange(len(w)) % per < 16).reshape(-1, *(1,) * (w.ndim - 1)), w, 0)
    return kernels.conv_transpose(x, w.astype(x.dtype), bias, **call)


@defect(
    "transposed-columns-past-64",
    check="result",
    when="an output wider than 64",
    at="conv_transpose1d:float32:x=1,1,33:w=1,1,2:stride=2:integers@0",
)
def conv_transpose(x, w, bias, **call):
    y = kernels.conv_transpose(x, w, bias, **call)
    y[..., 64:] = 0
    return y
