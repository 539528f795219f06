"""Small worlds and counters: spaces of calls of which every one is judged."""

from __future__ import annotations

import itertools
import math
import random
from typing import Any

import numpy as np
import pytest

from conformance.case import Case
from conformance.cases import counters, rows, values, worlds
from conformance.cases.data import make_inputs
from conformance.cases.draft import cost
from conformance.cases.limits import check_size, gathered
from conformance.cases.validity import is_valid, validate
from conformance.judging import Late, Prepared, judge, judge_prepared
from conformance.judging.bound import Accuracy
from conformance.judging.together import prepared_together
from conformance.operators import FORWARD, GRADIENTS, OPERATORS
from conformance.running.shrink import shrink
from conformance.spec import load
from tests.defects import defects, unregistered

EVERY = [(operator, dims) for operator in OPERATORS for dims in (1, 2, 3)]
SOME = 60


EACH = (worlds.geometries, worlds.channels, worlds.mixtures, rows.rows, worlds.lengths)


def spaces(operator: str, dims: int, dtype: str) -> list[Case]:
    return [case for space in EACH for case in space(operator, dims, dtype, True)]


@pytest.mark.parametrize(("operator", "dims"), EVERY)
def test_every_call_of_a_space_is_valid_and_there_once(operator: str, dims: int) -> None:
    for space in EACH:
        made = space(operator, dims, "float32", True)
        for case in made:
            validate(case)
        assert len(made) == len(set(made))


@pytest.mark.parametrize("operator", ["conv", "conv_transpose", "max_pool", "avg_pool"])
def test_no_geometry_within_the_limits_is_left_out(operator: str) -> None:
    """All combinations of numbers are tried, and those that are valid are the space."""
    most, found = worlds.SMALL[1], OPERATORS[operator]
    made = {case.replace(bias=False) for case in worlds.geometries(operator, 1, "float32", True)}
    rng, tried = random.Random(0), 0
    while tried < 400:
        kernel = (rng.randint(1, most.kernel),)
        case = Case(
            operator=operator,
            x=(1, 2, rng.randint(1, most.width)),
            w=(2, 2, *kernel) if found.has_weight else None,
            kernel=None if found.has_weight else kernel,
            stride=(rng.randint(1, most.stride),),
            padding=((rng.randint(0, most.padding), rng.randint(0, most.padding)),),
            dilation=(rng.randint(1, most.dilation if "dilation" in found.parameters else 1),),
            output_padding=(rng.randint(0, 2) if found.is_transposed else 0,),
            ceil_mode="ceil_mode" in found.parameters and rng.random() < 0.5,
            count_include_pad="count_include_pad" not in found.parameters or rng.random() < 0.5,
        )
        if is_valid(case):
            tried += 1
            assert case in made, case.id


@pytest.mark.parametrize("operator", ["conv", "conv_transpose", "conv_weight_grad"])
def test_every_number_of_channels_and_groups_is_there(operator: str) -> None:
    def shape(case: Case) -> tuple[int, int, int]:
        gradient = GRADIENTS.get(operator)
        forward = gradient.forward if gradient else OPERATORS[operator]
        return case.x[1], forward.output_shape(case)[1], case.groups

    numbers = range(1, 17)
    wanted = {
        (c, o, g)
        for c, o, g in itertools.product(numbers, numbers, numbers)
        if not c % g and not o % g
    }

    made = worlds.channels(operator, 2, "float32", True)
    small = {shape(case) for case in made if {*case.window} == {1} and max(shape(case)) <= 16}
    assert wanted == small


@pytest.mark.parametrize("operator", ["conv", "conv_transpose", "avg_pool", "conv_input_grad"])
@pytest.mark.parametrize("dims", [2, 3])
def test_kernels_and_strides_are_mixed_along_the_axes_in_every_grouping(
    operator: str, dims: int
) -> None:
    made = worlds.mixtures(operator, dims, "float32", True)
    groups = (1, 2, 4) if OPERATORS[operator].has_weight else (1,)
    kernels = itertools.product(*[(1, 3)] * dims)

    met = {(case.window, case.stride, case.groups) for case in made}
    assert {*itertools.product(kernels, itertools.product(*[(1, 2)] * dims), groups)} <= met
    assert any(map(any, (pad for case in made for pad in case.padding)))


