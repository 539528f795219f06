"""Relations between a call and calls on parts of its arrays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from conformance.calling import Array
from conformance.checks.relations.claims import (
    WEIGHTED,
    WINDOWED,
    Claim,
    RelatedCall,
    Sides,
    added,
    along,
    column,
    halves,
    joined,
    put,
    shape_of,
    widened,
    window,
)
from conformance.operators import OPERATORS
from conformance.signatures import ROLES

_OVER_BATCH = ("conv_weight_grad", "conv_bias_grad")
"""The operators that add over the batch; all others treat each image by itself."""
_ALL, _BACK = slice(None), slice(None, None, -1)


def batch(whole: RelatedCall) -> Iterator[Claim]:
    """Claim that the two halves of a batch, computed apart, make the whole."""
    n = whole.case.x[0]
    if n < 2:
        return
    calls = (whole, *(whole.derived(_images(whole, (part,))) for part in halves(n)))
    if whole.case.operator in _OVER_BATCH:
        yield Claim("RELATE-1", "the sum over the two halves of the batch", calls, added)
    else:
        yield Claim("RELATE-1", "the two halves of the batch, apart", calls, joined(0))


def _images(call: RelatedCall, index: tuple[slice, ...]) -> dict[str, Any]:
    """Return the arguments that are an image, or an image's shape, indexed by ``index``."""
    return {
        name: _taken(value, index)
        for name, value in call.arguments.items()
        if ROLES[name] == "image"
    }


def _taken(value: Any, index: tuple[slice, ...]) -> Any:
    if not isinstance(value, tuple):
        return value[index]
    sizes = [len(range(size)[part]) for size, part in zip(value, index, strict=False)]
    return (*sizes, *value[len(sizes) :])


def groups(whole: RelatedCall) -> Iterator[Claim]:
    """Claim that the first group, the last one and those between make the whole."""
    case, count = whole.case, whole.case.groups
    if count < 2:
        return
    parts = []
    for first, end in ((0, 1), (1, count - 1), (count - 1, count)):
        if end > first:
            shares = {
                name: _group_share(name, value, first, end, count)
                for name, value in whole.arguments.items()
                if value is not None
            }
            parts.append(whole.derived(shares, groups=end - first))
    axis = 0 if case.operator == "conv_weight_grad" else 1
    says = "the first and the last group as separate convolutions, and the groups between"
    yield Claim("RELATE-2", says, (whole, *parts), joined(axis))


def _group_share(name: str, value: Any, first: int, end: int, count: int) -> Any:
    axis = 1 if ROLES[name] == "image" else 0
    per_group = shape_of(value)[axis] // count
    return _taken(value, along(axis, slice(first * per_group, end * per_group)))


def channels(whole: RelatedCall) -> Iterator[Claim]:
    """Claim that channels can be computed apart and in any order."""
    case = whole.case
    if case.operator in ("conv_weight_grad", "conv_input_grad"):
        yield from _gradient_channels(whole)
    elif case.operator in WEIGHTED:
        yield from _weighted_channels(whole)
    elif (c := case.x[1]) > 1:
        axis = 0 if case.operator == "conv_bias_grad" else 1
        parts = [whole.derived(_images(whole, (_ALL, part))) for part in halves(c)]
        says = "the two halves of the channels, apart"
        yield Claim("RELATE-11", says, (whole, *parts), joined(axis))
        reversed_call = whole.derived(_images(whole, (_ALL, _BACK)))
        says, back = "the channels in reverse order", along(axis, _BACK)
        yield Claim("RELATE-11", says, (whole, reversed_call), lambda y: Sides(y[0], y[1][back]))


def _weighted_channels(whole: RelatedCall) -> Iterator[Claim]:
    x, w, bias = whole.inputs
    axis = 0 if whole.case.operator == "conv" else 1
    if whole.case.groups == 1 and w.shape[axis] > 1:
        parts = [
            whole.derived({"w": w[along(axis, part)], "bias": _some(bias, part)})
            for part in halves(w.shape[axis])
        ]
        says = "the two halves of the output channels, apart"
        yield Claim("RELATE-11", says, (whole, *parts), joined(1))
    arrays = {"x": x[:, _BACK], "w": w[_BACK, _BACK], "bias": _some(bias, _BACK)}
    reversed_call = whole.derived(arrays)
    says = "the input and output channels in reverse order"
    yield Claim("RELATE-11", says, (whole, reversed_call), lambda y: Sides(y[0], y[1][:, _BACK]))


def _some(bias: Array | None, part: slice) -> Array | None:
    return None if bias is None else bias[part]


