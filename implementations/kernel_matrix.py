"""The kernel as a matrix: convolution is linear, so some matrix M computes it as y = M @ x.

Row p of M is the kernel, padded with zeros to the length of x and moved to where output p reads.
For the kernel (1, 2, 3), stride 2 and one position of padding on either side::

         x0 x1 x2 x3 x4
    y0 [  2  3  0  0  0 ]     the 1 fell on the padding: dropped
    y1 [  0  1  2  3  0 ]
    y2 [  0  0  0  1  2 ]     the 3 fell on the padding: dropped

Every parameter of conv is a pattern in M. stride moves the kernel further from row to row, dilation
puts zeros between its elements, padding cuts rows off at the edges, channels make M a matrix of
such blocks, one for each pair of an output and an input channel, and groups leave only the blocks
on the diagonal, which are kept as one matrix a group.

conv_transpose is multiplication by the transpose of that matrix, and that is where its name comes
from. It is not the inverse; it goes from the shape of y back to the shape of x::

                      [ 2 0 0 ]              [  20 ]
                      [ 3 1 0 ]   [  10 ]    [ 130 ]     conv_transpose of (10, 100, 1000) with the
    M.T @ (10, 100,   [ 0 2 0 ] @ [ 100 ]  = [ 200 ]     same kernel, stride and padding: column p
           1000)      [ 0 3 1 ]   [1000 ]    [1300 ]     of M.T is the kernel that input p stamps
                      [ 0 0 2 ]              [2000 ]     onto the output

For that reason it is also the gradient of conv with respect to x, and frameworks compute it so.

A pool has the same pattern for one channel: avg_pool multiplies by the matrix of ones there and
divides; max_pool, which is not linear, uses the pattern as a mask and takes each row's maximum.

Cost: a group's matrix is O/G * P by C/G * S for P output and S input positions, while only C/G * K
elements of a row are not zero: time and memory grow with P * S where the definition needs P * K. It
is for reading, and for small inputs. Two gaps follow. A matrix of more than 2**26 elements is
Unsupported; and so is an input with an infinity or a NaN (max_pool aside), because M multiplies
every input element by the zeros outside of its windows too, and 0 * inf is NaN.
"""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

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
    pool_size,
)
from conformance.implementations._gradients import (
    bias_grad,
    conv_grad_size,
    like,
    pool_grad_size,
)

kernel_matrix = implementation("kernel-matrix", family="numpy", dtypes=DTYPES)

LARGEST = 2**26
"""Elements of the largest array that is built: 512 MiB in float64."""

Pattern: TypeAlias = tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]
"""Three (T,) arrays p, k, s: output position p reads input position s by kernel position k."""


def window_pattern(
    size: Shape, out: Shape, kernel: Shape, stride: Shape, padding: Padding, dilation: Shape
) -> Pattern:
    """Return which flat positions meet in a window, those that read padding left out."""
    reads, inside = np.zeros((1, 1), np.intp), np.ones((1, 1), bool)  # (P, K), an axis at a time
    for s, o, k, step, (before, _), d in zip(
        size, out, kernel, stride, padding, dilation, strict=True
    ):
        axis = (np.arange(o) * step - before)[:, None] + np.arange(k) * d  # (o, k)
        shape = len(reads) * o, reads.shape[1] * k
        reads = (reads[:, None, :, None] * s + axis[:, None, :]).reshape(shape)
        within = (axis >= 0) & (axis < s)
        inside = (inside[:, None, :, None] & within[:, None, :]).reshape(shape)
    p, k = np.nonzero(inside)
    return p, k, reads[p, k]


