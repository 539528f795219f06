"""MNN's expressions: `MNN.expr.conv2d`, `conv2d_transpose`, `max_pool` and `avg_pool`, on the CPU.

Each call builds an expression and reads it: building takes tenths of a millisecond, and an
expression whose placeholder is written anew was not computed anew (measured with 3.6). MNN lists
the axes of a parameter from the last to the first (width, then height), and computes in its own
layout NC4HW4, to which inputs are converted. float32 alone. Its own kernels: family `mnn`.

There are operators of two spatial dimensions only. One dimension is computed as two with a height
of 1, as MNN's converter does; three are declined. Arguments are MNN's to judge, but for what is
computed here: padding of which the two ends differ, crops, output_padding, dilation of the pools.

- conv: stride, dilation and groups are parameters; padding is one number an axis, in the mode
  CAFFE. Where the two ends of an axis differ the input is padded with zeros first. A missing bias
  is zeros: the operator wants one.
- conv_transpose: what both ends of the padding share is cropped by MNN, the rest by a slice. No
  output_padding.
- max_pool, avg_pool: the mode CAFFE rounds the output up, and is called where that is what is due;
  otherwise VALID, after padding with -inf or with zeros, which count. No dilation, and no padding
  that does not count.

These operators are not those of Winograd: results of 3x3 convolutions are within the bound of the
direct sum (`convformance run` shows how far), while MNN's models of converted networks may use it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from conformance import Unsupported, implementation
from conformance.case import Case
from conformance.implementations._arguments import (
    Array,
    Padding,
    Shape,
    check_axes,
    check_padding,
    native,
    window_reach,
)
from conformance.implementations._windows import padded
from conformance.implementations.engines.adapter import (
    any_padding,
    check_padded,
    cropped,
    differ,
    shared,
    windows_dropped,
)
from conformance.implementations.engines.mnn.snippet import snippet
from conformance.implementations.engines.quiet import quiet


def _supports(case: Case) -> bool | str:
    """Decline three dimensions, which `MNN.expr` has no operators for."""
    return len(case.x) < 5 or "operators of two spatial dimensions only"


mnn = implementation(
    "mnn",
    family="mnn",
    package="MNN",
    extra="mnn",
    dtypes=("float32",),
    snippet=snippet,
    supports=_supports,
    conventions={"pool_padding": "accept"},
    known="known.toml",
    settings="MNN.expr's operators, which do not use Winograd, in float32 on the CPU",
)


@mnn
def conv(
    x: Array,
    w: Array,
    bias: Array | None,
    *,
    stride: Shape,
    padding: Padding,
    dilation: Shape,
    groups: int,
) -> Array:
    """MNN.expr.conv2d."""
    expr, flat = _mnn(), x.ndim == w.ndim == 3
    if differ(padding):
        check_padding(x.ndim - 2, padding)
        x, padding = _padded(x, padding, 0), ((0, 0),) * len(padding)
    y = expr.conv2d(
        _variable(x, flat),
        _constant(w, flat),
        _bias(bias, len(w), w),
        _axes(stride, flat, 1),
        _axes(shared(padding), flat, 0),
        _axes(dilation, flat, 1),
        groups,
        expr.CAFFE,
    )
    return _read(y, flat)


@mnn
def conv_transpose(
    x: Array,
    w: Array,
    bias: Array | None,
    *,
    stride: Shape,
    padding: Padding,
    output_padding: Shape,
    dilation: Shape,
    groups: int,
) -> Array:
    """MNN.expr.conv2d_transpose."""
    expr, flat, both = _mnn(), x.ndim == w.ndim == 3, shared(padding)
    check_axes(x.ndim - 2, least=0, output_padding=output_padding)
    if any(output_padding):
        raise Unsupported("no output_padding")
    y = expr.conv2d_transpose(
        _variable(x, flat),
        _constant(w, flat),
        _bias(bias, w.shape[1] * max(groups, 1), w),
        _axes(stride, flat, 1),
        _axes(both, flat, 0),
        _axes(dilation, flat, 1),
        groups,
        expr.CAFFE,
    )
    result = _read(y, flat)
    if not differ(padding):
        return result
    check_padding(x.ndim - 2, padding)
    rest = tuple((b - crop, a - crop) for (b, a), crop in zip(padding, both, strict=True))
    return np.array(result[:, :, *cropped(result.shape[2:], rest)])


@mnn
def max_pool(
    x: Array,
    *,
    kernel: Shape,
    stride: Shape,
    padding: Padding,
    dilation: Shape,
    ceil_mode: bool,
) -> Array:
    """MNN.expr.max_pool."""
    check_axes(len(kernel), dilation=dilation)
    if max(dilation) > 1:
        raise Unsupported("pools have no dilation")
    around, caffe = windows(x.shape[2:], kernel, stride, padding, ceil_mode)
    return _pool("max_pool", _padded(x, around, -np.inf), kernel, stride, caffe)


@mnn
def avg_pool(
    x: Array,
    *,
    kernel: Shape,
    stride: Shape,
    padding: Padding,
    ceil_mode: bool,
    count_include_pad: bool,
) -> Array:
    """MNN.expr.avg_pool."""
    if any_padding(padding) and not count_include_pad:
        raise Unsupported("padding always counts")
    around, caffe = windows(x.shape[2:], kernel, stride, padding, ceil_mode)
    if caffe is None and around != padding:
        raise Unsupported("windows that reach beyond the padding only if it is symmetric")
    return _pool("avg_pool", _padded(x, around, 0), kernel, stride, caffe)


def windows(
    size: Shape, kernel: Shape, stride: Shape, padding: Padding, ceil_mode: bool
) -> tuple[Padding, Padding | None]:
    """Return the padding to put around the input, and that for the mode CAFFE or None for VALID."""
    none, undilated = ((0, 0),) * len(kernel), (1,) * len(kernel)
    if not any_padding(padding) and not ceil_mode:
        check_padding(len(kernel), padding)
        return none, None
    _, reach = window_reach(size, kernel, stride, padding, undilated, ceil_mode)
    if _is_caffe(size, kernel, stride, padding, reach, ceil_mode):
        return none, padding
    check_padding(len(kernel), padding)
    return reach, None


def _is_caffe(
    size: Shape, kernel: Shape, stride: Shape, padding: Padding, reach: Padding, ceil_mode: bool
) -> bool:
    """Whether the mode CAFFE, whose output is rounded up, makes the windows that are due."""
    if differ(padding) or windows_dropped(size, kernel, stride, padding, reach):
        return False
    return ceil_mode or all(
        (s + before + after - k) % step == 0
        for s, k, step, (before, after) in zip(size, kernel, stride, padding, strict=True)
    )


def _pool(name: str, x: Array, kernel: Shape, stride: Shape, padding: Padding | None) -> Array:
    """Call a pool in the mode CAFFE with ``padding``, or without in the mode VALID."""
    expr, flat = _mnn(), x.ndim == 3 and len(kernel) == 1
    mode = [expr.VALID] if padding is None else [expr.CAFFE, _axes(shared(padding), flat, 0)]
    steps = _axes(kernel, flat, 1), _axes(stride, flat, 1)
    return _read(getattr(expr, name)(_variable(x, flat), *steps, *mode), flat)


@cache
def _mnn() -> Any:
    """Return MNN's expressions, of which the first one tells what the processor has."""
    with quiet():
        import MNN.expr as expr

        expr.add(expr.const([1.0], [1]), expr.const([1.0], [1])).read()
    return expr


