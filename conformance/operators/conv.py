"""Convolution and transposed convolution: validity, shapes and the exact result."""

from __future__ import annotations

import math
from abc import abstractmethod
from functools import partial

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
from conformance.operators.exact import Term, sums_of_products
from conformance.operators.geometry import Taps, axes, conv_taps
from conformance.operators.nonfinite import special_of_products
from conformance.sizes import conv_size, span, transpose_size


class _Convolution(Operator):
    """A weighted sum over taps and the channels of a group: what both convolutions share."""

    _weight_axes: str
    rows = (1,)

    @abstractmethod
    def channels(self, case: Case) -> tuple[int, int]:
        """Return (input channels, output channels) as the weight has them."""

    @abstractmethod
    def grouped(self, case: Case, w: Array) -> Array:
        """Return the weight as (G, O/G, C/G, K)."""

    @abstractmethod
    def products(self, case: Case, w: Array, x: Array) -> Array:
        """Return the sums of products of float64 arrays, (*leading, N, O, *out).

        w is (*leading, G, O/G, C/G, K), x (*leading, N, C, L + 1) with a zero at the end.
        """

    @abstractmethod
    def tap_counts(self, case: Case) -> Array:
        """Return how many kernel positions meet an input position, for each output position."""

    def terms(self, case: Case) -> int:
        per_group = case.x[1] // case.groups
        return per_group * math.prod(case.window) + case.bias

    def validate(self, case: Case) -> None:
        w = case.w
        if w is None or len(w) != len(case.x) or min(w) < 1:
            raise case_error(case, "w", f"{len(case.x)} axes of 1 or more, {self._weight_axes}")
        if case.x[1] % case.groups:
            raise case_error(case, "groups", f"a divisor of the {case.x[1]} input channels")
        needed, outputs = self.channels(case)
        if case.x[1] != needed:
            raise case_error(case, "w", f"{self._weight_axes}, matching x={case.x} and the groups")
        if outputs % case.groups:
            raise case_error(case, "groups", f"a divisor of the {w[0]} output channels")

    def reference(self, case: Case, inputs: Inputs) -> Reference:
        """Return the exact result and its magnitude, by products of slices (`operators.exact`)."""
        if case.dtype in INTEGERS:
            return self._whole(case, inputs)
        x, w, bias = inputs
        out = self.output_shape(case)
        per_group = case.x[1] // case.groups
        depth = per_group * math.prod(case.window)
        terms, magnitude = sums_of_products(
            partial(self.products, case), self.grouped(case, w), with_padding_slot(x, 0), depth
        )
        count = self.tap_counts(case).reshape(out[2:]) * per_group
        if bias is not None:
            column = bias.astype(np.float64).reshape(-1, *(1,) * case.dims)
            terms.append(Term(np.broadcast_to(column, out), 0))
            magnitude += np.abs(column)
            count = count + 1
        magnitude *= 1 + (depth + 2) * 2.0**-52  # round the magnitude's own sum up
        return rounded(case, terms, magnitude, count)

    def _whole(self, case: Case, inputs: Inputs) -> Reference:
        """Return the result for integers: int64 holds it, and so does the dtype."""
        x, w, bias = inputs
        weight, flat = (
            self.grouped(case, w).astype(np.int64),
            with_padding_slot(x, 0).astype(np.int64),
        )
        sums = self.products(case, weight, flat)
        if bias is not None:
            sums = sums + bias.astype(np.int64).reshape(-1, *(1,) * case.dims)
        return Reference(sums.astype(x.dtype))

    def special(self, case: Case, inputs: Inputs) -> Special:
        """Return the special elements; padding may meet a weight that is not finite."""
        x, w, bias = inputs
        flat = with_padding_slot(x.astype(np.float64), 0)
        weight = self.grouped(case, w).astype(np.float64)
        special = special_of_products(partial(self.products, case), weight, flat)
        if bias is None:
            return special
        column = bias.astype(np.float64).reshape(-1, *(1,) * case.dims)
        return Special(
            special.nan | np.isnan(column),
            special.positive | (column == np.inf),
            special.negative | (column == -np.inf),
            special.unspecified,
        )

    def squares(self, case: Case, inputs: Inputs) -> Array:
        x, w, bias = inputs
        weight, flat = self.grouped(case, w), with_padding_slot(x.astype(np.float64), 0)
        sums = self.products(case, weight.astype(np.float64) ** 2, flat**2)
        if bias is not None:
            sums = sums + bias.astype(np.float64).reshape(-1, *(1,) * case.dims) ** 2
        return sums

    @abstractmethod
    def read(self, case: Case, axis: int, first: Array, last: Array) -> tuple[Array, Array]:
        """Return the first and last input position, on an axis, that output positions read."""

    def norms(self, case: Case, inputs: Inputs, tile: Shape | None = None) -> Array:
        x, w, bias = inputs
        n, length, kernel = case.x[0], math.prod(case.x[2:]), math.prod(case.window)
        outputs, per_group = self.channels(case)[1], case.x[1] // case.groups
        spatial = (1,) * case.dims if tile is None else self.output_shape(case)[2:]
        if tile is None:
            x_norm = _norm(x.reshape(n, case.groups, per_group, 1, length))  # (N, G, C/G, 1)
        else:
            x_norm = self._norm_in_tiles(case, x, tile)
            x_norm = x_norm.reshape(n, case.groups, per_group, math.prod(spatial))
        w_norm = _norm(self.grouped(case, w))  # (G, O/G, C/G)
        scale = np.matmul(w_norm, x_norm).reshape(n, outputs, *spatial)
        if bias is not None:
            scale += np.abs(bias.astype(np.float64)).reshape(-1, *(1,) * case.dims)
        scale *= 1 + (per_group + length + kernel + 4) * 2.0**-52  # round the scale's own sums up
        return np.asarray(scale)

    def _norm_in_tiles(self, case: Case, x: Array, tile: Shape) -> Array:
        """Return the norm of what a tile reads that contains an output position, (N, C, *out).

        Where tiles begin is not known: all that any of them may read counts.
        """
        values, exponent = _scaled(x)
        wild = ~np.isfinite(values)
        squares, special = np.where(wild, 0.0, values) ** 2, wild.astype(np.float64)
        for axis, out in enumerate(self.output_shape(case)[2:]):
            p, q = np.arange(out)[:, None], np.arange(case.x[2 + axis])
            first, last = self.read(case, axis, p - (tile[axis] - 1), p + (tile[axis] - 1))
            reads = ((q >= first) & (q <= last)).astype(np.float64)  # (out, S)
            squares, special = (
                np.moveaxis(np.tensordot(array, reads, (2 + axis, 1)), -1, 2 + axis)
                for array in (squares, special)
            )
        norm: Array = np.where(special > 0, np.inf, np.ldexp(np.sqrt(squares), exponent))
        return norm


