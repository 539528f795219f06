"""Generation: valid cases within the ranges, reproducible, and what they shrink to."""

from __future__ import annotations

import importlib
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st

from conformance.case import RECIPES, Case
from conformance.cases.draft import cost, least_work
from conformance.cases.features import labels
from conformance.cases.ranges import LIMITS, Ranges
from conformance.cases.strategies import cases, generate
from conformance.cases.validity import validate
from conformance.dtypes import FLOATS
from conformance.errors import ConformanceError
from conformance.operators import FORWARD, GRADIENTS, OPERATORS

DEFAULT = Ranges()


def values(field: str, most: int = 3) -> st.SearchStrategy[tuple[int, ...]]:
    """Draw a list that `LIMITS` allows, of at most ``most`` values."""
    limit = LIMITS[field]
    high = min(limit.most, 70)  # the very largest are as good as these, and slower
    return st.lists(
        st.integers(limit.least, high),
        min_size=1,
        max_size=min(most, limit.values),
        unique=True,
    ).map(tuple)


def names(known: tuple[str, ...]) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(st.sampled_from(known), min_size=1, unique=True).map(tuple)


@st.composite
def any_ranges(draw: st.DrawFn) -> Ranges:
    """Draw ranges that a spec file may have."""
    lists: dict[str, Any] = {
        field: draw(values(field)) for field, limit in LIMITS.items() if limit.values > 1
    }
    ranges = Ranges(
        **lists,
        dtypes=draw(names(FLOATS)),
        data=draw(names(RECIPES)),
        boundary_share=draw(st.sampled_from((0.0, 0.3, 1.0))),
        seeds=draw(st.integers(1, 10_000)),
    )
    slack = draw(st.sampled_from((1, 3, 100)))
    return replace(ranges, work=max(LIMITS["work"].least, slack * least_work(ranges)))


# --- what is drawn ------------------------------------------------------------------------------


@pytest.mark.parametrize("operator", OPERATORS)
@settings(max_examples=150, deadline=None)
@given(st.data())
def test_every_case_is_valid(operator: str, data: st.DataObject) -> None:
    case = data.draw(cases(operator))

    validate(case)
    assert case.operator == operator


@pytest.mark.parametrize("operator", FORWARD)
@settings(max_examples=60, deadline=None)
@given(any_ranges(), st.data())
def test_any_ranges_give_valid_cases_within_them(
    operator: str, ranges: Ranges, data: st.DataObject
) -> None:
    case = data.draw(cases(operator, ranges))

    OPERATORS[operator].validate(case)  # its size is bounded by a spec file's largest work
    assert cost(case) <= ranges.work
    assert case.dims in ranges.dims
    assert case.dtype in ranges.dtypes
    assert case.data in ranges.data
    assert case.x[0] in ranges.batch
    assert case.seed < ranges.seeds
    assert set(case.stride) <= set(ranges.stride)
    assert set(case.window) <= {*ranges.kernel}
    assert operator == "avg_pool" or set(case.dilation) <= {*ranges.dilation}
    assert max(map(max, case.padding)) <= max(ranges.padding)


@pytest.mark.parametrize("operator", FORWARD)
def test_the_longest_lists_give_cases(operator: str) -> None:
    """Tables of all combinations stay small enough where every list is as long as it may be."""
    lists: dict[str, Any] = {
        field: tuple(range(limit.least, limit.least + limit.values))
        for field, limit in LIMITS.items()
        if limit.values > 1
    }

    drawn = generate(operator, Ranges(**lists), dims=3, count=3, seed_value=0)

    assert len(drawn) == 3


@pytest.mark.parametrize("operator", FORWARD)
def test_no_case_costs_more_than_the_ranges_say(operator: str) -> None:
    small = Ranges(work=3000)

    drawn = generate(operator, small, dims=3, count=100, seed_value=0)

    assert max(map(cost, drawn)) <= 3000


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_one_number_of_dimensions_can_be_asked_for(dims: int) -> None:
    drawn = generate("conv", DEFAULT, dims=dims, count=20, seed_value=0)

    assert {case.dims for case in drawn} == {dims}


@pytest.mark.parametrize(("share", "expected"), [(0.0, {"size=small"}), (1.0, {"size=boundary"})])
def test_the_boundary_share_says_how_many_cases_have_a_boundary_size(
    share: float, expected: set[str]
) -> None:
    ranges = Ranges(boundary_share=share, boundary_channels=(31,), boundary_widths=(101,))

    drawn = generate("max_pool", ranges, dims=2, count=100, seed_value=0)

    assert {
        label for case in drawn for label in labels(case, ranges) if "size=" in label
    } == expected


def test_a_gradient_has_the_cases_of_its_forward_operator() -> None:
    forward = generate("max_pool", DEFAULT, dims=2, count=20, seed_value=0)
    gradient = GRADIENTS["max_pool_grad"]

    drawn = generate("max_pool_grad", DEFAULT, dims=2, count=20, seed_value=0)

    assert drawn == tuple(map(gradient.derived, forward))


def test_an_unknown_operator_is_refused() -> None:
    with pytest.raises(ConformanceError, match="'deconv' is unknown; did you mean conv_transpose"):
        cases("deconv")


# --- generate -----------------------------------------------------------------------------------


