"""The definition, written as loops: every output element looks at its own window.

conv slides the kernel over the padded input. With the kernel (1, 2, 3), stride 2 and one zero of
padding on either side::

    padded x    0  a  b  c  d  e  0
    y[0]       (1  2  3)                 = 0 + 2a + 3b
    y[1]             (1  2  3)           = b + 2c + 3d
    y[2]                   (1  2  3)     = d + 2e + 0

It is a cross-correlation: the kernel is not flipped. A pool takes the maximum or the mean of the
same windows, each channel by itself. conv_transpose goes the other way: every *input* element
stamps the kernel, multiplied by that element, onto the output, and stamps that overlap add up::

    x           a     b                  kernel (1, 2, 3), stride 2
    stamp a     a 2a 3a
    stamp b           b 2b 3b
    y           a 2a 3a+b 2b 3b          its padding crops y at both ends

A gradient follows from the same windows, read backwards: an output element adds its gradient times
the kernel to its window of the input's gradient, and its gradient times the window to the kernel's.

Cost: one multiply-add for each (batch, output element, channel of the group, kernel position), a
few microseconds of Python for each window, and no memory but the padded input. float16 and
bfloat16 are summed in float32 and rounded once, at the end.
"""

from __future__ import annotations

from itertools import product

import numpy as np

from conformance import implementation
from conformance.dtypes import DTYPES
from conformance.implementations._common import (
    Array,
    Padding,
    Shape,
    accumulator,
    conv_size,
    conv_transpose_size,
    divisors,
    lowest,
    native,
    padded,
    pool_size,
)
from conformance.implementations._gradients import (
    bias_grad,
    conv_grad_size,
    like,
    pool_grad_size,
)

naive = implementation("naive", family="numpy", dtypes=DTYPES, work_seconds=3e-7)


def window_at(position: Shape, kernel: Shape, stride: Shape, dilation: Shape) -> tuple[slice, ...]:
    """Return where the window of an output position lies: every ``dilation``-th of its span."""
    return tuple(
        slice(p * s, p * s + d * (k - 1) + 1, d)
        for p, k, s, d in zip(position, kernel, stride, dilation, strict=True)
    )


@naive
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
    """Sum each window times the kernel.

    y[n, o, p] = bias[o] + the sum over c and k of x[n, c, p*stride + k*dilation] * w[o, c, k],
    where p and k stand for one index a spatial axis and c runs over the group of o.
    """
    out = conv_size(x, w, bias, stride, padding, dilation, groups)
    dtype = accumulator(x.dtype)
    n_out, (o_out, per_group, *kernel) = len(x), w.shape
    x_padded = padded(x, padding, 0, dtype)  # (N, C, *S + padding)
    weight = w.astype(dtype, copy=False)  # (O, C/groups, *K)
    y = np.empty((n_out, o_out, *out), dtype)
    for position in np.ndindex(out):
        where = window_at(position, tuple(kernel), stride, dilation)
        for n, o in product(range(n_out), range(o_out)):
            first = o // (o_out // groups) * per_group  # the group's first channel
            window = x_padded[n, first : first + per_group][:, *where]  # (C/groups, *K)
            y[n, o, *position] = (window * weight[o]).sum()
    if bias is not None:
        for o in range(o_out):
            y[:, o] += bias[o].astype(dtype)
    return y.astype(native(x.dtype), copy=False)


@naive
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
    """Stamp the kernel onto the output, once for each input element, and crop ``padding``.

    y[n, o, p*stride + k*dilation] += x[n, c, p] * w[c, o, k] for every n, c, p, k and every o of
    the group of c.
    """
    out = conv_transpose_size(x, w, bias, stride, padding, output_padding, dilation, groups)
    dtype = accumulator(x.dtype)
    n_out, (c_in, per_group, *kernel) = len(x), w.shape
    x_wide, weight = x.astype(dtype, copy=False), w.astype(dtype, copy=False)
    uncropped = (b + size + a for size, (b, a) in zip(out, padding, strict=True))
    y = np.zeros((n_out, per_group * groups, *uncropped), dtype)  # (N, O, *out + padding)
    for position in np.ndindex(x.shape[2:]):
        where = window_at(position, tuple(kernel), stride, dilation)
        for n, c in product(range(n_out), range(c_in)):
            first = c // (c_in // groups) * per_group  # the group's first output channel
            stamp = x_wide[n, c, *position] * weight[c]  # (O/groups, *K)
            y[n, first : first + per_group][:, *where] += stamp
    if bias is not None:
        for o in range(len(bias)):
            y[:, o] += bias[o].astype(dtype)
    kept = tuple(slice(b, b + size) for size, (b, _) in zip(out, padding, strict=True))
    return y[:, :, *kept].astype(native(x.dtype))


@naive
def max_pool(
    x: Array, *, kernel: Shape, stride: Shape, padding: Padding, dilation: Shape, ceil_mode: bool
) -> Array:
    """Take the largest x[n, c, p*stride + k*dilation] over k, padding being the lowest value."""
    out, reach = pool_size(x, kernel, stride, padding, dilation, ceil_mode)
    dtype = native(x.dtype)
    x_padded = padded(x, reach, lowest(dtype), dtype)  # (N, C, *S + padding)
    y = np.empty((*x.shape[:2], *out), dtype)
    for position in np.ndindex(out):
        where = window_at(position, kernel, stride, dilation)
        for n, c in np.ndindex(x.shape[:2]):
            y[n, c, *position] = x_padded[n, c, *where].max()  # NaN if there is one
    return y


