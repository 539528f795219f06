"""A violation as a picture, and its case in words."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import product

import numpy as np
from markupsafe import Markup

from conformance.case import Case
from conformance.errors import CaseError
from conformance.reports.grids import Grid, svg
from conformance.reports.text import plural
from conformance.runfile.tables import Violation
from conformance.sizes import result_shape

_NAMES = {
    "conv": "convolution",
    "conv_transpose": "transposed convolution",
    "max_pool": "max pooling",
    "avg_pool": "average pooling",
    "conv_input_grad": "gradient of a convolution by its input",
    "conv_weight_grad": "gradient of a convolution by its weight",
    "conv_bias_grad": "gradient of a convolution by its bias",
    "max_pool_grad": "gradient of max pooling",
    "avg_pool_grad": "gradient of average pooling",
}
_DATA = {
    "integers": "small integers",
    "impulse": "zeros but for a few ones",
    "digits": "long odd integers",
    "normal": "random numbers",
    "small": "numbers of a small range",
    "wide": "numbers of a wide range",
    "nan": "NaN among small integers",
    "inf": "infinities among small integers",
    "zeros": "zeros of both signs",
    "subnormal": "subnormal numbers among small integers",
    "huge": "numbers near the largest of the dtype",
    "every": "every bit pattern of the dtype, counting up",
    "measured": "numbers of the ranges that a model's own have",
}


def in_words(case_id: str) -> str:
    """Return a case as a sentence; nothing where this version does not know it."""
    try:
        case = Case.parse(case_id)
    except CaseError:
        return ""
    n, channels, *sizes = case.x
    by = " x "
    parts = [
        f"A {case.dims}-D {_NAMES.get(case.operator, case.operator)} in {case.dtype} of "
        f"{plural(n, 'image')} with {plural(channels, 'channel')} of {by.join(map(str, sizes))}"
    ]
    if case.w is not None:
        window = by.join(map(str, case.window))
        parts.append(f"a weight of {case.w[0]} x {case.w[1]} kernels of {window}")
    elif case.kernel is not None:
        parts.append(f"windows of {by.join(map(str, case.kernel))}")
    parts += _deviations(case)
    data = _DATA.get(case.data, case.data)
    return f"{', '.join(parts)}; data: {data}, seed {case.seed}."


def _deviations(case: Case) -> Iterator[str]:
    if case.bias:
        yield "a bias"
    if set(case.stride) != {1}:
        yield f"stride {' x '.join(map(str, case.stride))}"
    if any(map(any, case.padding)):
        sides = (
            f"{a} before and {b} after" if a != b else f"{a} on both sides" for a, b in case.padding
        )
        yield f"padding {' by '.join(sides)}"
    if any(case.output_padding):
        yield f"output padding {' x '.join(map(str, case.output_padding))}"
    if set(case.dilation) != {1}:
        yield f"dilation {' x '.join(map(str, case.dilation))}"
    if case.groups > 1:
        yield f"{case.groups} groups"
    if case.ceil_mode:
        yield "its size rounded up (ceil_mode)"
    if not case.count_include_pad:
        yield "averages that do not count the padding"
    if case.memory != "contiguous":
        yield f"arrays that lie in memory as {case.memory}"
    if case.invalid:
        yield f"made invalid by {case.invalid}"


def drawn(violation: Violation) -> Markup | None:
    """Return the inputs, the exact result and what came instead as SVG; None if there is none."""
    try:
        data = json.loads(violation.picture)
        wrong = {int(position) for position in data["wrong"]}
        grids = [
            Grid(str(name), tuple(map(int, one["shape"])), tuple(map(str, one["values"])))
            for name, one in data["arrays"].items()
        ]
        if any(len(grid.values) != np.prod(grid.shape, dtype=int) for grid in grids):
            return None
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    first = min(wrong, default=0)
    chosen = {"x": window(violation.case, first)} if wrong else {}
    marked = []
    for grid in grids:
        marks = {"wrong": wrong} if grid.title == "got" else {"chosen": chosen.get(grid.title, ())}
        if grid.title == "exact" and chosen.get("x"):
            marks = {"chosen": {first}}
        title = _TITLES.get(grid.title, grid.title)
        marked.append(Grid(title, grid.shape, grid.values, marks, lines=len(grid.shape) == 3))
    count = plural(len(wrong), "wrong element")
    label = f"Inputs, exact result and output of {violation.case}: {count}"
    return Markup(svg(marked, label))


_TITLES = {"x": "input x", "w": "kernel w", "exact": "exact", "got": "got"}


def window(case_id: str, element: int) -> set[int]:
    """Return which elements of x an element of the output of a conv or a pool depends on."""
    try:
        case = Case.parse(case_id)
    except CaseError:
        return set()
    if case.operator not in ("conv", "max_pool", "avg_pool"):
        return set()
    sizes, outputs = case.x[2:], case.w[0] if case.w is not None else case.x[1]
    shapes = (case.x,) if case.w is None else (case.x, case.w)
    shape = result_shape(case.operator, shapes, tuple(case.parameters.items()))
    if element >= np.prod(shape, dtype=int):
        return set()
    n, channel, *at = np.unravel_index(element, shape)
    per_group = case.x[1] // case.groups if case.w is not None else 1
    group = int(channel) // (outputs // case.groups) if case.w is not None else int(channel)
    taps = [
        [p * s - before + k * d for k in range(size)]
        for p, s, (before, _), d, size in zip(
            map(int, at), case.stride, case.padding, case.dilation, case.window, strict=True
        )
    ]
    places = (
        (int(n), group * per_group + c, *place)
        for c in range(per_group)
        for place in product(*taps)
    )
    inside = (p for p in places if all(0 <= i < size for i, size in zip(p[2:], sizes, strict=True)))
    return {int(np.ravel_multi_index(place, case.x)) for place in inside}
