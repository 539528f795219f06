"""Outputs checked in full without their full reference: what must pass, and what must be found."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from conformance.case import Case
from conformance.cases.data import make_inputs
from conformance.dtypes import FORMATS, numpy_dtype
from conformance.errors import ConformanceError
from conformance.judging import Accuracy
from conformance.large import contraction, pooled
from conformance.large.contraction import convolve, project
from conformance.large.projection import COEFFICIENTS, Projection, check, verifier
from conformance.large.sampling import Sample, corners_and_edges
from conformance.operators import OPERATORS

SMALL = "conv2d:float32:x=2,3,5,7:w=4,3,3,2:bias:stride=2,1:padding=1/0,0/2:integers@17"
CONVOLUTIONS = (
    SMALL,
    "conv1d:float32:x=2,6,17:w=9,2,4:bias:stride=3:padding=2/5:dilation=2:groups=3:integers@3",
    "conv2d:float32:x=1,4,9,8:w=8,1,3,3:stride=2,3:padding=1/1,3/7:dilation=3,2:groups=4:integers@1",
    "conv2d:float32:x=1,1,1,1:w=1,1,1,1:stride=3,3:padding=5/0,0/4:integers@17",
    "conv2d:float32:x=1,2,4,4:w=70,2,3,3:impulse@17",
    "conv2d:float32:x=0,3,9,8:w=8,3,3,3:padding=1/1,3/7:integers@17",
    "conv2d:float32:x=1,3,120,80:w=70,3,1,1:integers@5",
    "conv2d:float64:x=1,3,6,6:w=5,3,2,2:integers@5",
    "conv2d:float16:x=1,64,9,8:w=8,64,3,3:padding=1/1,3/7:integers@17",
    "conv2d:bfloat16:x=1,64,9,8:w=8,64,3,3:padding=1/1,3/7:integers@17",
    "conv3d:float64:x=2,4,5,6,7:w=6,2,2,3,1:stride=1,2,3:padding=1/1,3/7,0/0:dilation=1,2,1:groups=2"
    ":integers@17",
    "conv_transpose1d:float32:x=2,6,17:w=6,3,4:bias:stride=3:padding=2/5:output_padding=2:dilation=2"
    ":groups=3:integers@3",
    "conv_transpose2d:float32:x=1,6,5,4:w=6,3,4,3:bias:stride=3,2:padding=2/5,0/1"
    ":output_padding=2,1:groups=3:integers@3",
    "conv_transpose2d:float32:x=1,2,2,2:w=2,2,3,3:stride=2,2:padding=2/1,1/1:impulse@17",
    "conv_transpose3d:float16:x=2,4,3,3,2:w=4,3,2,2,2:stride=1,2,2:padding=0/0,1/1,0/0:groups=2"
    ":integers@3",
    *(f"conv2d:float32:x=2,64,9,8:w=66,32,3,3:bias:groups=2:digits@{seed}" for seed in (5, 6, 7)),
    *(f"conv2d:float16:x=1,4,9,8:w=70,4,3,3:padding=1/1,3/7:digits@{seed}" for seed in (2, 3)),
    *(
        f"conv_transpose2d:float32:x=1,64,5,4:w=64,33,3,4:bias:stride=2,3:groups=2:digits@{seed}"
        for seed in (0, 6, 7)
    ),
)
POOLS = (
    "max_pool2d:float32:x=2,3,9,9:kernel=3,3:stride=2,2:padding=1/1,0/1:dilation=2,1:integers@1",
    "avg_pool2d:float32:x=2,3,9,9:kernel=3,3:stride=2,2:padding=1/1,0/1:exclude_pad:integers@1",
    "avg_pool1d:float16:x=1,5,9:kernel=2:ceil_mode:integers@1",
)


def solved(text: str) -> tuple[Case, Any, Any]:
    """Return a case, its inputs, and its exact output in the case's dtype."""
    case = Case.parse(text)
    inputs = make_inputs(case)
    exact = OPERATORS[case.operator].reference(case, inputs).exact
    return case, inputs, exact.astype(numpy_dtype(case.dtype))


