"""The operators of the course, each around an idea: signature, checks, dtypes, bias, rounding.

Each function here takes an idea (``_frame.py`` lists what ideas are handed), whether the channels
come last, and whether the idea wants padded arrays; it returns the operator. Docstrings give shapes
with the channels first; all sizes count elements.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from conformance.implementations._arguments import (
    Array,
    Padding,
    Shape,
    check_grad,
    conv_grad_size,
    conv_size,
    conv_transpose_size,
    like,
    native,
    pool_grad_size,
    pool_size,
)
from conformance.implementations._call import Call
from conformance.implementations._windows import accumulator, divisors, lowest, surrounded

Operator: TypeAlias = Callable[..., Array]


def _conv(idea: Operator, last: bool, pads: bool) -> Operator:
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
        """Here x is (N, C, *S), w (O, C/G, *K), bias (O,) or None, and the result (N, O, *out).

        The definition is CONV-1 of SPEC.md, a cross-correlation. Raises ValueError for an argument
        that does not fit the others, and names it; TypeError for a dtype without numbers.
        """
        out = conv_size(x, w, bias, stride, padding, dilation, groups, channels_last=last)
        dtype = accumulator(x.dtype)
        call = _conv_call(x.shape, out, w.shape, stride, padding, dilation, groups, last)
        ready = _ready(x, padding, 0, dtype, last, pads)
        y = idea(ready, w.astype(dtype, copy=False), call)
        return _rounded(y if bias is None else _biased(y, bias, last), x.dtype)

    return conv


def _conv_transpose(idea: Operator, last: bool, pads: bool) -> Operator:
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
        """Here x is (N, C, *S), w (C, O/G, *K), bias (O,) or None, and the result (N, O, *out).

        The definition is TRANSPOSE-1 of SPEC.md, the adjoint of conv. Raises ValueError for an
        argument that does not fit the others, and names it; TypeError for a dtype without numbers.
        """
        size = conv_transpose_size(
            x, w, bias, stride, padding, output_padding, dilation, groups, channels_last=last
        )
        dtype = accumulator(x.dtype)
        if last:
            call = Call(size, x.shape[1:-1], w.shape[:-2], stride, padding, dilation, groups, 1)
        else:
            call = Call(size, x.shape[2:], w.shape[2:], stride, padding, dilation, groups, 2)
        y = idea(x.astype(dtype, copy=False), w.astype(dtype, copy=False), call)
        return _rounded(y if bias is None else _biased(y, bias, last), x.dtype)

    return conv_transpose


def _max_pool(idea: Operator, last: bool, pads: bool) -> Operator:
    def max_pool(
        x: Array,
        *,
        kernel: Shape,
        stride: Shape,
        padding: Padding,
        dilation: Shape,
        ceil_mode: bool,
    ) -> Array:
        """Here x is (N, C, *S) and the result (N, C, *out); NaN counts as larger than any number.

        The definition is MAXPOOL-1 of SPEC.md. Raises ValueError for a parameter that does not fit
        x, and names it; TypeError for a dtype without numbers.
        """
        out, reach = pool_size(x, kernel, stride, padding, dilation, ceil_mode, channels_last=last)
        dtype = native(x.dtype)
        call = _pool_call(x.shape, out, kernel, stride, reach, dilation, last)
        return idea(_ready(x, reach, lowest(dtype), dtype, last, pads), call)

    return max_pool


def _avg_pool(idea: Operator, last: bool, pads: bool) -> Operator:
    def avg_pool(
        x: Array,
        *,
        kernel: Shape,
        stride: Shape,
        padding: Padding,
        ceil_mode: bool,
        count_include_pad: bool,
    ) -> Array:
        """Here x is (N, C, *S) and the result (N, C, *out).

        The definition is AVGPOOL-1 of SPEC.md, and that of the divisor AVGPOOL-5 and AVGPOOL-6.
        Raises ValueError for a parameter that does not fit x, and names it; TypeError for a dtype
        without numbers.
        """
        undilated = (1,) * len(kernel)
        out, reach = pool_size(x, kernel, stride, padding, undilated, ceil_mode, channels_last=last)
        dtype = accumulator(x.dtype)
        call = _pool_call(x.shape, out, kernel, stride, reach, undilated, last)
        counts = divisors(call.size, out, kernel, stride, padding, count_include_pad).astype(dtype)
        ready = _ready(x, reach, 0, dtype, last, pads)
        return _rounded(idea(ready, counts[..., None] if last else counts, call), x.dtype)

    return avg_pool


def conv_input_grad(idea: Operator, last: bool) -> Operator:
    """Return conv_input_grad by the idea of a conv_transpose."""

    def conv_input_grad(
        grad: Array,
        w: Array,
        input_shape: Shape,
        *,
        stride: Shape,
        padding: Padding,
        dilation: Shape,
        groups: int,
    ) -> Array:
        """Return the gradient of conv's x: dx (N, C, *S), which is ``input_shape``.

        What read x[q] through w[k] adds grad * w[k] to dx[q], and so does conv_transpose:
        dx[n, c, p*stride + k*dilation] += grad[n, o, p] * w[o, c, k], grad being (N, O, *out) and w
        (O, C/G, *K); then the padding is cropped. What no window reads stays zero. The definition
        is GRAD-1 of SPEC.md. Raises ValueError for what conv would refuse and for a grad of another
        shape than its result, TypeError for a dtype without numbers.
        """
        x = like(w, input_shape)
        conv_grad_size(grad, x, w, stride, padding, dilation, groups, channels_last=last)
        dtype = accumulator(grad.dtype)
        out = grad.shape[1:-1] if last else grad.shape[2:]
        call = _conv_call(x.shape, out, w.shape, stride, padding, dilation, groups, last)
        dx = idea(grad.astype(dtype, copy=False), w.astype(dtype, copy=False), call)
        return _rounded(dx, grad.dtype)

    return conv_input_grad


def _conv_weight_grad(idea: Operator, last: bool, pads: bool) -> Operator:
    def conv_weight_grad(
        grad: Array,
        x: Array,
        weight_shape: Shape,
        *,
        stride: Shape,
        padding: Padding,
        dilation: Shape,
        groups: int,
    ) -> Array:
        """Here grad is (N, O, *out), x (N, C, *S), ``weight_shape`` and the result (O, C/G, *K).

        dw[o, c, k] = the sum over n and p of grad[n, o, p] * x[n, c, p*stride + k*dilation], GRAD-2
        of SPEC.md. Raises ValueError for what conv would refuse and for a grad of another shape
        than its result, TypeError for a dtype without numbers.
        """
        w = like(x, weight_shape)
        conv_grad_size(grad, x, w, stride, padding, dilation, groups, channels_last=last)
        dtype = accumulator(x.dtype)
        out = grad.shape[1:-1] if last else grad.shape[2:]
        call = _conv_call(x.shape, out, w.shape, stride, padding, dilation, groups, last)
        ready = _ready(x, padding, 0, dtype, last, pads)
        return _rounded(idea(grad.astype(dtype, copy=False), ready, call), x.dtype)

    return conv_weight_grad


def conv_bias_grad(last: bool) -> Operator:
    """Return conv_bias_grad, which needs no idea."""

    def conv_bias_grad(grad: Array) -> Array:
        """Sum grad over the batch and all positions: each of them had the bias added once.

        db[o] = the sum over n and p of grad[n, o, p], GRAD-3 of SPEC.md: grad is (N, O, *out) and
        the result (O,). Raises ValueError for a grad of other axes, or one that has no elements for
        another reason than an empty batch, and TypeError for a dtype without numbers.
        """
        check_grad(grad)
        axes = tuple(range(grad.ndim - 1)) if last else (0, *range(2, grad.ndim))
        sums: Array = grad.sum(axis=axes, dtype=accumulator(grad.dtype))
        return sums.astype(native(grad.dtype), copy=False)

    return conv_bias_grad


def _max_pool_grad(idea: Operator, last: bool, pads: bool) -> Operator:
    def max_pool_grad(
        grad: Array,
        x: Array,
        *,
        kernel: Shape,
        stride: Shape,
        padding: Padding,
        dilation: Shape,
        ceil_mode: bool,
    ) -> Array:
        """Here grad is (N, C, *out), x and the result (N, C, *S).

        The definition is GRAD-4 of SPEC.md: of equal maxima the first one takes the gradient, and
        padding none. Raises ValueError for what max_pool would refuse and for a grad of another
        shape than its result, TypeError for a dtype without numbers.
        """
        out, reach = pool_grad_size(
            grad, x, kernel, stride, padding, dilation, ceil_mode, channels_last=last
        )
        dtype = native(x.dtype)
        call = _pool_call(x.shape, out, kernel, stride, reach, dilation, last)
        ready = _ready(x, reach, lowest(dtype), dtype, last, pads)
        return _rounded(idea(grad.astype(accumulator(dtype), copy=False), ready, call), dtype)

    return max_pool_grad


def _avg_pool_grad(idea: Operator, last: bool, pads: bool) -> Operator:
    def avg_pool_grad(
        grad: Array,
        input_shape: Shape,
        *,
        kernel: Shape,
        stride: Shape,
        padding: Padding,
        ceil_mode: bool,
        count_include_pad: bool,
    ) -> Array:
        """Here grad is (N, C, *out), ``input_shape`` and the result (N, C, *S).

        The definition is GRAD-5 of SPEC.md. Raises ValueError for what avg_pool would refuse and
        for a grad of another shape than its result, TypeError for a dtype without numbers.
        """
        undilated = (1,) * len(kernel)
        x = like(grad, input_shape)
        out, reach = pool_grad_size(
            grad, x, kernel, stride, padding, undilated, ceil_mode, channels_last=last
        )
        dtype = accumulator(grad.dtype)
        call = _pool_call(x.shape, out, kernel, stride, reach, undilated, last)
        counts = divisors(call.size, out, kernel, stride, padding, count_include_pad).astype(dtype)
        shares = grad.astype(dtype, copy=False) / (counts[..., None] if last else counts)
        return _rounded(idea(shares, call), grad.dtype)

    return avg_pool_grad


AROUND: dict[str, Callable[[Operator, bool, bool], Operator]] = {
    "conv": _conv,
    "conv_transpose": _conv_transpose,
    "max_pool": _max_pool,
    "avg_pool": _avg_pool,
    "conv_weight_grad": _conv_weight_grad,
    "max_pool_grad": _max_pool_grad,
    "avg_pool_grad": _avg_pool_grad,
}
"""What makes an operator of an idea, by the operator's name."""


