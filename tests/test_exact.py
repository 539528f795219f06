"""Exact arithmetic: slices, error-free transformations and the sum that is correctly rounded."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance.operators.exact import (
    Term,
    cut,
    level_sums,
    rounded_sum,
    slice_bits,
    two_product,
    two_sum,
)

moderate = settings(max_examples=150, deadline=None)

finite = st.floats(allow_nan=False, allow_infinity=False)
summable = st.floats(-(2.0**1000), 2.0**1000)
ordinary = st.floats(-(2.0**400), 2.0**400).filter(lambda v: v == 0 or abs(v) > 2.0**-400)
mixed = st.one_of(
    ordinary,
    st.builds(lambda sign, e: sign * 2.0**e, st.sampled_from([-1.0, 1.0]), st.integers(-1074, 900)),
    st.sampled_from([0.0, -0.0, 1.0, -1.0, 1 + 2.0**-52, 2.0**-53, -(2.0**-53), 5e-324, 1e300]),
)
columns = st.lists(mixed, min_size=1, max_size=8)


def one(value: float) -> np.ndarray:
    return np.array([value])


def total(values: list[float]) -> Fraction:
    return sum(map(Fraction, values), Fraction())


def summed(values: list[float], divisor: int | None = None):
    terms = [Term(one(value), 0) for value in values]
    high, low, error = rounded_sum(terms, None if divisor is None else one(float(divisor)))
    return high[0], low[0], error[0]


# --- slices ---------------------------------------------------------------------------------------


@moderate
@given(st.lists(finite, min_size=1, max_size=6), st.integers(8, 26))
def test_the_slices_of_a_number_add_up_to_it(values: list[float], bits: int) -> None:
    slices = cut(np.array(values), bits)
    units = [Fraction(2) ** (slices.exponent - bits * (i + 1)) for i in range(len(slices.parts))]
    sums = [
        sum(Fraction(part) * unit for part, unit in zip(column, units, strict=True))
        for column in slices.parts.T.tolist()
    ]

    assert [Fraction(value) for value in values] == sums


@moderate
@given(st.lists(finite, min_size=1, max_size=6), st.integers(8, 26))
def test_slices_are_whole_numbers_of_at_most_their_bits(values: list[float], bits: int) -> None:
    parts = cut(np.array(values), bits).parts

    assert np.array_equal(parts, np.rint(parts))
    assert np.abs(parts).max() <= 2.0**bits


@moderate
@given(st.lists(finite, min_size=1, max_size=6))
def test_the_slices_of_a_number_have_its_sign(values: list[float]) -> None:
    parts = cut(np.array(values), 20).parts

    assert (parts * np.sign(values) >= 0).all()


def test_an_empty_array_has_one_empty_slice() -> None:
    assert (1, 0, 3) == cut(np.empty((0, 3)), 20).parts.shape


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_cannot_be_cut(value: float) -> None:
    with pytest.raises(ValueError, match="NaN or an infinity"):
        cut(np.array([1.0, value]), 20)


@pytest.mark.parametrize("terms", [1, 2, 3, 8, 9, 1000, 4608, 2**20, 2**30])
def test_a_sum_of_slice_products_fits_the_significand(terms: int) -> None:
    largest = 8 * terms * (2 ** slice_bits(terms)) ** 2  # eight levels' worth of full slices

    assert largest <= 2**53


@pytest.mark.parametrize("left", [1, 3, 9, 20])
@pytest.mark.parametrize("right", [1, 2, 12])
def test_level_sums_hold_every_slice_product_once(left: int, right: int) -> None:
    rng = np.random.default_rng(left * 100 + right)
    products = rng.integers(-(2**50), 2**50, (left, right, 1)).astype(np.float64)
    expected = sum(
        Fraction(int(products[i, j, 0])) * Fraction(2) ** (7 - 20 * (i + j))
        for i in range(left)
        for j in range(right)
    )
    terms = level_sums(products, 7, 20)

    assert expected == sum(Fraction(t.value[0]) * Fraction(2) ** t.exponent for t in terms)


@pytest.mark.parametrize("slices", [1, 8, 9, 30])
def test_level_sums_never_add_more_than_eight_products(slices: int) -> None:
    sums = [term.value.max() for term in level_sums(np.ones((slices, slices, 1)), 0, 20)]

    assert max(sums) <= 8


# --- error-free transformations -------------------------------------------------------------------


@moderate
@given(summable, summable)
def test_two_sum_loses_nothing(a: float, b: float) -> None:
    s, e = two_sum(one(a), one(b))

    assert Fraction(a) + Fraction(b) == Fraction(s[0]) + Fraction(e[0])


@moderate
@given(ordinary, ordinary)
def test_two_product_loses_nothing(a: float, b: float) -> None:
    p, e = two_product(one(a), one(b))

    assert Fraction(a) * Fraction(b) == Fraction(p[0]) + Fraction(e[0])


# --- correct rounding -----------------------------------------------------------------------------


@moderate
@given(columns)
def test_a_sum_is_correctly_rounded(values: list[float]) -> None:
    assert float(total(values)) == summed(values)[0]


@moderate
@given(columns, st.integers(1, 1000))
def test_a_mean_is_correctly_rounded(values: list[float], divisor: int) -> None:
    assert float(total(values) / divisor) == summed(values, divisor)[0]


@moderate
@given(columns, st.none() | st.integers(1, 1000))
def test_high_and_low_are_within_the_error(values: list[float], divisor: int | None) -> None:
    high, low, error = summed(values, divisor)
    left = total(values) / (divisor or 1) - Fraction(high) - Fraction(low)

    assert abs(left) <= Fraction(error)


@moderate
@given(columns)
def test_the_error_is_far_below_double_double(values: list[float]) -> None:
    error = summed(values)[2]

    assert Fraction(error) <= sum(map(abs, map(Fraction, values))) / 2**98 + Fraction(2) ** -1073


@pytest.mark.parametrize("gap", [2.0**-110, 2.0**-160, 2.0**-300, 2.0**-1074])
@pytest.mark.parametrize("sign", [1, -1, 0])
@pytest.mark.parametrize("base", [1.0, 1 + 2.0**-52, 3.0, 2.0 - 2.0**-52, 0.5, -7.0])
def test_a_sum_next_to_a_rounding_boundary_rounds_right(base: float, sign: int, gap: float) -> None:
    half = float(np.spacing(base)) / 2
    for values in ([base, half, sign * gap, 1e9, -1e9], [base, -half, sign * gap, 1e-9, -1e-9]):
        assert float(total(values)) == summed(values)[0]


@pytest.mark.parametrize("divisor", [1, 2, 3, 7, 9, 49, 1000])
@pytest.mark.parametrize("gap", [2.0**-110, -(2.0**-160), 2.0**-300, 0.0])
@pytest.mark.parametrize("base", [1.0, 1 + 2.0**-52, 3.0, 2.0 - 2.0**-52, 0.5])
def test_a_mean_next_to_a_rounding_boundary_rounds_right(
    base: float, gap: float, divisor: int
) -> None:
    half = float(np.spacing(base)) / 2
    values = [base * 2.0**i for i in range(10) if divisor >> i & 1]
    values += [half * 2.0**i for i in range(10) if divisor >> i & 1] + [gap]

    assert float(total(values) / divisor) == summed(values, divisor)[0]


def test_terms_beyond_the_range_of_float64_add_up_inside_it() -> None:
    terms = [Term(one(1.0), 1500), Term(one(-1.0), 1500), Term(one(3.0), -1074)]

    assert [3 * 2.0**-1074] == rounded_sum(terms).high.tolist()


def test_terms_below_the_smallest_subnormal_count_together() -> None:
    terms = [Term(one(1.0), -1075), Term(one(1.0), -1075), Term(one(1.0), -1076)]

    assert [2.0**-1074] == rounded_sum(terms).high.tolist()


def test_a_subnormal_result_is_rounded_once() -> None:
    # 2**-1022 + 2**-1075 + 2**-1130: rounding to 53 bits first would make a tie of it.
    terms = [Term(one(1.0), -1022), Term(one(1.0), -1075), Term(one(1.0), -1130)]

    assert [2.0**-1022 + 2.0**-1074] == rounded_sum(terms).high.tolist()


def test_a_result_too_large_for_float64_is_an_error() -> None:
    with pytest.raises(OverflowError):
        rounded_sum([Term(one(1.0), 1023), Term(one(1.0), 1023)])


def test_an_exact_sum_has_no_error() -> None:
    assert (1.0, 2.0**-60, 0.0) == summed([1.0, 2.0**-60])


def test_the_terms_are_not_written_to() -> None:
    first = one(1.0)
    rounded_sum([Term(first, 0), Term(one(2.0), 0)])

    assert [1.0] == first.tolist()
