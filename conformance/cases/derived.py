"""The cases that some checks need besides ordinary ones, derived from them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from conformance.case import MEMORY_LAYOUTS, SPECIAL_RECIPES, Case, Shape
from conformance.cases import invalid, sizes
from conformance.dtypes import INTEGERS
from conformance.operators import GRADIENTS, OPERATORS


def derived(
    operator: str,
    dims: int,
    dtypes: Sequence[str],
    claimed: Sequence[str],
    cases: Sequence[Case],
    count: int,
) -> list[Case]:
    """Return the cases of the checks that ordinary ``cases``, of some ``dtypes``, do not serve.

    For the dtypes that only some implementations have ``claimed``, ordinary cases are taken over.
    ``count`` is how many cases were generated; there are twice as many sizes at most.
    """
    ordinary = [case for case in cases if case.x[0] > 0 and OPERATORS[operator].work(case) < 20_000]
    return [
        *_layouts(operator, ordinary),
        *_specials(operator, dims, dtypes, ordinary),
        *_small(ordinary),
        *invalid.cases(operator, dims, tuple(dtypes)),
        *_few(sizes.cases(operator, dims, dtypes), 2 * count),
        *(_claimed(operator, claimed, cases) if count >= _CLAIMED_CASES else ()),
    ]


def _few(cases: list[Case], count: int) -> list[Case]:
    """Return ``count`` of ``cases`` at most, evenly spaced."""
    return cases[:: max(1, -(-len(cases) // count))] if count else []


_CLAIMED_CASES = 60
"""Ordinary cases taken over to each dtype that is not among the ordinary ones; a run that
generates fewer leaves those dtypes out."""


def _claimed(operator: str, claimed: Sequence[str], cases: Sequence[Case]) -> list[Case]:
    """Return ordinary cases in other dtypes; integer dtypes have one recipe only."""
    step = max(1, len(cases) // _CLAIMED_CASES)
    found = []
    for place, dtype in enumerate(d for d in claimed if d in OPERATORS[operator].dtypes):
        for case in cases[place % step :: step]:
            whole = {"data": "integers"} if dtype in INTEGERS else {}
            found.append(case.replace(dtype=dtype, **whole))
    return found


def _layouts(operator: str, ordinary: Sequence[Case]) -> list[Case]:
    """Return each memory layout, for all arrays together and for each alone, on some case."""
    arrays = ("", *(f"-{name}" for name in OPERATORS[operator].arguments if name in _ARRAYS))
    ways = [layout + which for layout in MEMORY_LAYOUTS[1:] for which in arrays]
    found = []
    for dtype in dict.fromkeys(case.dtype for case in ordinary):
        bases = [case for case in ordinary if case.dtype == dtype]
        # A layout shows where no axis is trivial; the rest serve where there is nothing better.
        bases.sort(key=lambda case: sum(size == 1 for size in (*case.x, *case.window)))
        bases = bases[: max(4, len(bases) // 4)]
        for way, base in zip(ways, itertools.cycle(bases), strict=False):
            if way.endswith("-bias"):
                base = base.replace(bias=True)
            found.append(base.replace(memory=way, data="integers"))
    return found


_SMALL_CASES = 16
"""Ordinary cases that are judged on small numbers as well."""


def _small(ordinary: Sequence[Case]) -> list[Case]:
    """Return some cases with data that is small as a whole."""
    step = max(4, len(ordinary) // _SMALL_CASES)
    return [case.replace(data="small") for case in ordinary[::step][:_SMALL_CASES]]


_ARRAYS = ("x", "w", "bias", "grad")


def _specials(
    operator: str, dims: int, dtypes: Sequence[str], ordinary: Sequence[Case]
) -> list[Case]:
    """Return special values in every lane and at every window position, and on some cases."""
    if operator in GRADIENTS:
        gradient = GRADIENTS[operator]
        forward = _specials(gradient.forward.name, dims, dtypes, ())
        found = list(dict.fromkeys(gradient.derived(case) for case in forward[::3]))
        return [*found, *_with_specials(ordinary)]
    size: Shape = {1: (9,), 2: (4, 5), 3: (3, 3, 3)}[dims]
    window: Shape = {1: (3,), 2: (2, 3), 3: (2, 2, 2)}[dims]
    found = []
    lanes = itertools.cycle(dtypes)
    for recipe in SPECIAL_RECIPES:
        seeds = 20 if recipe in ("nan", "inf") else 3
        for channels, seed in itertools.product((1, 3, 17, 33), range(seeds)):
            if seed % 2 and channels == 3:
                continue
            base = Case(operator="conv", x=(2, channels, *size), w=(5, channels, *window))
            made = base.replace(operator=operator, dtype=next(lanes), data=recipe, seed=seed)
            if OPERATORS[operator].is_transposed:
                made = made.replace(w=(channels, 5, *window))
            elif not OPERATORS[operator].has_weight:
                pooled = window if OPERATORS[operator].has_window else None
                made = made.replace(w=None, kernel=pooled)
            elif seed % 5 == 4:
                made = made.replace(bias=True)
            found.append(made)
    return [*found, *_with_specials(ordinary)]


def _with_specials(ordinary: Sequence[Case]) -> list[Case]:
    bases = ordinary[:: max(1, len(ordinary) // 12)][:12]
    return [
        base.replace(data=recipe, seed=seed)
        for recipe in SPECIAL_RECIPES
        for seed, base in enumerate(bases)
    ]
