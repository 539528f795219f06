"""The definition, written as loops: every output element looks at its own window.

conv slides the kernel over the padded input. With the kernel (1, 2, 3), stride 2 and one zero of
padding on either side::

    padded x    0  a  b  c  d  e  0
    y[0]       (1  2  3)                 = 0 + 2a + 3b
    y[1]             (1  2  3)           = b + 2c + 3d
    y[2]                   (1  2  3)     = d + 2e + 0

It is a cross-correlation: the kernel is not flipped. A pool takes the maximum or the mean of the
same windows, each channel by itself. conv_transpose goes the other way: every *input* element
stamps the kernel, multiplied by that element, onto the output, and stamps that overlap add up::

    x           a     b                  kernel (1, 2, 3), stride 2
    stamp a     a 2a 3a
    stamp b           b 2b 3b
    y           a 2a 3a+b 2b 3b          its padding crops y at both ends

Both with numbers, for one image of one channel and one axis, (N, C, S) = (1, 1, S):

>>> w, steps = np.array([[[1, 2, 3]]]), {"stride": (2,), "dilation": (1,), "groups": 1}
>>> conv(np.array([[[1, 2, 3, 4, 5]]]), w, None, padding=((1, 1),), **steps)
array([[[ 8, 20, 14]]])
>>> conv_transpose(np.array([[[1, 10]]]), w, None, padding=((0, 0),), output_padding=(0,), **steps)
array([[[ 1,  2, 13, 20, 30]]])
"""

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np

from conformance import implementation
from conformance.dtypes import DTYPES
from conformance.implementations._arguments import Array
from conformance.implementations._call import Call
from conformance.implementations._frame import Frame

naive = Frame(
    implementation("naive", family="numpy", dtypes=DTYPES, call_seconds=3e-4, work_seconds=3e-7)
)


def conv2d_plain(x: Array, w: Array) -> Array:
    """Return conv of x (N, C, H, W) with w (O, C, I, J): 2-D, stride 1, one group, no padding."""
    i, j = w.shape[2:]
    y = np.empty((len(x), len(w), x.shape[2] - i + 1, x.shape[3] - j + 1), x.dtype)
    for n, o, row, column in np.ndindex(y.shape):
        window = x[n, :, row : row + i, column : column + j]  # (C, I, J)
        y[n, o, row, column] = (window * w[o]).sum()
    return y


def windows(first: int, second: int, call: Call) -> Iterator[tuple[Any, ...]]:
    """Yield (a, b, p, the slices of p's window) for each position p, a < first and b < second."""
    for p in np.ndindex(call.out):
        axes = zip(p, call.kernel, call.stride, call.dilation, strict=True)
        region = tuple([slice(i * s, i * s + d * (k - 1) + 1, d) for i, k, s, d in axes])
        for a, b in product(range(first), range(second)):
            yield a, b, p, region


