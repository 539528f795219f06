"""im2col: copy every window into a row of a matrix, and conv is one matrix product.

With the kernel size 3, stride 1 and no padding::

    x   a b c d e          rows   a b c                y   [a b c]   [w0]
                                  b c d                  = [b c d] * [w1]
                                  c d e                    [c d e]   [w2]

A row holds the windows of all channels of a group, one after another, and a weight flattened the
same way is a column of the right-hand matrix. In memory a window is not contiguous, so a table of
flat positions says what to gather. It needs no search: moving the window moves all its elements
alike, so the position of row p's element k is start[p] + offset[k]. The 2x2 windows of an image of
3x3 start at 0, 1, 3 and 4, and their elements are 0, 1, 3 and 4 further:

>>> call = Call((3, 3), (2, 2), (2, 2), (1, 1), ((0, 0), (0, 0)), (1, 1), 1, 2)  # S, P, K, ...
>>> window_positions(1, call)
array([[0, 1, 3, 4],
       [1, 2, 4, 5],
       [3, 4, 6, 7],
       [4, 5, 7, 8]])

conv_transpose runs the two steps backwards (col2im): a matrix product makes the rows, and each row
is *added* to the places it would have been gathered from. A pool reduces each row to one number.
The steps, with P output positions and K kernel positions::

    conv            x (N, G, C/G * S)  --gather-->  (N, G, P, C/G * K)  @  (G, C/G * K, O/G)
    conv_transpose  x (N, G, P, C/G) @ (G, C/G, O/G * K)  --scatter-add-->  (N, G, O/G * S)
    pools           x (N, C, S)  --gather-->  (N, C, P, K)  --reduce-->  (N, C, P)

Source: K. Chellapilla, S. Puri, P. Simard, High Performance Convolutional Neural Networks for
Document Processing, 2006, section 3.
"""

import math

import numpy as np

from conformance import implementation
from conformance.dtypes import DTYPES
from conformance.implementations._arguments import Array
from conformance.implementations._call import Call
from conformance.implementations._frame import Frame

im2col = Frame(implementation("im2col", family="numpy", dtypes=DTYPES))


def conv2d_plain(x: Array, w: Array) -> Array:
    """Return conv of x (N, C, H, W) with w (O, C, I, J): 2-D, stride 1, one group, no padding."""
    n, (o, _, i, j) = len(x), w.shape
    rows, columns = x.shape[2] - i + 1, x.shape[3] - j + 1
    windows = [x[:, :, a : a + i, b : b + j] for a, b in np.ndindex(rows, columns)]
    matrix = np.stack(windows, axis=1).reshape(n, rows * columns, -1)  # (N, P, C*I*J)
    y: Array = matrix @ w.reshape(o, -1).T  # (N, P, O)
    return y.swapaxes(1, 2).reshape(n, o, rows, columns)


def window_positions(channels: int, call: Call) -> Array:
    """Return the flat position in a (channels, *padded) array of every element of every window.

    The result is (P, channels * K): a row a window, its elements in the order of a weight's.
    """
    start, offset = np.zeros(1, np.intp), np.arange(channels)
    axes = call.padded, call.out, call.kernel, call.stride, call.dilation
    for s, o, k, step, d in zip(*axes, strict=True):
        start = np.add.outer(start * s, np.arange(0, o * step, step)).ravel()
        offset = np.add.outer(offset * s, np.arange(0, k * d, d)).ravel()
    return start[:, None] + offset  # (P, 1) + (channels * K,)


def window_rows(x: Array, call: Call) -> Array:
    """Return the windows of x (N, C, *padded) as rows: (N, G, P, C/G * K)."""
    per_group = x.shape[1] // call.groups
    images = x.reshape(len(x), call.groups, per_group * math.prod(x.shape[2:]))
    return images.take(window_positions(per_group, call), axis=2)


def add_rows(rows: Array, channels: int, call: Call) -> Array:
    """Add rows (M, P, channels * K) to where they come from, in M images (channels, *padded)."""
    images = np.zeros((len(rows), channels, *call.padded), rows.dtype)
    add_at(images, window_positions(channels, call).ravel(), rows)
    return images


def add_at(images: Array, index: Array, values: Array) -> None:
    """Add values to each of M images, at the flat positions (M, Q), or (Q,) for all images."""
    where = np.arange(len(images))[:, None] * math.prod(images.shape[1:]) + index  # (M, Q)
    np.add.at(images.reshape(-1), where.ravel(), values.ravel())  # overlapping windows add up


