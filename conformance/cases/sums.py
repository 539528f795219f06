"""Sums and channels as large as those of networks, where kernels of less precision are chosen.

Libraries round factors to TF32 or bfloat16, accumulate in half, or truncate, where they pick their
kernels for matrix units: for 32, 64 or more channels a group, for sums of hundreds of products, at
multiples of a block, at their tails. So there are cases of these sizes, at few positions, which
make them cheap. The recipe ``digits`` shows each factor of fewer digits; ``normal`` shows what adds
up, element by element and over the whole result (SPEC.md, RESULT-6 and RESULT-7).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from conformance.case import Case, Shape
from conformance.dtypes import FLOATS
from conformance.operators import GRADIENTS, OPERATORS, work


class _Sum(NamedTuple):
    """A convolution by its channels of one group, its kernel and its plane on each axis."""

    inner: int
    outer: int
    kernel: int = 1
    size: int = 2
    groups: int = 1
    batch: int = 1
    stride: int = 1
    dilation: int = 1
    before: int = 0
    after: int = 0


_BLOCKS = (
    _Sum(32, 64, size=3),
    _Sum(64, 64, groups=2),
    _Sum(65, 127, size=3),
    _Sum(96, 64, batch=32),
    _Sum(128, 256, size=4),
    _Sum(512, 64),
    _Sum(577, 33, size=1, batch=4),
    _Sum(4, 64, size=24, batch=2),
)
"""Kernels of one position, at ``size`` squared positions in any dimension: channels at, and just
above, the blocks of matrix units, and few of them at many positions, for weight gradients."""
_KERNELS: dict[int, tuple[_Sum, ...]] = {
    1: (
        _Sum(32, 96, 3, 4, before=1, after=1),
        _Sum(64, 64, 3, 4, stride=2, before=1, after=1),
        _Sum(384, 96, 3, 3, before=1),
        _Sum(512, 64, 9, 9),
        _Sum(8, 512, 9, 9, before=8),
        _Sum(1, 1, 9, 12, groups=256, before=4, after=4),
    ),
    2: (
        _Sum(3, 64, 7, 9, stride=2, before=3, after=3),
        _Sum(64, 64, 3, 3, before=1, after=1),
        _Sum(64, 96, 3, 5, stride=2, before=1, after=1),
        _Sum(128, 64, 3, 3, before=1),
        _Sum(512, 64, 3, 3),
        _Sum(32, 128, 3, 3, before=1, after=1),
        _Sum(8, 512, 3, 3, before=1, after=1),
        _Sum(96, 72, 3, 5, groups=2, dilation=2),
        _Sum(48, 64, 5, 5),
        _Sum(3, 16, 3, 12, batch=32),
        _Sum(1, 1, 3, 5, groups=512, before=1, after=1),
        _Sum(1, 2, 5, 6, groups=96, stride=2, before=2, after=2),
    ),
    3: (
        _Sum(32, 64, 3, 3),
        _Sum(64, 64, 2, 3, before=1),
        _Sum(128, 32, 3, 3),
        _Sum(1, 1, 3, 3, groups=128, before=1, after=1),
    ),
}
"""Larger kernels, by dimension: sums up to 4,608 products."""
_TRANSPOSED: dict[int, tuple[_Sum, ...]] = {
    1: (
        _Sum(64, 64, 4, 4, stride=2, before=1, after=1),
        _Sum(384, 32, 3, 3, before=2, after=2),
        _Sum(512, 16, 9, 9, before=8, after=8),
        _Sum(1, 1, 3, 5, groups=256),
    ),
    2: (
        _Sum(64, 64, 2, 2, stride=2),
        _Sum(256, 32, 4, 2, stride=2, before=1, after=1),
        _Sum(128, 32, 3, 3, before=2, after=2),
        _Sum(512, 8, 3, 3, before=2, after=2),
        _Sum(32, 64, 3, 2, groups=2, dilation=2),
        _Sum(1, 1, 3, 3, groups=128, stride=2),
    ),
    3: (
        _Sum(64, 64, 2, 2, stride=2),
        _Sum(48, 8, 3, 3, before=2, after=2),
        _Sum(1, 1, 2, 3, groups=128, stride=2),
    ),
}
"""The same of transposed convolutions, whose padding crops what sums few products."""
_POOLS = ((3, 64), (7, 128), (8, 32), (12, 33), (24, 8), (33, 16), (48, 3))
"""(window, channels) of the poolings, in two dimensions; others have about as many positions."""
_SUMMED = ((1, 64, 1152), (32, 16, 128), (9, 128, 64), (1, 3, 4608))
"""(batch, channels, positions) of the gradient of a bias."""

_MOST = 1 << 16
"""The most elements of a gradient."""


def cases(
    operator: str, dims: int, dtypes: Sequence[str], claimed: Sequence[str] = ()
) -> list[Case]:
    """Return the cases of ``operator`` in each of the dtypes, the cheapest first.

    Those of float32 are the most. ``claimed`` dtypes, whole numbers among them, are further ones.
    """
    dtypes = (*dtypes, *(dtype for dtype in claimed if dtype in FLOATS))
    if operator in GRADIENTS and operator != "conv_bias_grad":
        gradient = GRADIENTS[operator]
        found = [gradient.derived(case) for case in cases(gradient.forward.name, dims, dtypes)]
        # Each of the weight's elements is a result, which costs time and space.
        return [case for case in found if math.prod(gradient.output_shape(case)) <= _MOST]
    multiplies = OPERATORS[operator].has_weight
    bases = tuple(_convolutions(operator, dims) if multiplies else _summed(operator, dims))
    found = []
    for dtype, (number, base) in itertools.product(dtypes, enumerate(bases)):
        base = base.replace(dtype=dtype)
        # The two factors take turns at being long; the fewer products, the more digits they have.
        long = 2 * (number // 2 % 4) + number % 2
        found.append(base.replace(data="digits", seed=long))
        if dtype == "float32" and multiplies:
            found.append(base.replace(data="digits", seed=long ^ 1))
        # Of float64, long digits show each narrower format in any sum.
        if dtype != "float64" or number % 3 == 0:
            found.append(base.replace(data="normal", seed=number))
    return sorted(found, key=work)


def _convolutions(operator: str, dims: int) -> Iterator[Case]:
    """Yield the convolutions of a forward operator; every third one has a bias."""
    transposed = OPERATORS[operator].is_transposed
    for number, one in enumerate((*_BLOCKS, *(_TRANSPOSED if transposed else _KERNELS)[dims])):
        plane: Shape = (one.size,) * dims
        if one.kernel == 1:
            plane = ((one.size**2,), plane, (one.size, one.size, 1))[dims - 1]
        channels = one.groups * one.inner
        w = (channels, one.outer) if transposed else (one.groups * one.outer, one.inner)
        yield Case(
            operator=operator,
            x=(one.batch, channels, *plane),
            w=(*w, *(one.kernel,) * dims),
            bias=number % 3 == 1,
            stride=(one.stride,) * dims,
            dilation=(one.dilation,) * dims,
            padding=((one.before, one.after),) * dims,
            groups=one.groups,
        )


def _summed(operator: str, dims: int) -> Iterator[Case]:
    """Yield the cases of an operator without a weight."""
    if operator == "conv_bias_grad":
        for batch, channels, positions in _SUMMED:
            yield Case(operator=operator, x=(batch, channels, positions, *(1,) * (dims - 1)))
        return
    for window, channels in _POOLS:
        kernel = (round(window ** (2 / dims)),) * dims
        x = (1, channels, *(size + 1 for size in kernel))
        yield Case(operator=operator, x=x, kernel=kernel)
        yield Case(operator=operator, x=(2, channels, *kernel), kernel=kernel)  # of whole planes
