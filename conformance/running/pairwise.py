"""Comparing implementations in pairs: how often their bits agree, and how far they differ.

Two that share every bit, rounding included, are computed by one code path, or add up in one order.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from conformance.calling import Array
from conformance.dtypes import INTEGERS, numpy_dtype
from conformance.judging import Accuracy, Prepared
from conformance.runfile.tables import Pair

FEW = 100
"""So many elements must be rounded alike, and not to the nearest number, to be worth a word."""


def notes_on_identical(families: Mapping[str, str], pairs: Iterable[Pair]) -> dict[str, str]:
    """Return a note on each implementation that has all bits of one said to compute otherwise.

    That is one of another family, or the same engine with other options; ``families`` has the
    family of each by its name.
    """
    totals: dict[tuple[str, str], Pair] = {}
    for pair in pairs:
        names = (pair.first, pair.second)
        totals[names] = totals[names].plus(pair) if names in totals else pair
    found: dict[str, list[tuple[str, Pair]]] = {}
    for (first, second), pair in totals.items():
        options = _engine(first) == _engine(second)
        claimed = options or families[first] != families[second]
        if claimed and pair.elements == pair.identical and pair.missed >= FEW:
            found.setdefault(second, []).append((first, pair))
    return {name: _identical(others) for name, others in found.items()}


def _engine(name: str) -> str:
    """Return the name without the options in brackets."""
    return name.partition("[")[0]


def _identical(others: Sequence[tuple[str, Pair]]) -> str:
    names = [
        f"{name} in all {pair.elements:,} numbers of both, {pair.missed:,} of them not the nearest"
        for name, pair in others
    ]
    return (
        f"every bit is that of {', of '.join(names)}: one code path computes them, or one order of "
        "sums"
    )


def compare(
    operator: str, prepared: Sequence[Prepared], outputs: Mapping[str, Sequence[Array | None]]
) -> list[Pair]:
    """Compare the ``outputs`` of every two implementations; each list is parallel to ``prepared``.

    Pairs that share no case are left out.
    """
    pairs: dict[tuple[str, str], Pair] = {}
    if len(outputs) < 2:
        return []
    for dtype in dict.fromkeys(p.case.dtype for p in prepared):
        rows = [i for i, p in enumerate(prepared) if p.case.dtype == dtype]
        flat = {name: _Flat.of(prepared, rows, values) for name, values in outputs.items()}
        allowed = np.concatenate([_allowed(prepared[i]) for i in rows] or [np.empty(0)])
        nearest = _nearest(dtype, [prepared[i] for i in rows])
        ends = np.cumsum([prepared[i].reference.exact.size for i in rows])
        for names in itertools.combinations(outputs, 2):
            first, second = (flat[name] for name in names)
            both = first.present & second.present
            equal = both & (first.bits == second.bits)
            largest, largest_case = 0.0, None
            (differing,) = np.nonzero(both & ~equal)
            if differing.size:
                apart = first.apart(second, differing, allowed)
                if (worst := float(apart.max())) > largest:
                    at = int(differing[np.argmax(apart)])
                    row = rows[int(np.searchsorted(ends, at, side="right"))]
                    largest, largest_case = worst, prepared[row].case.id
            missed = 0 if nearest is None else np.count_nonzero(equal & (first.bits != nearest))
            pair = Pair(
                first=names[0],
                second=names[1],
                operator=operator,
                cases=int(np.count_nonzero(first.cases & second.cases)),
                elements=int(np.count_nonzero(both)),
                identical=int(np.count_nonzero(equal)),
                largest=largest,
                largest_case=largest_case,
                missed=int(missed),
            )
            pairs[names] = pairs[names].plus(pair) if names in pairs else pair
    return [pair for pair in pairs.values() if pair.cases]


def _allowed(prepared: Prepared) -> Array:
    exact = prepared.reference.exact
    if prepared.reference.magnitude is None:
        return np.full(exact.size, 5e-324)
    bound, _ = prepared.bound(Accuracy())
    allowed: Array = np.maximum(np.broadcast_to(bound, exact.shape), 5e-324)
    return allowed.reshape(-1)


def _nearest(dtype: str, prepared: Sequence[Prepared]) -> Array | None:
    """Return the numbers of ``dtype`` nearest to the exact results, as `_Flat.bits` has them.

    None stands for integers, whose results are exact.
    """
    if dtype in INTEGERS:
        return None
    exact = np.concatenate([p.reference.exact.reshape(-1) for p in prepared] or [np.empty(0)])
    with np.errstate(all="ignore"):
        rounded = exact.astype(np.float64).astype(numpy_dtype(dtype)).astype(np.float64)
    bits: Array = rounded.view(np.int64)
    return bits


@dataclass(frozen=True, slots=True)
class _Flat:
    """All outputs of one implementation in one vector, with zeros for outputs that are absent."""

    values: Array
    bits: Array
    """The bits of the values as whole numbers; every NaN has the same bits."""
    present: Array
    """Whether each element is present."""
    cases: Array
    """Whether each case has an output."""

    @classmethod
    def of(
        cls, prepared: Sequence[Prepared], rows: Sequence[int], outputs: Sequence[Array | None]
    ) -> _Flat:
        kind = prepared[rows[0]].case.dtype if rows else "float64"
        dtype = np.dtype(np.int64 if kind in INTEGERS else np.float64)  # int64 has more digits
        values, present, cases = [np.empty(0, dtype)], [np.empty(0, bool)], []
        for row in rows:
            output, exact = outputs[row], prepared[row].reference.exact
            cases.append(output is not None)
            present.append(np.full(exact.size, output is not None))
            filled = np.zeros(exact.size) if output is None else output.reshape(-1)
            values.append(filled.astype(dtype))
        joined = np.concatenate(values)
        if dtype.kind == "f":
            joined[np.isnan(joined)] = np.nan
        return cls(joined, joined.view(np.int64), np.concatenate(present), np.array(cases, bool))

    def apart(self, other: _Flat, where: Array, allowed: Array) -> Array:
        """Return the distance of two outputs at elements ``where``, as multiples of ``allowed``."""
        if self.values.dtype.kind == "i":
            return np.full(where.size, np.inf)
        with np.errstate(all="ignore"):
            apart: Array = np.abs(self.values[where] - other.values[where]) / allowed[where]
        apart[np.isnan(apart)] = np.inf
        return apart
