"""Features of a case: each gives one label, such as a stride that is the same on every axis."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import TypeAlias

from conformance.case import Case
from conformance.cases.ranges import Ranges
from conformance.operators import FORWARD, GRADIENTS, OPERATORS, Operator
from conformance.sizes import conv_size, span, transpose_size

Labels: TypeAlias = tuple[str, ...]
"""Labels of different features, such as ``("dims=2", "stride=different")``."""

_BARE = ("dims", "dtype", "data", "batch", "size")
_COMMON = (*_BARE, "kernel", "stride", "padding", "gaps")
_CONV = (*_COMMON, "bias", "groups", "dilation", "larger_kernel", "empty_window")
_POOL = (*_COMMON, "remainder", "ceil_mode", "larger_kernel")


def features_of(operator: Operator) -> Labels:
    """Return the features of an operator's cases, which follow from its parameters.

    A gradient has those of its forward operator, if its cases have windows.
    """
    gradient = GRADIENTS.get(operator.name)
    if gradient and operator.has_window:
        return tuple(name for name in features_of(gradient.forward) if name != "bias")
    own = operator.parameters
    if operator.has_weight:
        return (*_CONV, "output_padding" if operator.is_transposed else "remainder")
    if not operator.has_window:
        return _BARE
    dilated = ("dilation", "empty_window") if "dilation" in own else ()
    return (*_POOL, *dilated, *(name for name in ("count_include_pad",) if name in own))


FEATURES: dict[str, Labels] = {name: features_of(operator) for name, operator in FORWARD.items()}
"""The features of each operator's cases:

size            boundary: a channel count or a width is among the ranges' boundary sizes
groups          one; depthwise: one channel in and out each; multiplied: one in, several out; some
kernel          one, odd or even on every axis, or mixed
remainder       rows at the end of the input that no whole window reaches
larger_kernel   the dilated kernel is larger than the input
gaps            the stride is larger than the dilated kernel
empty_window    an output that no input reaches: a window with nothing but padding
ceil_mode       off, or what it does: nothing, a window beyond the padded input, or one dropped
                because it would start beyond the input
