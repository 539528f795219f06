"""Shifted matrix products: loop over the kernel positions only, channels last.

Channels last, the channels of a position lie side by side, so a 1x1 convolution is a matrix product
as it stands: (N * P, C) @ (C, O). A larger kernel is one 1x1 convolution for each of its positions,
each on the input shifted by that position, all added up. For the kernel size 3 and no padding::

    x   a b c d e        y  =  [a b c] * w0        every letter is a vector of C channels,
                            +  [b c d] * w1        every w a matrix (C, O)
                            +  [c d e] * w2

A shift is a slice: stride is its step, dilation the distance between shifts. For one channel, so
that a matrix is a number, and the kernel (1, 10, 100):

>>> x = np.array([1, 2, 3, 4, 5])
>>> x[0:3] * 1 + x[1:4] * 10 + x[2:5] * 100
array([321, 432, 543])

conv_transpose is the same picture read backwards: x * w[k] is added to the output shifted by k. A
pool keeps a running maximum, or a running sum, over the shifts. The shapes, groups being a batch
axis of the product::

    x (N, *S, C)  -->  (N, G, *S, C/G)  --shift k-->  (N, G, *out, C/G)
    conv            shift @ w[k] (G, C/G, O/G)  --add-->  (N, G, *out, O/G)  -->  (N, *out, O)
"""

import math
from collections.abc import Iterator

import numpy as np

from conformance import implementation
from conformance.dtypes import DTYPES
from conformance.implementations._arguments import Array, Shape
from conformance.implementations._call import Call
from conformance.implementations._frame import Frame
from conformance.implementations._windows import lowest

nhwc = implementation("shifted-matmul", family="numpy", layout="NHWC", dtypes=DTYPES)
shifted_matmul = Frame(nhwc)


def conv2d_plain(x: Array, w: Array) -> Array:
    """Return conv of x (N, H, W, C) with w (I, J, C, O): 2-D, stride 1, one group, no padding."""
    rows, columns = x.shape[1] - w.shape[0] + 1, x.shape[2] - w.shape[1] + 1
    y = np.zeros((len(x), rows, columns, w.shape[3]), x.dtype)
    for i, j in np.ndindex(w.shape[:2]):
        y += x[:, i : i + rows, j : j + columns] @ w[i, j]  # (N, P, C) @ (C, O)
    return y


def shifts(call: Call) -> Iterator[tuple[Shape, tuple[slice, ...]]]:
    """Yield each kernel position with the slices of the elements that it meets, *out of them."""
    for k in np.ndindex(call.kernel):
        axes = zip(k, call.out, call.stride, call.dilation, strict=True)
        yield k, tuple([slice(i * d, i * d + (o - 1) * s + 1, s) for i, o, s, d in axes])


