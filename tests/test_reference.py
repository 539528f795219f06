"""The reference against `oracle`, a second one that shares no code with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import oracle
import oracle_gradients
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance.case import RECIPES, Case
from conformance.cases.data import make_inputs
from conformance.cases.ranges import Ranges
from conformance.cases.strategies import cases
from conformance.operators import FORWARD, GRADIENTS, OPERATORS, nonfinite
from conformance.operators.base import Reference

Inputs = tuple[Any, ...]
Pair = tuple[Reference, Any]
"""A reference and the oracle's answer."""

DTYPES = ("float32", "float64", "float16", "bfloat16")
SUMMING = ("conv", "conv_transpose", "avg_pool")

few = settings(max_examples=25, deadline=None)
drawn = settings(max_examples=40, deadline=None)


def drawn_cases(operator: str, data: tuple[str, ...] = RECIPES) -> st.SearchStrategy[Case]:
    ranges = Ranges(
        dtypes=DTYPES, work=1500, boundary_share=0, kernel=(1, 2, 3), output=(1, 2, 3, 4)
    )
    drawn = st.tuples(cases(operator, ranges), st.sampled_from(data))
    return drawn.map(lambda pair: pair[0].replace(data=pair[1]))


def both(case: Case, inputs: Inputs | None = None) -> Pair:
    """Return the reference of ``case`` and the oracle's answer."""
    inputs = make_inputs(case) if inputs is None else inputs
    independent = oracle_gradients if case.operator in GRADIENTS else oracle
    with np.errstate(invalid="ignore"):  # ml_dtypes says so of any NaN
        reference = OPERATORS[case.operator].reference(case, inputs)
    return reference, independent.compute(case, inputs)


def off(pair: Pair) -> Iterator[tuple[Fraction, Fraction]]:
    """Yield what exact + residual leave of each element, and what they may leave."""
    reference, exact = pair
    residual = np.zeros(exact.shape) if reference.residual is None else reference.residual
    error = np.broadcast_to(reference.error, exact.shape)
    for index, value in exact.values.items():
        kept = Fraction(float(reference.exact[index])) + Fraction(float(residual[index]))
        yield abs(value - kept), Fraction(float(error[index]))


def magnitudes(pair: Pair) -> Iterator[tuple[Fraction, Fraction]]:
    """Yield the reference's and the true sum of magnitudes of each element."""
    reference, exact = pair
    assert reference.magnitude is not None
    for index, value in exact.magnitudes.items():
        yield Fraction(float(reference.magnitude[index])), value


# --- drawn cases ----------------------------------------------------------------------------------


@pytest.mark.parametrize("operator", SUMMING)
def test_sums_are_the_oracles_correctly_rounded(operator: str) -> None:
    @drawn
    @given(drawn_cases(operator))
    def check(case: Case) -> None:
        reference, exact = both(case)

        assert oracle.array(exact).tolist() == reference.exact.tolist()

    check()


@pytest.mark.parametrize("operator", SUMMING)
def test_what_the_reference_leaves_out_is_within_its_error(operator: str) -> None:
    @drawn
    @given(drawn_cases(operator))
    def check(case: Case) -> None:
        assert all(left <= error for left, error in off(both(case)))

    check()


@pytest.mark.parametrize("operator", SUMMING)
def test_the_error_is_far_below_the_dtypes_last_bit(operator: str) -> None:
    @drawn
    @given(drawn_cases(operator))
    def check(case: Case) -> None:
        reference, _ = both(case)
        share = 2.0**-100 if case.dtype == "float64" else 2.0**-52

        assert (reference.error <= share * reference.magnitude).all()

    check()


@pytest.mark.parametrize("operator", SUMMING)
def test_magnitudes_are_the_oracles_rounded_up(operator: str) -> None:
    @drawn
    @given(drawn_cases(operator))
    def check(case: Case) -> None:
        slack = Fraction(1) + Fraction(1, 10**9)

        assert all(true <= got <= true * slack for got, true in magnitudes(both(case)))

    check()


