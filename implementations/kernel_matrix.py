"""The kernel as a matrix: convolution is linear, so some matrix M computes it as y = M @ x.

Row p of M is the kernel, padded with zeros to the length of x and moved to where output p reads.
For the kernel (1, 2, 3), stride 2 and one position of padding on either side:

>>> call = Call((5,), (3,), (3,), (2,), ((1, 1),), (1,), 1, 2)  # S, P, K, stride, padding, ...
>>> (matrix := unrolled(np.array([[[1, 2, 3]]]), call)[0])  # two numbers fell on padding: dropped
array([[2, 3, 0, 0, 0],
       [0, 1, 2, 3, 0],
       [0, 0, 0, 1, 2]])

Every parameter of conv is a pattern in M. stride moves the kernel further from row to row, dilation
puts zeros between its elements, padding cuts rows off at the edges, channels make M a matrix of
such blocks, and groups leave only those on the diagonal. A pool has the pattern of one channel.

conv_transpose is multiplication by the transpose of that matrix: hence its name. It is not the
inverse; it goes from the shape of y back to the shape of x, and stamps column p of M.T for input p:

>>> matrix.T @ [10, 100, 1000]
array([  20,  130,  200, 1300, 2000])
"""

import math

import numpy as np

from conformance import Unsupported, implementation
from conformance.dtypes import DTYPES
from conformance.implementations._arguments import Array
from conformance.implementations._call import Call
from conformance.implementations._frame import Frame
from conformance.implementations._windows import lowest

kernel_matrix = Frame(implementation("kernel-matrix", family="numpy", dtypes=DTYPES), pads=False)


def conv2d_plain(x: Array, w: Array) -> Array:
    """Return conv of x (N, C, H, W) with w (O, C, I, J): 2-D, stride 1, one group, no padding."""
    rows, columns = x.shape[2] - w.shape[2] + 1, x.shape[3] - w.shape[3] + 1
    matrix = np.zeros((len(w), rows, columns, *x.shape[1:]), x.dtype)  # (O, *P, C, H, W)
    for i, j in np.ndindex(rows, columns):
        matrix[:, i, j, :, i : i + w.shape[2], j : j + w.shape[3]] = w
    return np.tensordot(x, matrix, axes=((1, 2, 3), (3, 4, 5)))  # (N, O, *P)


def window_pattern(call: Call) -> tuple[Array, Array, Array]:
    """Return three (T,) arrays p, k, s: position p reads s, not padding, by kernel position k."""
    reads = np.zeros((1, 1), np.intp)  # (P, K), an axis at a time; negative for padding
    for s, o, k, step, (before, _), d in zip(*call[:6], strict=True):  # all but groups and first
        axis = (np.arange(o) * step - before)[:, None] + np.arange(0, k * d, d)  # (o, k)
        axis = np.where((axis >= 0) & (axis < s), axis, -math.prod(call.size))
        reads = (reads[:, None, :, None] * s + axis[:, None, :]).reshape(len(reads) * o, -1)
    p, k = np.nonzero(reads >= 0)
    return p, k, reads[p, k]


def require(elements: int, finite: Array | None = None) -> None:
    """Raise Unsupported for a matrix that would be too large, and for arrays with 0 * x = NaN."""
    if finite is not None and not np.isfinite(finite).all():
        raise Unsupported("x is not finite: the matrix's zeros would make NaN of it everywhere")
    if elements > 2**23:  # 64 MiB in float64, and several times as much on the way
        raise Unsupported(f"the matrix would have {elements} elements, more than {2**23}")


