"""Tied maxima in max_pool_grad under the conventions that are not the default (SPEC.md, GRAD-14).

Under ``split`` the result is one, as it is under ``first``. Under ``any`` each window with several
maxima may choose, by itself: the results are as many as the ways to choose. A result is right if
it is that of one of them, which a search finds; then that choice is the reference.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from conformance.case import Case
from conformance.operators.base import Array, Inputs, Reference
from conformance.operators.pool_gradient import MaxPoolGrad, shared
from conformance.rounding import Arithmetic

_STEPS = 20_000
"""Steps of the search for one plane, after which it is left undecided and not compared."""


def chosen(
    operator: MaxPoolGrad,
    case: Case,
    inputs: Inputs,
    output: Array,
    first: Reference,
    accumulate: str | None,
    *,
    flush: bool = False,
) -> Reference:
    """Return the reference of the choice that explains ``output`` (N, C, *S), plane by plane.

    ``first`` is that of the first maxima, to which a plane that no choice explains is held, and
    ``accumulate`` the format of the accumulator, if declared. ``flush`` says that subnormal numbers
    may count as zero.
    """
    arithmetic = Arithmetic.of(case.dtype, accumulate, flush=flush)
    whole = case.data in ("integers", "impulse", "zeros")
    slack = _Slack(arithmetic, whole, case.data == "subnormal")
    grad, x = inputs
    hits = operator.hits(case, x)  # (N, C, P, K)
    taps = operator.forward.taps(case)
    decided = np.ones((*case.x[:2], *(1,) * case.dims), bool)
    followed = hits & (np.cumsum(hits, axis=3) == 1)
    for n, c in np.ndindex(*case.x[:2]):
        got = output[n, c].reshape(-1).astype(np.float64)
        if np.array_equal(got, first.exact[n, c].reshape(-1)):
            continue
        rows = np.flatnonzero(hits[n, c].any(axis=1))
        options = [np.flatnonzero(hits[n, c, p]).tolist() for p in rows]
        places = [[int(taps[p, k]) for k in row] for p, row in zip(rows, options, strict=True)]
        shares = grad[n, c].reshape(-1)[rows].astype(np.float64).tolist()
        found = explain(places, shares, got.tolist(), slack)
        if found is None:
            decided[n, c] = False
            continue
        for p, row, choice in zip(rows, options, found, strict=False):
            followed[n, c, p] = False
            followed[n, c, p, row[choice]] = True
    made = shared(case, grad, followed * 1, taps, None, 0)
    if decided.all():
        return made
    error = np.where(decided, made.error, np.inf)
    return replace(made, error=error, exact_mask=np.broadcast_to(decided, case.x))


def explain(
    places: Sequence[Sequence[int]],
    shares: Sequence[float],
    got: Sequence[float],
    slack: Callable[[Sequence[float]], float],
) -> list[int] | None:
    """Return which of its ``places`` each window gave its share to, so that ``got`` comes out.

    The answer is empty where there is no way to choose, and None where the search gave up.
    ``slack`` says how far the sum of some shares may be off in an implementation's hands. A place
    is compared as soon as the last window that may give to it has chosen: windows come in the
    order of their outputs, so that few choices are open at any time.
    """
    last = {q: p for p, options in enumerate(places) for q in options}
    closed: list[list[int]] = [[] for _ in places]
    for q, p in last.items():
        closed[p].append(q)
    received: dict[int, list[float]] = {q: [] for q in last}
    tried = [0] * len(places)
    p = steps = 0
    while p < len(places):
        steps += 1
        if steps > _STEPS:
            return None
        if tried[p]:
            received[places[p][tried[p] - 1]].pop()
        if tried[p] == len(places[p]):
            tried[p] = 0
            p -= 1
            if p < 0:
                return []
            continue
        received[places[p][tried[p]]].append(shares[p])
        tried[p] += 1
        if all(abs(got[q] - math.fsum(received[q])) <= slack(received[q]) for q in closed[p]):
            p += 1
    return [number - 1 for number in tried]


@dataclass(frozen=True, slots=True)
class _Slack:
    """What a sum of gradients may be off: the judge's bound, and nothing on exact data.

    Were it more, a choice could be taken for the implementation's that the judge then calls wrong;
    were it less, a right one could be passed over.
    """

    arithmetic: Arithmetic
    whole: bool
    """Whether the gradients are whole numbers."""
    subnormal: bool
    """Whether the gradients are subnormal numbers."""

    def __call__(self, terms: Sequence[float]) -> float:
        magnitude = math.fsum(map(abs, terms))
        if magnitude <= (self.arithmetic.exact_up_to if self.whole else 0.0):
            return 0.0
        vanish = self.subnormal and self.arithmetic.flush
        lost = magnitude / max(len(terms), 1) if vanish else 0.0
        return self.arithmetic.bound(len(terms), magnitude, abs(math.fsum(terms)), lost)
