"""Claims: what two ways to the same answer must agree on, as calls first, judged afterwards.

A claim lists calls of the implementation, each a case with arrays of its own, and says which two
arrays made from their outputs are equal. Nobody else's result is involved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from conformance.calling import Array, Inputs
from conformance.case import Case, Padding, Shape
from conformance.operators import OPERATORS
from conformance.operators.geometry import span

WEIGHTED, WINDOWED = ("conv", "conv_transpose"), ("conv", "max_pool", "avg_pool")
"""The operators with a weight, and those whose outputs are windows of the input."""


class Sides(NamedTuple):
    """Two arrays that are to be equal, and by how much comparing itself may have rounded."""

    left: Array
    right: Array
    slack: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """One call of a claim: a case says the geometry, ``inputs`` are its arguments."""

    case: Case
    inputs: Inputs
    weight: float = 1.0
    """The largest factor by which an error of this output reaches an element of the sides."""

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments by name, in their order."""
        names = OPERATORS[self.case.operator].arguments
        return dict(zip(names, self.inputs, strict=True))

    def derived(self, arrays: dict[str, Any], **changes: Any) -> Call:
        """Return this call with some arguments and some fields of its case replaced.

        The case's shapes follow from the arguments: x and w where they are arrays or shapes.
        """
        given = self.arguments | arrays
        shapes: dict[str, Any] = {}
        fields = (("x", "x"), ("input_shape", "x"), ("w", "w"), ("weight_shape", "w"))
        for argument, field in fields:
            if argument in given:
                shapes[field] = shape_of(given[argument])
        if self.case.operator == "conv_bias_grad":
            shapes["x"] = shape_of(given["grad"])
        if "bias" in given:
            shapes["bias"] = given["bias"] is not None
        return Call(self.case.replace(**(shapes | changes)), tuple(given.values()))


@dataclass(frozen=True, slots=True, eq=False)
class Claim:
    """That two arrays, made from the outputs of some calls, are equal."""

    requirement: str
    says: str
    """How the right side was made, for messages: "the two halves of the batch"."""
    calls: tuple[Call, ...]
    sides: Callable[[Sequence[Array]], Sides]
    """Takes the outputs, channels-first, floating-point ones as float64."""


Relation: TypeAlias = Callable[[Call], Iterator[Claim]]
"""What says of one call which claims can be made of it."""


def shape_of(value: Any) -> Shape:
    """Return the shape that an argument has, or is."""
    return value if isinstance(value, tuple) else tuple(value.shape)


def halves(size: int) -> tuple[slice, slice]:
    """Return the two halves of an axis of 2 or more."""
    return slice(0, size // 2), slice(size // 2, size)


def along(axis: int, part: slice) -> tuple[slice, ...]:
    """Return the index that takes ``part`` of one axis and all of those before it."""
    return (*(slice(None),) * axis, part)


def joined(axis: int) -> Callable[[Sequence[Array]], Sides]:
    """Return what compares the first output with the others, joined along an axis."""
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
    """Return what output positions ``first`` to ``end`` read along a spatial axis.

    That is a slice of the input, which is empty where they read padding alone, and the padding.
    """
    low = first * case.stride[axis] - case.padding[axis][0]
    high = (end - 1) * case.stride[axis] - case.padding[axis][0] + reach(case, axis)
    size = case.x[2 + axis]
    return slice(max(low, 0), min(high, size)), (max(-low, 0), max(high - size, 0))


def defaults(case: Case) -> tuple[Shape, Padding]:
    """Return a stride or dilation of one, and no padding."""
    return (1,) * case.dims, ((0, 0),) * case.dims


def column(bias: Array, dims: int) -> Array:
    """Return a bias as what is added to (N, O, *out)."""
    return widened(bias).reshape(-1, *(1,) * dims)


def widened(array: Array) -> Array:
    """Return floating-point numbers as float64 and whole numbers as int64: exact."""
    if array.dtype.kind in "iu":
        return array.astype(np.int64)
    return array.astype(np.float64)