def unrolled(w: Array, call: Call, x: Array | None = None) -> Array:
    """Return M (G, O/G * P, C/G * S) for x: in row (o, p) the kernel w[o], where p reads."""
    shape = len(w), math.prod(call.out), w.shape[1], math.prod(call.size)
    require(math.prod(shape), x)
    p, k, s = window_pattern(call)
    matrix = np.zeros(shape, w.dtype)
    matrix[:, p, :, s] = w.reshape(*w.shape[:2], -1)[:, :, k].transpose(2, 0, 1)  # (T, O, C/G)
    return matrix.reshape(call.groups, shape[0] // call.groups * shape[1], shape[2] * shape[3])


def pattern(call: Call, x: Array, mask: bool = False) -> Array:
    """Return the matrix of a pool for one channel, or its mask: (P, S), one where p reads s."""
    shape = math.prod(call.out), math.prod(call.size)
    require(math.prod(shape) * (x.shape[0] * x.shape[1] if mask else 1), None if mask else x)
    p, _, s = window_pattern(call)
    matrix = np.zeros(shape, bool if mask else x.dtype)
    matrix[p, s] = 1
    return matrix


def columns_of(x: Array, groups: int) -> Array:
    """Return x (N, C, *S), or a result (N, O, *P), as the columns that M meets: (G, C/G * S, N)."""
    return x.reshape(len(x), groups, math.prod(x.shape[1:]) // groups).transpose(1, 2, 0)


@kernel_matrix
def conv(x: Array, w: Array, call: Call) -> Array:
    """Return M @ x, every image of the batch one column."""
    y: Array = unrolled(w, call, x) @ columns_of(x, call.groups)  # (G, O/G * P, N)
    return y.transpose(2, 0, 1).reshape(len(x), len(w), *call.out)


@kernel_matrix
def conv_transpose(x: Array, w: Array, call: Call) -> Array:
    """Return M.T @ x, for the M of the conv that leads from the shape of y to the shape of x."""
    y: Array = unrolled(w, call, x).swapaxes(1, 2) @ columns_of(x, call.groups)  # (G, O/G * S, N)
    return y.transpose(2, 0, 1).reshape(len(x), call.groups * w.shape[1], *call.size)


@kernel_matrix
def max_pool(x: Array, call: Call) -> Array:
    """Take the pattern as a mask, and the largest of the elements that each row lets through."""
    y: Array = masked(x, pattern(call, x, mask=True)).max(axis=3)  # (N, C, P)
    return y.reshape(*x.shape[:2], *call.out)


def masked(x: Array, mask: Array) -> Array:
    """Return x where the mask (P, S) lets it through, else the lowest value: (N, C, P, S)."""
    images = x.reshape(*x.shape[:2], 1, mask.shape[1])  # (N, C, 1, S)
    return np.where(mask, images, np.array(lowest(x.dtype), x.dtype))


@kernel_matrix
def avg_pool(x: Array, counts: Array, call: Call) -> Array:
    """Take the pattern as a matrix, and divide its product with x by what counts."""
    sums: Array = pattern(call, x) @ x.reshape(len(x) * call.groups, math.prod(call.size)).T
    return sums.T.reshape(*x.shape[:2], *call.out) / counts


# --- Gradients: the transposes of the matrices ----------------------------------------------------
# y = M @ x, so the gradient of x is M.T @ grad, conv_transpose, and frameworks compute it so. That
# of M is grad @ x.T, where an element of the kernel stands once for each position it is moved to.
conv_input_grad, conv_bias_grad = kernel_matrix.gradients(conv_transpose)


@kernel_matrix
def conv_weight_grad(grad: Array, x: Array, call: Call) -> Array:
    """Collect grad @ x.T, the gradient of M, where M has each element of the kernel."""
    shape = grad.shape[1], math.prod(call.out), x.shape[1] // call.groups, math.prod(call.size)
    require(math.prod(shape))
    d_matrix = columns_of(grad, call.groups) @ columns_of(x, call.groups).swapaxes(1, 2)
    p, k, s = window_pattern(call)
    dw = np.zeros((math.prod(call.kernel), shape[0], shape[2]), x.dtype)
    np.add.at(dw, k, d_matrix.reshape(shape)[:, p, :, s])  # (T, O, C/G)
    return dw.transpose(1, 2, 0).reshape(shape[0], shape[2], *call.kernel)


@kernel_matrix
def max_pool_grad(grad: Array, x: Array, call: Call) -> Array:
    """Multiply grad by a matrix with a single one a row, where the first maximum is."""
    require(0, grad)
    mask = pattern(call, x, mask=True)
    values = masked(x, mask)
    largest = mask & (values == values.max(axis=3, keepdims=True))  # (N, C, P, S)
    matrix = np.zeros(largest.shape, grad.dtype)  # a window of padding only has no one
    np.put_along_axis(matrix, largest.argmax(3, keepdims=True), largest.any(3, keepdims=True), 3)
    dx: Array = grad.reshape(*grad.shape[:2], 1, len(mask)) @ matrix
    return dx.reshape(x.shape)


@kernel_matrix
def avg_pool_grad(shares: Array, call: Call) -> Array:
    """Multiply grad over what counts in each window by avg_pool's matrix of ones."""
    flat = shares.reshape(shares.shape[0] * shares.shape[1], math.prod(call.out))  # (N * C, P)
    dx: Array = flat @ pattern(call, shares)
    return dx.reshape(*shares.shape[:2], *call.size)


# --- Cost, and an exercise ------------------------------------------------------------------------
# M has O*P*C/G*S elements and so many multiply-adds an image, K in S of them not by zero. More than
# 2**23 elements are Unsupported, and so are infinities and NaN (max_pool aside), as 0 * inf is NaN.


def masked_with_a_mistake(x: Array, mask: Array) -> Array:
    """One line is wrong. The suite says "MAXPOOL-4: the result is an element of the window"."""
    return np.where(mask, x.reshape(*x.shape[:2], 1, mask.shape[1]), 0)
