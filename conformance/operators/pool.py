"""Maximum and average pooling: validity, shapes and the exact result."""

from __future__ import annotations

import math

import numpy as np

from conformance.case import Case, Shape
from conformance.dtypes import INTEGERS
from conformance.operators.base import (
    Array,
    Inputs,
    Operator,
    Reference,
    Special,
    case_error,
    check_reach,
    numbered,
    rounded,
    with_padding_slot,
)
from conformance.operators.exact import SMALLEST_EXPONENT, sums_of_elements
from conformance.operators.geometry import Taps, axes, conv_taps
from conformance.operators.nonfinite import special_of_sum
from conformance.sizes import conv_size


class _Pool(Operator):
    """What both poolings share: one window of one channel makes one output element."""

    def output_shape(self, case: Case) -> Shape:
        return (*case.x[:2], *(conv_size(*axis, ceil=case.ceil_mode) for axis in axes(case)))

    def validate(self, case: Case) -> None:
        kernel = case.kernel
        if kernel is None or len(kernel) != case.dims or min(kernel) < 1:
            raise case_error(
                case, "kernel", f"{case.dims} whole numbers, 1 or more, one a spatial axis"
            )
        for axis in range(case.dims):
            if 2 * max(case.padding[axis]) > kernel[axis]:
                raise case_error(
                    case, "padding", f"0 to {kernel[axis] // 2} on axis {axis}, half of the kernel"
                )
            check_reach(case, axis, "kernel", "window")

    def terms(self, case: Case) -> int:
        return math.prod(case.window)

    def work(self, case: Case) -> int:
        return math.prod(self.output_shape(case)) * math.prod(case.window)

    def taps(self, case: Case) -> Taps:
        """Return the input position of each window position of each output position."""
        out = self.output_shape(case)[2:]
        return conv_taps(case.x[2:], out, case.window, case.stride, case.padding, case.dilation)


class MaxPool(_Pool):
    """The largest element of each window. Padding never is, and a NaN always is.

    The reference's ``single_valued`` leaves out windows in which zeros of both signs tie.
    """

    name = "max_pool"
    requirements = numbered(
        "MAXPOOL", value=1, size=2, padding=3, stride=6, dilation=7, ceil_mode=8, kernel=9
    )
    compared = 0

    def reference(self, case: Case, inputs: Inputs) -> Reference:
        (x,) = inputs
        whole = case.dtype in INTEGERS
        lowest = np.iinfo(x.dtype).min if whole else -np.inf
        windows = with_padding_slot(x, lowest)[..., self.taps(case)]  # (N, C, P, K)
        exact = np.max(windows, axis=3).reshape(self.output_shape(case))
        if whole or not (exact == 0).any():
            return Reference(exact)
        zero, negative = windows == 0, np.signbit(windows)
        tie = (zero & negative).any(axis=3) & (zero & ~negative).any(axis=3)
        return Reference(exact, single_valued=~tie.reshape(exact.shape))

    def special(self, case: Case, inputs: Inputs) -> None:
        """Return None: a maximum is an element of its window, NaN and infinities alike."""


class AvgPool(_Pool):
    """The sum of each window divided by the number of its positions that count."""

    name = "avg_pool"
    rows = (0, 1)
    requirements = numbered(
        "AVGPOOL", value=1, size=2, padding=3, stride=4, count_include_pad=5, ceil_mode=6, kernel=7
    )

    def largest_divisor(self, case: Case) -> int:
        return math.prod(case.window)

    def divisor(self, case: Case) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        """Return how many positions of each window count, as (*out).

        They are those inside the input or, with ``count_include_pad``, the padded input; those that
        ``ceil_mode`` adds beyond the padding never count.
        """
        total = np.ones((1,) * case.dims)
        out = self.output_shape(case)[2:]
        for axis in range(case.dims):
            before, after = case.padding[axis] if case.count_include_pad else (0, 0)
            start = np.arange(out[axis]) * case.stride[axis] - case.padding[axis][0]
            end = np.minimum(start + case.window[axis], case.x[2 + axis] + after)
            count = np.maximum(end - np.maximum(start, -before), 0)
            total = total * count.reshape((-1,) + (1,) * (case.dims - 1 - axis))
        return total

    def reference(self, case: Case, inputs: Inputs) -> Reference:
        (x,) = inputs
        out = self.output_shape(case)
        taps = self.taps(case)
        k = taps.shape[1]

        def add(values: Array) -> Array:
            sums: Array = values[..., taps].sum(axis=3).reshape(out)
            return sums

        flat = with_padding_slot(x.astype(np.float64), 0)
        terms, total = sums_of_elements(add, flat, k), add(np.abs(flat))
        divisor = self.divisor(case)
        # Round the magnitude's own arithmetic up, by one bit if it is subnormal.
        magnitude = total / divisor * (1 + (k + 2) * 2.0**-52)
        magnitude += (total > 0) * 2.0**SMALLEST_EXPONENT
        # A separable average rounds twice an axis, for a reciprocal and for the product with it.
        count = np.count_nonzero(taps >= 0, axis=1).reshape(out[2:]) - 1 + 2 * case.dims
        return rounded(case, terms, magnitude, count, divisor, np.frexp(divisor)[0] == 0.5)

    def squares(self, case: Case, inputs: Inputs) -> Array:
        flat = with_padding_slot(inputs[0].astype(np.float64) ** 2, 0)
        sums: Array = flat[..., self.taps(case)].sum(axis=3).reshape(self.output_shape(case))
        return sums / self.divisor(case) ** 2

    def special(self, case: Case, inputs: Inputs) -> Special:
        return special_of_sum(lambda mask: self.squares(case, (mask,)), inputs[0])
