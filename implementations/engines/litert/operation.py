"""The one operator of LiteRT that computes a call, with its options and constants.

Checked here, with a ValueError, is what LiteRT has no parameter for: groups are in the shapes,
padding is in the input unless it is "SAME". What LiteRT cannot do is Unsupported.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from conformance import Unsupported
from conformance.implementations._arguments import (
    Array,
    Padding,
    Shape,
    check_axes,
    check_padding,
    pool_size,
)
from conformance.implementations.engines.litert.model import Node, constant
from conformance.implementations.engines.padding import (
    any_padding,
    check_padded,
    dilated,
    is_same,
    windows_that_fit,
)
from conformance.implementations.engines.parameters import AvgPool, Conv, ConvTranspose, Pool

SAME, VALID = 0, 1
"""The kinds of padding, by their numbers in the schema."""
_MOST_DILATION = 2**15 - 1
"""The largest dilation that CONV_2D and DEPTHWISE_CONV_2D can hold."""


@dataclass(frozen=True, slots=True)
class Operation:
    """An operator, and what happens around it."""

    node: Node
    dims: int
    pads: Padding = ()
    """What is put around the input first."""
    fill: float = 0
    """The number that is put there."""
    crop: Padding = ()
    """What is cut off the result."""


def convolution(x: Array, w: Array, bias: Array | None, p: Conv) -> Operation:
    """Return CONV_2D, DEPTHWISE_CONV_2D or CONV_3D."""
    dims, o, groups = len(p.stride), w.shape[-1], p.groups
    _check_groups(x, w, groups)
    if dims == 3 and groups > 1:
        raise Unsupported("CONV_3D has no groups")
    if dims < 3 and max(p.dilation, default=1) > _MOST_DILATION:
        raise Unsupported(f"no dilation above {_MOST_DILATION}")
    check_padding(dims, p.padding)
    extent = dilated(w.shape[:-2], p.dilation)
    kind, pads = _placed(x.shape[1:-1], extent, p.stride, p.padding, p.padding)
    options = _fields(dims, p.stride, "stride") | _fields(dims, p.dilation, "dilation", "Factor")
    options["padding"] = kind
    w = with_height(w, 0) if dims == 1 else w
    name, group = "CONV_3D" if dims == 3 else "CONV_2D", "Conv3D" if dims == 3 else "Conv2D"
    if dims < 3 and groups > 1 and w.shape[-2] == 1:
        name, group = "DEPTHWISE_CONV_2D", "DepthwiseConv2D"
        options["depthMultiplier"] = o // groups
        w = w.reshape(1, *w.shape[:2], o)  # (1, KH, KW, O)
    elif dims < 3:
        w = np.moveaxis(w, -1, 0)  # (O, KH, KW, C/groups)
    constants = (None, w, np.zeros(o, w.dtype) if bias is None else bias)
    return Operation(_node(name, group, options, *constants), dims, pads)


def transposed(x: Array, w: Array, bias: Array | None, p: ConvTranspose) -> Operation:
    """Return TRANSPOSE_CONV or CONV_3D_TRANSPOSE."""
    dims, o = len(p.stride), w.shape[-2]
    check_axes(1, groups=(p.groups,))
    check_axes(dims, least=0, output_padding=p.output_padding)
    check_padding(dims, p.padding)
    if p.groups > 1:
        raise Unsupported("transposed convolutions have no groups")
    if any(extra >= step for extra, step in zip(p.output_padding, p.stride, strict=True)):
        raise Unsupported("no output_padding of stride or more")
    options = _fields(dims, p.stride, "stride") | {"padding": VALID}
    name, group = "CONV_3D_TRANSPOSE", "Conv3D"
    if dims == 3:
        options |= _fields(dims, p.dilation, "dilation", "Factor")
    else:
        name, group = "TRANSPOSE_CONV", "TransposeConv"
        check_axes(dims, dilation=p.dilation)
        if max(p.dilation) > 1:
            raise Unsupported("TRANSPOSE_CONV has no dilation")
    sizes = x.shape[1:-1], dilated(w.shape[:-2], p.dilation)
    axes = zip(*sizes, p.stride, p.output_padding, strict=True)
    whole = tuple((s - 1) * step + k + extra for s, k, step, extra in axes)
    if dims == 1:
        w, whole = with_height(w, 0), (1, *whole)
    if dims < 3:
        w = np.moveaxis(w, -2, 0)  # (O, KH, KW, C)
    shape = np.array([len(x), *whole, o], np.int32)
    constants = (shape, w, None, np.zeros(o, w.dtype) if bias is None else bias)
    return Operation(_node(name, group, options, *constants), dims, crop=p.padding)


def maximum(x: Array, p: Pool) -> Operation:
    """Return MAX_POOL_2D."""
    check_axes(len(p.kernel), dilation=p.dilation)
    if max(p.dilation) > 1:
        raise Unsupported("pools have no dilation")
    placed = _placed(x.shape[1:-1], p.kernel, p.stride, p.padding, _reach(x, p))
    return _pool("MAX_POOL_2D", p, *placed, fill=-np.inf)


def average(x: Array, p: AvgPool) -> Operation:
    """Return AVERAGE_POOL_2D."""
    reach = _reach(x, p)
    if any_padding(p.padding) and p.count_include_pad:
        if reach != p.padding:
            raise Unsupported("no windows that reach beyond padding that counts")
        return _pool("AVERAGE_POOL_2D", p, VALID, p.padding)
    kind, pads = _placed(x.shape[1:-1], p.kernel, p.stride, p.padding, reach)
    if pads:
        raise Unsupported('only "SAME" leaves positions out of the divisor, with its windows')
    return _pool("AVERAGE_POOL_2D", p, kind, pads)


def with_height(array: Array, axis: int) -> Array:
    """Return an array of one spatial dimension, which is ``axis``, with a height of 1."""
    if array.ndim != 3:
        raise ValueError(f"shape {array.shape}: one spatial axis, so three axes")
    return np.expand_dims(array, axis)


def _pool(name: str, p: Pool, kind: int, pads: Padding, fill: float = 0) -> Operation:
    dims = len(p.kernel)
    options = _fields(dims, p.stride, "stride") | {"padding": kind}
    options |= _fields(dims, p.kernel, "filter", axes=("Width", "Height"))
    return Operation(_node(name, "Pool2D", options, None), dims, pads, fill)


def _node(name: str, group: str, options: dict[str, int], *inputs: Array | None) -> Node:
    """Return an operator of the ``inputs``, of which None is the model's own."""
    constants = (None if array is None else constant(array) for array in inputs)
    return Node(name, f"{group}Options", tuple(options.items()), tuple(constants))


