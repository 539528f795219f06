"""im2col in tiles: a block of windows at a time, gathered into memory that the caches hold.

im2col stores every window before it multiplies: for 64 channels of 224x224 and a kernel of 3x3 a
matrix of 116 MB, which is written to memory and read back, after a table of 231 MB has been read to
fill it. Nothing needs the whole matrix. With three windows in a block instead of all::

    x   a b c d e f g h      block 1   a b c        block 2   d e f      y = [y1 y2]
                                       b c d                  e f g
        kernel size 3                  c d e                  f g h

A block is gathered in two steps, since NumPy copies long runs far faster than short ones.
Step 1 copies the rows that the block reads once for each position of the kernel's *last* axis,
shifted, with zeros where padding lies. It has the runs of one row, and all of a stride's skipping.
Step 2 is a view: in what step 1 made, the other axes of the kernel begin whole rows further, and
rows that follow one another are one run. Here are the 2x2 windows of an image of 3x3:

>>> call = Call((3, 3), (2, 2), (2, 2), (1, 1), ((0, 0), (0, 0)), (1, 1), 1, 2)  # S, P, K, ...
>>> columns(np.arange(9).reshape(1, 1, 3, 3), call, (slice(0, 1), slice(0, 2), slice(0, 2)))
array([[[0, 1, 3, 4],
        [1, 2, 4, 5],
        [3, 4, 6, 7],
        [4, 5, 7, 8]]])

The shapes, with B windows in a block, of one or more images and rows::

    x (N, C, *S)  --step 1-->  (C, K last, rows of B)  --step 2-->  (G, C/G * K, B)
    conv            (G, O/G, C/G * K) @ (G, C/G * K, B)  -->  (G, O/G, B) of (G, O/G, N * P)

conv_transpose with the stride s writes s interleaved images a axis, of which each is a conv of x at
stride 1 with every s-th element of the kernel, flipped. For the stride 2 and the kernel (1, 2, 3)::

    x  a b       y[0], y[2], ...  =  the kernel (3, 1) over 0 a b 0  =  a, 3a + b, 3b
                 y[1], y[3], ...  =  the kernel (2)    over a b      =  2a, 2b
"""

import itertools
import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from conformance import implementation
from conformance.dtypes import DTYPES
from conformance.implementations._arguments import Array, Shape
from conformance.implementations._call import Call
from conformance.implementations._frame import Frame

tiled = implementation("im2col-tiled", family="numpy", dtypes=DTYPES)
im2col_tiled = Frame(tiled, pads=False)

BLOCK_BYTES = 1 << 22
"""What a block of windows and its result take at most, unless one window takes more."""
WIDE = 256
"""Columns from which on a matrix product is fast, so that images need not share one."""


class Phase(NamedTuple):
    """One of the interleaved images that conv_transpose writes, on one axis, and its conv of x."""

    place: slice
    """The positions of the output."""
    length: int
    taps: slice
    """The elements of the kernel, from the last one down, and how many they are."""
    kernel: int
    start: int
    """The position of x that the first element of the first window meets; it may be outside."""
    dilation: int


