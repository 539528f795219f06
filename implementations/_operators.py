"""The operators of the course, each around an idea: checks, dtypes, bias, rounding, and a text.

Each takes an idea, then the arguments of the operator that it is named after, with the parameters
``p`` by name, and raises what their check raises (``_arguments.py``). Its docstring becomes part of
the operator's; shapes have the channels first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Idea:
    """A chapter's function, and the form of the arrays that it takes (see ``_frame.py``)."""

    compute: Operator
    last: bool
    """Whether the channels come last."""
    pads: bool
    """Whether it takes x with its padding."""

    def conv_call(self, x: Array, out: Shape, w: Array, p: dict[str, Any]) -> Call:
        """Return the call of a conv of x and w that has the parameters ``p``."""
        parameters = p["stride"], p["padding"], p["dilation"], p["groups"]
        if self.last:
            return Call(x.shape[1:-1], out, w.shape[:-2], *parameters, 1)
        return Call(x.shape[2:], out, w.shape[2:], *parameters, 2)

    def pool_call(self, x: Array, out: Shape, reach: Padding, p: dict[str, Any]) -> Call:
        """Return the call of a pool of x whose windows read the padding ``reach``."""
        kernel, stride, dilation = p["kernel"], p["stride"], p["dilation"]
        if self.last:
            return Call(x.shape[1:-1], out, kernel, stride, reach, dilation, x.shape[-1], 1)
        return Call(x.shape[2:], out, kernel, stride, reach, dilation, x.shape[1], 2)

    def ready(self, x: Array, padding: Padding, fill: float, dtype: np.dtype[Any]) -> Array:
        """Return x in ``dtype``, padded with ``fill`` if `pads` is true; never write to it."""
        if self.pads:
            return surrounded(x, padding, fill, dtype, 1 if self.last else 2)
        return x.astype(dtype, copy=False)

    def counts(self, call: Call, p: dict[str, Any], include: bool) -> Array:
        """Return how many elements count in each window of avg_pool: (*out), or (*out, 1)."""
        counts = divisors(call.size, call.out, call.kernel, call.stride, p["padding"], include)
        return counts[..., None] if self.last else counts


def conv(idea: Idea, x: Array, w: Array, bias: Array | None, **p: Any) -> Array:
    """Here x is (N, C, *S), w (O, C/G, *K), bias (O,) or None, and the result (N, O, *out).

    The definition is CONV-1 of SPEC.md, a cross-correlation.
    """
    out, dtype = conv_size(x, w, bias, **p, channels_last=idea.last), accumulator(x.dtype)
    x_ready, w_ready = idea.ready(x, p["padding"], 0, dtype), w.astype(dtype, copy=False)
    y = idea.compute(x_ready, w_ready, idea.conv_call(x, out, w, p))
    return _rounded(_biased(y, bias, idea.last), x.dtype)


def conv_transpose(idea: Idea, x: Array, w: Array, bias: Array | None, **p: Any) -> Array:
    """Here x is (N, C, *S), w (C, O/G, *K), bias (O,) or None, and the result (N, O, *out).

    The definition is TRANSPOSE-1 of SPEC.md, the adjoint of conv.
    """
    size = conv_transpose_size(x, w, bias, **p, channels_last=idea.last)
    dtype = accumulator(x.dtype)
    parameters = p["stride"], p["padding"], p["dilation"], p["groups"]
    if idea.last:
        call = Call(size, x.shape[1:-1], w.shape[:-2], *parameters, 1)
    else:
        call = Call(size, x.shape[2:], w.shape[2:], *parameters, 2)
    y = idea.compute(x.astype(dtype, copy=False), w.astype(dtype, copy=False), call)
    return _rounded(_biased(y, bias, idea.last), x.dtype)


def max_pool(idea: Idea, x: Array, **p: Any) -> Array:
    """Here x is (N, C, *S) and the result (N, C, *out); NaN counts as larger than any number.

    The definition is MAXPOOL-1 of SPEC.md.
    """
    out, reach = pool_size(x, **p, channels_last=idea.last)
    dtype = native(x.dtype)
    call = idea.pool_call(x, out, reach, p)
    return idea.compute(idea.ready(x, reach, lowest(dtype), dtype), call)


def avg_pool(idea: Idea, x: Array, *, kernel: Shape, count_include_pad: bool, **p: Any) -> Array:
    """Here x is (N, C, *S) and the result (N, C, *out).

    The definition is AVGPOOL-1 of SPEC.md; AVGPOOL-5 and AVGPOOL-6 define the divisor.
    """
    p |= {"kernel": kernel, "dilation": (1,) * len(kernel)}
    out, reach = pool_size(x, **p, channels_last=idea.last)
    call, dtype = idea.pool_call(x, out, reach, p), accumulator(x.dtype)
    counts = idea.counts(call, p, count_include_pad).astype(dtype)
    return _rounded(idea.compute(idea.ready(x, reach, 0, dtype), counts, call), x.dtype)


