"""The errors of a whole result, which together tell more than each of them.

An element's bound holds for the worst data and the worst roundings, so that what rounds factors to
TF32, or truncates every sum, stays far below it where sums are long. Its errors are seen together:
their squares add up to more, or they lean to one side (SPEC.md, RESULT-6 and RESULT-7, which have
the proofs, and what each of them takes for granted).

Both need data whose signs are random, as those of the recipe ``normal`` are. A result falls into
*rows*, such as its channels: the signs of the weight that one row reads are independent of those of
all others.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np

from conformance.calling import Array
from conformance.judging.bound import Accuracy
from conformance.judging.prepared import Prepared
from conformance.judging.verdict import Problem
from conformance.operators import OPERATORS
from conformance.rounding import Arithmetic, gamma

ALARM = 2.0**-50
"""The chance that one result which is right is accused: with a million of them, below 1e-9."""
FEWEST = 32
"""Sums of fewer products than this show nothing that their elements do not show."""
ONE_SIDED = 1 / 8
"""The share of sum |x||w| that partial sums may reach besides, where one sign is added first."""

_RANDOM = ("normal", "small")
"""The recipes whose numbers have random signs."""


@np.errstate(all="ignore")
def judge_whole(prepared: Prepared, accuracy: Accuracy, output: Array) -> Problem | None:
    """Return what is wrong with the errors of ``output`` together, each of which is allowed."""
    case, operator = prepared.case, OPERATORS[prepared.case.operator]
    if operator.rows is None or case.data not in _RANDOM or case.memory.startswith("broadcast"):
        return None
    if accuracy.amplification is not None and operator.has_weight:
        return None
    terms = np.asarray(prepared.reference.terms)
    if not output.size or terms.max() < FEWEST:
        return None
    errors = _Errors.of(prepared, accuracy, output)
    if not errors.error.size:
        return None
    problem = errors.squares()
    if problem is None and not accuracy.toward_zero and accuracy.multiply is None:
        sides = ("up or down", 1.0), ("toward zero or away from it", np.sign(errors.exact))
        problem = errors.lean(*sides[0]) or errors.lean(*sides[1])
    return problem


@dataclass(frozen=True, slots=True)
class _Errors:
    """The errors of the elements that are compared, and what bounds them; the arrays are flat."""

    arithmetic: Arithmetic
    rows: int
    apart: int
    """How many elements have roundings of their own: outputs of a pool may share their sums."""
    exact: Array
    terms: Array
    norm: Array
    """The square root of the sum of the squares of the products."""
    magnitude: Array
    error: Array
    """What was computed, less what is exact."""
    allowed: Array
    """What storing the result, underflow and the reference may add to the error of a sum."""

    @classmethod
    def of(cls, prepared: Prepared, accuracy: Accuracy, output: Array) -> _Errors:
        """Return the errors of ``output``, which has the shape of the result."""
        reference, operator = prepared.reference, OPERATORS[prepared.case.operator]
        arithmetic = accuracy.arithmetic(prepared.case.dtype)
        residual = 0.0 if reference.residual is None else reference.residual
        terms = np.asarray(reference.terms, np.float64)
        arrays = np.broadcast_arrays(
            reference.exact,
            terms,
            np.sqrt(prepared.squares),
            np.asarray(reference.magnitude),
            output.astype(np.float64) - reference.exact - residual,
            arithmetic.v * np.abs(reference.exact) + terms * arithmetic.tiny + reference.error,
        )
        _, terms, norm, _, error, _ = arrays
        counted = (norm > 0) & arithmetic.is_bounded(terms) & np.isfinite(error)
        rows = math.prod(output.shape[axis] for axis in operator.rows or ())
        apart = int(np.count_nonzero(counted)) if operator.has_weight else rows
        return cls(arithmetic, rows, apart, *(array[counted] for array in arrays))

    def squares(self) -> Problem | None:
        """Return whether their squares add up to more than any order of summation gives."""
        v, terms = self.arithmetic.v, self.terms
        summed = gamma(terms, self.arithmetic.u) * (1 + (np.sqrt(terms) - 1) / terms)
        scale = (1 + v) * self.arithmetic.growth(summed) * self.norm
        excess = np.maximum(np.abs(self.error) - self.allowed, 0)
        share, most = float(np.mean((excess / scale) ** 2)), most_of_squares(self.rows)
        if share <= most:
            return None
        text = (
            f"each error is allowed, but their squares add up to {share:.3g} times what "
            f"{int(terms.max())} roundings of sums of random signs make; allowed: {most:.3g} times"
        )
        return Problem("RESULT-6", text)

    def lean(self, words: str, side: Array | float) -> Problem | None:
        """Return whether they lean to a ``side`` farther than roundings to nearest do."""
        v, terms = self.arithmetic.v, self.terms
        scale = self.norm + ONE_SIDED * self.magnitude
        unit = (1 + v) * gamma(terms, self.arithmetic.u) / np.sqrt(terms) * scale
        mean = float(np.mean(side * self.error / unit))
        spread = math.sqrt(2 * math.log(8 / ALARM) * most_of_squares(self.rows) / self.apart)
        most = float(np.mean(self.allowed / unit)) + spread
        if abs(mean) <= most:
            return None
        text = (
            f"each error is allowed, but they lean to one side, {words}: their mean is {mean:.3g} "
            f"standard roundings of a sum; allowed: +-{most:.3g}"
        )
        if not isinstance(side, float):
            text += '; declare rounding="toward_zero" if sums are truncated'
        return Problem("RESULT-7", text)


@cache
def most_of_squares(rows: int) -> float:
    """Return t for which exp(-rows/2 * (t - 1 - ln t)) is a quarter of `ALARM`.

    It bounds the mean of the squares of ``rows`` independent numbers whose moments are at most
    those of a standard normal number.
    """
    needed = 2 * math.log(4 / ALARM) / max(1, rows)
    low, high = 1.0, 2 * needed + 4
    while high - low > 1e-9 * high:
        middle = (low + high) / 2
        if middle - 1 - math.log(middle) < needed:
            low = middle
        else:
            high = middle
    return high
