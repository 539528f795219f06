"""Shifted matrix products: loop over the kernel positions only, channels last.

Channels last, the channels of a position lie side by side, so a 1x1 convolution is a matrix product
as it stands: (N * P, C) @ (C, O). A larger kernel is one 1x1 convolution for each of its positions,
each on the input shifted by that position, all added up. For the kernel size 3 and no padding::

    x   a b c d e        y  =  [a b c] * w0        every letter is a vector of C channels,
                            +  [b c d] * w1        every w a matrix (C, O)
                            +  [c d e] * w2

A shift is a slice: stride is its step, dilation the distance between shifts. conv_transpose is the
same picture read backwards: x * w[k] is added to the output shifted by k. A pool keeps a running
maximum, or a running sum, over the shifts. The shapes, groups being a batch axis of the product::

    x (N, *S, C)  -->  (N, G, *S, C/G)  --shift k-->  (N, G, *out, C/G)
    conv            shift @ w[k] (G, C/G, O/G)  --add-->  (N, G, *out, O/G)  -->  (N, *out, O)

Cost: the multiply-adds of the definition at the speed of the BLAS, K passes over the output and one
temporary of its size. Nothing of size K is ever stored, which im2col does. Few channels make thin
matrices, and a depthwise convolution the thinnest: there this is slow.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from conformance import implementation
from conformance.dtypes import DTYPES
from conformance.implementations._common import (
    Array,
    Padding,
    Shape,
    accumulator,
    conv_size,
    conv_transpose_size,
    divisors,
    lowest,
    native,
    padded,
    pool_size,
)
from conformance.implementations._gradients import (
    bias_grad,
    conv_grad_size,
    like,
    pool_grad_size,
)

shifted_matmul = implementation("shifted-matmul", family="numpy", layout="NHWC", dtypes=DTYPES)


def shifts(
    kernel: Shape, out: Shape, stride: Shape, dilation: Shape
) -> Iterator[tuple[Shape, tuple[slice, ...]]]:
    """Yield each kernel position with the slices of the elements that it meets, *out of them."""
    for k in np.ndindex(kernel):
        yield (
            k,
            tuple(
                slice(i * d, i * d + (o - 1) * s + 1, s)
                for i, o, s, d in zip(k, out, stride, dilation, strict=True)
            ),
        )


def groups_first(x: Array, groups: int) -> Array:
    """Return ``x`` (N, *S, C) as a view (N, G, *S, C/G)."""
    return np.moveaxis(x.reshape(*x.shape[:-1], groups, x.shape[-1] // groups), -2, 1)


def groups_last(y: Array) -> Array:
    """Return ``y`` (N, G, *S, C/G) as (N, *S, C)."""
    n, groups, *size, per_group = y.shape
    return np.moveaxis(y, 1, -2).reshape(n, *size, groups * per_group)


def group_matrices(w: Array, groups: int) -> Array:
    """Return ``w`` (*K, C/groups, O) as (*K, G, 1, ..., C/G, O/G): one matrix a group and position.

    The axes of 1 stand for all spatial axes but the last, whose rows the matrix multiplies.
    """
    *kernel, first, second = w.shape
    matrices = w.reshape(*kernel, first, groups, second // groups).swapaxes(-3, -2)
    ones = (1,) * (len(kernel) - 1)
    return matrices.reshape(*kernel, groups, *ones, first, second // groups)


@shifted_matmul
def conv(
    x: Array,
    w: Array,
    bias: Array | None,
    *,
    stride: Shape,
    padding: Padding,
    dilation: Shape,
    groups: int,
) -> Array:
    """Add up, over the kernel positions k, the input shifted by k times w[k]."""
    out = conv_size(x, w, bias, stride, padding, dilation, groups, channels_last=True)
    dtype = accumulator(x.dtype)
    kernel, o = w.shape[:-2], w.shape[-1]
    x_grouped = groups_first(padded(x, padding, 0, dtype, first=1), groups)  # (N, G, *S, C/G)
    weight = group_matrices(w.astype(dtype, copy=False), groups)  # (*K, G, 1, ..., C/G, O/G)
    y = np.zeros((len(x), groups, *out, o // groups), dtype)
    for k, where in shifts(kernel, out, stride, dilation):
        y += x_grouped[:, :, *where] @ weight[k]  # (N, G, *out, O/G)
    y = groups_last(y)  # (N, *out, O)
    if bias is not None:
        y += bias.astype(dtype)
    return y.astype(native(x.dtype), copy=False)


@shifted_matmul
def conv_transpose(
    x: Array,
    w: Array,
    bias: Array | None,
    *,
    stride: Shape,
    padding: Padding,
    output_padding: Shape,
    dilation: Shape,
    groups: int,
) -> Array:
    """Add, for each kernel position k, the input times w[k] to the output shifted by k."""
    out = conv_transpose_size(
        x, w, bias, stride, padding, output_padding, dilation, groups, channels_last=True
    )
    dtype = accumulator(x.dtype)
    kernel, per_group = w.shape[:-2], w.shape[-2]
    x_grouped = groups_first(x.astype(dtype, copy=False), groups)  # (N, G, *S, C/G)
    # w is (*K, O/G, C): the matrix of a group and a position is (O/G, C/G), used transposed.
    weight = group_matrices(w.astype(dtype, copy=False), groups).swapaxes(-1, -2)
    uncropped = (b + o + a for o, (b, a) in zip(out, padding, strict=True))
    y = np.zeros((len(x), groups, *uncropped, per_group), dtype)
    for k, where in shifts(kernel, x.shape[1:-1], stride, dilation):
        y[:, :, *where] += x_grouped @ weight[k]  # (N, G, *S, O/G)
    kept = tuple(slice(b, b + o) for o, (b, _) in zip(out, padding, strict=True))
    y = groups_last(y[:, :, *kept])  # (N, *out, O)
    if bias is not None:
        y += bias.astype(dtype)
    return y.astype(native(x.dtype), copy=False)


@shifted_matmul
def max_pool(
    x: Array, *, kernel: Shape, stride: Shape, padding: Padding, dilation: Shape, ceil_mode: bool
) -> Array:
    """Keep a running maximum over the shifted inputs."""
    out, reach = pool_size(x, kernel, stride, padding, dilation, ceil_mode, channels_last=True)
    dtype = native(x.dtype)
    x_padded = padded(x, reach, lowest(dtype), dtype, first=1)  # (N, *S + padding, C)
    y = np.full((len(x), *out, x.shape[-1]), lowest(dtype), dtype)
    for _, where in shifts(kernel, out, stride, dilation):
        np.maximum(y, x_padded[:, *where], out=y)  # NaN if either is
    return y


@shifted_matmul
def avg_pool(
    x: Array,
    *,
    kernel: Shape,
    stride: Shape,
    padding: Padding,
    ceil_mode: bool,
    count_include_pad: bool,
) -> Array:
    """Keep a running sum over the shifted inputs, and divide it by what counts in each window."""
    undilated = (1,) * len(kernel)
    out, reach = pool_size(x, kernel, stride, padding, undilated, ceil_mode, channels_last=True)
    dtype = accumulator(x.dtype)
    x_padded = padded(x, reach, 0, dtype, first=1)  # (N, *S + padding, C)
    sums = np.zeros((len(x), *out, x.shape[-1]), dtype)
    for _, where in shifts(kernel, out, stride, undilated):
        sums += x_padded[:, *where]
    counts = divisors(x.shape[1:-1], out, kernel, stride, padding, count_include_pad)  # (*out)
    y: Array = sums / counts.astype(dtype)[..., None]
    return y.astype(native(x.dtype), copy=False)


@shifted_matmul
def conv_input_grad(
    grad: Array,
    w: Array,
    input_shape: Shape,
    *,
    stride: Shape,
    padding: Padding,
    dilation: Shape,
    groups: int,
) -> Array:
    """Add grad times w[k] to the input's gradient shifted by k: that is conv_transpose."""
    x = like(w, input_shape)
    rest = conv_grad_size(grad, x, w, stride, padding, dilation, groups, channels_last=True)
    return conv_transpose(
        grad,
        w,
        None,
        stride=stride,
        padding=padding,
        output_padding=rest,
        dilation=dilation,
        groups=groups,
    )


