"""Rows: rows of results just longer than a vector, by stride, dilation, padding and place.

A kernel writes a row in vectors of 8, 16 or 32 results, or computes several vectors at once. What
is left over, and what reaches into the padding, is code of its own, for each stride that it knows.
Small worlds (`conformance.cases.worlds`) end before the first vector does.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

from conformance.case import Case
from conformance.cases.worlds import Axis, call, forward_of
from conformance.dtypes import INTEGERS
from conformance.operators import OPERATORS, Operator
from conformance.sizes import span, transpose_size

KERNELS = {1: (1, 2, 3, 4, 5, 7, 9, 11, 16), 2: (1, 2, 3, 5)}
"""The windows along the axis, by the number of dimensions."""
RESULTS = {1: (9, 17, 33), 2: (9, 17)}
"""How many results a row has."""
MODES = ("ceil_mode", "count_include_pad")
"""The parameters of poolings that are tried in all combinations, on whole planes."""
STRIDES, DILATIONS = (1, 2, 3, 4, 5, 8), (2, 4)
"""The strides, and the dilations at stride 1."""
PLACED_KERNELS, PLACED_RESULTS, LAST = (1, 2, 3), (8, 9, 16, 17), 4
"""Of rows with NaN and infinities: windows, results, and how many of the last places are tried."""


def rows(operator: str, dims: int, dtype: str, leading: bool) -> list[Case]:
    """Return rows along each axis, and rows with NaN and infinities at the last places."""
    found, forward = OPERATORS[operator], forward_of(operator)
    if not (leading and found.has_window and dtype in found.dtypes and dims in KERNELS):
        return []
    along = itertools.product(range(dims), _steps(forward), KERNELS[dims], RESULTS[dims])
    made: dict[Case, None] = {}
    for axis, step, kernel, results in along:
        for number, padding in enumerate(_paddings(forward, kernel, step[1])):
            rest = step[0] - 1 if (number + kernel + results) % 2 else 0
            one = _axis(forward, kernel, step, results, padding, rest)
            if one is None:
                continue
            axes = [Axis(3, 1, 1, 1, (0, 0), 0)] * dims
            axes[axis] = one
            ceil_mode = "ceil_mode" in forward.parameters and number % 2 == 1
            counted = "count_include_pad" not in forward.parameters or results % 4 == 1
            made[call(operator, axes, dtype, ceil_mode=ceil_mode, count_include_pad=counted)] = None
    made |= dict.fromkeys(_squares(operator, forward, dims, dtype))
    placed = () if dtype in INTEGERS else _placed(operator, forward, dims, dtype)
    return [*dict.fromkeys((*made, *placed))]


def _steps(forward: Operator) -> Iterator[tuple[int, int]]:
    """Yield strides and dilations; one of them is 1."""
    yield from ((stride, 1) for stride in STRIDES)
    if "dilation" in forward.parameters:
        yield from ((1, dilation) for dilation in DILATIONS)


def _paddings(forward: Operator, kernel: int, dilation: int) -> tuple[tuple[int, int], ...]:
    """Return no padding, half of the window on both sides, and as much as may be on either side."""
    most = dilation * (kernel - 1) if forward.has_weight else kernel // 2
    half = most // 2 if forward.has_weight else most
    return tuple(dict.fromkeys(((0, 0), (half, half), (most, 0), (0, most))))


def _axis(
    forward: Operator,
    kernel: int,
    step: tuple[int, int],
    results: int,
    padding: tuple[int, int],
    rest: int,
) -> Axis | None:
    """Return an axis with so many results, and a ``rest`` that no window reads."""
    stride, dilation = step
    if forward.is_transposed:
        more = min(rest, max(stride, dilation) - 1)
        valid = transpose_size(results, kernel, stride, padding, dilation, more) > 0
        return Axis(results, kernel, stride, dilation, padding, more) if valid else None
    size = (results - 1) * stride + span(kernel, dilation) + rest - sum(padding)
    return Axis(size, kernel, stride, dilation, padding, 0) if size > 0 else None


def _squares(operator: str, forward: Operator, dims: int, dtype: str) -> Iterator[Case]:
    """Yield poolings of planes by the usual windows, in each mode, with and without padding."""
    if forward.has_weight:
        return
    modes = itertools.product(
        *((False, True) if name in forward.parameters else (False,) for name in MODES)
    )
    shapes = itertools.product((2, 3), (1, 2), RESULTS[dims], (0, 1), (0, 1))
    for (ceil_mode, exclude), (kernel, stride, results, padding, rest) in itertools.product(
        list(modes), shapes
    ):
        one = _axis(forward, kernel, (stride, 1), results, (padding, padding), rest)
        if one is not None:
            yield call(
                operator, [one] * dims, dtype, ceil_mode=ceil_mode, count_include_pad=not exclude
            )


def _placed(operator: str, forward: Operator, dims: int, dtype: str) -> Iterator[Case]:
    """Yield rows of one image whose NaN or infinity lies at one of the last places of the input.

    In two dimensions the window has as many rows as columns, and each of them has it there.
    """
    shapes = itertools.product(PLACED_KERNELS, (1, 2), PLACED_RESULTS)
    for kernel, stride, results in shapes:
        one = _axis(forward, kernel, (stride, 1), results, (0, 0), 0)
        assert one is not None
        size = 1 if forward.is_transposed else kernel
        axes = [Axis(size, kernel, stride, 1, (0, 0), 0)] * (dims - 1) + [one]
        case = call(operator, axes, dtype, ceil_mode=False, count_include_pad=True)
        plane = math.prod(case.x[2:])
        for row, back, data in itertools.product(range(size), range(LAST), ("nan", "inf")):
            place = (row + 1) * one.size - 1 - back
            if back < one.size:
                yield case.replace(data=data, seed=_seed(case, place, plane))


def _seed(case: Case, place: int, plane: int) -> int:
    """Return a seed that puts the special value at a place of a channel of x, the first if it may.

    One seed in five puts it into the weight (`cases.data`).
    """
    channels = 1 if case.w is None else case.x[1]
    seeds = (place + channel * plane for channel in range(2 * channels))
    return next((seed for seed in seeds if seed % 5 != 4), place)


def every_row(operator: str, dims: int, dtype: str, leading: bool) -> str:
    """Return what `rows` are, in words."""
    along = "" if dims == 1 else " along one axis"
    pools = (
        "" if OPERATORS[operator].has_weight else "; windows of 2 and 3 along all axes in each mode"
    )
    dilated = "dilation" in forward_of(operator).parameters
    dilations = f" or dilation {_listed(DILATIONS)}" if dilated else ""
    return (
        f"{operator}{dims}d with {_listed(RESULTS[dims])} results{along}, at each window of "
        f"{_listed(KERNELS[dims])}, stride of {_listed(STRIDES)}{dilations}, without padding, with "
        "half of the window and with all that a window may have on either side; NaN and "
        f"infinities at the last {LAST} places of rows{pools}"
    )


def _listed(numbers: tuple[int, ...]) -> str:
    return f"{', '.join(map(str, numbers[:-1]))} and {numbers[-1]}"
