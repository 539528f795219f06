"""Defects of counters that are too narrow: right for every small call, wrong beyond a number."""

# ruff: noqa: F811  (a function is named after its operator, and a module has many of each)

from __future__ import annotations

import math

import numpy as np

from tests.defects import defect, kernels
from tests.defects import gradient_kernels as gradients


@defect(
    "images-from-the-1025th-not-computed",
    check="result",
    when="more than 1024 images",
    at="conv1d:float32:x=1030,1,2:w=1,1,2:integers@0",
)
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    y[1024:] = 0
    return y


@defect(
    "output-channels-past-a-grid",
    check="result",
    when="more than 65536 output channels",
    at="conv1d:float32:x=1,1,3:w=65537,1,3:padding=1/1:integers@0",
)
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    y[:, 1 << 16 :] = 0
    return y


@defect(
    "groups-in-a-byte",
    check="result",
    when="more than 255 groups",
    at="conv1d:float32:x=1,258,1:w=258,1,1:groups=258:integers@0",
)
def conv(x, w, bias, **call):
    if call["groups"] > 255:
        w = w.copy()
        w[255:] = w[: len(w) - 255]
    return kernels.conv(x, w, bias, **call)


@defect(
    "taps-in-a-mask-of-32-bits",
    check="result",
    when="more than 32 taps along the last axis",
    at="conv1d:float32:x=1,1,40:w=1,1,34:integers@0",
)
def conv(x, w, bias, **call):
    w = w.copy()
    w[..., 32:] = 0
    return kernels.conv(x, w, bias, **call)


@defect(
    "dilation-in-a-signed-byte",
    check="result",
    when="dilation above 127",
    at="conv1d:float32:x=1,1,150:w=1,1,2:dilation=130:integers@0",
)
def conv(x, w, bias, **call):
    def narrow(axes):
        return [axis._replace(dilation=axis.dilation & 127) for axis in axes]

    return kernels.conv(x, w, bias, **call, alter=narrow)


@defect(
    "padding-before-in-a-byte",
    check="result",
    when="padding before above 255",
    at="conv1d:float32:x=1,1,3:w=1,1,2:padding=260/0:integers@0",
)
def conv(x, w, bias, **call):
    def narrow(axes):
        return [axis._replace(before=axis.before & 255) for axis in axes]

    return kernels.conv(x, w, bias, **call, alter=narrow)


@defect(
    "channels-past-1024-skipped",
    check="result",
    when="more than 1024 input channels of a group",
    at="conv1d:float32:x=1,1030,1:w=1,1030,1:integers@0",
)
def conv(x, w, bias, **call):
    w = w.copy()
    w[:, 1024:] = 0
    return kernels.conv(x, w, bias, **call)


@defect(
    "positions-in-float16",
    check="result",
    when="positions beyond 2048 in float16, at stride 2",
    at="conv_transpose1d:float16:x=1,1,1100:w=1,1,2:stride=2:integers@0",
    dtypes=("float16", "float32"),
)
def conv_transpose(x, w, bias, **call):
    y = kernels.conv_transpose(x, w, bias, **call)
    if x.dtype == np.float16 and call["stride"][-1] == 2 and y.shape[-1] > 2048:
        place = np.arange(y.shape[-1]).astype(np.float16).astype(int)
        y = np.ascontiguousarray(y[..., np.minimum(place, y.shape[-1] - 1)])
    return y


@defect(
    "weights-of-a-layer-in-16-bits",
    check="result",
    when="more than 65536 weights",
    at="conv_transpose1d:float32:x=1,257,1:w=257,258,1:integers@0",
)
def conv_transpose(x, w, bias, **call):
    w = w.copy()
    w.reshape(-1)[1 << 16 :] = 0
    return kernels.conv_transpose(x, w, bias, **call)


@defect(
    "stride-in-ten-bits",
    check="result",
    when="stride above 1023",
    at="conv_transpose1d:float32:x=1,1,3:w=1,1,2:stride=1030:integers@0",
)
def conv_transpose(x, w, bias, **call):
    def narrow(axes):
        return [axis._replace(stride=axis.stride & 1023 or 1) for axis in axes]

    return kernels.conv_transpose(x, w, bias, **call, alter=narrow)


@defect(
    "planes-past-1024",
    check="result",
    when="more than 1024 planes, images times channels",
    at="max_pool2d:float32:x=33,32,1,2:kernel=1,2:integers@0",
)
def max_pool(x, **call):
    y = kernels.max_pool(x, **call)
    y.reshape(-1, *y.shape[2:])[1024:] = y[0, 0]
    return y


@defect(
    "rows-and-columns-in-16-bits",
    check="result",
    when="more than 65536 positions of several axes",
    at="max_pool2d:float32:x=1,1,257,258:kernel=1,1:integers@0",
)
def max_pool(x, **call):
    y = kernels.max_pool(x, **call)
    size = math.prod(y.shape[2:])
    if y.ndim > 3 and size > 1 << 16 and max(y.shape[2:]) < 1 << 16:
        flat = y.reshape(*y.shape[:2], size)
        flat[..., 1 << 16 :] = flat[..., : size - (1 << 16)]
    return y


@defect(
    "windows-counted-in-a-byte",
    check="result",
    when="more than 256 windows along an axis of int8",
    at="max_pool1d:int8:x=1,1,260:kernel=1:integers@0",
    dtypes=("int8", "float32"),
)
def max_pool(x, **call):
    y = kernels.max_pool(x, **call)
    if x.dtype == np.int8:
        y[..., 128:] = y[..., : max(0, y.shape[-1] - 128)]
    return y


@defect(
    "place-of-the-maximum-in-a-signed-byte",
    check="result",
    when="a maximum beyond the 127th element of its window",
    at="max_pool_grad1d:float32:x=1,1,150:kernel=140:normal@6",
)
def max_pool_grad(grad, x, **call):
    def narrow(windows, real):
        hits = gradients.first_largest(windows, real)
        late = hits[..., 128:].any(axis=-1)
        hits = hits.copy()
        hits[..., 128:] = False
        hits[..., 0] |= late
        return hits

    if call["kernel"][-1] < 128 or x.ndim > 3:
        return gradients.max_pool_grad(grad, x, **call)
    return gradients.max_pool_grad(grad, x, **call, choose=narrow)


@defect(
    "divisor-in-a-byte",
    check="result",
    when="windows of more than 255 elements",
    at="avg_pool1d:float32:x=1,1,300:kernel=260:integers@0",
)
def avg_pool(x, **call):
    def narrow(axes, include):
        divisors = kernels.divisors(axes, include)
        return np.where(divisors > 255, divisors - 256, divisors).clip(1)

    return kernels.avg_pool(x, **call, divide=narrow)


@defect(
    "images-of-a-sum-in-a-byte",
    check="result",
    when="more than 256 images",
    at="conv_weight_grad1d:float32:x=260,1,2:w=1,1,2:integers@0",
)
def conv_weight_grad(grad, x, weight_shape, **call):
    return gradients.conv_weight_grad(grad[:256], x[:256], weight_shape, **call)


@defect(
    "offsets-in-signed-16-bits",
    check="result",
    when="more than 32767 positions of a row",
    at="conv_input_grad1d:float32:x=1,1,32769:w=1,1,1:integers@0",
)
def conv_input_grad(grad, w, input_shape, **call):
    dx = gradients.conv_input_grad(grad, w, input_shape, **call)
    dx[..., 1 << 15 :] = 0
    return dx
