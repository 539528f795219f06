"""Coverage of fast paths: which signatures meet which tails, in which layouts and dtypes.

What can be met is found from sizes alone (`conformance.cases.filling`), what is met from the cases
that are judged.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass

import numpy as np

from conformance.case import Case
from conformance.cases.fastpaths import LAYOUTS, filling_of, of_signature
from conformance.cases.filling import Filling
from conformance.cases.kernels import Signature, signatures
from conformance.cases.tails import BLOCKS, Tail, tails
from conformance.operators import FORWARD

Met = tuple[int, int]
"""How many combinations the cases reach, and how many there are."""
Pair = tuple[Tail, Tail]
"""Two tails of different sizes, in the order of their names."""


@dataclass(frozen=True, slots=True)
class TailCoverage:
    """What the cases of one operator reach, in so many dimensions."""

    operator: str
    dims: int
    signatures: int
    cases: int
    tails: Met
    """Signatures with tails."""
    layouts: Met
    """Signatures with tails in layouts."""
    dtypes: Met
    """Signatures with tails in dtypes."""
    pairs: Met
    """Signatures with tails of two different sizes."""


def measure_tails(dims: Sequence[int] = (1, 2, 3)) -> Iterator[TailCoverage]:
    """Yield the coverage of each operator that is no gradient: gradients have the same shapes."""
    yield from (
        measure(operator, number, FORWARD[operator].dtypes)
        for operator in FORWARD
        for number in dims
    )


def measure(operator: str, dims: int, dtypes: Sequence[str]) -> TailCoverage:
    """Return the coverage of an operator by the cases of an implementation of these dtypes."""
    rows = [_of_signature(signature, dtypes) for signature in signatures(operator, dims)]
    cases, *met = (np.sum(column, axis=0).tolist() for column in zip(*rows, strict=True))
    pairs = [(int(reached), int(there)) for reached, there in met]
    return TailCoverage(operator, dims, len(rows), int(cases), *pairs)


def _of_signature(signature: Signature, dtypes: Sequence[str]) -> tuple[int, Met, Met, Met, Met]:
    cases = [(case, tails(case)) for case in of_signature(signature, dtypes)]
    valid = {tail for tail in filling_of(signature).tails if tail[1] in BLOCKS}
    pairs = valid_pairs(filling_of(signature))
    return (
        len(cases),
        _met({tail for _, own in cases for tail in own}, valid),
        _met(
            {(case.memory, tail) for case, own in cases for tail in own},
            set(itertools.product(LAYOUTS, valid)),
        ),
        _met(
            {(case.dtype, tail) for case, own in cases for tail in own},
            set(itertools.product(dtypes, valid)),
        ),
        _met({pair for case, _ in cases for pair in pairs_of(case)}, pairs),
    )


def _met(reached: Set[object], there: Set[object]) -> Met:
    return len(reached & there), len(there)


def pairs_of(case: Case) -> Iterator[Pair]:
    """Yield the pairs of tails, of two different sizes, that a case stands at."""
    for one, other in itertools.combinations(sorted(tails(case)), 2):
        if one[0] != other[0]:
            yield one, other


def valid_pairs(filling: Filling) -> set[Pair]:
    """Return the pairs of tails, of two different sizes, that a case can stand at."""
    reached = filling.pairs()
    main = [index for index, tail in enumerate(filling.tails) if tail[1] in BLOCKS]
    main.sort(key=filling.tails.__getitem__)
    return {
        (filling.tails[one], filling.tails[other])
        for one, other in itertools.combinations(main, 2)
        if reached[one, other] and filling.tails[one][0] != filling.tails[other][0]
    }
