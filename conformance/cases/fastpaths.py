"""Fast paths and tails: the calls that libraries have kernels of their own for, at every remainder.

Small shapes and random ones miss a kernel that is wrong at the tails of its blocks alone. `cases`
brings every tail of every size (`conformance.cases.tails`) together with every signature that
kernels are chosen by (`conformance.cases.kernels`), in each memory layout and in each dtype. They
are few, since a case stands at tails of all its sizes at once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np

from conformance.case import SPECIAL_RECIPES, Case
from conformance.cases.filling import Filling, Sizes
from conformance.cases.kernels import Signature, signatures
from conformance.cases.tails import BLOCKS, Tail
from conformance.dtypes import INTEGERS
from conformance.operators import FORWARD, GRADIENTS, OPERATORS

RECIPES = ("integers", "digits", "nan", "digits", "integers", "digits", "inf", "digits")
"""The recipes of the cases, in turn. What a vector does of NaN the tail beside it may not do, and a
tail that multiplies by zero what it must not read makes NaN of infinity."""
OF_POOLS = ("integers", "digits", "nan", "normal", "integers", "digits", "inf", "normal")
"""And those of pools, whose long digits do not tell a sum in a half type from one in float32."""
LAYOUTS = ("contiguous", "channels_last", "fortran", "strided")
"""The memory layouts that kernels are chosen by, or that their loads and stores depend on."""


def cases(
    operator: str, dims: int, dtypes: Sequence[str], claimed: Sequence[str] = ()
) -> list[Case]:
    """Return the cases of ``operator``, valid and without repetition.

    Every signature meets every tail in each dtype, and in each of `LAYOUTS` in one of the dtypes.
    The first of the cases are those of every signature at the dearest tails, so that a budget that
    ends early cuts evenly.
    """
    gradient = GRADIENTS.get(operator)
    own = [dtype for dtype in (*dtypes, *claimed) if dtype in OPERATORS[operator].dtypes]
    found: dict[Case, int] = {}
    for signature in signatures(operator, dims) if own else ():
        for place, case in _placed(signature, own):
            found.setdefault(gradient.derived(case) if gradient else case, place)
    return sorted(found, key=found.__getitem__)


def of_signature(signature: Signature, dtypes: Sequence[str]) -> Iterator[Case]:
    """Yield the cases of a signature, all of which are calls of a forward operator."""
    return (case for _, case in _placed(signature, dtypes))


def _placed(signature: Signature, dtypes: Sequence[str]) -> Iterator[tuple[int, Case]]:
    """Yield each case of a signature with its place among those of its dtype."""
    for number, shapes in enumerate(_passes(signature, max(len(LAYOUTS), len(dtypes)))):
        dtype = dtypes[number % len(dtypes)]
        floating = RECIPES if OPERATORS[signature.operator].has_weight else OF_POOLS
        recipes = ("integers",) if dtype in INTEGERS else floating
        for place, shape in enumerate(shapes):
            data = recipes[(place + number) % len(recipes)]
            seed = _at_the_end(shape, place) if data in SPECIAL_RECIPES else place
            yield place, shape.replace(dtype=dtype, data=data, seed=seed)


def _at_the_end(shape: Case, place: int) -> int:
    """Return a seed that puts the special value of the first sample or channel near an end.

    That is the last element of all, the first of the last row, the last of the row before, the last
    but one, or the last of the plane before.
    """
    size = math.prod(shape.x[1:] if shape.w is not None else shape.x[2:])
    row, plane = shape.x[-1], math.prod(shape.x[2:])
    back = (0, row - 1, row, 1, plane)[place // len(RECIPES) % 5]
    return max(0, size - 1 - back)


@cache
def _passes(signature: Signature, passes: int) -> tuple[tuple[Case, ...], ...]:
    """Return the cases of so many passes, each of which stands at every tail there is.

    Together they stand at every tail in each of `LAYOUTS`.
    """
    filling = filling_of(signature)
    rng = filling.generator(passes)
    further = 1.0 - filling.main
    waiting = np.tile(filling.main, (len(LAYOUTS), 1))
    """Of each layout and tail 1 if they have not met, else 0."""
    found: list[tuple[Case, ...]] = []
    for number in range(passes):
        shapes: list[Case] = []
        wanted = filling.main.copy()
        while wanted.any() or (number == passes - 1 and waiting.any()):
            late = waiting.max(axis=0)
            sizes, stood = filling.next_sizes((wanted if wanted.any() else late) + further, rng)
            # A dear tail is met seldom: the layout that waits for it has precedence.
            layout = int(np.argmax(np.einsum("ij,j", waiting, stood * filling.prices)))
            wanted, further = wanted * (1.0 - stood), further * (1.0 - stood)
            waiting[layout] *= 1.0 - stood
            shapes.append(_shape(filling, sizes, LAYOUTS[layout], len(shapes)))
        found.append(tuple(shapes))
    return tuple(found)


def _shape(filling: Filling, sizes: Sizes, layout: str, number: int) -> Case:
    biased = "bias" in FORWARD[filling.signature.operator].arguments
    case = filling.case(sizes, number // 2)
    return case.replace(memory=layout, bias=biased and number % 3 == 1)


@cache
def filling_of(signature: Signature) -> Filling:
    """Return the sizes that cases of ``signature`` are made from."""
    return Filling(signature)


def tails_of(signature: Signature) -> frozenset[Tail]:
    """Return every tail that a case of ``signature`` can stand at within its work."""
    return frozenset(tail for tail in filling_of(signature).tails if tail[1] in BLOCKS)