@pytest.mark.parametrize("operator", ["conv", "conv_transpose", "max_pool", "conv_weight_grad"])
def test_windows_of_every_length_are_listed_along_each_axis(operator: str) -> None:
    made = worlds.lengths(operator, 2, "float32", True)
    windows = [c.window for c in made if c.data == "integers" and c.dilation == (1, 1)]

    assert {*windows} == {(k, 1) for k in range(5, 73)} | {(1, k) for k in range(5, 73)}
    assert 2 * 2 * 68 == len(windows)
    assert [] == worlds.lengths(operator, 3, "float32", True)


@pytest.mark.parametrize("operator", ["conv", "conv_transpose", "max_pool", "conv_input_grad"])
def test_long_windows_are_dilated_along_each_axis(operator: str) -> None:
    made = worlds.lengths(operator, 2, "float32", True)
    met = {(c.window, c.dilation) for c in made if c.dilation != (1, 1)}
    lengths = (2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 17, 23, 24, 25, 31, 32, 33)

    assert met == {
        pair
        for length, dilation in itertools.product(lengths, range(2, 9))
        for pair in (((length, 1), (dilation, 1)), ((1, length), (1, dilation)))
    }
    assert {False, True} == {any(map(any, c.padding)) for c in made if c.dilation != (1, 1)}


@pytest.mark.parametrize("operator", ["conv", "conv_transpose", "max_pool", "conv_weight_grad"])
def test_rows_longer_than_a_vector_meet_every_stride_and_padding(operator: str) -> None:
    made = [case for case in rows.rows(operator, 1, "float32", True) if case.data == "integers"]
    strides = {(c.window[0], c.stride[0], c.padding[0] != (0, 0)) for c in made}
    one_sided = {c.window[0] for c in made if 0 in c.padding[0] and c.padding[0] != (0, 0)}

    assert {*itertools.product((2, 3, 5, 11), (1, 2, 3, 4, 5, 8), (False, True))} <= strides
    assert {2, 3, 4, 5, 7, 9, 11, 16} == one_sided
    if operator == "conv":
        assert {9, 17, 33} == {OPERATORS[operator].output_shape(c)[-1] for c in made}
        causal = {
            (c.window[0], c.dilation[0]) for c in made if c.padding[0][0] and not c.padding[0][1]
        }
        assert {(3, 1), (3, 2), (3, 4)} <= causal


@pytest.mark.parametrize(("dims", "kernel"), [(1, 2), (1, 3), (2, 2), (2, 3)])
def test_nan_lies_at_each_of_the_last_places_of_rows(dims: int, kernel: int) -> None:
    made = rows.rows("max_pool", dims, "float32", True)
    window = (kernel,) * dims
    chosen = [c for c in made if c.data == "nan" and c.window == window and c.stride == window]
    met = set()
    for case in chosen if kernel == 2 else [c for c in made if c.data == "nan"]:
        if case.window != window:
            continue
        (x,) = make_inputs(case)
        places = np.argwhere(np.isnan(x[0, 0]))[0].tolist()
        met.add((case.x[-1] - 1 - places[-1], *places[:-1]))

    expected = itertools.product(range(4), *[range(kernel)] * (dims - 1))
    assert {*expected} == met


