"""The cases that relations are judged on, most of them too large for a full reference.

Some are small, so that even the slowest implementation is judged. The others have more channels, a
longer batch or larger planes than 8 or 16 bits can count.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from conformance.case import Case, Shape
from conformance.operators import GRADIENTS, OPERATORS


def cases(
    operator: str, dims: int, dtypes: Sequence[str], claimed: Sequence[str] = (), *, seed: int
) -> list[Case]:
    """Return the cases of ``operator``; ``seed`` changes their sizes and data.

    Each small case comes in all ``dtypes`` and in the ``claimed`` ones. The large cases take the
    ``dtypes`` in turn.
    """
    gradient = GRADIENTS.get(operator)
    forward = gradient.forward.name if gradient else operator
    rng = np.random.default_rng((seed, dims, 13))
    small = _small(forward, dims)
    large = list(_large(forward, dims, rng))
    if gradient:  # a gradient costs more than its forward operator, and has the same geometry
        large = large[:3]
    has = OPERATORS[operator].dtypes
    dtypes, claimed = ([d for d in some if d in has] for some in (dtypes, claimed))
    pairs = [*itertools.product((*dtypes, *claimed), small)]
    pairs += zip(itertools.cycle(dtypes), large, strict=False)
    chosen = (case.replace(dtype=dtype, seed=seed) for dtype, case in pairs)
    return [gradient.derived(case) if gradient else case for case in chosen]


def _small(operator: str, dims: int) -> list[Case]:
    """Return cases of a few hundred operations to which every relation applies."""
    stride, dilation = (2, 1, 1)[:dims], (1, 2, 1)[:dims] if dims > 1 else (2,)
    padding = ((1, 1), (0, 1), (1, 0))[:dims]
    size: Shape = (8, 7, 5)[:dims]
    kernel: Shape = (3, 2, 2)[:dims]
    if operator in ("conv", "conv_transpose"):
        base = Case(operator="conv", x=(3, 6, *size), w=(4, 6, *kernel), bias=True)
        if operator == "conv_transpose":
            base = base.replace(operator=operator, w=(6, 4, *kernel))
        base = base.replace(stride=stride, padding=padding, dilation=dilation)
        grouped = (9, 2) if operator == "conv" else (6, 3)
        return [base, base.replace(w=(*grouped, *kernel), groups=3)]
    pads = tuple(
        (min(b, k // 2), min(a, k // 2)) for (b, a), k in zip(padding, kernel, strict=True)
    )
    return [Case(operator=operator, x=(3, 6, *size), kernel=kernel, stride=stride, padding=pads)]


def _large(operator: str, dims: int, rng: np.random.Generator) -> Iterator[Case]:
    """Yield cases of up to some ten million operations, and some 70,000 output elements."""

    def near(size: int) -> int:
        return int(rng.integers(size, size + size // 16 + 2))

    plane: Shape = {
        1: (near(66000),),
        2: (near(132), near(258)),
        3: (near(13), near(40), near(66)),
    }[dims]
    thin = 2 if dims > 1 else 1
    few: Shape = {1: (near(5),), 2: (near(3), near(4)), 3: (2, 3, near(3))}[dims]
    window: Shape = (3, 2, 2)[:dims]
    pads, twos = ((1, 1),) * dims, (2,) * dims
    many = near(258)
    if operator not in ("conv", "conv_transpose"):
        yield Case(operator=operator, x=(1, thin, *plane), kernel=window, stride=twos)
        yield Case(operator=operator, x=(1, many, *few), kernel=twos)
        yield Case(operator=operator, x=(many, 2, *few), kernel=twos, padding=pads)
        yield Case(operator=operator, x=(1, thin, *plane), kernel=window, padding=pads)
        if dims == 1:  # more planes than 16 bits count
            yield Case(operator=operator, x=(many, near(258), 3), kernel=twos)
        return

    def weights(c: int, o: int, groups: int = 1) -> Shape:
        first = (o, c // groups) if operator == "conv" else (c, o // groups)
        return (*first, *window)

    outer = {1: 260, 2: 130, 3: 40}[dims]
    base = Case(operator=operator, x=(1, many, *few), w=weights(many, outer), bias=True)
    yield base.replace(padding=pads)
    yield base.replace(x=(1, outer, *few), w=weights(outer, many), stride=twos)
    yield base.replace(x=(1, thin, *plane), w=weights(thin, 2), padding=pads)
    if operator == "conv":
        yield base.replace(x=(2, thin, *plane), w=weights(thin, 3), stride=twos, dilation=twos)
    groups = near(130)
    grouped = weights(2 * groups, 2 * groups, groups)
    yield base.replace(x=(1, 2 * groups, *few), w=grouped, groups=groups, padding=pads)
    yield base.replace(x=(many, 3, *few), w=weights(3, 4), padding=pads, dilation=twos)