@shifted_matmul
def conv_weight_grad(
    grad: Array,
    x: Array,
    weight_shape: Shape,
    *,
    stride: Shape,
    padding: Padding,
    dilation: Shape,
    groups: int,
) -> Array:
    """Multiply, for each kernel position k, the input shifted by k, transposed, by grad."""
    weight = like(x, weight_shape)
    conv_grad_size(grad, x, weight, stride, padding, dilation, groups, channels_last=True)
    dtype = accumulator(x.dtype)
    *kernel, per_group, o = weight.shape
    n, *out, _ = grad.shape
    flat = groups_first(grad.astype(dtype, copy=False), groups)  # (N, G, *out, O/G)
    flat = flat.reshape(n, groups, math.prod(out), o // groups)
    x_grouped = groups_first(padded(x, padding, 0, dtype, first=1), groups)  # (N, G, *S, C/G)
    dw = np.zeros((*kernel, per_group, o), dtype)
    for k, where in shifts(tuple(kernel), tuple(out), stride, dilation):
        seen = x_grouped[:, :, *where].reshape(n, groups, math.prod(out), per_group)
        each = (seen.swapaxes(2, 3) @ flat).sum(axis=0)  # (G, C/G, O/G), all images added
        dw[k] = each.swapaxes(0, 1).reshape(per_group, o)
    return dw.astype(native(x.dtype), copy=False)


@shifted_matmul
def conv_bias_grad(grad: Array) -> Array:
    """Sum grad over the batch and all positions: each of them had the bias added once."""
    return bias_grad(grad, -1, accumulator(grad.dtype))


@shifted_matmul
def max_pool_grad(
    grad: Array,
    x: Array,
    *,
    kernel: Shape,
    stride: Shape,
    padding: Padding,
    dilation: Shape,
    ceil_mode: bool,
) -> Array:
    """Hand out grad to the shifted inputs that equal the maximum, the first one taking it."""
    out, reach = pool_grad_size(
        grad, x, kernel, stride, padding, dilation, ceil_mode, channels_last=True
    )
    x_padded = padded(x, reach, lowest(x.dtype), native(x.dtype), first=1)
    real = padded(np.ones((1, *x.shape[1:-1], 1), bool), reach, 0, np.dtype(bool), first=1)
    wide = grad.astype(accumulator(x.dtype), copy=False)
    largest = np.full(grad.shape, lowest(x.dtype), native(x.dtype))
    for _, where in shifts(kernel, out, stride, dilation):
        np.maximum(largest, x_padded[:, *where], out=largest)
    dx = np.zeros(x_padded.shape, wide.dtype)
    left = np.ones(grad.shape, bool)  # the windows whose gradient is not handed out yet
    for _, where in shifts(kernel, out, stride, dilation):
        takes = left & real[:, *where] & (x_padded[:, *where] == largest)
        dx[:, *where] += np.where(takes, wide, 0)
        left &= ~takes
    kept = tuple(slice(b, b + s) for s, (b, _) in zip(x.shape[1:-1], reach, strict=True))
    return dx[:, *kept].astype(native(x.dtype))


@shifted_matmul
def avg_pool_grad(
    grad: Array,
    input_shape: Shape,
    *,
    kernel: Shape,
    stride: Shape,
    padding: Padding,
    ceil_mode: bool,
    count_include_pad: bool,
) -> Array:
    """Add grad, over what counts in each window, to the input's gradient at every shift."""
    undilated = (1,) * len(kernel)
    x = like(grad, input_shape)
    out, reach = pool_grad_size(
        grad, x, kernel, stride, padding, undilated, ceil_mode, channels_last=True
    )
    dtype, size = accumulator(grad.dtype), x.shape[1:-1]
    counts = divisors(size, out, kernel, stride, padding, count_include_pad)  # (*out)
    shares = grad.astype(dtype, copy=False) / counts.astype(dtype)[..., None]  # (N, *out, C)
    beyond = (b + s + a for s, (b, a) in zip(size, reach, strict=True))
    dx = np.zeros((len(x), *beyond, x.shape[-1]), dtype)  # (N, *S + padding, C)
    for _, where in shifts(kernel, out, stride, undilated):
        dx[:, *where] += shares
    kept = tuple(slice(b, b + s) for s, (b, _) in zip(size, reach, strict=True))
    return dx[:, *kept].astype(native(grad.dtype))
