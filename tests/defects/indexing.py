"""Defects of indexing: strides, dilations, axes, groups and the kernel's orientation."""

# ruff: noqa: F811  (a function is named after its operator, and a module has many of each)

from __future__ import annotations

import numpy as np

from tests.defects import defect, kernels
from tests.defects.alterations import backwards, every, first_everywhere, last, taken_from


@defect("kernel-flipped", check="result", when="the kernel is not symmetric")
def conv(x, w, bias, **call):
    flipped = w[(..., *(slice(None, None, -1),) * len(call["stride"]))]
    return kernels.conv(x, flipped, bias, **call)


@defect("kernel-flipped-along-the-last-axis", check="result", when="its last axis is above 1")
def conv(x, w, bias, **call):
    return kernels.conv(x, w[..., ::-1], bias, **call)


@defect("square-kernel-transposed", check="result", when="2-D, a square kernel above 1x1")
def conv(x, w, bias, **call):
    square = w.ndim == 4 and w.shape[2] == w.shape[3]
    return kernels.conv(x, w.swapaxes(2, 3) if square else w, bias, **call)


@defect("stride-ignored-on-the-last-axis", check="result", when="the last stride is above 1")
def conv(x, w, bias, **call):
    return kernels.conv(x, w, bias, **call, alter=last(stride=1))


@defect("stride-of-the-first-axis-everywhere", check="result", when="strides differ")
def conv(x, w, bias, **call):
    return kernels.conv(x, w, bias, **call, alter=taken_from(first_everywhere, "stride"))


@defect("strides-swapped", check="result", when="the first and the last stride differ")
def max_pool(x, **call):
    return kernels.max_pool(x, **call, alter=taken_from(backwards, "stride"))


@defect("stride-is-the-window", check="result", when="the stride is not the window")
def max_pool(x, **call):
    return kernels.max_pool(x, **call, alter=every(stride=lambda a: a.kernel))


@defect("stride-one-off-after-the-first-window", check="result", when="4 outputs along an axis")
def avg_pool(x, **call):
    def tables(axes):
        return [kernels.taps(a) + (np.arange(a.out) >= 3)[:, None] for a in axes]

    return kernels.avg_pool(x, **call, tables=tables)


@defect("dilation-ignored", check="result", when="a dilation is above 1")
def conv(x, w, bias, **call):
    return kernels.conv(x, w, bias, **call, alter=every(dilation=1))


@defect("dilation-ignored-by-max-pool", check="result", when="a dilation is above 1")
def max_pool(x, **call):
    return kernels.max_pool(x, **call, alter=every(dilation=1))


@defect("dilation-on-the-wrong-axis", check="result", when="the first and last dilation differ")
def conv(x, w, bias, **call):
    return kernels.conv(x, w, bias, **call, alter=taken_from(backwards, "dilation"))


@defect("dilation-counted-from-zero", check="result", when="the kernel is above 1")
def conv(x, w, bias, **call):
    return kernels.conv(x, w, bias, **call, alter=every(dilation=lambda a: a.dilation + 1))


@defect("dilation-capped-at-two", check="result", when="a dilation is 3 or more")
def conv(x, w, bias, **call):
    return kernels.conv(x, w, bias, **call, alter=every(dilation=lambda a: min(a.dilation, 2)))


@defect("dilation-scaled-by-stride", check="result", when="stride and dilation are above 1")
def conv(x, w, bias, **call):
    def scaled(axis):
        return axis.dilation * (axis.stride if axis.dilation > 1 else 1)

    return kernels.conv(x, w, bias, **call, alter=every(dilation=scaled))


@defect("first-row-of-windows-skipped", check="result", when="the window has 2 rows or more")
def max_pool(x, **call):
    def tables(axes):
        rows, *others = kernels.all_taps(axes)
        rows[:, 0] = rows[:, -1]
        return [rows, *others]

    return kernels.max_pool(x, **call, tables=tables)


@defect(
    "last-window-slid-back-into-the-input", check="result", when="a window reaches past the end"
)
def conv(x, w, bias, **call):
    def tables(axes):
        found = []
        for axis in axes:
            table = kernels.taps(axis)
            beyond = np.maximum(table[:, -1:] - (axis.size - 1), 0)
            found.append(table - np.where(table[:, :1] >= beyond, beyond, 0))
        return found

    return kernels.conv(x, w, bias, **call, tables=tables)


@defect("window-start-clamped-to-the-input", check="result", when="there is padding before")
def avg_pool(x, **call):
    def tables(axes):
        return [t + np.maximum(-t[:, :1], 0) for t in kernels.all_taps(axes)]

    return kernels.avg_pool(x, **call, tables=tables)


@defect("last-column-not-computed", check="result", when="the output is odd and above 1 wide")
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    if y.shape[-1] % 2 and y.shape[-1] > 1:
        y[..., -1] = 0
    return y


