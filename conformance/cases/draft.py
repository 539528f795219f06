"""A draft: the drawn values of a case, from which the arrays' sizes follow, so that it is valid.

Input sizes are computed from output sizes: no draw is thrown away, and outputs are as small as the
ranges ask for. A draft that costs too much is cut down within the ranges (`fit`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from conformance.case import Case, Padding, Shape
from conformance.cases.ranges import Ranges
from conformance.operators import FORWARD
from conformance.sizes import span, transpose_size


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """One drawn value of each quantity; tuples have one entry a spatial axis."""

    operator: str
    kernel: Shape
    stride: Shape
    dilation: Shape
    padding: Padding
    out: Shape
    """The least output size (conv_transpose: input size)."""
    remainder: Shape
    """Input rows after the last window (conv_transpose: output_padding)."""
    batch: int = 1
    groups: int = 1
    inner: int = 1
    """Input channels of a group."""
    outer: int = 1
    """Output channels of a group, for a convolution."""
    width: tuple[int, int] | None = None
    """An axis and its least input size."""
    bias: bool = False
    ceil_mode: bool = False
    count_include_pad: bool = True
    dtype: str = "float32"
    data: str = "integers"
    seed: int = 0

    def case(self) -> Case:
        """Return the case, which is always valid, since sizes grow until there is an output."""
        operator = FORWARD[self.operator]
        names = {p: "remainder" if p == "output_padding" else p for p in operator.parameters}
        return Case(
            operator=self.operator,
            x=(self.batch, self.groups * self.inner, *map(self._size, range(len(self.kernel)))),
            w=operator.weight_shape(self.groups, self.inner, self.outer, self.kernel),
            bias=self.bias,
            dtype=self.dtype,
            data=self.data,
            seed=self.seed,
            **{parameter: getattr(self, name) for parameter, name in names.items()},
        )

    def _size(self, axis: int) -> int:
        """Return the input size along ``axis``; whole strides are added where padding is large."""
        out, remainder, stride = self.out[axis], self.remainder[axis], self.stride[axis]
        kernel, dilation, padding = self.kernel[axis], self.dilation[axis], self.padding[axis]
        if FORWARD[self.operator].is_transposed:
            size = out
            missing = 1 - transpose_size(size, kernel, stride, padding, dilation, remainder)
            size += max(0, -(-missing // stride))  # the padding would crop more than there is
        else:
            size = (out - 1) * stride + span(kernel, dilation) - sum(padding) + remainder
            size += max(0, -(-(1 - size) // stride) * stride)
        if self.width is not None and self.width[0] == axis:
            return max(size, self.width[1])
        return size


def cost(case: Case) -> int:
    """Return what judging ``case`` costs, in multiply-accumulates.

    An input element costs one, an output element, made, bounded and compared, eight (measured).
    """
    operator = FORWARD[case.operator]
    output = math.prod(operator.output_shape(case))
    return operator.work(case) + math.prod(case.x) + 8 * output


def fit(draft: Draft, ranges: Ranges) -> Case:
    """Return the case of ``draft``, cut down within ``ranges`` until it costs at most their work.

    That is possible (`least_work`). Outputs are cut first, then batch and channels, and parameters
    last, so that a case seldom loses those.
    """
    case = draft.case()
    while cost(case) > ranges.work:
        smaller = next(_smaller(draft, ranges), None)
        if smaller is None:
            return case
        draft = smaller
        case = draft.case()
    return case


def least_work(ranges: Ranges) -> int:
    """Return a ``work`` that lets `fit` succeed for every draft drawn from ``ranges``.

    Each of the three parts of a cost is a product over axes, and is bounded by the dearest axis of
    all kernel sizes, the largest dims, and the dearest of the least channels.
    """
    groups = min((g for g in ranges.groups if g > 1), default=1)
    batch = min(_positive(ranges.batch), default=0)
    inner = min(ranges.channels)
    outer = max(inner, min(ranges.multiplier))
    dims = max(ranges.dims)
    bound = 0
    for name, operator in FORWARD.items():
        axes = [_smallest_axis(name, kernel, ranges) for kernel in ranges.kernel]
        work = max(map(operator.work, axes)) ** dims
        size = max(axis.x[2] for axis in axes) ** dims
        out = max(operator.output_shape(axis)[2] for axis in axes) ** dims
        bound = max(bound, inner * outer * work + inner * size + 8 * outer * out)
    return batch * groups * bound


def pool_padding(values: Iterable[int], kernel: int) -> tuple[int, ...]:
    """Return ``values`` sorted and cut to half of a pooling window, the largest valid padding."""
    return tuple(sorted({min(value, kernel // 2) for value in values}))


def _smallest_axis(operator: str, kernel: int, ranges: Ranges) -> Case:
    """Return the case, in one dimension and with one channel, at which `fit` ends for a kernel."""
    return Draft(
        operator=operator,
        kernel=(kernel,),
        out=(min(ranges.output),),
        ceil_mode=not FORWARD[operator].has_weight,
        **_smallest_values(operator, (kernel,), ranges),
    ).case()


def _smallest_values(operator: str, kernel: Shape, ranges: Ranges) -> dict[str, Any]:
    """Return the smallest values of the parameters that enlarge arrays."""
    dims, pooling = len(kernel), not FORWARD[operator].has_weight
    pads = [
        min(pool_padding(ranges.padding, size) if pooling else ranges.padding) for size in kernel
    ]
    dilation = min(ranges.dilation) if "dilation" in FORWARD[operator].parameters else 1
    return {
        "padding": tuple((pad, pad) for pad in pads),
        "remainder": (0,) * dims,
        "dilation": (dilation,) * dims,
        "stride": (min(ranges.stride),) * dims,
    }


def _smaller(draft: Draft, ranges: Ranges) -> Iterator[Draft]:
    """Yield ``draft`` with one quantity an allowed value lower, the least important first."""
    lower = [_below(ranges.output, out) for out in draft.out]
    if any(lower):
        axis = max((o, a) for a, o in enumerate(draft.out) if lower[a])[1]
        yield replace(draft, out=(*draft.out[:axis], lower[axis], *draft.out[axis + 1 :]))
    if batch := _below(_positive(ranges.batch), draft.batch):
        yield replace(draft, batch=batch)
    depthwise = draft.groups > 1 and draft.inner == 1
    channels = (*ranges.channels, *ranges.boundary_channels)
    if FORWARD[draft.operator].has_weight and (
        outer := _below(ranges.multiplier if depthwise else channels, draft.outer)
    ):
        yield replace(draft, outer=outer)
    if inner := _below(channels, draft.inner):
        yield replace(draft, inner=inner)
    several = [
        g for g in (*ranges.groups, *(ranges.boundary_channels if depthwise else ())) if g > 1
    ]
    if groups := _below(several, draft.groups):
        yield replace(draft, groups=groups)
    if draft.width is not None:
        axis, size = draft.width
        width = _below(ranges.boundary_widths, size)
        yield replace(draft, width=(axis, width) if width else None)
    for name, value in _smallest_values(draft.operator, draft.kernel, ranges).items():
        if getattr(draft, name) != value:
            yield replace(draft, **{name: value})


def _below(values: Sequence[int], value: int) -> int:
    """Return the largest of ``values`` below ``value``, or 0 if there is none."""
    return max((v for v in values if v < value), default=0)


def _positive(values: Sequence[int]) -> list[int]:
    return [value for value in values if value > 0]