@im2col
def conv(x: Array, w: Array, call: Call) -> Array:
    """Gather the windows into rows and multiply each group's rows by its weights."""
    rows = window_rows(x, call)  # (N, G, P, C/G * K)
    weight = w.reshape(call.groups, len(w) // call.groups, -1)  # (G, O/G, C/G * K)
    y: Array = weight @ rows.swapaxes(2, 3)  # (N, G, O/G, P): rows @ weight.T, transposed
    return y.reshape(len(x), len(w), *call.out)


@im2col
def conv_transpose(x: Array, w: Array, call: Call) -> Array:
    """Make the rows by a matrix product, and add each to where conv would have gathered it."""
    n, c, groups = len(x), len(w), call.groups
    columns = x.reshape(n, groups, c // groups, math.prod(call.out))
    rows = columns.swapaxes(2, 3) @ w.reshape(groups, c // groups, -1)  # (N, G, P, O/G * K)
    y = add_rows(rows.reshape(n * groups, *rows.shape[2:]), w.shape[1], call)
    return call.crop(y.reshape(n, groups * w.shape[1], *y.shape[2:]))


@im2col
def max_pool(x: Array, call: Call) -> Array:
    """Gather each channel's windows into rows and take each row's maximum."""
    y: Array = window_rows(x, call).max(axis=3)  # (N, C, P), NaN where a window has one
    return y.reshape(*x.shape[:2], *call.out)


@im2col
def avg_pool(x: Array, counts: Array, call: Call) -> Array:
    """Gather each channel's windows into rows and divide each row's sum by what counts in it."""
    sums: Array = window_rows(x, call).sum(axis=3)  # (N, C, P)
    return sums.reshape(*x.shape[:2], *call.out) / counts


# --- Gradients: the transposes of both steps, in reverse ------------------------------------------
# rows @ w.T is linear in the rows, and gathering is linear in x: the gradient of x is grad @ w, put
# back to where the rows came from, which is conv_transpose. That of w is grad times the same rows.
conv_input_grad, conv_bias_grad = im2col.gradients(conv_transpose)


@im2col
def conv_weight_grad(grad: Array, x: Array, call: Call) -> Array:
    """Multiply grad by the very rows that conv multiplies the weight by, and add up the images."""
    n, o, groups = *grad.shape[:2], call.groups
    flat = grad.reshape(n, groups, o // groups, math.prod(call.out))
    dw: Array = (flat @ window_rows(x, call)).sum(axis=0)  # (G, O/G, C/G * K)
    return dw.reshape(o, x.shape[1] // groups, *call.kernel)


@im2col
def max_pool_grad(grad: Array, x: Array, call: Call) -> Array:
    """Gather the windows, find each row's first maximum, and add grad at the position it has."""
    rows, index = window_rows(x, call), window_positions(1, call)  # (N, C, P, K), (P, K)
    inside = call.inside().ravel()[index]
    first = ((rows == rows.max(axis=3, keepdims=True)) & inside).argmax(axis=3)  # (N, C, P)
    positions = index[np.arange(len(index)), first]  # (N, C, P); padding for a window without any
    planes = np.zeros((math.prod(x.shape[:2]), *call.padded), grad.dtype)
    add_at(planes, positions.reshape(len(planes), math.prod(call.out)), grad)
    return call.crop(planes.reshape(x.shape))


@im2col
def avg_pool_grad(shares: Array, call: Call) -> Array:
    """Make a row of equal shares of each window's gradient, and add it back (col2im)."""
    n, c = shares.shape[:2]
    rows = shares.reshape(n * c, math.prod(call.out)).repeat(math.prod(call.kernel), axis=1)
    return call.crop(add_rows(rows, 1, call).reshape(n, c, *call.padded))


# --- Cost, and an exercise ------------------------------------------------------------------------
# The multiply-adds of the definition, N*O*P*C/G*K, at the speed of the BLAS. In exchange every
# element is stored about K / prod(stride) times, N*C*P*K in all; the table of positions has P*C/G*K
# numbers of eight bytes.


def add_rows_with_a_mistake(rows: Array, channels: int, call: Call) -> Array:
    """One line is wrong. The suite says "RESULT-2: exact data gives exact values"."""
    index = window_positions(channels, call).ravel()
    images = np.zeros((len(rows), channels, *call.padded), rows.dtype)
    for image, elements in zip(images, rows, strict=True):
        image.reshape(-1)[index] += elements.ravel()
    return images
