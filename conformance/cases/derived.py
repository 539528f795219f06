"""The cases that some checks need besides the ordinary cases, and that are derived from these."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from conformance.case import SPECIAL_RECIPES, Case, Shape
from conformance.cases import invalid, layouts, sizes
from conformance.cases.ranges import Ranges
from conformance.dtypes import INTEGERS
from conformance.operators import GRADIENTS, OPERATORS


def derived(
    operator: str,
    dims: int,
    ranges: Ranges,
    claimed: Sequence[str],
    cases: Sequence[Case],
    count: int,
) -> list[Case]:
    """Return the cases of the checks for which ordinary ``cases``, within ``ranges``, do not do.

    Ordinary ones are converted to dtypes that some implementations have ``claimed``. There are at
    most twice as many cases of sizes as the ``count`` of generated ones.
    """
    ordinary = [case for case in cases if case.x[0] > 0 and OPERATORS[operator].work(case) < 20_000]
    dtypes = ranges.dtypes
    return interleaved(
        layouts.cases(operator, ordinary, ranges, claimed, count),
        _specials(operator, dims, dtypes, ordinary),
        _small(ordinary),
        invalid.cases(operator, dims, tuple(dtypes)),
        _few(sizes.cases(operator, dims, dtypes), 2 * count),
        _claimed(operator, claimed, cases) if count >= _CLAIMED_CASES else [],
    )


def interleaved(*groups: Sequence[Case]) -> list[Case]:
    """Mix groups evenly, so that a budget that ends early cuts the same share of each."""
    pairs = [(i / len(group), case) for group in groups for i, case in enumerate(group)]
    pairs.sort(key=lambda pair: pair[0])
    return list(dict.fromkeys(case for _, case in pairs))


def _few(cases: list[Case], count: int) -> list[Case]:
    """Return at most ``count`` of ``cases``, evenly spaced."""
    return cases[:: max(1, -(-len(cases) // count))] if count else []


_CLAIMED_CASES = 60
"""This many ordinary cases are converted to each claimed dtype. A run that generates fewer cases
leaves those dtypes out."""


def _claimed(operator: str, claimed: Sequence[str], cases: Sequence[Case]) -> list[Case]:
    """Return ordinary cases in other dtypes; integer dtypes have one recipe only."""
    step = max(1, len(cases) // _CLAIMED_CASES)
    claimed_cases = []
    for offset, dtype in enumerate(d for d in claimed if d in OPERATORS[operator].dtypes):
        for case in cases[offset % step :: step]:
            whole = {"data": "integers"} if dtype in INTEGERS else {}
            claimed_cases.append(case.replace(dtype=dtype, **whole))
    return claimed_cases


_SMALL_CASES = 16
"""This many ordinary cases are judged on small numbers as well."""


def _small(ordinary: Sequence[Case]) -> list[Case]:
    """Return some of the cases with data that is small as a whole."""
    step = max(4, len(ordinary) // _SMALL_CASES)
    return [case.replace(data="small") for case in ordinary[::step][:_SMALL_CASES]]


def _specials(
    operator: str, dims: int, dtypes: Sequence[str], ordinary: Sequence[Case]
) -> list[Case]:
    """Return cases with special values in every lane and at every position of a window."""
    if operator in GRADIENTS:
        gradient = GRADIENTS[operator]
        forward = _specials(gradient.forward.name, dims, dtypes, ())
        specials = list(dict.fromkeys(gradient.derived(case) for case in forward[::3]))
        return [*specials, *_with_specials(ordinary)]
    size: Shape = {1: (9,), 2: (4, 5), 3: (3, 3, 3)}[dims]
    window: Shape = {1: (3,), 2: (2, 3), 3: (2, 2, 2)}[dims]
    specials = []
    lanes = itertools.cycle(dtypes)
    for recipe in SPECIAL_RECIPES:
        seeds = 20 if recipe in ("nan", "inf") else 3
        for channels, seed in itertools.product((1, 3, 17, 33), range(seeds)):
            if seed % 2 and channels == 3:
                continue
            base = Case(operator="conv", x=(2, channels, *size), w=(5, channels, *window))
            case = base.replace(operator=operator, dtype=next(lanes), data=recipe, seed=seed)
            if OPERATORS[operator].is_transposed:
                case = case.replace(w=(channels, 5, *window))
            elif not OPERATORS[operator].has_weight:
                pooled = window if OPERATORS[operator].has_window else None
                case = case.replace(w=None, kernel=pooled)
            elif seed % 5 == 4:
                case = case.replace(bias=True)
            specials.append(case)
    return [*specials, *_with_specials(ordinary)]


def _with_specials(ordinary: Sequence[Case]) -> list[Case]:
    bases = ordinary[:: max(1, len(ordinary) // 12)][:12]
    return [
        base.replace(data=recipe, seed=seed)
        for recipe in SPECIAL_RECIPES
        for seed, base in enumerate(bases)
    ]