def channels_last(y: Any) -> Any:
    """Return ``y`` with its channels last in memory, as a view whose axes are channels-first."""
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(y, 1, -1)), -1, 1)


# --- what is right passes -------------------------------------------------------------------------


@pytest.mark.parametrize("text", [*CONVOLUTIONS, *POOLS])
def test_an_exact_output_is_right(text: str) -> None:
    case, inputs, y = solved(text)

    assert [check(case, inputs, y, seed) for seed in range(3)] == [None] * 3


@pytest.mark.parametrize("text", [*CONVOLUTIONS[:4], *POOLS])
def test_memory_layout_of_the_output_does_not_matter(text: str) -> None:
    case, inputs, y = solved(text)

    assert check(case, inputs, channels_last(y)) is None
    assert check(case, inputs, np.asfortranarray(y)) is None
    assert check(case, inputs, np.repeat(y, 2, axis=-1)[..., ::2]) is None


def test_a_zero_may_have_either_sign() -> None:
    case, inputs, y = solved("conv2d:float32:x=1,2,4,4:w=70,2,3,3:impulse@17")
    y[y == 0] = -0.0

    assert check(case, inputs, y) is None


def test_neither_inputs_nor_output_are_changed() -> None:
    case, inputs, y = solved(SMALL)
    before = [array.copy() for array in (*inputs, y)]
    check(case, inputs, y)

    assert all(map(np.array_equal, before, (*inputs, y)))


@pytest.mark.parametrize("tile", [(4,), (2, 3)])
def test_a_declared_tile_is_judged_by_whole_planes(tile: tuple[int, ...]) -> None:
    case, inputs, y = solved(SMALL)
    accuracy = Accuracy(amplification=10.0, tile=tile)
    shifted = y * np.float32(1 + 2.0**-22)

    assert check(case, inputs, shifted, accuracy=accuracy) is None
    assert check(case, inputs, y + np.float32(1), accuracy=accuracy) is not None


# --- one wrong element is always found ------------------------------------------------------------


@pytest.mark.parametrize("text", [SMALL, CONVOLUTIONS[1], CONVOLUTIONS[2], CONVOLUTIONS[11]])
def test_every_element_is_looked_at(text: str) -> None:
    """An error of 1 in any one element is found, whichever it is."""
    case, inputs, y = solved(text)
    found = verifier(case, inputs)
    missed = []
    for at in np.ndindex(y.shape):
        y[at] += 1
        if found.check(y, Accuracy()) is None:
            missed.append(at)
        y[at] -= 1

    assert missed == []


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("text", CONVOLUTIONS)
def test_one_wrong_element_is_found_whatever_is_wrong_with_it(text: str, seed: int) -> None:
    """Off by one, by the smallest amount, by much, or no number at all."""
    case, inputs, y = solved(text)
    if y.size == 0:
        return
    rng = np.random.default_rng(seed)
    projection = Projection.of(case, inputs, seed)
    missed = []
    for value in (None, 0.5, 1e-7, 3e4, np.nan, np.inf, -np.inf):
        at = tuple(rng.integers(0, y.shape))
        right = y[at]
        y[at] = right + 1 if value is None else value
        if y[at] != right and projection.check(y, Accuracy()) is None:
            missed.append((at, right, y[at]))
        y[at] = right

    assert missed == []


def test_the_next_number_is_another_number() -> None:
    """An error of one unit in the last place is found, in an output of many tiles."""
    case, inputs, y = solved("conv2d:float32:x=1,3,120,80:w=70,3,1,1:integers@5")
    y[0, 69, 119, 79] = np.nextafter(y[0, 69, 119, 79], np.float32(np.inf))

    assert "[0, 69, 119, 79]" in str(check(case, inputs, y))


