"""The one operator of LiteRT that computes a call, with its options and inputs.

The adapter runs it, and a script writes it out. What is checked here is what LiteRT has no
parameter for (``arguments.py``): raises ValueError there, and Unsupported for what it cannot do.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from conformance import Unsupported
from conformance.implementations._arguments import Array, Padding, check_axes, check_padding, native
from conformance.implementations._windows import padded
from conformance.implementations.engines.litert.arguments import (
    FILTER,
    VALID,
    bias_or_zeros,
    check_groups,
    fields,
    pool_reach,
    with_height,
    with_padding,
)
from conformance.implementations.engines.padding import any_padding, dilated, no_padding
from conformance.implementations.engines.parameters import AvgPool, Conv, ConvTranspose, Pool


@dataclass(frozen=True, slots=True)
class Operation:
    """An operator by its name in the schema, such as CONV_2D, and what it is handed."""

    operator: str
    options: str
    """The name of its options, such as Conv2DOptions."""
    values: dict[str, int]
    """The fields of the options."""
    inputs: tuple[Array | None, ...]
    """Its inputs in order, constants of the model; None is ``x``."""
    x: Array
    """The model's own input, padded where the operator does not pad."""
    dims: int
    crop: Padding = ()
    """What is cut off the result."""


def convolution(x: Array, w: Array, bias: Array | None, p: Conv) -> Operation:
    """Return CONV_2D, DEPTHWISE_CONV_2D or CONV_3D."""
    dims, o, groups = len(p.stride), w.shape[-1], p.groups
    check_groups(x, w, groups)
    if dims == 3 and groups > 1:
        raise Unsupported("CONV_3D has no groups")
    check_padding(dims, p.padding)
    extent = dilated(w.shape[:-2], p.dilation)
    x, kind = with_padding(x, extent, p.stride, p.padding, p.padding, 0)
    options = fields(dims, p.stride, "stride") | fields(dims, p.dilation, "dilation", "Factor")
    options["padding"] = kind
    name = "Conv3D" if dims == 3 else "Conv2D"
    operator = "CONV_3D" if dims == 3 else "CONV_2D"
    if dims == 1:
        w = with_height(w, 0)
    if dims < 3 and groups > 1 and w.shape[-2] == 1:
        operator, name = "DEPTHWISE_CONV_2D", "DepthwiseConv2D"
        options["depthMultiplier"] = o // groups
        w = w.reshape(1, *w.shape[:2], o)  # (1, KH, KW, O)
    elif dims < 3:
        w = np.moveaxis(w, -1, 0)  # (O, KH, KW, C/groups)
    inputs = (None, w, bias_or_zeros(bias, w, o))
    return Operation(operator, f"{name}Options", options, inputs, x, dims)


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
    options = fields(dims, p.stride, "stride") | {"padding": VALID}
    if dims == 3:
        operator, name = "CONV_3D_TRANSPOSE", "Conv3D"
        options |= fields(dims, p.dilation, "dilation", "Factor")
    else:
        operator, name = "TRANSPOSE_CONV", "TransposeConv"
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
    inputs = (shape, w, None, bias_or_zeros(bias, w, o))
    return Operation(operator, f"{name}Options", options, inputs, x, dims, p.padding)


def maximum(x: Array, p: Pool) -> Operation:
    """Return MAX_POOL_2D."""
    check_axes(len(p.kernel), dilation=p.dilation)
    if max(p.dilation) > 1:
        raise Unsupported("pools have no dilation")
    return _pool("MAX_POOL_2D", x, p, p.padding, pool_reach(x, p), -np.inf)


def average(x: Array, p: AvgPool) -> Operation:
    """Return AVERAGE_POOL_2D."""
    padding, reach = p.padding, pool_reach(x, p)
    counted = any_padding(padding) and p.count_include_pad
    if counted and reach != padding:
        raise Unsupported("no windows that reach beyond padding that counts")
    if counted:
        x = padded(x, padding, 0, native(x.dtype), first=1)
        padding = reach = no_padding(padding)
    return _pool("AVERAGE_POOL_2D", x, p, padding, reach, None)


def _pool(
    operator: str, x: Array, p: Pool, padding: Padding, reach: Padding, fill: float | None
) -> Operation:
    dims = len(p.kernel)
    x, kind = with_padding(x, p.kernel, p.stride, padding, reach, fill)
    options = fields(dims, p.stride, "stride") | {"padding": kind}
    options |= fields(dims, p.kernel, "filter", names=FILTER)
    return Operation(operator, "Pool2DOptions", options, (None,), x, dims)
