"""What the calls of a layer have to do: products, and bytes to read and to write."""

from __future__ import annotations

import math

from conformance.case import Case
from conformance.dtypes import numpy_dtype
from conformance.operators import OPERATORS
from conformance.operators.conv import Conv, ConvTranspose
from conformance.registration.implementation import Implementation

_LARGEST_TILE = 6
"""The largest output tile of Winograd's algorithm in use: F(6, 3), an axis."""

ANY, DIRECT, WINOGRAD, FFT = "any", "direct", "winograd", "fft"


def moved(case: Case) -> int:
    """Return the bytes of all arguments and of the result, each read or written once."""
    operator = OPERATORS[case.operator]
    shapes = [operator.argument_shape(case, name) for name in operator.arguments]
    elements = sum(math.prod(shape) for shape in shapes if shape is not None)
    elements += math.prod(operator.output_shape(case))
    return elements * numpy_dtype(case.dtype).itemsize


def needed(case: Case) -> int:
    """Return the multiply-accumulates of a convolution without those that meet padding."""
    operator = OPERATORS[case.operator]
    assert isinstance(operator, Conv | ConvTranspose)
    assert case.w is not None
    pairs = int(operator.tap_counts(case).sum())
    return case.x[0] * case.w[0] * case.w[1] * pairs


def saving(implementation: Implementation, case: Case) -> float:
    """Return how many times fewer operations than the direct sum an algorithm may need.

    Winograd's minimal algorithm F(m, r) needs m + r - 1 products an axis for m * r (Lavin, Gray,
    *Fast Algorithms for Convolutional Neural Networks*, CVPR 2016). By Fourier transforms a pair of
    channels needs four operations an output at least, in the place of twice the kernel's size.
    """
    algorithm = algorithm_of(implementation)
    of_winograd = math.prod(_LARGEST_TILE * k / (_LARGEST_TILE + k - 1) for k in case.window)
    of_fft = max(1.0, math.prod(case.window) / 2)
    savings = {DIRECT: 1.0, WINOGRAD: of_winograd, FFT: of_fft, ANY: max(of_winograd, of_fft)}
    return savings[algorithm]


def algorithm_of(implementation: Implementation) -> str:
    """Return its declared algorithm; one of a library that chooses by itself may be any."""
    if implementation.algorithm:
        return implementation.algorithm
    chooses = implementation.package is not None or implementation.arrays != "numpy"
    form = implementation.place is not None and bool(implementation.place.form)
    return ANY if chooses or form else DIRECT
