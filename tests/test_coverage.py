"""Coverage: what cases are classed by, which labels can meet, and which of them do."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from functools import cache
from typing import TypeAlias

import pytest

from conformance.case import Case
from conformance.cases.coverage import measure, measure_generated, valid_combinations
from conformance.cases.features import FEATURES, Labels, labels
from conformance.cases.ranges import Ranges
from conformance.cases.strategies import generate
from conformance.cases.validity import validate
from conformance.errors import CaseError, ConformanceError
from conformance.operators import FORWARD
from conformance.sizes import conv_size

DEFAULT = Ranges()
SEEDS = range(3)


@cache
def drawn(operator: str, seed: int) -> tuple[Case, ...]:
    return generate(operator, DEFAULT, dims=None, count=500, seed_value=seed)


def label(feature: str, text: str) -> str:
    """Return what the case with id ``text`` is classed as."""
    found = dict(one.split("=") for one in labels(Case.parse(text), DEFAULT))
    return found[feature]


# --- the bar ------------------------------------------------------------------------------------


@pytest.mark.parametrize("operator", FORWARD)
def test_500_generated_cases_meet_every_pair(operator: str) -> None:
    missing = [measure(operator, drawn(operator, seed)).missing_pairs for seed in SEEDS]

    assert missing == [()] * len(SEEDS)


@pytest.mark.parametrize("operator", FORWARD)
def test_500_generated_cases_meet_nearly_every_triple(operator: str) -> None:
    found = [measure(operator, drawn(operator, seed)) for seed in SEEDS]

    assert min(one.triples_reached / one.triples_valid for one in found) > 0.98


@pytest.mark.parametrize("operator", FORWARD)
def test_generated_cases_meet_nothing_that_is_not_valid(operator: str) -> None:
    valid = valid_combinations(operator, DEFAULT, 3)

    met = {
        triple
        for seed in SEEDS
        for case in drawn(operator, seed)
        for triple in itertools.combinations(labels(case, DEFAULT), 3)
    }

    assert met - valid == set()


def test_a_feature_that_is_never_drawn_is_missed() -> None:
    ungrouped = [case for case in drawn("conv", 0) if case.groups == 1]

    found = measure("conv", ungrouped, sample=10_000)

    assert ("stride=one", "groups=depthwise") in found.missing_pairs
    assert found.pairs_reached + len(found.missing_pairs) == found.pairs_valid


# --- which labels can meet ----------------------------------------------------------------------

TINY = Ranges(
    dims=(1, 2),
    dtypes=("float32",),
    data=("integers",),
    batch=(1,),
    channels=(1,),
    groups=(1,),
    kernel=(1, 2, 3),
    stride=(1, 2),
    dilation=(1, 2),
    padding=(0, 1),
    output=tuple(range(1, 10)),
    boundary_share=0,
)


Axis: TypeAlias = tuple[int, int, int, tuple[int, int], int, int]


def every_axis(operator: str) -> Iterator[Axis]:
    """Yield each axis with a size of at most 6, valid or not: enough for all that can meet."""
    dilations = (1,) if operator == "avg_pool" else TINY.dilation
    extras = (0, 1) if operator == "conv_transpose" else (0,)
    pairs = tuple(itertools.product(TINY.padding, repeat=2))
    yield from itertools.product(range(1, 7), TINY.kernel, TINY.stride, pairs, dilations, extras)


def every_case(operator: str, *axes: Axis) -> Iterator[Case]:
    """Yield the valid cases with these axes."""
    size, kernel, stride, padding, dilation, extra = zip(*axes, strict=True)
    weighted = FORWARD[operator].has_weight
    for flag, include in itertools.product(
        (False, True), (True, False) if operator == "avg_pool" else (True,)
    ):
        case = Case(
            operator=operator,
            x=(1, 1, *size),
            w=(1, 1, *kernel) if weighted else None,
            kernel=None if weighted else kernel,
            stride=stride,
            padding=padding,
            dilation=dilation,
            output_padding=extra,
            bias=weighted and flag,
            ceil_mode=not weighted and flag,
            count_include_pad=include,
        )
        with contextlib.suppress(CaseError):
            validate(case)
            yield case


@pytest.mark.parametrize("operator", FORWARD)
def test_what_can_meet_is_what_meets_in_all_valid_cases(operator: str) -> None:
    """Enumerating axes and combining their labels finds the same as enumerating whole cases."""
    alone: dict[Labels, Axis] = {}
    for axis in every_axis(operator):
        alone |= {labels(case, TINY): axis for case in every_case(operator, axis)}
    # Axes that are classed alike alone are so beside another axis, too: one of each is enough.
    pairs = itertools.combinations_with_replacement(sorted(set(alone.values())), 2)
    beside = {labels(case, TINY) for pair in pairs for case in every_case(operator, *pair)}

    met = {triple for case in (*alone, *beside) for triple in itertools.combinations(case, 3)}

    assert valid_combinations(operator, TINY, 3) == met


def test_only_labels_of_the_ranges_can_meet() -> None:
    narrow = Ranges(dims=(1,), dtypes=("float16",), groups=(1,), kernel=(3,), stride=(2,))

    found = {one for pair in valid_combinations("conv", narrow, 2) for one in pair}

    assert {one for one in found if one.split("=")[0] in ("dims", "dtype", "groups", "kernel")} == {
        "dims=1",
        "dtype=float16",
        "groups=one",
        "kernel=odd",
    }
    assert "stride=same" in found
    assert "stride=one" not in found


def test_different_strides_need_two_axes() -> None:
    assert ("dims=1", "stride=different") not in valid_combinations("conv", DEFAULT, 2)
    assert ("dims=2", "stride=different") in valid_combinations("conv", DEFAULT, 2)


def test_a_pool_has_no_padding_with_kernel_one() -> None:
    assert ("kernel=one", "padding=symmetric") not in valid_combinations("max_pool", DEFAULT, 2)


# --- labels -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("feature", "expected", "text"),
    [
        ("dims", "2", "conv2d:float32:x=1,1,3,3:w=1,1,1,1:integers@0"),
        ("dtype", "float64", "conv1d:float64:x=1,1,3:w=1,1,1:integers@0"),
        ("data", "wide", "conv1d:float32:x=1,1,3:w=1,1,1:wide@0"),
        ("batch", "0", "conv1d:float32:x=0,1,3:w=1,1,1:integers@0"),
        ("batch", "many", "conv1d:float32:x=2,1,3:w=1,1,1:integers@0"),
        ("bias", "yes", "conv1d:float32:x=1,1,3:w=1,1,1:bias:integers@0"),
        ("groups", "one", "conv1d:float32:x=1,3,3:w=2,3,1:integers@0"),
        ("groups", "some", "conv1d:float32:x=1,4,3:w=2,2,1:groups=2:integers@0"),
        ("groups", "depthwise", "conv1d:float32:x=1,3,3:w=3,1,1:groups=3:integers@0"),
        ("groups", "multiplied", "conv1d:float32:x=1,3,3:w=6,1,1:groups=3:integers@0"),
        ("groups", "multiplied", "conv_transpose1d:float32:x=1,3,3:w=3,2,1:groups=3:integers@0"),
        ("groups", "some", "conv_transpose1d:float32:x=1,6,3:w=6,1,1:groups=3:integers@0"),
        ("stride", "one", "conv2d:float32:x=1,1,3,3:w=1,1,1,1:integers@0"),
        ("stride", "same", "conv2d:float32:x=1,1,3,3:w=1,1,1,1:stride=2,2:integers@0"),
        ("stride", "different", "conv2d:float32:x=1,1,3,3:w=1,1,1,1:stride=2,1:integers@0"),
        ("dilation", "different", "conv2d:float32:x=1,1,3,3:w=1,1,1,1:dilation=1,3:integers@0"),
        ("padding", "symmetric", "conv2d:float32:x=1,1,3,3:w=1,1,1,1:padding=1/1,0/0:integers@0"),
        ("padding", "asymmetric", "conv2d:float32:x=1,1,3,3:w=1,1,1,1:padding=1/1,0/1:integers@0"),
        ("kernel", "one", "conv2d:float32:x=1,1,5,5:w=1,1,1,1:integers@0"),
        ("kernel", "odd", "conv2d:float32:x=1,1,5,5:w=1,1,1,3:integers@0"),
        ("kernel", "even", "conv2d:float32:x=1,1,5,5:w=1,1,4,2:integers@0"),
        ("kernel", "mixed", "conv2d:float32:x=1,1,5,5:w=1,1,1,2:integers@0"),
        ("remainder", "no", "conv1d:float32:x=1,1,5:w=1,1,3:stride=2:integers@0"),
        ("remainder", "yes", "conv1d:float32:x=1,1,6:w=1,1,3:stride=2:integers@0"),
        ("output_padding", "some", "conv_transpose1d:float32:x=1,1,3:w=1,1,1:stride=2"
         ":output_padding=1:integers@0"),
        ("size", "small", "conv1d:float32:x=1,3,30:w=5,3,1:integers@0"),
        ("size", "boundary", "conv1d:float32:x=1,3,33:w=5,3,1:integers@0"),
        ("size", "boundary", "conv1d:float32:x=1,3,3:w=8,3,1:integers@0"),
        ("size", "boundary", "max_pool1d:float32:x=1,16,3:kernel=1:integers@0"),
        ("larger_kernel", "no", "conv1d:float32:x=1,1,3:w=1,1,3:padding=1/1:integers@0"),
        ("larger_kernel", "yes", "conv1d:float32:x=1,1,3:w=1,1,3:padding=1/1:dilation=2:wide@0"),
        ("gaps", "no", "conv1d:float32:x=1,1,5:w=1,1,2:stride=2:integers@0"),
        ("gaps", "yes", "conv1d:float32:x=1,1,5:w=1,1,2:stride=3:integers@0"),
        ("empty_window", "no", "conv1d:float32:x=1,1,2:w=1,1,2:padding=1/1:integers@0"),
        ("empty_window", "yes", "conv1d:float32:x=1,1,2:w=1,1,2:padding=2/0:integers@0"),
        ("empty_window", "yes", "conv1d:float32:x=1,1,2:w=1,1,2:padding=0/2:integers@0"),
        ("empty_window", "yes", "max_pool1d:float32:x=1,1,1:kernel=2:padding=1/1:dilation=2"
         ":integers@0"),
        ("empty_window", "no", "max_pool1d:float32:x=1,1,2:kernel=2:padding=1/1:dilation=2"
         ":integers@0"),
        ("empty_window", "no", "conv_transpose1d:float32:x=1,1,3:w=1,1,2:stride=2:integers@0"),
        ("empty_window", "yes", "conv_transpose1d:float32:x=1,1,3:w=1,1,1:stride=2:integers@0"),
        ("empty_window", "no", "conv_transpose1d:float32:x=1,1,2:w=1,1,1:stride=2:padding=0/2"
         ":integers@0"),
        ("ceil_mode", "off", "max_pool1d:float32:x=1,1,5:kernel=2:stride=2:integers@0"),
        ("ceil_mode", "without effect", "max_pool1d:float32:x=1,1,4:kernel=2:stride=2:ceil_mode"
         ":integers@0"),
        ("ceil_mode", "partial window", "max_pool1d:float32:x=1,1,5:kernel=2:stride=2:ceil_mode"
         ":integers@0"),
        ("ceil_mode", "dropped window", "max_pool1d:float32:x=1,1,2:kernel=2:stride=3"
         ":padding=1/1:ceil_mode:integers@0"),
        ("count_include_pad", "no", "avg_pool1d:float32:x=1,1,2:kernel=2:exclude_pad:integers@0"),
    ],
)  # fmt: skip
def test_a_case_is_classed_by_each_feature(feature: str, expected: str, text: str) -> None:
    assert expected == label(feature, text)


def test_a_dropped_window_is_one_output_fewer_than_rounding_up_gives() -> None:
    """The example of a dropped window above has room for one and a part, and one output."""
    assert conv_size(2, 2, 3, (1, 1), 1, ceil=True) == 1


@pytest.mark.parametrize("operator", FEATURES)
def test_a_case_has_one_label_of_each_feature(operator: str) -> None:
    found = {tuple(one.split("=")[0] for one in labels(c, DEFAULT)) for c in drawn(operator, 0)}

    assert found == {FEATURES[operator]}


# --- measuring ----------------------------------------------------------------------------------


def test_no_cases_reach_nothing() -> None:
    found = measure("conv", ())

    assert (found.cases, found.pairs_reached, found.triples_reached) == (0, 0, 0)
    assert (len(found.missing_pairs), len(found.missing_triples)) == (20, 20)


def test_one_case_reaches_the_pairs_of_its_labels() -> None:
    count = len(FEATURES["conv"])

    found = measure("conv", drawn("conv", 0)[:1])

    assert found.pairs_reached == count * (count - 1) // 2
    assert found.triples_reached == count * (count - 1) * (count - 2) // 6


def test_cases_of_other_operators_are_left_out() -> None:
    assert measure("avg_pool", drawn("conv", 0)).cases == 0


def test_generated_cases_are_measured_operator_by_operator() -> None:
    found = measure_generated(DEFAULT, count=20, operators=("max_pool", "avg_pool"))

    assert [(one.operator, one.cases) for one in found] == [("max_pool", 20), ("avg_pool", 20)]


def test_a_gradient_has_no_features_of_its_own() -> None:
    with pytest.raises(ConformanceError, match="'conv_input_grad' has no features; allowed: conv,"):
        measure("conv_input_grad", ())