def _gradient_channels(whole: RelatedCall) -> Iterator[Claim]:
    """Claim that a gradient can be computed by halves of the input and of the output channels."""
    case, given = whole.case, whole.arguments
    c, o = case.x[1], (case.w or ())[0]
    if case.groups > 1 or min(c, o) < 2:
        return
    grad = given["grad"]
    if case.operator == "conv_input_grad":
        of_inputs: tuple[str, ...] = ("w", "input_shape")
        outer = [whole.derived({"grad": grad[:, p], "w": given["w"][p]}) for p in halves(o)]
        says = "the sum over the two halves of the output channels"
        yield Claim("RELATE-12", says, (whole, *outer), added)
    else:
        of_inputs = ("x", "weight_shape")
        rows = [
            whole.derived({"grad": grad[:, p], "weight_shape": _taken(given["weight_shape"], (p,))})
            for p in halves(o)
        ]
        yield Claim("RELATE-11", "the two halves of its rows, apart", (whole, *rows), joined(0))
    parts = [
        whole.derived({name: _taken(given[name], (_ALL, p)) for name in of_inputs})
        for p in halves(c)
    ]
    says = "the two halves of the input channels, apart"
    yield Claim("RELATE-11", says, (whole, *parts), joined(1))


def additivity(whole: RelatedCall) -> Iterator[Claim]:
    """Claim that the sums over halves of the input channels, and the bias, add up to the whole."""
    case = whole.case
    if case.operator not in WEIGHTED:
        return
    x, w, bias = whole.inputs
    if bias is not None:
        calls = (whole, whole.derived({"bias": None}))
        says, addend = "the result without the bias, and the bias", column(bias, case.dims)
        yield Claim("RELATE-12", says, calls, lambda y: Sides(y[0], y[1] + addend))
    axis = 1 if case.operator == "conv" else 0
    if case.groups > 1 or w.shape[axis] < 2:
        return
    parts = [
        whole.derived({"x": x[:, part], "w": w[along(axis, part)], "bias": given})
        for part, given in zip(halves(w.shape[axis]), (bias, None), strict=True)
    ]
    says = "the sum over the two halves of the input channels"
    yield Claim("RELATE-12", says, (whole, *parts), added)


def locality(whole: RelatedCall) -> Iterator[Claim]:
    """Claim that each half of the output follows from the part of the input that it reads.

    A gradient of the weight is the sum over the two halves of the output positions.
    """
    case, given = whole.case, whole.arguments
    axis = int(np.argmax(case.x[2:]))
    if case.operator == "conv_transpose":
        yield from _overlap(whole, axis)
    adds = case.operator == "conv_weight_grad"
    if not (adds or case.operator in WINDOWED) or case.ceil_mode:
        return
    shape = given["grad"].shape if adds else OPERATORS[case.operator].output_shape(case)
    if shape[2 + axis] < 2:
        return
    parts = []
    for part in halves(shape[2 + axis]):
        where, pair = window(case, axis, part.start, part.stop)
        if where.start >= where.stop:
            return
        arrays = {"x": given["x"][along(2 + axis, where)]}
        if adds:
            arrays["grad"] = given["grad"][along(2 + axis, part)]
        parts.append(whole.derived(arrays, padding=put(case.padding, axis, pair)))
    if adds:
        says = f"the sum over the two halves of the output positions along axis {axis}"
    else:
        says = f"the two halves of the output along axis {axis}, each from what its windows read"
    yield Claim("RELATE-13", says, (whole, *parts), added if adds else joined(2 + axis))


def _overlap(whole: RelatedCall, axis: int) -> Iterator[Claim]:
    """Claim that the outputs of conv_transpose for two halves of x add up where they overlap."""
    case, (x, _, bias) = whole.case, whole.inputs
    if case.x[2 + axis] < 2:
        return
    padding, output_padding = put(case.padding, axis, (0, 0)), put(case.output_padding, axis, 0)
    parts = [
        whole.derived(
            {"x": x[along(2 + axis, half)], "bias": None},
            padding=padding,
            output_padding=output_padding,
        )
        for half in halves(case.x[2 + axis])
    ]
    begin, before = case.x[2 + axis] // 2 * case.stride[axis], case.padding[axis][0]

    def sides(y: Sequence[Array]) -> Sides:
        size, first, second = (output.shape[2 + axis] for output in y)
        total = np.zeros(put(y[0].shape, 2 + axis, max(before + size, begin + second)))
        total[along(2 + axis, slice(0, first))] += y[1]
        total[along(2 + axis, slice(begin, begin + second))] += y[2]
        right = total[along(2 + axis, slice(before, before + size))]
        return Sides(y[0], right if bias is None else right + column(bias, case.dims))

    says = f"the two halves of the input along axis {axis}, added where their outputs overlap"
    yield Claim("RELATE-13", says, (whole, *parts), sides)


def shift(whole: RelatedCall) -> Iterator[Claim]:
    """Claim that subtracting a constant from the input of max_pool subtracts it from the output."""
    (x, *_) = whole.inputs
    if whole.case.operator != "max_pool" or x.dtype.kind in "iu":
        return
    moved = whole.derived({"x": (widened(x) - SHIFT).astype(x.dtype)})
    says = f"the maximum of the input less {SHIFT}, and {SHIFT}"
    yield Claim("RELATE-14", says, (whole, moved), lambda y: Sides(y[0], y[1] + SHIFT))


SHIFT = 128
"""What is subtracted: exact in every floating-point dtype, and more than any input of a pool."""