def _norm(array: Array) -> Array:
    """Return the Euclidean norm along the last axis; its squares neither over- nor underflow."""
    values, exponent = _scaled(array)
    norm: Array = np.ldexp(np.linalg.norm(values, axis=-1), exponent)
    return norm


def _scaled(array: Array) -> tuple[Array, int]:
    """Return an array of numbers up to 1, and the exponent of the power of two that scales it."""
    values = array.astype(np.float64)
    exponent = math.frexp(float(np.max(np.abs(values), initial=0.0)))[1]
    return np.ldexp(values, -exponent), exponent


_PARAMETERS = {"padding": 3, "stride": 4, "dilation": 5, "groups": 6, "bias": 7, "kernel": 8}


class Conv(_Convolution):
    """Cross-correlation: y[n,o,p] = b[o] + sum x[n, c, p*stride - before + k*dilation] w[o,c,k]."""

    name = "conv"
    requirements = numbered("CONV", value=1, size=2, **_PARAMETERS)
    _weight_axes = "(O, C/groups, *K)"

    def weight_shape(self, groups: int, inner: int, outer: int, kernel: Shape) -> Shape:
        return (groups * outer, inner, *kernel)

    def channels(self, case: Case) -> tuple[int, int]:
        assert case.w is not None
        return case.w[1] * case.groups, case.w[0]

    def output_shape(self, case: Case) -> Shape:
        spatial = (conv_size(*axis, ceil=False) for axis in axes(case))
        return (case.x[0], self.channels(case)[1], *spatial)

    def work(self, case: Case) -> int:
        return math.prod(self.output_shape(case)) * math.prod((case.w or ())[1:])

    def validate(self, case: Case) -> None:
        super().validate(case)
        for axis in range(case.dims):
            check_reach(case, axis, "w", "kernel")

    def taps(self, case: Case) -> Taps:
        """Return the input position that each kernel position of each output position reads."""
        out = self.output_shape(case)[2:]
        return conv_taps(case.x[2:], out, case.window, case.stride, case.padding, case.dilation)

    def tap_counts(self, case: Case) -> Array:
        counts: Array = np.sum(self.taps(case) >= 0, axis=1)
        return counts

    def read(self, case: Case, axis: int, first: Array, last: Array) -> tuple[Array, Array]:
        stride, (before, _) = case.stride[axis], case.padding[axis]
        reach = span(case.window[axis], case.dilation[axis])
        return first * stride - before, last * stride - before + reach - 1

    def products(self, case: Case, w: Array, x: Array) -> Array:
        """Gather x into columns (N, G, C/G*K, P) and multiply by w as (G, O/G, C/G*K)."""
        taps = self.taps(case).T
        (k, p), n, g = taps.shape, case.x[0], case.groups
        depth = case.x[1] // g * k
        columns = x[..., taps].reshape(*x.shape[:-3], n, g, depth, p)
        left = w.reshape(*w.shape[:-4], 1, g, w.shape[-3], depth)
        sums: Array = np.matmul(left, columns)
        return sums.reshape(*sums.shape[:-4], *self.output_shape(case))

    def grouped(self, case: Case, w: Array) -> Array:
        o, per_group = w.shape[:2]
        return w.reshape(case.groups, o // case.groups, per_group, -1)


class ConvTranspose(_Convolution):
    """The adjoint of conv in x: input i adds w[k] * x[i] at i*stride + k*dilation - before."""

    name = "conv_transpose"
    requirements = numbered("TRANSPOSE", value=1, size=2, **_PARAMETERS, output_padding=9)
    _weight_axes = "(C, O/groups, *K)"

    def weight_shape(self, groups: int, inner: int, outer: int, kernel: Shape) -> Shape:
        return (groups * inner, outer, *kernel)

    def channels(self, case: Case) -> tuple[int, int]:
        assert case.w is not None
        return case.w[0], case.w[1] * case.groups

    def output_shape(self, case: Case) -> Shape:
        pairs = zip(axes(case), case.output_padding, strict=True)
        spatial = (transpose_size(*axis, extra) for axis, extra in pairs)
        return (case.x[0], self.channels(case)[1], *spatial)

    def work(self, case: Case) -> int:
        return math.prod(case.x) * math.prod((case.w or ())[1:])

    def validate(self, case: Case) -> None:
        super().validate(case)
        for axis in range(case.dims):
            limit = max(case.stride[axis], case.dilation[axis])
            if not 0 <= case.output_padding[axis] < limit:
                allowed = (
                    f"0 to {limit - 1} on axis {axis}, below the larger of stride and dilation"
                )
                raise case_error(case, "output_padding", allowed)
            if self.output_shape(case)[2 + axis] < 1:
                raise case_error(case, "padding", f"crops that leave an output on axis {axis}")

    def taps(self, case: Case) -> Taps:
        """Return the output position that each kernel position of each input position adds to."""
        out = self.output_shape(case)[2:]
        return conv_taps(out, case.x[2:], case.window, case.stride, case.padding, case.dilation)

    def tap_counts(self, case: Case) -> Array:
        taps = self.taps(case)
        return np.bincount(taps[taps >= 0], minlength=math.prod(self.output_shape(case)[2:]))

    def read(self, case: Case, axis: int, first: Array, last: Array) -> tuple[Array, Array]:
        stride, (before, _) = case.stride[axis], case.padding[axis]
        reach = span(case.window[axis], case.dilation[axis])
        return -(-(first + before - reach + 1) // stride), (last + before) // stride

    def products(self, case: Case, w: Array, x: Array) -> Array:
        """Multiply w as (G, O/G*K, C/G) by x as (N, G, C/G, L), and add the sums at the taps."""
        taps = self.taps(case).T
        (k, length), n, g = taps.shape, case.x[0], case.groups
        outer, inner = w.shape[-3:-1]
        left = w.swapaxes(-1, -2).reshape(*w.shape[:-4], 1, g, outer * k, inner)
        sums = np.matmul(left, x[..., :-1].reshape(*x.shape[:-3], n, g, inner, length))
        shape = (*sums.shape[:-4], *self.output_shape(case))
        planes, p = math.prod(shape[: -case.dims]), math.prod(shape[-case.dims :])
        places = np.where(taps < 0, p, taps) + np.arange(planes)[:, None, None] * (p + 1)
        added = np.bincount(places.reshape(-1), sums.reshape(-1), planes * (p + 1))
        return added.astype(np.float64).reshape(planes, p + 1)[:, :p].reshape(shape)

    def grouped(self, case: Case, w: Array) -> Array:
        c, per_group = w.shape[:2]
        split = w.reshape(case.groups, c // case.groups, per_group, -1)
        return np.ascontiguousarray(split.transpose(0, 2, 1, 3))