def _conv_call(
    x: Shape,
    out: Shape,
    w: Shape,
    stride: Shape,
    padding: Padding,
    dilation: Shape,
    groups: int,
    last: bool,
) -> Call:
    if last:
        return Call(x[1:-1], out, w[:-2], stride, padding, dilation, groups, 1)
    return Call(x[2:], out, w[2:], stride, padding, dilation, groups, 2)


def _pool_call(
    x: Shape, out: Shape, kernel: Shape, stride: Shape, reach: Padding, dilation: Shape, last: bool
) -> Call:
    if last:
        return Call(x[1:-1], out, kernel, stride, reach, dilation, x[-1], 1)
    return Call(x[2:], out, kernel, stride, reach, dilation, x[1], 2)


def _ready(
    x: Array, padding: Padding, fill: float, dtype: np.dtype[Any], last: bool, pads: bool
) -> Array:
    """Return x in ``dtype``, padded with ``fill`` if the idea wants it so; never write to it."""
    if pads:
        return surrounded(x, padding, fill, dtype, 1 if last else 2)
    return x.astype(dtype, copy=False)


def _biased(y: Array, bias: Array, last: bool) -> Array:
    """Add bias (O,) to every position of y in place. Zeros, for no bias, would make 0 of a -0."""
    wide = bias.astype(y.dtype)
    y += wide if last else wide.reshape(-1, *(1,) * (y.ndim - 2))
    return y


def _rounded(y: Array, dtype: np.dtype[Any]) -> Array:
    """Return ``y`` in ``dtype``, copied if it is a part of a larger array, which is then freed."""
    part = y.base is not None and y.base.size != y.size
    return y.astype(native(dtype), copy=part)
