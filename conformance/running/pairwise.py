"""Comparing implementations in pairs: how often their bits agree, and how far they differ."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from conformance.calling import Array
from conformance.dtypes import INTEGERS
from conformance.judging import Accuracy, Prepared
from conformance.runfile.tables import Pair


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
            pair = Pair(
                first=names[0],
                second=names[1],
                operator=operator,
                cases=int(np.count_nonzero(first.cases & second.cases)),
                elements=int(np.count_nonzero(both)),
                identical=int(np.count_nonzero(equal)),
                largest=largest,
                largest_case=largest_case,
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