@pytest.mark.parametrize("operator", SUMMING)
def test_terms_count_real_products_and_the_bias(operator: str) -> None:
    """For avg_pool there are more, for its divisions: two an axis, one less for the sum."""

    @drawn
    @given(drawn_cases(operator))
    def check(case: Case) -> None:
        reference, exact = both(case)
        terms = np.broadcast_to(reference.terms, exact.shape)
        more = 2 * case.dims - 1 if operator == "avg_pool" else 0

        assert [n + more for n in exact.terms.values()] == terms.reshape(-1).tolist()

    check()


def test_maxima_are_an_element_of_the_window() -> None:
    @drawn
    @given(drawn_cases("max_pool"))
    def check(case: Case) -> None:
        reference, exact = both(case)

        assert all(repr(float(reference.exact[i])) in ways for i, ways in exact.values.items())

    check()


@pytest.mark.parametrize("operator", FORWARD)
def test_the_output_shape_is_the_oracles(operator: str) -> None:
    @drawn
    @given(drawn_cases(operator))
    def check(case: Case) -> None:
        reference, exact = both(case)

        assert exact.shape == OPERATORS[operator].output_shape(case) == reference.exact.shape

    check()


@pytest.mark.parametrize("operator", SUMMING)
def test_sums_of_special_numbers_are_correctly_rounded(operator: str) -> None:
    @few
    @given(drawn_cases(operator, ("zeros", "subnormal", "huge")))
    def check(case: Case) -> None:
        reference, exact = both(case)

        assert oracle.array(exact).tolist() == reference.exact.tolist()

    check()


@pytest.mark.parametrize("operator", ["conv", "conv_transpose", "avg_pool"])
def test_nan_and_infinities_are_the_oracles(operator: str) -> None:
    @drawn
    @given(drawn_cases(operator, ("nan", "inf")))
    def check(case: Case) -> None:
        inputs = make_inputs(case)
        with np.errstate(invalid="ignore"):
            reference = nonfinite.reference(OPERATORS[operator], case, inputs)
        expected = oracle.array(oracle.compute(case, inputs))
        specified = np.broadcast_to(np.isfinite(reference.error), expected.shape)

        assert repr(expected[specified].tolist()) == repr(reference.exact[specified].tolist())

    check()


@pytest.mark.parametrize("operator", ["conv", "conv_transpose", "avg_pool"])
def test_only_padding_beside_a_weight_that_is_not_finite_is_unspecified(operator: str) -> None:
    @drawn
    @given(drawn_cases(operator, ("nan", "inf")))
    def check(case: Case) -> None:
        x, *others = make_inputs(case)
        with np.errstate(invalid="ignore"):
            reference = nonfinite.reference(OPERATORS[operator], case, (x, *others))
        wild = any(value is not None and not np.isfinite(value).all() for value in others[:1])

        assert (wild and any(map(any, case.padding))) or np.isfinite(reference.error).all()

    check()


# --- data that is hard on a reference -------------------------------------------------------------

GEOMETRIES = (
    "conv2d:float64:x=2,2,4,3:w=2,2,3,2:bias:stride=2,1:padding=1/0,0/2:normal@0",
    "conv1d:float64:x=1,4,5:w=4,2,3:dilation=2:groups=2:normal@0",
    "conv_transpose2d:float64:x=1,2,3,2:w=2,2,3,2:bias:stride=2,1:padding=1/0,0/1:normal@0",
    "avg_pool2d:float64:x=1,2,5,4:kernel=3,2:stride=2,1:padding=1/1,1/0:ceil_mode:normal@0",
    "avg_pool1d:float64:x=1,2,7:kernel=3:padding=1/0:exclude_pad:normal@0",
    "conv_input_grad1d:float64:x=1,2,5:w=2,2,3:stride=2:padding=1/0:normal@0",
    "conv_weight_grad1d:float64:x=3,2,5:w=2,2,3:padding=1/0:normal@0",
    "conv_bias_grad1d:float64:x=3,2,5:normal@0",
    "avg_pool_grad1d:float64:x=1,2,6:kernel=3:padding=1/0:exclude_pad:normal@0",
)


def _scaled(low: int, high: int) -> Callable[[np.random.Generator, Any], Any]:
    """Return a maker of normal numbers times powers of two from 2**low to 2**high."""

    def make(rng: np.random.Generator, shape: Any) -> Any:
        return np.ldexp(rng.standard_normal(shape), rng.integers(low, high, shape, endpoint=True))

    return make


