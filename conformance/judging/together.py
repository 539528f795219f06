"""Cases that share arrays, prepared together: each result is a slice of one that is common to many.

With a stride of 1 and all the padding that there may be, a convolution or a pooling has every
result of its arrays that another stride or padding gives. So a case costs a slice in place of a
reference. All data is of small whole numbers, whose sums are exact in float64.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import numpy as np

from conformance.calling import Array, Inputs
from conformance.case import EVERY, Case
from conformance.cases.data import make_inputs
from conformance.dtypes import INTEGERS
from conformance.judging.prepared import Prepared
from conformance.operators import OPERATORS
from conformance.operators.base import Reference, with_padding_slot
from conformance.operators.pool import AvgPool
from conformance.operators.pool_gradient import AvgPoolGrad, MaxPoolGrad, added_at


def prepared_together(cases: Iterable[Case]) -> list[Prepared]:
    """Return the prepared cases.

    The results are those of `Prepared.of`, but that a bound may be that of the largest element.
    """
    cases = list(cases)
    shared = _Shared(max(map(_beyond, cases), default=0))
    with np.errstate(all="ignore"):
        return [shared.prepare(case) for case in cases]


def _beyond(case: Case) -> int:
    """Return how many positions beyond its input a case reads at most, at either end of an axis."""
    return max(map(max, case.padding)) + max(*case.stride, *case.dilation)


class _Shared:
    """What the cases have in common so far."""

    def __init__(self, frame: int) -> None:
        self.frame = frame
        """The positions that are added at each end of an axis."""
        self._inputs: dict[Any, tuple[int, Inputs]] = {}
        self._results: dict[Any, Array] = {}

    def prepare(self, case: Case) -> Prepared:
        """Return the prepared case."""
        operator = OPERATORS[case.operator]
        quotient = isinstance(operator, (AvgPool, AvgPoolGrad))
        if case.data == EVERY and operator.compared is None:
            inputs = make_inputs(case)
            return Prepared(case, inputs, _alone(case, inputs))
        rounds = quotient and case.dtype == "float64"
        if case.data != "integers" or case.dtype in INTEGERS or rounds:
            return Prepared.of(case)
        key = (
            operator.terms(case),
            operator.largest_divisor(case),
            *(operator.argument_shape(case, name) for name in operator.arguments),
        )
        if key not in self._inputs:
            self._inputs[key] = len(self._inputs), make_inputs(case)
        number, inputs = self._inputs[key]
        return Prepared(case, inputs, self._reference(case, inputs, number))

    def _reference(self, case: Case, inputs: Inputs, number: int) -> Reference:
        if case.operator == "max_pool":
            return Reference(self._windows(case, inputs[0], number, np.maximum, -np.inf))
        if case.operator == "avg_pool":
            return self._average(case, inputs[0], number)
        if case.operator == "avg_pool_grad":
            return _shares(case, inputs[0])
        exact = self._sums[case.operator](self, case, inputs, number)
        terms = OPERATORS[case.operator].terms(case)
        count = 2 if OPERATORS[case.operator].has_weight else 1
        largest = terms * math.prod(float(np.abs(value).max()) for value in inputs[:count])
        if case.bias:
            largest += float(np.abs(inputs[2]).max())
        return Reference(exact, None, np.full(exact.shape, largest), terms)

    def common(self, key: Any, make: Callable[[], Array]) -> Array:
        """Return the result that is common to the cases of ``key``."""
        if key not in self._results:
            self._results[key] = make()
        return self._results[key]

    def framed(self, x: Array, fill: float, dtype: Any = np.float64) -> Array:
        """Return ``x`` with positions of ``fill`` at each end of each spatial axis."""
        frame = self.frame
        inside = tuple(slice(frame, frame + size) for size in x.shape[2:])
        framed = np.full((*x.shape[:2], *(size + 2 * frame for size in x.shape[2:])), fill, dtype)
        framed[_at(inside)] = x
        return framed

    def starts(self, case: Case) -> Array:
        """Return where the first window starts in a framed array."""
        return np.array([self.frame - before for before, _ in case.padding])

    def taken(self, case: Case, full: Array) -> Array:
        """Return the elements that the case takes of ``full``, which has one at every position."""
        out = OPERATORS[case.operator].output_shape(case)[2:]
        reach = [(size - 1) * stride + 1 for size, stride in zip(out, case.stride, strict=True)]
        return np.ascontiguousarray(full[_ranges(self.starts(case), reach, case.stride)])

    def _convolved(self, case: Case, inputs: Inputs, number: int) -> Array:
        x, w, bias = inputs

        def make() -> Array:
            framed, weight = self.framed(x, 0.0), _split(w, case.groups, 0)
            size = [
                length - d * (k - 1)
                for length, k, d in zip(framed.shape[2:], case.window, case.dilation, strict=True)
            ]
            total = np.zeros((len(x), len(w), *size))
            for tap in itertools.product(*map(range, case.window)):
                part = framed[_ranges(np.multiply(tap, case.dilation), size)]
                total += _contracted(part, weight[_at(tap)], case.groups)
            return total

        full = self.common((number, case.groups, case.dilation), make)
        return _with_bias(self.taken(case, full), bias)

    def _transposed(self, case: Case, inputs: Inputs, number: int) -> Array:
        x, w, *bias = inputs

        def make() -> Array:
            weight = _split(w, case.groups, 1)
            reach = [(n - 1) * s + 1 for n, s in zip(x.shape[2:], case.stride, strict=True)]
            size = [
                length + d * (k - 1) + self.frame
                for length, k, d in zip(reach, case.window, case.dilation, strict=True)
            ]
            total = np.zeros((len(x), w.shape[1] * case.groups, *size))
            for tap in itertools.product(*map(range, case.window)):
                places = _ranges(np.multiply(tap, case.dilation), reach, case.stride)
                total[places] += _contracted(x.astype(np.float64), weight[_at(tap)], case.groups)
            return total

        full = self.common((number, case.groups, case.stride, case.dilation), make)
        out = OPERATORS[case.operator].output_shape(case)[2:]
        part = full[_ranges([before for before, _ in case.padding], out)]
        return _with_bias(np.ascontiguousarray(part), bias[0] if case.bias else None)

    def _weight_gradient(self, case: Case, inputs: Inputs, number: int) -> Array:
        grad, x, shape = inputs
        framed = self.common(number, lambda: self.framed(x, 0.0))
        n, g = len(x), case.groups
        left = grad.reshape(n, g, shape[0] // g, -1).astype(np.float64)
        result = np.empty(shape)
        out = grad.shape[2:]
        for tap in itertools.product(*map(range, case.window)):
            starts = self.starts(case) + np.multiply(tap, case.dilation)
            reach = [(size - 1) * s + 1 for size, s in zip(out, case.stride, strict=True)]
            part = framed[_ranges(starts, reach, case.stride)].reshape(n, g, shape[1], -1)
            sums = np.matmul(left, part.swapaxes(-1, -2)).sum(axis=0)
            result[_at(tap)] = sums.reshape(shape[:2])
        return result

    def _bias_gradient(self, case: Case, inputs: Inputs, number: int) -> Array:
        grad = inputs[0].astype(np.float64)
        sums: Array = grad.sum(axis=(0, *range(2, grad.ndim)))
        return sums

    def _maxima_gradient(self, case: Case, inputs: Inputs, number: int) -> Array:
        """Add each gradient at the first maximum of its window, real elements alone."""
        grad, x = inputs
        operator = OPERATORS[case.operator]
        assert isinstance(operator, MaxPoolGrad)
        taps = operator.forward.taps(case)
        first = np.argmax(with_padding_slot(x, -np.inf)[..., taps], axis=3)  # (N, C, P)
        places = taps[np.arange(len(taps)), first]
        planes, length = math.prod(x.shape[:2]), math.prod(x.shape[2:])
        places = np.where(places < 0, length, places).reshape(planes, -1)
        places = places + np.arange(planes)[:, None] * (length + 1)
        sums = np.bincount(places.reshape(-1), grad.reshape(-1), planes * (length + 1))
        return sums.reshape(planes, length + 1)[:, :length].reshape(x.shape)

    _sums: ClassVar[dict[str, Callable[[_Shared, Case, Inputs, int], Array]]] = {
        "conv": _convolved,
        "conv_transpose": _transposed,
        "conv_input_grad": _transposed,
        "conv_weight_grad": _weight_gradient,
        "conv_bias_grad": _bias_gradient,
        "max_pool_grad": _maxima_gradient,
    }

    def _windows(
        self, case: Case, x: Array, number: int, reduce: Callable[..., Array], fill: float
    ) -> Array:
        """Return ``reduce`` of every window, as the case takes them."""

        def make() -> Array:
            framed = self.framed(x, fill, x.dtype if reduce is np.maximum else np.dtype(np.float64))
            size = [
                length - d * (k - 1)
                for length, k, d in zip(framed.shape[2:], case.window, case.dilation, strict=True)
            ]
            parts = [
                framed[_ranges(np.multiply(tap, case.dilation), size)]
                for tap in itertools.product(*map(range, case.window))
            ]
            total: Array = parts[0].copy()
            for part in parts[1:]:
                reduce(total, part, out=total)
            return total

        full = self.common((number, reduce, case.window, case.dilation), make)
        return self.taken(case, full)

    def _average(self, case: Case, x: Array, number: int) -> Reference:
        operator = OPERATORS[case.operator]
        assert isinstance(operator, AvgPool)
        sums = self._windows(case, x, number, np.add, 0.0)
        total = self._windows(case, np.abs(x), -1 - number, np.add, 0.0)
        divisor = operator.divisor(case)
        terms = math.prod(case.window) - 1 + 2 * case.dims
        magnitude = total / divisor * (1 + 2.0**-50)
        exact, single = sums / divisor, np.frexp(divisor)[0] == 0.5
        return Reference(exact, None, magnitude, terms, np.abs(exact) * 2.0**-52, single)


def _alone(case: Case, inputs: Inputs) -> Reference:
    """Return the reference of a call in which each element of x is a result of its own.

    It is the one product of its result with a weight of 1 or -1, or the mean of itself alone.
    """
    factor = float(inputs[1].item()) if OPERATORS[case.operator].has_weight else 1.0
    exact = inputs[0].astype(np.float64) * factor
    magnitude = np.where(np.isfinite(exact), np.abs(exact), 0.0)
    terms = 1 if OPERATORS[case.operator].has_weight else 2 * case.dims
    return Reference(exact, None, magnitude, terms)


def _shares(case: Case, grad: Array) -> Reference:
    """Return the reference of avg_pool_grad, whose quotients are rounded to float64."""
    operator = OPERATORS[case.operator]
    assert isinstance(operator, AvgPoolGrad)
    taps = operator.forward.taps(case)
    divisor = operator.forward.divisor(case).reshape(-1, 1)
    quotients = grad.reshape(*grad.shape[:2], -1, 1).astype(np.float64) / divisor
    spread = np.broadcast_to(quotients, (*quotients.shape[:3], taps.shape[1]))
    count = added_at(case, taps, np.ones(taps.shape))
    exact = added_at(case, taps, spread)
    magnitude = added_at(case, taps, np.abs(spread)) * (1 + 2.0**-48)
    rounds = np.broadcast_to(np.frexp(divisor)[0] != 0.5, taps.shape)
    single = added_at(case, taps, rounds.astype(np.float64)) == 0 if rounds.any() else True
    terms = np.where(count > 0, count + 2 * case.dims - 1, 0)
    return Reference(exact, None, magnitude, terms, magnitude * 2.0**-48, single)


def _ranges(starts: Iterable[Any], sizes: Iterable[int], steps: Iterable[int] = (1, 1, 1)) -> Any:
    """Return the index of so many positions along each spatial axis, or of a reach in steps."""
    pairs = zip(starts, sizes, steps, strict=False)  # there may be fewer axes than steps
    return _at(slice(int(start), int(start) + size, step) for start, size, step in pairs)


def _at(places: Iterable[Any]) -> Any:
    """Return the index of ``places`` along the last axes."""
    return (..., *places)


def _split(w: Array, groups: int, outputs: int) -> Array:
    """Return a weight as (G, O/G, C/G, *K); in each group its axis ``outputs`` is that of O."""
    split: Array = w.astype(np.float64).reshape(groups, len(w) // groups, *w.shape[1:])
    return split if outputs == 0 else split.swapaxes(1, 2)


def _contracted(x: Array, w: Array, groups: int) -> Array:
    """Multiply x (N, C, *S) by w (G, O/G, C/G) in each group: (N, O, *S)."""
    n, c, *size = x.shape
    sums: Array = np.matmul(w, x.reshape(n, groups, c // groups, -1))
    return sums.reshape(n, -1, *size)


def _with_bias(sums: Array, bias: Array | None) -> Array:
    if bias is None:
        return sums
    return sums + bias.astype(np.float64).reshape(-1, *(1,) * (sums.ndim - 2))