def _padded(x: Array, padding: Padding, fill: float) -> Array:
    """Return ``x`` with ``padding``, which is not MNN's."""
    if not any_padding(padding):
        return x
    check_padded(x.shape[2:], padding)
    return padded(x, padding, fill, native(x.dtype))


def _axes(values: Sequence[int], flat: bool, missing: int) -> list[int]:
    """Return a parameter as MNN takes it: width, then height, which ``missing`` stands for."""
    if flat and len(values) != 1:
        raise ValueError(f"{values!r}: one spatial axis, so one entry")
    return [*reversed(values), missing] if flat else [*reversed(values)]


def _bias(bias: Array | None, channels: int, w: Array) -> Any:
    return _constant(np.zeros(channels, w.dtype) if bias is None else bias, False)


def _variable(array: Array, flat: bool) -> Any:
    expr = _mnn()
    return expr.convert(_constant(array, flat), expr.NC4HW4)


def _constant(array: Array, flat: bool) -> Any:
    """Return a constant; ``flat`` gives it a height of 1."""
    expr = _mnn()
    shape = [*array.shape[:2], 1, *array.shape[2:]] if flat else [*array.shape]
    return expr.const(np.array(array, native(array.dtype), order="C"), shape, expr.NCHW)


def _read(variable: Any, flat: bool) -> Array:
    """Compute; return a new array, ``flat`` without the height."""
    expr = _mnn()
    result = np.array(expr.convert(variable, expr.NCHW).read())
    return result.reshape(*result.shape[:2], *result.shape[3:]) if flat else result
