"""Sizes that kernels block and count by: each axis one below, at and one above them.

Kernels handle eight, sixteen or sixty-four of something at a time and the rest apart, and index
with integers of 8 or 16 bits. Every axis of an operator crosses those sizes here, alone with all
else small, and some together; on exact data, so that the reference is one matrix product.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from conformance.case import Case, Shape
from conformance.operators import OPERATORS

BLOCKS = (63, 64, 65, 127, 128, 129, 255, 256, 257)
"""Around the powers of two that blocks and 8-bit indices end at."""
LONG = (*BLOCKS, 511, 512, 513, 1023, 1024, 1025)
"""The same for an axis that costs little."""
WINDOWS = (7, 8, 9, 15, 16, 17, 31, 32, 33)
"""Kernel sizes around the widths of vectors."""
WIDE = (32767, 32768, 32769, 65535, 65536, 65537)
"""Around the ends of signed and unsigned 16-bit indices."""


def cases(operator: str, dims: int, dtypes: Sequence[str]) -> list[Case]:
    """Return the cases of ``operator``, the dtypes taking turns."""
    turns = itertools.cycle(dtypes)
    made = _weighted(dims) if OPERATORS[operator].has_weight else _pooled(dims)
    found = []
    for seed, (x, window, outer, groups) in enumerate(made):
        base = {"operator": operator, "dtype": next(turns), "seed": seed}
        c = x[1]
        if "kernel" in OPERATORS[operator].parameters:
            found.append(Case(x=x, kernel=window, **base))  # type: ignore[arg-type]
            continue
        if not OPERATORS[operator].has_weight:
            found.append(Case(x=x, **base))  # type: ignore[arg-type]
            continue
        transposed = operator == "conv_transpose"
        w = (c, outer) if transposed else (outer * groups, c // groups)
        found.append(Case(x=x, w=(*w, *window), groups=groups, **base))  # type: ignore[arg-type]
    return found


def _weighted(dims: int) -> Iterator[tuple[Shape, Shape, int, int]]:
    """Yield (x, kernel, output channels of a group, groups) of the convolutions."""
    small, kernel = (3,) * dims, (2,) * dims
    for x, window in _planes(dims):
        yield x, window, 2, 1
    for count in BLOCKS:
        yield (1, count, *small), kernel, 2, 1
        yield (1, 2, *small), kernel, count, 1
        yield (1, count, *small), kernel, 1, count
    for inner, outer, width in ((33, 65, 17), (65, 33, 31), (17, 129, 9), (129, 17, 8)):
        yield (1, inner, *small[1:], width), kernel, outer, 1
        yield (2, 2 * inner, *small), kernel, outer, 2


def _pooled(dims: int) -> Iterator[tuple[Shape, Shape, int, int]]:
    """Yield (x, window, 1, 1) of the poolings."""
    small, kernel = (3,) * dims, (2,) * dims
    for x, window in _planes(dims):
        yield x, window, 1, 1
    for count in LONG:
        yield (1, count, *small), kernel, 1, 1
    for count, width in ((33, 65), (65, 33), (17, 129), (129, 17)):
        yield (2, count, *small[1:], width), kernel, 1, 1


def _planes(dims: int) -> Iterator[tuple[Shape, Shape]]:
    """Yield (x, window) with a long batch, a long spatial axis, or a large window."""
    small, kernel = (3,) * dims, (2,) * dims
    for count in BLOCKS:
        yield (count, 2, *small), kernel
    for axis in range(dims):
        for length in LONG:
            yield (1, 2, *small[:axis], length, *small[axis + 1 :]), kernel
        for width in WINDOWS:
            shape = (*small[:axis], width + 3, *small[axis + 1 :])
            yield (1, 2, *shape), (*kernel[:axis], width, *kernel[axis + 1 :])
    if dims == 1:
        for length in WIDE:
            yield (1, 1, length), kernel
