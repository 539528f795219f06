"""Relations between calls that write the same parameter in two ways."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from conformance.calling import Array
from conformance.case import Shape
from conformance.checks.relations.claims import (
    WEIGHTED,
    WINDOWED,
    Claim,
    RelatedCall,
    Sides,
    column,
    defaults,
    joined,
    reach,
    widened,
    window,
)
from conformance.large.contraction import spatial
from conformance.operators import OPERATORS


def one_by_one(whole: RelatedCall) -> Iterator[Claim]:
    """Claim that a kernel of one position is a matrix product at every position."""
    case = whole.case
    if case.operator not in WEIGHTED:
        return
    x, w, bias = whole.inputs
    ones, none = defaults(case)
    point = w[spatial((slice(0, 1),) * case.dims)]
    call = whole.derived({"w": point}, stride=ones, dilation=ones, padding=none, output_padding=())

    def sides(y: Sequence[Array]) -> Sides:
        n, c, g = *case.x[:2], case.groups
        matrices = widened(point).reshape(g, -1, point.shape[1])
        if case.operator == "conv_transpose":
            matrices = matrices.swapaxes(1, 2)
        right = matrices @ widened(x).reshape(n, g, c // g, -1)  # (N, G, O/G, P)
        right = right.reshape(y[0].shape)
        return Sides(y[0], right if bias is None else right + column(bias, case.dims))

    yield Claim("RELATE-3", "a matrix product at each position", (call,), sides)


def dilation(whole: RelatedCall) -> Iterator[Claim]:
    """Claim that a dilated kernel is a kernel with zeros between its taps."""
    case = whole.case
    if case.operator not in WEIGHTED or max(case.dilation) == 1:
        return
    w = whole.arguments["w"]
    sizes = tuple(reach(case, axis) for axis in range(case.dims))
    sparse = np.zeros((*w.shape[:2], *sizes), w.dtype)
    sparse[spatial(slice(None, None, d) for d in case.dilation)] = w
    call = whole.derived({"w": sparse}, dilation=defaults(case)[0])
    says = "the kernel with zeros between its taps, without dilation"
    yield Claim("RELATE-4", says, (whole, call), joined(0))


def stride(whole: RelatedCall) -> Iterator[Claim]:
    """Claim that a stride takes every stride-th output, or spreads the input of conv_transpose."""
    case = whole.case
    if max(case.stride) == 1 or case.ceil_mode:
        return
    ones, _ = defaults(case)
    steps = tuple(slice(None, None, step) for step in case.stride)
    if case.operator in WINDOWED:
        call = whole.derived({}, stride=ones)
        says = "every stride-th output of the call with stride 1"
        yield Claim("RELATE-5", says, (whole, call), lambda y: Sides(y[0], y[1][spatial(steps)]))
    elif case.operator == "conv_transpose":
        x = whole.arguments["x"]
        sizes = ((size - 1) * s + 1 for size, s in zip(case.x[2:], case.stride, strict=True))
        sparse = np.zeros((*x.shape[:2], *sizes), x.dtype)
        sparse[spatial(steps)] = x
        output_padding = case.output_padding  # a longer output is one whose end is cropped by less
        pads = zip(case.padding, output_padding, strict=True)
        padding = tuple((before, after - r) for (before, after), r in pads)
        if min(after for _, after in padding) < 0:
            return
        call = whole.derived({"x": sparse}, stride=ones, padding=padding, output_padding=())
        says = "the input with zeros between its elements, with stride 1"
        yield Claim("RELATE-5", says, (whole, call), joined(0))


def padding(whole: RelatedCall) -> Iterator[Claim]:
    """Claim that padding pads the input array, or crops the output of conv_transpose."""
    case = whole.case
    if not any(map(any, case.padding)):
        return
    _, none = defaults(case)
    if case.operator == "conv_transpose":
        call = whole.derived({}, padding=none)

        def sides(y: Sequence[Array]) -> Sides:
            crop = zip(case.padding, y[0].shape[2:], strict=True)
            where = (slice(before, before + size) for (before, _), size in crop)
            return Sides(y[0], y[1][spatial(where)])

        yield Claim("RELATE-6", "the output without padding, cropped", (whole, call), sides)
    elif case.operator in WINDOWED and not case.ceil_mode and case.count_include_pad:
        x = whole.arguments["x"]
        fill: float = 0
        if case.operator == "max_pool":
            fill = -np.inf if x.dtype.kind not in "iu" else int(np.iinfo(x.dtype).min)
        sizes = (size + sum(pair) for size, pair in zip(case.x[2:], case.padding, strict=True))
        full = np.full((*x.shape[:2], *sizes), fill, x.dtype)
        inner = zip(case.padding, case.x[2:], strict=True)
        full[spatial(slice(before, before + size) for (before, _), size in inner)] = x
        call = whole.derived({"x": full}, padding=none)
        yield Claim("RELATE-6", "the input padded beforehand", (whole, call), joined(0))


def reversal(whole: RelatedCall) -> Iterator[Claim]:
    """Claim that reversing input and kernel along the spatial axes reverses the output."""
    case = whole.case
    back = spatial((slice(None, None, -1),) * case.dims)
    arrays = {"x": whole.arguments["x"]} if case.operator in (*WEIGHTED, *WINDOWED) else {}
    if not arrays or case.ceil_mode:
        return
    changes: dict[str, Any] = {}
    if case.operator == "conv_transpose":
        ends = [(a - r, b) for (b, a), r in zip(case.padding, case.output_padding, strict=True)]
        changes["output_padding"] = ()
    else:  # what no window reads at the end would come first
        out: Shape = OPERATORS[case.operator].output_shape(case)[2:]
        read = [window(case, axis, 0, size) for axis, size in enumerate(out)]
        arrays["x"] = arrays["x"][spatial(where for where, _ in read)]
        ends = [(after, before) for _, (before, after) in read]
    if min(itertools.chain(*ends, arrays["x"].shape[2:])) < 0 or 0 in arrays["x"].shape:
        return
    arrays = {name: value[back] for name, value in arrays.items()}
    if case.operator in WEIGHTED:
        arrays["w"] = whole.arguments["w"][back]
    call = whole.derived(arrays, padding=tuple(ends), **changes)
    says = "input and kernel reversed" if case.operator in WEIGHTED else "the input reversed"
    yield Claim("RELATE-9", says, (whole, call), lambda y: Sides(y[0], y[1][back]))
