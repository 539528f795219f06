"""Stride tricks: every window at once, as a view that copies nothing.

A NumPy array is a pointer, a shape and strides: how many bytes to step for the next element of each
axis. A stride may be anything, so one array can show the same memory twice. Give a row of five
elements of 8 bytes the shape (3, 3) and the strides (8, 8), and it shows its windows of three:

>>> as_strided(np.array([1, 2, 3, 4, 5]), (3, 3), (8, 8))
array([[1, 2, 3],
       [2, 3, 4],
       [3, 4, 5]])

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
"""

import math

import numpy as np
from numpy.lib.stride_tricks import as_strided

from conformance import Unsupported, implementation
from conformance.dtypes import DTYPES
from conformance.implementations._arguments import Array
from conformance.implementations._call import Call
from conformance.implementations._frame import Frame

stride_trick = Frame(implementation("stride-trick", family="numpy", dtypes=DTYPES))


def conv2d_plain(x: Array, w: Array) -> Array:
    """Return conv of x (N, C, H, W) with w (O, C, I, J): 2-D, stride 1, one group, no padding."""
    (n, c, height, width), (o, _, i, j) = x.shape, w.shape
    rows, columns = height - i + 1, width - j + 1
    batch, channel, row, column = x.strides  # in bytes
    strides = batch, channel, row, column, row, column
    view = as_strided(x, (n, c, i, j, rows, columns), strides, writeable=False)
    y: Array = w.reshape(o, c * i * j) @ view.reshape(n, c * i * j, rows * columns)
    return y.reshape(n, o, rows, columns)


def window_view(x: Array, call: Call) -> Array:
    """Return every window of x (N, C, *padded) as a read-only view (N, C, *K, *out)."""
    batch, channel, *steps = x.strides  # in bytes
    along_kernel = [step * d for step, d in zip(steps, call.dilation, strict=True)]
    along_out = [step * s for step, s in zip(steps, call.stride, strict=True)]
    strides = (batch, channel, *along_kernel, *along_out)
    return as_strided(x, (*x.shape[:2], *call.kernel, *call.out), strides, writeable=False)