def _fields(
    dims: int, values: Shape, kind: str, suffix: str = "", axes: tuple[str, ...] = ("W", "H", "D")
) -> dict[str, int]:
    """Return one field an axis, the last axis first; a single axis gets a height of 1."""
    if len(values) != dims:
        raise ValueError(f"{kind}={values!r}: must have {dims} entries, one a spatial axis")
    values = (1, *values) if dims == 1 else values
    pairs = zip(axes[: len(values)], reversed(values), strict=True)
    return {f"{kind}{axis}{suffix}": value for axis, value in pairs}


def _check_groups(x: Array, w: Array, groups: int) -> None:
    """Raise ValueError where the channels tell LiteRT of another number of groups."""
    c, per_group = x.shape[-1], w.shape[-2]
    if per_group and c % per_group == 0 and c // per_group != groups:
        raise ValueError(f"groups={groups!r}: w{w.shape} has {per_group} of the {c} channels each")
    check_axes(1, groups=(groups,))


def _reach(x: Array, p: Pool) -> Padding:
    """Return the padding that the windows of a pool read, checked where there is any."""
    check_padding(len(p.kernel), p.padding)
    if not p.ceil_mode and not any_padding(p.padding):
        return p.padding
    sizes = (p.kernel, p.stride, p.padding, p.dilation, p.ceil_mode)
    return pool_size(x, *sizes, channels_last=True)[1]


def _placed(
    size: Shape, kernel: Shape, stride: Shape, padding: Padding, reach: Padding
) -> tuple[int, Padding]:
    """Return the operator's kind of padding, and the padding to put around the input instead.

    ``size`` and ``kernel`` (dilated) are spatial; the windows read the padding ``reach``.
    """
    if not any_padding(reach):
        return VALID, ()
    check_padded(size, reach)
    out = windows_that_fit(size, kernel, stride, reach)
    return (SAME, ()) if is_same(size, out, kernel, stride, padding) else (VALID, reach)
