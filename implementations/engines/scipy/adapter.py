"""SciPy's `scipy.signal`: sums in the order of the definition, and Fourier transforms.

SciPy convolves one array with another: channels, groups and the batch are loops around the call.
stride, dilation and output_padding are declined, and there are no pools and no gradients.

- `scipy`, conv: `correlate(..., mode="valid", method="direct")` of an image with a filter, both
  with their channels as one more axis, over which it sums too. conv_transpose: the true
  convolution, which flips the kernel: `convolve(..., mode="full", method="direct")`, one call an
  input channel, added up here.
- `scipy[fft]`: `fftconvolve` along the spatial axes, mode "valid" with the kernel flipped for conv,
  mode "full" for conv_transpose; the channels are added up here.

conv pads with zeros first; conv_transpose crops. The bias is added here, so that float16, which
`correlate` would take, is not claimed. All parameters are checked here: mode "valid" would exchange
the arrays where the kernel is the larger one. The family is SciPy's own.

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
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from conformance import implementation
from conformance.implementations._arguments import Array, conv_size, conv_transpose_size, native
from conformance.implementations._windows import padded
from conformance.implementations.engines.adapter import Adapter, Operator
from conformance.implementations.engines.parameters import Conv, ConvTranspose
from conformance.implementations.engines.scipy import snippet
from conformance.registration.options import Chosen, Offer, Option, Variant
from conformance.registration.registry import in_use

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
    known="known.toml",
)


class Signal(Adapter):
    """One call of scipy.signal for each image and output channel.

    ``valid`` makes it for conv, of an image (C, *S) and a kernel (C, *K), and ``full`` for
    conv_transpose, of an image and a kernel a channel; both add up the channels.
    """

    operators = ("conv", "conv_transpose")

    def __init__(self, valid: Operator, full: Operator) -> None:
        self._valid, self._full = valid, full

    def conv(self, x: Array, w: Array, bias: Array | None, p: Conv) -> Array:
        """Correlate the padded input."""
        out = conv_size(x, w, bias, p.stride, p.padding, p.dilation, p.groups)
        dtype, filters, inputs = native(x.dtype), len(w) // p.groups, w.shape[1]
        y = np.empty((len(x), len(w), *out), dtype)
        x, w = padded(x, p.padding, 0, dtype), w.astype(dtype, copy=False)
        for b, o in np.ndindex(*y.shape[:2]):
            first = o // filters * inputs
            y[b, o] = self._valid(x[b, first : first + inputs], w[o])
        return _add_bias(y, bias)

    def conv_transpose(self, x: Array, w: Array, bias: Array | None, p: ConvTranspose) -> Array:
        """Convolve, and crop the full result."""
        parameters = (p.stride, p.padding, p.output_padding, p.dilation, p.groups)
        out = conv_transpose_size(x, w, bias, *parameters)
        dtype, filters, inputs = native(x.dtype), w.shape[1], len(w) // p.groups
        y = np.empty((len(x), filters * p.groups, *out), dtype)
        x, w = x.astype(dtype, copy=False), w.astype(dtype, copy=False)
        inside = tuple(slice(low, low + o) for (low, _), o in zip(p.padding, out, strict=True))
        for b, o in np.ndindex(*y.shape[:2]):
            first = o // filters * inputs
            channels = slice(first, first + inputs)
            y[b, o] = self._full(x[b, channels], w[channels, o % filters])[inside]
        return _add_bias(y, bias)


def _correlated(image: Array, kernel: Array) -> Any:
    from scipy import signal

    return signal.correlate(image, kernel, mode="valid", method="direct")[0]


def _convolved(image: Array, kernels: Array) -> Any:
    from scipy import signal

    pairs = zip(image, kernels, strict=True)
    return sum(signal.convolve(*pair, mode="full", method="direct") for pair in pairs)


def _transformed(image: Array, kernels: Array, mode: Literal["valid", "full"]) -> Any:
    from scipy import signal

    axes = tuple(range(1, image.ndim))
    kernels = np.flip(kernels, axes) if mode == "valid" else kernels
    return signal.fftconvolve(image, kernels, mode=mode, axes=axes).sum(axis=0)


def _add_bias(y: Array, bias: Array | None) -> Array:
    """Return ``y`` with the bias added in place, if there is one."""
    if bias is not None:
        y += bias.astype(y.dtype, copy=False).reshape(-1, *(1,) * (y.ndim - 2))
    return y


OPTIONS = (Option("fft", "Whether Fourier transforms are multiplied.", ("on", "off"), "off", "on"),)


def _made(chosen: Chosen) -> Variant:
    if chosen["fft"] == "off":
        return Variant(Signal(_correlated, _convolved).register)
    valid, full = (partial(_transformed, mode=mode) for mode in ("valid", "full"))
    declared: dict[str, Any] = {
        "dtypes": ("float32", "float64"),
        "work_seconds": 0.0,
        "error": "normwise",
        "amplification": 27.0 * MAX_DOUBLINGS + 4.0,
        "supports": _transforms,
        "snippet": snippet.fourier,
    }
    return Variant(Signal(valid, full).register, declared)


Signal(_correlated, _convolved).register(scipy)
in_use().offer(Offer(scipy, OPTIONS, _made, __name__, {"scipy[fft]": {"fft": "on"}}))
