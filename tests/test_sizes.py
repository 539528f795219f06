"""Sizes: every axis crosses the sizes that kernels block by, in cases that are valid and cheap."""

from __future__ import annotations

import math

import pytest

from conformance.case import Case
from conformance.cases.sizes import BLOCKS, COUNTED, LONG, WIDE, WINDOWS, cases
from conformance.cases.validity import validate
from conformance.operators import OPERATORS

EVERY = [(operator, dims) for operator in OPERATORS for dims in (1, 2, 3)]


def of(operator: str, dims: int) -> list[Case]:
    return cases(operator, dims, ("float32",))


@pytest.mark.parametrize(("operator", "dims"), EVERY)
def test_every_case_is_valid(operator: str, dims: int) -> None:
    for case in of(operator, dims):
        validate(case)


@pytest.mark.parametrize(("operator", "dims"), EVERY)
def test_no_case_is_there_twice(operator: str, dims: int) -> None:
    found = of(operator, dims)

    assert len(found) == len(set(found))


@pytest.mark.parametrize(("operator", "dims"), EVERY)
def test_the_batch_crosses_every_block(operator: str, dims: int) -> None:
    assert set(BLOCKS) <= {case.x[0] for case in of(operator, dims)}


@pytest.mark.parametrize(("operator", "dims"), EVERY)
def test_the_channels_cross_every_block(operator: str, dims: int) -> None:
    assert set(BLOCKS) <= {case.x[1] for case in of(operator, dims)}


@pytest.mark.parametrize(("operator", "dims"), EVERY)
def test_every_spatial_axis_crosses_every_length(operator: str, dims: int) -> None:
    found = of(operator, dims)

    for axis in range(dims):
        assert set(LONG) <= {case.x[2 + axis] for case in found}


@pytest.mark.parametrize(("operator", "dims"), EVERY)
def test_every_axis_of_the_window_crosses_the_widths_of_vectors(operator: str, dims: int) -> None:
    found = [case.window for case in of(operator, dims) if case.window]

    for axis in range(dims) if operator != "conv_bias_grad" else ():
        assert set(WINDOWS) <= {window[axis] for window in found}


@pytest.mark.parametrize("operator", [name for name, o in OPERATORS.items() if o.has_weight])
def test_the_channels_out_and_the_groups_cross_every_block(operator: str) -> None:
    found = of(operator, 2)
    out = {(case.w or ())[operator == "conv_transpose"] for case in found}

    assert set(BLOCKS) <= out
    assert set(BLOCKS) <= {case.groups for case in found}


@pytest.mark.parametrize("operator", OPERATORS)
def test_a_signal_is_as_long_as_indices_of_16_bits_reach(operator: str) -> None:
    assert set(WIDE) <= {case.x[2] for case in of(operator, 1)}


def test_dtypes_take_turns() -> None:
    found = cases("conv", 2, ("float32", "float64"))

    assert ["float32", "float64"] * 2 == [case.dtype for case in found[:4]]


def test_all_data_is_exact() -> None:
    assert {"integers"} == {case.data for case in of("conv", 2)}


@pytest.mark.parametrize(("operator", "dims"), EVERY)
def test_every_case_is_cheap(operator: str, dims: int) -> None:
    assert max(OPERATORS[operator].work(case) for case in of(operator, dims)) < 5_000_000


@pytest.mark.parametrize(("operator", "dims"), EVERY)
def test_every_two_axes_of_the_input_are_past_a_tile_together(operator: str, dims: int) -> None:
    found = [case.x for case in of(operator, dims)]

    for first in range(dims + 2):
        for second in range(first):
            assert any(x[first] > 16 and x[second] > 16 for x in found)


@pytest.mark.parametrize(("operator", "dims"), EVERY)
def test_results_or_inputs_have_more_elements_than_16_bits_count(operator: str, dims: int) -> None:
    found = of(operator, dims)
    kind = OPERATORS[operator]
    counts = {math.prod(c.x) for c in found} | {math.prod(kind.output_shape(c)) for c in found}

    assert max(counts) > max(COUNTED) - 1
