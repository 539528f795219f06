"""Arguments as LiteRT's operators take them, and what those have no parameter for.

Groups are in the shapes, padding is in the input unless it is "SAME", one dimension is two with a
height of 1. What is done here is checked here, with a ValueError.
"""

from __future__ import annotations

import numpy as np

from conformance import Unsupported
from conformance.implementations._arguments import (
    Array,
    Padding,
    Shape,
    check_axes,
    check_padding,
    native,
    pool_size,
)
from conformance.implementations._windows import padded
from conformance.implementations.engines.padding import (
    any_padding,
    check_padded,
    crop_slices,
    is_same,
    windows_that_fit,
)
from conformance.implementations.engines.parameters import Pool

SAME, VALID = 0, 1
"""The kinds of padding, by their numbers in the schema."""


def check_groups(x: Array, w: Array, groups: int) -> None:
    """Raise where LiteRT would find another number of groups in the channels than ``groups``."""
    c, per_group = x.shape[-1], w.shape[-2]
    if per_group and c % per_group == 0 and c // per_group != groups:
        raise ValueError(f"groups={groups!r}: w{w.shape} has {per_group} of the {c} channels each")
    check_axes(1, groups=(groups,))


def pool_reach(x: Array, p: Pool) -> Padding:
    """Return the padding that the windows of a pool read, checked where there is any."""
    check_padding(len(p.kernel), p.padding)
    if not p.ceil_mode and not any_padding(p.padding):
        return p.padding
    sizes = (p.kernel, p.stride, p.padding, p.dilation, p.ceil_mode)
    return pool_size(x, *sizes, channels_last=True)[1]


def with_padding(
    x: Array,
    kernel: Shape,
    stride: Shape,
    padding: Padding,
    reach: Padding,
    fill: float | None,
) -> tuple[Array, int]:
    """Return the input, which may be padded by ``reach``, and the operator's kind of padding.

    ``kernel`` is its extent, dilated. Without ``fill`` only "SAME" will do.
    """
    if not any_padding(reach):
        return x, VALID
    size = x.shape[1:-1]
    check_padded(size, reach)
    out = windows_that_fit(size, kernel, stride, reach)
    if is_same(size, out, kernel, stride, padding):
        return x, SAME
    if fill is None:
        raise Unsupported('only "SAME" leaves positions out of the divisor, with its windows')
    return padded(x, reach, fill, native(x.dtype), first=1), VALID


def without_padding(y: Array, padding: Padding) -> Array:
    """Return what is left of a transposed convolution's whole output."""
    return np.array(y[:, *crop_slices(y.shape[1:-1], padding)]) if any_padding(padding) else y


def bias_or_zeros(bias: Array | None, w: Array, channels: int) -> Array:
    """Return the bias, which every model has."""
    return np.zeros(channels, w.dtype) if bias is None else bias


def plain(array: Array) -> Array:
    """Return ``array`` as LiteRT can read it."""
    return np.array(array, native(array.dtype), order="C")


def with_height(array: Array, axis: int) -> Array:
    """Return an array of one spatial dimension, which is ``axis``, with a height of 1."""
    if array.ndim != 3:
        raise ValueError(f"shape {array.shape}: one spatial axis, so three axes")
    return np.expand_dims(array, axis)


_AXES = ("W", "H", "D")
FILTER = ("Width", "Height")
"""What the fields of a pool's window end in."""


def fields(
    dims: int, values: Shape, kind: str, suffix: str = "", names: tuple[str, ...] = _AXES
) -> dict[str, int]:
    """Return one field an axis, the last axis first; a height that there is not is 1."""
    if len(values) != dims:
        raise ValueError(f"{kind}={values!r}: must have {dims} entries, one a spatial axis")
    several = (1, *values) if dims == 1 else values
    return {
        f"{kind}{axis}{suffix}": value
        for axis, value in zip(names[: len(several)], reversed(several), strict=True)
    }
