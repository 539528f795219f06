"""Defects that show where a memory layout of one array meets one parameter, or one size."""

# ruff: noqa: F811  (a function is named after its operator, and a module has many of each)

from __future__ import annotations

import itertools

import numpy as np

from tests.defects import defect, kernels
from tests.defects import gradient_kernels as gradients

FLOATS_AND_INTEGERS = ("float32", "float64", "int8", "int16", "int32", "int64", "uint8")


def lies(array, *order):
    """Whether the axes lie in memory in this order, without gaps, and in no other one."""
    long = sum(size > 1 for size in array.shape) > 1
    return long and array.transpose(order).flags.c_contiguous and not array.flags.c_contiguous


def channels_last(array):
    return lies(array, 0, *range(2, array.ndim), 1)


def exchanged(array):
    return lies(array, 1, 0, *range(2, array.ndim))


def spatial_first(array):
    return lies(array, *range(2, array.ndim), 1, 0)


def steps(array):
    """Return the strides of the axes with more than one element, in elements."""
    sizes = zip(array.shape, array.strides, strict=True)
    return [stride // array.itemsize for size, stride in sizes if size > 1]


def cropped(array):
    """Whether rows are contiguous and the array is not: a slice without steps."""
    strides = steps(array)
    falling = all(a > b for a, b in itertools.pairwise(strides))
    return strides[-1:] == [1] and falling and not array.flags.c_contiguous


def expanded(array, axis):
    return array.shape[axis] > 1 and array.strides[axis] == 0


def without_last(y):
    """Return the result with its last element cleared along every axis but the first."""
    y[(slice(None), *(-1,) * (y.ndim - 1))] = 0
    return y


def padded(call):
    return any(map(any, call["padding"]))


def strided(call):
    return max(call["stride"]) > 1


# --- channels-last ------------------------------------------------------------------------------


@defect(
    "maximum-of-channels-last-integers-begins-at-zero",
    check="layout",
    when="integers, channels-last, all of a window negative",
    at="max_pool2d:int32:x=1,2,2,2:kernel=2,2:integers@0 "
    "max_pool2d:int8:x=1,2,3,3:kernel=2,2:integers@5",
    dtypes=FLOATS_AND_INTEGERS,
)
def max_pool(x, **call):
    y = kernels.max_pool(x, **call)
    if x.dtype.kind == "i" and channels_last(x):
        np.maximum(y, 0, out=y)
    return y


@defect(
    "channels-last-border-repeats-the-edge", check="layout", when="x is channels-last, and padded"
)
def conv(x, w, bias, **call):
    if not (channels_last(x) and padded(call)):
        return kernels.conv(x, w, bias, **call)
    x = np.pad(x, ((0, 0), (0, 0), *call["padding"]), mode="edge")
    return kernels.conv(x, w, bias, **call | {"padding": ((0, 0),) * len(call["padding"])})


@defect(
    "channels-last-remainder-of-eight-dropped",
    check="layout",
    when="x is channels-last, C mod 8 is 1 to 7, and N > 1",
)
def conv(x, w, bias, **call):
    if channels_last(x) and x.shape[1] % 8 and len(x) > 1:
        x = x.copy()
        x[1:, x.shape[1] // 8 * 8 :] = 0
    return kernels.conv(x, w, bias, **call)


@defect(
    "channels-last-depthwise-takes-one-filter",
    check="layout",
    when="x is channels-last, depthwise, more than one channel",
)
def conv(x, w, bias, **call):
    if channels_last(x) and call["groups"] == x.shape[1] > 1:
        w = np.broadcast_to(w[:1], w.shape)
    return kernels.conv(x, w, bias, **call)


@defect(
    "channels-last-average-counts-the-padding",
    check="layout",
    at="avg_pool1d:float32:x=1,2,3:kernel=2:padding=1/1:exclude_pad:integers@0",
    when="x is channels-last, padded, and count_include_pad is off",
)
def avg_pool(x, **call):
    if channels_last(x):
        call["count_include_pad"] = True
    return kernels.avg_pool(x, **call)


@defect(
    "channels-last-sums-in-half",
    check="layout",
    when="x is channels-last, in float16",
    at="conv2d:float16:x=2,16,5,5:w=2,16,3,3:normal@0",
    dtypes=("float16", "float32"),
)
def conv(x, w, bias, **call):
    half = x.dtype == np.float16 and channels_last(x)
    return kernels.conv(x, w, bias, **call, wide=np.float16 if half else None)


@defect(
    "channels-last-phase-of-the-stride-lost",
    check="layout",
    at="conv_transpose3d:float32:x=1,2,2,2,2:w=2,2,1,1,2:stride=1,1,2:integers@0",
    when="x is channels-last in 3-D, the last stride above 1",
)
def conv_transpose(x, w, bias, **call):
    y = kernels.conv_transpose(x, w, bias, **call)
    if x.ndim == 5 and channels_last(x) and call["stride"][-1] > 1:
        y[..., 1 :: call["stride"][-1]] = 0
    return y


@defect(
    "channels-last-crop-taken-for-whole",
    check="layout",
    when="x is a channels-last crop, and the window has several elements",
)
def conv(x, w, bias, **call):
    whole = x.ndim < 3 or x.shape[1] < 2 or x.strides[1] != x.itemsize or channels_last(x)
    if not whole and w[0, 0].size > 1:
        x = np.roll(x, 1, axis=-1)
    return kernels.conv(x, w, bias, **call)


@defect(
    "channels-last-gradient-of-first-group",
    check="layout",
    when="grad is channels-last, several groups",
)
def conv_input_grad(grad, w, input_shape, **call):
    dx = gradients.conv_input_grad(grad, w, input_shape, **call)
    if channels_last(grad) and call["groups"] > 1:
        dx[:, dx.shape[1] // call["groups"] :] = 0
    return dx


@defect(
    "channels-last-bias-gradient-of-one-image", check="layout", when="grad is channels-last, N > 1"
)
def conv_bias_grad(grad, **call):
    return gradients.conv_bias_grad(grad[:1] if channels_last(grad) else grad, **call)


# --- the order of the axes of a weight ----------------------------------------------------------


@defect(
    "weights-of-tensorflow-read-with-channels-exchanged",
    check="layout",
    at="conv2d:float32:x=1,2,3,3:w=2,2,2,3:integers@0",
    when="w lies with its spatial axes first, and is as wide as deep, in one group",
)
def conv(x, w, bias, **call):
    if spatial_first(w) and w.shape[0] == w.shape[1] and call["groups"] == 1:
        w = w.swapaxes(0, 1)
    return kernels.conv(x, w, bias, **call)


@defect(
    "exchanged-weights-and-output-padding",
    check="layout",
    when="w has its first axes exchanged, output_padding above 0",
)
def conv_transpose(x, w, bias, **call):
    y = kernels.conv_transpose(x, w, bias, **call)
    return without_last(y) if exchanged(w) and any(call["output_padding"]) else y


@defect(
    "fortran-gradient-and-dilation",
    check="layout",
    at="conv_weight_grad1d:float32:x=1,2,7:w=2,2,2:dilation=4:memory=fortran-x:integers@0",
    when="x is Fortran-ordered and grad is not, a dilation above 1",
)
def conv_weight_grad(grad, x, weight_shape, **call):
    dw = gradients.conv_weight_grad(grad, x, weight_shape, **call)
    ordered = lies(x, *range(x.ndim)[::-1]) and grad.flags.c_contiguous
    return without_last(dw) if ordered and max(call["dilation"]) > 1 else dw


# --- crops and slices ---------------------------------------------------------------------------


@defect("crop-and-stride", check="layout", when="x is a crop, a stride above 1")
def conv(x, w, bias, **call):
    if cropped(x) and strided(call):
        x = np.roll(x, 1, axis=-2)
    return kernels.conv(x, w, bias, **call)


@defect(
    "images-as-far-apart-as-they-are-large",
    check="layout",
    when="x is a slice of channels, whose planes are contiguous, N > 1",
)
def max_pool(x, **call):
    if len(x) > 1 and x[0].flags.c_contiguous and not x.flags.c_contiguous:
        x = np.concatenate((x[:1], np.roll(x[1:], 1, axis=1)))
    return kernels.max_pool(x, **call)


@defect(
    "cropped-weights-and-dilation",
    check="layout",
    at="conv1d:float32:x=1,2,5:w=2,2,2:dilation=3:integers@0",
    when="w is a crop, a dilation above 1",
)
def conv(x, w, bias, **call):
    if cropped(w) and max(call["dilation"]) > 1:
        w = np.roll(w, 1, axis=-1) if w.shape[-1] > 1 else 2 * w
    return kernels.conv(x, w, bias, **call)


@defect(
    "rows-apart-and-rounded-up",
    check="layout",
    when="x is cropped along its last axis, ceil_mode",
)
def avg_pool(x, **call):
    y = kernels.avg_pool(x, **call)
    return without_last(y) if call["ceil_mode"] and cropped(x) and len(steps(x)) > 1 else y


@defect(
    "cropped-gradient-and-padding",
    check="layout",
    at="max_pool_grad1d:float32:x=2,2,6:kernel=2:padding=1/1:memory=cropped-grad:integers@0",
    when="grad is a crop and x none, with padding",
)
def max_pool_grad(grad, x, **call):
    dx = gradients.max_pool_grad(grad, x, **call)
    return 0 * dx if cropped(grad) and x.flags.c_contiguous and padded(call) else dx


# --- flips and zero strides ---------------------------------------------------------------------


@defect(
    "flipped-rows-and-stride",
    check="layout",
    when="x is flipped along its last axis alone, the last stride above 1",
)
def max_pool(x, **call):
    first = x.strides[0] > 0 or len(x) == 1
    if first and x.strides[-1] < 0 and x.shape[-1] > 1 and call["stride"][-1] > 1:
        x = np.roll(x, 1, axis=-1)
    return kernels.max_pool(x, **call)


@defect(
    "channels-in-reverse-and-groups",
    check="layout",
    when="x has its channels in reverse, and rows as usual, in several groups",
)
def conv(x, w, bias, **call):
    reverse = x.strides[1] < 0 < x.strides[-1] and x.shape[1] > 1
    return kernels.conv(x[:, ::-1] if reverse and call["groups"] > 1 else x, w, bias, **call)


@defect(
    "grey-channel-counted-once", check="layout", when="x is expanded along its channels, and padded"
)
def conv(x, w, bias, **call):
    if expanded(x, 1) and padded(call):
        x = x.copy()
        x[:, 1:] = 0
    return kernels.conv(x, w, bias, **call)


@defect(
    "gradient-of-an-expanded-batch-added-up",
    check="layout",
    when="grad is expanded along the batch, windows overlap",
)
def avg_pool_grad(grad, input_shape, **call):
    dx = gradients.avg_pool_grad(grad, input_shape, **call)
    overlap = any(k > s for k, s in zip(call["kernel"], call["stride"], strict=True))
    return dx * len(grad) if expanded(grad, 0) and overlap else dx


@defect(
    "equal-filters-applied-once",
    check="layout",
    when="w is expanded along its filters, with a bias",
)
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    if expanded(w, 0) and bias is not None:
        y[:, 1:] = y[:, :1]
    return y


# --- strides without a meaning, memory in common, bytes -----------------------------------------


@defect(
    "distance-of-images-taken-from-one-image",
    check="layout",
    when="N = 1 and the stride of the batch is larger than an image, with a stride above 1",
)
def conv(x, w, bias, **call):
    if len(x) == 1 and x.strides[0] > 2 * x[0].nbytes and x.flags.c_contiguous and strided(call):
        x = np.roll(x, 1, axis=1) if x.shape[1] > 1 else 2 * x
    return kernels.conv(x, w, bias, **call)


@defect(
    "one-channel-taken-for-channels-last",
    check="layout",
    when="C = 1, and the stride of the channels is one element, with padding",
)
def max_pool(x, **call):
    y = kernels.max_pool(x, **call)
    stray = x.shape[1] == 1 and x.strides[1] == x.itemsize and x[0, 0].size > 1
    return without_last(y) if stray and padded(call) else y


@defect(
    "weights-inside-the-input-read-as-padding",
    check="layout",
    when="x and w share memory, with padding",
)
def conv(x, w, bias, **call):
    shared = padded(call) and np.may_share_memory(x, w)
    return kernels.conv(x, 0 * w if shared else w, bias, **call)


@defect("first-group-of-swapped-bytes", check="layout", when="w is byte-swapped, in several groups")
def conv(x, w, bias, **call):
    if not w.dtype.isnative and call["groups"] > 1:
        w = w.astype(w.dtype.newbyteorder("="))
        w[len(w) // call["groups"] :] = 0
    return kernels.conv(x, w, bias, **call)


@defect("strided-bias-and-batch", check="layout", when="the bias has gaps, N > 1")
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    if bias is not None and len(bias) > 1 and bias.strides[0] > bias.itemsize:
        y[1:] -= kernels.column(bias, y.dtype, y.ndim - 2)
    return y
