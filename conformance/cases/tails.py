"""Tails: where the sizes of a call stand relative to the blocks that kernels work in.

A kernel works on 4 to 64 channels, positions or tiles at once. What is left over, the tail, is
code of its own. A tail says where a size stands: ``outputs:8+1`` is nine output channels, one more
than a block of eight, and ``outputs:8n+1`` is one more than several blocks.
"""

from __future__ import annotations

import math
from functools import cache
from typing import TypeAlias

from conformance.case import Case, Shape
from conformance.operators import GRADIENTS, OPERATORS

Tail: TypeAlias = tuple[str, int, str]
"""A quantity, a block, and where the quantity stands: ``("outputs", 8, "+1")``."""

BLOCKS = (4, 8, 16, 32, 64)
"""The numbers of elements that most kernels work on at once."""
FURTHER_BLOCKS = (3, 6, 12, 24, 28)
"""Those of a few kernels: register blocks of products, and rows that fill them."""
TILES = (2, 4, 6)
"""The output sizes of Winograd's tiles, F(2, 3), F(4, 3) and F(6, 3); they are square."""
_SPLIT = 16
"""Beyond a block that is no larger than this, each kind of remainder counts."""


def tails(case: Case, blocks: tuple[int, ...] = BLOCKS) -> frozenset[Tail]:
    """Return the tails of ``blocks`` that the sizes of a case stand at."""
    return frozenset(
        (quantity, *stand)
        for quantity, size in quantities(case).items()
        for stand in stands(size, blocks)
    )


@cache
def stands(size: int, blocks: tuple[int, ...] = BLOCKS) -> tuple[tuple[int, str], ...]:
    """Return each block that ``size`` is near or above, and where it stands.

    That is at one block, one more or less, or further beyond, where the remainder counts: none,
    one, one less than the block, half of it, or another one.
    """
    return tuple((block, stand) for block in blocks if (stand := _stand(size, block)))


def _stand(size: int, block: int) -> str:
    if abs(size - block) <= 1:
        return {0: "one", 1: "+1", -1: "-1"}[size - block]
    if size < block:
        return ""
    if block > _SPLIT:
        return "rest"
    named = {0: "n", 1: "n+1", block - 1: "n-1", block // 2: "n+half"}
    return named.get(size % block, "rest")


def quantities(case: Case) -> dict[str, int]:
    """Return the sizes of a call that kernels block by, which are those of its forward call.

    The positions of a transposed convolution are those of its input.
    """
    gradient = GRADIENTS.get(case.operator)
    operator = gradient.forward if gradient else OPERATORS[case.operator]
    if case.w is None and case.kernel is None:  # a sum over all positions, in each channel
        return {"batch": case.x[0], "inputs": case.x[1], **spatial(case.x[2:])}
    _, outputs, *out = operator.output_shape(case)
    positions = spatial(case.x[2:] if operator.is_transposed else tuple(out))
    if case.w is None:
        return {"batch": case.x[0], "inputs": case.x[1], **positions}
    sizes = {"batch": case.x[0], **positions}
    sizes |= {"inputs": case.x[1] // case.groups, "outputs": outputs // case.groups}
    if case.groups > 1:
        sizes["groups"] = case.groups
    return sizes | (tiles(tuple(out)) if has_tiles(case.stride, case.window) else {})


def spatial(axes: Shape) -> dict[str, int]:
    """Return the size of each axis, and of their product where there are several."""
    sizes = {f"out{axis}": size for axis, size in enumerate(axes)}
    return sizes | ({"positions": math.prod(axes)} if len(axes) > 1 else {})


def has_tiles(stride: Shape, window: Shape) -> bool:
    """Whether a convolution can be computed in Winograd's tiles, which have two axes."""
    return len(stride) == 2 and set(stride) == {1} and max(window) > 1


def tiles(out: Shape) -> dict[str, int]:
    """Return the numbers of Winograd's tiles of an output."""
    return {f"tiles{tile}": math.prod(-(-size // tile) for size in out) for tile in TILES}
