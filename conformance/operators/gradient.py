"""The gradients of convolution: each is the exact derivative of ``sum(grad * y)``.

A gradient's case has the fields of the forward call; ``grad`` has the shape of its result.
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from conformance.case import Case, Shape
from conformance.operators.base import (
    Array,
    Inputs,
    Operator,
    Reference,
    Special,
    numbered,
    rounded,
    with_padding_slot,
)
from conformance.operators.conv import Conv, ConvTranspose
from conformance.operators.exact import sums_of_elements, sums_of_products
from conformance.operators.geometry import axes
from conformance.operators.nonfinite import special_of_products, special_of_sum
from conformance.sizes import span

PARAMETERS = {"size": 6, "stride": 7, "padding": 8, "kernel": 11}
"""The numbers of the requirements of GRAD that most gradients have, by their subject."""


class Gradient(Operator):
    """The gradient of a forward operator: a call is valid if the forward call is."""

    forward: Operator

    def derived(self, case: Case) -> Case:
        """Return the case of this gradient whose forward call is ``case``."""
        return case.replace(operator=self.name, bias=False)

    def argument_shape(self, case: Case, name: str) -> Shape | None:
        if name == "grad":
            return self.forward.output_shape(case)
        return super().argument_shape(case, name)

    def output_shape(self, case: Case) -> Shape:
        return case.x

    def validate(self, case: Case) -> None:
        self.forward.validate(case)

    def terms(self, case: Case) -> int:
        return self.forward.terms(case)

    def work(self, case: Case) -> int:
        return self.forward.work(case)

    def largest_divisor(self, case: Case) -> int:
        return self.forward.largest_divisor(case)

    def special(self, case: Case, inputs: Inputs) -> Special:
        """Return the special elements of a gradient that adds up elements of ``grad``."""
        grad, *others = inputs
        return special_of_sum(lambda mask: self.squares(case, (mask, *others)), grad)


class ConvInputGrad(Gradient):
    """The transposed convolution of grad with the same weight; it has the shape of the input."""

    name = "conv_input_grad"
    rows = (1,)
    requirements = numbered("GRAD", value=1, **PARAMETERS, dilation=9, groups=10)
    forward = Conv()

    def terms(self, case: Case) -> int:
        return _transpose.terms(self.transposed(case))

    def transposed(self, case: Case) -> Case:
        """Return the equal conv_transpose: its output_padding counts rows that no window reads."""
        unread = (
            (size + sum(padding) - span(kernel, dilation)) % stride
            for size, kernel, stride, padding, dilation in axes(case)
        )
        x = self.forward.output_shape(case)
        return case.replace(operator=_transpose.name, x=x, output_padding=tuple(unread))

    def reference(self, case: Case, inputs: Inputs) -> Reference:
        return _transpose.reference(self.transposed(case), (*inputs[:2], None))

    def squares(self, case: Case, inputs: Inputs) -> Array:
        return _transpose.squares(self.transposed(case), (*inputs[:2], None))

    def norms(self, case: Case, inputs: Inputs, tile: Shape | None = None) -> Array:
        return _transpose.norms(self.transposed(case), (*inputs[:2], None), tile)

    def special(self, case: Case, inputs: Inputs) -> Special:
        return _transpose.special(self.transposed(case), (*inputs[:2], None))


_transpose = ConvTranspose()


class ConvWeightGrad(Gradient):
    """The sum over the batch and all output positions: dw[o,c,k] = sum grad[n,o,p] x[n,c,tap]."""

    name = "conv_weight_grad"
    rows = (0,)
    requirements = numbered("GRAD", value=2, **PARAMETERS, dilation=9, groups=10)
    forward: Conv = Conv()

    def output_shape(self, case: Case) -> Shape:
        assert case.w is not None
        return case.w

    def terms(self, case: Case) -> int:
        return case.x[0] * math.prod(self.forward.output_shape(case)[2:])

    def reference(self, case: Case, inputs: Inputs) -> Reference:
        grad, x, _ = inputs
        n, shape, taps = case.x[0], self.output_shape(case), self.forward.taps(case)
        depth = self.terms(case)
        flat = grad.reshape(n, shape[0], len(taps))
        multiply = partial(self.products, case)
        terms, magnitude = sums_of_products(multiply, flat, with_padding_slot(x, 0), depth)
        magnitude *= 1 + (depth + 2) * 2.0**-52  # round the magnitude's own sum up
        count = n * np.sum(taps >= 0, axis=0).reshape(shape[2:])
        return rounded(case, terms, magnitude, count)

    def products(self, case: Case, left: Array, right: Array) -> Array:
        """Contract ``left`` (..., N, O, P) with the columns of ``right`` (..., N, C, L + 1)."""
        n, g, shape = case.x[0], case.groups, self.output_shape(case)
        taps = self.forward.taps(case)
        p, k = taps.shape

        def batch_last(array: Array, lead: Shape, each: int) -> Array:
            split = array.reshape(*lead, n, g, each, p)
            return np.moveaxis(split, -4, -2).reshape(*lead, g, each, n * p)

        rows = batch_last(left, left.shape[:-3], shape[0] // g)  # (..., G, O/G, N * P)
        windows = right[..., taps.T]  # (..., N, C, K, P)
        columns = batch_last(windows, right.shape[:-3], shape[1] * k)  # (..., G, C/G*K, N*P)
        sums: Array = rows @ columns.swapaxes(-1, -2)  # (..., G, O/G, C/G * K)
        return sums.reshape(*sums.shape[:-3], *shape)

    def squares(self, case: Case, inputs: Inputs) -> Array:
        grad, x = (array.astype(np.float64) ** 2 for array in inputs[:2])
        flat = grad.reshape(*grad.shape[:2], -1)
        return self.products(case, flat, with_padding_slot(x, 0))

    def norms(self, case: Case, inputs: Inputs, tile: Shape | None = None) -> Array:
        """Return sum_n ||grad_no||_2 ||x_nc||_2 as (O, C/groups, 1...), whatever the ``tile``.

        The sum runs over all tiles, and by Cauchy and Schwarz that of their norms is no larger.
        """
        grad, x, _ = inputs
        (n, c), g, o = case.x[:2], case.groups, self.output_shape(case)[0]
        p, length = math.prod(grad.shape[2:]), math.prod(x.shape[2:])
        rows = np.linalg.norm(grad.reshape(n, g, o // g, 1, p).astype(np.float64), axis=4)
        columns = np.linalg.norm(x.reshape(n, g, 1, c // g, length).astype(np.float64), axis=4)
        scale = np.sum(rows * columns, axis=0) * (1 + (n + p + length + 4) * 2.0**-52)
        shaped: Array = scale.reshape(o, c // g, *(1,) * case.dims)
        return shaped

    def special(self, case: Case, inputs: Inputs) -> Special:
        """Return the special elements; padding may meet a ``grad`` that is not finite."""
        grad, x, _ = inputs
        flat = grad.reshape(*grad.shape[:2], -1).astype(np.float64)
        padded = with_padding_slot(x.astype(np.float64), 0)
        return special_of_products(partial(self.products, case), flat, padded)


class ConvBiasGrad(Gradient):
    """The sum of grad over the batch and all positions.

    It depends on nothing else, so that x, the shape of grad, is a case's only shape.
    """

    name = "conv_bias_grad"
    rows = (0,)
    requirements = numbered("GRAD", value=3, size=6)
    forward = Conv()

    def derived(self, case: Case) -> Case:
        gradient = Case(operator=self.name, x=self.forward.output_shape(case), dtype=case.dtype)
        return gradient.replace(data=case.data, seed=case.seed, memory=case.memory)

    def argument_shape(self, case: Case, name: str) -> Shape | None:
        return case.x

    def output_shape(self, case: Case) -> Shape:
        return case.x[1:2]

    def validate(self, case: Case) -> None:
        """Accept every shape: no other argument has to match it."""

    def terms(self, case: Case) -> int:
        return case.x[0] * math.prod(case.x[2:])

    def work(self, case: Case) -> int:
        return math.prod(case.x)

    def reference(self, case: Case, inputs: Inputs) -> Reference:
        (grad,) = inputs
        count = self.terms(case)
        axes = _all_but_channels(grad)
        terms = sums_of_elements(lambda part: part.sum(axis=axes), grad, count)
        magnitude = np.abs(grad.astype(np.float64)).sum(axis=axes) * (1 + (count + 2) * 2.0**-52)
        return rounded(case, terms, magnitude, count)

    def squares(self, case: Case, inputs: Inputs) -> Array:
        (grad,) = inputs
        sums: Array = np.sum(grad.astype(np.float64) ** 2, axis=_all_but_channels(grad))
        return sums


def _all_but_channels(grad: Array) -> tuple[int, ...]:
    return (0, *range(2, grad.ndim))
