"""im2col: copy every window into a row of a matrix, and conv is one matrix product.

With the kernel size 3, stride 1 and no padding::

    x   a b c d e          rows   a b c                y   [a b c]   [w0]
                                  b c d                  = [b c d] * [w1]
                                  c d e                    [c d e]   [w2]

A row holds the windows of all channels of a group, one after another, and a weight flattened the
same way is a column of the right-hand matrix. In memory a window is not contiguous, so a table of
flat positions says what to gather. It needs no search: moving the window moves all its elements
alike, so the position of row p's element k is start[p] + offset[k].

conv_transpose runs the two steps backwards (col2im): a matrix product makes the rows, and each row
is *added* to the places it would have been gathered from. A pool reduces each row to one number.

The steps, with P output positions and K kernel positions::

    conv            x (N, G, C/G * S)  --gather-->  (N, G, P, C/G * K)  @  (G, C/G * K, O/G)
    conv_transpose  x (N, G, P, C/G) @ (G, C/G, O/G * K)  --scatter-add-->  (N, G, O/G * S)
    pools           x (N, C, S)  --gather-->  (N, C, P, K)  --reduce-->  (N, C, P)

Gradients need no new idea. Of conv's two steps, gathering and a matrix product, the gradient of the
input takes the transposes in reverse, and that of the weight multiplies grad by the same rows.

Cost: the multiply-adds of the definition, at the speed of the BLAS; in exchange every element is
stored about K / prod(stride) times, and the table of positions takes as much again for each image.
Source: K. Chellapilla, S. Puri, P. Simard, High Performance Convolutional Neural Networks for
Document Processing, 2006, section 3.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

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

im2col = implementation("im2col", family="numpy", dtypes=DTYPES)


def window_positions(
    channels: int, size: Shape, out: Shape, kernel: Shape, stride: Shape, dilation: Shape
) -> NDArray[np.intp]:
    """Return the flat position in a (channels, *size) array of every element of every window.

    The result is (P, channels * K): a row a window, its elements in the order of a weight's.
    """
    start, offset = np.zeros(1, np.intp), np.arange(channels)
    for s, o, k, step, d in zip(size, out, kernel, stride, dilation, strict=True):
        start = np.add.outer(start * s, np.arange(o) * step).ravel()
        offset = np.add.outer(offset * s, np.arange(k) * d).ravel()
    return start[:, None] + offset  # (P, 1) + (channels * K,)


def window_rows(
    x: Array, groups: int, out: Shape, kernel: Shape, stride: Shape, dilation: Shape
) -> Array:
    """Return the windows of ``x`` (N, C, *S) as rows: (N, G, P, C/G * K)."""
    n, c, *size = x.shape
    per_group = c // groups
    index = window_positions(per_group, tuple(size), out, kernel, stride, dilation)
    return x.reshape(n, groups, per_group * math.prod(size)).take(index, axis=2)


@im2col
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
    """Gather the windows into rows and multiply each group's rows by its weights."""
    out = conv_size(x, w, bias, stride, padding, dilation, groups)
    dtype = accumulator(x.dtype)
    n, o, kernel = len(x), len(w), w.shape[2:]
    x_padded = padded(x, padding, 0, dtype)  # (N, C, *S + padding)
    rows = window_rows(x_padded, groups, out, kernel, stride, dilation)  # (N, G, P, C/G * K)
    weight = w.astype(dtype, copy=False).reshape(groups, o // groups, -1)  # (G, O/G, C/G * K)
    y = weight @ rows.swapaxes(2, 3)  # (N, G, O/G, P): rows @ weight.T, its result transposed
    y = y.reshape(n, o, *out)
    if bias is not None:
        y += bias.astype(dtype).reshape(o, *(1,) * len(out))
    return y.astype(native(x.dtype), copy=False)


@im2col
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
    """Make the rows by a matrix product, and add each to where conv would have gathered it."""
    out = conv_transpose_size(x, w, bias, stride, padding, output_padding, dilation, groups)
    dtype = accumulator(x.dtype)
    n, c, *size = x.shape
    per_group, kernel = w.shape[1], w.shape[2:]
    p = math.prod(size)
    uncropped = tuple(b + o + a for o, (b, a) in zip(out, padding, strict=True))
    index = window_positions(per_group, uncropped, tuple(size), kernel, stride, dilation)
    columns = x.astype(dtype, copy=False).reshape(n, groups, c // groups, p)
    weight = w.astype(dtype, copy=False).reshape(groups, c // groups, -1)  # (G, C/G, O/G * K)
    rows = columns.swapaxes(2, 3) @ weight  # (N, G, P, O/G * K)
    y = np.zeros((n * groups, per_group * math.prod(uncropped)), dtype)  # (N * G, O/G * S)
    for image, image_rows in zip(y, rows.reshape(n * groups, index.size), strict=True):
        np.add.at(image, index.ravel(), image_rows)  # overlapping windows add up
    y = y.reshape(n, per_group * groups, *uncropped)
    y = y[:, :, *(slice(b, b + o) for o, (b, _) in zip(out, padding, strict=True))]  # crop
    if bias is not None:
        y += bias.astype(dtype).reshape(-1, *(1,) * len(out))
    return y.astype(native(x.dtype))


@im2col
def max_pool(
    x: Array, *, kernel: Shape, stride: Shape, padding: Padding, dilation: Shape, ceil_mode: bool
) -> Array:
    """Gather each channel's windows into rows and take each row's maximum."""
    out, reach = pool_size(x, kernel, stride, padding, dilation, ceil_mode)
    dtype = native(x.dtype)
    x_padded = padded(x, reach, lowest(dtype), dtype)  # (N, C, *S + padding)
    rows = window_rows(x_padded, x.shape[1], out, kernel, stride, dilation)  # (N, C, P, K)
    y: Array = rows.max(axis=3)  # (N, C, P), NaN where a window has one
    return y.reshape(*x.shape[:2], *out)


@im2col
def avg_pool(
    x: Array,
    *,
    kernel: Shape,
    stride: Shape,
    padding: Padding,
    ceil_mode: bool,
    count_include_pad: bool,
) -> Array:
    """Gather each channel's windows into rows and divide each row's sum by what counts in it."""
    undilated = (1,) * len(kernel)
    out, reach = pool_size(x, kernel, stride, padding, undilated, ceil_mode)
    dtype = accumulator(x.dtype)
    x_padded = padded(x, reach, 0, dtype)  # (N, C, *S + padding)
    rows = window_rows(x_padded, x.shape[1], out, kernel, stride, undilated)  # (N, C, P, K)
    sums: Array = rows.sum(axis=3).reshape(*x.shape[:2], *out)
    counts = divisors(x.shape[2:], out, kernel, stride, padding, count_include_pad)  # (*out)
    y: Array = sums / counts.astype(dtype)
    return y.astype(native(x.dtype), copy=False)


@im2col
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
    """Make the rows' gradients, grad @ w, and add each back to where it was gathered from.

    rows @ w.T is linear in the rows, and gathering is linear in x: the gradient goes through the
    transposes of both, the last step first. That is conv_transpose (col2im).
    """
    x = like(w, input_shape)
    rest = conv_grad_size(grad, x, w, stride, padding, dilation, groups)
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


@im2col
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
    """Multiply grad by the very rows that conv multiplies the weight by, and add up the images."""
    weight = like(x, weight_shape)
    conv_grad_size(grad, x, weight, stride, padding, dilation, groups)
    dtype = accumulator(x.dtype)
    n, o, out = len(x), len(weight), grad.shape[2:]
    x_padded = padded(x, padding, 0, dtype)  # (N, C, *S + padding)
    rows = window_rows(x_padded, groups, out, weight.shape[2:], stride, dilation)
    flat = grad.astype(dtype, copy=False).reshape(n, groups, o // groups, math.prod(out))
    dw: Array = (flat @ rows).sum(axis=0)  # (N, G, O/G, P) @ (N, G, P, C/G * K)
    return dw.reshape(weight.shape).astype(native(x.dtype), copy=False)


@im2col
def conv_bias_grad(grad: Array) -> Array:
    """Sum grad over the batch and all positions: each of them had the bias added once."""
    return bias_grad(grad, 1, accumulator(grad.dtype))


@im2col
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
    """Gather the windows, find each row's first maximum, and add grad at the position it has."""
    out, reach = pool_grad_size(grad, x, kernel, stride, padding, dilation, ceil_mode)
    dtype = accumulator(x.dtype)
    x_padded = padded(x, reach, lowest(x.dtype), native(x.dtype))  # (N, C, *S + padding)
    rows = window_rows(x_padded, x.shape[1], out, kernel, stride, dilation)  # (N, C, P, K)
    index = window_positions(1, x_padded.shape[2:], out, kernel, stride, dilation)  # (P, K)
    real = padded(np.ones((1, 1, *x.shape[2:]), bool), reach, 0, np.dtype(bool)).ravel()[index]
    first = ((rows == rows.max(axis=3, keepdims=True)) & real).argmax(axis=3)  # (N, C, P)
    places = index[np.arange(len(index)), first]  # (N, C, P); padding for a window without any
    flat = np.zeros((*x.shape[:2], math.prod(x_padded.shape[2:])), dtype)
    for n, c in np.ndindex(x.shape[:2]):
        np.add.at(flat[n, c], places[n, c], grad[n, c].astype(dtype).ravel())
    dx = flat.reshape(x_padded.shape)
    kept = tuple(slice(b, b + s) for s, (b, _) in zip(x.shape[2:], reach, strict=True))
    return dx[:, :, *kept].astype(native(x.dtype))


@im2col
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
    """Make a row of equal shares of each window's gradient, and add it back (col2im)."""
    undilated = (1,) * len(kernel)
    x = like(grad, input_shape)
    out, reach = pool_grad_size(grad, x, kernel, stride, padding, undilated, ceil_mode)
    dtype = accumulator(grad.dtype)
    counts = divisors(x.shape[2:], out, kernel, stride, padding, count_include_pad)  # (*out)
    shares = grad.astype(dtype, copy=False) / counts.astype(dtype)  # (N, C, *out)
    beyond = tuple(b + s + a for s, (b, a) in zip(x.shape[2:], reach, strict=True))
    index = window_positions(1, beyond, out, kernel, stride, undilated)  # (P, K)
    flat = np.zeros((*x.shape[:2], math.prod(beyond)), dtype)
    for n, c in np.ndindex(x.shape[:2]):
        np.add.at(flat[n, c], index, shares[n, c].reshape(-1, 1))  # (P, K) and (P, 1)
    dx = flat.reshape(*x.shape[:2], *beyond)
    kept = tuple(slice(b, b + s) for s, (b, _) in zip(x.shape[2:], reach, strict=True))
    return dx[:, :, *kept].astype(native(grad.dtype))