def test_the_wrong_element_is_named() -> None:
    case, inputs, y = solved(SMALL)
    exact = float(y[1, 2, 0, 6])
    y[1, 2, 0, 6] += 2

    message = check(case, inputs, y)

    assert message is not None
    assert "differ at 1 of" in message
    assert f"worst at [1, 2, 0, 6]: got {exact + 2:g}, exact {exact:g}, allowed: no" in message


def test_values_too_large_to_add_up_hide_nothing() -> None:
    """Next to elements beyond every exact sum, a small error elsewhere still counts."""
    case, inputs, y = solved(SMALL)
    projection = Projection.of(case, inputs)
    y[0, 0, 0, 0], y[0, 1, 0, 0], y[1, 3, 1, 1] = 3e38, -3e38, y[1, 3, 1, 1] + 1
    differ = projection.differ(y)

    assert np.argwhere(differ).tolist() == [[0, 0, 0, 0], [1, 0, 1, 1]]


# --- sets of wrong elements -----------------------------------------------------------------------


def missed_share(change: Any, seeds: int = 600) -> float:
    """Return how many of ``seeds`` projections do not see what ``change`` does to an output."""
    case, inputs, y = solved("conv1d:float32:x=1,2,6:w=16,2,3:integers@7")
    change(y)
    return sum(not Projection.of(case, inputs, s).differ(y).any() for s in range(seeds)) / seeds


def opposite(y: Any) -> None:
    y[0, 3, 2] += 5
    y[0, 9, 2] -= 5


def double(y: Any) -> None:
    y[0, 3, 2] += 6
    y[0, 9, 2] -= 3


def swapped(y: Any) -> None:
    y[0, [3, 9]] = y[0, [9, 3]]


def several(y: Any) -> None:
    y[0, :4, 2] += [3, -3, 3, -3]


@pytest.mark.parametrize("change", [opposite, double, swapped, several])
def test_a_set_is_missed_by_one_projection_in_eight_at_most(change: Any) -> None:
    """These errors cancel for some coefficients: 1/8 of them in the worst case, and not for more.

    Of 600 projections, 75 are expected to miss at 1/8; 0.2 would be five standard deviations off.
    """
    assert missed_share(change) < 0.2


def test_another_seed_finds_what_one_seed_misses() -> None:
    case, inputs, y = solved("conv1d:float32:x=1,2,6:w=16,2,3:integers@7")
    swapped(y)
    found = [Projection.of(case, inputs, seed).differ(y).any() for seed in range(30)]

    assert {True, False} == set(found)


def test_coefficients_are_drawn_from_eight_values_other_than_zero() -> None:
    """The proof needs independent draws from these."""
    case, inputs, _ = solved("conv1d:float32:x=1,2,6:w=512,2,3:integers@7")
    values, counts = np.unique(Projection.of(case, inputs).r, return_counts=True)

    assert values.tolist() == COEFFICIENTS.tolist() == [-4, -3, -2, -1, 1, 2, 3, 4]
    assert counts.min() > 30


def test_the_seed_decides() -> None:
    case, inputs, _ = solved(SMALL)
    first, again, other = (Projection.of(case, inputs, seed).r for seed in (1, 1, 2))

    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


# --- exact sums -----------------------------------------------------------------------------------


@pytest.mark.parametrize("largest", [3, 2**20, 2**24])
@pytest.mark.parametrize(
    "shape", [(1, 1, 70, 9000), (1, 1, 65, 9), (2, 3, 5, 40), (1, 300, 1, 3), (2, 2, 3, 0)]
)
def test_sums_are_those_of_integers(shape: tuple[int, ...], largest: int) -> None:
    """Whatever the magnitudes, and wherever a tile ends."""
    rng = np.random.default_rng(0)
    y = rng.integers(-largest, largest, shape, endpoint=True)
    r = rng.choice(COEFFICIENTS, shape[1:3])
    expected = (r.astype(np.int64)[None, :, :, None] * y).sum(axis=2)

    assert np.array_equal(expected, project(y.astype(np.float32), r, fractions=True).values)