def groups_first(x: Array, groups: int) -> Array:
    """Return x (N, *S, C) as a view (N, G, *S, C/G)."""
    return np.moveaxis(x.reshape(*x.shape[:-1], groups, x.shape[-1] // groups), -2, 1)


def groups_last(y: Array) -> Array:
    """Return y (N, G, *S, C/G) as (N, *S, C)."""
    n, groups, *size, per_group = y.shape
    return np.moveaxis(y, 1, -2).reshape(n, *size, groups * per_group)


def group_matrices(w: Array, groups: int) -> Array:
    """Return w (*K, C/G, O) as (*K, G, 1, ..., C/G, O/G), where 1 is every *S but the last."""
    *kernel, first, second = w.shape
    matrices = w.reshape(*kernel, first, groups, second // groups).swapaxes(-3, -2)
    ones = (1,) * (len(kernel) - 1)
    return matrices.reshape(*kernel, groups, *ones, first, second // groups)


@shifted_matmul
def conv(x: Array, w: Array, call: Call) -> Array:
    """Add up, over the kernel positions k, the input shifted by k times w[k]."""
    images, weight = groups_first(x, call.groups), group_matrices(w, call.groups)
    y = np.zeros((len(x), call.groups, *call.out, w.shape[-1] // call.groups), x.dtype)
    for k, region in shifts(call):
        y += images[:, :, *region] @ weight[k]  # (N, G, *out, O/G)
    return groups_last(y)  # (N, *out, O)


@shifted_matmul
def conv_transpose(x: Array, w: Array, call: Call) -> Array:
    """Add, for each kernel position k, the input times w[k] to the output shifted by k."""
    images = groups_first(x, call.groups)  # (N, G, *S, C/G)
    weight = group_matrices(w, call.groups).swapaxes(-1, -2)  # of w (*K, O/G, C)
    y = np.zeros((len(x), call.groups, *call.padded, w.shape[-2]), x.dtype)
    for k, region in shifts(call):
        y[:, :, *region] += images @ weight[k]  # (N, G, *S, O/G)
    return call.crop(groups_last(y))  # (N, *size, O)


@shifted_matmul
def max_pool(x: Array, call: Call) -> Array:
    """Keep a running maximum over the shifted inputs."""
    y = np.full((len(x), *call.out, x.shape[-1]), lowest(x.dtype), x.dtype)
    for _, region in shifts(call):
        np.maximum(y, x[:, *region], out=y)  # NaN if either is
    return y


@shifted_matmul
def avg_pool(x: Array, counts: Array, call: Call) -> Array:
    """Keep a running sum over the shifted inputs, and divide it by what counts in each window."""
    sums = np.zeros((len(x), *call.out, x.shape[-1]), x.dtype)
    for _, region in shifts(call):
        sums += x[:, *region]
    return sums / counts


# --- Gradients: the same shifts -------------------------------------------------------------------
# That of x adds grad times w[k] to the positions shifted by k, which is conv_transpose.
conv_input_grad, conv_bias_grad = shifted_matmul.gradients(conv_transpose)


@shifted_matmul
def conv_weight_grad(grad: Array, x: Array, call: Call) -> Array:
    """Multiply, for each kernel position k, the input shifted by k, transposed, by grad."""
    n, groups, p = len(x), call.groups, math.prod(call.out)
    o, per_group = grad.shape[-1], x.shape[-1] // groups
    flat = groups_first(grad, groups).reshape(n, groups, p, o // groups)
    images = groups_first(x, groups)  # (N, G, *padded, C/G)
    dw = np.zeros((*call.kernel, per_group, o), x.dtype)
    for k, region in shifts(call):
        shift = images[:, :, *region].reshape(n, groups, p, per_group)
        product = (shift.swapaxes(2, 3) @ flat).sum(axis=0)  # (G, C/G, O/G), all images added
        dw[k] = product.swapaxes(0, 1).reshape(per_group, o)
    return dw


@shifted_matmul
def max_pool_grad(grad: Array, x: Array, call: Call) -> Array:
    """Hand out grad to the shifted inputs that equal the maximum, the first one taking it."""
    largest, inside = np.full(grad.shape, lowest(x.dtype), x.dtype), call.inside()[..., None]
    for _, region in shifts(call):
        np.maximum(largest, x[:, *region], out=largest)
    dx, waiting = np.zeros(x.shape, grad.dtype), np.ones(grad.shape, bool)  # no winner yet
    for _, region in shifts(call):
        winners = waiting & inside[region] & (x[:, *region] == largest)
        dx[:, *region] += np.where(winners, grad, 0)
        waiting &= ~winners
    return call.crop(dx)


@shifted_matmul
def avg_pool_grad(shares: Array, call: Call) -> Array:
    """Add grad, over what counts in each window, to the input's gradient at every shift."""
    dx = np.zeros((len(shares), *call.padded, shares.shape[-1]), shares.dtype)
    for _, region in shifts(call):
        dx[:, *region] += shares
    return call.crop(dx)


# --- Cost, and an exercise ------------------------------------------------------------------------
# The multiply-adds of the definition, N*O*P*C/G*K, at the speed of the BLAS; K passes over the
# output, and one temporary of its size: nothing of size K is ever stored, which im2col does. Few
# channels make thin matrices, and a depthwise convolution the thinnest: there this is slow.


def avg_pool_with_a_mistake(x: Array, counts: Array, call: Call) -> Array:
    """One line is wrong. The suite says "AVGPOOL-5: count_include_pad sets the divisor"."""
    sums = np.zeros((len(x), *call.out, x.shape[-1]), x.dtype)
    for _, region in shifts(call):
        sums += x[:, *region]
    return sums / math.prod(call.kernel)
