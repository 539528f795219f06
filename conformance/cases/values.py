"""Values: every number of a dtype of at most 16 bits, through calls that leave it as it is.

A table, a conversion or a comparison by bits may be wrong for one number of many: a NaN of some
payload, the smallest subnormal number, one of the zeros.
"""

from __future__ import annotations

from conformance.case import EVERY, Case
from conformance.dtypes import numpy_dtype
from conformance.operators import OPERATORS

SHAPES = {
    8: {1: (256,), 2: (16, 16), 3: (4, 8, 8)},
    16: {1: (65536,), 2: (256, 256), 3: (16, 64, 64)},
}
"""The spatial shape that holds every number, by the bits of a dtype and the dimensions."""

_OPERATORS = ("conv", "conv_transpose", "max_pool", "avg_pool")


def values(operator: str, dims: int, dtype: str, leading: bool) -> list[Case]:
    """Return calls that have every number of a dtype, each in a window of its own.

    max_pool has each of them beside the next as well.
    """
    found = OPERATORS[operator]
    if operator not in _OPERATORS or dtype not in found.dtypes:
        return []
    bits = 8 * numpy_dtype(dtype).itemsize
    if bits not in SHAPES or not (found.compared == 0 or dtype in ("float16", "bfloat16")):
        return []
    shape, ones = SHAPES[bits][dims], (1,) * dims
    windows = [ones] if found.compared is None else [ones, (*ones[1:], 2)]
    w = found.weight_shape(1, 1, 1, ones)
    return [
        Case(
            operator=operator,
            x=(1, 1, *shape),
            w=w,
            kernel=None if w else window,
            dtype=dtype,
            data=EVERY,
        )
        for window in windows
    ]


def every_value(operator: str, dims: int, dtype: str, leading: bool) -> str:
    """Return what `values` are, in words."""
    window = "each alone and beside the next" if operator == "max_pool" else "each in a window of 1"
    return f"every {dtype} value through {operator}{dims}d, {window}"
