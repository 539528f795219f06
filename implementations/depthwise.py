"""Depthwise convolution: no sum over channels, so no matrix product; planes are scaled and added.

With a group for each channel, an output channel reads one input channel, and the matrix of im2col
has one row of C/G * K = 9 numbers to be multiplied by: reading it takes longer than the arithmetic.
Instead the plane is shifted, scaled and added, once for each position of the kernel::

    x   a b c d e        y  =  [a b c] * w0  +  [b c d] * w1  +  [c d e] * w2

>>> x = np.array([1, 2, 3, 4, 5])
>>> x[0:3] * 1 + x[1:4] * 10 + x[2:5] * 100
array([321, 432, 543])

That is the idea of shifted-matmul, whose matrices here would have a single number. Two things make
it fast. NumPy's loops want long runs, and a few planes at a time, so that all 2 * K operations find
their operands in the cache. So planes are copied once for each position of the kernel's last axis,
which leaves out what lies beside the outputs: then the rows that another position meets are one
run. And where planes are small, such runs are short: there the channels are put last, and runs are
as long as there are channels::

    large planes    x (B, 1, *padded) shifted by k, times w (B, M, 1)     --add-->  y (B, M, *out)
    small planes    x (*padded, B) shifted by k, times w[k] (B,)          --add-->  y (*out, B)
"""

import itertools
import math

import numpy as np

from conformance import Unsupported, implementation, only
from conformance.dtypes import DTYPES
from conformance.implementations._arguments import Array
from conformance.implementations._call import Call
from conformance.implementations._frame import Frame
from conformance.implementations._windows import surrounded

depthwise = Frame(
    implementation("depthwise", family="numpy", dtypes=DTYPES, supports=only(groups="depthwise")),
    pads=False,
)

BLOCK_BYTES = 1 << 17
"""What the planes of a block take, unless one takes more; its products and sums take as much."""
SHORT = 400
"""Positions of a plane below which the channels are put last."""


def blocks(n: int, count: int, call: Call, itemsize: int) -> list[slice]:
    """Return blocks of channels whose padded planes, of n images, take up to `BLOCK_BYTES`."""
    if call.groups != count:
        raise Unsupported("only a group for each channel")
    step = max(1, BLOCK_BYTES // max(1, itemsize * n * math.prod(call.padded)))
    return [slice(first, first + step) for first in range(0, count, step)]


def shift(call: Call, axis: int, tap: int) -> slice:
    """Return the elements that a position of the kernel meets on an axis, one for each output."""
    first = tap * call.dilation[axis]
    last = first + (call.out[axis] - 1) * call.stride[axis]
    return slice(first, last + 1, call.stride[axis])


def shifts(call: Call) -> list[tuple[tuple[int, ...], tuple[slice, ...]]]:
    """Return each kernel position with the slices of the elements that it meets, *out of them."""
    positions = np.ndindex(*call.kernel)
    return [(k, tuple([shift(call, axis, tap) for axis, tap in enumerate(k)])) for k in positions]


def taps_first(w: Array, call: Call) -> Array:
    """Return w (..., *K) as (*K, ..., 1, ...): what scales the planes, by the kernel position."""
    dims = len(call.kernel)
    others = range(w.ndim - dims)
    weight = w.transpose(*range(len(others), w.ndim), *others)
    return weight.reshape(*weight.shape, *(1,) * dims)


@depthwise
def conv(x: Array, w: Array, call: Call) -> Array:
    """Add up the shifted planes times the numbers of the kernel, some planes at a time."""
    (n, c), multiplier = x.shape[:2], len(w) // x.shape[1]
    parts = blocks(n, c, call, x.itemsize)
    if multiplier == 1 and math.prod(call.out) < SHORT:
        return channels_last(x, w, call)
    weight = taps_first(w.reshape(c, multiplier, *call.kernel), call)
    y = np.empty((n, c, multiplier, *call.out), x.dtype)
    for part in parts:
        planes = surrounded(x[:, part], call.padding, 0, x.dtype, 2)[:, :, None]
        sums = y[:, part]  # (N, B, M, *out)
        product = np.empty_like(sums)
        for last in range(call.kernel[-1]):
            shifted = np.ascontiguousarray(planes[..., shift(call, -1, last)])
            for ahead in np.ndindex(*call.kernel[:-1]):
                rows = [shift(call, axis, tap) for axis, tap in enumerate(ahead)]
                first = not (last or any(ahead))
                source, scale = shifted[:, :, :, *rows], weight[*ahead, last][part]
                np.multiply(source, scale, out=sums if first else product)
                if not first:
                    sums += product
    return y.reshape(n, c * multiplier, *call.out)


def channels_last(x: Array, w: Array, call: Call) -> Array:
    """Return conv of small planes, with the channels as the last axis meanwhile."""
    padding = call.padding
    planes = np.zeros((len(x), *call.padded, x.shape[1]), x.dtype)
    inside = [slice(b, b + size) for size, (b, _) in zip(call.size, padding, strict=True)]
    planes[:, *inside] = np.moveaxis(x, 1, -1)
    weight = np.ascontiguousarray(np.moveaxis(w[:, 0], 0, -1))  # (*K, C)
    sums = np.zeros((len(x), *call.out, x.shape[1]), x.dtype)
    product = np.empty_like(sums)
    for k, at in shifts(call):
        np.multiply(planes[:, *at], weight[k], out=product)
        sums += product
    return np.ascontiguousarray(np.moveaxis(sums, -1, 1))


@depthwise
def conv_transpose(x: Array, w: Array, call: Call) -> Array:
    """Add the planes times each number of the kernel to the places that it is shifted to.

    In conv_input_grad a group may have several input channels, which are added up.
    """
    n, groups, multiplier = len(x), call.groups, w.shape[1]
    inputs = len(w) // groups  # of each group
    weight = taps_first(w.reshape(groups, inputs, multiplier, *call.kernel), call)
    images = x.reshape(n, groups, inputs, *call.out)
    y = np.zeros((n, groups, multiplier, *call.padded), x.dtype)
    for part in blocks(n, groups, call, x.itemsize):
        sums = y[:, part]  # (N, B, M, *padded)
        for channel, (k, at) in itertools.product(range(inputs), shifts(call)):
            planes = images[:, part, channel, None]  # (N, B, 1, *out)
            sums[:, :, :, *at] += planes * weight[k][part, channel]
    return call.crop(y.reshape(n, groups * multiplier, *call.padded))


conv_input_grad, conv_bias_grad = depthwise.gradients(conv_transpose)


@depthwise
def conv_weight_grad(grad: Array, x: Array, call: Call) -> Array:
    """Multiply grad by the shifted planes, and add up the products of each position."""
    (n, c), multiplier = x.shape[:2], grad.shape[1] // x.shape[1]
    grads = grad.reshape(n, c, multiplier, *call.out)
    dw = np.empty((*call.kernel, c, multiplier), x.dtype)
    summed = (0, *range(3, grads.ndim))
    for part in blocks(n, c, call, x.itemsize):
        planes = surrounded(x[:, part], call.padding, 0, x.dtype, 2)[:, :, None]
        for k, at in shifts(call):
            dw[k][part] = (planes[:, :, :, *at] * grads[:, part]).sum(axis=summed)
    dims = len(call.kernel)
    return dw.transpose(dims, dims + 1, *range(dims)).reshape(c * multiplier, 1, *call.kernel)
