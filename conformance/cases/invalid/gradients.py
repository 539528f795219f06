"""Mistakes that only gradients allow: a grad, or a shape, that does not fit the forward call."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from conformance.calling import Array
from conformance.case import Case, Shape
from conformance.cases.invalid.mistake import Arguments, Mistake, another_rank, having, resized


def mistakes() -> Iterator[Mistake]:
    """Yield the mistakes in grad and in the shapes that gradients take."""
    rule = "REJECT-16", "grad has not the shape of the forward result"
    operators = having("grad", without="conv_bias_grad")
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
        change = partial(_resized_grad, kind, axis, size)
        yield Mistake(f"grad-{kind}", *rule, operators, change)
    rule = "REJECT-13", "grad with another number of axes than the call needs"
    for kind, array in {
        "without-batch": lambda grad: grad[0] if len(grad) else None,
        "extra-axis": lambda grad: grad[..., None],
    }.items():
        change = partial(another_rank, "grad", array)
        yield Mistake(f"grad-{kind}", *rule, having("grad"), change)
    for name in ("input_shape", "weight_shape"):
        yield from _shapes(name)


def _shapes(name: str) -> Iterator[Mistake]:
    rule = "REJECT-16", f"{name} does not fit the other arguments"
    fits: dict[str, Callable[[Case, Shape], Shape | None]] = {
        "too-short": lambda case, shape: shape[:-1],
        "too-long": lambda case, shape: (*shape, shape[-1]),
        "axis-0": lambda case, shape: _plus(shape, 0, 1),
        # One stride more of input is one more output; a kernel larger by it makes fewer outputs.
        "size": lambda case, shape: _plus(shape, 2, case.stride[0]),
        "size-last": lambda case, shape: (
            _plus(shape, -1, case.stride[-1]) if case.dims > 1 else None
        ),
    }
    prefix = name.replace("_", "-")
    for kind, shape_of in fits.items():
        yield Mistake(
            f"{prefix}-{kind}", *rule, having(name), partial(_another_shape, name, shape_of)
        )
    rule = "REJECT-17", f"a fraction in {name}"
    change = partial(_another_shape, name, lambda case, shape: (*shape[:-1], shape[-1] + 0.5))
    yield Mistake(f"{prefix}-fraction", *rule, having(name), change)
    rule = "REJECT-9", f"channels of {name} that do not match the other array's"
    change = partial(_another_shape, name, lambda case, shape: _plus(shape, 1, 1))
    yield Mistake(f"{prefix}-channels", *rule, having(name, without="avg_pool_grad"), change)


def _plus(shape: Shape, axis: int, more: int) -> Shape:
    values = list(shape)
    values[axis] += more
    return tuple(values)


def _resized_grad(
    kind: str, axis: int, size: Callable[[int], int], case: Case, a: Arguments
) -> Arguments | None:
    grad: Array = a["grad"]
    if case.dims == 1 and kind.endswith("-last"):  # the last axis is the first axis, too
        return None
    changed = size(grad.shape[axis])
    if changed == grad.shape[axis] or changed < 1 or not grad.size:
        return None
    return {"grad": resized(grad, axis, changed)}


def _another_shape(
    name: str,
    change: Callable[[Case, Shape], tuple[Any, ...] | None],
    case: Case,
    a: Arguments,
) -> Arguments | None:
    shape = change(case, a[name])
    return None if shape is None else {name: shape}
