"""Stride tricks: every window at once, as a view that copies nothing.

A NumPy array is a pointer, a shape and strides: how many bytes to step for the next element of each
axis. A stride may be anything, so one array can show the same memory twice. Give a row of five
elements the shape (3, 3) and the strides (8, 8), and it shows its three windows of three::

    memory   a b c d e          shape (3, 3), strides (8, 8)     a b c
                                kernel position, output          b c d
                                                                 c d e

Stepping along the outputs costs stride elements, along the kernel dilation elements, so one view
has both parameters. The shapes, with P output positions and K kernel positions::

    x (N, C, *S)  --view-->  (N, C, *K, *out)  --reduce-->  pools (N, C, *out)
                             --reshape-->  (N, G, C/G * K, P)
    conv          (G, O/G, C/G * K) @ (N, G, C/G * K, P)  -->  (N, G, O/G, P)

conv_transpose is the same contraction over an input with zeros stuffed between its elements, which
is what undoes the stride, with a border of zeros, the kernel flipped, and stride 1::

    x  a b    stride 2, kernel (1, 2, 3)    y[0]  (3 2 1)          = a
    stuffed   0 0 a 0 b 0 0                 y[1]    (3 2 1)        = 2a
                                            y[2]      (3 2 1)      = 3a + b      and so on

Cost: a view takes no memory and no time. A pool reads each window through it and stores only its
result. A convolution can stay without a copy too (np.einsum over the view), but then it also stays
without the BLAS, and measured a hundred times slower on a layer of 64 channels: so the reshape
just before the product makes the copy that im2col makes, without a table of positions. Zero
stuffing multiplies by zeros, prod(stride) times the work; as 0 * inf is NaN, conv_transpose with
an infinity or a NaN in the weight is Unsupported.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.lib.stride_tricks import as_strided

from conformance import Unsupported, implementation
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

stride_trick = implementation("stride-trick", family="numpy", dtypes=DTYPES)


def window_view(x: Array, kernel: Shape, out: Shape, stride: Shape, dilation: Shape) -> Array:
    """Return every window of ``x`` (N, C, *S) as a read-only view (N, C, *K, *out)."""
    batch, channel, *steps = x.strides  # in bytes
    along_kernel = (step * d for step, d in zip(steps, dilation, strict=True))
    along_out = (step * s for step, s in zip(steps, stride, strict=True))
    return as_strided(
        x,
        (*x.shape[:2], *kernel, *out),
        (batch, channel, *along_kernel, *along_out),
        writeable=False,
    )


def contract(weight: Array, windows: Array, bias: Array | None, groups: int, dims: int) -> Array:
    """Sum weight (O, C/G, *K) times windows (N, C, *K, *out) over C/G and K: (N, O, *out)."""
    n, out = len(windows), windows.shape[-dims:]
    o, depth = len(weight), math.prod(weight.shape[1:])
    flat = weight.reshape(groups, o // groups, depth)  # (G, O/G, C/G * K)
    columns = windows.reshape(n, groups, depth, math.prod(out))  # the copy
    y = (flat @ columns).reshape(n, o, *out)
    if bias is not None:
        y += bias.astype(y.dtype).reshape(o, *(1,) * dims)
    return y


@stride_trick
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
    """Contract the view of all windows with the weight."""
    out = conv_size(x, w, bias, stride, padding, dilation, groups)
    dtype = accumulator(x.dtype)
    x_padded = padded(x, padding, 0, dtype)  # (N, C, *S + padding)
    windows = window_view(x_padded, w.shape[2:], out, stride, dilation)  # (N, C, *K, *out)
    y = contract(w.astype(dtype, copy=False), windows, bias, groups, len(out))
    return y.astype(native(x.dtype), copy=False)


@stride_trick
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
    """Stuff x with zeros and contract the view of its windows with the flipped weight."""
    out = conv_transpose_size(x, w, bias, stride, padding, output_padding, dilation, groups)
    if not np.isfinite(w).all():
        raise Unsupported("w is not finite: the zeros between the inputs would make NaN of it")
    dtype = accumulator(x.dtype)
    n, c, *size = x.shape
    per_group, *kernel = w.shape[1:]
    border = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]  # the window less one
    lengths = [
        (s - 1) * step + 1 + 2 * b + extra
        for s, b, step, extra in zip(size, border, stride, output_padding, strict=True)
    ]
    stuffed = np.zeros((n, c, *lengths), dtype)
    places = (
        slice(b, b + (s - 1) * step + 1, step)
        for s, b, step in zip(size, border, stride, strict=True)
    )
    stuffed[:, :, *places] = x  # every stride-th position, inside the border
    cropped = stuffed[:, :, *(slice(before, None) for before, _ in padding)]
    windows = window_view(cropped, tuple(kernel), out, (1,) * len(size), dilation)
    weight = w.astype(dtype, copy=False).reshape(groups, c // groups, per_group, *kernel)
    weight = weight.swapaxes(1, 2).reshape(groups * per_group, c // groups, *kernel)
    flipped = np.flip(weight, tuple(range(2, weight.ndim)))  # (O, C/G, *K)
    y = contract(flipped, windows, bias, groups, len(size))
    return y.astype(native(x.dtype), copy=False)


@stride_trick
def max_pool(
    x: Array, *, kernel: Shape, stride: Shape, padding: Padding, dilation: Shape, ceil_mode: bool
) -> Array:
    """Take the maximum of the view over its kernel axes."""
    out, reach = pool_size(x, kernel, stride, padding, dilation, ceil_mode)
    dtype = native(x.dtype)
    x_padded = padded(x, reach, lowest(dtype), dtype)  # (N, C, *S + padding)
    windows = window_view(x_padded, kernel, out, stride, dilation)  # (N, C, *K, *out)
    y: Array = windows.max(axis=tuple(range(2, 2 + len(kernel))))  # NaN where a window has one
    return y


@stride_trick
def avg_pool(
    x: Array,
    *,
    kernel: Shape,
    stride: Shape,
    padding: Padding,
    ceil_mode: bool,
    count_include_pad: bool,
) -> Array:
    """Sum the view over its kernel axes and divide by what counts in each window."""
    undilated = (1,) * len(kernel)
    out, reach = pool_size(x, kernel, stride, padding, undilated, ceil_mode)
    dtype = accumulator(x.dtype)
    x_padded = padded(x, reach, 0, dtype)  # (N, C, *S + padding)
    windows = window_view(x_padded, kernel, out, stride, undilated)  # (N, C, *K, *out)
    sums: Array = windows.sum(axis=tuple(range(2, 2 + len(kernel))))
    counts = divisors(x.shape[2:], out, kernel, stride, padding, count_include_pad)  # (*out)
    y: Array = sums / counts.astype(dtype)
    return y.astype(native(x.dtype), copy=False)


@stride_trick
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
    """Stuff grad with zeros, and convolve it with the flipped weight: that is conv_transpose."""
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


@stride_trick
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
    """Convolve x with grad as the kernel, the batch being the channels that are summed over.

    dw[o, c, k] = the sum over n and p of grad[n, o, p] * x[n, c, p*stride + k*dilation] has the
    form of conv with p and k in each other's place: grad is a kernel of the size of the output,
    dilated by stride, that is moved by dilation.
    """
    weight = like(x, weight_shape)
    conv_grad_size(grad, x, weight, stride, padding, dilation, groups)
    dtype = accumulator(x.dtype)
    n, per_group, kernel = len(x), weight.shape[1], weight.shape[2:]
    x_padded = padded(x, padding, 0, dtype)  # (N, C, *S + padding)
    size = x_padded.shape[2:]
    images = x_padded.reshape(n, groups, per_group, *size).transpose(
        2, 1, 0, *range(3, 3 + len(size))
    )  # (C/G, G, N, *S): an image for each channel of a group
    images = images.reshape(per_group, groups * n, *size)
    windows = window_view(images, grad.shape[2:], kernel, dilation, stride)
    filters = grad.astype(dtype, copy=False).swapaxes(0, 1)  # (O, N, *out)
    dw = contract(filters, windows, None, groups, len(size))  # (C/G, O, *K)
    return dw.swapaxes(0, 1).astype(native(x.dtype), order="C")


@stride_trick
def conv_bias_grad(grad: Array) -> Array:
    """Sum grad over the batch and all positions: each of them had the bias added once."""
    return bias_grad(grad, 1, accumulator(grad.dtype))


@stride_trick
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
    """See every window of x and, through the same view, of the positions that it was made of."""
    out, reach = pool_grad_size(grad, x, kernel, stride, padding, dilation, ceil_mode)
    dtype = accumulator(x.dtype)
    x_padded = padded(x, reach, lowest(x.dtype), native(x.dtype))  # (N, C, *S + padding)
    inside = padded(np.ones((1, 1, *x.shape[2:]), bool), reach, 0, np.dtype(bool))
    numbers = np.arange(inside.size).reshape(inside.shape)
    shape = math.prod(kernel), math.prod(out)
    positions, real = (  # (K, P)
        window_view(plane, kernel, out, stride, dilation).reshape(shape)
        for plane in (numbers, inside)
    )
    windows = window_view(x_padded, kernel, out, stride, dilation).reshape(*x.shape[:2], *shape)
    first = ((windows == windows.max(axis=2, keepdims=True)) & real).argmax(axis=2)  # (N, C, P)
    flat = np.zeros((*x.shape[:2], inside.size), dtype)
    for n, c in np.ndindex(x.shape[:2]):
        places = positions[first[n, c], np.arange(shape[1])]  # padding for a window without any
        np.add.at(flat[n, c], places, grad[n, c].astype(dtype).ravel())
    kept = tuple(slice(b, b + s) for s, (b, _) in zip(x.shape[2:], reach, strict=True))
    return flat.reshape(x_padded.shape)[:, :, *kept].astype(native(x.dtype))


@stride_trick
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
    """Average pooling is a convolution with ones, each channel a group, and so is its gradient."""
    undilated = (1,) * len(kernel)
    x = like(grad, input_shape)
    out, reach = pool_grad_size(grad, x, kernel, stride, padding, undilated, ceil_mode)
    dtype = accumulator(grad.dtype)
    counts = divisors(x.shape[2:], out, kernel, stride, padding, count_include_pad)  # (*out)
    shares = grad.astype(dtype, copy=False) / counts.astype(dtype)  # (N, C, *out)
    rest = (
        (s + before + after - k) % step
        for s, k, step, (before, after) in zip(x.shape[2:], kernel, stride, reach, strict=True)
    )
    dx = conv_transpose(
        shares,
        np.ones((x.shape[1], 1, *kernel), dtype),
        None,
        stride=stride,
        padding=reach,
        output_padding=tuple(rest),
        dilation=undilated,
        groups=x.shape[1],
    )
    return dx.astype(native(grad.dtype), copy=False)
