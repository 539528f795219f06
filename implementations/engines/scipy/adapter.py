"""SciPy's `scipy.signal`: sums in the order of the definition, and Fourier transforms.

SciPy convolves one array of any number of dimensions with another. What a case has more is done
around the call, and the rest is declined: stride, dilation and output_padding are no notions of
signal processing. Two names, for two algorithms (and no pools, no gradients):

- `scipy`, conv: `correlate(..., mode="valid", method="direct")` of an image with a filter, both
  with their channels as one more axis, which so is summed over; one call an image and output
  channel. conv_transpose: the true convolution, which flips the kernel: `convolve(...,
  mode="full", method="direct")`, one call an image, input and output channel, added up here.
- `scipy[fft]`: `fftconvolve` along the spatial axes, mode "valid" with the kernel flipped for conv,
  mode "full" for conv_transpose; the channels are added up here.

conv pads with zeros first, as its padding says; conv_transpose crops the full result. The bias is
added here, so that float16, which `correlate` would take, is not claimed. Sizes are computed here
and so are all parameters checked here; mode "valid" would exchange the arrays where the kernel is
the larger one. The family is SciPy's: its loops and its pocketfft are nobody else's.

The error bound of `scipy[fft]` is normwise. In a transform of L points by radices of 2 to 5, a pass
of radix p multiplies by its matrix, of p terms, and by the twiddle factors: with complex products
and sums its relative error in the 2-norm is at most about (p + 2) sqrt(p) u + 3u (after Higham,
*Accuracy and Stability of Numerical Algorithms*, 2nd ed., section 24.1), which is at most 9u for
each doubling, e = 9 t u with L = 2**t. By Parseval and Cauchy-Schwarz the errors of both spectra,
and 3u for their product, move an output by at most (2e + 3u) |x| |w|; the inverse transform adds e
of the result, at most |w|_1 |x| <= sqrt(K) |w| |x| for K taps, and the sum over C channels C u.
With n = C K terms that is at most (27 t + 4) n u; planes of up to 2**20 points are claimed.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from conformance import implementation
from conformance.implementations._arguments import Array, conv_size, conv_transpose_size, native
from conformance.implementations._windows import padded
from conformance.implementations.engines.adapter import Adapter
from conformance.implementations.engines.parameters import Conv, ConvTranspose
from conformance.implementations.engines.scipy import snippet

if TYPE_CHECKING:
    from conformance.case import Case

MAX_DOUBLINGS = 20
"""The logarithm of the points of a plane for which the bound of `scipy[fft]` is stated."""


def _supports(case: Case) -> bool | str:
    for name in ("stride", "dilation"):
        if max(getattr(case, name)) > 1:
            return f"scipy.signal has no {name}"
    if any(case.output_padding):
        return "scipy.signal has no output_padding"
    return True


def _transforms(case: Case) -> bool | str:
    assert case.w is not None
    axes = zip(case.x[2:], case.w[2:], case.padding, strict=True)
    points = math.prod(2 * (s + before + after + k) for s, k, (before, after) in axes)
    if points > 2**MAX_DOUBLINGS:
        return f"the bound is stated for transforms of up to 2**{MAX_DOUBLINGS} points"
    return _supports(case)


scipy = implementation(
    "scipy",
    package="scipy",
    extra="scipy",
    dtypes=("float32", "float64", "int32", "int64"),
    work_seconds=2e-8,
    supports=_supports,
    snippet=snippet.direct,
)
fft = implementation(
    "scipy[fft]",
    family="scipy",
    package="scipy",
    extra="scipy",
    error="normwise",
    amplification=27.0 * MAX_DOUBLINGS + 4.0,
    supports=_transforms,
    snippet=snippet.fourier,
)


class Direct(Adapter):
    """The functions of scipy.signal that add up products, as the definition does."""

    operators = ("conv", "conv_transpose")

    def conv(self, x: Array, w: Array, bias: Array | None, p: Conv) -> Array:
        """scipy.signal.correlate, direct."""
        from scipy import signal

        y, x, w = _prepared(x, w, bias, p)
        per_group, filters = w.shape[1], len(w) // p.groups
        for b, o in np.ndindex(*y.shape[:2]):
            first = o // filters * per_group
            image = x[b, first : first + per_group]  # (C / groups, *S)
            y[b, o] = signal.correlate(image, w[o], mode="valid", method="direct")[0]
        return _add_bias(y, bias)

    def conv_transpose(self, x: Array, w: Array, bias: Array | None, p: ConvTranspose) -> Array:
        """scipy.signal.convolve, direct."""
        from scipy import signal

        y, x, w, inside = _prepared_transpose(x, w, bias, p)
        filters, per_group = w.shape[1], len(w) // p.groups
        for b, c, o in np.ndindex(*x.shape[:2], filters):
            full = signal.convolve(x[b, c], w[c, o], mode="full", method="direct")
            y[b, c // per_group * filters + o] += full[inside]
        return _add_bias(y, bias)


class Fourier(Adapter):
    """The convolution of scipy.signal through Fourier transforms."""

    operators = ("conv", "conv_transpose")

    def conv(self, x: Array, w: Array, bias: Array | None, p: Conv) -> Array:
        """scipy.signal.fftconvolve with the kernel flipped."""
        from scipy import signal

        y, x, w = _prepared(x, np.flip(w, tuple(range(2, w.ndim))), bias, p)
        per_group, filters, axes = w.shape[1], len(w) // p.groups, tuple(range(1, w.ndim - 1))
        for b, o in np.ndindex(*y.shape[:2]):
            first = o // filters * per_group
            image = x[b, first : first + per_group]  # (C / groups, *S)
            y[b, o] = signal.fftconvolve(image, w[o], mode="valid", axes=axes).sum(axis=0)
        return _add_bias(y, bias)

    def conv_transpose(self, x: Array, w: Array, bias: Array | None, p: ConvTranspose) -> Array:
        """scipy.signal.fftconvolve."""
        from scipy import signal

        y, x, w, inside = _prepared_transpose(x, w, bias, p)
        filters, per_group = w.shape[1], len(w) // p.groups
        axes = tuple(range(1, w.ndim - 1))
        for b, o in np.ndindex(*y.shape[:2]):
            channels = slice(o // filters * per_group, (o // filters + 1) * per_group)
            kernels = w[channels, o % filters]  # (C / groups, *K)
            full = signal.fftconvolve(x[b, channels], kernels, mode="full", axes=axes)
            y[b, o] = full[:, *inside].sum(axis=0)
        return _add_bias(y, bias)


def _prepared(x: Array, w: Array, bias: Array | None, p: Conv) -> tuple[Array, Array, Array]:
    """Check a call of conv; return an array for the result, the padded input, and the weight."""
    dtype = native(x.dtype)
    out = conv_size(x, w, bias, p.stride, p.padding, p.dilation, p.groups)
    y = np.empty((len(x), len(w), *out), dtype)
    return y, padded(x, p.padding, 0, dtype), w.astype(dtype, copy=False)


def _prepared_transpose(
    x: Array, w: Array, bias: Array | None, p: ConvTranspose
) -> tuple[Array, Array, Array, tuple[slice, ...]]:
    """Check a call of conv_transpose; return zeros for the result, the input, and the weight.

    The slices are what padding leaves of the full result.
    """
    dtype = native(x.dtype)
    parameters = (p.stride, p.padding, p.output_padding, p.dilation, p.groups)
    out = conv_transpose_size(x, w, bias, *parameters)
    y = np.zeros((len(x), w.shape[1] * p.groups, *out), dtype)
    inside = tuple(slice(before, before + o) for (before, _), o in zip(p.padding, out, strict=True))
    return y, x.astype(dtype, copy=False), w.astype(dtype, copy=False), inside


def _add_bias(y: Array, bias: Array | None) -> Array:
    """Return ``y`` with the bias added in place, if there is one."""
    if bias is not None:
        y += bias.astype(y.dtype, copy=False).reshape(-1, *(1,) * (y.ndim - 2))
    return y


Direct().register(scipy)
Fourier().register(fft)
