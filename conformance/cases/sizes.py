"""Sizes at which kernels block and count: each axis has sizes at, one below and one above them.

Kernels handle eight, sixteen or sixty-four elements at a time and the remaining ones separately,
and index with integers of 8 or 16 bits. Every axis of an operator crosses those sizes, alone while
all others are small, and some axes together. The data is exact: one matrix product is the
reference.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from conformance.case import Case, Shape
from conformance.operators import OPERATORS

BLOCKS = (63, 64, 65, 127, 128, 129, 255, 256, 257)
"""Sizes around the powers of two at which blocks and 8-bit indices end."""
LONG = (*BLOCKS, 511, 512, 513, 1023, 1024, 1025)
"""The same, and larger sizes, for an axis that costs little."""
WINDOWS = (7, 8, 9, 15, 16, 17, 31, 32, 33)
"""Kernel sizes around the widths of vectors."""
PAST = ((33, 33), (17, 65), (65, 17))
"""Two sizes, for two axes, that are larger than blocks of 8, 16 and 32, or of 64."""
COUNTED = ((1 << 15) + 1, (1 << 16) + 1)
"""Numbers of elements that 16-bit counters cannot count."""
WIDE = (32767, 32768, 32769, 65535, 65536, 65537)
"""Sizes around the ends of signed and unsigned 16-bit indices."""


def cases(operator: str, dims: int, dtypes: Sequence[str]) -> list[Case]:
    """Return the cases of ``operator``; the dtypes take turns."""
    turns = itertools.cycle(dtypes)
    has_weight = OPERATORS[operator].has_weight
    shapes = _weighted(dims) if has_weight else _pooled(dims)
    sized = []
    for seed, (x, window, outer, groups) in enumerate(shapes):
        case = Case(operator=operator, x=x, dtype=next(turns), seed=seed)
        if has_weight:
            transposed = OPERATORS[operator].is_transposed
            w = (x[1], outer) if transposed else (outer * groups, x[1] // groups)
            case = case.replace(w=(*w, *window), groups=groups)
        elif "kernel" in OPERATORS[operator].parameters:
            case = case.replace(kernel=window)
        sized.append(case)
    return sized


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
    for sizes in _together((1, 2, 2, 1, *small)):
        n, inner, outer, groups, *spatial = sizes
        yield (n, groups * inner, *spatial), kernel, outer, groups
    for total in COUNTED:
        yield (1, 4, *_cube(dims, total // 4)), (1,) * dims, 4, 1  # many inputs and outputs
        yield (2, 256, *(2,) * dims), (1,) * dims, total // 256 + 1, 1  # many weights


def _pooled(dims: int) -> Iterator[tuple[Shape, Shape, int, int]]:
    """Yield (x, window, 1, 1) of the poolings."""
    small, kernel = (3,) * dims, (2,) * dims
    for x, window in _planes(dims):
        yield x, window, 1, 1
    for count in LONG:
        yield (1, count, *small), kernel, 1, 1
    for n, c, *spatial in _together((1, 2, *small)):
        yield (n, c, *spatial), kernel, 1, 1
    for total in COUNTED:
        yield (1, 2, *(size + 1 for size in _cube(dims, total // 2))), kernel, 1, 1
        yield (2, 128, *_cube(dims, total // 256)), (1,) * dims, 1, 1


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


def _together(small: Shape) -> Iterator[Shape]:
    """Yield ``small`` with every two of its sizes larger than blocks at the same time."""
    for first, second in itertools.combinations(range(len(small)), 2):
        for sizes in PAST[:1] if (first + second) % 2 else PAST[1:]:
            shape = list(small)
            shape[first], shape[second] = sizes
            yield tuple(shape)


def _cube(dims: int, least: int) -> Shape:
    """Return nearly equal sizes of ``dims`` axes, whose product is above ``least``."""
    side = int(least ** (1 / dims))
    return (*(side,) * (dims - 1), least // side ** (dims - 1) + 1)
