"""Errors of whole results: what adds up, or leans to one side, and what never does."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from verdicts import of_output, right

from conformance.case import Case
from conformance.cases.data import make_inputs
from conformance.cases.sums import cases
from conformance.judging import Prepared
from conformance.judging.whole import ALARM, most_of_squares
from conformance.operators import OPERATORS
from conformance.operators.pool import AvgPool
from conformance.rounding import Arithmetic
from tests.correct.precise import _largest_first, _negative_first, _pairs_of_blocks, _split
from tests.correct.summation import _kahan, adding, in_sequence
from tests.defects import by_size, kernels
from tests.defects.precision import BFLOAT16, tf32, through

Array = np.ndarray[Any, Any]

LONG = "conv2d:float32:x=1,48,5,5:w=64,48,5,5:normal@15"
"""64 sums of 1,200 products."""
WIDE = "conv2d:float32:x=1,128,3,3:w=128,128,1,1:normal"
"""1,152 sums of 128 products."""
LONGEST = "conv2d:float32:x=1,512,3,3:w=64,512,3,3:normal@11"
"""64 sums of 4,608 products."""


def computed(text: str, contract: Callable[..., Array] = kernels.contract) -> Array:
    case = Case.parse(text)
    return kernels.conv(*make_inputs(case), **case.parameters, contract=contract)


def rounded(text: str, rounding: Callable[[Array], Array]) -> Array:
    case = Case.parse(text)
    x, w, bias = make_inputs(case)
    return kernels.conv(rounding(x), rounding(w), bias, **case.parameters)


def requirement(text: str, output: Array, **accuracy: Any) -> str | None:
    return of_output(Prepared.of(Case.parse(text)), output, **accuracy).requirement


# --- what is allowed ------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [1, 2, 7, 64, 512, 100_000])
def test_the_largest_mean_of_squares_has_the_chance_that_is_stated(rows: int) -> None:
    """The mean of so many squares of normal numbers is above t with exp(-rows/2*(t-1-ln t))."""
    t = most_of_squares(rows)

    assert math.exp(-rows / 2 * (t - 1 - math.log(t))) == pytest.approx(ALARM / 4, rel=1e-3)
    assert t > 1


def test_a_million_results_are_accused_with_less_than_1e_9() -> None:
    assert 1e6 * ALARM < 1e-9


SUMS = {
    "in sequence": in_sequence,
    "by Kahan": _kahan,
    "in pairs of blocks": _pairs_of_blocks,
    "split": _split,
    "negative first": _negative_first,
    "largest first": _largest_first,
}


@pytest.mark.parametrize("add", SUMS.values(), ids=SUMS)
@pytest.mark.parametrize("dims", [1, 2])
def test_no_order_of_summation_is_accused(add: Callable[[Array], Array], dims: int) -> None:
    found = [case for case in cases("conv", dims, ("float32",)) if case.data == "normal"]
    small = [case for case in found if math.prod(case.x) * math.prod(case.w or ()) < 5e8]
    accused = [case.id for case in small if requirement(case.id, computed(case.id, adding(add)))]

    assert [] == accused
    assert len(small) > 8


@pytest.mark.parametrize("seed", range(6))
def test_the_worst_roundings_of_the_worst_order_add_up_to_no_more(seed: int) -> None:
    """All of one addition's roundings go the same way, and as far as they can."""
    text = LONG.replace("@15", f"@{seed}")
    case = Case.parse(text)
    x, w, _ = make_inputs(case)
    terms = (w.reshape(64, -1).astype(np.float64) * x.reshape(-1).astype(np.float64))[:, None]
    order = np.argsort(-np.abs(terms), axis=-1)
    partial = np.cumsum(np.take_along_axis(terms, order, axis=-1), axis=-1)
    worst = 2.0**-24 * (np.abs(partial).sum(axis=-1) + np.abs(terms).sum(axis=-1))
    exact = Prepared.of(case).reference.exact
    output = (exact + 0.98 * worst.reshape(exact.shape)).astype(np.float32)

    assert requirement(text, output) != "RESULT-6"


# --- what is not ----------------------------------------------------------------------------------


def test_factors_in_tf32_are_found_by_the_sum_of_squares() -> None:
    output = rounded(LONG, tf32)
    found = of_output(Prepared.of(Case.parse(LONG)), output)

    assert found.requirement == "RESULT-6"
    assert found.worst < 1


def test_factors_in_bfloat16_are_found_at_4608_products() -> None:
    found = of_output(
        Prepared.of(Case.parse(LONGEST)), rounded(LONGEST, lambda a: through(BFLOAT16, a))
    )

    assert found.requirement == "RESULT-6"
    assert found.worst < 1


def test_a_declared_multiplier_is_allowed() -> None:
    assert requirement(LONG, rounded(LONG, tf32), multiply="tf32") is None


