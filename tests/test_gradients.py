"""Gradients: the reference against `oracle_gradients`, and what the judge makes of results."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import oracle_gradients as oracle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance.case import Case
from conformance.cases.data import make_inputs
from conformance.cases.ranges import Ranges
from conformance.cases.strategies import cases
from conformance.cases.validity import validate
from conformance.operators import FORWARD, GRADIENTS
from conformance.operators.base import Reference
from conformance.operators.pool import AvgPool
from conformance.operators.pool_gradient import MaxPoolGrad

drawn = settings(max_examples=60, deadline=None)
every_gradient = pytest.mark.parametrize("operator", GRADIENTS)


def drawn_cases(operator: str) -> st.SearchStrategy[Case]:
    dtypes = ("float32", "float64", "float16", "bfloat16")
    small = {"boundary_share": 0, "kernel": (1, 2, 3), "output": (1, 2, 3, 4)}
    return cases(operator, Ranges(dtypes=dtypes, work=1500, **small))


def reference(case: Case) -> Reference:
    return GRADIENTS[case.operator].reference(case, make_inputs(case))


def differences(exact: oracle.Gradient, got: Reference) -> list[tuple[Fraction, float]]:
    """Return what exact + residual leave of each element, and what they may leave."""
    residual = np.zeros(got.exact.shape) if got.residual is None else got.residual
    error = np.broadcast_to(got.error, got.exact.shape)
    return [
        (abs(value - Fraction(float(got.exact[i])) - Fraction(float(residual[i]))), error[i])
        for i, value in exact.values.items()
    ]


# --- the reference --------------------------------------------------------------------------------


@every_gradient
def test_drawn_cases_are_valid_and_read_back(operator: str) -> None:
    @drawn
    @given(drawn_cases(operator))
    def check(case: Case) -> None:
        validate(case)

        assert Case.parse(case.id) == case

    check()


@every_gradient
def test_a_gradient_is_the_oracles_correctly_rounded(operator: str) -> None:
    @drawn
    @given(drawn_cases(operator))
    def check(case: Case) -> None:
        exact = oracle.compute(case, make_inputs(case))
        got = reference(case)

        assert (exact.shape, oracle.nearest(exact)) == (got.exact.shape, got.exact.ravel().tolist())
        assert all(left <= error for left, error in differences(exact, got))

    check()


@every_gradient
def test_magnitudes_and_terms_are_the_oracles(operator: str) -> None:
    """Magnitudes are rounded up; the quotients of avg_pool_grad count two roundings an axis."""

    @drawn
    @given(drawn_cases(operator))
    def check(case: Case) -> None:
        exact = oracle.compute(case, make_inputs(case))
        got = reference(case)
        terms = np.broadcast_to(got.terms, got.exact.shape)
        assert got.magnitude is not None
        for index, magnitude in exact.magnitudes.items():
            count = exact.terms[index]
            more = 2 * case.dims - 1 if operator == "avg_pool_grad" and count else 0

            assert terms[index] == count + more
            assert magnitude <= Fraction(float(got.magnitude[index]))
            assert got.magnitude[index] <= float(magnitude) * (1 + 1e-12) + 1e-320

    check()


def test_split_ties_are_the_oracles() -> None:
    operator = GRADIENTS["max_pool_grad"]
    assert isinstance(operator, MaxPoolGrad)

    @drawn
    @given(drawn_cases("max_pool_grad"))
    def check(case: Case) -> None:
        inputs = make_inputs(case)
        exact = oracle.compute(case, inputs, tie="split")
        got = operator.split(case, inputs)

        assert oracle.nearest(exact) == got.exact.ravel().tolist()

    check()


def test_divisors_without_a_small_common_multiple_leave_their_error_in_the_bound() -> None:
    case = Case.parse(
        "avg_pool_grad3d:float64:x=1,1,16,16,16:kernel=16,16,16"
        ":stride=3,3,3:padding=8/8,8/8,8/8:exclude_pad:normal@1"
    )
    grad, _ = make_inputs(case)

    got = reference(case)

    quotients = grad / AvgPool().divisor(case)
    assert float(quotients.sum()) == pytest.approx(float(got.exact[0, 0, 7, 7, 7]), rel=1e-12)
    assert (np.asarray(got.error) > 0).all()


@pytest.mark.parametrize("operator", ["conv_input_grad", "conv_weight_grad"])
def test_norms_bound_the_magnitudes(operator: str) -> None:
    """By Cauchy and Schwarz: the normwise bound is the weaker one."""

    @drawn
    @given(drawn_cases(operator))
    def check(case: Case) -> None:
        inputs = make_inputs(case)
        norms = GRADIENTS[operator].norms(case, inputs)
        magnitude = reference(case).magnitude
        assert magnitude is not None

        assert (magnitude <= norms * (1 + 1e-12)).all()
        assert norms.ndim == magnitude.ndim

    check()


def test_input_elements_that_no_window_reads_get_zero() -> None:
    case = Case.parse("conv_input_grad1d:float32:x=1,1,9:w=1,1,2:stride=4:integers@0")
    grad, w, shape = make_inputs(case)

    exact = reference(case).exact

    assert shape == (1, 1, 9)
    (a, b), (u, v) = grad[0, 0].tolist(), w[0, 0].tolist()
    assert [a * u, a * v, 0, 0, b * u, b * v, 0, 0, 0] == exact[0, 0].tolist()


@pytest.mark.parametrize("operator", ["conv_weight_grad", "conv_bias_grad"])
def test_gradients_of_an_empty_batch_are_zeros(operator: str) -> None:
    case = GRADIENTS[operator].derived(Case(operator="conv", x=(0, 2, 5), w=(3, 2, 2)))
    made = reference(case)

    assert np.array_equal(made.exact, np.zeros((3, 2, 2) if "weight" in operator else 3))


# --- the data -------------------------------------------------------------------------------------


@every_gradient
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_whole_numbers_add_up_exactly_in_any_order(operator: str, dtype: str) -> None:
    """But for averages whose divisors are no powers of two, or larger than the dtype allows."""
    forward = GRADIENTS[operator].forward.name
    shape = {"w": (4, 3, 3, 2)} if forward == "conv" else {"kernel": (2, 2)}
    base = Case(operator=forward, x=(3, 3, 9, 8), dtype=dtype, **shape)
    for seed in range(5):
        made = reference(GRADIENTS[operator].derived(base.replace(seed=seed)))
        assert made.magnitude is not None
        digits = {"float32": 24, "float16": 11, "bfloat16": 8}[dtype]
        unit = 4 if operator == "avg_pool_grad" else 1

        assert made.magnitude.max() * unit <= 2**digits + 0.5


def test_maxima_tie_in_whole_number_data() -> None:
    operator = GRADIENTS["max_pool_grad"]
    assert isinstance(operator, MaxPoolGrad)
    base = Case(operator="max_pool_grad", x=(2, 3, 9, 9), kernel=(3, 3), stride=(2, 2))
    _, x = make_inputs(base)

    assert operator.tied(base, x).any()


def test_a_derived_case_keeps_the_forward_calls_fields() -> None:
    forward = Case.parse("conv2d:float64:x=2,4,5,5:w=6,2,3,3:bias:stride=2,1:groups=2:normal@3")
    derived = [gradient.derived(forward).id for gradient in GRADIENTS.values()][:3]

    assert derived == [
        "conv_input_grad2d:float64:x=2,4,5,5:w=6,2,3,3:stride=2,1:groups=2:normal@3",
        "conv_weight_grad2d:float64:x=2,4,5,5:w=6,2,3,3:stride=2,1:groups=2:normal@3",
        "conv_bias_grad2d:float64:x=2,6,2,3:normal@3",
    ]
    assert {g.forward.name for g in GRADIENTS.values()} <= set(FORWARD)