def _cancelling(rng: np.random.Generator, shape: Any) -> Any:
    """Large numbers of either sign that cancel, and small ones that are left."""
    large = rng.choice([2.0**60, -(2.0**60), 2.0**61, 0.0], shape)
    return large + rng.choice([0.0, 2.0**20, -(2.0**9)], shape) + rng.integers(-3, 4, shape)


def _subnormal(rng: np.random.Generator, shape: Any) -> Any:
    return rng.integers(-9, 10, shape) * 2.0**-1074


def _extremes(rng: np.random.Generator, shape: Any) -> Any:
    choices = [0.0, -0.0, 5e-324, -(2.0**-1022), 1.0, -1.0, 2.0**300, -(2.0**400)]
    return rng.choice(choices, shape)


NASTY: dict[str, Callable[[np.random.Generator, Any], Any]] = {
    "exponents of 400": _scaled(-200, 200),
    "products of 2**-1074 and below": _scaled(-560, -500),
    "products of 2**900": _scaled(430, 450),
    "the whole range below 1": _scaled(-1074, 0),
    "cancelling": _cancelling,
    "subnormal": _subnormal,
    "extremes": _extremes,
    "zeros": lambda rng, shape: np.zeros(shape),
    "negative zeros": lambda rng, shape: np.full(shape, -0.0),
    "ones": lambda rng, shape: np.ones(shape),
}


@pytest.fixture(params=NASTY, scope="module")
def nasty(request: pytest.FixtureRequest) -> list[Pair]:
    """One kind of data in every geometry."""
    pairs = []
    for seed, text in enumerate(GEOMETRIES):
        case = Case.parse(text)
        rng = np.random.default_rng(seed)
        inputs = (
            NASTY[request.param](rng, value.shape) if isinstance(value, np.ndarray) else value
            for value in make_inputs(case)
        )
        pairs.append(both(case, tuple(inputs)))
    return pairs


def test_hard_sums_are_correctly_rounded(nasty: list[Pair]) -> None:
    expected = [oracle.array(exact).tolist() for _, exact in nasty]

    assert expected == [reference.exact.tolist() for reference, _ in nasty]


def test_hard_sums_are_within_the_error(nasty: list[Pair]) -> None:
    assert all(left <= error for pair in nasty for left, error in off(pair))


def test_hard_magnitudes_are_never_too_small(nasty: list[Pair]) -> None:
    assert all(true <= got for pair in nasty for got, true in magnitudes(pair))


def test_hard_magnitudes_are_hardly_too_large(nasty: list[Pair]) -> None:
    slack, tiny = Fraction(1) + Fraction(1, 10**9), Fraction(2) ** -1060

    assert all(got <= true * slack + tiny for pair in nasty for got, true in magnitudes(pair))


def test_a_sum_next_to_a_rounding_boundary_rounds_right() -> None:
    case = Case.parse("conv1d:float64:x=9,6,1:w=1,6,1:normal@0")
    x = np.array(
        [
            [base, sign * np.spacing(base) / 2, gap, 2.0**70, -(2.0**70), 0]
            for base, sign in ((1.0, 1), (1 + 2.0**-52, 1), (2.0, -1))
            for gap in (2.0**-110, -(2.0**-110), 2.0**-400)
        ]
    )
    reference, exact = both(case, (x.reshape(9, 6, 1), np.ones((1, 6, 1)), None))

    assert oracle.array(exact).tolist() == reference.exact.tolist()


@pytest.mark.parametrize("gap", [0.0, 2.0**-110, -(2.0**-110), 2.0**-400])
def test_a_mean_next_to_a_rounding_boundary_rounds_right(gap: float) -> None:
    case = Case.parse("avg_pool1d:float64:x=1,1,7:kernel=7:normal@0")
    half = 2.0**-53  # of the last bit of 1: the mean is 1 + half + gap/7
    x = np.array([4.0, 2.0, 1.0, 8 * half, -half, gap, 0.0]).reshape(1, 1, 7)
    reference, exact = both(case, (x,))

    assert oracle.array(exact).tolist() == reference.exact.tolist()


