"""MNN's expressions: `MNN.expr.conv2d`, `conv2d_transpose`, `max_pool` and `avg_pool`, on the CPU.

Each call builds an expression and reads it: building takes tenths of a millisecond, and an
expression whose placeholder is written anew was not computed anew (measured with 3.6). MNN lists
the axes of a parameter from the last to the first (width, then height), and computes in its own
layout NC4HW4, to which inputs are converted. float32 alone. Its own kernels: family `mnn`.

There are operators of two spatial dimensions only. One dimension is computed as two with a height
of 1, as MNN's converter does; three are declined.

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

from conformance import KnownDifference, Unsupported, implementation
from conformance.case import Case
from implementations import _inference_snippets
from implementations._common import Array, Padding, Shape, native, padded
from implementations._engine import Engine, Tensor, any_padding, differ, shared, windows_dropped
from implementations._quiet import quiet


def _supports(case: Case) -> bool | str:
    """Decline three dimensions, which `MNN.expr` has no operators for."""
    return len(case.x) < 5 or "operators of two spatial dimensions only"


mnn = implementation(
    "mnn",
    family="mnn",
    package="MNN",
    extra="mnn",
    dtypes=("float32",),
    snippet=_inference_snippets.mnn,
    supports=_supports,
    known=[
        KnownDifference(
            "CONV-6",
            case="conv1d:float32:x=1,2,1:w=4,1,1:groups=2:integers@0",
            where={"operator": "conv", "groups": ">1"},
            reason="the argument group is used for depthwise convolutions alone; otherwise the "
            "weight is read as that of one group, beyond its end",
        ),
        KnownDifference(
            "TRANSPOSE-6",
            case="conv_transpose1d:float32:x=1,2,1:w=2,2,1:groups=2:integers@0",
            where={"operator": "conv_transpose", "groups": ">1"},
            reason="the argument group is used for depthwise convolutions alone; otherwise the "
            "result has the channels of one group",
        ),
        KnownDifference(
            "DECLARE-1",
            case="max_pool1d:float32:x=0,1,1:kernel=1:integers@0",
            where={"batch": 0},
            reason="the result of an empty batch cannot be read: Var.read raises",
        ),
    ],
)


class Mnn(Engine):
    """MNN's expressions; tensors are NumPy arrays until an operator is called."""

    def tensor(self, array: Array) -> Tensor:
        """Return an array that MNN can read."""
        return np.array(array, native(array.dtype), order="C")

    def array(self, tensor: Tensor, like: Array) -> Array:
        """Return what `_read` made."""
        result: Array = tensor
        return result

    def convolve(
        self,
        t: Tensor,
        w: Tensor,
        bias: Tensor | None,
        stride: Shape,
        padding: Padding,
        dilation: Shape,
        groups: int,
    ) -> Tensor:
        """MNN.expr.conv2d."""
        expr = _mnn()
        if differ(padding):
            t, padding = padded(t, padding, 0, t.dtype), ((0, 0),) * len(padding)
        y = expr.conv2d(
            _variable(t),
            _constant(w),
            _constant(np.zeros(len(w), w.dtype) if bias is None else bias),
            _axes(stride, 1),
            _axes(shared(padding), 0),
            _axes(dilation, 1),
            groups,
            expr.CAFFE,
        )
        return _read(y, t)

    def transposed(
        self,
        t: Tensor,
        w: Tensor,
        bias: Tensor | None,
        stride: Shape,
        padding: Padding,
        output_padding: Shape,
        dilation: Shape,
        groups: int,
    ) -> Tensor:
        """MNN.expr.conv2d_transpose."""
        expr = _mnn()
        if any(output_padding):
            raise Unsupported("no output_padding")
        both = shared(padding)
        y = expr.conv2d_transpose(
            _variable(t),
            _constant(w),
            _constant(np.zeros(w.shape[1] * groups, w.dtype) if bias is None else bias),
            _axes(stride, 1),
            _axes(both, 0),
            _axes(dilation, 1),
            groups,
            expr.CAFFE,
        )
        result = _read(y, t)
        kept = (
            slice(before - crop, size - (after - crop))
            for size, (before, after), crop in zip(result.shape[2:], padding, both, strict=True)
        )
        return np.array(result[:, :, *kept])

    def maximum(
        self,
        t: Tensor,
        kernel: Shape,
        stride: Shape,
        padding: Padding,
        reach: Padding,
        dilation: Shape,
        ceil_mode: bool,
        fill: float,
    ) -> Tensor:
        """MNN.expr.max_pool."""
        expr = _mnn()
        if max(dilation) > 1:
            raise Unsupported("pools have no dilation")
        if _is_caffe(t.shape[2:], kernel, stride, padding, reach, ceil_mode):
            y = expr.max_pool(*_pool(t, kernel, stride), expr.CAFFE, _axes(shared(padding), 0))
            return _read(y, t)
        t = padded(t, reach, fill, t.dtype)
        return _read(expr.max_pool(*_pool(t, kernel, stride), expr.VALID), t)

    def average(
        self,
        t: Tensor,
        kernel: Shape,
        stride: Shape,
        padding: Padding,
        reach: Padding,
        ceil_mode: bool,
        count_include_pad: bool,
    ) -> Tensor:
        """MNN.expr.avg_pool."""
        expr = _mnn()
        if any_padding(padding) and not count_include_pad:
            raise Unsupported("padding always counts")
        if _is_caffe(t.shape[2:], kernel, stride, padding, reach, ceil_mode):
            y = expr.avg_pool(*_pool(t, kernel, stride), expr.CAFFE, _axes(shared(padding), 0))
            return _read(y, t)
        if reach != tuple(map(tuple, padding)):
            raise Unsupported("windows that reach beyond the padding only if it is symmetric")
        t = padded(t, padding, 0, t.dtype)
        return _read(expr.avg_pool(*_pool(t, kernel, stride), expr.VALID), t)


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


def _pool(t: Array, kernel: Shape, stride: Shape) -> tuple[Any, list[int], list[int]]:
    return _variable(t), _axes(kernel, 1), _axes(stride, 1)


@cache
def _mnn() -> Any:
    """Return MNN's expressions, of which the first one tells what the processor has."""
    with quiet():
        import MNN.expr as expr

        expr.add(expr.const([1.0], [1]), expr.const([1.0], [1])).read()
    return expr


def _axes(values: Sequence[int], missing: int) -> list[int]:
    """Return a parameter as MNN takes it: width, then height, which ``missing`` stands for."""
    return [int(value) for value in (values[-1], *values[-2::-1])] + [missing] * (2 - len(values))


def _variable(array: Array) -> Any:
    expr = _mnn()
    return expr.convert(_constant(array), expr.NC4HW4)


def _constant(array: Array) -> Any:
    """Return a constant of two spatial dimensions, one of which may be new."""
    expr = _mnn()
    shape = list(array.shape)
    if len(shape) == 3:
        shape.insert(2, 1)
    return expr.const(np.ascontiguousarray(array), shape, expr.NCHW)


def _read(variable: Any, t: Array) -> Array:
    """Compute; return a new array of as many dimensions as ``t``."""
    expr = _mnn()
    result = np.array(expr.convert(variable, expr.NCHW).read())
    return result.reshape(result.shape[:2] + result.shape[-(t.ndim - 2) :])


Mnn().register(mnn)
