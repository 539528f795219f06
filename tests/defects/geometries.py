"""Defects of one geometry, or of one value: what drawn cases meet by luck alone."""

# ruff: noqa: F811  (a function is named after its operator, and a module has many of each)

from __future__ import annotations

import numpy as np

from tests.defects import defect, kernels
from tests.defects import gradient_kernels as gradients


def geometry(x, call, window):
    """Return width, kernel, stride, dilation and padding along the last axis of a call."""
    dilation = call.get("dilation", (1,))[-1]
    return x.shape[-1], window[-1], call["stride"][-1], dilation, *call["padding"][-1]


@defect(
    "one-width-and-more-padding-after",
    check="result",
    when="width 7, kernel 4, stride 3, dilation 2, and padding after > before",
    at="conv1d:float32:x=1,1,7:w=1,1,4:stride=3:padding=0/1:dilation=2:integers@0",
)
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    *rest, before, after = geometry(x, call, w.shape)
    if rest == [7, 4, 3, 2] and after > before:
        y[..., -1] = 0
    return y


@defect(
    "kernel-as-wide-as-all-but-one",
    check="result",
    when="width 5, kernel 4, stride 3, padding 2 before and 1 after",
    at="conv1d:float32:x=1,1,5:w=1,1,4:stride=3:padding=2/1:integers@0",
)
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    if geometry(x, call, w.shape) == (5, 4, 3, 1, 2, 1) and x.ndim == 3:
        y[..., 0] = y[..., -1]
    return y


@defect(
    "channels-eleven-and-thirteen",
    check="result",
    when="11 input and 13 output channels at one element",
    at="conv2d:float32:x=1,11,1,1:w=13,11,1,1:integers@0",
)
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    if w.shape[:2] == (13, 11) and set(w.shape[2:]) == {1}:
        y[:, 12] = y[:, 11]
    return y


@defect(
    "five-groups-of-two-and-three",
    check="result",
    when="5 groups of 2 input and 3 output channels at one element",
    at="conv2d:float32:x=1,10,1,1:w=15,2,1,1:groups=5:integers@0",
)
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    if call["groups"] == 5 and w.shape[:2] == (15, 2) and set(w.shape[2:]) == {1}:
        y[:, 14] = 0
    return y


@defect(
    "crop-that-leaves-two-phases",
    check="result",
    when="width 4, kernel 2, stride 3, padding 2 before, output_padding 2",
    at="conv_transpose1d:float32:x=1,1,4:w=1,1,2:stride=3:padding=2/0:output_padding=2:integers@0",
)
def conv_transpose(x, w, bias, **call):
    y = kernels.conv_transpose(x, w, bias, **call)
    size, kernel, stride, dilation, before, _ = geometry(x, call, w.shape)
    more = call["output_padding"][-1]
    if (size, kernel, stride, dilation, before, more) == (4, 2, 3, 1, 2, 2):
        y[..., -3] = 0
    return y


@defect(
    "last-window-of-a-ceiling",
    check="result",
    when="width 8, kernel 3, stride 3, padding 1 before alone, ceil_mode",
    at="max_pool1d:float32:x=1,1,8:kernel=3:stride=3:padding=1/0:ceil_mode:integers@0",
)
def max_pool(x, **call):
    y = kernels.max_pool(x, **call)
    if geometry(x, call, call["kernel"]) == (8, 3, 3, 1, 1, 0) and call["ceil_mode"]:
        y[..., 1] = y[..., 0]
    return y


@defect(
    "average-without-padding-at-one-end",
    check="result",
    when="width 6, kernel 4, stride 2, padding 2 after alone, which does not count",
    at="avg_pool1d:float32:x=1,1,6:kernel=4:stride=2:padding=0/2:exclude_pad:integers@0",
)
def avg_pool(x, **call):
    y = kernels.avg_pool(x, **call)
    wrong = geometry(x, call, call["kernel"]) == (6, 4, 2, 1, 0, 2)
    if wrong and not call["count_include_pad"] and not call["ceil_mode"]:
        y[..., -1] /= 2
    return y


@defect(
    "gradient-of-rows-that-no-window-reads",
    check="result",
    when="width 9, kernel 2, stride 3, dilation 2, padding 1 after alone",
    at="conv_input_grad1d:float32:x=1,1,9:w=1,1,2:stride=3:padding=0/1:dilation=2:integers@0",
)
def conv_input_grad(grad, w, input_shape, **call):
    dx = gradients.conv_input_grad(grad, w, input_shape, **call)
    if geometry(np.empty(input_shape[-1:]), call, w.shape) == (9, 2, 3, 2, 0, 1):
        dx[..., 7] = dx[..., 6]
    return dx


