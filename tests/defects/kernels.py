"""Correct kernels of every operator, each step of which a defect can replace.

They are written for this collection alone, on tables: for each spatial axis, a table says which
input position each kernel position of each output position reads. `gather` reads through the
tables, `scatter` adds through them, and everything between is a sum over the last axes. No code is
shared with the implementations or with the reference.

Arrays are channels-first, as in SPEC.md. Keyword arguments after the operator's own replace:

==============  ==================================================================================
``alter``       takes and returns the list of `Axis`, after the output size has been computed
``tables``      makes the tables from the list of `Axis`; by default `taps` for each
``fill``        what padding holds
``contract``    sums products (conv, conv_transpose)
``wide``        the dtype that is accumulated in
``reduce``      makes a number of a window (pools)
``divide``      gives the divisors (avg_pool)
``skip``        names of the checks in `checks.py` that are left out
==============  ==================================================================================
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

import numpy as np

from tests.defects import checks

Array = np.ndarray[Any, Any]
Tables = Sequence[Array]
"""One (out, K) table of input positions for each spatial axis; positions may be outside."""


class Axis(NamedTuple):
    """One spatial axis of a call."""

    size: int
    """Input size; that of x for conv_transpose, that of the forward input for gradients."""
    kernel: int
    stride: int
    before: int
    after: int
    dilation: int
    out: int
    """Output size."""


def axes_of(
    sizes: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[tuple[int, int]],
    dilation: Sequence[int],
    out: Sequence[int],
) -> list[Axis]:
    """Return the axes of a call."""
    columns = zip(sizes, kernel, stride, padding, dilation, out, strict=True)
    return [Axis(s, k, step, pad[0], pad[1], d, o) for s, k, step, pad, d, o in columns]


def unaltered(axes: list[Axis]) -> list[Axis]:
    """Return the axes as they are."""
    return axes


def taps(axis: Axis) -> Array:
    """Return the input position of each output and kernel position: (out, K)."""
    places = np.arange(axis.out)[:, None] * axis.stride + np.arange(axis.kernel) * axis.dilation
    return places - axis.before


def all_taps(axes: Sequence[Axis]) -> list[Array]:
    """Return the table of every axis."""
    return [taps(axis) for axis in axes]


def writes(axis: Axis) -> Array:
    """Return the output position that each input and kernel position of conv_transpose adds to."""
    places = np.arange(axis.size)[:, None] * axis.stride + np.arange(axis.kernel) * axis.dilation
    return places - axis.before


def all_writes(axes: Sequence[Axis]) -> list[Array]:
    """Return the table of every axis of a conv_transpose."""
    return [writes(axis) for axis in axes]


def flat(tables: Tables, sizes: Sequence[int]) -> Array:
    """Return the tables of all axes as one: (P, K) flat positions, the total size for outside."""
    total = math.prod(sizes)
    place = np.zeros((1, 1), np.intp)
    outside = np.zeros((1, 1), bool)
    for table, size in zip(tables, sizes, strict=True):
        p, k = place.shape[0] * table.shape[0], place.shape[1] * table.shape[1]
        place = place[:, None, :, None] * size + table[None, :, None, :]
        outside = outside[:, None, :, None] | ((table < 0) | (table >= size))[None, :, None, :]
        place, outside = place.reshape(p, k), outside.reshape(p, k)
    return np.where(outside, total, place)


def gather(x: Array, tables: Tables, fill: float = 0) -> Array:
    """Return what x (N, C, *S) holds where the tables say, as (N, C, P, K)."""
    size = math.prod(x.shape[2:])
    planes = np.full((*x.shape[:2], size + 1), fill, x.dtype)
    planes[..., :-1] = x.reshape(*x.shape[:2], size)
    return planes[..., flat(tables, x.shape[2:])]


def scatter(parts: Array, tables: Tables, sizes: Sequence[int]) -> Array:
    """Add parts (N, C, P, K) up where the tables say, as (N, C, *sizes)."""
    places = flat(tables, sizes)
    y = np.zeros((*parts.shape[:2], math.prod(sizes) + 1), parts.dtype)
    for k in range(places.shape[1]):  # one kernel position meets no place but the last one twice
        y[..., places[:, k]] += parts[..., k]
    return y[..., :-1].reshape(*parts.shape[:2], *sizes)


def product(subscripts: str, left: Array, right: Array) -> Array:
    """Sum products as einsum does: every product, zeros included, in one fixed order.

    Large ones go through a matrix product, which is faster and adds in another order.
    """
    return np.asarray(np.einsum(subscripts, left, right, optimize=left.size + right.size > 200_000))


def contract(columns: Array, w: Array, groups: int) -> Array:
    """Multiply columns (N, C, P, K) by w (O, C/groups, *K) and sum, as (N, O, P)."""
    (n, c, p, k), o = columns.shape, len(w)
    left = columns.reshape(n, groups, c // groups, p, k)
    right = w.reshape(groups, o // groups, c // groups, k)
    return product("ngcpk,gock->ngop", left, right).reshape(n, o, p)


def spread(x: Array, w: Array, groups: int) -> Array:
    """Multiply x (N, C, P) by w (C, O/groups, *K) and sum over channels, as (N, O, P, K)."""
    n, c, p = x.shape
    per = w.shape[1]
    k = math.prod(w.shape[2:])
    left = x.reshape(n, groups, c // groups, p)
    right = w.reshape(groups, c // groups, per, k)
    return product("ngcp,gcok->ngopk", left, right).reshape(n, groups * per, p, k)


def maximum(windows: Array) -> Array:
    """Return the largest element of windows (N, C, P, K) as (N, C, P); NaN if there is one."""
    return np.asarray(windows.max(axis=-1))


def total(windows: Array) -> Array:
    """Return the sums of windows (N, C, P, K) as (N, C, P)."""
    return np.asarray(windows.sum(axis=-1))


def divisors(axes: Sequence[Axis], include: bool) -> Array:
    """Return how many positions of each window count, as (P,)."""
    count = np.ones((), np.int64)
    for axis in axes:
        places = taps(axis)
        first, end = (-axis.before, axis.size + axis.after) if include else (0, axis.size)
        counted = np.count_nonzero((places >= first) & (places < end), axis=1)
        count = np.multiply.outer(count, counted)
    return count.reshape(-1)


def widened(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return what is accumulated in: float32 for the half types, else the dtype, native order."""
    half = dtype.itemsize == 2 and dtype.kind in "fV"  # bfloat16 is of NumPy's kind V
    return np.dtype(np.float32) if half else plain(dtype)