def unrolled(w: Array, groups: int, rows: int, columns: int, pattern: Pattern) -> Array:
    """Return M (G, O/G * rows, C/G * columns): in row (o, p) the kernel w[o], where p reads."""
    o, per_group = w.shape[:2]
    require_size(o * rows * per_group * columns)
    p, k, s = pattern
    matrix = np.zeros((o, rows, per_group, columns), w.dtype)
    elements = w.reshape(o, per_group, -1)[:, :, k]  # (O, C/G, T)
    matrix[:, p, :, s] = elements.transpose(2, 0, 1)  # (T, O, C/G): NumPy puts p and s first
    return matrix.reshape(groups, o // groups * rows, per_group * columns)


def require_size(elements: int) -> None:
    """Raise Unsupported for an array that would be too large to be worth building."""
    if elements > LARGEST:
        raise Unsupported(f"the matrix would have {elements} elements, more than {LARGEST}")


def require_finite(x: Array) -> None:
    """Raise Unsupported for an input that 0 * x, outside of the windows, would turn into NaN."""
    if not np.isfinite(x).all():
        raise Unsupported("x is not finite: the matrix's zeros would make NaN of it everywhere")


@kernel_matrix
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
    """Return M @ x, every image of the batch one column."""
    out = conv_size(x, w, bias, stride, padding, dilation, groups)
    require_finite(x)
    dtype = accumulator(x.dtype)
    (n, c, *size), o = x.shape, len(w)
    s, p = math.prod(size), math.prod(out)
    pattern = window_pattern(tuple(size), out, w.shape[2:], stride, padding, dilation)
    matrix = unrolled(w.astype(dtype, copy=False), groups, p, s, pattern)
    images = x.astype(dtype, copy=False).reshape(n, groups, c // groups * s)
    y: Array = matrix @ images.transpose(1, 2, 0)  # (G, O/G * P, C/G * S) @ (G, C/G * S, N)
    y = y.transpose(2, 0, 1).reshape(n, o, *out)
    if bias is not None:
        y += bias.astype(dtype).reshape(o, *(1,) * len(out))
    return y.astype(native(x.dtype), copy=False)


@kernel_matrix
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
    """Return M.T @ x, for the M of the conv that leads from the shape of y to the shape of x."""
    out = conv_transpose_size(x, w, bias, stride, padding, output_padding, dilation, groups)
    require_finite(x)
    dtype = accumulator(x.dtype)
    (n, c, *size), o = x.shape, w.shape[1] * groups
    s, p = math.prod(size), math.prod(out)
    pattern = window_pattern(out, tuple(size), w.shape[2:], stride, padding, dilation)
    matrix = unrolled(w.astype(dtype, copy=False), groups, s, p, pattern)
    images = x.astype(dtype, copy=False).reshape(n, groups, c // groups * s)
    y: Array = matrix.swapaxes(1, 2) @ images.transpose(
        1, 2, 0
    )  # (G, O/G * P, C/G * S) @ (G, C/G * S, N)
    y = y.transpose(2, 0, 1).reshape(n, o, *out)
    if bias is not None:
        y += bias.astype(dtype).reshape(o, *(1,) * len(out))
    return y.astype(native(x.dtype), copy=False)


@kernel_matrix
def max_pool(
    x: Array, *, kernel: Shape, stride: Shape, padding: Padding, dilation: Shape, ceil_mode: bool
) -> Array:
    """The pattern as a mask (P, S): the largest of the elements that each row lets through."""
    out, _ = pool_size(x, kernel, stride, padding, dilation, ceil_mode)
    dtype = native(x.dtype)
    n, c, *size = x.shape
    s, p = math.prod(size), math.prod(out)
    require_size(n * c * p * s)
    row, _, column = window_pattern(tuple(size), out, kernel, stride, padding, dilation)
    mask = np.zeros((p, s), bool)
    mask[row, column] = True
    images = x.astype(dtype, copy=False).reshape(n, c, 1, s)
    masked = np.where(mask, images, np.array(lowest(dtype), dtype))  # (N, C, P, S)
    y: Array = masked.max(axis=3)  # (N, C, P), the lowest value for a window of padding only
    return y.reshape(n, c, *out)


@kernel_matrix
def avg_pool(
    x: Array,
    *,
    kernel: Shape,
    stride: Shape,
    padding: Padding,
    ceil_mode: bool,
    count_include_pad: bool,
) -> Array:
    """The pattern as a matrix of ones (P, S), its product with x divided by what counts."""
    undilated = (1,) * len(kernel)
    out, _ = pool_size(x, kernel, stride, padding, undilated, ceil_mode)
    require_finite(x)
    dtype = accumulator(x.dtype)
    n, c, *size = x.shape
    s, p = math.prod(size), math.prod(out)
    require_size(p * s)
    row, _, column = window_pattern(tuple(size), out, kernel, stride, padding, undilated)
    matrix = np.zeros((p, s), dtype)
    matrix[row, column] = 1  # and not 1 / count, which is rounded: exact sums stay exact
    sums = matrix @ x.astype(dtype, copy=False).reshape(n * c, s).T  # (P, S) @ (S, N * C)
    counts = divisors(tuple(size), out, kernel, stride, padding, count_include_pad)  # (*out)
    y: Array = sums.T.reshape(n, c, *out) / counts.astype(dtype)
    return y.astype(native(x.dtype), copy=False)


@kernel_matrix
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
    """Return M.T @ grad: y = M @ x, so that is the derivative of sum(grad * y) by x."""
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


@kernel_matrix
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
    """Collect grad @ x.T, the gradient of M, where M has each element of the kernel.

    y = M @ x makes the gradient of M[r, s] grad[r] * x[s], added up over the images; an element of
    the kernel stands in M once for each position that it is moved to.
    """
    weight = like(x, weight_shape)
    conv_grad_size(grad, x, weight, stride, padding, dilation, groups)
    dtype = accumulator(x.dtype)
    (n, _, *size), (o, per_group, *kernel), out = x.shape, weight.shape, grad.shape[2:]
    rows, columns = math.prod(out), math.prod(size)
    require_size(o * rows * per_group * columns)
    p, k, s = window_pattern(tuple(size), out, tuple(kernel), stride, padding, dilation)
    left = grad.astype(dtype, copy=False).reshape(n, groups, o // groups * rows)
    right = x.astype(dtype, copy=False).reshape(n, groups, per_group * columns)
    # (G, O/G * P, N) @ (G, N, C/G * S), the gradient of M, seen as (O, P, C/G, S)
    d_matrix = left.transpose(1, 2, 0) @ right.swapaxes(0, 1)
    d_matrix = d_matrix.reshape(o, rows, per_group, columns)
    dw = np.zeros((math.prod(kernel), o, per_group), dtype)
    np.add.at(dw, k, d_matrix[:, p, :, s])  # (T, O, C/G)
    return dw.transpose(1, 2, 0).reshape(weight.shape).astype(native(x.dtype))


@kernel_matrix
def conv_bias_grad(grad: Array) -> Array:
    """Sum grad over the batch and all positions: each of them had the bias added once."""
    return bias_grad(grad, 1, accumulator(grad.dtype))


@kernel_matrix
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
    """The transpose of a matrix with a single one a row, where the first maximum is.

    While the maxima stay where they are, max_pool is linear: it picks an element for each row.
    """
    out, _ = pool_grad_size(grad, x, kernel, stride, padding, dilation, ceil_mode)
    require_finite(grad)
    dtype = accumulator(x.dtype)
    n, c, *size = x.shape
    s, p = math.prod(size), math.prod(out)
    require_size(n * c * p * s)
    row, _, column = window_pattern(tuple(size), out, kernel, stride, padding, dilation)
    mask = np.zeros((p, s), bool)
    mask[row, column] = True
    images = x.reshape(n, c, 1, s)
    masked = np.where(mask, images, np.array(lowest(x.dtype), native(x.dtype)))  # (N, C, P, S)
    largest = mask & (masked == masked.max(axis=3, keepdims=True))
    matrix = np.zeros(largest.shape, dtype)  # (N, C, P, S), a window of padding only has no one
    first = largest.argmax(axis=3)[..., None]  # (N, C, P, 1)
    np.put_along_axis(matrix, first, largest.any(axis=3, keepdims=True), axis=3)
    dx: Array = grad.astype(dtype, copy=False).reshape(n, c, 1, p) @ matrix
    return dx.reshape(x.shape).astype(native(x.dtype), copy=False)


@kernel_matrix
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
    """The transpose of avg_pool's matrix of ones times grad over what counts in each window."""
    undilated = (1,) * len(kernel)
    x = like(grad, input_shape)
    out, _ = pool_grad_size(grad, x, kernel, stride, padding, undilated, ceil_mode)
    require_finite(grad)
    dtype = accumulator(grad.dtype)
    n, c, *size = x.shape
    s, p = math.prod(size), math.prod(out)
    require_size(p * s)
    row, _, column = window_pattern(tuple(size), out, kernel, stride, padding, undilated)
    matrix = np.zeros((p, s), dtype)
    matrix[row, column] = 1
    counts = divisors(tuple(size), out, kernel, stride, padding, count_include_pad)  # (*out)
    shares = grad.astype(dtype, copy=False) / counts.astype(dtype)  # (N, C, *out)
    dx: Array = shares.reshape(n * c, p) @ matrix  # (N * C, P) @ (P, S)
    return dx.reshape(x.shape).astype(native(grad.dtype), copy=False)
