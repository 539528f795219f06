"""Exact sums of products with ordinary matrix products, and their correct rounding.

The idea is that of Ozaki, Ogita, Oishi, Rump: *Error-free transformations of matrix multiplication
by using fast routines of matrix multiplication and its applications*, Numerical Algorithms 59,
2012. Every factor is cut into slices of a few bits on one fixed-point grid. A sum of n products of
slices stays below 2**53, so that float64 matrix products of slices are exact in any order. Then a
handful of exact numbers are added for each element, and rounded once: in double-double arithmetic,
with a certificate, or else with `fractions.Fraction`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Float64 = NDArray[np.float64]

_SPLITTER = 2.0**27 + 1.0
_LEVEL_SLACK = 8
"""The number of slice products that are added: their sum still has at most 53 bits."""

SMALLEST_EXPONENT = -1074
"""Whole multiples of 2**-1074 are exact in float64, subnormal or not."""

_LARGE = 970
"""Whole numbers of 53 bits times a smaller power of two do not overflow in float64."""

_SMALLEST = math.ldexp(1.0, SMALLEST_EXPONENT)


class Slices(NamedTuple):
    """``value = sum_i parts[i] * 2**(exponent - bits*(i+1))``, every part an array of integers."""

    parts: Float64
    """(slices, *shape), each entry a whole number of magnitude at most 2**bits."""
    exponent: int
    bits: int


def slice_bits(terms: int) -> int:
    """Return the slice width for which a sum of ``terms`` products stays exact in float64."""
    return (53 - math.ceil(math.log2(max(terms, 1) * _LEVEL_SLACK))) // 2


def cut(array: Array, bits: int) -> Slices:
    """Cut a finite array, exactly, into integer slices of ``bits`` bits that have its signs."""
    remainder = array.astype(np.float64)
    largest = float(np.max(np.abs(remainder))) if remainder.size else 0.0
    if not math.isfinite(largest):
        raise ValueError("cut: the array has a NaN or an infinity; only finite numbers have slices")
    exponent = math.frexp(largest)[1]
    parts: list[Float64] = []
    while True:
        grid = exponent - bits * (len(parts) + 1)
        part = np.trunc(np.ldexp(remainder, -grid))  # what underflows is below the grid
        parts.append(part)
        remainder = remainder - np.ldexp(part, grid)  # exact: these are its leading bits
        if not remainder.any():
            return Slices(np.stack(parts), exponent, bits)


class Term(NamedTuple):
    """``value * 2**exponent``, which float64 may be too narrow to hold."""

    value: Float64
    exponent: int


def sums_of_elements(add: Callable[[Float64], Float64], array: Array, depth: int) -> list[Term]:
    """Return the exact sums that ``add`` makes of a finite array, computed in float64.

    ``add`` multiplies by whole numbers, of at most ``depth`` in the sum of magnitudes.
    """
    bits = 53 - math.ceil(math.log2(max(depth, 1)))
    parts, exponent, _ = cut(array, bits)
    return [Term(add(part), exponent - bits * (i + 1)) for i, part in enumerate(parts)]


def level_sums(products: Float64, exponent: int, bits: int) -> list[Term]:
    """Sum slice products (left slices, right slices, ...) by level i + j: exact integers.

    ``exponent`` is that of a product of slices 0 and 0; each level is ``bits`` below the last.
    """
    left, right = products.shape[:2]
    sums = []
    for level in range(left + right - 1):
        first = max(0, level - right + 1)
        pairs = [products[i, level - i] for i in range(first, min(left, level + 1))]
        for start in range(0, len(pairs), _LEVEL_SLACK):
            total = sum(pairs[start + 1 : start + _LEVEL_SLACK], pairs[start])
            sums.append(Term(total, exponent - level * bits))
    return sums


def sums_of_products(
    multiply: Callable[[Float64, Float64], Float64], left: Array, right: Array, depth: int
) -> tuple[list[Term], Float64]:
    """Return the exact sums of products of two finite arrays, and the sums of their magnitudes.

    ``multiply`` returns sums of at most ``depth`` products, computed in float64, for arrays like
    ``left`` and ``right`` with two axes of slices before; magnitudes are rounded ``depth`` times.
    """
    bits = slice_bits(depth)
    a, b = left.astype(np.float64), right.astype(np.float64)
    a_cut, b_cut = cut(a, bits), cut(b, bits)
    sums = multiply(a_cut.parts[:, None], b_cut.parts[None])
    terms = level_sums(sums, a_cut.exponent + b_cut.exponent - 2 * bits, bits)
    magnitude = multiply(np.abs(a), np.abs(b))
    if terms[-1].exponent < SMALLEST_EXPONENT:  # products may underflow, and so be too small
        magnitude += depth * _SMALLEST
    return terms, magnitude


def two_sum(a: Float64, b: Float64) -> tuple[Float64, Float64]:
    """Return s, e with s = fl(a + b) and s + e = a + b exactly (Knuth, TAOCP 2, 4.2.2)."""
    s = a + b
    t = s - a
    return s, (a - (s - t)) + (b - t)


def two_product(a: Float64, b: Float64) -> tuple[Float64, Float64]:
    """Return p, e with p = fl(a * b) and p + e = a * b exactly (Dekker 1971, Veltkamp's split)."""
    p = a * b
    c = _SPLITTER * a
    a_high = c - (c - a)
    d = _SPLITTER * b
    b_high = d - (d - b)
    a_low, b_low = a - a_high, b - b_high
    return p, ((a_high * b_high - p) + a_high * b_low + a_low * b_high) + a_low * b_low


class Rounded(NamedTuple):
    """An exact result: ``high`` is correctly rounded to float64, and ``low`` is the remainder."""

    high: Float64
    low: Float64
    error: Float64
    """A bound on ``|exact - (high + low)|``."""


@np.errstate(all="ignore")
def rounded_sum(terms: Sequence[Term], divisor: Float64 | None = None) -> Rounded:
    """Return the exact element-wise sum of equally shaped terms, correctly rounded.

    With ``divisor``, whole numbers below 2**53, the sum is divided before it is rounded.

    The sum is represented as high + low (Ogita, Rump, Oishi: *Accurate sum and dot product*, SIAM
    J. Sci. Comput. 26, 2005, Sum2), and the magnitudes of what that loses add up to its error. If
    the error leaves open how an element rounds, or a term leaves the range of float64 (an overflow
    gives NaN, which certifies nothing), the element is computed with fractions. Raises
    OverflowError if the result itself is too large for float64.
    """
    values = [np.ldexp(value, exponent) for value, exponent in terms]
    high = values[0]
    if len(terms) == 1 and divisor is None and SMALLEST_EXPONENT <= terms[0].exponent < _LARGE:
        return Rounded(high, np.zeros_like(high), np.zeros_like(high))  # it is exact
    low, error = np.zeros_like(high), np.zeros_like(high)
    for value in values[1:]:
        high, slip = two_sum(high, value)
        low, lost = two_sum(low, slip)
        error = error + np.abs(lost)
    high, low = two_sum(high, low)
    if divisor is not None:
        high, low, error = divided(high, low, error, divisor)
    error = 2.0 * error  # twice the error covers the roundings of adding it up
    # Rounding is monotone: where both ends of the interval around high + low round to high, so
    # does all that is between them.
    below, above = low - error, low + error
    below = np.where(error > 0.0, np.nextafter(below, -np.inf), below)
    above = np.where(error > 0.0, np.nextafter(above, np.inf), above)
    certain = (high + below == high) & (high + above == high)
    for term, value in zip(terms, values, strict=True):
        if term.exponent < SMALLEST_EXPONENT:  # unless they are zeros, the last bits are lost
            certain &= np.ldexp(value, -term.exponent) == term.value
    if not certain.all():
        where = np.nonzero(~certain)
        columns = [(value[where].tolist(), Fraction(2) ** exponent) for value, exponent in terms]
        divisors = np.broadcast_to(1.0 if divisor is None else divisor, high.shape)[where]
        for i, index in enumerate(zip(*where, strict=True)):
            exact = sum((Fraction(column[i]) * unit for column, unit in columns), Fraction())
            exact /= int(divisors[i])
            high[index] = float(exact)  # correctly rounded, as Python divides integers
            low[index] = float(exact - Fraction(float(high[index])))
            left = exact - Fraction(float(high[index])) - Fraction(float(low[index]))
            error[index] = math.nextafter(float(abs(left)), math.inf) if left else 0.0
    return Rounded(high, low, error)


def divided(
    high: Float64, low: Float64, error: Float64, divisor: Float64
) -> tuple[Float64, Float64, Float64]:
    """Return (high + low +- error) / divisor as another triple, for whole divisors below 2**53.

    Two steps of long division. The remainder of a rounded quotient is exact (Boldo, Daumas:
    *Representable correcting terms for possibly underflowing floating point operations*, 2003),
    also where the quotient is subnormal, because the divisor is whole.
    """
    first = high / divisor
    product, slip = two_product(first, divisor)
    remainder, lost = two_sum((high - product) - slip, low)
    second = remainder / divisor
    product, slip = two_product(second, divisor)
    left = error + np.abs(lost) + np.abs((remainder - product) - slip)
    high, low = two_sum(first, second)
    return high, low, np.where(left > 0.0, left / divisor + _SMALLEST, 0.0)
