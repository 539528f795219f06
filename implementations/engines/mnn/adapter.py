"""MNN's expressions: `MNN.expr.conv2d`, `conv2d_transpose`, `max_pool` and `avg_pool`, on the CPU.

Each call builds an expression, which takes tenths of a millisecond: one whose placeholder is
written anew was not computed anew (measured with 3.6). MNN lists the axes of a parameter from the
last to the first, and computes in its own layout NC4HW4, to which inputs are converted. float32
alone. Its own kernels: family `mnn`.

There are operators of two spatial dimensions only: one dimension gets a height of 1, as MNN's
converter does; three are declined. Arguments are MNN's to judge, but for what is computed here:
padding of which the two ends differ, crops, output_padding, dilation of the pools.

- conv: one number of padding an axis, in the mode CAFFE; else zeros pad the input first. A missing
  bias is zeros: the operator wants one.
- conv_transpose: MNN crops what both ends share, a slice the rest. No output_padding.
- max_pool, avg_pool: the mode CAFFE rounds the output up, and is called where that is what is due;
  otherwise VALID, after padding, which counts. No dilation, no padding that does not count.

These operators do not use Winograd, as MNN's models of converted networks may: results of 3x3
convolutions are within the bound of the direct sum.
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
)
from conformance.implementations._windows import padded
from conformance.implementations.engines.adapter import Adapter
from conformance.implementations.engines.compiled import quiet
from conformance.implementations.engines.mnn import snippet
from conformance.implementations.engines.mnn.geometry import windows
from conformance.implementations.engines.padding import (
    any_padding,
    asymmetric_part,
    check_padded,
    crop_slices,
    is_asymmetric,
    no_padding,
    symmetric_part,
)
from conformance.implementations.engines.parameters import AvgPool, Conv, ConvTranspose, Pool


def _supports(case: Case) -> bool | str:
    """Decline three dimensions, which `MNN.expr` has no operators for."""
    return len(case.x) < 5 or "operators of two spatial dimensions only"


mnn = implementation(
    "mnn",
    family="mnn",
    package="MNN",
    extra="mnn",
    dtypes=("float32",),
    snippet=snippet.snippet,
    supports=_supports,
    conventions={"pool_padding": "accept"},
    known="known.toml",
    settings="MNN.expr's operators, which do not use Winograd, in float32 on the CPU",
)


class Mnn(Adapter):
    """Expressions of MNN, each of one operator."""

    def conv(self, x: Array, w: Array, bias: Array | None, p: Conv) -> Array:
        """Call MNN.expr.conv2d."""
        padding = p.padding
        if is_asymmetric(padding):
            x, padding = _padded(x, padding, 0), no_padding(padding)
        return _convolution("conv2d", x, w, bias, len(w), symmetric_part(padding), p)

    def conv_transpose(self, x: Array, w: Array, bias: Array | None, p: ConvTranspose) -> Array:
        """Call MNN.expr.conv2d_transpose."""
        both, o = symmetric_part(p.padding), w.shape[1] * max(p.groups, 1)
        check_axes(x.ndim - 2, least=0, output_padding=p.output_padding)
        if any(p.output_padding):
            raise Unsupported("no output_padding")
        y = _convolution("conv2d_transpose", x, w, bias, o, both, p)
        if not is_asymmetric(p.padding):
            return y
        check_padding(x.ndim - 2, p.padding)
        return np.array(y[:, :, *crop_slices(y.shape[2:], asymmetric_part(p.padding))])

    def max_pool(self, x: Array, p: Pool) -> Array:
        """Call MNN.expr.max_pool."""
        check_axes(len(p.kernel), dilation=p.dilation)
        if max(p.dilation) > 1:
            raise Unsupported("pools have no dilation")
        around, caffe = windows(x.shape[2:], p)
        return _pool("max_pool", _padded(x, around, -np.inf), p, caffe)

    def avg_pool(self, x: Array, p: AvgPool) -> Array:
        """Call MNN.expr.avg_pool."""
        if any_padding(p.padding) and not p.count_include_pad:
            raise Unsupported("padding always counts")
        around, caffe = windows(x.shape[2:], p)
        if caffe is None and around != p.padding:
            raise Unsupported("windows that reach beyond the padding only if it is symmetric")
        return _pool("avg_pool", _padded(x, around, 0), p, caffe)


def _convolution(
    name: str, x: Array, w: Array, bias: Array | None, channels: int, both: Shape, p: Conv
) -> Array:
    """Call an operator with so many output ``channels``; ``both`` is the padding of each end."""
    expr, flat = _mnn(), x.ndim == w.ndim == 3
    vector = _constant(np.zeros(channels, w.dtype) if bias is None else bias, False)
    arrays = _variable(x, flat), _constant(w, flat), vector
    steps = _axes(p.stride, flat, 1), _axes(both, flat, 0), _axes(p.dilation, flat, 1)
    return _read(getattr(expr, name)(*arrays, *steps, p.groups, expr.CAFFE), flat)


def _pool(name: str, x: Array, p: Pool, caffe: Padding | None) -> Array:
    """Call a pool in the mode CAFFE with padding, or without in the mode VALID."""
    expr, flat = _mnn(), x.ndim == 3 and len(p.kernel) == 1
    mode = [expr.VALID] if caffe is None else [expr.CAFFE, _axes(symmetric_part(caffe), flat, 0)]
    steps = _axes(p.kernel, flat, 1), _axes(p.stride, flat, 1)
    return _read(getattr(expr, name)(_variable(x, flat), *steps, *mode), flat)


@cache
def _mnn() -> Any:
    """Return MNN's expressions, after one whose output about the processor is discarded."""
    with quiet():
        import MNN.expr as expr

        expr.add(expr.const([1.0], [1]), expr.const([1.0], [1])).read()
    return expr


def _padded(x: Array, padding: Padding, fill: float) -> Array:
    """Return ``x`` with ``padding`` around it, which MNN does not see."""
    if not any_padding(padding):
        return x
    check_padded(x.shape[2:], padding)
    return padded(x, padding, fill, native(x.dtype))


def _axes(values: Sequence[int], flat: bool, missing: int) -> list[int]:
    """Return a parameter as MNN takes it, width first; a missing height is ``missing``."""
    if flat and len(values) != 1:
        raise ValueError(f"{values!r}: one spatial axis, so one entry")
    return [*reversed(values), missing] if flat else [*reversed(values)]


def _variable(array: Array, flat: bool) -> Any:
    expr = _mnn()
    return expr.convert(_constant(array, flat), expr.NC4HW4)


def _constant(array: Array, flat: bool) -> Any:
    """Return a constant; ``flat`` gives it a height of 1."""
    expr = _mnn()
    shape = [*array.shape[:2], 1, *array.shape[2:]] if flat else [*array.shape]
    return expr.const(np.array(array, native(array.dtype), order="C"), shape, expr.NCHW)


def _read(variable: Any, flat: bool) -> Array:
    """Compute ``variable`` and return a new array; ``flat`` takes the height away."""
    expr = _mnn()
    result = np.array(expr.convert(variable, expr.NCHW).read())
    return result.reshape(*result.shape[:2], *result.shape[3:]) if flat else result


Mnn().register(mnn)
