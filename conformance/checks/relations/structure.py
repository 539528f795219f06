"""Relations between a call and calls on parts of its arrays: what does not depend on what."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from conformance.calling import Array
from conformance.checks.relations.claims import (
    Call,
    Claim,
    Sides,
    along,
    argument,
    column,
    derived,
    halves,
    names,
    put,
    shape_of,
    widened,
    window,
)
from conformance.operators import OPERATORS
from conformance.signatures import ROLES

_OVER_BATCH = ("conv_weight_grad", "conv_bias_grad")
"""The operators that add over the batch; all others treat its elements alike and apart."""
_WEIGHTED = ("conv", "conv_transpose")


def batch(whole: Call) -> Iterator[Claim]:
    """The two halves of a batch, computed apart, are the whole."""
    n = whole.case.x[0]
    if n < 2:
        return
    parts = [derived(whole, arrays=_images(whole, (part,))) for part in halves(n)]
    if whole.case.operator in _OVER_BATCH:
        says = "the sum over the two halves of the batch"
        yield Claim("RELATE-1", says, (whole, *parts), lambda y: Sides(y[0], y[1] + y[2]))
    else:
        says = "the two halves of the batch, apart"
        yield Claim("RELATE-1", says, (whole, *parts), _joined(0))


def _images(call: Call, index: tuple[slice, ...]) -> dict[str, Any]:
    """Return the arguments that are an image, or the shape of one, with ``index`` taken of each."""
    return {
        name: _taken(value, index)
        for name, value in zip(names(call), call.inputs, strict=True)
        if ROLES[name] == "image"
    }


def _taken(value: Any, index: tuple[slice, ...]) -> Any:
    if not isinstance(value, tuple):
        return value[index]
    sizes = [len(range(size)[part]) for size, part in zip(value, index, strict=False)]
    return (*sizes, *value[len(sizes) :])


def _joined(axis: int) -> Any:
    def sides(y: Sequence[Array]) -> Sides:
        return Sides(y[0], np.concatenate(y[1:], axis=axis))

    return sides


def groups(whole: Call) -> Iterator[Claim]:
    """The first group, the last one, and those between them, computed apart, are the whole."""
    case, count = whole.case, whole.case.groups
    if count < 2:
        return
    ends = [(0, 1), (1, count - 1), (count - 1, count)]
    parts = []
    for first, end in ends:
        if end > first:
            share = {
                name: _group_share(name, value, first, end, count)
                for name, value in zip(names(whole), whole.inputs, strict=True)
                if value is not None
            }
            parts.append(derived(whole, arrays=share, groups=end - first))
    axis = 0 if case.operator == "conv_weight_grad" else 1
    says = "the first and the last group as separate convolutions, and the groups between"
    yield Claim("RELATE-2", says, (whole, *parts), _joined(axis))


def _group_share(name: str, value: Any, first: int, end: int, count: int) -> Any:
    axis = 1 if ROLES[name] == "image" else 0
    per_group = shape_of(value)[axis] // count
    return _taken(value, along(axis, slice(first * per_group, end * per_group)))


def channels(whole: Call) -> Iterator[Claim]:
    """Channels may be computed apart, and lie in any order."""
    case = whole.case
    if case.operator in ("conv_weight_grad", "conv_input_grad"):
        yield from _gradient_channels(whole)
        return
    if case.operator in _WEIGHTED:
        yield from _output_channels(whole)
        yield from _reversed_channels(whole)
        return
    c = case.x[1]
    if c < 2:
        return
    apart = [derived(whole, arrays=_images(whole, (slice(None), part))) for part in halves(c)]
    axis = 0 if case.operator == "conv_bias_grad" else 1
    yield Claim(
        "RELATE-11", "the two halves of the channels, apart", (whole, *apart), _joined(axis)
    )
    order = slice(None, None, -1)
    turned = derived(whole, arrays=_images(whole, (slice(None), order)))
    says = "the channels in reverse order"
    yield Claim("RELATE-11", says, (whole, turned), lambda y: Sides(y[0], y[1][along(axis, order)]))


def _output_channels(whole: Call) -> Iterator[Claim]:
    axis = 0 if whole.case.operator == "conv" else 1
    w, bias = argument(whole, "w"), argument(whole, "bias")
    if whole.case.groups > 1 or w.shape[axis] < 2:
        return
    parts = [
        derived(whole, arrays={"w": w[along(axis, part)], "bias": _some(bias, part)})
        for part in halves(w.shape[axis])
    ]
    says = "the two halves of the output channels, apart"
    yield Claim("RELATE-11", says, (whole, *parts), _joined(1))


def _gradient_channels(whole: Call) -> Iterator[Claim]:
    """Gradients by channels of the forward input, and those of the weight by output channels."""
    case = whole.case
    c, o = case.x[1], (case.w or ())[0]
    if case.groups > 1 or min(c, o) < 2:
        return
    grad, inner = argument(whole, "grad"), halves(c)
    if case.operator == "conv_input_grad":
        w, shape = argument(whole, "w"), argument(whole, "input_shape")
        apart = [{"w": w[:, part]} for part in inner]
        for arrays, part in zip(apart, inner, strict=True):
            arrays["input_shape"] = _taken(shape, (slice(None), part))
        added = [{"grad": grad[:, part], "w": w[part]} for part in halves(o)]
        outer = [derived(whole, arrays=arrays) for arrays in added]
        says = "the sum over the two halves of the output channels"
        yield Claim("RELATE-12", says, (whole, *outer), lambda y: Sides(y[0], y[1] + y[2]))
    else:
        x, shape = argument(whole, "x"), argument(whole, "weight_shape")
        apart = [{"x": x[:, part]} for part in inner]
        for arrays, part in zip(apart, inner, strict=True):
            arrays["weight_shape"] = _taken(shape, (slice(None), part))
        rows = [
            derived(whole, arrays={"grad": grad[:, part], "weight_shape": _taken(shape, (part,))})
            for part in halves(o)
        ]
        yield Claim("RELATE-11", "the two halves of its rows, apart", (whole, *rows), _joined(0))
    calls = [derived(whole, arrays=arrays) for arrays in apart]
    says = "the two halves of the input channels, apart"
    yield Claim("RELATE-11", says, (whole, *calls), _joined(1))


def _reversed_channels(whole: Call) -> Iterator[Claim]:
    x, w, bias = whole.inputs
    back = slice(None, None, -1)
    arrays = {"x": x[:, back], "w": w[back, back], "bias": _some(bias, back)}
    turned = derived(whole, arrays=arrays)
    says = "the input and output channels in reverse order"
    yield Claim("RELATE-11", says, (whole, turned), lambda y: Sides(y[0], y[1][:, back]))


def _some(bias: Array | None, part: slice) -> Array | None:
    return None if bias is None else bias[part]


def additivity(whole: Call) -> Iterator[Claim]:
    """Sums over halves of the input channels, and the bias, add up to the whole."""
    case = whole.case
    if case.operator not in _WEIGHTED:
        return
    x, w, bias = whole.inputs
    if bias is not None:
        plain = derived(whole, arrays={"bias": None})
        says = "the result without the bias, and the bias"
        yield Claim(
            "RELATE-12",
            says,
            (whole, plain),
            lambda y: Sides(y[0], y[1] + column(bias, case.dims)),
        )
    axis = 1 if case.operator == "conv" else 0
    if case.groups > 1 or w.shape[axis] < 2:
        return
    first, second = halves(w.shape[axis])
    parts = (
        derived(whole, arrays={"x": x[:, first], "w": w[along(axis, first)]}),
        derived(whole, arrays={"x": x[:, second], "w": w[along(axis, second)], "bias": None}),
    )
    says = "the sum over the two halves of the input channels"
    yield Claim("RELATE-12", says, (whole, *parts), lambda y: Sides(y[0], y[1] + y[2]))


def locality(whole: Call) -> Iterator[Claim]:
    """A part of the output is what its windows make of the part of the input that they read."""
    case = whole.case
    axis = int(np.argmax(case.x[2:]))
    if case.operator == "conv_transpose":
        yield from _overlap(whole, axis)
    if case.operator == "conv_weight_grad":
        yield from _positions(whole, axis)
    if case.operator not in ("conv", "max_pool", "avg_pool") or case.ceil_mode:
        return
    out = OPERATORS[case.operator].output_shape(case)[2 + axis]
    if out < 2:
        return
    parts = []
    for part in halves(out):
        where, pair = window(case, axis, part.start, part.stop)
        if where.start >= where.stop:
            return
        x = argument(whole, "x")[along(2 + axis, where)]
        parts.append(derived(whole, arrays={"x": x}, padding=put(case.padding, axis, pair)))
    says = f"the two halves of the output along axis {axis}, each from what its windows read"
    yield Claim("RELATE-13", says, (whole, *parts), _joined(2 + axis))


def _positions(whole: Call, axis: int) -> Iterator[Claim]:
    """The gradients of the weight by two halves of the output positions add up."""
    case, (grad, x, _) = whole.case, whole.inputs
    out = grad.shape[2 + axis]
    if out < 2:
        return
    parts = []
    for part in halves(out):
        where, pair = window(case, axis, part.start, part.stop)
        if where.start >= where.stop:
            return
        arrays = {"grad": grad[along(2 + axis, part)], "x": x[along(2 + axis, where)]}
        parts.append(derived(whole, arrays=arrays, padding=put(case.padding, axis, pair)))
    says = f"the sum over the two halves of the output positions along axis {axis}"
    yield Claim("RELATE-13", says, (whole, *parts), lambda y: Sides(y[0], y[1] + y[2]))


def _overlap(whole: Call, axis: int) -> Iterator[Claim]:
    """The transposed convolutions of two halves of x, a stride apart, add up where they overlap."""
    case, (x, _, bias) = whole.case, whole.inputs
    if case.x[2 + axis] < 2:
        return
    changes = {
        "padding": put(case.padding, axis, (0, 0)),
        "output_padding": put(case.output_padding, axis, 0),
    }
    first, second = halves(case.x[2 + axis])
    parts = [
        derived(whole, arrays={"x": x[along(2 + axis, half)], "bias": None}, **changes)
        for half in (first, second)
    ]
    begin, before = second.start * case.stride[axis], case.padding[axis][0]

    def sides(y: Sequence[Array]) -> Sides:
        size = y[0].shape[2 + axis]
        shape = put(y[0].shape, 2 + axis, max(before + size, begin + y[2].shape[2 + axis]))
        added = np.zeros(shape)
        added[along(2 + axis, slice(0, y[1].shape[2 + axis]))] += y[1]
        added[along(2 + axis, slice(begin, begin + y[2].shape[2 + axis]))] += y[2]
        right = added[along(2 + axis, slice(before, before + size))]
        return Sides(y[0], right if bias is None else right + column(bias, case.dims))

    says = f"the two halves of the input along axis {axis}, added where their outputs overlap"
    yield Claim("RELATE-13", says, (whole, *parts), sides)


def shift(whole: Call) -> Iterator[Claim]:
    """A constant added to the input of max_pool is added to its output."""
    (x, *_) = whole.inputs
    if whole.case.operator != "max_pool" or x.dtype.kind in "iu":
        return
    moved = derived(whole, arrays={"x": (widened(x) - SHIFT).astype(x.dtype)})
    says = f"the maximum of the input less {SHIFT}, and {SHIFT}"
    yield Claim("RELATE-14", says, (whole, moved), lambda y: Sides(y[0], y[1] + SHIFT))


SHIFT = 128
"""Makes all numbers of the recipe for pools negative, exactly in every floating-point dtype."""
