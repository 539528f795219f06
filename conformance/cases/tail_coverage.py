"""Coverage of fast paths: which signatures meet which tails, in which layouts and dtypes.

What can be met is found from sizes alone (`conformance.cases.filling`), what is met from the cases
that are judged.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass

import numpy as np

from conformance.cases.fastpaths import LAYOUTS, filling_of, of_signature
from conformance.cases.filling import Array, Filling
from conformance.cases.kernels import Signature, signatures
from conformance.cases.tails import BLOCKS, Tail, tails
from conformance.operators import FORWARD

Met = tuple[int, int]
"""How many combinations the cases reach, and how many there are."""


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
    filling = filling_of(signature)
    valid = {tail for tail in filling.tails if tail[1] in BLOCKS}
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
        _met_pairs([own for _, own in cases], filling),
    )


def _met(reached: Set[object], there: Set[object]) -> Met:
    return len(reached & there), len(there)


def _met_pairs(cases: Sequence[Set[Tail]], filling: Filling) -> Met:
    names, there = pairs_of_tails(filling)
    columns = {tail: column for column, tail in enumerate(names)}
    stood = np.zeros((len(cases), len(names)), np.float32)
    for row, own in zip(stood, cases, strict=True):
        row[[columns[tail] for tail in own if tail in columns]] = 1
    return int(np.sum(there & (stood.T @ stood > 0))), int(np.sum(there))


def pairs_of_tails(filling: Filling) -> tuple[list[Tail], Array]:
    """Return the tails of a signature, and which of each two of different sizes a case stands at.

    The second result has a row and a column a tail; a pair is there once, above the diagonal.
    """
    main = np.flatnonzero(filling.main).tolist()
    main.sort(key=filling.tails.__getitem__)
    names = [filling.tails[index] for index in main]
    sizes = np.array([name[0] for name in names])
    together = filling.pairs()[np.ix_(main, main)]
    return names, np.triu(together & (sizes[:, None] != sizes), 1)