TRUNCATED = by_size.adding(by_size.towards(0))


@pytest.mark.parametrize("text", [f"{WIDE}@{seed}" for seed in range(4)])
def test_truncated_sums_lean_toward_zero_unless_that_is_declared(text: str) -> None:
    output = computed(text, TRUNCATED)
    found = of_output(Prepared.of(Case.parse(text)), output)

    assert found.requirement == "RESULT-7"
    assert 'declare rounding="toward_zero"' in found.message
    assert requirement(text, output, toward_zero=True) is None


def test_sums_that_are_rounded_up_lean_upwards() -> None:
    output = computed(LONG, by_size.adding(by_size.towards(np.inf)))
    found = of_output(Prepared.of(Case.parse(LONG)), output)

    assert found.requirement == "RESULT-7"
    assert "up or down" in found.message


def test_a_declared_truncation_excuses_no_other_format() -> None:
    output = rounded(LONG, lambda array: through(BFLOAT16, array))

    assert requirement(LONG, output, toward_zero=True) is not None


# --- where it is not asked ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        LONG.replace("normal", "wide"),
        LONG.replace(":normal", ":memory=broadcast:normal"),
        "conv1d:float32:x=1,31,1:w=64,31,1:normal@0",
    ],
)
def test_other_data_and_short_sums_are_judged_element_by_element(text: str) -> None:
    prepared = Prepared.of(Case.parse(text))
    output = right(text)
    magnitude = prepared.reference.magnitude
    assert magnitude is not None
    shifted = (prepared.reference.exact + 0.5 * 2.0**-24 * 31 * magnitude).astype(np.float32)

    assert of_output(prepared, output).requirement is None
    assert of_output(prepared, shifted).requirement is None


def test_a_normwise_bound_is_the_only_one_of_what_declares_it() -> None:
    assert requirement(LONG, rounded(LONG, tf32), amplification=1e4) is None


# --- what it is made of ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "conv2d:float32:x=2,4,9,8:w=6,2,3,2:bias:stride=2,1:padding=1/0,0/2:groups=2:normal@1",
        "conv_transpose2d:float32:x=1,4,5,4:w=4,3,3,2:bias:stride=2,1:groups=2:normal@5",
        "conv_input_grad2d:float32:x=1,4,9,8:w=6,2,3,2:stride=2,1:padding=1/0,0/2:groups=2:normal@6",
        "conv_weight_grad2d:float32:x=2,4,9,8:w=6,2,3,2:stride=2,1:padding=1/0,0/2:groups=2"
        ":normal@6",
        "conv_bias_grad2d:float32:x=2,4,9,8:normal@1",
    ],
)
def test_the_squares_are_those_of_the_products(text: str) -> None:
    case = Case.parse(text).replace(dtype="float64")
    operator = OPERATORS[case.operator]
    inputs = make_inputs(case)
    squared = tuple(a**2 if isinstance(a, np.ndarray) else a for a in inputs)
    expected = operator.reference(case, squared).exact

    assert np.allclose(operator.squares(case, inputs), expected, rtol=1e-12)


@pytest.mark.parametrize("operator", ["avg_pool", "avg_pool_grad"])
def test_the_squares_of_averages_are_divided_twice(operator: str) -> None:
    case = Case.parse(f"{operator}2d:float64:x=2,3,9,8:kernel=3,2:stride=2,2:normal@1")
    inputs = make_inputs(case)
    squared = (inputs[0] ** 2, *inputs[1:])
    expected = OPERATORS[operator].reference(case, squared).exact / AvgPool().divisor(case).max()

    assert np.allclose(OPERATORS[operator].squares(case, inputs), expected, rtol=1e-12)


@pytest.mark.parametrize("multiply", [None, "tf32"])
def test_rounding_toward_zero_doubles_every_unit_roundoff(multiply: str | None) -> None:
    nearest = Arithmetic.of("float32", multiply=multiply)
    cut = Arithmetic.of("float32", multiply=multiply, toward_zero=True)
    ratio = cut.bound(10.0, 1.0, 1.0) / nearest.bound(10.0, 1.0, 1.0)

    assert ratio == pytest.approx(2, rel=2e-3)
    assert (cut.u, cut.v, cut.tiny) == (2 * nearest.u, 2 * nearest.v, 2 * nearest.tiny)
    assert nearest.is_bounded(2.0**23)
    assert not cut.is_bounded(2.0**23)


def test_what_is_cut_off_twice_is_within_the_doubled_bound_alone() -> None:
    text = "conv1d:float32:x=1,1,64:w=1,1,1:normal@3"
    exact = Prepared.of(Case.parse(text)).reference.exact
    output = (exact * (1 - 2.6 * 2.0**-24)).astype(np.float32)

    assert requirement(text, output) == "RESULT-1"
    assert requirement(text, output, toward_zero=True) is None
