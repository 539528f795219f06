"""Rounding: how far a sum of products, computed in some formats, may lie from the exact one.

For n products, a bias counted as one, added in an accumulator of unit roundoff u and stored with
unit roundoff v (Higham, *Accuracy and Stability of Numerical Algorithms*, 2nd ed., ch. 3),

    |got - exact| <= (1 + v) * gamma(n, u) * sum |x||w| + v * |exact| + n * tiny

where gamma(n, u) = n*u / (1 - n*u) (lemma 3.1), and tiny is the smallest subnormal number, or the
smallest normal one if subnormal numbers may count as zero. Each product passes through at most n
roundings, so that the bound holds for every order of summation, every blocking and every fused
multiply-add. Adding an exact zero does not round, so that n counts real taps only. If a multiplier
first rounds its inputs to a format of unit roundoff m, then sum |x||w| grows by (1 + m)**2.

Rounding toward zero loses up to twice as much: 2u, 2v, 2m and 2*tiny take their places.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

from numpy.typing import NDArray

from conformance.dtypes import DEFAULT_ACCUMULATOR, FORMATS, Format

Numbers = TypeVar("Numbers", float, NDArray[Any])
"""One number, or an array of one for each element of a result."""

_MOST_ROUNDINGS = 0.5
"""The largest n*u that has a bound: gamma is then at most 1."""


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """The formats in which a sum of products is computed."""

    accumulator: Format
    stored: Format
    multiplier: Format | None = None
    """The format to which factors are rounded before they are multiplied; None for no rounding."""
    flush: bool = False
    """Whether subnormal numbers may count as zero."""
    toward_zero: bool = False
    """Whether roundings may be toward zero; else they are to nearest."""

    @classmethod
    def of(
        cls,
        dtype: str,
        accumulate: str | None = None,
        multiply: str | None = None,
        *,
        flush: bool = False,
        toward_zero: bool = False,
    ) -> Arithmetic:
        """Return the arithmetic of a floating-point dtype, in the formats that are declared."""
        accumulator = FORMATS[accumulate or DEFAULT_ACCUMULATOR.get(dtype, dtype)]
        multiplier = FORMATS[multiply] if multiply else None
        return cls(accumulator, FORMATS[dtype], multiplier, flush, toward_zero)

    @property
    def exact_up_to(self) -> float:
        """The number up to which sums of whole numbers are exact, in every order."""
        return 2.0 ** min(self.accumulator.digits, self.stored.digits)

    @property
    def tiny(self) -> float:
        """The most that one operation loses, besides rounding, at the lower end of the range."""
        if self.flush:
            return max(self.stored.smallest_normal, self.accumulator.smallest_normal)
        least = max(self.stored.smallest_subnormal, self.accumulator.smallest_subnormal)
        return self._steps * least

    @property
    def _steps(self) -> int:
        """The half steps between neighbouring numbers that one rounding may lose."""
        return 2 if self.toward_zero else 1

    @property
    def u(self) -> float:
        """The most that one rounding of the accumulator loses, relative to its result."""
        return self._steps * self.accumulator.unit_roundoff

    @property
    def v(self) -> float:
        """The most that storing the result loses, relative to it."""
        return self._steps * self.stored.unit_roundoff

    def is_bounded(self, terms: Numbers) -> Any:
        """Whether the bound holds for sums of so many products: at most half of 1/u."""
        return terms * self.u <= _MOST_ROUNDINGS

    def bound(
        self, terms: Numbers, magnitude: Numbers, size: Numbers, lost: Numbers | float = 0.0
    ) -> Numbers:
        """Return the bound on |got - exact| of this module's docstring; shapes broadcast.

        ``terms`` is n, ``magnitude`` is sum |x||w|, ``size`` is |exact|, and ``lost`` is what each
        product may lose besides, if its factors count as zero.
        """
        growth = self.growth(gamma(terms, self.u))
        allowed: Numbers = (1 + self.v) * growth * magnitude + self.v * size
        return allowed + terms * (self.tiny + lost)

    def growth(self, summed: Numbers) -> Numbers:
        """Return what a relative error of ``summed`` becomes if factors are rounded beforehand."""
        if self.multiplier is None:
            return summed
        return (1 + summed) * (1 + self._steps * self.multiplier.unit_roundoff) ** 2 - 1


def gamma(terms: Numbers, unit_roundoff: float) -> Numbers:
    """Return n*u / (1 - n*u): the largest relative error that n roundings add up to."""
    roundings = terms * unit_roundoff
    return roundings / (1 - roundings)
