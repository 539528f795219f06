"""Mistakes in what only gradients take: grad, input_shape and weight_shape.

The shape of the forward result follows from the other arguments; here grad, or the shape of what
the gradient is taken by, is another one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from conformance.calling import Array
from conformance.case import Case, Shape
from conformance.cases.invalid.mistake import (
    Arguments,
    Mutation,
    having,
    is_call_of_other_dims,
    resized,
)

_SHAPES = ("input_shape", "weight_shape")


def mutations() -> Iterator[Mutation]:
    """Yield the mistakes that are made in grad and in the shapes that gradients are handed."""
    for kind, (axis, size) in {
        "longer": (2, lambda n: n + 1),
        "longer-last": (-1, lambda n: n + 1),
        "shorter": (2, lambda n: n - 1),
        "shorter-last": (-1, lambda n: n - 1),
        "one-position": (-1, lambda n: 1),
        "more-images": (0, lambda n: n + 1),
        "one-image": (0, lambda n: 1),
        "more-channels": (1, lambda n: n + 1),
        "one-channel": (1, lambda n: 1),
    }.items():
        yield Mutation(
            name=f"grad-{kind}",
            requirement="REJECT-16",
            summary="grad has not the shape of the forward result",
            operators=having("grad", without="conv_bias_grad"),
            change=partial(_resized_grad, kind, axis, size),
        )
    for kind, change in {
        "without-batch": lambda grad: grad[0] if len(grad) else None,
        "extra-axis": lambda grad: grad[..., None],
    }.items():
        yield Mutation(
            name=f"grad-{kind}",
            requirement="REJECT-13",
            summary="grad with another number of axes than the call needs",
            operators=having("grad"),
            change=partial(_another_rank, change),
        )
    for name in _SHAPES:
        yield from _shapes(name)


def _shapes(name: str) -> Iterator[Mutation]:
    summary = f"{name} does not fit the other arguments"
    fits: dict[str, Callable[[Case, Shape], Shape | None]] = {
        "too-short": lambda case, shape: shape[:-1],
        "too-long": lambda case, shape: (*shape, shape[-1]),
        "axis-0": lambda case, shape: _plus(shape, 0, 1),
        # A stride more of input is one more output; that much more of kernel is fewer of them.
        "size": lambda case, shape: _plus(shape, 2, case.stride[0]),
        "size-last": lambda case, shape: (
            _plus(shape, -1, case.stride[-1]) if case.dims > 1 else None
        ),
    }
    for kind, change in fits.items():
        yield _shape(name, kind, "REJECT-16", summary, change)
    yield _shape(name, "fraction", "REJECT-17", f"a fraction in {name}", _with_fraction)
    yield _shape(
        name,
        "channels",
        "REJECT-9",
        f"channels of {name} that do not match the other array's",
        lambda case, shape: _plus(shape, 1, 1),
        without="avg_pool_grad",
    )


def _shape(
    name: str,
    kind: str,
    requirement: str,
    summary: str,
    change: Callable[[Case, Shape], tuple[Any, ...] | None],
    without: str = "",
) -> Mutation:
    return Mutation(
        name=f"{name.replace('_', '-')}-{kind}",
        requirement=requirement,
        summary=summary,
        operators=having(name, without=without),
        change=partial(_another_shape, name, change),
    )


def _with_fraction(case: Case, shape: Shape) -> tuple[Any, ...]:
    return (*shape[:-1], shape[-1] + 0.5)


def _plus(shape: Shape, axis: int, more: int) -> Shape:
    values = list(shape)
    values[axis] += more
    return tuple(values)


def _resized_grad(
    kind: str, axis: int, size: Callable[[int], int], case: Case, a: Arguments
) -> Arguments | None:
    grad: Array = a["grad"]
    if case.dims == 1 and kind.endswith("-last"):  # that is the first one, too
        return None
    changed = size(grad.shape[axis])
    if changed == grad.shape[axis] or changed < 1 or not grad.size:
        return None
    return {"grad": resized(grad, axis, changed)}


def _another_rank(
    change: Callable[[Array], Array | None], case: Case, a: Arguments
) -> Arguments | None:
    """Change the number of axes, where the call needs a certain one."""
    grad = change(a["grad"])
    if grad is None or is_call_of_other_dims(case, grad):
        return None
    return {"grad": grad}


def _another_shape(
    name: str,
    change: Callable[[Case, Shape], tuple[Any, ...] | None],
    case: Case,
    a: Arguments,
) -> Arguments | None:
    shape = change(case, a[name])
    return None if shape is None else {name: shape}