@naive
def avg_pool(
    x: Array,
    *,
    kernel: Shape,
    stride: Shape,
    padding: Padding,
    ceil_mode: bool,
    count_include_pad: bool,
) -> Array:
    """Divide the sum of x[n, c, p*stride + k] over k by how many of those positions count."""
    undilated = (1,) * len(kernel)
    out, reach = pool_size(x, kernel, stride, padding, undilated, ceil_mode)
    dtype = accumulator(x.dtype)
    x_padded = padded(x, reach, 0, dtype)  # (N, C, *S + padding)
    counts = np.zeros(x_padded.shape[2:], bool)  # which positions of the padded input count
    counts[
        tuple(
            slice(0, b + s + a) if count_include_pad else slice(b, b + s)
            for s, (b, a) in zip(x.shape[2:], padding, strict=True)
        )
    ] = True
    y = np.empty((*x.shape[:2], *out), dtype)
    for position in np.ndindex(out):
        where = window_at(position, kernel, stride, undilated)
        divisor = np.count_nonzero(counts[where])
        for n, c in np.ndindex(x.shape[:2]):
            y[n, c, *position] = x_padded[n, c, *where].sum() / divisor
    return y.astype(native(x.dtype), copy=False)


@naive
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
    """Stamp the kernel onto the input's gradient, once for each output element.

    What read x[q] through w[k] adds grad * w[k] to dx[q], which is what conv_transpose does.
    """
    x = like(w, input_shape)
    rest = conv_grad_size(grad, x, w, stride, padding, dilation, groups)
    return conv_transpose(
        grad,
        w,
        None,
        stride=stride,
        padding=padding,
        output_padding=rest,
        dilation=dilation,
        groups=groups,
    )


@naive
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
    """Add each output element's gradient times its window to the gradient of its kernel.

    dw[o, c, k] = the sum over n and p of grad[n, o, p] * x[n, c, p*stride + k*dilation].
    """
    weight = like(x, weight_shape)
    conv_grad_size(grad, x, weight, stride, padding, dilation, groups)
    dtype = accumulator(x.dtype)
    o_out, per_group, *kernel = weight_shape
    x_padded = padded(x, padding, 0, dtype)  # (N, C, *S + padding)
    dw = np.zeros(weight_shape, dtype)
    for position in np.ndindex(grad.shape[2:]):
        where = window_at(position, tuple(kernel), stride, dilation)
        for n, o in product(range(len(x)), range(o_out)):
            first = o // (o_out // groups) * per_group  # the group's first channel
            window = x_padded[n, first : first + per_group][:, *where]  # (C/groups, *K)
            dw[o] += grad[n, o, *position].astype(dtype) * window
    return dw.astype(native(x.dtype), copy=False)


@naive
def conv_bias_grad(grad: Array) -> Array:
    """Sum grad over the batch and all positions: each of them had the bias added once."""
    return bias_grad(grad, 1, accumulator(grad.dtype))


@naive
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
    """Add each window's gradient where its first maximum is; padding has none."""
    _, reach = pool_grad_size(grad, x, kernel, stride, padding, dilation, ceil_mode)
    x_padded = padded(x, reach, lowest(x.dtype), native(x.dtype))  # (N, C, *S + padding)
    real = padded(np.ones((1, 1, *x.shape[2:]), bool), reach, 0, np.dtype(bool))[0, 0]
    dx = np.zeros(x_padded.shape, accumulator(x.dtype))
    for position in np.ndindex(grad.shape[2:]):
        where = window_at(position, kernel, stride, dilation)
        for n, c in np.ndindex(x.shape[:2]):
            window = x_padded[n, c, *where]
            first = ((window == window.max()) & real[where]).argmax()
            dx[n, c, *where][np.unravel_index(first, kernel)] += grad[n, c, *position].astype(
                dx.dtype
            )
    kept = tuple(slice(b, b + s) for s, (b, _) in zip(x.shape[2:], reach, strict=True))
    return dx[:, :, *kept].astype(native(x.dtype))


@naive
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
    """Add each window's gradient, over the divisor, to every element that it read."""
    undilated = (1,) * len(kernel)
    x = like(grad, input_shape)
    _, reach = pool_grad_size(grad, x, kernel, stride, padding, undilated, ceil_mode)
    dtype = accumulator(grad.dtype)
    out = grad.shape[2:]
    counts = divisors(x.shape[2:], out, kernel, stride, padding, count_include_pad)  # (*out)
    shares = grad.astype(dtype, copy=False) / counts.astype(dtype)  # (N, C, *out)
    beyond = (b + s + a for s, (b, a) in zip(x.shape[2:], reach, strict=True))
    dx = np.zeros((*x.shape[:2], *beyond), dtype)  # (N, C, *S + padding)
    for position in np.ndindex(out):
        where = window_at(position, kernel, stride, undilated)
        for n, c in np.ndindex(x.shape[:2]):
            dx[n, c, *where] += shares[n, c, *position]
    kept = tuple(slice(b, b + s) for s, (b, _) in zip(x.shape[2:], reach, strict=True))
    return dx[:, :, *kept].astype(native(grad.dtype))