def blocks(n: int, out: Shape, room: int) -> Iterator[tuple[slice, ...]]:
    """Yield the windows of n images in blocks of at most ``room``: slices of N and of *out."""
    axes = []
    for size in reversed((n, *out)):  # as much of the last axis as there is room for, then the next
        parts = -(-size // room)
        step = -(-size // max(parts, 1))
        axes.append([slice(i, min(i + step, size)) for i in range(0, size, max(step, 1))])
        room = max(1, room // max(step, 1))
    return itertools.product(*reversed(axes))


def inside(first: int, step: int, count: int, size: int) -> tuple[slice, slice]:
    """Return which of ``count`` positions, a ``step`` apart, an axis has, and where it has them."""
    low = max(0, -(first // step))  # the first one that is not before the axis
    high = max(low, min(count, (size - 1 - first) // step + 1))
    start = first + low * step
    return slice(low, high), slice(start, start + (high - low) * step, step)


def columns(x: Array, call: Call, block: tuple[slice, ...]) -> Array:
    """Return the windows of a ``block`` of x (N, C, *S) as columns: (G, C/G * K, B)."""
    images, *box = block
    n, c, last = images.stop - images.start, x.shape[1], len(box) - 1
    sizes = [side.stop - side.start for side in box]
    whole = [k > 1 and axis < last for axis, k in enumerate(call.kernel)]  # step 2 finds its taps
    taps, counts, reads = [], [], []
    for axis, (k, s, d) in enumerate(zip(call.kernel, call.stride, call.dilation, strict=True)):
        first = box[axis].start * s - call.padding[axis][0]
        if whole[axis]:
            taps.append(1)
            counts.append((sizes[axis] - 1) * s + (k - 1) * d + 1)
            reads.append((first, 0, 1))
        else:
            taps.append(k)
            counts.append(sizes[axis])
            reads.append((first, d, s))

    shifted = np.zeros((c, *taps, n, *counts), x.dtype)  # step 1
    for tap in np.ndindex(*taps):
        axes = zip(tap, reads, counts, x.shape[2:], strict=True)
        found = [inside(first + t * d, s, count, size) for t, (first, d, s), count, size in axes]
        put, take = zip(*found, strict=True)
        shifted[:, *tap, :, *put] = x[images, :, *take].swapaxes(0, 1)

    along_channel, *along = shifted.strides  # step 2
    along_kernel, along_image, along_out = along[: last + 1], along[last + 1], along[last + 2 :]
    for axis in itertools.compress(range(last), whole):
        along_kernel[axis] = along_out[axis] * call.dilation[axis]
        along_out[axis] *= call.stride[axis]
    strides = (along_channel, *along_kernel, along_image, *along_out)
    view: Array = np.ndarray((c, *call.kernel, n, *sizes), x.dtype, shifted, 0, strides)
    return view.reshape(call.groups, -1, n * math.prod(sizes))  # the copy


def contract(x: Array, weight: Array, y: Array, call: Call) -> None:
    """Fill y (N, O, *out) with weight (G, O/G, C/G * K) times the windows of x (N, C, *S)."""
    groups, o, depth = weight.shape
    room = BLOCK_BYTES // (x.dtype.itemsize * groups * (depth + o))
    result = y.reshape(len(x), groups, o, *call.out)
    result = np.moveaxis(result, 0, 2)  # a view: (G, O/G, N, *out)
    for block in blocks(len(x), call.out, max(1, room)):
        part = result[:, :, *block]
        if part[0, 0].flags.c_contiguous:  # whole rows of one image: the product goes there
            np.matmul(weight, columns(x, call, block), out=part.reshape(groups, o, -1))
        else:
            part[...] = (weight @ columns(x, call, block)).reshape(part.shape)


@im2col_tiled
def conv(x: Array, w: Array, call: Call) -> Array:
    """Gather a block of windows at a time into columns, and multiply the weight by it."""
    n, groups, p = len(x), call.groups, math.prod(call.out)
    weight = w.reshape(groups, len(w) // groups, -1)  # (G, O/G, C/G * K)
    ready = max(*call.kernel, *call.stride) == 1 and call.out == call.size  # without padding, too
    if ready and (n == 1 or p >= WIDE):
        y: Array = weight @ x.reshape(
            n, groups, weight.shape[2], p
        )  # nothing to gather: x has the columns
        return y.reshape(n, len(w), *call.out)
    y = np.empty((n, len(w), *call.out), x.dtype)
    contract(x, weight, y, call)
    return y


def phases(size: int, k: int, s: int, padding: tuple[int, int], d: int) -> Iterator[Phase]:
    """Yield the interleaved images of an axis that any of k taps reaches."""
    step = math.gcd(s, d)
    for first in range(min(s, size)):
        full = first + padding[0]  # the position before cropping
        taps = [tap for tap in range(k) if (full - tap * d) % s == 0]  # s // step apart
        if taps:
            start, count = (full - taps[-1] * d) // s, len(range(first, size, s))
            flipped = slice(taps[-1], None, -(s // step))
            yield Phase(slice(first, None, s), count, flipped, len(taps), start, d // step)


@im2col_tiled
def conv_transpose(x: Array, w: Array, call: Call) -> Array:
    """Fill each of the interleaved images that a stride makes with a conv of stride 1."""
    if not np.isfinite(w).all():
        return scattered(x, w, call)  # the zeros beside x would make NaN of it
    (c, per_group), groups = w.shape[:2], call.groups
    weight = w.reshape(groups, c // groups, per_group, *call.kernel).swapaxes(1, 2)
    y = np.zeros((len(x), groups * per_group, *call.size), x.dtype)
    sides = zip(call.size, call.kernel, call.stride, call.padding, call.dilation, strict=True)
    for axes in itertools.product(*[phases(*side) for side in sides]):
        places, counts, taps, kernel, starts, steps = zip(*axes, strict=True)
        flat = weight[:, :, :, *taps].reshape(groups, per_group, -1)
        padding = tuple([(-start, 0) for start in starts])
        one = Call(call.out, counts, kernel, (1,) * len(kernel), padding, steps, groups, 2)
        contract(x, flat, y[:, :, *places], one)
    return y


def scattered(x: Array, w: Array, call: Call) -> Array:
    """Return conv_transpose of infinite weights: add x times w[k] to the places of each k alone."""
    n, groups, c = len(x), call.groups, len(w) // call.groups
    weight = w.reshape(groups, c, -1).swapaxes(1, 2)  # (G, O/G * K, C/G)
    rows = weight @ x.reshape(n, groups, c, math.prod(call.out))
    rows = rows.reshape(n, groups * w.shape[1], *call.kernel, *call.out)
    y = np.zeros((*rows.shape[:2], *call.padded), x.dtype)
    for tap in np.ndindex(*call.kernel):
        axes = zip(tap, call.dilation, call.out, call.stride, strict=True)
        places = [slice(t * d, t * d + (o - 1) * s + 1, s) for t, d, o, s in axes]
        y[:, :, *places] += rows[:, :, *tap]
    return call.crop(y)


conv_input_grad, conv_bias_grad = im2col_tiled.gradients(conv_transpose)


@im2col_tiled
def conv_weight_grad(grad: Array, x: Array, call: Call) -> Array:
    """Multiply a block of grad at a time by the columns that conv multiplies the weight by."""
    n, o, c, groups = *grad.shape[:2], x.shape[1], call.groups
    result = np.moveaxis(grad.reshape(n, groups, o // groups, *call.out), 0, 2)
    dw = np.zeros((groups, o // groups, c // groups * math.prod(call.kernel)), x.dtype)
    room = BLOCK_BYTES // (x.dtype.itemsize * (c * math.prod(call.kernel) + o))
    for block in blocks(n, call.out, max(1, room)):
        part = result[:, :, *block].reshape(groups, o // groups, -1)  # (G, O/G, B)
        dw += part @ columns(x, call, block).swapaxes(1, 2)
    return dw.reshape(o, c // groups, *call.kernel)