@defect("depth-taken-for-the-last-axis", check="result", when="3-D and the strides differ")
def conv(x, w, bias, **call):
    rolled = taken_from(lambda axes: axes[1:] + axes[:1], "stride")
    return kernels.conv(x, w, bias, **call, alter=rolled if x.ndim == 5 else kernels.unaltered)


@defect("axes-of-the-window-reversed", check="result", when="the window is not square")
def avg_pool(x, **call):
    return kernels.avg_pool(x, **call, alter=taken_from(backwards, "kernel"))


@defect("groups-interleaved", check="result", when="groups of several channels")
def conv(x, w, bias, **call):
    order = np.arange(x.shape[1]).reshape(-1, call["groups"]).T.reshape(-1)
    return kernels.conv(x[:, order], w, bias, **call)


@defect("output-channels-interleaved-over-groups", check="result", when="groups make several")
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    order = np.arange(y.shape[1]).reshape(call["groups"], -1).T.reshape(-1)
    return y[:, order]


@defect("depthwise-multiplier-order-swapped", check="result", when="depthwise, multiplier above 1")
def conv(x, w, bias, **call):
    groups = call["groups"]
    if groups == x.shape[1] and w.shape[1] == 1:
        y = kernels.conv(x, w, None, **call)
        y = y.reshape(len(x), groups, -1, *y.shape[2:]).swapaxes(1, 2).reshape(y.shape)
        return y if bias is None else y + bias.reshape(-1, *(1,) * (x.ndim - 2))
    return kernels.conv(x, w, bias, **call)


@defect("every-group-reads-the-first", check="result", when="groups are above 1")
def conv(x, w, bias, **call):
    groups = call["groups"]
    first = np.concatenate([x[:, : x.shape[1] // groups]] * groups, axis=1)
    return kernels.conv(first, w, bias, **call)


@defect("last-group-left-out", check="result", when="groups are 3 or more")
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    if call["groups"] > 2:
        y[:, -(y.shape[1] // call["groups"]) :] = 0
    return y


@defect("channels-of-groups-shifted", check="result", when="3 groups")
def conv(x, w, bias, **call):
    return kernels.conv(np.roll(x, call["groups"] == 3, axis=1), w, bias, **call)


@defect("batch-element-zero-for-all", check="result", when="the batch is above 1")
def conv(x, w, bias, **call):
    first = np.broadcast_to(x[:1], x.shape) if len(x) else x
    return kernels.conv(first, w, bias, **call)


@defect("last-batch-element-left-out", check="result", when="the batch is above 2")
def avg_pool(x, **call):
    y = kernels.avg_pool(x, **call)
    y[2:][-1:] = 0
    return y


@defect("batch-and-channels-mixed-up", check="result", when="as many channels as batch elements")
def max_pool(x, **call):
    y = kernels.max_pool(x, **call)
    return y.swapaxes(0, 1).copy() if len(x) == x.shape[1] else y


@defect("stride-and-dilation-swapped", check="result", when="stride and dilation differ")
def conv_transpose(x, w, bias, **call):
    def swap(axes):
        return [a._replace(stride=a.dilation, dilation=a.stride) for a in axes]

    return kernels.conv_transpose(x, w, bias, **call, alter=swap)


@defect("transposed-kernel-not-flipped", check="result", when="the kernel is not symmetric")
def conv_transpose(x, w, bias, **call):
    flipped = w[(..., *(slice(None, None, -1),) * (w.ndim - 2))]
    return kernels.conv_transpose(x, flipped, bias, **call)


@defect("input-and-output-channels-swapped", check="result", when="as many inputs as outputs")
def conv_transpose(x, w, bias, **call):
    square = w.shape[0] == w.shape[1] and call["groups"] == 1
    return kernels.conv_transpose(x, w.swapaxes(0, 1) if square else w, bias, **call)


@defect("transposed-dilation-ignored", check="result", when="a dilation is above 1")
def conv_transpose(x, w, bias, **call):
    return kernels.conv_transpose(x, w, bias, **call, alter=every(dilation=1))


@defect("transposed-strides-swapped", check="result", when="the first and last stride differ")
def conv_transpose(x, w, bias, **call):
    return kernels.conv_transpose(x, w, bias, **call, alter=taken_from(backwards, "stride"))


@defect("overlaps-overwritten", check="result", when="taps of different inputs overlap")
def conv_transpose(x, w, bias, **call):
    def assign(parts, tables, sizes):
        places = kernels.flat(tables, sizes)
        y = np.zeros((*parts.shape[:2], int(np.prod(sizes)) + 1), parts.dtype)
        for k in range(places.shape[1]):
            y[..., places[:, k]] = parts[..., k]
        return y[..., :-1].reshape(*parts.shape[:2], *sizes)

    return kernels.conv_transpose(x, w, bias, **call, scatter=assign)


@defect("groups-of-the-weight-interleaved", check="result", when="groups of several channels")
def conv_transpose(x, w, bias, **call):
    groups = call["groups"]
    order = np.arange(len(w)).reshape(-1, groups).T.reshape(-1)
    return kernels.conv_transpose(x, w[order] if groups > 1 else w, bias, **call)