@pytest.mark.parametrize("operator", FORWARD)
def test_as_many_different_cases_come_as_are_asked_for(operator: str) -> None:
    drawn = generate(operator, DEFAULT, dims=1, count=200, seed_value=0)

    assert len(set(drawn)) == 200


def test_no_more_cases_come_than_the_ranges_hold() -> None:
    """Two seeds and two recipes of one shape are four cases."""
    one = (1,)
    tiny = Ranges(
        dims=one,
        dtypes=("float32",),
        data=("integers", "normal"),
        batch=one,
        channels=one,
        kernel=one,
        stride=one,
        padding=(0,),
        output=one,
        boundary_share=0,
        seeds=2,
    )

    drawn = generate("avg_pool", tiny, dims=None, count=50, seed_value=0)

    assert len({(case.data, case.seed) for case in drawn}) == 4
    assert len(drawn) == 4 * 4  # each with and without ceil_mode and count_include_pad


def test_no_case_is_asked_for() -> None:
    assert generate("conv", DEFAULT, dims=1, count=0, seed_value=0) == ()


def test_a_seed_gives_the_same_cases_again() -> None:
    first = generate("conv", DEFAULT, dims=2, count=50, seed_value=7)

    assert generate("conv", DEFAULT, dims=2, count=50, seed_value=7) == first


def test_another_seed_gives_other_cases() -> None:
    first = generate("conv", DEFAULT, dims=2, count=50, seed_value=7)

    assert not {*first} & {*generate("conv", DEFAULT, dims=2, count=50, seed_value=8)} - {first[0]}


def test_modules_that_are_loaded_do_not_change_the_cases(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hypothesis mixes constants of local modules, such as a user's plugin, into what it draws."""
    first = generate("conv", DEFAULT, dims=2, count=100, seed_value=0)
    constants = [
        *range(100, 900),
        *(b"%064d" % i for i in range(20)),
        *(b"%d" % i for i in range(9)),
    ]
    (tmp_path / "full_of_constants.py").write_text(f"CONSTANTS = {constants}")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("full_of_constants")

    assert generate("conv", DEFAULT, dims=2, count=100, seed_value=0) == first


# --- shrinking ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operator", "predicate", "expected"),
    [
        ("conv", lambda case: True, "conv1d:float32:x=1,1,1:w=1,1,1:integers@0"),
        (
            "conv",
            lambda case: max(case.dilation) > 1,
            "conv1d:float32:x=1,1,1:w=1,1,1:dilation=2:integers@0",
        ),
        (
            "conv",
            lambda case: max(case.dilation) > 1 and max(case.window) > 1,
            "conv1d:float32:x=1,1,3:w=1,1,2:dilation=2:integers@0",
        ),
        (
            "conv",
            lambda case: any(before != after for before, after in case.padding),
            "conv1d:float32:x=1,1,1:w=1,1,1:padding=0/1:integers@0",
        ),
        (
            "conv",
            lambda case: case.groups > 1,
            "conv1d:float32:x=1,2,1:w=2,1,1:groups=2:integers@0",
        ),
        (
            "conv",
            lambda case: case.groups > 1 and case.w[1] > 1,
            "conv1d:float32:x=1,4,1:w=2,2,1:groups=2:integers@0",
        ),
        ("conv", lambda case: case.bias, "conv1d:float32:x=1,1,1:w=1,1,1:bias:integers@0"),
        (
            "conv",
            lambda case: len(set(case.stride)) > 1,
            "conv2d:float32:x=1,1,1,1:w=1,1,1,1:stride=1,2:integers@0",
        ),
        ("conv", lambda case: case.x[0] == 0, "conv1d:float32:x=0,1,1:w=1,1,1:integers@0"),
        (
            "conv",
            lambda case: case.dtype == "float64" and case.data == "wide",
            "conv1d:float64:x=1,1,1:w=1,1,1:wide@0",
        ),
        (
            "conv",
            lambda case: max(case.x[2:]) > 30,
            "conv1d:float32:x=1,1,31:w=1,1,1:integers@0",
        ),
        (
            "conv_transpose",
            lambda case: min(case.output_padding) > 0,
            "conv_transpose1d:float32:x=1,1,1:w=1,1,1:output_padding=1:dilation=2:integers@0",
        ),
        (
            "max_pool",
            lambda case: case.ceil_mode,
            "max_pool1d:float32:x=1,1,1:kernel=1:ceil_mode:integers@0",
        ),
        (
            "max_pool",
            lambda case: case.dims == 3 and min(case.window) > 1,
            "max_pool3d:float32:x=1,1,2,2,2:kernel=2,2,2:integers@0",
        ),
        (
            "avg_pool",
            lambda case: not case.count_include_pad and max(map(max, case.padding)) > 0,
            "avg_pool1d:float32:x=1,1,1:kernel=2:padding=1/1:exclude_pad:integers@0",
        ),
    ],
)
def test_a_failure_shrinks_to_the_smallest_case(
    operator: str, predicate: Callable[[Case], bool], expected: str
) -> None:
    """The smallest shape, default parameters, float32 and integers, but for what is asked for."""
    found = find(
        cases(operator),
        predicate,
        settings=settings(max_examples=2000, database=None, deadline=None),
        random=random.Random(0),
    )

    assert expected == found.id
