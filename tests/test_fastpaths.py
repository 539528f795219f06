"""Fast paths: every signature that kernels specialise on meets every tail, layout and dtype."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pytest

from conformance.case import Case
from conformance.cases import tail_pairs
from conformance.cases.data import make_inputs
from conformance.cases.draft import cost
from conformance.cases.fastpaths import LAYOUTS, cases, filling_of, of_signature, tails_of
from conformance.cases.filling import WORK
from conformance.cases.kernels import Signature, signatures
from conformance.cases.large_paths import large_paths
from conformance.cases.tail_coverage import measure, pairs_of_tails
from conformance.cases.tails import BLOCKS, Tail, quantities, tails
from conformance.cases.validity import validate
from conformance.large.judge import is_large
from conformance.operators import FORWARD, GRADIENTS, OPERATORS, work

EVERY = [(operator, dims) for operator in OPERATORS for dims in (1, 2, 3)]
FORWARDS = [(operator, dims) for operator in FORWARD for dims in (1, 2, 3)]
FLOATS = ("float32", "float64")
MULTIPLES = ("n", "n+1", "n-1", "n+half", "rest")


def pairs_of(case: Case) -> Iterator[tuple[Tail, Tail]]:
    """Yield the pairs of tails, of two different sizes, that a case stands at."""
    for one, other in itertools.combinations(sorted(tails(case)), 2):
        if one[0] != other[0]:
            yield one, other


def valid_pairs(signature: Signature) -> set[tuple[Tail, Tail]]:
    """Return the pairs of tails, of two different sizes, that a case can stand at."""
    names, there = pairs_of_tails(filling_of(signature))
    return {(names[one], names[other]) for one, other in np.argwhere(there).tolist()}


def has(case: Case, signature: Signature) -> bool:
    """Whether a case has the parameters of a signature."""
    if case.w is None:
        grouping = "dense"
    else:
        inner = case.x[1] // case.groups
        outer = OPERATORS[case.operator].output_shape(case)[1] // case.groups
        depthwise = "depthwise" if outer == 1 else "multiplier"
        grouping = "dense" if case.groups == 1 else depthwise if inner == 1 else "grouped"
        if signature.grouping == "image" and case.groups == 1 and inner == 3:
            grouping = "image"
    sizes = tuple(k for k, size in zip(case.window, signature.kernel, strict=True) if size)
    return (
        sizes == tuple(filter(None, signature.kernel))
        and case.stride == signature.stride
        and case.dilation == signature.dilation
        and case.padding == signature.padding
        and case.output_padding == signature.output_padding
        and case.ceil_mode == signature.ceil_mode
        and case.count_include_pad == signature.count_include_pad
        and grouping == signature.grouping
    )


@pytest.mark.parametrize(("operator", "dims"), EVERY)
def test_every_case_is_valid_cheap_and_there_once(operator: str, dims: int) -> None:
    made = cases(operator, dims, FLOATS, ("float16",))

    for case in made:
        validate(case)
    assert made
    assert len(made) == len(set(made))
    assert all(cost(case) <= WORK for case in made if case.operator in FORWARD)


@pytest.mark.parametrize(("operator", "dims"), FORWARDS)
def test_every_signature_meets_every_tail_in_every_layout_and_dtype(
    operator: str, dims: int
) -> None:
    made = cases(operator, dims, FLOATS, ("float16",))
    met = {(case.memory, tail) for case in made for tail in tails(case)}
    assert met
    for signature in signatures(operator, dims):
        own = [case for case in made if has(case, signature)]
        layouts = {(case.memory, tail) for case in own for tail in tails(case)}
        dtypes = {(case.dtype, tail) for case in own for tail in tails(case)}

        assert layouts >= set(itertools.product(LAYOUTS, tails_of(signature))), signature.name
        assert dtypes >= set(itertools.product((*FLOATS, "float16"), tails_of(signature)))


@pytest.mark.parametrize(("operator", "dims"), FORWARDS)
def test_the_tails_of_a_signature_are_those_of_every_block_of_its_channels(
    operator: str, dims: int
) -> None:
    for signature in signatures(operator, dims):
        of_groups = dict.fromkeys(("depthwise", "multiplier"), "groups")
        channels = {**of_groups, "image": "outputs"}.get(signature.grouping, "inputs")
        standing = {tail[1:] for tail in tails_of(signature) if tail[0] == channels}
        kinds = {4: ("n", "n+1", "n-1"), 8: MULTIPLES, 16: MULTIPLES, 32: ("rest",), 64: ("rest",)}

        blocks = BLOCKS[:-1] if signature.grouping == "image" else BLOCKS  # 7x7 windows are dear

        assert standing >= set(itertools.product(blocks, ("one", "+1", "-1")))
        assert standing >= {(block, kind) for block in blocks for kind in kinds[block]}


@pytest.mark.parametrize(("operator", "dims"), FORWARDS)
def test_signatures_have_names_of_their_own(operator: str, dims: int) -> None:
    names = [signature.name for signature in signatures(operator, dims)]

    assert len(names) == len(set(names))


@pytest.mark.parametrize("dtypes", [("float32",), ("float64", "float16")])
def test_an_implementation_of_few_dtypes_meets_every_tail_in_every_layout_as_well(
    dtypes: tuple[str, ...],
) -> None:
    made = cases("conv", 1, dtypes)
    for signature in signatures("conv", 1):
        own = [case for case in made if has(case, signature)]
        layouts = {(case.memory, tail) for case in own for tail in tails(case)}

        assert layouts >= set(itertools.product(LAYOUTS, tails_of(signature))), signature.name


def test_the_same_arguments_give_the_same_cases() -> None:
    assert cases("conv", 2, FLOATS) == cases("conv", 2, FLOATS)


def test_coverage_counts_the_signatures_that_meet_tails_layouts_dtypes_and_two_tails() -> None:
    found = measure("avg_pool", 1, ("float32", "float64"))

    assert len(signatures("avg_pool", 1)) == found.signatures
    assert sum(len(tails_of(one)) for one in signatures("avg_pool", 1)) == found.tails[1]
    for reached, there in (found.tails, found.layouts, found.dtypes):
        assert there == reached
    assert 0.3 * found.pairs[1] < found.pairs[0] < found.pairs[1]


@pytest.mark.parametrize("dims", [1, 2])
def test_two_tails_that_a_case_stands_at_are_among_those_that_can_meet(dims: int) -> None:
    for signature in signatures("conv_transpose", dims)[:4]:
        there = valid_pairs(signature)
        met = {pair for case in of_signature(signature, ("float32",)) for pair in pairs_of(case)}

        assert len(met - there) <= 0.01 * len(met), signature.name


def test_windows_of_a_stride_leave_rows_unread_or_none() -> None:
    strided = [case for case in cases("conv", 1, FLOATS) if case.stride == (2,)]
    odd = {(case.x[2] + sum(case.padding[0]) - case.window[0]) % 2 for case in strided}

    assert {0, 1} == odd


def test_fast_paths_at_their_real_sizes_are_judged_by_projection() -> None:
    large = [case for operator, dims in FORWARDS for case in large_paths(operator, dims)]

    assert len(large) >= 15
    for case in large:
        validate(case)
        assert is_large(case)
        assert 100 * WORK < 4 * work(case) < 6000 * WORK


def test_a_size_of_nine_is_one_more_than_a_block_of_eight() -> None:
    case = Case.parse("conv2d:float32:x=1,1,4,4:w=9,1,3,3:integers@0")

    assert tails(case) >= {("outputs", 8, "+1"), ("outputs", 4, "n+1")}
    assert quantities(case)["tiles2"] == 1


def test_the_channels_of_a_grouped_convolution_are_those_of_a_group() -> None:
    case = Case.parse("conv2d:float32:x=1,4,1,1:w=16,2,1,1:groups=2:integers@0")

    assert {"inputs": 2, "outputs": 8, "groups": 2}.items() <= quantities(case).items()


@pytest.mark.parametrize(("operator", "dims"), [("conv", 1), ("max_pool", 1), ("avg_pool_grad", 1)])
def test_a_signature_meets_every_two_tails_that_can_meet(operator: str, dims: int) -> None:
    forward = GRADIENTS[operator].forward.name if operator in GRADIENTS else operator
    made = tail_pairs.cases(operator, dims, FLOATS)
    for case in made[::50]:
        validate(case)
    calls = [case.replace(operator=forward) for case in made]
    for signature in signatures(operator, dims):
        met = {pair for case in calls if has(case, signature) for pair in pairs_of(case)}

        assert met >= valid_pairs(signature), signature.name


def test_the_cases_at_two_tails_have_every_dtype_and_layout() -> None:
    made = tail_pairs.cases("max_pool", 1, FLOATS, ("int8",))

    assert {*itertools.product((*FLOATS, "int8"), LAYOUTS)} == {(c.dtype, c.memory) for c in made}
    assert all(cost(case) <= WORK for case in made)


@pytest.mark.parametrize("operator", ["conv", "max_pool"])
def test_special_values_stand_in_the_last_columns_of_every_signature(operator: str) -> None:
    for signature in signatures(operator, 2):
        own = [case for case in of_signature(signature, FLOATS) if case.data == "nan"]

        assert any(np.isnan(make_inputs(case)[0][..., -1]).any() for case in own), signature.name
