"""Memory layouts among the cases: each meets every feature, in each array, in every operator."""

from __future__ import annotations

import itertools
from collections import Counter
from functools import cache

import numpy as np
import pytest

from conformance.calling.memory import place, spread, takes_effect
from conformance.case import MEMORY_LAYOUTS, Case
from conformance.cases import layouts
from conformance.cases.coverage import draw
from conformance.cases.derived import derived
from conformance.cases.features import labels
from conformance.cases.layout_coverage import measure_derived_layouts, measure_layouts
from conformance.cases.ranges import Ranges
from conformance.cases.strategies import generate
from conformance.cases.validity import validate
from conformance.dtypes import DTYPES, INTEGERS
from conformance.operators import GRADIENTS, OPERATORS

DEFAULT = Ranges()
CLAIMED = tuple(dtype for dtype in DTYPES if dtype not in DEFAULT.dtypes)


@cache
def ordinary(operator: str, dims: int, count: int = 100) -> tuple[Case, ...]:
    drawn = generate(operator, DEFAULT, dims=dims, count=count, seed_value=0)
    return tuple(case for case in drawn if case.x[0])


@cache
def laid_out(operator: str, dims: int = 2) -> tuple[Case, ...]:
    """Return the cases that a run of the default tier has."""
    return tuple(layouts.cases(operator, ordinary(operator, dims), DEFAULT, CLAIMED))


# --- the covering array -------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(2))
def test_each_layout_of_each_array_meets_every_label_of_every_operator(seed: int) -> None:
    drawn = draw(DEFAULT, count=500, seed_value=seed)

    found = measure_derived_layouts(drawn, DEFAULT)

    assert set(OPERATORS) == {one.operator for one in found}
    assert {one.operator: () for one in found} == {one.operator: one.missing for one in found}
    assert [one.valid for one in found] == [one.reached for one in found]


@pytest.mark.parametrize("operator", OPERATORS)
def test_every_case_is_valid_and_lies_otherwise_than_as_usual(operator: str) -> None:
    for case in laid_out(operator):
        validate(case)

    assert {"layout"} == {case.check for case in laid_out(operator)}
    assert [] == [
        case.id
        for case in laid_out(operator)
        if not layouts.shows(case.memory, layouts.shapes_of(case))
    ]


@pytest.mark.parametrize("operator", OPERATORS)
def test_every_other_dtype_has_each_layout(operator: str) -> None:
    met = Counter((case.dtype, case.memory.partition("-")[0]) for case in laid_out(operator))
    own = {way.partition("-")[0] for way in layouts.ways(operator)}
    dtypes = [d for d in OPERATORS[operator].dtypes if d in (*DEFAULT.dtypes, *CLAIMED)]
    swapped = [d for d in dtypes if d in ("bfloat16", "int8", "uint8")]

    missing = {pair for pair in itertools.product(dtypes, own) if not met[pair]}

    assert missing == {(dtype, "byteswapped") for dtype in swapped}


def test_the_second_dtype_has_each_layout_of_each_array() -> None:
    met = {case.memory for case in laid_out("conv") if case.dtype == DEFAULT.dtypes[1]}

    assert set(layouts.ways("conv")) == met


def test_data_is_exact_but_in_half_types() -> None:
    data = {
        (case.dtype in ("float16", "bfloat16"), case.dtype in INTEGERS, case.data)
        for operator in ("conv", "max_pool", "max_pool_grad")
        for case in laid_out(operator)
    }

    assert data == {
        (False, False, "integers"),
        (False, False, "digits"),
        (False, True, "integers"),
        (True, False, "normal"),
    }


def test_a_large_run_has_each_layout_with_every_pair_of_labels() -> None:
    bases = ordinary("max_pool", 2, 150)
    (case, *_), count = bases, layouts.PAIRS_FROM
    found = layouts.cases("max_pool", bases, DEFAULT, (), count)
    chosen = {one.partition("=")[0] for one in labels(case, DEFAULT)} - {*layouts.APART}

    def pairs(cases: list[Case]) -> set[tuple[str, ...]]:
        return {
            pair
            for case in cases
            for pair in itertools.combinations(
                [one for one in labels(case, DEFAULT) if one.partition("=")[0] in chosen], 2
            )
        }

    showing = [one for one in bases if layouts.shows("strided", layouts.shapes_of(one))]
    assert pairs(showing) == pairs([one for one in found if one.memory == "strided"])


