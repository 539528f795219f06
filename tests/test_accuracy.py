"""Declared accuracy: how formats, the error class and conventions widen the bound, and no more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from verdicts import of_output, on_inputs, right

from conformance.case import Case
from conformance.judging import Accuracy, Prepared, Verdict
from conformance.operators import OPERATORS, nonfinite
from conformance.registration import registry

Array = np.ndarray[Any, np.dtype[Any]]
Round = Callable[[Array], Array]

FULL = "conv1d:float32:x=9,4,9:w=5,4,9:normal@2"
"""45 dot products of 36 products."""
WHOLE = FULL.replace("normal", "integers")
ONE = np.ones((1, 1, 1), np.float32)


def prepared(text: str) -> Prepared:
    return Prepared.of(Case.parse(text))


# --- declarations ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        ({}, Accuracy()),
        ({"accumulate": "float64"}, Accuracy(accumulate="float64")),
        ({"multiply": "tf32"}, Accuracy(multiply="tf32")),
        ({"error": "normwise"}, Accuracy(amplification=1.0)),
        ({"error": "normwise", "amplification": 8}, Accuracy(amplification=8)),
        ({"conventions": {"subnormal": "flush"}}, Accuracy(flush=True)),
        ({"conventions": {"nan": "ignore"}}, Accuracy(ignore_nan=True)),
        ({"conventions": {"nan": "propagate", "subnormal": "gradual"}}, Accuracy()),
    ],
    ids=str,
)
def test_an_implementation_is_judged_by_what_it_declares(
    declared: dict[str, Any], expected: Accuracy, empty_registry: None
) -> None:
    assert expected == Accuracy.of(registry.implementation("mine", **declared))


# --- formats --------------------------------------------------------------------------------------


def rounding(bits: int) -> Round:
    """Return the function that rounds to ``bits`` significand digits."""

    def rounded(a: Array) -> Array:
        mantissa, exponent = np.frexp(np.asarray(a, np.float64))
        return np.asarray(np.ldexp(np.rint(np.ldexp(mantissa, bits)), exponent - bits))

    return rounded


def computed(case: Prepared, multiply: Round, accumulate: Round) -> Array:
    """Return the dot products of `FULL`, rounded after each operation as told."""
    x, w, _ = case.inputs
    products = accumulate(multiply(x)[:, None] * multiply(w)[None]).reshape(9, 5, 36)
    total = products[..., 0]
    for i in range(1, 36):
        total = accumulate(total + products[..., i])
    return total[..., None].astype(np.float32)


FORMATS = {"float16": 11, "bfloat16": 8, "tf32": 11}
exactly = rounding(24)


@pytest.mark.parametrize("name", FORMATS)
def test_a_declared_multiplier_widens_the_bound(name: str) -> None:
    case = prepared(FULL)
    output = computed(case, rounding(FORMATS[name]), exactly)
    found = of_output(case, output), of_output(case, output, multiply=name)

    assert ["violates", "conforms"] == [one.status for one in found]


@pytest.mark.parametrize("name", FORMATS)
def test_a_declared_accumulator_widens_the_bound(name: str) -> None:
    case = prepared(FULL)
    output = computed(case, exactly, rounding(FORMATS[name]))
    found = of_output(case, output), of_output(case, output, accumulate=name)

    assert ["violates", "conforms"] == [one.status for one in found]


def test_both_may_be_declared() -> None:
    case = prepared(FULL)
    output = computed(case, rounding(8), rounding(11))

    assert "conforms" == of_output(case, output, multiply="bfloat16", accumulate="float16").status


def test_a_declared_multiplier_may_round_both_factors() -> None:
    factor = np.full((1, 1, 1), 1 + 0.999 * 2.0**-11, np.float32)  # tf32 makes 1 of it
    case = on_inputs("conv1d:float32:x=1,1,1:w=1,1,1:normal@0", factor, factor, None)

    assert "conforms" == of_output(case, ONE, multiply="tf32").status


def test_a_declared_multiplier_is_held_to_its_digits() -> None:
    case = prepared(FULL)

    assert (
        "violates" == of_output(case, computed(case, rounding(8), exactly), multiply="tf32").status
    )


def test_a_declared_multiplier_does_not_excuse_a_dropped_product() -> None:
    case = prepared(FULL)
    dropped = Prepared(case.case, (case.inputs[0].copy(), *case.inputs[1:]), case.reference)
    dropped.inputs[0][:, 2, 5] = 0

    assert (
        "violates" == of_output(case, computed(dropped, exactly, exactly), multiply="tf32").status
    )


def test_a_declared_wider_accumulator_is_held_to_it() -> None:
    """A large number and 99 ones: a float32 sum may lose the ones, a float64 sum may not."""
    x = np.ones((1, 100, 1), np.float32)
    w = x.copy()
    x[0, 0] = 2.0**24
    case = on_inputs("conv1d:float32:x=1,100,1:w=1,100,1:normal@0", x, w, None)
    output = np.full((1, 1, 1), 2.0**24, np.float32)

    assert "conforms" == of_output(case, output).status
    assert "violates" == of_output(case, output, accumulate="float64").status


def test_a_multiplier_that_rounds_gives_up_exact_data() -> None:
    output = right(WHOLE) * np.float32(1 + 2.0**-12)

    assert "conforms" == of_output(prepared(WHOLE), output, multiply="tf32").status


def test_an_accumulator_too_narrow_for_exact_data_is_judged_by_the_bound() -> None:
    case = prepared(WHOLE)
    output = computed(case, exactly, rounding(8))
    found = of_output(case, output, accumulate="bfloat16")

    assert ("conforms", True) == (found.status, found.worst > 0)


def test_more_terms_than_half_of_the_digits_are_not_compared() -> None:
    ones = np.ones((1, 200, 1), np.float32)
    case = on_inputs("conv1d:float32:x=1,200,1:w=1,200,1:normal@0", ones, ones, None)
    found = of_output(case, np.zeros((1, 1, 1), np.float32), accumulate="bfloat16")

    assert ("conforms", 0.0) == (found.status, found.worst)


@pytest.mark.parametrize("accuracy", [{"accumulate": "float16"}, {"multiply": "float16"}])
def test_what_overflows_in_a_declared_format_is_not_compared(accuracy: dict[str, str]) -> None:
    case = on_inputs("conv1d:float32:x=1,1,1:w=1,1,1:normal@0", ONE * 2**20, ONE * 2**20, None)
    overflowed = np.full((1, 1, 1), np.inf, np.float32)

    assert "conforms" == of_output(case, overflowed, **accuracy).status
    assert "violates" == of_output(case, overflowed, accumulate="tf32").status


def test_what_underflows_in_a_declared_multiplier_is_not_compared() -> None:
    small = ONE * np.float32(2.0**-30)
    case = on_inputs("conv1d:float32:x=1,1,1:w=1,1,1:normal@0", small, small, None)

    assert "conforms" == of_output(case, ONE * 0, multiply="float16").status
    assert "violates" == of_output(case, ONE * 0, multiply="tf32").status


# --- the normwise class ---------------------------------------------------------------------------

NORM = "conv1d:float32:x=1,1,2:w=1,1,1:bias:normal@0"


def normwise(error: float, amplification: float = 1.0) -> Verdict:
    """Judge [1, 0] where the second is off by ``error`` times 2**-24; norms and weight are 1."""
    x = np.array([[[1, 0]]], np.float32)
    case = on_inputs(NORM, x, ONE, np.zeros(1, np.float32))
    output = np.array([[[1, error * 2.0**-24]]], np.float32)
    return of_output(case, output, amplification=amplification)


@pytest.mark.parametrize(
    ("error", "amplification", "expected"),
    [
        (1.99, 1.0, "conforms"),
        (2.01, 1.0, "violates"),
        (19.9, 10.0, "conforms"),
        (20.1, 10.0, "violates"),
    ],
)
def test_a_normwise_bound_is_the_amplified_norms_for_every_element(
    error: float, amplification: float, expected: str
) -> None:
    """A product and a bias, norms of 1: twice 2**-24 times the amplification, anywhere."""
    assert expected == normwise(error, amplification).status


def test_a_normwise_bound_counts_the_bias() -> None:
    x, bias = np.zeros((1, 1, 2), np.float32), np.full(1, 2, np.float32)
    case = on_inputs(NORM, x, ONE, bias)
    output = np.full((1, 1, 2), 2 + 32 * 2.0**-24, np.float32)  # 2 terms of 2 in all: 4 * 2**-24

    assert "conforms" == of_output(case, output, amplification=10.0).status
    assert "violates" == of_output(case, output, amplification=5.0).status


def test_a_normwise_bound_reaches_elements_without_products() -> None:
    """Between the strides of conv_transpose nothing is added; an FFT leaves its noise there."""
    text = "conv_transpose1d:float32:x=1,1,3:w=1,1,1:stride=2:normal@0"
    case = on_inputs(text, np.ones((1, 1, 3), np.float32), ONE, None)
    output = np.array([[[1, 1e-8, 1, -1e-8, 1]]], np.float32)

    assert "conforms" == of_output(case, output, amplification=1.0).status
    assert "violates" == of_output(case, output).status


def test_a_normwise_implementation_is_exempt_from_exact_data() -> None:
    case, output = prepared(WHOLE), right(WHOLE) + np.float32(1e-5)

    assert "RESULT-2" == of_output(case, output).requirement
    assert "conforms" == of_output(case, output, amplification=4.0).status


def test_pools_keep_the_componentwise_bound_of_a_normwise_implementation() -> None:
    text = "avg_pool1d:float32:x=2,3,9:kernel=3:normal@1"
    outputs = right(text), right(text) * np.float32(1 + 1e-5)

    assert ["conforms", "violates"] == [
        of_output(prepared(text), output, amplification=100.0).status for output in outputs
    ]


@pytest.mark.parametrize(
    "text",
    [
        "conv1d:float32:x=0,2,5:w=2,2,3:bias:normal@1",
        "conv_transpose1d:float32:x=0,2,5:w=2,2,3:bias:normal@1",
        "max_pool1d:float32:x=0,2,5:kernel=3:normal@1",
        "avg_pool1d:float32:x=0,2,5:kernel=3:normal@1",
    ],
)
def test_a_normwise_bound_of_an_empty_batch_is_empty(text: str) -> None:
    assert "conforms" == of_output(prepared(text), right(text), amplification=1.0).status


@pytest.mark.parametrize(("image", "expected"), [(0, "conforms"), (1, "violates")])
def test_a_nan_may_spread_over_its_own_image_under_a_normwise_bound(
    image: int, expected: str
) -> None:
    """SPECIAL-2: by an FFT, an image with a NaN is NaN everywhere; the next image is not."""
    case = Case.parse("conv1d:float32:x=2,1,9:w=1,1,2:nan@3")
    x, w = np.ones(case.x, np.float32), np.ones((1, 1, 2), np.float32)
    x[0, 0, 4] = np.nan
    made = nonfinite.reference(OPERATORS["conv"], case, (x, w, None))
    output = made.exact.astype(np.float32)
    output[image] = np.nan

    assert "violates" == of_output(Prepared(case, (x, w, None), made), output).status
    assert expected == of_output(Prepared(case, (x, w, None), made), output, amplification=9).status


# --- flushing subnormal numbers -------------------------------------------------------------------

SUBNORMAL = "conv1d:float32:x=2,3,9:w=2,3,3:subnormal@1"


def test_flushed_subnormal_numbers_violate_unless_declared() -> None:
    case, flushed = prepared(SUBNORMAL), np.zeros((2, 2, 7), np.float32)

    assert "RESULT-2" == of_output(case, flushed).requirement
    assert "conforms" == of_output(case, flushed, flush=True).status


def test_subnormal_numbers_that_are_kept_conform_in_either_way() -> None:
    case = prepared(SUBNORMAL)

    assert ["conforms"] * 2 == [
        of_output(case, right(SUBNORMAL), flush=flush).status for flush in (False, True)
    ]


def test_flushing_does_not_excuse_a_wrong_normal_number() -> None:
    text = FULL
    output = right(text)
    output[0, 0, 0] *= np.float32(1 + 1e-4)

    assert "violates" == of_output(prepared(text), output, flush=True).status