"""

_ORDERED = {
    "padding": ("none", "symmetric", "asymmetric"),
    "remainder": ("no", "yes"),
    "ceil_mode": ("off", "without effect", "partial window", "dropped window"),
    "output_padding": ("none", "some"),
    "larger_kernel": ("no", "yes"),
    "gaps": ("no", "yes"),
    "empty_window": ("no", "yes"),
}
"""Features whose label is the rightmost value that an axis of the case has."""


def labels(case: Case, ranges: Ranges) -> Labels:
    """Return one label of each feature of ``case``, in the order of `FEATURES`.

    A gradient's case has those of its forward call (`features_of`).
    """
    features = features_of(OPERATORS[case.operator])
    if case.operator in GRADIENTS:
        case = case.replace(operator=GRADIENTS[case.operator].forward.name)
    values = {
        "dims": str(case.dims),
        "dtype": case.dtype,
        "data": case.data,
        "batch": batch_label(case.x[0]),
        "bias": "yes" if case.bias else "no",
        "count_include_pad": "yes" if case.count_include_pad else "no",
    }
    groups, inner, outer = case.groups, case.x[1] // case.groups, 1
    if case.w is not None:
        outer = case.w[1] if FORWARD[case.operator].is_transposed else case.w[0] // groups
        values["groups"] = grouping_label(groups, inner, outer)
    crosses = crosses_boundary(groups, inner, outer, ranges)
    wide = any(size in ranges.boundary_widths for size in case.x[2:])
    values["size"] = "boundary" if crosses or wide else "small"
    axes = [
        axis_values(
            case.operator,
            case.x[2 + axis],
            case.window[axis] if case.window else 1,
            case.stride[axis],
            case.dilation[axis],
            case.padding[axis],
            case.output_padding[axis],
            case.ceil_mode,
        )
        for axis in range(case.dims)
    ]
    for feature in axes[0]:
        values[feature] = axes_label(feature, {axis[feature] for axis in axes})
    return tuple(f"{feature}={values[feature]}" for feature in features)


def batch_label(size: int) -> str:
    """Return the label of a batch size."""
    return str(size) if size < 2 else "many"


def grouping_label(groups: int, inner: int, outer: int) -> str:
    """Return the label of a number of groups with these input and output channels of a group."""
    if groups == 1:
        return "one"
    if inner > 1:
        return "some"
    return "depthwise" if outer == 1 else "multiplied"


def crosses_boundary(groups: int, inner: int, outer: int, ranges: Ranges) -> bool:
    """Whether some channel count, of a group or of all of them, is a boundary size."""
    counts = {inner, outer, groups * inner, groups * outer}
    return not counts.isdisjoint(ranges.boundary_channels)


def axis_values(
    operator: str,
    size: int,
    kernel: int,
    stride: int,
    dilation: int,
    padding: tuple[int, int],
    output_padding: int,
    ceil: bool,
) -> dict[str, str | int]:
    """Return the values of one spatial axis, for the features that all axes decide together."""
    before, after = padding
    reach = span(kernel, dilation)
    values: dict[str, str | int] = {
        "kernel": "one" if kernel == 1 else "odd" if kernel % 2 else "even",
        "stride": stride,
        "dilation": dilation,
        "padding": "asymmetric" if before != after else "symmetric" if before else "none",
        "larger_kernel": "yes" if reach > size else "no",
        "gaps": "yes" if stride > reach else "no",
    }
    if FORWARD[operator].is_transposed:
        out = transpose_size(size, kernel, stride, padding, dilation, output_padding)
        unreached = _unreached(size, kernel, stride, dilation, output_padding)
        empty = any(before <= position < before + out for position in unreached)
        values["output_padding"] = "some" if output_padding else "none"
    else:
        out = conv_size(size, kernel, stride, padding, dilation, ceil=ceil)
        starts = range(-before, out * stride - before, stride)
        empty = any(_reads_nothing(start, kernel, dilation, size) for start in starts)
        room = size + before + after - reach
        values["remainder"] = "yes" if room % stride else "no"
        values["ceil_mode"] = _ceil(room, stride, out) if ceil else "off"
    values["empty_window"] = "yes" if empty else "no"
    return values


def axes_label(feature: str, axis_labels: Iterable[str | int]) -> str:
    """Return the label of a case whose axes have the values ``axis_labels``."""
    values = set(axis_labels)
    if feature in ("stride", "dilation"):
        return "different" if len(values) > 1 else "one" if values == {1} else "same"
    if feature == "kernel":
        if values == {"one"}:
            return "one"
        return "odd" if "even" not in values else "even" if values == {"even"} else "mixed"
    return max(map(str, values), key=_ORDERED[feature].index)


def _ceil(room: int, stride: int, out: int) -> str:
    """Return the label of rounding up, where ``room`` is the padded input less one window."""
    if room % stride == 0:
        return "without effect"
    return "partial window" if out == room // stride + 2 else "dropped window"


def _reads_nothing(start: int, kernel: int, dilation: int, size: int) -> bool:
    """Whether a window that starts at input position ``start`` misses the input."""
    first = max(0, -(start // dilation))  # the first kernel position at or after the input's start
    return first >= kernel or start + first * dilation >= size


@lru_cache(maxsize=4096)
def _unreached(
    size: int, kernel: int, stride: int, dilation: int, output_padding: int
) -> tuple[int, ...]:
    """Return the positions of a transposed convolution's uncropped output that no input reaches."""
    reached = {i * stride + k * dilation for i in range(size) for k in range(kernel)}
    total = (size - 1) * stride + span(kernel, dilation) + output_padding
    return tuple(position for position in range(total) if position not in reached)