def partners(channels: int, groups: int, per_group: int) -> list[slice]:
    """Return, for each of ``channels``, the ``per_group`` channels that the weight joins it to."""
    firsts = (c // (channels // groups) * per_group for c in range(channels))
    return [slice(first, first + per_group) for first in firsts]


@naive
def conv(x: Array, w: Array, call: Call) -> Array:
    """Sum each window times the kernel.

    y[n, o, p] = the sum over c and k of x[n, c, p*stride + k*dilation] * w[o, c, k], where p and k
    stand for one index a spatial axis and c runs over the group of o. The frame adds bias[o].
    """
    y = np.empty((len(x), len(w), *call.out), x.dtype)
    inputs = partners(len(w), call.groups, w.shape[1])
    for n, o, p, region in windows(len(x), len(w), call):
        window = x[n, inputs[o]][:, *region]  # (C/G, *K)
        y[n, o, *p] = (window * w[o]).sum()
    return y


@naive
def conv_transpose(x: Array, w: Array, call: Call) -> Array:
    """Stamp the kernel onto the output, once for each input element, and crop the padding.

    y[n, o, p*stride + k*dilation] += x[n, c, p] * w[c, o, k] for every o of the group of c.
    """
    y = np.zeros((len(x), w.shape[1] * call.groups, *call.padded), x.dtype)
    outputs = partners(len(w), call.groups, w.shape[1])
    for n, c, p, region in windows(len(x), len(w), call):
        stamp = x[n, c, *p] * w[c]  # (O/G, *K)
        y[n, outputs[c]][:, *region] += stamp
    return call.crop(y)


@naive
def max_pool(x: Array, call: Call) -> Array:
    """Take the largest x[n, c, p*stride + k*dilation] over k, padding being the lowest value."""
    y = np.empty((*x.shape[:2], *call.out), x.dtype)
    for n, c, p, region in windows(len(x), x.shape[1], call):
        y[n, c, *p] = x[n, c, *region].max()  # NaN if there is one
    return y


@naive
def avg_pool(x: Array, counts: Array, call: Call) -> Array:
    """Divide the sum of x[n, c, p*stride + k] over k by how many of those positions count."""
    y = np.empty((*x.shape[:2], *call.out), x.dtype)
    for n, c, p, region in windows(len(x), x.shape[1], call):
        y[n, c, *p] = x[n, c, *region].sum() / counts[p]
    return y


# --- Gradients: the same windows, read backwards --------------------------------------------------
# An output element adds its gradient times the kernel to its window of the input's gradient, which
# is what conv_transpose does, and its gradient times the window to the gradient of the kernel.
conv_input_grad, conv_bias_grad = naive.gradients(conv_transpose)


@naive
def conv_weight_grad(grad: Array, x: Array, call: Call) -> Array:
    """Add each output element's gradient times its window to the gradient of its kernel."""
    filters, per_group = grad.shape[1], x.shape[1] // call.groups
    dw = np.zeros((filters, per_group, *call.kernel), x.dtype)
    inputs = partners(filters, call.groups, per_group)
    for n, o, p, region in windows(len(x), filters, call):
        dw[o] += grad[n, o, *p] * x[n, inputs[o]][:, *region]  # (C/G, *K)
    return dw


@naive
def max_pool_grad(grad: Array, x: Array, call: Call) -> Array:
    """Add each window's gradient where its first maximum is; padding has none."""
    dx, inside = np.zeros(x.shape, grad.dtype), call.inside()
    for n, c, p, region in windows(len(x), x.shape[1], call):
        window = x[n, c, *region]
        first = ((window == window.max()) & inside[region]).argmax()
        dx[n, c, *region][np.unravel_index(first, call.kernel)] += grad[n, c, *p]
    return call.crop(dx)


@naive
def avg_pool_grad(shares: Array, call: Call) -> Array:
    """Add each window's gradient, over the divisor, to every element that it read."""
    dx = np.zeros((*shares.shape[:2], *call.padded), shares.dtype)
    for n, c, p, region in windows(len(dx), dx.shape[1], call):
        dx[n, c, *region] += shares[n, c, *p]
    return call.crop(dx)


# --- Cost, and an exercise ------------------------------------------------------------------------
# N*O*P*C/G*K multiply-adds and a few microseconds of Python for each window. Each of them reads two
# elements anew, as no window and no kernel is kept for the next; memory holds the padded input.


def conv_with_a_mistake(x: Array, w: Array, call: Call) -> Array:
    """One line is wrong. The suite says "CONV-6: each group reads its own channels".

    It is right for one group, and for a depthwise convolution that makes one channel of each.
    """
    y = np.empty((len(x), len(w), *call.out), x.dtype)
    for n, o, p, region in windows(len(x), len(w), call):
        first = o % call.groups * w.shape[1]
        y[n, o, *p] = (x[n, first : first + w.shape[1]][:, *region] * w[o]).sum()
    return y
