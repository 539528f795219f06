"""Tied maxima in max_pool_grad under the conventions that are not the default (SPEC.md, GRAD-14).

Under ``split``, as under ``first``, there is one right result. Under ``any`` each window with
several maxima may choose one of them: a search looks for the choices that explain a result, and if
it finds them, they define the reference.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from conformance.case import Case
from conformance.operators.base import Array, Inputs, Reference
from conformance.operators.pool_gradient import MaxPoolGrad, scatter_quotients
from conformance.rounding import Arithmetic

_STEPS = 20_000
"""The most steps of the search for one plane; after them the plane is not compared."""


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

    ``first`` is the reference of the first maxima, for planes that no choice explains;
    ``accumulate`` the declared accumulator's format or None; ``flush`` as in `Accuracy`.
    """
    arithmetic = Arithmetic.of(case.dtype, accumulate, flush=flush)
    whole = case.data in ("integers", "impulse", "digits", "zeros")
    slack = _Slack(arithmetic, whole, case.data == "subnormal")
    grad, x = inputs
    hits = operator.hits(case, x)  # (N, C, P, K)
    taps = operator.forward.taps(case)
    decided = np.ones((*case.x[:2], *(1,) * case.dims), bool)
    assignment = hits & (np.cumsum(hits, axis=3) == 1)
    for n, c in np.ndindex(*case.x[:2]):
        got = output[n, c].reshape(-1).astype(np.float64)
        if np.array_equal(got, first.exact[n, c].reshape(-1)):
            continue
        rows = np.flatnonzero(hits[n, c].any(axis=1))
        options = [np.flatnonzero(hits[n, c, p]).tolist() for p in rows]
        positions = [[int(taps[p, k]) for k in row] for p, row in zip(rows, options, strict=True)]
        shares = grad[n, c].reshape(-1)[rows].astype(np.float64).tolist()
        choices = explain(positions, shares, got.tolist(), slack)
        if choices is None:
            decided[n, c] = False
            continue
        for p, row, choice in zip(rows, options, choices, strict=False):
            assignment[n, c, p] = False
            assignment[n, c, p, row[choice]] = True
    reference = scatter_quotients(case, grad, assignment * 1, taps, None, 0)
    if decided.all():
        return reference
    error = np.where(decided, reference.error, np.inf)
    return replace(reference, error=error, single_valued=np.broadcast_to(decided, case.x))


def explain(
    positions: Sequence[Sequence[int]],
    shares: Sequence[float],
    got: Sequence[float],
    slack: Callable[[Sequence[float]], float],
) -> list[int] | None:
    """Return the choice among its ``positions`` of each window, so that the sums are ``got``.

    The result is empty if no choices explain ``got``, and None if the search gives up. ``slack``
    returns how far an implementation's sum of some shares may be off. Windows come in the order of
    their outputs, and a position is compared as soon as the last window that reads it has chosen.
    """
    last = {q: p for p, options in enumerate(positions) for q in options}
    closed: list[list[int]] = [[] for _ in positions]
    for q, p in last.items():
        closed[p].append(q)
    received: dict[int, list[float]] = {q: [] for q in last}
    attempts = [0] * len(positions)
    p = steps = 0
    while p < len(positions):
        steps += 1
        if steps > _STEPS:
            return None
        if attempts[p]:
            received[positions[p][attempts[p] - 1]].pop()
        if attempts[p] == len(positions[p]):
            attempts[p] = 0
            p -= 1
            if p < 0:
                return []
            continue
        received[positions[p][attempts[p]]].append(shares[p])
        attempts[p] += 1
        if all(abs(got[q] - math.fsum(received[q])) <= slack(received[q]) for q in closed[p]):
            p += 1
    return [number - 1 for number in attempts]


@dataclass(frozen=True, slots=True)
class _Slack:
    """How far a sum of gradients may be off: the judge's bound, and nothing on exact data.

    With more the search finds choices that the judge calls wrong, with less it misses right ones.
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
