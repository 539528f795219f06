"""Small worlds: spaces of small calls that are listed completely.

A mistake that needs one width, kernel, stride and padding at once is met by luck among drawn cases.
Where sizes are small, all of them together are few, and arrays and sums can be shared
(`conformance.judging.together`).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from conformance.case import Case, Shape
from conformance.dtypes import INTEGERS
from conformance.operators import GRADIENTS, OPERATORS, Operator
from conformance.sizes import span, transpose_size


@dataclass(frozen=True, slots=True)
class Limits:
    """How large each quantity of a geometry may be, on each axis."""

    width: int
    kernel: int
    stride: int
    dilation: int
    padding: int


SMALL = {1: Limits(width=9, kernel=4, stride=3, dilation=2, padding=2)}
"""The limits of `geometries` by the number of dimensions."""
WIDE = {
    1: Limits(width=12, kernel=5, stride=4, dilation=3, padding=3),
    2: Limits(width=4, kernel=3, stride=2, dilation=2, padding=1),
}
"""The limits of `wide_geometries`; those of a transposed convolution are less wide by one, since
output_padding makes more of them."""

CHANNELS = 16
"""How many channels `channels` have at most, and groups; images of a pooling as well."""
GROUPS, GROUPED = 33, ((1, 2), (2, 1), (2, 2), (4, 4), (8, 8))
"""How many groups `channels` have at most beyond that, and the channels of each: in and out."""
CHANNEL_DIMS = 2
"""The number of dimensions of `channels`, which is that of most kernels for one element."""
MIXED: Mapping[int, tuple[int, ...]] = MappingProxyType({2: (1, 2, 3), 3: (1, 3)})
"""The kernels along each axis of `mixtures`, by the number of dimensions."""
GROUPINGS = {"dense": (1, 2, 2), "grouped": (2, 2, 2), "depthwise": (4, 1, 1)}
"""Those of `mixtures`: groups, and the input and output channels of each."""
SHORT, LENGTH, LENGTH_DIMS = 5, 72, 2
"""How long a window of `lengths` is at least and at most, and in how many dimensions at most."""
SPECIAL_LENGTHS = tuple(block + more for block in (8, 16, 24, 32, 48, 64) for more in (-1, 0, 1))
"""The lengths of windows that are handed NaN and infinities, too."""
DILATIONS = range(2, 9)
DILATED_LENGTHS = (*range(2, 7), *(length for length in SPECIAL_LENGTHS if length <= 33))
"""The dilations of windows, and the lengths of those that are dilated."""


@dataclass(frozen=True, slots=True)
class Axis:
    """A geometry of one axis."""

    size: int
    kernel: int
    stride: int
    dilation: int
    padding: tuple[int, int]
    output_padding: int


def geometries(operator: str, dims: int, dtype: str, leading: bool) -> list[Case]:
    """Return the calls of every geometry within `SMALL`."""
    return _geometries(operator, dims, dtype, SMALL) if leading else []


def wide_geometries(operator: str, dims: int, dtype: str, leading: bool) -> list[Case]:
    """Return the calls of every geometry within `WIDE`."""
    return _geometries(operator, dims, dtype, WIDE) if leading else []


def _geometries(operator: str, dims: int, dtype: str, limits: dict[int, Limits]) -> list[Case]:
    """Return the calls of every geometry within ``limits``, those of equal arrays together."""
    found, forward = OPERATORS[operator], forward_of(operator)
    if dims not in limits or dtype not in found.dtypes:
        return []
    most = _limits(operator, dims, limits)
    if not found.has_window:
        sizes = itertools.product(range(1, most.width + 1), repeat=dims)
        images = itertools.product((1, 2, 3), (1, 2, 3))
        return [
            Case(operator=operator, x=(n, c, *size), dtype=dtype)
            for size, (n, c) in itertools.product(sizes, images)
        ]
    flags = [
        (ceil_mode, count_include_pad)
        for ceil_mode in ((False, True) if "ceil_mode" in found.parameters else (False,))
        for count_include_pad in (
            (True, False) if "count_include_pad" in found.parameters else (True,)
        )
    ]
    return [
        call(operator, axes, dtype, ceil_mode=ceil_mode, count_include_pad=count_include_pad)
        for axes in itertools.product(list(_axes(forward, most)), repeat=dims)
        for ceil_mode, count_include_pad in flags
    ]


def _limits(operator: str, dims: int, limits: dict[int, Limits]) -> Limits:
    most = limits[dims]
    fewer = limits is WIDE and OPERATORS[operator].is_transposed
    return replace(most, width=most.width - 1) if fewer else most


def _axes(forward: Operator, limits: Limits) -> Iterator[Axis]:
    """Yield every geometry of one axis with which a call is valid."""
    dilations = range(1, limits.dilation + 1 if "dilation" in forward.parameters else 2)
    for size in range(1, limits.width + 1):
        for kernel in range(1, limits.kernel + 1):
            most = limits.padding if forward.has_weight else min(limits.padding, kernel // 2)
            paddings = [(a, b) for a in range(most + 1) for b in range(most + 1)]
            for dilation, stride in itertools.product(dilations, range(1, limits.stride + 1)):
                extra = max(stride, dilation) if forward.is_transposed else 1
                for padding, more in itertools.product(paddings, range(extra)):
                    if forward.is_transposed:
                        valid = transpose_size(size, kernel, stride, padding, dilation, more) > 0
                    else:
                        valid = size + sum(padding) >= span(kernel, dilation)
                    if valid:
                        yield Axis(size, kernel, stride, dilation, padding, more)


def call(
    operator: str, axes: Sequence[Axis], dtype: str, *, ceil_mode: bool, count_include_pad: bool
) -> Case:
    """Return a call of two channels, which show what is read beyond a row."""
    kernel = tuple(axis.kernel for axis in axes)
    weighted = OPERATORS[operator].has_weight
    biased = "bias" in OPERATORS[operator].arguments
    return Case(
        operator=operator,
        x=(1, 2, *(axis.size for axis in axes)),
        w=(2, 2, *kernel) if weighted else None,
        kernel=None if weighted else kernel,
        bias=biased and (axes[0].size + axes[0].kernel) % 2 == 1,
        stride=tuple(axis.stride for axis in axes),
        dilation=tuple(axis.dilation for axis in axes),
        padding=tuple(axis.padding for axis in axes),
        output_padding=tuple(axis.output_padding for axis in axes),
        ceil_mode=ceil_mode,
        count_include_pad=count_include_pad,
        dtype=dtype,
    )


def lengths(operator: str, dims: int, dtype: str, leading: bool) -> list[Case]:
    """Return the calls of every length of a window along one axis, at stride 1 and 2, and dilated.

    A loop over a window is unrolled by some number of elements, and what is left over is code of
    its own. What it does of NaN and infinities is asked at lengths near those numbers, with one of
    them at the beginning, in the middle and at the end of the first window.
    """
    found, forward = OPERATORS[operator], forward_of(operator)
    there = found.has_window and dtype in found.dtypes
    if not (leading and there and dims <= LENGTH_DIMS):
        return []
    cases = []
    for axis, kernel, stride in itertools.product(range(dims), range(SHORT, LENGTH + 1), (1, 2)):
        axes = [Axis(3, 1, 1, 1, (0, 0), 0)] * dims
        size = 3 if forward.is_transposed else kernel + 4
        axes[axis] = Axis(size, kernel, stride, 1, (0, 0), 0)
        case = call(operator, tuple(axes), dtype, ceil_mode=False, count_include_pad=True)
        cases.append(case)
        if stride == 1 and kernel in SPECIAL_LENGTHS and dtype not in INTEGERS:
            apart = math.prod(case.x[3 + axis :])  # elements from one of the axis to the next
            places = (0, "nan"), (kernel // 2, "nan"), (kernel - 1, "nan"), (kernel - 1, "inf")
            cases += [case.replace(data=data, seed=place * apart) for place, data in places]
    if "dilation" not in forward.parameters:
        return cases
    for axis, kernel, dilation in itertools.product(range(dims), DILATED_LENGTHS, DILATIONS):
        axes = [Axis(3, 1, 1, 1, (0, 0), 0)] * dims
        size = 12 if forward.is_transposed else dilation * (kernel - 1) + 12
        padding = kernel // 2 if (kernel + dilation) % 2 else 0
        axes[axis] = Axis(size, kernel, 1, dilation, (padding, padding), 0)
        cases.append(call(operator, tuple(axes), dtype, ceil_mode=False, count_include_pad=True))
    return cases


def mixtures(operator: str, dims: int, dtype: str, leading: bool) -> list[Case]:
    """Return the calls of every mixture of kernels and strides along the axes, in each grouping.

    Libraries have kernels of their own for 1x3x3 and 3x1x1, and some for one stride along one axis.
    There is no padding, or half of the kernel.
    """
    found, forward = OPERATORS[operator], forward_of(operator)
    if not (leading and found.has_window and dtype in found.dtypes and dims in MIXED):
        return []
    cases = []
    each = itertools.product(MIXED[dims], (1, 2))
    for axes, padded in itertools.product(itertools.product(each, repeat=dims), (False, True)):
        kernel, stride = (tuple(axis) for axis in zip(*axes, strict=True))
        padding = tuple((k // 2, k // 2) if padded else (0, 0) for k in kernel)
        if padded and not any(map(any, padding)):
            continue
        # Three positions along each axis; a stride of two leaves a row unread.
        size = tuple(
            3 if forward.is_transposed else 3 * s - 1 + k - 2 * before
            for (k, s), (before, _) in zip(axes, padding, strict=True)
        )
        plain = Case(
            operator=operator, x=(1, 2, *size), stride=stride, padding=padding, dtype=dtype
        )
        if not found.has_weight:
            cases.append(plain.replace(kernel=kernel))
            continue
        for groups, inner, outer in GROUPINGS.values():
            w = forward.weight_shape(groups, inner, outer, kernel)
            cases.append(plain.replace(x=(1, groups * inner, *size), w=w, groups=groups))
    return cases


def channels(operator: str, dims: int, dtype: str, leading: bool) -> list[Case]:
    """Return the calls of every number of channels and groups, at a window of one element.

    A pooling has a window of two, and every number of images and channels. Blocks of groups have
    tails as those of channels do: so there are more groups of few channels, with a window of three
    too.
    """
    found, forward = OPERATORS[operator], forward_of(operator)
    there = found.has_window and dtype in found.dtypes
    if not (leading and there and dims == CHANNEL_DIMS):
        return []
    numbers = range(1, CHANNELS + 1)
    ones, size = (1,) * dims, (*(1,) * (dims - 1), 2)
    if not found.has_weight:
        return [
            Case(operator=operator, x=(n, c, *ones[1:], 3), kernel=size, dtype=dtype)
            for n, c in itertools.product(numbers, numbers)
        ]
    cases = []
    for c, o in itertools.product(numbers, numbers):
        for groups in (g for g in numbers if math.gcd(c, o) % g == 0):
            w: Shape | None = forward.weight_shape(groups, c // groups, o // groups, ones)
            bias = "bias" in found.arguments and (c + o) % 2 == 1
            x = (1, c, *size)
            cases.append(Case(operator=operator, x=x, w=w, bias=bias, groups=groups, dtype=dtype))
    many = itertools.product(range(2, GROUPS + 1), GROUPED, (1, 3))
    for groups, (inner, outer), kernel in many:
        w = forward.weight_shape(groups, inner, outer, (*ones[1:], kernel))
        x = (1, groups * inner, *ones[1:], 2 if forward.is_transposed else kernel + 1)
        case = Case(operator=operator, x=x, w=w, groups=groups, dtype=dtype)
        if kernel > 1 or max(x[1], groups * outer) > CHANNELS:  # else it is there
            cases.append(case)
    return cases


def forward_of(operator: str) -> Operator:
    """Return an operator, or the one that it is a gradient of."""
    gradient = GRADIENTS.get(operator)
    return gradient.forward if gradient else OPERATORS[operator]


# --- sentences ----------------------------------------------------------------------------------


def every_geometry(operator: str, dims: int, dtype: str, leading: bool) -> str:
    """Return what `geometries` are, in words."""
    return _in_words(operator, dims, _limits(operator, dims, SMALL))


def every_wide_geometry(operator: str, dims: int, dtype: str, leading: bool) -> str:
    """Return what `wide_geometries` are, in words."""
    return _in_words(operator, dims, _limits(operator, dims, WIDE))


def _in_words(operator: str, dims: int, limits: Limits) -> str:
    found, forward = OPERATORS[operator], forward_of(operator)
    width = "width" if dims == 1 else "height and width"
    if not found.has_window:
        return f"every {operator}{dims}d of {width} <= {limits.width}, images and channels <= 3"
    parts = [f"{width} <= {limits.width}", f"kernel <= {limits.kernel}"]
    parts.append(f"stride <= {limits.stride}")
    if "dilation" in found.parameters:
        parts.append(f"dilation <= {limits.dilation}")
    half = "" if forward.has_weight else " and half of the kernel"
    parts.append(f"padding <= {limits.padding}{half}, before and after")
    if forward.is_transposed:
        parts.append("any output_padding")
    for flag in ("ceil_mode", "count_include_pad"):
        if flag in found.parameters:
            parts.append(f"{flag} on and off")
    return f"every {operator}{dims}d geometry with {', '.join(parts)}"


def every_channel(operator: str, dims: int, dtype: str, leading: bool) -> str:
    """Return what `channels` are, in words."""
    if OPERATORS[operator].has_weight:
        return (
            f"every {operator}{dims}d with C, O and groups <= {CHANNELS} and a 1x1 kernel, and "
            f"with 2 to {GROUPS} groups of few channels"
        )
    return f"every {operator}{dims}d with images and channels <= {CHANNELS}, a window of two"


def every_mixture(operator: str, dims: int, dtype: str, leading: bool) -> str:
    """Return what `mixtures` are, in words."""
    *first, last = map(str, MIXED[dims])
    kernels = f"{', '.join(first)} or {last}"
    grouping = f", {', '.join(GROUPINGS)}" if OPERATORS[operator].has_weight else ""
    return (
        f"every {operator}{dims}d with kernels of {kernels} and strides of 1 or 2 along each axis, "
        f"no padding or half of the kernel{grouping}"
    )


def every_length(operator: str, dims: int, dtype: str, leading: bool) -> str:
    """Return what `lengths` are, in words."""
    along = "" if dims == 1 else " along one axis"
    lengths = ", ".join(map(str, DILATED_LENGTHS))
    dilated = f"; windows of {lengths} at each dilation from {DILATIONS[0]} to {DILATIONS[-1]}"
    return (
        f"every {operator}{dims}d with a window of {SHORT} to {LENGTH}{along} and stride 1 or 2, "
        "some of them with NaN and infinities"
        f"{dilated if 'dilation' in forward_of(operator).parameters else ''}"
    )
