"""Data recipes: the same case makes the same arrays, and each keeps the promise of its recipe."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from conformance.case import RECIPES, SPECIAL_RECIPES, Case
from conformance.cases.data import make_inputs, sums_are_exact
from conformance.cases.ranges import Ranges
from conformance.cases.strategies import generate
from conformance.dtypes import FLOATS, FORMATS, numpy_dtype
from conformance.operators import FORWARD, OPERATORS

CASES = {
    "conv": "conv2d:{dtype}:x=3,4,9,8:w=6,2,3,2:bias:padding=1/1,0/0:groups=2:{data}@{seed}",
    "conv_transpose": "conv_transpose2d:{dtype}:x=3,4,5,4:w=4,3,3,2:bias:stride=2,1:{data}@{seed}",
    "max_pool": "max_pool2d:{dtype}:x=3,4,9,8:kernel=3,2:padding=1/1,0/0:{data}@{seed}",
    "avg_pool": "avg_pool2d:{dtype}:x=3,4,9,8:kernel=3,2:padding=1/1,0/0:{data}@{seed}",
}
DEEP = "conv1d:{dtype}:x=2,{depth},3:w=4,{depth},3:{data}@{seed}"
SUMMING = ("conv", "conv_transpose", "avg_pool")

by_operator = pytest.mark.parametrize("operator", FORWARD)
by_dtype = pytest.mark.parametrize("dtype", FLOATS)
by_recipe = pytest.mark.parametrize("data", [*RECIPES, *SPECIAL_RECIPES])


def case_of(operator: str, dtype: str, data: str, seed: int = 0) -> Case:
    return Case.parse(CASES[operator].format(dtype=dtype, data=data, seed=seed))


def arrays(case: Case) -> list[np.ndarray[Any, Any]]:
    """Return the arrays of a case, the absent bias left out."""
    return [value for value in make_inputs(case) if value is not None]


def wide(case: Case) -> list[np.ndarray[Any, Any]]:
    return [array.astype(np.float64) for array in arrays(case)]


def magnitude(case: Case) -> np.ndarray[Any, Any]:
    """Return sum |x||w| of each element (for the averages, over the divisor)."""
    made = OPERATORS[case.operator].reference(case, make_inputs(case)).magnitude
    assert made is not None
    return made


# --- every recipe ---------------------------------------------------------------------------------


@by_recipe
@by_dtype
@by_operator
def test_the_same_case_makes_the_same_arrays(operator: str, dtype: str, data: str) -> None:
    case = case_of(operator, dtype, data)

    assert [a.tobytes() for a in arrays(case)] == [a.tobytes() for a in arrays(case)]


@by_recipe
@by_operator
def test_another_seed_makes_other_arrays(operator: str, data: str) -> None:
    first, second = (arrays(case_of(operator, "float32", data, seed)) for seed in (1, 2))

    assert first[0].tobytes() != second[0].tobytes()


@by_recipe
@by_dtype
@by_operator
def test_arrays_have_the_dtype_and_lie_contiguously(operator: str, dtype: str, data: str) -> None:
    made = arrays(case_of(operator, dtype, data))

    assert {numpy_dtype(dtype)} == {array.dtype for array in made}
    assert all(array.flags.c_contiguous for array in made)


def test_the_shapes_are_those_of_the_case() -> None:
    shapes = [array.shape for array in arrays(case_of("conv", "float32", "normal"))]

    assert [(3, 4, 9, 8), (6, 2, 3, 2), (6,)] == shapes


def test_the_bias_of_conv_transpose_has_the_channels_of_all_groups() -> None:
    case = Case.parse("conv_transpose1d:float32:x=1,4,3:w=4,3,2:bias:groups=2:normal@0")

    assert (6,) == make_inputs(case)[2].shape


def test_an_absent_bias_is_none() -> None:
    assert make_inputs(case_of("conv", "float32", "normal").replace(bias=False))[2] is None


@by_recipe
@by_operator
def test_an_empty_batch_has_empty_data(operator: str, data: str) -> None:
    case = case_of(operator, "float32", data)
    x = make_inputs(case.replace(x=(0, *case.x[1:])))[0]

    assert (0, *case.x[1:]) == x.shape


# --- integers -------------------------------------------------------------------------------------


@by_dtype
@by_operator
def test_integers_are_whole_and_not_zero(operator: str, dtype: str) -> None:
    made = wide(case_of(operator, dtype, "integers"))

    assert all(((a == np.rint(a)) & (a != 0)).all() for a in made)


@by_dtype
@by_operator
def test_integers_have_both_signs(operator: str, dtype: str) -> None:
    x = wide(case_of(operator, dtype, "integers"))[0]

    assert x.min() < 0 < x.max()


@pytest.mark.parametrize("depth", [1, 2, 31, 85, 500, 3000])
@by_dtype
def test_sums_of_integers_stay_within_the_digits(dtype: str, depth: int) -> None:
    """Also where there are more products than the dtype can count: then weights are left out."""
    case = Case.parse(DEEP.format(dtype=dtype, depth=depth, data="integers", seed=0))
    limit = 2.0 ** FORMATS[dtype].digits

    assert magnitude(case).max() <= limit + 0.5


@pytest.mark.parametrize("data", ["integers", "impulse", "digits", "zeros"])
@pytest.mark.parametrize("operator", SUMMING)
def test_drawn_integer_cases_are_exact(operator: str, data: str) -> None:
    """Where they are not, RESULT-2 would not be checked, and nobody would notice."""
    drawn = generate(operator, Ranges(dtypes=FLOATS), dims=None, count=60, seed_value=3)
    exact = [
        sums_are_exact(case, magnitude(case), None)
        for case in (case.replace(data=data) for case in drawn)
    ]

    assert len(exact) == exact.count(True)


# --- impulse --------------------------------------------------------------------------------------


@by_operator
def test_an_impulse_is_a_single_one_in_each_plane(operator: str) -> None:
    planes = wide(case_of(operator, "float32", "impulse"))[0].reshape(12, -1)

    assert [1.0] * 12 == planes.sum(axis=1).tolist() == planes.max(axis=1).tolist()


def test_impulses_lie_in_different_places() -> None:
    planes = wide(case_of("conv", "float32", "impulse"))[0].reshape(12, -1)

    assert len(set(planes.argmax(axis=1).tolist())) > 6


# --- digits ---------------------------------------------------------------------------------------


def rounded_to(values: np.ndarray, bits: int) -> np.ndarray:
    """Return whole numbers rounded to so many significant bits, to the nearest."""
    unit = np.exp2(np.maximum(0, np.ceil(np.log2(np.maximum(1, np.abs(values)))) - bits))
    return np.rint(values / unit) * unit


@pytest.mark.parametrize("depth", [1, 2, 31, 85, 500, 3000])
@pytest.mark.parametrize("seed", range(8))
@by_dtype
def test_digits_are_exact_at_any_number_of_products(dtype: str, seed: int, depth: int) -> None:
    case = Case.parse(DEEP.format(dtype=dtype, depth=depth, data="digits", seed=seed))

    assert sums_are_exact(case, magnitude(case), None)


GEOMETRIES = (
    "conv2d:float32:x=3,4,9,8:w=6,2,3,2:bias:padding=1/1,0/0:groups=2",
    "conv2d:float32:x=2,64,9,8:w=66,32,3,3:stride=2,1:padding=1/1,1/1:groups=2",
    "conv2d:float32:x=1,6,15,12:w=12,1,3,5:dilation=2,1:groups=6",
    "conv1d:float32:x=4,600,3:w=130,600,2:padding=0/1:stride=3",
    "conv_transpose2d:float32:x=3,4,5,4:w=4,3,3,2:bias:stride=2,1",
    "conv_transpose2d:float32:x=2,64,5,4:w=64,33,3,4:stride=2,3:padding=1/0,0/1:groups=2",
    "conv_transpose1d:float32:x=2,64,9:w=64,3,5:dilation=3:stride=2",
    "conv_input_grad2d:float32:x=2,64,9,8:w=66,32,3,3:stride=2,1:padding=1/1,1/1:groups=2",
    "conv_weight_grad2d:float32:x=4,8,9,8:w=66,4,3,3:stride=2,1:padding=1/1,1/1:groups=2",
)
"""Calls of every operator that multiplies, with each of the parameters that sums depend on."""


by_digits = pytest.mark.parametrize(
    "case",
    [Case.parse(f"{text}:digits@{seed}") for text in GEOMETRIES for seed in range(8)],
    ids=lambda case: case.id,
)


@by_digits
@by_dtype
def test_digits_are_exact_whatever_the_geometry(case: Case, dtype: str) -> None:
    case = case.replace(dtype=dtype)

    assert sums_are_exact(case, magnitude(case), None)


@by_digits
def test_digits_reach_most_of_the_outputs(case: Case) -> None:
    case = case.replace(bias=False)
    reference = OPERATORS[case.operator].reference(case, make_inputs(case))
    read = np.broadcast_to(np.asarray(reference.terms) > 0, reference.exact.shape)

    assert (reference.exact[read] != 0).mean() > 0.4


@pytest.mark.parametrize("bits", [8, 11, 16])
@by_digits
def test_a_factor_of_fewer_digits_changes_the_result(case: Case, bits: int) -> None:
    """Which TF32 (11), bfloat16 (8) and a multiplication in two parts of bfloat16 (16) do."""
    case = case.replace(bias=False)
    exact = OPERATORS[case.operator].reference(case, make_inputs(case)).exact
    fewer = tuple(
        rounded_to(a.astype(np.float64), bits).astype(a.dtype) if isinstance(a, np.ndarray) else a
        for a in make_inputs(case)
    )
    changed = OPERATORS[case.operator].reference(case, fewer).exact != exact

    assert changed[exact != 0].mean() > 0.5


# --- normal and wide ------------------------------------------------------------------------------


@by_dtype
def test_wide_numbers_span_many_orders_of_magnitude(dtype: str) -> None:
    x = np.abs(wide(case_of("conv", dtype, "wide"))[0])
    reach = {"float16": 30, "bfloat16": 2e4, "float32": 4e6, "float64": 1e13}[dtype]

    assert x.max() / x.min() > reach


@by_dtype
def test_half_of_the_wide_numbers_cancel_their_neighbours(dtype: str) -> None:
    x = wide(case_of("conv", dtype, "wide"))[0].reshape(-1)
    cancelling = np.count_nonzero(x[1::2] == -x[::2])

    assert 0.3 < cancelling / x[1::2].size < 0.7


@pytest.mark.parametrize("data", ["normal", "wide", "huge"])
@by_dtype
@pytest.mark.parametrize("operator", SUMMING)
def test_no_sum_can_overflow(operator: str, dtype: str, data: str) -> None:
    assert magnitude(case_of(operator, dtype, data)).max() < 2.0 ** FORMATS[dtype].max_exponent


@by_dtype
@by_operator
def test_small_data_is_small_as_a_whole(operator: str, dtype: str) -> None:
    for seed in range(3):
        case = case_of(operator, dtype, "small", seed)
        arrays = [a for a in make_inputs(case) if isinstance(a, np.ndarray)]
        largest = [float(np.abs(a.astype(np.float64)).max()) for a in arrays[:2]]

        assert min(largest) < 0.25
        assert min(largest) > 0


@pytest.mark.parametrize("data", ["nan", "inf"])
def test_some_inputs_are_zero_where_the_weight_is_special(data: str) -> None:
    x, w, _ = make_inputs(case_of("conv", "float32", data, 4))

    assert not np.isfinite(w).all()
    assert 0.4 < np.count_nonzero(x == 0) / x.size < 0.6


# --- special numbers ------------------------------------------------------------------------------


def _places(data: str, seeds: int) -> Iterator[tuple[int, ...]]:
    for seed in range(seeds):
        x = wide(Case.parse(f"max_pool1d:float32:x=1,1,5:kernel=2:{data}@{seed}"))[0]
        yield tuple(np.flatnonzero(~np.isfinite(x)).tolist())


def test_successive_seeds_put_nan_in_every_place() -> None:
    assert {0, 1, 2, 3, 4} == {place for places in _places("nan", 5) for place in places}


@by_operator
def test_each_kind_of_infinity_comes_with_three_seeds(operator: str) -> None:
    kinds = set()
    for seed in (1, 2, 3):
        x = wide(case_of(operator, "float32", "inf", seed))[0]
        kinds.add((bool((x == np.inf).any()), bool((x == -np.inf).any())))

    assert {(True, False), (False, True), (True, True)} == kinds


@by_dtype
@by_operator
def test_zeros_come_with_both_signs(operator: str, dtype: str) -> None:
    x = wide(case_of(operator, dtype, "zeros"))[0]

    assert {True, False} == set(np.signbit(x[x == 0]).tolist())


@by_dtype
@by_operator
def test_subnormal_numbers_are_subnormal(operator: str, dtype: str) -> None:
    x = np.abs(wide(case_of(operator, dtype, "subnormal"))[0])

    assert 0 < x.min() <= x.max() < FORMATS[dtype].smallest_normal


# --- where sums are exact -------------------------------------------------------------------------


def exact_up_to(dtype: str, value: float, accumulate: str | None = None) -> bool:
    case = Case.parse(f"conv1d:{dtype}:x=1,1,1:w=1,1,1:integers@0")
    return sums_are_exact(case, np.array([[[value]]]), accumulate)


@pytest.mark.parametrize(
    ("dtype", "accumulate", "digits"),
    [
        *((dtype, None, FORMATS[dtype].digits) for dtype in FLOATS),
        ("float32", "float16", 11),
        ("float32", "bfloat16", 8),
        ("float32", "float64", 24),
        ("float16", "bfloat16", 8),
    ],
)
def test_sums_are_exact_up_to_the_digits_of_dtype_and_accumulator(
    dtype: str, accumulate: str | None, digits: int
) -> None:
    limit = 2.0**digits

    assert exact_up_to(dtype, limit, accumulate)
    assert not exact_up_to(dtype, limit + 2, accumulate)


@pytest.mark.parametrize("data", ["normal", "wide", "huge", "nan", "inf"])
def test_sums_of_anything_but_small_whole_numbers_are_not_exact(data: str) -> None:
    case = case_of("conv", "float32", data)

    assert sums_are_exact(case, np.ones((1, 1, 1)), None) is False


def test_an_average_counts_its_whole_sum() -> None:
    case = Case.parse("avg_pool2d:float16:x=1,1,64,64:kernel=64,64:integers@0")

    assert sums_are_exact(case, np.array([0.5]), None) is True
    assert sums_are_exact(case, np.array([0.51]), None) is False


@pytest.mark.parametrize("accumulate", [None, "float64"])
def test_sums_of_subnormal_numbers_are_exact(accumulate: str | None) -> None:
    case = case_of("conv", "float32", "subnormal")

    assert sums_are_exact(case, magnitude(case), accumulate) is True


def test_sums_of_subnormal_numbers_need_an_accumulator_that_has_them() -> None:
    case = case_of("conv", "float32", "subnormal")

    assert sums_are_exact(case, magnitude(case), "float16") is False
