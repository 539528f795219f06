"""Kernels: the signatures by which libraries choose one of many kernels for a call.

A library looks at a call's kernel, stride, dilation, groups and padding (oneDNN, XNNPACK, ncnn,
MNN, Winograd's algorithm: 3x3 with stride 1, 1x1, depthwise 3x3, ...). A `Signature` is what a
kernel is chosen by, besides sizes, dtype and memory layout.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias

from conformance.case import Padding, Shape
from conformance.operators import GRADIENTS, OPERATORS


@dataclass(frozen=True, slots=True)
class Signature:
    """The parameters that a kernel is chosen by; tuples have one entry a spatial axis."""

    operator: str
    kernel: Shape
    """A size of 0 is a kernel as large as the padded input."""
    stride: Shape
    dilation: Shape
    padding: Padding
    grouping: str = "dense"
    """dense; image: dense, with three input channels, as a network's first layer has; grouped: two
    or more channels a group; depthwise; multiplier: depthwise with several output channels for each
    input channel."""
    output_padding: Shape = ()
    ceil_mode: bool = False
    count_include_pad: bool = True

    @property
    def name(self) -> str:
        """The signature in words, such as ``3x3 s2 p1 depthwise``."""
        pads = dict.fromkeys("".join(map(str, dict.fromkeys(pair))) for pair in self.padding)
        parts = (
            "x".join(str(size) if size else "all" for size in self.kernel),
            f"s{self.stride[0]}",
            f"p{max(pads)}" if any(map(any, self.padding)) else "",
            f"d{self.dilation[0]}" if self.dilation[0] > 1 else "",
            "op" if any(self.output_padding) else "",
            "ceil" if self.ceil_mode else "",
            "" if self.count_include_pad else "exclude_pad",
            self.grouping if self.grouping != "dense" else "",
        )
        return " ".join(filter(None, parts))


def signatures(operator: str, dims: int) -> tuple[Signature, ...]:
    """Return the signatures of an operator, the commonest first; a gradient has its forward's."""
    gradient = GRADIENTS.get(operator)
    found = _SIGNATURES[gradient.forward.name if gradient else operator](dims)
    return found if OPERATORS[operator].has_window else found[1:2]


def _make(
    operator: str,
    dims: int,
    kernel: int | Shape,
    stride: int = 1,
    padding: int | tuple[int, int] | Shape = 0,
    grouping: str = "dense",
    *,
    dilation: int = 1,
    output_padding: int = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Signature:
    """Return a signature, the same on every axis but for a ``kernel`` given by axis.

    A ``padding`` of two numbers is before and after every axis; along an axis whose kernel is 1,
    where others' are not, there is none.
    """
    sizes = (kernel,) * dims if isinstance(kernel, int) else kernel
    pair = (padding, padding) if isinstance(padding, int) else padding
    uneven = len(set(sizes)) > 1
    return Signature(
        operator,
        sizes,
        (stride,) * dims,
        (dilation,) * dims,
        tuple((0, 0) if uneven and size == 1 else (pair[0], pair[1]) for size in sizes),
        grouping,
        (output_padding,) * dims,
        ceil_mode,
        count_include_pad,
    )


Row: TypeAlias = tuple[Any, ...]


@cache
def _convolutions(dims: int) -> tuple[Signature, ...]:
    rows: list[Row] = [
        (3, 1, 1),
        (1,),
        (3, 1, 1, "depthwise"),
        (3, 2, 1),
        (1, 2),
        (3, 1, 1, "grouped"),
        (1, 1, 0, "grouped"),
        (0,),
    ]
    if dims < 3:
        rows += [(3,), (3, 2, 1, "depthwise"), (5, 1, 2), (3, 2, (0, 1))]
    if dims == 2:
        rows += [
            (3, 2, 1, "image"),
            (7, 2, 3, "image"),
            (3, 1, 1, "image"),
            (3, 1, (0, 1)),
            (3, 2, 0, "depthwise"),
            (3, 1, 1, "multiplier"),
            (5, 2, 2),
            (7, 2, 3),
            (5, 1, 2, "depthwise"),
            (5, 2, 2, "depthwise"),
            (2, 2),
            (1, 1, 1),
            ((1, 3), 1, 1),
            ((3, 1), 1, 1),
            ((1, 12), 1, 11),
        ]
    if dims == 1:
        rows += [(12, 1, 11)]
    if dims == 3:
        rows += [((1, 3, 3), 1, 1), ((3, 1, 1), 1, 1)]
    dilated = ("dense", "depthwise") if dims == 2 else ("dense",)
    return (
        *(_make("conv", dims, *row) for row in rows),
        *(_make("conv", dims, 3, 1, 2, grouping, dilation=2) for grouping in dilated),
    )


@cache
def _transposed(dims: int) -> tuple[Signature, ...]:
    rows: list[Row] = [(2, 2), (4, 2, 1), (3, 1, 1), (4, 2, 1, "depthwise"), (3, 2, 1, "grouped")]
    if dims < 3:
        rows += [(1,), (2, 3), (3, 2, (0, 1))]
    if dims == 2:
        rows += [(5, 2, 2), (1, 2), (3,), (3, 1, 1, "grouped"), (2, 1)]
    return (
        *(_make("conv_transpose", dims, *row) for row in rows),
        _make("conv_transpose", dims, 3, 2, 1, output_padding=1),
        *(_make("conv_transpose", dims, 3, 1, 2, dilation=2) for _ in range(dims == 2)),
    )


@cache
def _max_pools(dims: int) -> tuple[Signature, ...]:
    return (*_pools("max_pool", dims), _make("max_pool", dims, 3, 1, 1, dilation=2))


@cache
def _avg_pools(dims: int) -> tuple[Signature, ...]:
    return (*_pools("avg_pool", dims), _make("avg_pool", dims, 3, 2, 1, count_include_pad=False))


def _pools(operator: str, dims: int) -> tuple[Signature, ...]:
    rows: list[Row] = [(2, 2), (3, 2, 1), (3, 1, 1), (0,)]
    if dims < 3:
        rows += [(3, 2), (2, 1), (5, 1, 2)]
    if dims == 2:
        rows += [(3, 2, (0, 1)), (3, 3), (7,), ((1, 3),), ((3, 1),)]
    return (
        *(_make(operator, dims, *row) for row in rows),
        *(_make(operator, dims, 3, 2, pad, ceil_mode=True) for pad in range(1 + (dims == 2))),
    )


_SIGNATURES = {
    "conv": _convolutions,
    "conv_transpose": _transposed,
    "max_pool": _max_pools,
    "avg_pool": _avg_pools,
}
