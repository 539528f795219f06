"""Pairs of tails: every two that a case of a signature can stand at, of two different sizes.

A kernel that is right at each tail may be wrong where two of them meet: in the last channels of
the last columns. `conformance.cases.fastpaths` stands at many such pairs by the way; these cases
stand at all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np

from conformance.case import Case
from conformance.cases.fastpaths import LAYOUTS, filling_of
from conformance.cases.filling import WORK, Array, Filling, Sizes
from conformance.cases.kernels import Signature, signatures
from conformance.dtypes import INTEGERS
from conformance.operators import FORWARD, GRADIENTS, OPERATORS


def cases(
    operator: str, dims: int, dtypes: Sequence[str], claimed: Sequence[str] = ()
) -> list[Case]:
    """Return the cases of ``operator``: each of its signatures at every two tails.

    Dtypes and memory layouts take turns.
    """
    gradient = GRADIENTS.get(operator)
    own = [dtype for dtype in (*dtypes, *claimed) if dtype in OPERATORS[operator].dtypes]
    found = dict[Case, None]()
    for signature in signatures(operator, dims) if own else ():
        for number, shape in enumerate(_shapes(signature)):
            dtype, turn = own[number % len(own)], number // len(own)
            digits = turn // len(LAYOUTS) % 2 and dtype not in INTEGERS
            data, memory = "digits" if digits else "integers", LAYOUTS[turn % len(LAYOUTS)]
            case = shape.replace(dtype=dtype, data=data, memory=memory, seed=number)
            found[gradient.derived(case) if gradient else case] = None
    return list(found)


@cache
def _shapes(signature: Signature) -> tuple[Case, ...]:
    filling = filling_of(signature)
    biased = "bias" in FORWARD[signature.operator].arguments
    return tuple(
        filling.case(sizes, number // 2).replace(bias=biased and number % 3 == 1)
        for number, sizes in enumerate(_sizes(filling))
    )


def _sizes(filling: Filling) -> Iterator[Sizes]:
    """Yield sizes until every two tails of `main` blocks that can meet have met."""
    quantities = [tail[0] for tail in filling.tails]
    apart = np.array([[one != other for other in quantities] for one in quantities])
    main = filling.main > 0
    unmet = filling.pairs() & apart & main & main[:, None]
    while unmet.any():
        first = int(unmet.sum(axis=1).argmax())
        second = int(np.where(unmet[first], filling.prices, -1.0).argmax())
        sizes, stood = _at(filling, first, second, unmet | unmet.T)
        assert stood[[first, second]].all()
        unmet[np.ix_(stood, stood)] = False
        yield sizes


def _at(filling: Filling, first: int, second: int, unmet: Array) -> tuple[Sizes, Array]:
    """Return sizes at two tails, and at many others that have not met, and all where they stand.

    The cheapest options at the two are taken; then the other units, and at last the two themselves,
    are given the option that adds the most pairs and leaves the case within its cost.
    """
    options: dict[str, Array] = {}
    for tail in (first, second):
        name = filling.owners[tail]
        options[name] = (filling.units[name].marks[:, tail] > 0) & options.get(name, True)
    chosen: dict[str, int] = {}
    for name, at in options.items():
        chosen[name] = int(np.where(at, filling.prices_beside(name, chosen), np.inf).argmin())
    others = [name for name in filling.units if name not in options]
    for name in (*others, *options):
        unit = filling.units[name]
        beside = {other: index for other, index in chosen.items() if other != name}
        stood = filling.stood(beside)
        gains = unit.own_marks @ unmet[unit.own][:, stood].sum(axis=1)
        allowed = (filling.prices_beside(name, beside) <= WORK) & options.get(name, True)
        chosen[name] = int(np.where(allowed, gains, -1.0).argmax())
    return filling.sizes(chosen), filling.stood(chosen)
