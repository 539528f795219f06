"""Precision: sums and channels as large as those of networks are judged in every dtype."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from conformance.case import Case
from conformance.cases.sums import cases
from conformance.cases.validity import validate
from conformance.judging import Prepared, judge_prepared
from conformance.operators import OPERATORS, work
from tests.defects import kernels, unregistered
from tests.defects.precision import BFLOAT16, tf32, through

EVERY = [(operator, dims) for operator in OPERATORS for dims in (1, 2, 3)]
WEIGHTED = [(name, dims) for name, dims in EVERY if OPERATORS[name].has_weight]


def of(operator: str, dims: int, dtype: str = "float32") -> list[Case]:
    return cases(operator, dims, (dtype,))


def products(case: Case) -> int:
    return OPERATORS[case.operator].terms(case) - case.bias


def per_group(case: Case) -> int:
    return case.x[1] // case.groups


@pytest.mark.parametrize(("operator", "dims"), EVERY)
def test_every_case_is_valid_cheap_and_there_once(operator: str, dims: int) -> None:
    found = of(operator, dims)

    for case in found:
        validate(case)
    assert len(found) == len(set(found))
    assert max(map(work, found)) < 1_500_000


@pytest.mark.parametrize(("operator", "dims"), WEIGHTED)
def test_either_factor_is_long_at_each_size(operator: str, dims: int) -> None:
    long: dict[Case, set[int]] = {}
    for case in of(operator, dims):
        if case.data == "digits":
            long.setdefault(case.replace(seed=0), set()).add(case.seed % 2)

    assert set(map(frozenset, long.values())) == {frozenset({0, 1})}


@pytest.mark.parametrize(("operator", "dims"), EVERY)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_further_dtypes_have_long_digits_and_ordinary_numbers(
    operator: str, dims: int, dtype: str
) -> None:
    assert {"digits", "normal"} == {case.data for case in of(operator, dims, dtype)}


CONDITIONS: dict[str, Callable[[Case], bool]] = {
    "32 channels a group": lambda case: per_group(case) % 32 == 0,
    "64 channels a group": lambda case: per_group(case) % 64 == 0,
    "512 channels a group": lambda case: per_group(case) >= 512,
    "channels beyond a block": lambda case: per_group(case) > 64 and per_group(case) % 64 == 1,
    "several groups": lambda case: case.groups > 1 and per_group(case) % 32 == 0,
    "a large kernel with 32 channels": lambda case: (
        min(case.window) > 1 and per_group(case) % 32 == 0
    ),
    "1,152 products": lambda case: products(case) >= 1152,
    "depthwise": lambda case: per_group(case) == 1 and case.groups >= 128,
    "64 outputs": lambda case: OPERATORS[case.operator].output_shape(case)[1] % 64 == 0,
    "128 outputs": lambda case: OPERATORS[case.operator].output_shape(case)[1] % 128 == 0,
    "a bias": lambda case: case.bias,
    "a batch of 32": lambda case: case.x[0] % 32 == 0,
}


@pytest.mark.parametrize("condition", CONDITIONS)
@pytest.mark.parametrize("operator", ["conv", "conv_transpose"])
@pytest.mark.parametrize("data", ["digits", "normal"])
def test_the_sizes_of_matrix_units_are_there(operator: str, condition: str, data: str) -> None:
    met = [case for dims in (1, 2, 3) for case in of(operator, dims) if CONDITIONS[condition](case)]

    assert data in {case.data for case in met}


@pytest.mark.parametrize("dims", [1, 2])
@pytest.mark.parametrize(
    ("operator", "most"),
    [("conv", 4608), ("conv_transpose", 4608), ("conv_input_grad", 4608)],
)
def test_sums_reach_4608_products(operator: str, most: int, dims: int) -> None:
    assert most == max(products(case) for case in of(operator, dims))


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("operator", ["avg_pool", "conv_bias_grad"])
def test_half_types_add_up_more_than_2048_numbers(operator: str, dims: int) -> None:
    assert max(products(case) for case in of(operator, dims, "float16")) > 2048


ROUNDED = {"tf32": tf32, "bfloat16": lambda array: through(BFLOAT16, array)}
"""Roundings of the factors, as matrix units do."""


def two_parts(array: np.ndarray) -> np.ndarray:
    """Return an array as the sum of two bfloat16 numbers, 16 digits."""
    high = through(BFLOAT16, array)
    return high + through(BFLOAT16, array - high)


@pytest.mark.parametrize("factor", [0, 1])
@pytest.mark.parametrize("rounding", [*ROUNDED.values(), two_parts], ids=[*ROUNDED, "two bfloat16"])
def test_a_factor_of_fewer_digits_violates_at_every_size(
    factor: int, rounding: Callable[[np.ndarray], np.ndarray]
) -> None:
    def conv(x, w, bias, **call):  # type: ignore[no-untyped-def]
        factors = [x, w]
        factors[factor] = rounding(factors[factor])
        return kernels.conv(*factors, bias, **call)

    one = unregistered("mine", {"conv": conv}, {})
    found = [case for case in of("conv", 2) if case.data == "digits" and case.seed % 2 == factor]

    assert [] == [case.id for case in found if not judge_prepared(one, Prepared.of(case))[0].failed]