def contract(weight: Array, view: Array, groups: int) -> Array:
    """Sum weight (O, C/G, *K) times a view (N, C, *K, *out) over C/G and K: (N, O, *out)."""
    n, out = len(view), view.shape[weight.ndim :]
    o, depth = len(weight), math.prod(weight.shape[1:])
    flat = weight.reshape(groups, o // groups, depth)  # (G, O/G, C/G * K)
    columns = view.reshape(n, groups, depth, math.prod(out))  # the copy
    y: Array = flat @ columns
    return y.reshape(n, o, *out)


def transposed(x: Array, w: Array, call: Call) -> Array:
    """Return conv_transpose of x (N, C, *out): stuff it with zeros, and convolve, w flipped."""
    (c, per_group), groups = w.shape[:2], call.groups
    weight = w.reshape(groups, c // groups, per_group, *call.kernel).swapaxes(1, 2)
    weight = weight.reshape(groups * per_group, c // groups, *call.kernel)  # (O, C/G, *K)
    border = [d * (k - 1) for k, d in zip(call.kernel, call.dilation, strict=True)]
    sizes = zip(call.size, call.padding, border, strict=True)
    lengths = [before + s + after + b for s, (before, after), b in sizes]
    stuffed = np.zeros((*x.shape[:2], *lengths), x.dtype)
    axes = zip(border, call.out, call.stride, strict=True)
    stuffed[:, :, *[slice(b, b + (s - 1) * step + 1, step) for b, s, step in axes]] = x
    by_one = Call(call.size, call.size, call.kernel, (1,) * len(border), *call[4:])  # stride 1
    view = window_view(stuffed[:, :, *[slice(b, None) for b, _ in call.padding]], by_one)
    return contract(np.flip(weight, tuple(range(2, weight.ndim))), view, groups)


@stride_trick
def conv(x: Array, w: Array, call: Call) -> Array:
    """Contract the view of all windows with the weight."""
    return contract(w, window_view(x, call), call.groups)


@stride_trick
def conv_transpose(x: Array, w: Array, call: Call) -> Array:
    """Stuff x with zeros and contract the view of its windows with the flipped weight."""
    if not np.isfinite(w).all():
        raise Unsupported("w is not finite: the zeros between the inputs would make NaN of it")
    return transposed(x, w, call)


@stride_trick
def max_pool(x: Array, call: Call) -> Array:
    """Take the maximum of the view over its kernel axes."""
    y: Array = window_view(x, call).max(axis=tuple(range(2, x.ndim)))  # NaN where there is one
    return y


@stride_trick
def avg_pool(x: Array, counts: Array, call: Call) -> Array:
    """Sum the view over its kernel axes and divide by what counts in each window."""
    sums: Array = window_view(x, call).sum(axis=tuple(range(2, x.ndim)))
    return sums / counts


# --- Gradients: convolutions again ----------------------------------------------------------------
# That of x stuffs grad with zeros and convolves it with the flipped weight: it is conv_transpose.
# dw[o, c, k] = the sum of grad[n, o, p] * x[n, c, p*stride + k*dilation] over n and p is conv with
# p and k in each other's place: grad is a kernel of the size of the output, dilated by stride, that
# is moved by dilation, and the batch takes the place of the channels.
conv_input_grad, conv_bias_grad = stride_trick.gradients(conv_transpose)


@stride_trick
def conv_weight_grad(grad: Array, x: Array, call: Call) -> Array:
    """Convolve x with grad as the kernel, the batch being the channels that are summed over."""
    (n, c, *size), groups = x.shape, call.groups
    images = x.reshape(n, groups, c // groups, *size).swapaxes(0, 2)  # (C/G, G, N, *padded)
    images = images.reshape(c // groups, groups * n, *size)
    kernel, out, stride, dilation = call.out, call.kernel, call.dilation, call.stride
    swapped = call._replace(kernel=kernel, out=out, stride=stride, dilation=dilation)
    dw = contract(grad.swapaxes(0, 1), window_view(images, swapped), groups)  # (C/G, O, *K)
    return np.ascontiguousarray(dw.swapaxes(0, 1))


@stride_trick
def max_pool_grad(grad: Array, x: Array, call: Call) -> Array:
    """See every window of x and, through the same view, of the positions that it was made of."""
    inside = call.inside()[None, None]  # (1, 1, *padded)
    numbers = np.arange(inside.size).reshape(inside.shape)
    shape = math.prod(call.kernel), math.prod(call.out)
    windows = window_view(x, call).reshape(*x.shape[:2], *shape)  # (N, C, K, P)
    positions, real = (window_view(image, call).reshape(shape) for image in (numbers, inside))
    first = ((windows == windows.max(axis=2, keepdims=True)) & real).argmax(axis=2)  # (N, C, P)
    flat = np.zeros((*x.shape[:2], inside.size), grad.dtype)
    for n, c in np.ndindex(x.shape[:2]):
        targets = positions[first[n, c], np.arange(shape[1])]  # padding for a window without any
        np.add.at(flat[n, c], targets, grad[n, c].ravel())
    return call.crop(flat.reshape(x.shape))


@stride_trick
def avg_pool_grad(shares: Array, call: Call) -> Array:
    """Average pooling is a convolution with ones, each channel a group, and so is its gradient."""
    ones = np.ones((call.groups, 1, *call.kernel), shares.dtype)
    return transposed(shares, ones, call)


# --- Cost, and an exercise ------------------------------------------------------------------------
# A view takes no memory and no time, so a pool stores its result alone. conv could do so too, with
# np.einsum over the view, but without the BLAS, 100 times slower for 64 channels: so the reshape
# makes the copy of im2col, N*C*P*K elements, without a table. N*O*P*C/G*K multiply-adds; those of
# conv_transpose are prod(stride) times as many, by zeros: infinite weights are Unsupported there.


def window_view_with_a_mistake(x: Array, call: Call) -> Array:
    """One line is wrong. The suite says "CONV-5: taps lie a dilation apart"."""
    batch, channel, *steps = x.strides
    along_out = (step * s for step, s in zip(steps, call.stride, strict=True))
    strides = (batch, channel, *steps, *along_out)
    return as_strided(x, (*x.shape[:2], *call.kernel, *call.out), strides, writeable=False)
