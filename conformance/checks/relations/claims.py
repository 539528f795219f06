"""Claims: calls that are two ways to the same answer, and the two arrays that must be equal.

A claim lists calls of the implementation, each a case with its own arrays, and says which two
arrays, made from the outputs, are equal. No result but the implementation's own is involved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from conformance.calling import Array, Inputs
from conformance.case import Case, Padding, Shape
from conformance.operators import OPERATORS
from conformance.sizes import span

WEIGHTED, WINDOWED = ("conv", "conv_transpose"), ("conv", "max_pool", "avg_pool")
"""The operators with a weight, and those whose outputs are windows of the input."""


class Sides(NamedTuple):
    """Two arrays that must be equal, and the largest rounding error of making them from outputs."""

    left: Array
    right: Array
    slack: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class RelatedCall:
    """One call of a claim: a case with the geometry, and ``inputs``, the arguments."""

    case: Case
    inputs: Inputs
    weight: float = 1.0
    """The largest factor by which an error of this output reaches an element of the sides."""

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments by name, in the order of the signature."""
        names = OPERATORS[self.case.operator].arguments
        return dict(zip(names, self.inputs, strict=True))

    def derived(self, arrays: dict[str, Any], **changes: Any) -> RelatedCall:
        """Return this call with some arguments and some fields of its case replaced.

        The case's shapes follow from the arguments: x and w where they are arrays or shapes.
        """
        arguments = self.arguments | arrays
        shapes: dict[str, Any] = {}
        fields = (("x", "x"), ("input_shape", "x"), ("w", "w"), ("weight_shape", "w"))
        for name, field in fields:
            if name in arguments:
                shapes[field] = shape_of(arguments[name])
        if self.case.operator == "conv_bias_grad":
            shapes["x"] = shape_of(arguments["grad"])
        if "bias" in arguments:
            shapes["bias"] = arguments["bias"] is not None
        return RelatedCall(self.case.replace(**(shapes | changes)), tuple(arguments.values()))


@dataclass(frozen=True, slots=True, eq=False)
class Claim:
    """The claim that two arrays, made from the outputs of some calls, are equal."""

    requirement: str
    says: str
    """How the right side is made, for messages: "the two halves of the batch"."""
    calls: tuple[RelatedCall, ...]
    sides: Callable[[Sequence[Array]], Sides]
    """Makes the sides from the outputs: channels-first, float64 or int64 (`widened`)."""


Relation: TypeAlias = Callable[[RelatedCall], Iterator[Claim]]
"""A function that yields the claims about one call."""


def shape_of(value: Any) -> Shape:
    """Return the shape of an array, or the shape that an argument is."""
    return value if isinstance(value, tuple) else tuple(value.shape)


def halves(size: int) -> tuple[slice, slice]:
    """Return the slices of the two halves of an axis of ``size`` 2 or more."""
    return slice(0, size // 2), slice(size // 2, size)


def along(axis: int, part: slice) -> tuple[slice, ...]:
    """Return the index that takes ``part`` of one axis and all of the axes before it."""
    return (*(slice(None),) * axis, part)


def joined(axis: int) -> Callable[[Sequence[Array]], Sides]:
    """Return a function that compares the first output with the others, joined along ``axis``."""
    return lambda outputs: Sides(outputs[0], np.concatenate(outputs[1:], axis=axis))


def added(outputs: Sequence[Array]) -> Sides:
    """Compare the first output with the sum of the other two."""
    whole, first, second = outputs
    return Sides(whole, first + second)


def put(values: Any, axis: int, value: Any) -> Any:
    """Return a tuple with one entry replaced."""
    return (*values[:axis], value, *values[axis + 1 :])


def reach(case: Case, axis: int) -> int:
    """Return how many positions one window covers along a spatial axis."""
    return span(case.window[axis], case.dilation[axis])


def window(case: Case, axis: int, first: int, end: int) -> tuple[slice, tuple[int, int]]:
    """Return what output positions ``first`` to ``end - 1`` read along a spatial axis.

    It is a slice of the input, empty if they read padding alone, and the padding (before, after).
    """
    low = first * case.stride[axis] - case.padding[axis][0]
    high = (end - 1) * case.stride[axis] - case.padding[axis][0] + reach(case, axis)
    size = case.x[2 + axis]
    return slice(max(low, 0), min(high, size)), (max(-low, 0), max(high - size, 0))


def defaults(case: Case) -> tuple[Shape, Padding]:
    """Return a stride or dilation of one, and no padding."""
    return (1,) * case.dims, ((0, 0),) * case.dims


def column(bias: Array, dims: int) -> Array:
    """Return a bias (O,) as (O, 1...), which broadcasts to (N, O, *out)."""
    return widened(bias).reshape(-1, *(1,) * dims)


def widened(array: Array) -> Array:
    """Return floating-point numbers as float64 and whole numbers as int64, both exactly."""
    if array.dtype.kind in "iu":
        return array.astype(np.int64)
    return array.astype(np.float64)
