"""What every operator provides, and the reference that it returns."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from conformance.case import Case, Shape
from conformance.errors import CaseError
from conformance.operators.exact import Term, rounded_sum
from conformance.signatures import SIGNATURES
from conformance.sizes import span

Array: TypeAlias = NDArray[Any]
Inputs: TypeAlias = tuple[Any, ...]
"""The positional arguments of one call: arrays, None for an absent bias, or a shape."""


@dataclass(frozen=True, slots=True)
class Reference:
    """The exact result of a case, and what its error bound is made of.

    ``exact + residual`` is the exact result up to ``error``; ``exact`` is correctly rounded to
    float64. Without arithmetic ``magnitude`` is None, and ``exact`` of the case's dtype.
    """

    exact: Array
    """The result's shape."""
    residual: Array | None = None
    """The result's shape; None if float64 is far more precise than the dtype."""
    magnitude: Array | None = None
    """sum |x||w| (for avg_pool sum |x| / divisor), rounded up; the result's shape."""
    terms: Array | int = 0
    """The number of products summed, a bias counted as one; broadcasts to the result's shape."""
    error: Array | float = 0.0
    """A bound on what ``exact`` and ``residual`` leave out; broadcasts to the result's shape."""
    single_valued: Array | bool = True
    """Where exact sums leave only one right value. It is false where the mean of exact sums still
    rounds, and where maxima of +0 and -0 tie."""


@dataclass(frozen=True, slots=True)
class Special:
    """The special elements of a result, as masks that broadcast to its shape."""

    nan: Array
    positive: Array
    """Where positive infinity is added; an element of both infinities is NaN."""
    negative: Array
    unspecified: Array | bool = False
    """Where padding meets a factor that is not finite. It is unspecified whether the product counts
    as zero times that factor (SPEC.md, SPECIAL-5)."""


class Operator(ABC):
    """One operator: what calls of it are valid, their shapes, and their exact results."""

    name: str
    requirements: Mapping[str, str]
    """The requirement about each parameter, and about ``value`` and ``size``. It is cited if no
    other parameter is left in a shrunk case."""
    rows: tuple[int, ...] | None = None
    """The axes of a result along which its elements sum products of different factors; None if
    nothing is known of its sums."""
    compared: int | None = None
    """The position of the argument whose maxima are taken; None if the result is a sum."""

    @property
    def dtypes(self) -> tuple[str, ...]:
        """The dtypes that the operator is defined for."""
        return SIGNATURES[self.name].dtypes

    @property
    def arguments(self) -> tuple[str, ...]:
        """The positional arguments' names."""
        return SIGNATURES[self.name].arguments

    @property
    def parameters(self) -> tuple[str, ...]:
        """The keyword parameters' names."""
        return SIGNATURES[self.name].parameters

    @property
    def has_weight(self) -> bool:
        """Whether the operator has a weight, whose shape is then in its cases."""
        return not {"w", "weight_shape"}.isdisjoint(self.arguments)

    @property
    def has_window(self) -> bool:
        """Whether the operator has windows: those of a weight, or of a pooling."""
        return self.has_weight or "kernel" in self.parameters

    @property
    def is_transposed(self) -> bool:
        """Whether the operator's output grows with the stride."""
        return "output_padding" in self.parameters

    def weight_shape(self, groups: int, inner: int, outer: int, kernel: Shape) -> Shape | None:
        """Return a weight's shape, of so many channels a group; None if there is no weight."""
        return None

    def largest_divisor(self, case: Case) -> int:
        """Return the largest number that a sum is divided by."""
        return 1

    def argument_shape(self, case: Case, name: str) -> Shape | None:
        """Return the channels-first shape of a positional argument, or the shape that it is.

        The result is None for a bias that is absent.
        """
        if name == "bias":
            return (self.output_shape(case)[1],) if case.bias else None
        return case.w if name in ("w", "weight_shape") else case.x

    @abstractmethod
    def output_shape(self, case: Case) -> Shape:
        """Return the result's shape, channels-first."""

    @abstractmethod
    def validate(self, case: Case) -> None:
        """Raise `CaseError`, naming the field, if the operator does not accept ``case``."""

    @abstractmethod
    def terms(self, case: Case) -> int:
        """Return the largest number of products that one output element sums."""

    @abstractmethod
    def work(self, case: Case) -> int:
        """Return the multiply-accumulates (window reads for pooling), padded taps included."""

    @abstractmethod
    def reference(self, case: Case, inputs: Inputs) -> Reference:
        """Return the exact result for finite inputs, as arrays of the shape of the result."""

    def special(self, case: Case, inputs: Inputs) -> Special | None:
        """Return where inputs that are not finite make the result NaN or infinite.

        The result is None for an operator without arithmetic: its `reference` takes any inputs.
        """
        raise NotImplementedError(f"{self.name} has no reference for NaN and infinities")

    def squares(self, case: Case, inputs: Inputs) -> Array:
        """Return the sum of the squares of what each element sums, in the result's shape."""
        raise NotImplementedError(f"{self.name} has no products")

    def norms(self, case: Case, inputs: Inputs, tile: Shape | None = None) -> Array:
        """Return a normwise bound's scale, sum_c ||x_nc||_2 ||w_oc||_2 + |bias_o|: (N, O, 1...).

        With a ``tile``, the output positions of one on each axis, the norm of x is that of what
        tiles read which may contain the element: (N, O, *out).
        """
        raise NotImplementedError(f"{self.name} has no normwise bound")


def numbered(group: str, **numbers: int) -> Mapping[str, str]:
    """Return the requirements of a group by their subject: ``value=1`` of CONV is CONV-1."""
    return MappingProxyType({name: f"{group}-{n}" for name, n in numbers.items()})


def rounded(
    case: Case,
    terms: Sequence[Term],
    magnitude: Array,
    count: Array | int,
    divisor: Array | None = None,
    single_valued: Array | bool = True,
) -> Reference:
    """Return the reference whose exact result is the sum of ``terms``, divided by ``divisor``."""
    exact, residual, error = rounded_sum(terms, divisor)
    if case.dtype == "float64":
        return Reference(exact, residual, magnitude, count, error, single_valued)
    return Reference(exact, None, magnitude, count, error + np.abs(residual), single_valued)


def case_error(case: Case, field: str, allowed: str) -> CaseError:
    """Return the error for a field of ``case`` that the operator does not accept."""
    value = getattr(case, field)
    return CaseError(f"case {case.operator}{case.dims}d: {field}={value!r}; allowed: {allowed}")


def check_reach(case: Case, axis: int, field: str, noun: str) -> None:
    """Raise `CaseError`, about ``field``, if the dilated window exceeds the padded input."""
    reach = span(case.window[axis], case.dilation[axis])
    padded = case.x[2 + axis] + sum(case.padding[axis])
    if padded < reach:
        where = f"({reach} > {padded} on axis {axis})"
        raise case_error(case, field, f"a {noun} that, dilated, fits the padded input {where}")


def with_padding_slot(x: Array, fill: Any) -> Array:
    """Return x (N, C, *S) as (N, C, L + 1), where the last position has ``fill``, for tap -1."""
    n, c = x.shape[:2]
    length = math.prod(x.shape[2:])
    flat = np.empty((n, c, length + 1), x.dtype)
    flat[..., :length] = x.reshape(n, c, length)
    flat[..., length] = fill
    return flat