def test_a_small_run_has_each_layout_of_each_array_once() -> None:
    found = layouts.cases("conv", ordinary("conv", 2), DEFAULT, (), layouts.LABELS_FROM - 1)

    assert {(way, d): 1 for way in layouts.ways("conv") for d in DEFAULT.dtypes} == Counter(
        (case.memory, case.dtype) for case in found
    )


def test_the_first_cases_have_every_layout() -> None:
    """A budget that ends early cuts labels, and no layouts."""
    first = laid_out("conv")[: len(layouts.ways("conv"))]

    assert layouts.ways("conv") == tuple(case.memory for case in first)


def test_no_case_comes_from_no_ordinary_ones() -> None:
    assert [] == layouts.cases("conv", [], DEFAULT)


def test_a_run_mixes_layouts_evenly_with_what_else_is_derived() -> None:
    found = derived("conv", 1, DEFAULT, (), ordinary("conv", 1), 100)
    quarters = [found[i * len(found) // 4 : (i + 1) * len(found) // 4] for i in range(4)]

    shares = [sum(case.check == "layout" for case in part) / len(part) for part in quarters]

    assert max(shares) - min(shares) < 0.05
    assert min(shares) > 0


# --- what is counted ------------------------------------------------------------------------------


def test_an_array_that_lies_as_usual_is_not_counted() -> None:
    """A depthwise weight has one input channel: channels-last, it lies as it always does."""
    text = "conv2d:float32:x=1,2,4,4:w=2,1,3,3:groups=2:memory=channels_last{}:integers@0"

    found = [
        measure_layouts("conv", [Case.parse(text.format(which))], DEFAULT).reached
        for which in ("-w", "-x")
    ]

    assert (found[0], found[1] > 0) == (0, True)


def test_what_cannot_meet_is_not_asked_for() -> None:
    found = measure_layouts("conv", (), DEFAULT, sample=10_000)

    assert ("memory=channels_last-w", "kernel=one") not in found.missing
    assert ("memory=channels_last-w", "kernel=odd") in found.missing
    assert ("memory=strided-bias", "bias=no") not in found.missing
    assert ("memory=expanded_batch-x", "batch=1") not in found.missing
    assert (0, 0) == (found.cases, found.reached)


@pytest.mark.parametrize("operator", GRADIENTS)
def test_a_gradients_case_has_the_labels_of_its_forward_call(operator: str) -> None:
    gradient = GRADIENTS[operator]
    forward = ordinary(gradient.forward.name, 2)[:20]

    for case in forward:
        own = labels(gradient.derived(case), DEFAULT)
        assert set(own) <= {*labels(case, DEFAULT), *own[:5]}  # of a bias's gradient, grad's shape


@pytest.mark.parametrize("layout", [one for one in MEMORY_LAYOUTS if one != "shared"])
def test_a_layout_takes_effect_where_strides_or_flags_say_so(layout: str) -> None:
    """Axes of size one have strides of no meaning; where no other stride differs, nothing does."""
    always = ("offset", "unaligned", "readonly", "byteswapped")
    wrong = []
    for count in (1, 3, 4):
        for shape in itertools.product((1, 2, 3), repeat=count):
            array = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
            if layout in ("broadcast", "expanded_batch", "expanded_channels"):
                array = spread(array, layout)
            placed = place(array, layout)[0]
            usual = np.ascontiguousarray(array)
            strides = zip(shape, placed.strides, usual.strides, strict=True)
            differs = any(a != b for size, a, b in strides if size > 1 or layout == "singletons")
            if takes_effect(layout, shape) != (differs or layout in always):
                wrong.append(shape)

    assert wrong == []


def test_nothing_takes_effect_in_an_empty_array() -> None:
    assert not any(takes_effect(layout, (0, 2, 3)) for layout in MEMORY_LAYOUTS)


@pytest.mark.parametrize("way", ["channels_last-x", "cropped_columns-x", "spatial_first-w"])
@pytest.mark.parametrize("axis", [0, 1])
def test_a_layout_meets_padding_at_each_end_and_stride_and_dilation_of_each_axis(
    way: str, axis: int
) -> None:
    cases = [case for case in laid_out("conv") if case.memory == way and case.dtype == "float32"]

    assert {True, False} == {case.padding[axis][0] > 0 for case in cases}
    assert {True, False} == {case.padding[axis][1] > 0 for case in cases}
    assert {True, False} == {case.stride[axis] > 1 for case in cases}
    assert {True, False} == {case.dilation[axis] > 1 for case in cases}
