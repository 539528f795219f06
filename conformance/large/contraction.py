"""Exact sums over channels at the speed of a matrix product: the two sides of a projection.

A sum of products of integers is exact in float32, in any order, if the sum of their magnitudes is
at most 2**24 (in float64: 2**53). Cheap bounds on that sum decide which of the two dtypes is used:
max|a| * sum|b|, or sum|a||b| <= ||a|| ||b|| (Cauchy and Schwarz).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from conformance.calling import Array
from conformance.case import Case, Shape
from conformance.operators import OPERATORS

_SINGLE = 2.0**24
"""Integers up to this are exact in float32."""
_TILE = 1 << 17
"""Elements of a tile: they fit a second-level cache."""
_TILE_CHANNELS = (16, 64)
"""Channels of a tile: with few its rows are long and fast to read, with many its sums are few."""
_SMALL_CHANNELS = 512
"""Channels of a tile that holds a whole group: more tiles would only add overhead."""
_COLUMNS = 1024
"""Positions multiplied at a time: this takes half of the time of all at once (measured)."""
_PLANES = 1 << 22
"""Elements of the largest temporary of `convolve`."""
_LARGEST = 2.0**36
"""Whole numbers up to this, times small coefficients, add up exactly in float64."""


def in_blas_dtype(array: Array) -> Array:
    """Return ``array`` in a dtype that BLAS has and that holds it exactly: float32 or float64."""
    if array.dtype in (np.float32, np.float64):
        return array
    wide = np.float32 if array.dtype.itemsize <= 2 else np.float64
    return array.astype(wide, order="K")


def sum_of_squares_bound(array: Array) -> float:
    """Return an upper bound on the sum of the squares of a float32 or float64 array.

    A sum of n terms rounds by at most n*u / (1 - n*u) of it, which is below 2**-6 for a tile.
    """
    flat = array.ravel(order="K")
    pieces = (flat[start : start + _TILE] for start in range(0, flat.size, _TILE))
    with np.errstate(over="ignore", invalid="ignore"):  # only the sums of wrong outputs overflow
        return sum(float(np.dot(piece, piece)) for piece in pieces) * (1 + 2.0**-6)


def _peak(array: Array) -> float:
    return max(float(array.max()), -float(array.min()))


def project_weight(case: Case, w: Array, r: NDArray[np.float32]) -> tuple[Array, float]:
    """Return sum_o r[g, o] * w[o], (G, C/G, K), and `sum_of_squares_bound` of ``w``.

    ``w`` is a float32 or float64 array of whole numbers, and ``r`` is (G, O/G).
    """
    groups, per_group = r.shape
    shape = groups, case.x[1] // groups, -1
    if case.operator == "conv":
        sums = project(w.reshape(1, groups, per_group, -1), r, trusted=True)
        return sums.values.reshape(shape), sums.squares
    squares = sum_of_squares_bound(w)
    if float((r * r).sum(axis=1).max()) * squares > _SINGLE**2:
        w = w.astype(np.float64, copy=False)
    values = r[:, None, None] @ w.reshape(groups, len(w) // groups, per_group, -1)
    return values.reshape(shape), squares


class Sums(NamedTuple):
    """The result of `project`."""

    values: NDArray[np.float64]
    """sum_o r[g, o] * y[n, g, o, p], (N, G, P)."""
    odd: NDArray[np.bool_]
    """Where an element of the sum cannot be a result, (N, G, P)."""
    squares: float
    """An upper bound on the sum of all y**2; infinity if only a bound on y was used."""


def project(
    y: Array,
    r: NDArray[np.float32],
    *,
    fractions: bool = False,
    trusted: bool = False,
    bound: float = math.inf,
) -> Sums:
    """Sum ``y`` (N, G, O/G, P), in any memory layout, over O/G with the weights ``r`` (G, O/G).

    Elements are rounded to whole numbers, whose sums are exact. With ``fractions``, an element that
    rounding changes cannot be a result; numbers above 2**36, infinities and NaN never can.
    ``trusted`` says that all elements are small whole numbers.

    If the sums of a tile, by a ``bound`` on the elements of a right ``y``, are at most 2**23, sizes
    are not checked: only a wrong element makes a sum round, and by less than 2**-8 of the largest
    error (`conformance.large.projection`).
    """
    images, groups, channels, size = y.shape
    values = np.zeros((images, groups, size))
    odd = np.zeros((images, groups, size), bool)
    squares = 0.0
    scratch, flags = np.empty(0), np.empty(0, bool)
    fewest, most = _TILE_CHANNELS
    across = max(1, min(size, _TILE // fewest))
    if 4 * most * bound > _SINGLE / 2:  # sizes are looked at in any case, whatever the tile
        most = _SMALL_CHANNELS
    step = min(channels, most, _TILE // across)
    together = max(1, _TILE // (step * across))
    for first in range(0, channels, step):
        some = slice(first, first + step)
        norm = float((r[:, some] ** 2).sum(axis=1).max())
        total = float(np.abs(r[:, some]).sum(axis=1).max())
        for n, g, p in itertools.product(
            range(images), range(0, groups, together), range(0, size, across)
        ):
            where = n, slice(g, g + together), slice(p, p + across)
            tile = in_blas_dtype(y[n, where[1], some, where[2]])  # (g, o, p)
            whole = tile
            if not trusted:
                if scratch.shape != tile.shape:
                    scratch = np.empty_like(tile)
                    flags = np.empty_like(tile, bool)
                whole = np.rint(tile, out=scratch)
            if fractions and not np.equal(whole, tile, out=flags).all():
                odd[where] |= ~flags.all(axis=1)
            largest = _SINGLE if whole.dtype == np.float32 else _LARGEST
            if step <= _TILE_CHANNELS[1] and total * bound <= largest / 2:
                squares = math.inf
                with np.errstate(over="ignore", invalid="ignore"):  # only wrong outputs overflow
                    values[where] += (r[where[1], None, some] @ whole)[:, 0]
                continue
            here = sum_of_squares_bound(whole)
            squares += here
            small = norm * here <= largest**2 or total * _peak(whole) <= largest
            if not small:  # also where it is NaN
                wide = whole.astype(np.float64)
                whole = np.where(np.abs(wide) <= _LARGEST, wide, 0)
                odd[where] |= (whole != wide).any(axis=1)
            values[where] += (r[where[1], None, some] @ whole)[:, 0]
    return Sums(values, odd, squares)


def convolve(case: Case, x: Array, kernels: Array, peak: float) -> NDArray[np.float64]:
    """Return the result of ``case``'s operator with one output channel a group: (N, G, *out).

    ``kernels`` is (G, C/G, K), ``peak`` the largest magnitude in ``x``. One matrix product
    (K, C/G) @ (C/G, S), which reads x once, contracts the channels for all kernel positions; the
    plane of each is added where the operator reads or writes it.
    """
    n, c, *size = x.shape
    groups = len(kernels)
    x = in_blas_dtype(x)
    if peak * float(np.abs(kernels).sum(axis=(1, 2), dtype=np.float64).max()) > _SINGLE:
        x = x.astype(np.float64, copy=False)
    kernels = kernels.astype(x.dtype)
    x = x.reshape(n, groups, c // groups, *size)
    y = np.zeros((n, groups, *OPERATORS[case.operator].output_shape(case)[2:]), x.dtype)
    if y.size:
        add = _add_conv if case.operator == "conv" else _add_transpose
        add(case, x, kernels, y)
    return y.astype(np.float64)


def _add_conv(case: Case, x: Array, kernels: Array, y: Array) -> None:
    """Add kernels[k] . x[p*stride + k*dilation - before] to y[p], by phases of the stride.

    The input positions of one remainder modulo the stride form a grid on which the kernel
    positions that meet it move by whole steps: y[p] += product[p + move].
    """
    out = y.shape[2:]
    shifts = _shifts(case)
    phases = [
        sorted({shift % s for shift in axis}) for axis, s in zip(shifts, case.stride, strict=True)
    ]
    for phase in itertools.product(*phases):
        grid = x[spatial(slice(f, None, s) for f, s in zip(phase, case.stride, strict=True))]
        meets = [
            [k for k, shift in enumerate(axis) if (shift - f) % s == 0]
            for axis, f, s in zip(shifts, phase, case.stride, strict=True)
        ]
        if not grid.size or not all(meets):
            continue
        for k, product in _products(case, kernels, grid, meets):
            target, source = [], []
            for axis, at in enumerate(k):
                move = (shifts[axis][at] - phase[axis]) // case.stride[axis]
                low, high = max(0, -move), min(out[axis], grid.shape[3 + axis] - move)
                target.append(slice(low, max(low, high)))
                source.append(slice(low + move, max(low, high) + move))
            y[spatial(target)] += product[spatial(source)]


def _add_transpose(case: Case, x: Array, kernels: Array, y: Array) -> None:
    """Add kernels[k] . x[i] to y[i*stride + k*dilation - before]."""
    out = y.shape[2:]
    shifts = _shifts(case)
    everywhere = [range(size) for size in case.window]
    for k, product in _products(case, kernels, x, everywhere):
        target, source = [], []
        for axis, at in enumerate(k):
            shift, stride = shifts[axis][at], case.stride[axis]
            low = max(0, -(shift // stride))
            high = max(low, min(case.x[2 + axis], (out[axis] - 1 - shift) // stride + 1))
            target.append(slice(low * stride + shift, max(0, high * stride + shift), stride))
            source.append(slice(low, high))
        y[spatial(target)] += product[spatial(source)]


def spatial(slices: Iterable[slice]) -> tuple[Any, ...]:
    """Return the index that takes ``slices`` of the last axes, and all of the others."""
    return (Ellipsis, *slices)


def _shifts(case: Case) -> list[list[int]]:
    """Return k*dilation - before for each axis and kernel position."""
    return [
        [k * d - before for k in range(size)]
        for size, d, (before, _) in zip(case.window, case.dilation, case.padding, strict=True)
    ]


def _products(
    case: Case, kernels: Array, x: Array, meets: Sequence[Sequence[int]]
) -> Iterator[tuple[Shape, NDArray[Any]]]:
    """Yield each kernel position with its sums over channels of x (N, G, C/G, *S): (N, G, *S)."""
    n, groups, c, *size = x.shape
    columns = x.reshape(n, groups, c, math.prod(size))
    positions = list(itertools.product(*meets))
    step = max(1, _PLANES // (n * groups * columns.shape[3]))
    for first in range(0, len(positions), step):
        some = positions[first : first + step]
        flat = [np.ravel_multi_index(k, case.window) for k in some]
        rows = kernels[:, :, flat].swapaxes(1, 2)  # (G, k, C/G)
        planes = np.empty((n, groups, len(some), columns.shape[3]), x.dtype)
        for start in range(0, columns.shape[3], _COLUMNS):  # few enough to stay in a cache
            part = (..., slice(start, start + _COLUMNS))
            np.matmul(rows, columns[part], out=planes[part])  # (N, G, k, S)
        for index, k in enumerate(some):
            yield k, planes[:, :, index].reshape(n, groups, *size)
