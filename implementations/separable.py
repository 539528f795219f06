"""Separable pools: one axis after the other, in runs that double, a few planes at a time.

The maximum of a window of 3x3 is that of three maxima of columns, and neighbouring windows share
their columns. So a pool of an image is a pool along its rows of a pool along its columns: 2 + 2
comparisons a position in the place of 8. So is a sum. A long window along one axis is made of runs
whose lengths double, each from two of the length before. A window of 5 is a run of 4 and one more::

    x       a   b   c   d   e   f            5 = 4 + 1, in binary 101
    runs 2  ab  bc  cd  de  ef
    runs 4  abcd  bcde  cdef                 y[0] = a + bcde

>>> x = np.array([[1, 2, 3, 4, 5, 6, 7, 8]])
>>> along(x, 1, 4, 5, 1, 1, np.add)
array([[15, 20, 25, 30]])

That takes at most 2 * log2(K) operations a position, where K - 1 would be needed. A *running* sum,
which takes the element that leaves a window off again, would need 2, but an infinity or a NaN never
leaves it, and what cancels in it has lost its digits: it exceeds the bound of a window's own sum.

An operation of NumPy reads and writes whole arrays. So that the next one finds its operands in the
cache, all steps are done for some planes before the next ones are begun. The shapes of a step::

    x (B, *S)  --pad-->  (B, *padded)  --axis 1-->  (B, out, ...)  --axis 2-->  (B, *out)
"""

import math
from collections.abc import Callable, Iterator
from typing import TypeAlias

import numpy as np

from conformance import implementation
from conformance.dtypes import DTYPES
from conformance.implementations._arguments import Array
from conformance.implementations._call import Call
from conformance.implementations._frame import Frame
from conformance.implementations._windows import lowest, surrounded

separable = Frame(implementation("separable", family="numpy", dtypes=DTYPES), pads=False)

Join: TypeAlias = Callable[..., Array]
"""np.maximum or np.add."""
BLOCK_BYTES = 1 << 18
"""What the planes of a block take, unless one takes more: several such arrays fit a cache."""


def blocks(planes: int, call: Call, itemsize: int) -> Iterator[slice]:
    """Yield slices of so many planes that the padded ones fit `BLOCK_BYTES`."""
    step = max(1, BLOCK_BYTES // (itemsize * math.prod(call.padded)))
    for first in range(0, planes, step):
        yield slice(first, first + step)


def along(x: Array, axis: int, out: int, k: int, s: int, d: int, join: Join) -> Array:
    """Join k elements that lie d apart on an axis, in each of ``out`` windows that lie s apart."""

    def at(array: Array, first: int, count: int, step: int) -> Array:
        place = slice(first, first + (count - 1) * step + 1, step)
        return array[(slice(None),) * axis + (place,)]

    doublings = k.bit_length() - 1
    if k - 1 <= s * doublings + k.bit_count() - 1:  # each element by itself
        y = at(x, 0, out, s)
        for tap in range(1, k):
            y = join(y, at(x, tap * d, out, s), out=y if tap > 1 else None)
        return y
    runs, length, parts, start = x, 1, [], 0
    while True:
        if k & length:
            parts.append(at(runs, start * d, out, s))
            start += length
        if 2 * length > k:
            break
        count = runs.shape[axis] - length * d
        runs = join(at(runs, 0, count, 1), at(runs, length * d, count, 1))
        length *= 2
    y = parts.pop()
    for part in parts:
        y = join(y, part)
    return y


def joined(x: Array, call: Call, join: Join) -> Array:
    """Join the elements of every window of x (B, *padded): (B, *out)."""
    sides = zip(call.out, call.kernel, call.stride, call.dilation, strict=True)
    for axis, side in enumerate(sides, 1):  # the last axis, whose runs are short, has least to do
        x = along(x, axis, *side, join)
    return x


@separable
def max_pool(x: Array, call: Call) -> Array:
    """Take the maximum along each axis; NaN where there is one."""
    planes = x.reshape(math.prod(x.shape[:2]), *call.size)
    y = np.empty((len(planes), *call.out), x.dtype)
    for block in blocks(len(planes), call, x.itemsize):
        image = surrounded(planes[block], call.padding, lowest(x.dtype), x.dtype, 1)
        y[block] = joined(image, call, np.maximum)
    return y.reshape(*x.shape[:2], *call.out)


@separable
def avg_pool(x: Array, counts: Array, call: Call) -> Array:
    """Sum along each axis, and divide by what counts in each window."""
    planes = x.reshape(math.prod(x.shape[:2]), *call.size)
    y = np.empty((len(planes), *call.out), x.dtype)
    for block in blocks(len(planes), call, x.itemsize):
        image = surrounded(planes[block], call.padding, 0, x.dtype, 1)
        np.divide(joined(image, call, np.add), counts, out=y[block])
    return y.reshape(*x.shape[:2], *call.out)


@separable
def max_pool_grad(grad: Array, x: Array, call: Call) -> Array:
    """Find the maxima axis by axis, and hand out grad to the first tap that equals them."""
    count, inside = math.prod(x.shape[:2]), call.inside()
    planes, grads = x.reshape(count, *call.size), grad.reshape(count, *call.out)
    dx = np.zeros((count, *call.size), grad.dtype)
    for block in blocks(count, call, x.itemsize):
        image = surrounded(planes[block], call.padding, lowest(x.dtype), x.dtype, 1)
        largest, share = joined(image, call, np.maximum), grads[block]
        part, waiting = np.zeros(image.shape, grad.dtype), np.ones(share.shape, bool)
        for tap in np.ndindex(call.kernel):
            axes = zip(tap, call.dilation, call.out, call.stride, strict=True)
            at = tuple([slice(t * d, t * d + (o - 1) * s + 1, s) for t, d, o, s in axes])
            winners = waiting & inside[at] & (image[:, *at] == largest)
            part[:, *at] += np.where(winners, share, 0)
            waiting &= ~winners
        dx[block] = call._replace(first=1).crop(part)
    return dx.reshape(x.shape)


@separable
def avg_pool_grad(shares: Array, call: Call) -> Array:
    """Add each window's share to its elements, one axis after the other."""
    count = math.prod(shares.shape[:2])
    grads, dx = shares.reshape(count, *call.out), np.zeros((count, *call.size), shares.dtype)
    for block in blocks(count, call, shares.itemsize):
        part = grads[block]
        for axis, k in enumerate(call.kernel, 1):
            shape = (*part.shape[:axis], call.padded[axis - 1], *part.shape[axis + 1 :])
            spread = np.zeros(shape, part.dtype)
            ahead, o, s = (slice(None),) * axis, call.out[axis - 1], call.stride[axis - 1]
            for tap in range(k):
                spread[(*ahead, slice(tap, tap + (o - 1) * s + 1, s))] += part
            part = spread
        dx[block] = call._replace(first=1).crop(part)
    return dx.reshape(*shares.shape[:2], *call.size)
