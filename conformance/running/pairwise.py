"""Implementations compared with one another: how often the bits agree, and how far they differ."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from conformance.calling import Array
from conformance.dtypes import INTEGERS
from conformance.judging import Accuracy, Prepared


@dataclass(slots=True)
class Pair:
    """Two implementations on the cases of one operator that both computed."""

    first: str
    second: str
    operator: str
    cases: int = 0
    elements: int = 0
    identical: int = 0
    largest: float = 0.0
    """The largest difference, as a fraction of the bound of correct arithmetic in the dtype."""
    largest_case: str | None = None

    def merge(self, other: Pair) -> None:
        """Add what another block found for the same pair."""
        self.cases += other.cases
        self.elements += other.elements
        self.identical += other.identical
        if other.largest > self.largest:
            self.largest, self.largest_case = other.largest, other.largest_case


def compare(
    operator: str, prepared: Sequence[Prepared], outputs: Mapping[str, Sequence[Array | None]]
) -> list[Pair]:
    """Compare every two implementations' ``outputs``, each a list that follows ``prepared``."""
    pairs = [Pair(a, b, operator) for a, b in itertools.combinations(outputs, 2)]
    for dtype in dict.fromkeys(p.case.dtype for p in prepared):
        rows = [i for i, p in enumerate(prepared) if p.case.dtype == dtype]
        flat = {name: _Flat.of(prepared, rows, values) for name, values in outputs.items()}
        allowed = np.concatenate([_allowed(prepared[i]) for i in rows] or [np.empty(0)])
        ends = np.cumsum([prepared[i].reference.exact.size for i in rows])
        for pair in pairs:
            a, b = flat[pair.first], flat[pair.second]
            pair.cases += int(np.count_nonzero(a.cases & b.cases))
            both = a.present & b.present
            pair.elements += int(np.count_nonzero(both))
            equal = both & (a.bits == b.bits)
            pair.identical += int(np.count_nonzero(equal))
            (differing,) = np.nonzero(both & ~equal)
            if not differing.size:
                continue
            apart = a.apart(b, differing, allowed)
            if (largest := float(apart.max())) > pair.largest:
                at = int(differing[np.argmax(apart)])
                row = rows[int(np.searchsorted(ends, at, side="right"))]
                pair.largest, pair.largest_case = largest, prepared[row].case.id
    return pairs


def rows(pairs: Iterable[Pair]) -> list[dict[str, Any]]:
    """Return the pairs that share a case as rows of the run file."""
    names = (
        *("first", "second", "operator", "cases", "elements", "identical", "largest"),
        "largest_case",
    )
    return [{name: getattr(pair, name) for name in names} for pair in pairs if pair.cases]


def _allowed(prepared: Prepared) -> Array:
    exact = prepared.reference.exact
    if prepared.reference.magnitude is None:
        return np.full(exact.size, 5e-324)
    bound, _ = prepared.bound(Accuracy())
    allowed: Array = np.maximum(np.broadcast_to(bound, exact.shape), 5e-324)
    return allowed.reshape(-1)


@dataclass(frozen=True, slots=True)
class _Flat:
    """All outputs of one implementation in one vector, absent ones as zeros marked absent."""

    values: Array
    bits: Array
    """The values as whole numbers that are equal where the bits are; every NaN is the same."""
    present: Array
    cases: Array

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
        """Return how far two outputs are apart, as fractions of what is ``allowed``."""
        if self.values.dtype.kind == "i":
            return np.full(where.size, np.inf)
        with np.errstate(all="ignore"):
            apart: Array = np.abs(self.values[where] - other.values[where]) / allowed[where]
        apart[np.isnan(apart)] = np.inf
        return apart