@pytest.mark.parametrize("text", [t for t in CONVOLUTIONS if "impulse" not in t])
def test_the_projected_weight_convolves_as_any_weight_does(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stride, padding, dilation and transposition are those of the operator, in any blocks."""
    monkeypatch.setattr(contraction, "_PLANES", 100)
    case = Case.parse(text)
    taps, groups = OPERATORS[case.operator], case.groups
    x = np.random.default_rng(1).integers(-9, 9, case.x).astype(np.float32)
    kernels = np.random.default_rng(2).integers(
        -900, 900, (groups, x.shape[1] // groups, *case.window)
    )
    w = kernels if case.operator == "conv" else kernels.reshape(x.shape[1], 1, *case.window)
    plain = case.replace(w=w.shape, bias=False, dtype="float64")
    exact = taps.reference(plain, (x.astype(np.float64), w.astype(np.float64), None)).exact

    flat = kernels.reshape(*kernels.shape[:2], -1).astype(np.float32)

    assert np.array_equal(exact, convolve(case, x, flat, 9.0))


@pytest.mark.parametrize("text", CONVOLUTIONS)
def test_the_recipes_keep_to_the_magnitude_that_is_counted_on(text: str) -> None:
    """Inputs of small whole numbers are what every sum's exactness rests on."""
    case = Case.parse(text)
    arrays = [array.astype(np.float64) for array in make_inputs(case) if array is not None]

    most = 2.0 ** FORMATS[case.dtype].digits if case.data == "digits" else 9

    assert all(np.array_equal(a, np.rint(a)) and np.abs(a).max(initial=0) <= most for a in arrays)


@pytest.mark.parametrize("text", CONVOLUTIONS)
def test_the_magnitude_of_every_sum_is_bounded(text: str) -> None:
    """Equality is demanded only where the bound says that nothing rounds."""
    case, inputs, _ = solved(text)
    magnitude = OPERATORS[case.operator].reference(case, inputs).magnitude
    assert magnitude is not None

    assert Projection.of(case, inputs).magnitude >= magnitude.max(initial=0) * (1 - 1e-9)


# --- what may round -------------------------------------------------------------------------------


NORMWISE = Accuracy(amplification=10.0)


def test_a_normwise_algorithm_may_round() -> None:
    """Small errors all over, as those of an FFT, are within its bound."""
    case, inputs, y = solved("conv2d:float32:x=1,8,12,12:w=16,8,3,3:integers@7")
    y += np.random.default_rng(0).uniform(-1e-3, 1e-3, y.shape).astype(np.float32)

    assert verifier(case, inputs).check(y, NORMWISE) is None
    assert verifier(case, inputs).check(y, Accuracy()) is not None


def test_a_normwise_algorithm_is_held_to_its_bound() -> None:
    """One wrong element far from all corners is found and judged."""
    case, inputs, y = solved("conv2d:float32:x=1,8,12,12:w=16,8,3,3:integers@7")
    y += np.random.default_rng(0).uniform(-1e-3, 1e-3, y.shape).astype(np.float32)
    y[0, 11, 5, 7] += 9
    requirement, message, at = verifier(case, inputs).check(y, NORMWISE) or ("", "", None)

    assert ("RESULT-1", (0, 11, 5, 7)) == (requirement, at)
    assert "worst at [0, 11, 5, 7]" in message
    assert "allowed: +-" in message


def test_a_short_accumulator_is_held_to_its_own_bound() -> None:
    """Sums that its format cannot hold may be off by what the bound allows."""
    case, inputs, y = solved("conv2d:float32:x=1,64,6,6:w=4,64,3,3:integers@7")

    assert verifier(case, inputs).check(y + 1, Accuracy(accumulate="float16")) is None
    assert verifier(case, inputs).check(y + 1, Accuracy()) is not None


# --- pools ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", POOLS)
def test_every_element_of_a_pool_is_looked_at(text: str) -> None:
    case, inputs, y = solved(text)
    found = verifier(case, inputs)
    missed = []
    for at in np.ndindex(y.shape):
        right = y[at]
        y[at] = right + 1
        if found.check(y, Accuracy()) is None:
            missed.append(at)
        y[at] = right

    assert missed == []


@pytest.mark.parametrize("text", POOLS)
def test_a_pool_is_compared_in_blocks_of_channels(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However little memory there is, nothing is left out, and the message says which block."""
    monkeypatch.setattr(pooled, "_WINDOWS", 20)
    case, inputs, y = solved(text)
    right = check(case, inputs, y)
    y[-1, 2] += 3

    assert right is None
    assert f"in image {len(y) - 1}, channels " in str(check(case, inputs, y))


# --- what is no result, and what cannot be checked ------------------------------------------------


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ([1.0], "returned a builtins.list where a numpy.ndarray is due"),
        (np.zeros((2, 4, 2, 8)), "returned dtype float64 where float32 is due"),
        (np.zeros((2, 4, 8), np.float32), "returned shape (2, 4, 8) where (2, 4, 2, 8) is due"),
    ],
)
def test_what_is_no_result_at_all_is_said(output: Any, message: str) -> None:
    case, inputs, _ = solved(SMALL)
    found = check(case, inputs, output)

    assert message == found


@pytest.mark.parametrize(
    "text",
    [
        "conv2d:float32:x=1,2,4,4:w=3,2,3,3:normal@1",
        "conv2d:int32:x=1,2,4,4:w=3,2,3,3:integers@1",
    ],
)
def test_other_data_cannot_be_projected(text: str) -> None:
    case, inputs, y = solved(text)

    with pytest.raises(ConformanceError, match="small whole numbers"):
        check(case, inputs, y)


def test_inputs_that_are_not_what_the_case_says_are_not_blamed_on_the_output() -> None:
    case, (x, w, bias), y = solved(SMALL)

    with pytest.raises(ConformanceError, match="w holds other than whole numbers up to 9"):
        check(case, (x, w * np.float32(0.3), bias), y)


# --- sampled positions ----------------------------------------------------------------------------


@pytest.mark.parametrize("out", [(5,), (4, 6), (1, 1), (3, 4, 2)])
def test_corners_are_always_sampled(out: tuple[int, ...]) -> None:
    positions = corners_and_edges(out, np.random.default_rng(0)).tolist()
    corners = set(itertools.product(*((0, size - 1) for size in out)))

    assert corners <= {tuple(position) for position in positions}
    assert len(positions) == len({tuple(position) for position in positions})


@pytest.mark.parametrize("text", CONVOLUTIONS)
def test_a_sample_is_the_reference_at_its_positions(text: str) -> None:
    """Computed from single windows, independently of the projection."""
    case, inputs, _ = solved(text)
    exact = OPERATORS[case.operator].reference(case, inputs)
    assert exact.magnitude is not None
    out = OPERATORS[case.operator].output_shape(case)
    positions = np.array(list(np.ndindex(*out[2:])), np.intp)
    per_group = out[1] // case.groups
    sample = Sample.of(
        case, inputs, case.groups - 1, range(per_group), positions
    ).prepared.reference
    last = exact.exact[:, out[1] - per_group :].reshape(out[0], per_group, len(positions))
    assert sample.magnitude is not None
    magnitude = np.broadcast_to(exact.magnitude, out)[:, out[1] - per_group :]

    assert np.array_equal(last, sample.exact.reshape(last.shape))
    assert np.allclose(magnitude.reshape(last.shape), np.reshape(sample.magnitude, last.shape))