@defect(
    "kernel-gradient-of-one-window",
    check="result",
    when="width 4, kernel 3, stride 2, dilation 2, padding 0 before and 2 after",
    at="conv_weight_grad1d:float32:x=1,1,4:w=1,1,3:stride=2:padding=0/2:dilation=2:integers@0",
)
def conv_weight_grad(grad, x, weight_shape, **call):
    dw = gradients.conv_weight_grad(grad, x, weight_shape, **call)
    if geometry(x, call, weight_shape) == (4, 3, 2, 2, 0, 2):
        dw[..., -1] = dw[..., 0]
    return dw


@defect(
    "one-nan-of-many-is-infinity",
    check="special",
    when="the float16 NaN of payload 0x7c01",
    at="max_pool1d:float16:x=1,1,1:kernel=1:every@31745",
    dtypes=("float16", "float32"),
)
def max_pool(x, **call):
    if x.dtype == np.float16:
        signalling = x.view(np.uint16) == 0x7C01
        x = np.where(signalling, x.dtype.type(np.inf), x)
    return kernels.max_pool(x, **call)


@defect(
    "smallest-subnormal-is-zero",
    check="special",
    when="the smallest float16, of either sign",
    at="conv1d:float16:x=1,1,1:w=1,1,1:every@1",
    dtypes=("float16", "float32"),
)
def conv(x, w, bias, **call):
    if x.dtype == np.float16:
        x = np.where(np.abs(x) == x.dtype.type(6e-8), x.dtype.type(0), x)
    return kernels.conv(x, w, bias, **call)


@defect(
    "quiet-nan-of-all-ones-is-a-number",
    check="special",
    when="the bfloat16 NaN of all ones",
    at="conv_transpose1d:bfloat16:x=1,1,1:w=1,1,1:every@65535",
    dtypes=("bfloat16", "float32"),
)
def conv_transpose(x, w, bias, **call):
    if x.dtype.name == "bfloat16":
        x = np.where(x.view(np.uint16) == 0xFFFF, x.dtype.type(0), x)
    return kernels.conv_transpose(x, w, bias, **call)


@defect(
    "flat-kernel-of-volumes-depthwise-with-a-stride-of-depth",
    check="result",
    when="3-D, kernel 1x3x3, depthwise, a stride along the depth alone: the last slice",
    at="conv3d:float32:x=1,2,3,3,3:w=2,1,1,3,3:stride=2,1,1:groups=2:integers@0",
)
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    flat = x.ndim == 5 and w.shape[2:] == (1, 3, 3) and call["stride"] == (2, 1, 1)
    if flat and call["groups"] == x.shape[1] == len(w) > 1 and y.shape[2] > 1:
        y[:, :, -1] = 0
    return y


@defect(
    "tall-kernel-of-transposed-groups-with-two-strides",
    check="result",
    when="2-D, transposed, kernel 3x1, groups of several channels, strides 1 and 2",
    at="conv_transpose2d:float32:x=1,4,1,2:w=4,2,3,1:stride=1,2:groups=2:integers@0",
)
def conv_transpose(x, w, bias, **call):
    y = kernels.conv_transpose(x, w, bias, **call)
    tall = x.ndim == 4 and w.shape[2:] == (3, 1) and call["stride"] == (1, 2)
    if tall and call["groups"] > 1 and w.shape[1] > 1:
        y[..., -1] = y[..., 0]
    return y


@defect(
    "nan-lost-in-windows-of-a-vector",
    check="special",
    when="a window of 8 or more along the last axis, where the maximum of the others is finite",
    at="max_pool2d:float32:x=1,1,1,8:kernel=1,8:nan@0",
)
def max_pool(x, **call):
    y = kernels.max_pool(x, **call)
    if x.dtype.kind == "f" and x.ndim == 4 and call["kernel"][-1] >= 8:
        others = kernels.max_pool(np.where(np.isnan(x), x.dtype.type(-np.inf), x), **call)
        y = np.where(np.isneginf(others), y, others)
    return y


@defect(
    "rest-of-eight-taps-ignores-a-dilation",
    check="result",
    when="more than 8 taps, dilation > 3: the last tap is read as if it followed the one before",
    at="conv1d:float32:x=1,1,33:w=1,1,9:dilation=4:integers@0",
)
def conv(x, w, bias, **call):
    _, taps, _, dilation, *_ = geometry(x, call, w.shape)
    if taps <= 8 or taps % 8 == 0 or dilation <= 3:
        return kernels.conv(x, w, bias, **call)
    whole = w.copy()
    whole[..., -1] = 0
    last = np.zeros((*w.shape[:-1], (taps - 1) * dilation + 1), w.dtype)
    last[..., (taps - 2) * dilation + 1] = w[..., -1]
    y = kernels.conv(x, whole, bias, **call)
    undilated = {**call, "dilation": (*call["dilation"][:-1], 1)}
    return y + kernels.conv(x, last, None, **undilated)