def conv_input_grad(idea: Idea, grad: Array, w: Array, input_shape: Shape, **p: Any) -> Array:
    """Return the gradient of conv's x: dx (N, C, *S), which is ``input_shape``.

    An output that read x[q] through w[k] adds grad * w[k] to dx[q], as conv_transpose does:
    dx[n, c, p*stride + k*dilation] += grad[n, o, p] * w[o, c, k] for grad (N, O, *out) and
    w (O, C/G, *K). Then the padding is cropped. The definition is GRAD-1 of SPEC.md.
    """
    x, dtype = like(w, input_shape), accumulator(grad.dtype)
    out = conv_grad_size(grad, x, w, **p, channels_last=idea.last)
    call = idea.conv_call(x, out, w, p)
    dx = idea.compute(grad.astype(dtype, copy=False), w.astype(dtype, copy=False), call)
    return _rounded(dx, grad.dtype)


def conv_weight_grad(idea: Idea, grad: Array, x: Array, weight_shape: Shape, **p: Any) -> Array:
    """Here grad is (N, O, *out), x (N, C, *S), ``weight_shape`` and the result (O, C/G, *K).

    dw[o, c, k] = the sum over n and p of grad[n, o, p] * x[n, c, p*stride + k*dilation], GRAD-2
    of SPEC.md.
    """
    w, dtype = like(x, weight_shape), accumulator(x.dtype)
    out = conv_grad_size(grad, x, w, **p, channels_last=idea.last)
    x_ready, call = idea.ready(x, p["padding"], 0, dtype), idea.conv_call(x, out, w, p)
    return _rounded(idea.compute(grad.astype(dtype, copy=False), x_ready, call), x.dtype)


def conv_bias_grad(idea: Idea, grad: Array) -> Array:
    """Sum grad over the batch and all positions: each of them had the bias added once.

    db[o] = the sum over n and p of grad[n, o, p], GRAD-3 of SPEC.md: grad is (N, O, *out) and
    the result (O,). It needs no idea.
    """
    check_grad(grad)
    axes = tuple(range(grad.ndim - 1)) if idea.last else (0, *range(2, grad.ndim))
    sums: Array = grad.sum(axis=axes, dtype=accumulator(grad.dtype))
    return sums.astype(native(grad.dtype), copy=False)


def max_pool_grad(idea: Idea, grad: Array, x: Array, **p: Any) -> Array:
    """Here grad is (N, C, *out), x and the result (N, C, *S).

    The first of equal maxima takes the gradient, and padding takes none (GRAD-4 of SPEC.md).
    """
    out, reach = pool_grad_size(grad, x, **p, channels_last=idea.last)
    dtype = native(x.dtype)
    x_ready, call = idea.ready(x, reach, lowest(dtype), dtype), idea.pool_call(x, out, reach, p)
    return _rounded(idea.compute(grad.astype(accumulator(dtype), copy=False), x_ready, call), dtype)


def avg_pool_grad(
    idea: Idea,
    grad: Array,
    input_shape: Shape,
    *,
    kernel: Shape,
    count_include_pad: bool,
    **p: Any,
) -> Array:
    """Here grad is (N, C, *out), ``input_shape`` and the result (N, C, *S).

    The definition is GRAD-5 of SPEC.md.
    """
    p |= {"kernel": kernel, "dilation": (1,) * len(kernel)}
    x, dtype = like(grad, input_shape), accumulator(grad.dtype)
    out, reach = pool_grad_size(grad, x, **p, channels_last=idea.last)
    call = idea.pool_call(x, out, reach, p)
    counts = idea.counts(call, p, count_include_pad).astype(dtype)
    return _rounded(idea.compute(grad.astype(dtype, copy=False) / counts, call), grad.dtype)


def _biased(y: Array, bias: Array | None, last: bool) -> Array:
    """Add bias (O,), if there is one, to every position of y in place; adding 0 would change -0."""
    if bias is not None:
        wide = bias.astype(y.dtype)
        y += wide if last else wide.reshape(-1, *(1,) * (y.ndim - 2))
    return y


def _rounded(y: Array, dtype: np.dtype[Any]) -> Array:
    """Return ``y`` in ``dtype``. A part of a larger array is copied, so that the rest is freed."""
    part = y.base is not None and y.base.size != y.size
    return y.astype(native(dtype), copy=part)