def test_a_float32_sum_is_rounded_to_float64_only() -> None:
    case = Case.parse("conv1d:float32:x=1,2,1:w=1,2,1:normal@0")
    x, w = np.array([[[1.0], [2.0**-40]]], np.float32), np.ones((1, 2, 1), np.float32)

    assert [1 + 2.0**-40] == both(case, (x, w, None))[0].exact.reshape(-1).tolist()


# --- zeros and NaN in max_pool --------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("window", "one_answer"),
    [
        ([0.0, 0.0], True),
        ([-0.0, -0.0], True),
        ([-0.0, 0.0], False),
        ([0.0, -0.0], False),
        ([-1.0, -0.0], True),
        ([0.0, 1.0], True),
        ([np.nan, 0.0], True),
    ],
)
def test_only_a_tie_of_both_zeros_leaves_two_answers(
    dtype: str, window: list[float], one_answer: bool
) -> None:
    case = Case.parse(f"max_pool1d:{dtype}:x=1,1,2:kernel=2:normal@0")
    x = np.array(window).reshape(1, 1, 2).astype(make_inputs(case)[0].dtype)
    reference, _ = both(case, (x,))

    assert one_answer == np.all(reference.single_valued)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("place", range(3))
def test_a_nan_anywhere_in_a_window_is_its_maximum(dtype: str, place: int) -> None:
    case = Case.parse(f"max_pool1d:{dtype}:x=1,1,3:kernel=3:normal@0")
    x = np.zeros((1, 1, 3), make_inputs(case)[0].dtype)
    x[..., place] = np.nan

    assert np.isnan(float(both(case, (x,))[0].exact[0, 0, 0]))


def test_a_window_of_minus_infinity_stays_minus_infinity() -> None:
    case = Case.parse("max_pool1d:float32:x=1,1,2:kernel=2:padding=1/1:normal@0")
    reference, _ = both(case, (np.full((1, 1, 2), -np.inf, np.float32),))

    assert [-np.inf] * 3 == reference.exact.reshape(-1).tolist()


# --- empty batches --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "conv2d:float32:x=0,2,4,4:w=3,2,2,2:bias:normal@0",
        "conv_transpose2d:float64:x=0,2,4,4:w=2,3,2,2:bias:normal@0",
        "max_pool2d:float32:x=0,2,4,4:kernel=2,2:normal@0",
        "avg_pool2d:float64:x=0,2,4,4:kernel=2,2:normal@0",
    ],
)
def test_an_empty_batch_has_an_empty_result(text: str) -> None:
    reference, exact = both(Case.parse(text))

    assert exact.shape == reference.exact.shape
    assert reference.exact.size == 0


# --- norms ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "operator", ["conv", "conv_transpose", "conv_input_grad", "conv_weight_grad"]
)
def test_norms_are_at_least_the_magnitudes(operator: str) -> None:
    """Cauchy and Schwarz: the normwise bound is the weaker one."""
    gradient = GRADIENTS.get(operator)

    @drawn
    @given(drawn_cases("conv" if gradient else operator))
    def check(case: Case) -> None:
        case = gradient.derived(case) if gradient else case
        inputs = make_inputs(case)
        reference = OPERATORS[operator].reference(case, inputs)
        norms = OPERATORS[operator].norms(case, inputs)

        assert (norms * (1 + 2.0**-40) >= reference.magnitude).all()

    check()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("conv1d:float64:x=1,2,2:w=1,2,1:bias:integers@0", 5 * 2 + 13 * 3 + 7),
        ("conv_transpose1d:float64:x=1,2,2:w=2,1,1:bias:integers@0", 5 * 2 + 13 * 3 + 7),
    ],
)
def test_norms_sum_over_channels_and_add_the_bias(text: str, expected: float) -> None:
    case = Case.parse(text)
    x = np.array([[[3.0, 4.0], [5.0, 12.0]]])
    w = np.array([2.0, -3.0]).reshape(case.w or ())
    norms = OPERATORS[case.operator].norms(case, (x, w, np.array([-7.0])))

    assert norms.reshape(-1).tolist() == pytest.approx([expected], rel=1e-12)
