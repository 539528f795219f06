"""The bound of avg_pool: every way to divide passes it, and low precision does not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from emulation import ACCUMULATORS, DTYPES, Array, Round, forward, judged, round_to
from numpy.lib.stride_tricks import sliding_window_view

from conformance.case import Case
from conformance.dtypes import FORMATS
from conformance.judging import CONFORMS, Prepared

WINDOWS = (
    # (dims, size, kernel, padding)
    (1, (9,), (3,), 1),
    (1, (1,), (7,), 3),
    (2, (6, 9), (5, 7), 2),
    (2, (1, 1), (7, 7), 3),
    (3, (4, 5, 6), (3, 3, 3), 1),
    (3, (1, 1, 1), (7, 7, 7), 3),
    (3, (3, 3, 5), (5, 3, 7), 1),
)


def averages(window: tuple[Any, ...], dtype: str, data: str) -> tuple[Prepared, Array]:
    """Return a case of avg_pool that counts padding, and its windows (*outputs, taps an axis)."""
    dims, size, kernel, padding = window
    case = Case(
        operator="avg_pool",
        x=(8, 5, *size),
        kernel=kernel,
        padding=((padding, padding),) * dims,
        dtype=dtype,
        data=data,
        seed=3,
    )
    prepared = Prepared.of(case)
    pads = ((0, 0), (0, 0), *case.padding)
    padded = np.pad(prepared.inputs[0].astype(np.float64), pads)
    return prepared, sliding_window_view(padded, kernel, axis=tuple(range(2, 2 + dims)))


def _flat(windows: Array) -> Array:
    dims = (windows.ndim - 2) // 2
    return windows.reshape(*windows.shape[: 2 + dims], -1)


def divide_the_sum(windows: Array, rounded: Round) -> Array:
    flat = _flat(windows)
    return rounded(forward(flat, rounded) / flat.shape[-1])


def multiply_by_the_reciprocal(windows: Array, rounded: Round) -> Array:
    flat = _flat(windows)
    return rounded(forward(flat, rounded) * rounded(np.array(1 / flat.shape[-1])))


def divide_each_element(windows: Array, rounded: Round) -> Array:
    flat = _flat(windows)
    return forward(rounded(flat / flat.shape[-1]), rounded)


def multiply_each_element(windows: Array, rounded: Round) -> Array:
    flat = _flat(windows)
    return forward(rounded(flat * rounded(np.array(1 / flat.shape[-1]))), rounded)


def average_axis_by_axis(windows: Array, rounded: Round) -> Array:
    for _ in range((windows.ndim - 2) // 2):
        windows = rounded(forward(windows, rounded) / windows.shape[-1])
    return windows


def reciprocal_axis_by_axis(windows: Array, rounded: Round) -> Array:
    for _ in range((windows.ndim - 2) // 2):
        reciprocal = rounded(np.array(1 / windows.shape[-1]))
        windows = rounded(forward(windows, rounded) * reciprocal)
    return windows


def product_of_reciprocals(windows: Array, rounded: Round) -> Array:
    scale = np.array(1.0)
    for k in windows.shape[2 + (windows.ndim - 2) // 2 :]:
        scale = rounded(scale * rounded(np.array(1 / k)))
    return rounded(forward(_flat(windows), rounded) * scale)


AVERAGES = {
    way.__name__: way
    for way in (
        divide_the_sum,
        multiply_by_the_reciprocal,
        divide_each_element,
        multiply_each_element,
        average_axis_by_axis,
        reciprocal_axis_by_axis,
        product_of_reciprocals,
    )
}


@pytest.mark.parametrize("data", ["normal", "wide"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("window", WINDOWS, ids=str)
@pytest.mark.parametrize("way", AVERAGES)
def test_every_way_to_average_conforms(
    way: str, window: tuple[Any, ...], dtype: str, data: str
) -> None:
    prepared, windows = averages(window, dtype, data)
    accumulate = round_to(ACCUMULATORS.get(dtype, dtype))
    found = judged(prepared, AVERAGES[way](windows, accumulate))

    assert (CONFORMS, "") == (found.status, found.message)


@pytest.mark.parametrize("data", ["normal", "wide"])
@pytest.mark.parametrize("window", WINDOWS, ids=str)
@pytest.mark.parametrize("narrow", ["float16", "bfloat16", "tf32"])
def test_an_average_of_low_precision_violates(
    narrow: str, window: tuple[Any, ...], data: str
) -> None:
    prepared, windows = averages(window, "float32", data)
    with np.errstate(over="ignore"):
        found = judged(prepared, divide_the_sum(windows, round_to(narrow)))

    assert "RESULT-1" == found.requirement


@pytest.mark.parametrize("dtype", DTYPES)
def test_an_average_over_a_power_of_two_is_exact_on_integers(dtype: str) -> None:
    prepared, windows = averages((2, (4, 4), (2, 4), 1), dtype, "integers")
    means = _flat(windows).mean(axis=-1)
    means.ravel()[means.argmax()] *= 1 + 2.0 ** -(FORMATS[dtype].digits - 1)

    assert "RESULT-2" == judged(prepared, means).requirement


@pytest.mark.parametrize("dtype", DTYPES)
def test_an_average_over_another_number_may_round_on_integers(dtype: str) -> None:
    prepared, windows = averages((2, (4, 4), (3, 3), 1), dtype, "integers")
    accumulate = round_to(ACCUMULATORS.get(dtype, dtype))
    found = judged(prepared, multiply_by_the_reciprocal(windows, accumulate))

    assert CONFORMS == found.status


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_mean_of_more_ones_than_the_dtype_counts_may_be_rounded(dtype: str) -> None:
    """4096 integers add up to more than a half-precision number holds: the mean is not exact."""
    case = Case(
        operator="avg_pool", x=(3, 2, 64, 64), kernel=(64, 64), dtype=dtype, data="integers"
    )
    prepared = Prepared.of(case)
    mean = prepared.inputs[0].astype(np.float64).mean(axis=(2, 3))

    assert CONFORMS == judged(prepared, mean).status