@pytest.mark.parametrize("operator", ["conv", "conv_transpose", "conv_input_grad"])
def test_groups_of_few_channels_have_every_number(operator: str) -> None:
    made = worlds.channels(operator, 2, "float32", True)
    met = {(c.groups, c.x[1] // c.groups, c.window[-1]) for c in made}

    assert {*itertools.product(range(2, 34), (1, 2, 4, 8), (1, 3))} <= met


@pytest.mark.parametrize("dims", [1, 2])
def test_special_values_lie_at_both_ends_and_in_the_middle_of_long_windows(dims: int) -> None:
    made = worlds.lengths("max_pool", dims, "float32", True)
    found = set()
    for case in made:
        if case.data == "nan":
            (x,) = make_inputs(case)
            position = np.argwhere(np.isnan(x))[0, 2:]
            found.add((case.window, max(position.tolist())))

    for length in (7, 8, 9, 31, 32, 33, 65):
        for window in {(length, 1)[:dims], (1, length)[-dims:]}:
            assert {(window, place) for place in (0, length // 2, length - 1)} <= found


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize(("operator", "dims"), EVERY)
def test_what_is_prepared_together_is_what_each_case_alone_gives(
    operator: str, dims: int, dtype: str
) -> None:
    cases = spaces(operator, dims, dtype)
    if dims < 3:
        cases += worlds.wide_geometries(operator, dims, dtype, True)[:: 997 if dims > 1 else 101]
    together = prepared_together(cases)
    rng = random.Random(f"{operator} {dims}")

    for prepared in rng.sample(together, min(SOME, len(together))):
        alone = Prepared.of(prepared.case)
        for mine, due in zip(prepared.inputs, alone.inputs, strict=True):
            if isinstance(due, np.ndarray):
                assert (due.shape, due.tobytes()) == (mine.shape, mine.tobytes())
            else:
                assert due == mine
        got, exact = prepared.reference.exact, alone.reference.exact
        assert (exact.shape, exact.dtype) == (got.shape, got.dtype)
        slack = np.broadcast_to(prepared.reference.error, exact.shape)
        with np.errstate(invalid="ignore"):  # a window of padding alone has a maximum of -inf
            same = (got == exact) | (np.isnan(got) & np.isnan(exact))
            assert (same | (np.abs(got - exact) <= slack)).all(), prepared.case.id
        if alone.reference.magnitude is not None:
            allowed, bits = prepared.bound(Accuracy())
            least, due_bits = alone.bound(Accuracy())
            assert due_bits == bits
            assert (np.isnan(least) | (allowed >= least * (1 - 2.0**-40))).all()


@pytest.mark.parametrize(("operator", "dims"), EVERY)
def test_a_counter_is_crossed_by_a_valid_and_cheap_call(operator: str, dims: int) -> None:
    made = counters.counters(operator, dims, "float32", True)

    for case in made:
        validate(case)
        check_size(case)
    assert made
    assert len(made) == len(set(made))
    assert all(cost(case) <= counters.WORK for case in made if operator in FORWARD)


def sizes(case: Case) -> dict[str, int]:
    out = OPERATORS[case.operator].output_shape(case)
    return {
        "images": case.x[0],
        "inputs": case.x[1] // case.groups,
        "outputs": out[1],
        "groups": case.groups,
        "width": case.x[-1],
        "windows": out[-1],
        "taps": case.window[-1],
        "stride": case.stride[-1],
        "dilation": case.dilation[-1],
        "before": case.padding[-1][0],
        "after": case.padding[-1][1],
        "planes": case.x[0] * case.x[1],
    }


@pytest.mark.parametrize("number", [1 << 7, 1 << 8, 1 << 10, 1 << 15, 1 << 16])
@pytest.mark.parametrize("operator", ["conv", "conv_transpose"])
def test_every_size_of_a_convolution_crosses_each_number(operator: str, number: int) -> None:
    made = counters.counters(operator, 1, "float32", True)
    crossed = {
        name
        for case in made
        for name, size in sizes(case).items()
        if number < size <= number + number // 4 + 64
    }
    # Where each plane has a loop of its own, fewer are beyond 16 bits; strides are unrolled.
    dear = {"images", "groups", "planes", "stride"} if number >= 1 << 15 else set[str]()
    if number >= 1 << 15 and operator == "conv_transpose":  # its windows would not fit into memory
        dear |= {"taps"}

    assert {*sizes(made[0])} - dear <= crossed


@pytest.mark.parametrize(
    ("dtype", "number"), [("float16", 1 << 11), ("bfloat16", 1 << 8), ("int8", 1 << 7)]
)
def test_positions_cross_what_a_dtype_counts(dtype: str, number: int) -> None:
    made = counters.counters("max_pool", 1, dtype, False)

    assert any(number < case.x[-1] for case in made)
    assert any(number < case.window[-1] for case in made)


@pytest.mark.parametrize("number", [1 << 7, 1 << 8, 1 << 10])
def test_a_maximum_lies_beyond_the_number_in_a_large_window(number: int) -> None:
    (case,) = (
        case
        for case in counters.counters("max_pool_grad", 1, "float32", True)
        if 2 * number < case.window[-1] < 2 * number + 20
    )
    x = make_inputs(case)[1]
    windows = np.lib.stride_tricks.sliding_window_view(x, case.window[-1], axis=2)

    assert (windows.argmax(axis=3) >= number).any()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("operator", ["conv", "max_pool"])
def test_every_value_of_a_half_type_is_there_once(operator: str, dtype: str) -> None:
    for dims in (1, 2, 3):
        case = values.values(operator, dims, dtype, False)[0]
        x = make_inputs(case)[0]
        validate(case)

        assert dtype == x.dtype.name
        assert 65536 == len(np.unique(x.view(np.uint16)))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "int16", "uint8"])
def test_im2col_conforms_on_every_value(dtype: str) -> None:
    for operator, dims in EVERY:
        for case in values.values(operator, dims, dtype, False):
            assert "conforms" == judge("im2col", case).status


def test_values_need_calls_that_leave_them_as_they_are() -> None:
    assert is_valid(Case.parse("max_pool1d:float16:x=1,1,9:kernel=2:every@0"))
    assert not is_valid(Case.parse("conv1d:float16:x=1,1,9:w=1,1,2:every@0"))
    assert not is_valid(Case.parse("avg_pool1d:float16:x=1,1,9:kernel=2:every@0"))


def test_a_value_is_found_out_of_all_by_halving() -> None:
    def fails(case: Case) -> bool:
        return case.data == "every" and 31745 in range(case.seed, case.seed + case.x[-1])

    found = shrink(Case.parse("max_pool1d:float16:x=1,1,65536:kernel=1:every@0"), fails)

    assert "max_pool1d:float16:x=1,1,1:kernel=1:every@31745" == found.id


def test_a_wrong_nan_is_cited_as_what_is_said_of_nan() -> None:
    (nan,) = (one for one in defects() if one.name == "one-nan-of-many-is-infinity")

    verdict = judge(nan.implementation(), "max_pool1d:float16:x=1,1,65536:kernel=1:every@0")

    assert "violates" == verdict.status
    assert "1 of 65536 elements differ" in verdict.message


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("operator", ["conv", "conv_transpose", "max_pool", "avg_pool"])
def test_the_windows_of_a_call_above_counters_fit_into_memory(operator: str, dims: int) -> None:
    """Whoever gathers the windows of all positions is right, and needs that much memory."""
    cases = counters.counters(operator, dims, "float32", True)

    assert max(gathered(case) for case in cases) <= 2**24
    assert max(math.prod(case.window) for case in cases) > 2**10


@pytest.mark.parametrize("operator", ["conv", "max_pool", "conv_weight_grad"])
def test_sizes_above_2_to_the_24_are_judged_in_the_full_tier(operator: str) -> None:
    made = counters.far_counters(operator, 1, "float32", True)
    crossed = {name for c in made for name, size in sizes(c).items() if 1 << 24 < size < 1 << 26}

    for case in made:
        validate(case)
        check_size(case)
    assert {"images", "width", "taps", "dilation"} <= crossed
    assert "far_counters" in load().tiers["full"].enumerations
    assert [] == counters.far_counters(operator, 2, "float32", True)


def test_a_position_that_is_held_in_float32_is_found_above_2_to_the_24() -> None:
    def max_pool(x: Any, *, kernel: Any, stride: Any, dilation: Any, **others: Any) -> Any:
        """Compute where each tap lies in float32."""
        (step,), (apart,), (taps,) = stride, dilation, kernel
        out = (x.shape[2] - apart * (taps - 1) - 1) // step + 1
        positions = np.arange(out, dtype=np.float32)[:, None] * np.float32(step)
        positions = positions + np.arange(taps, dtype=np.float32) * np.float32(apart)
        where = positions.astype(int).clip(0, x.shape[2] - 1)
        return x[:, :, where].max(axis=3)

    far = counters.far_counters("max_pool", 1, "float32", True)[0]
    near = far.replace(x=(1, 1, 1000), dilation=(900,))
    wrong = unregistered("positions-in-float32", {"max_pool": max_pool}, {})

    assert "violates" == judge_prepared(wrong, Late(far).ready())[0].status
    assert "conforms" == judge(wrong, near).status
