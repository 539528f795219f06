"""FFT: a convolution is a product of spectra, so a kernel costs the same however large it is.

The correlation of x with w, moved by p, has at the frequency f the spectrum X[f] * conj(W[f]). So
three transforms take the place of the K products of every output, and channels are summed in
between, frequency by frequency, as one matrix product each::

    x (N, C, *S)    --zeros after it, rfftn-->  X (F, G, N, C/G)
    w (O, C/G, *K)  --zeros after it, rfftn-->  W (F, G, C/G, O/G)
    X @ conj(W)  -->  (F, G, N, O/G)  --irfftn-->  y (N, O, *padded)  --every stride-th-->  (*out)

A transform wraps around: what leaves at one end comes in at the other. Zeros up to the size of the
padded image keep the windows that lie within it apart from that. With the kernel (1, 10), behind
which two zeros stand, the last number is the wrapped one:

>>> x, w = np.array([1.0, 2, 3, 4]), np.array([1.0, 10])
>>> spectrum = np.fft.rfft(x) * np.conj(np.fft.rfft(w, 4))
>>> np.fft.irfft(spectrum, 4).round(9)
array([21., 32., 43., 14.])

A stride computes what it then leaves out, and dilation is zeros in the kernel. conv_transpose
multiplies without the conj, its x having zeros in it. There are L * log2(L) operations for each
image of L positions, L a power of two on each axis, and for each kernel, spread over as many zeros:
so this pays for large kernels between few channels. On one core, in float32, a kernel of 31x31 over
an image of 256x256 takes 3.9 ms, and 26 ms by im2col in tiles; between 4 and 4 channels of 128x128
8.5 ms instead of 36 ms.

The error. A transform of L = 2**t points has a relative error of at most e = 7*t*u in the Euclidean
norm: Higham, Accuracy and Stability of Numerical Algorithms, 2002, Theorem 24.2, has t * eta with
eta = u + gamma(4) * (sqrt(2) + u) for twiddle factors that are rounded once. Several axes together
have as many steps as one of as many points. By Cauchy and Schwarz and by Parseval's theorem, in an
output, of each channel,

- the errors of X and of W make at most 2 * e * norm(x) * norm(w),
- summing C/G products of complex numbers sqrt(2) * (C/G + 2) * u * norm(x) * norm(w),
- the transform back e * norm(y), and norm(y) <= sqrt(K) * norm(x) * norm(w).

What this is held to (DECLARE-4) is the amplification times C/G * K * u * norm(x) * norm(w).
It needs most for a single channel and a kernel of 1: 3 * 7 * t + 5, with t = 30 for planes as large
as memory holds. Large kernels are well within it.
"""

import math
from typing import Any

import numpy as np

from conformance import implementation
from conformance.dtypes import FLOATS
from conformance.implementations._arguments import Array, Shape
from conformance.implementations._call import Call
from conformance.implementations._frame import Frame

LARGEST = 30
"""t: planes have at most 2**30 points, 8 GiB of spectrum in float32."""
AMPLIFICATION = 3 * 7 * LARGEST + 5

fft = Frame(
    implementation(
        "fft", family="numpy", dtypes=FLOATS, error="normwise", amplification=AMPLIFICATION
    ),
)


def spectra(array: Array, points: Shape, *axes: int) -> Array:
    """Return the spectra of the images of an array, in an order of its other ``axes``: (F, ...)."""
    first = array.ndim - len(points)
    transformed = np.fft.rfftn(array, points, axes=list(range(first, array.ndim)))
    flat = transformed.reshape(*array.shape[:first], math.prod(transformed.shape[first:]))
    return np.ascontiguousarray(np.moveaxis(flat, -1, 0).transpose(0, *[a + 1 for a in axes]))


def images(spectrum: Array, points: Shape, dtype: np.dtype[Any]) -> Array:
    """Return the images (A, G * B, *points) of spectra (F, G, A, B)."""
    _, groups, first, second = spectrum.shape
    counts = (*points[:-1], points[-1] // 2 + 1)
    flat = np.moveaxis(spectrum, 0, -1).swapaxes(0, 1)  # (A, G, B, F)
    flat = flat.reshape(first, groups * second, *counts)
    return np.fft.irfftn(flat, points, axes=list(range(2, flat.ndim))).astype(dtype, copy=False)


def points_of(call: Call) -> Shape:
    """Return powers of two that the padded image fits."""
    return tuple([1 << (size - 1).bit_length() for size in call.padded])


def spread(array: Array, steps: Shape) -> Array:
    """Return an array (A, B, *sizes) with zeros between its elements, which lie ``steps`` apart."""
    if max(steps) == 1:
        return array
    sizes = [(size - 1) * step + 1 for size, step in zip(array.shape[2:], steps, strict=True)]
    wide = np.zeros((*array.shape[:2], *sizes), array.dtype)
    wide[:, :, *[slice(None, None, step) for step in steps]] = array
    return wide


def split(array: Array, axis: int, groups: int) -> Array:
    """Return an array with the groups of an axis as an axis before it."""
    before, after = array.shape[:axis], array.shape[axis + 1 :]
    return array.reshape(*before, groups, array.shape[axis] // groups, *after)


def picked(array: Array, counts: Shape, steps: Shape) -> Array:
    """Return ``counts`` elements of each spatial axis, which lie ``steps`` apart."""
    sides = zip(counts, steps, strict=True)
    return array[:, :, *[slice(0, (count - 1) * step + 1, step) for count, step in sides]]


@fft
def conv(x: Array, w: Array, call: Call) -> Array:
    """Multiply the spectra of x by the conjugate ones of w."""
    points, groups = points_of(call), call.groups
    first = spectra(split(x, 1, groups), points, 1, 0, 2)  # (F, G, N, C/G)
    second = spectra(split(spread(w, call.dilation), 0, groups), points, 0, 2, 1)
    y = images(first @ second.conj(), points, x.dtype)  # (N, O, *points)
    return np.ascontiguousarray(picked(y, call.out, call.stride))


@fft
def conv_transpose(x: Array, w: Array, call: Call) -> Array:
    """Multiply the spectra of x, its elements a stride apart, by those of w."""
    points, groups = points_of(call), call.groups
    first = spectra(split(spread(x, call.stride), 1, groups), points, 1, 0, 2)  # (F, G, N, C/G)
    second = spectra(split(spread(w, call.dilation), 0, groups), points, 0, 1, 2)
    return call.crop(images(first @ second, points, x.dtype))


conv_input_grad, conv_bias_grad = fft.gradients(conv_transpose)


@fft
def conv_weight_grad(grad: Array, x: Array, call: Call) -> Array:
    """Multiply the spectra of x by the conjugate ones of grad, and sum over the batch."""
    points, groups = points_of(call), call.groups
    first = spectra(split(spread(grad, call.stride), 1, groups), points, 1, 2, 0)  # (F, G, O/G, N)
    second = spectra(split(x, 1, groups), points, 1, 0, 2)  # (F, G, N, C/G)
    dw = images(first.conj() @ second, points, x.dtype)  # (O/G, G * C/G, *points)
    o, per_group = grad.shape[1] // groups, x.shape[1] // groups
    dw = picked(dw, call.kernel, call.dilation).reshape(o, groups, per_group, *call.kernel)
    return np.ascontiguousarray(dw.swapaxes(0, 1)).reshape(o * groups, per_group, *call.kernel)