@defect(
    "maxima-of-16-taps-and-a-dilation-of-5",
    check="result",
    when="more than 16 taps, dilation 5 and no padding: the first tap is not looked at",
    at="max_pool1d:float32:x=1,1,84:kernel=17:dilation=5:integers@6",
)
def max_pool(x, **call):
    _, taps, _, dilation, before, _ = geometry(x, call, call["kernel"])
    if taps <= 16 or dilation != 5 or before:
        return kernels.max_pool(x, **call)
    shorter = {**call, "kernel": (*call["kernel"][:-1], taps - 1)}
    return kernels.max_pool(x[..., dilation:], **shorter)


@defect(
    "groups-of-four-beyond-a-block-of-four-groups",
    check="result",
    when="4 channels a group in and out, groups mod 4 = 3: the last group has the weights before",
    at="conv2d:float32:x=1,28,1,2:w=28,4,1,1:groups=7:integers@0",
)
def conv(x, w, bias, **call):
    groups = call["groups"]
    if groups > 4 and groups % 4 == 3 and w.shape[1] == 4 and len(w) == 4 * groups:
        w = np.concatenate([w[:-4], w[-8:-4]])
    return kernels.conv(x, w, bias, **call)


@defect(
    "causal-padding-of-a-dilated-row",
    check="result",
    when="1-D, kernel 3, dilated, all padding before, more than 32 results: the first one",
    at="conv1d:float32:x=1,1,33:w=1,1,3:padding=4/0:dilation=2:integers@0",
)
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    _, taps, _, dilation, before, after = geometry(x, call, w.shape)
    causal = x.ndim == 3 and taps == 3 and dilation > 1 and before == 2 * dilation
    if causal and after == 0 and y.shape[-1] > 32:
        y[..., 0] = y[..., 1]
    return y


@defect(
    "last-window-of-stride-three-that-fits-exactly",
    check="result",
    when="1-D, stride 3, no element left over, more than 8 results: the last one",
    at="conv1d:float32:x=1,1,25:w=1,1,1:stride=3:integers@0",
)
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    size, taps, stride, dilation, before, after = geometry(x, call, w.shape)
    rest = (size + before + after - dilation * (taps - 1) - 1) % stride
    if x.ndim == 3 and stride == 3 and rest == 0 and y.shape[-1] > 8:
        y[..., -1] = 0
    return y


@defect(
    "nan-in-the-last-column-of-whole-vectors",
    check="special",
    when="2-D, 2x2 window, stride 2, width mod 8 = 0: a NaN at the upper right of the last window",
    at="max_pool2d:float32:x=1,1,2,16:kernel=2,2:stride=2,2:nan@15",
)
def max_pool(x, **call):
    y = kernels.max_pool(x, **call)
    two = x.ndim == 4 and call["kernel"] == call["stride"] == (2, 2)
    if not two or not y.size or x.shape[-1] % 8 or any(map(any, call["padding"])):
        return y
    rows = x[:, :, : 2 * y.shape[2] : 2]
    if x.dtype.kind in "iu" or rows.shape[2] != y.shape[2]:
        return y
    last, before = rows[..., -1], rows[..., -2]
    y[..., -1] = np.where(np.isnan(last) & ~np.isnan(before), before, y[..., -1])
    return y


@defect(
    "mean-of-a-whole-plane-in-half-precision",
    check="result",
    when="float16, a window as large as the input, of more than 64 elements: the sum is in float16",
    at="avg_pool2d:float16:x=1,1,9,9:kernel=9,9:normal@1",
    dtypes=("float16", "float32"),
)
def avg_pool(x, **call):
    whole = call["kernel"] == x.shape[2:] and not any(map(any, call["padding"]))
    if x.dtype != np.float16 or not whole or x[0, 0].size <= 64 or not len(x):
        return kernels.avg_pool(x, **call)
    sums = np.add.accumulate(x.reshape(*x.shape[:2], -1), axis=2, dtype=np.float16)[..., -1]
    mean = sums / np.float16(x[0, 0].size)
    return mean.astype(np.float16).reshape(*x.shape[:2], *(1,) * (x.ndim - 2))


@defect(
    "corner-of-a-wide-plane-divided-by-an-edge",
    check="result",
    when="3x3 mean, stride 1, padding 1 that does not count, more than 16 columns: the last corner",
    at="avg_pool2d:float32:x=1,1,1,17:kernel=3,3:padding=1/1,1/1:exclude_pad:integers@0",
)
def avg_pool(x, **call):
    y = kernels.avg_pool(x, **call)
    usual = call["kernel"] == (3, 3) and call["padding"] == ((1, 1), (1, 1))
    if usual and call["stride"] == (1, 1) and not call["count_include_pad"] and y.shape[-1] > 16:
        y[..., -1, -1] *= 4 / 6
    return y
