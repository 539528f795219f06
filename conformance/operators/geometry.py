"""Tables of the input position that each kernel position of each output position reads."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from conformance.case import Case, Padding, Shape

Taps = NDArray[np.intp]
"""(P, K): for each of P output positions and K kernel positions a flat input position, or -1."""


def axes(case: Case) -> Iterator[tuple[int, int, int, tuple[int, int], int]]:
    """Yield size, kernel, stride, padding and dilation of each spatial axis of a call."""
    fields = case.x[2:], case.window, case.stride, case.padding, case.dilation
    return zip(*fields, strict=True)


@lru_cache(maxsize=64)
def conv_taps(
    size: Shape, out: Shape, kernel: Shape, stride: Shape, padding: Padding, dilation: Shape
) -> Taps:
    """Return the taps of a convolution or a pooling: output p reads p*stride - before + k*dilation.

    A transposed convolution or a gradient, of ``size``, adds each of its products there.
    """
    tables = []
    for s, o, k, step, (before, _), d in zip(
        size, out, kernel, stride, padding, dilation, strict=True
    ):
        index = (np.arange(o) * step - before)[:, None] + np.arange(k) * d
        tables.append(np.where((index >= 0) & (index < s), index, -1))
    table = _combine(tables, size)
    table.flags.writeable = False  # all calls of the same geometry share the table
    return table


def _combine(tables: list[Taps], size: Shape) -> Taps:
    """Combine the (out, kernel) tables of all axes into one flat (P, K) table."""
    flat = tables[0]
    for axis, table in enumerate(tables[1:], start=1):
        p, k = flat.shape
        pairs = flat[:, None, :, None] * size[axis] + table[None, :, None, :]
        missing = (flat < 0)[:, None, :, None] | (table < 0)[None, :, None, :]
        flat = np.where(missing, -1, pairs).reshape(p * table.shape[0], k * table.shape[1])
    return flat
