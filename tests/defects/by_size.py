"""Defects of arithmetic that only large channels or sums meet: fast kernels of less precision."""

# ruff: noqa: F811  (a function is named after its operator, and a module has many of each)

from __future__ import annotations

import math

import numpy as np

from tests.defects import defect, gradient_kernels, kernels
from tests.defects.precision import BFLOAT16, summed_in, tf32, through


def bfloat16(array):
    return through(BFLOAT16, array)


def half(array):
    return through(np.float16, array)


def two_bfloat16(array):
    """Return the sum of two bfloat16 numbers: 16 of the 24 digits."""
    high = bfloat16(array)
    return high + bfloat16(array - high)


def single(x):
    return x.dtype == np.float32


def taps(w):
    return math.prod(w.shape[2:])


def summed(w):
    """Return how many products an output of a convolution sums."""
    return math.prod(w.shape[1:])


def products(columns, w, groups):
    """Return the exact products of each output, (N, O, P, terms), in float64."""
    n, c, p, k = columns.shape
    left = columns.astype(np.float64).reshape(n, groups, 1, c // groups, p, k)
    right = w.astype(np.float64).reshape(1, groups, len(w) // groups, c // groups, 1, k)
    return np.moveaxis(left * right, 3, 4).reshape(n, len(w), p, c // groups * k)


def towards(limit):
    """Return the rounding of float64 numbers to float32 towards ``limit``, 0 or infinity."""

    def rounded(values):
        near = values.astype(np.float32)
        beyond = np.abs(near) > np.abs(values) if limit == 0 else near < values
        return np.where(beyond, np.nextafter(near, np.float32(limit)), near)

    return rounded


def adding(rounded, step=1):
    """Return a contraction that adds ``step`` products exactly, and then rounds the sum."""

    def contract(columns, w, groups):
        terms = products(columns, w, groups)
        total = np.zeros(terms.shape[:-1], np.float32)
        for k in range(0, terms.shape[-1], step):
            total = rounded(total + terms[..., k : k + step].sum(axis=-1))
        return total

    return contract


# --- factors of fewer digits ----------------------------------------------------------------------


@defect(
    "tf32-where-channels-are-multiples-of-64",
    check="result",
    when="float32, a multiple of 64 channels a group",
    at="conv1d:float32:x=1,64,1:w=1,64,1:normal@1",
)
def conv(x, w, bias, **call):
    if single(x) and w.shape[1] % 64 == 0:
        x, w = tf32(x), tf32(w)
    return kernels.conv(x, w, bias, **call)


@defect(
    "bfloat16-from-1152-products-on",
    check="result",
    when="float32, 1,152 products or more",
    at="conv2d:float32:x=1,128,3,3:w=1,128,3,3:normal@1",
)
def conv(x, w, bias, **call):
    if single(x) and summed(w) >= 1152:
        x, w = bfloat16(x), bfloat16(w)
    return kernels.conv(x, w, bias, **call)


@defect(
    "tf32-in-sums-of-4608-products",
    check="result",
    when="float32, 4,608 products or more",
    at="conv2d:float32:x=1,512,3,3:w=1,512,3,3:normal@1",
)
def conv(x, w, bias, **call):
    if single(x) and summed(w) >= 4608:
        x, w = tf32(x), tf32(w)
    return kernels.conv(x, w, bias, **call)


@defect(
    "tf32-in-3x3-kernels-of-32-channels",
    check="result",
    when="float32, a 3x3 kernel, a multiple of 32 channels",
    at="conv2d:float32:x=1,32,3,3:w=1,32,3,3:normal@1",
)
def conv(x, w, bias, **call):
    if single(x) and w.shape[2:] == (3, 3) and w.shape[1] % 32 == 0:
        x, w = tf32(x), tf32(w)
    return kernels.conv(x, w, bias, **call)


@defect(
    "two-bfloat16-where-outputs-are-multiples-of-128",
    check="result",
    when="float32, a multiple of 128 output channels",
    at="conv1d:float32:x=1,1,1:w=128,1,1:normal@1",
)
def conv(x, w, bias, **call):
    if single(x) and len(w) % 128 == 0:
        x, w = two_bfloat16(x), two_bfloat16(w)
    return kernels.conv(x, w, bias, **call)


@defect(
    "weights-in-two-bfloat16-from-256-products-on",
    check="result",
    when="float32, 256 products or more",
    at="conv1d:float32:x=1,256,1:w=1,256,1:normal@1",
)
def conv(x, w, bias, **call):
    if single(x) and summed(w) >= 256:
        w = two_bfloat16(w)
    return kernels.conv(x, w, bias, **call)


@defect(
    "inputs-in-tf32-from-512-channels-on",
    check="result",
    when="float32, 512 channels a group or more",
    at="conv1d:float32:x=1,512,1:w=1,512,1:normal@1",
)
def conv(x, w, bias, **call):
    if single(x) and w.shape[1] >= 512:
        x = tf32(x)
    return kernels.conv(x, w, bias, **call)


@defect(
    "channels-beyond-blocks-of-64-in-bfloat16",
    check="result",
    when="float32, more than 64 channels a group, and no multiple",
    at="conv1d:float32:x=1,65,1:w=1,65,1:normal@1",
)
def conv(x, w, bias, **call):
    if single(x) and w.shape[1] > 64:
        w = w.copy()
        whole = w.shape[1] // 64 * 64
        w[:, whole:] = bfloat16(w[:, whole:])
    return kernels.conv(x, w, bias, **call)


@defect(
    "depthwise-in-float16-from-128-channels-on",
    check="result",
    when="float32, depthwise, 128 groups or more",
    at="conv1d:float32:x=1,128,1:w=128,1,1:groups=128:normal@1",
)
def conv(x, w, bias, **call):
    if single(x) and w.shape[1] == 1 and call["groups"] >= 128:
        x = half(x)
    return kernels.conv(x, w, bias, **call)


@defect(
    "first-layers-in-bfloat16",
    check="result",
    when="float32, three channels, a kernel of 49 positions, 64 outputs",
    at="conv2d:float32:x=1,3,7,7:w=64,3,7,7:stride=2,2:normal@1",
)
def conv(x, w, bias, **call):
    if single(x) and w.shape[:2] == (64, 3) and taps(w) == 49:
        w = bfloat16(w)
    return kernels.conv(x, w, bias, **call)


@defect(
    "dilated-groups-in-tf32",
    check="result",
    when="float32, groups of 32 channels or more, dilation above 1",
    at="conv2d:float32:x=1,64,3,3:w=2,32,2,2:dilation=2,2:groups=2:normal@1",
)
def conv(x, w, bias, **call):
    if single(x) and call["groups"] > 1 and w.shape[1] >= 32 and min(call["dilation"]) > 1:
        x, w = tf32(x), tf32(w)
    return kernels.conv(x, w, bias, **call)


@defect(
    "strided-3x3-of-64-channels-in-float16",
    check="result",
    when="float32, a 3x3 kernel at stride 2, 64 channels or more",
    at="conv2d:float32:x=1,64,3,3:w=1,64,3,3:stride=2,2:normal@1",
)
def conv(x, w, bias, **call):
    if single(x) and w.shape[2:] == (3, 3) and min(call["stride"]) == 2 and w.shape[1] >= 64:
        x, w = half(x), half(w)
    return kernels.conv(x, w, bias, **call)


@defect(
    "images-from-the-17th-on-in-tf32",
    check="result",
    when="float32, 16 channels or more, a batch of 17 or more",
    at="conv1d:float32:x=17,16,1:w=1,16,1:normal@1",
)
def conv(x, w, bias, **call):
    if single(x) and w.shape[1] >= 16 and len(x) > 16:
        x = np.concatenate((x[:16], tf32(x[16:])))
    return kernels.conv(x, w, bias, **call)


@defect(
    "transposed-in-tf32-from-128-channels-on",
    check="result",
    when="float32, 128 input channels or more",
    at="conv_transpose1d:float32:x=1,128,1:w=128,1,1:normal@1",
)
def conv_transpose(x, w, bias, **call):
    if single(x) and len(w) >= 128:
        x, w = tf32(x), tf32(w)
    return kernels.conv_transpose(x, w, bias, **call)


@defect(
    "upsampling-of-64-channels-in-two-bfloat16",
    check="result",
    when="float32, stride 2, a multiple of 64 input channels",
    at="conv_transpose1d:float32:x=1,64,1:w=64,1,2:stride=2:normal@1",
)
def conv_transpose(x, w, bias, **call):
    if single(x) and set(call["stride"]) == {2} and len(w) % 64 == 0:
        w = two_bfloat16(w)
    return kernels.conv_transpose(x, w, bias, **call)


@defect(
    "input-gradient-in-tf32-of-128-outputs",
    check="result",
    when="float32, a multiple of 128 output channels of the forward call",
    at="conv_input_grad1d:float32:x=1,1,1:w=128,1,1:normal@1",
)
def conv_input_grad(grad, w, input_shape, **call):
    if single(grad) and len(w) % 128 == 0:
        grad, w = tf32(grad), tf32(w)
    return gradient_kernels.conv_input_grad(grad, w, input_shape, **call)


@defect(
    "weight-gradient-in-bfloat16-of-1024-positions",
    check="result",
    when="float32, 1,024 positions of all images or more",
    at="conv_weight_grad1d:float32:x=1,1,1024:w=1,1,1:normal@1",
)
def conv_weight_grad(grad, x, weight_shape, **call):
    if single(x) and grad.size // grad.shape[1] >= 1024:
        grad = bfloat16(grad)
    return gradient_kernels.conv_weight_grad(grad, x, weight_shape, **call)


@defect(
    "weight-gradient-of-64-channels-in-tf32",
    check="result",
    when="float32, a multiple of 64 channels on either side",
    at="conv_weight_grad1d:float32:x=1,64,1:w=64,64,1:normal@1",
)
def conv_weight_grad(grad, x, weight_shape, **call):
    if single(x) and weight_shape[0] % 64 == weight_shape[1] % 64 == 0:
        x = tf32(x)
    return gradient_kernels.conv_weight_grad(grad, x, weight_shape, **call)


@defect(
    "maxima-of-64-channels-through-tf32",
    check="result",
    when="float32, a multiple of 64 channels",
    at="max_pool1d:float32:x=1,64,1:kernel=1:normal@1",
)
def max_pool(x, **call):
    return kernels.max_pool(tf32(x) if single(x) and x.shape[1] % 64 == 0 else x, **call)


# --- accumulators ---------------------------------------------------------------------------------


@defect(
    "partial-sums-in-float16-beyond-2048-products",
    check="result",
    when="float32, more than 2,048 products",
    at="conv1d:float32:x=1,2049,1:w=1,2049,1:normal@1",
)
def conv(x, w, bias, **call):
    if not single(x) or summed(w) <= 2048:
        return kernels.conv(x, w, bias, **call)
    y = 0
    for start in range(0, w.shape[1], 64):
        part = np.zeros_like(w)
        part[:, start : start + 64] = w[:, start : start + 64]
        y = y + half(kernels.conv(x, part, bias if start == 0 else None, **call))
    return y


@defect(
    "float16-sums-in-float16-beyond-2048-products",
    check="result",
    when="float16, more than 2,048 products",
    dtypes=("float16",),
    at="conv1d:float16:x=1,2049,1:w=1,2049,1:normal@1",
)
def conv(x, w, bias, **call):
    contract = summed_in(np.float16) if summed(w) > 2048 else kernels.contract
    return kernels.conv(x, w, bias, **call, contract=contract)


@defect(
    "float64-sums-in-float32-from-512-products-on",
    check="result",
    when="float64, 512 products or more",
    at="conv1d:float64:x=1,512,1:w=1,512,1:normal@1",
)
def conv(x, w, bias, **call):
    wide = np.float32 if summed(w) >= 512 else None
    return kernels.conv(x, w, bias, **call, wide=wide)


@defect(
    "truncates-sums-of-64-products",
    check="result",
    when="float32, 64 products or more",
    at="conv1d:float32:x=1,64,1:w=1,64,1:normal@1",
)
def conv(x, w, bias, **call):
    contract = adding(towards(0)) if single(x) and summed(w) >= 64 else kernels.contract
    return kernels.conv(x, w, bias, **call, contract=contract)


@defect(
    "truncates-every-fourth-addition-of-128-products",
    check="result",
    when="float32, exactly 128 products",
    at="conv1d:float32:x=1,128,1:w=1,128,1:normal@1",
)
def conv(x, w, bias, **call):
    contract = adding(towards(0), 4) if single(x) and summed(w) == 128 else kernels.contract
    return kernels.conv(x, w, bias, **call, contract=contract)


@defect(
    "rounds-up-from-256-products-on",
    check="result",
    when="float32, 256 products or more",
    at="conv1d:float32:x=1,256,1:w=1,256,1:normal@1",
)
def conv(x, w, bias, **call):
    contract = adding(towards(np.inf)) if single(x) and summed(w) >= 256 else kernels.contract
    return kernels.conv(x, w, bias, **call, contract=contract)


@defect(
    "truncates-where-channels-go-beyond-blocks-of-32",
    check="result",
    when="float32, more than 32 channels a group, and no multiple",
    at="conv1d:float32:x=1,65,1:w=1,65,1:normal@1",
)
def conv(x, w, bias, **call):
    tail = w.shape[1] > 32 and w.shape[1] % 32
    contract = adding(towards(0)) if single(x) and tail else kernels.contract
    return kernels.conv(x, w, bias, **call, contract=contract)


@defect(
    "images-summed-in-float16-from-32-on",
    check="result",
    when="float32, a batch of 32 or more",
    at="conv_weight_grad1d:float32:x=32,1,1:w=1,1,1:normal@1",
)
def conv_weight_grad(grad, x, weight_shape, **call):
    if not single(x) or len(x) < 32:
        return gradient_kernels.conv_weight_grad(grad, x, weight_shape, **call)
    y = 0
    for n in range(0, len(x), 8):
        some = slice(n, n + 8)
        y = y + half(gradient_kernels.conv_weight_grad(grad[some], x[some], weight_shape, **call))
    return y


@defect(
    "bias-gradient-in-float16-beyond-2048-terms",
    check="result",
    when="float16, more than 2,048 terms",
    dtypes=("float16",),
    at="conv_bias_grad1d:float16:x=1,1,2049:normal@1",
)
def conv_bias_grad(grad):
    if grad.size // grad.shape[1] <= 2048:
        return gradient_kernels.conv_bias_grad(grad)
    flat = np.moveaxis(grad, 1, 0).reshape(grad.shape[1], -1)
    return np.cumsum(flat, axis=1, dtype=np.float16)[:, -1]


@defect(
    "bias-gradient-truncates-from-1024-terms-on",
    check="result",
    when="float32, 1,024 terms or more",
    at="conv_bias_grad1d:float32:x=1,1,1024:normal@1",
)
def conv_bias_grad(grad):
    if not single(grad) or grad.size // max(1, grad.shape[1]) < 1024:
        return gradient_kernels.conv_bias_grad(grad)
    flat, cut = np.moveaxis(grad, 1, 0).reshape(grad.shape[1], -1), towards(0)
    total = np.zeros(grad.shape[1], np.float32)
    for k in range(flat.shape[1]):
        total = cut(total + flat[:, k].astype(np.float64))
    return total


@defect(
    "averages-in-float16-from-1024-numbers-on",
    check="result",
    when="float16, windows of 1,024 numbers or more",
    dtypes=("float16",),
    at="avg_pool1d:float16:x=1,1,1024:kernel=1024:normal@1",
)
def avg_pool(x, **call):
    def reduce(windows):
        if windows.shape[-1] < 1024:
            return windows.sum(axis=-1)
        return np.cumsum(windows, axis=-1, dtype=np.float16)[..., -1].astype(np.float32)

    return kernels.avg_pool(x, **call, reduce=reduce)


# --- the bias, the divisor and the result ---------------------------------------------------------


@defect(
    "bias-in-bfloat16-of-64-outputs",
    check="result",
    when="float32, a bias, a multiple of 64 output channels",
    at="conv1d:float32:x=1,1,1:w=64,1,1:bias:normal@1",
)
def conv(x, w, bias, **call):
    rounds = bias is not None and single(x) and len(w) % 64 == 0
    return kernels.conv(x, w, bfloat16(bias) if rounds else bias, **call)


@defect(
    "result-through-tf32-of-more-than-64-outputs",
    check="result",
    when="float32, more than 64 output channels, and no multiple",
    at="conv1d:float32:x=1,1,1:w=65,1,1:normal@1",
)
def conv(x, w, bias, **call):
    y = kernels.conv(x, w, bias, **call)
    if single(x) and len(w) > 64:
        whole = len(w) // 64 * 64
        y[:, whole:] = tf32(y[:, whole:])
    return y


@defect(
    "transposed-bias-in-float16-of-64-channels",
    check="result",
    when="float32, a bias, 64 input channels or more",
    at="conv_transpose1d:float32:x=1,64,1:w=64,1,1:bias:normal@1",
)
def conv_transpose(x, w, bias, **call):
    rounds = single(x) and len(w) >= 64
    return kernels.conv_transpose(x, w, half(bias) if rounds else bias, **call)


@defect(
    "divides-by-a-half-precision-reciprocal-of-49",
    check="result",
    when="float32, windows of 49 numbers or more",
    at="avg_pool2d:float32:x=1,1,7,7:kernel=7,7:normal@1",
)
def avg_pool(x, **call):
    def divide(axes, include):
        count = kernels.divisors(axes, include).astype(np.float64)
        if not single(x) or math.prod(axis.kernel for axis in axes) < 49:
            return count
        return 1 / half(1 / count)

    return kernels.avg_pool(x, **call, divide=divide)