def plain(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype of the result: that of the input, in the machine's byte order."""
    return dtype if dtype.isnative else dtype.newbyteorder("=")


def lowest(dtype: np.dtype[Any]) -> float:
    """Return what never wins a maximum."""
    return int(np.iinfo(dtype).min) if dtype.kind in "iu" else -np.inf


def column(bias: Array, dtype: np.dtype[Any], dims: int) -> Array:
    """Return bias (O,) as (O, 1, ...), to be added to (N, O, *out)."""
    return bias.astype(dtype).reshape(-1, *(1,) * dims)


def conv(
    x: Array,
    w: Array,
    bias: Array | None,
    *,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: Any,
    alter: Callable[[list[Axis]], list[Axis]] = unaltered,
    tables: Callable[[Sequence[Axis]], Tables] = all_taps,
    contract: Callable[[Array, Array, int], Array] = contract,
    fill: float = 0,
    wide: Any = None,
    skip: Collection[str] = (),
) -> Array:
    """Gather what every window reads, then multiply by the weights and sum."""
    checks.conv(x, w, bias, stride, padding, dilation, groups, skip)
    sizes, kernel = x.shape[2:], w.shape[2:]
    out = checks.sizes(sizes, kernel, stride, padding, dilation)
    axes = alter(axes_of(sizes, kernel, stride, padding, dilation, out))
    dtype = np.dtype(wide or widened(x.dtype))
    columns = gather(x.astype(dtype), tables(axes), fill)
    y = contract(columns, w.astype(dtype), groups).reshape(len(x), len(w), *out)
    if bias is not None:
        y = y + column(bias, dtype, len(out))
    return y.astype(plain(x.dtype))


def conv_transpose(
    x: Array,
    w: Array,
    bias: Array | None,
    *,
    stride: Any,
    padding: Any,
    output_padding: Any,
    dilation: Any,
    groups: Any,
    alter: Callable[[list[Axis]], list[Axis]] = unaltered,
    tables: Callable[[Sequence[Axis]], Tables] = all_writes,
    spread: Callable[[Array, Array, int], Array] = spread,
    scatter: Callable[[Array, Tables, Sequence[int]], Array] = scatter,
    wide: Any = None,
    skip: Collection[str] = (),
) -> Array:
    """Multiply every input element by its kernel, then add the products up where they belong."""
    checks.conv_transpose(x, w, bias, stride, padding, output_padding, dilation, groups, skip)
    sizes, kernel = x.shape[2:], w.shape[2:]
    out = checks.transpose_sizes(sizes, kernel, stride, padding, output_padding, dilation)
    axes = alter(axes_of(sizes, kernel, stride, padding, dilation, out))
    dtype = np.dtype(wide or widened(x.dtype))
    flat_x = x.astype(dtype).reshape(*x.shape[:2], math.prod(sizes))
    parts = spread(flat_x, w.astype(dtype), groups)
    y = scatter(parts, tables(axes), [axis.out for axis in axes])
    if bias is not None:
        y = y + column(bias, dtype, len(out))
    return y.astype(plain(x.dtype))


def max_pool(
    x: Array,
    *,
    kernel: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    ceil_mode: Any,
    alter: Callable[[list[Axis]], list[Axis]] = unaltered,
    tables: Callable[[Sequence[Axis]], Tables] = all_taps,
    reduce: Callable[[Array], Array] = maximum,
    fill: float | None = None,
    wide: Any = None,
    skip: Collection[str] = (),
) -> Array:
    """Gather what every window reads, and take the largest."""
    checks.pool(x, kernel, stride, padding, dilation, ceil_mode, skip)
    sizes = x.shape[2:]
    out = checks.sizes(sizes, kernel, stride, padding, dilation, ceil_mode)
    axes = alter(axes_of(sizes, kernel, stride, padding, dilation, out))
    dtype = np.dtype(wide or widened(x.dtype))
    windows = gather(x.astype(dtype), tables(axes), lowest(dtype) if fill is None else fill)
    y = reduce(windows).reshape(*x.shape[:2], *out)
    return y.astype(plain(x.dtype))


def avg_pool(
    x: Array,
    *,
    kernel: Any,
    stride: Any,
    padding: Any,
    ceil_mode: Any,
    count_include_pad: Any,
    alter: Callable[[list[Axis]], list[Axis]] = unaltered,
    tables: Callable[[Sequence[Axis]], Tables] = all_taps,
    reduce: Callable[[Array], Array] = total,
    divide: Callable[[Sequence[Axis], bool], Array] = divisors,
    fill: float = 0,
    wide: Any = None,
    skip: Collection[str] = (),
) -> Array:
    """Gather what every window reads, sum, and divide by what counts."""
    ones = (1,) * len(kernel)
    checks.pool(x, kernel, stride, padding, ones, ceil_mode, skip)
    sizes = x.shape[2:]
    out = checks.sizes(sizes, kernel, stride, padding, ones, ceil_mode)
    axes = alter(axes_of(sizes, kernel, stride, padding, ones, out))
    dtype = np.dtype(wide or widened(x.dtype))
    sums = reduce(gather(x.astype(dtype), tables(axes), fill))
    y: Array = sums / divide(axes, count_include_pad).astype(dtype)
    return y.reshape(*x.shape[:2], *out).astype(plain(x.dtype))
