"""Pairs: what is counted where two implementations have computed the same cases."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from conformance.case import Case
from conformance.judging import Accuracy, Prepared
from conformance.runfile.tables import Pair
from conformance.running.pairwise import compare, notes_on_identical

Array = np.ndarray[Any, Any]

SUM = "conv1d:float32:x=1,1,4:w=1,1,2:normal@0"  # three elements
LONGER = "conv1d:float32:x=1,1,9:w=1,1,2:normal@0"  # eight
DOUBLE = "conv1d:float64:x=1,1,4:w=1,1,2:normal@0"
MAX = "max_pool1d:float32:x=1,1,4:kernel=2:integers@0"


def of(*texts: str) -> list[Prepared]:
    return [Prepared.of(Case.parse(text)) for text in texts]


def right(prepared: Prepared) -> Array:
    return prepared.reference.exact.astype(prepared.case.dtype)


def pair(prepared: list[Prepared], a: list[Array | None], b: list[Array | None]) -> Pair:
    (found,) = compare(prepared[0].case.operator, prepared, {"a": a, "b": b})
    return found


def total(cases: int, elements: int, identical: int, largest: float, case: str | None) -> Pair:
    return Pair(
        first="a",
        second="b",
        operator="conv",
        cases=cases,
        elements=elements,
        identical=identical,
        largest=largest,
        largest_case=case,
    )


def test_equal_outputs_are_identical() -> None:
    prepared = of(SUM, LONGER)
    outputs = [right(p) for p in prepared]

    assert total(2, 11, 11, 0.0, None) == pair(prepared, outputs, outputs)


def test_the_largest_difference_is_a_share_of_the_bound() -> None:
    prepared = of(SUM)
    bound, _ = prepared[0].bound(Accuracy())
    y = right(prepared[0])
    other = y.copy()
    other[0, 0, 1] += 3 * bound[0, 0, 1]

    found = pair(prepared, [y], [other])

    expected = abs(float(other[0, 0, 1]) - float(y[0, 0, 1])) / bound[0, 0, 1]
    assert expected == pytest.approx(found.largest)
    assert (3, 2, SUM) == (found.elements, found.identical, found.largest_case)


def test_the_case_of_the_largest_difference_is_named() -> None:
    prepared = of(SUM, DOUBLE, LONGER)
    outputs = [right(p) for p in prepared]
    others = [y.copy() for y in outputs]
    others[0][0, 0, 0] += 1e-3
    others[2][0, 0, 0] += 1.0

    assert LONGER == pair(prepared, outputs, others).largest_case


def test_only_cases_that_both_computed_count() -> None:
    prepared = of(SUM, LONGER)
    short, long = map(right, prepared)

    found = pair(prepared, [short, None], [short, long])

    assert (1, 3, 3) == (found.cases, found.elements, found.identical)


def test_zeros_of_different_sign_are_not_identical() -> None:
    prepared = of(MAX)
    zeros = np.zeros((1, 1, 3), np.float32)

    found = pair(prepared, [zeros], [-zeros])

    assert (0, 0.0) == (found.identical, found.largest)


def test_nan_is_identical_to_nan_only() -> None:
    prepared = of(SUM)
    nan = np.full((1, 1, 3), np.nan, np.float32)

    assert 3 == pair(prepared, [nan], [nan]).identical
    assert np.inf == pair(prepared, [nan], [right(prepared[0])]).largest


def test_every_two_of_three_are_a_pair() -> None:
    prepared = of(SUM)
    outputs: list[Array | None] = [right(prepared[0])]

    found = compare("conv", prepared, {"a": outputs, "b": outputs, "c": outputs})

    assert [("a", "b"), ("a", "c"), ("b", "c")] == [(p.first, p.second) for p in found]


def test_one_alone_is_no_pair() -> None:
    prepared = of(SUM)

    assert [] == compare("conv", prepared, {"a": [right(prepared[0])]})


def test_pairs_without_a_common_case_are_left_out() -> None:
    prepared = of(SUM)

    assert [] == compare("conv", prepared, {"a": [None], "b": [right(prepared[0])]})


def test_blocks_are_added_up() -> None:
    first, second = total(1, 10, 8, 0.5, "one"), total(2, 5, 5, 0.75, "two")

    assert total(3, 15, 13, 0.75, "two") == first.plus(second) == second.plus(first)


def test_an_empty_batch_is_a_case_without_elements() -> None:
    prepared = of("conv1d:float32:x=0,1,4:w=1,1,2:normal@0")
    outputs: list[Array | None] = [right(prepared[0])]

    found = pair(prepared, outputs, outputs)

    assert (1, 0) == (found.cases, found.elements)


def test_large_whole_numbers_are_told_apart() -> None:
    prepared = of("max_pool1d:int64:x=1,1,4:kernel=2:integers@0")
    y = np.full((1, 1, 3), 2**60, np.int64)

    assert 0 == pair(prepared, [y], [y + 1]).identical


def noted(*names: str, family: str = "", **changed: int) -> dict[str, str]:
    numbers: dict[str, Any] = {"cases": 9, "elements": 999, "identical": 999, "missed": 300}
    both = Pair(
        first=names[0],
        second=names[1],
        operator="conv",
        largest=0.0,
        largest_case=None,
        **numbers | changed,
    )
    return notes_on_identical({name: family or name for name in names}, [both, both])


def test_two_that_claim_to_compute_otherwise_and_share_every_bit_are_told() -> None:
    note = "every bit is that of engine in all 1,998 numbers of both, 600 of them not the nearest"

    for names in (("engine", "engine[fast=off]"), ("engine", "other")):
        assert noted(*names)[names[1]].startswith(note)


def test_one_element_that_differs_or_few_that_were_rounded_are_no_note() -> None:
    assert {} == noted("engine", "other", identical=998)
    assert {} == noted("wide", "exact", missed=49)


def test_what_is_of_one_family_and_no_variant_may_share_its_bits() -> None:
    assert {} == noted("engine", "other", family="shared")


def test_identical_elements_that_are_not_the_nearest_number_are_counted() -> None:
    prepared = of(SUM, LONGER)
    outputs = [right(p) for p in prepared]
    beside = [np.nextafter(outputs[0], np.float32(9)), outputs[1]]

    assert 3 == pair(prepared, beside, beside).missed
    assert 0 == pair(prepared, beside, outputs).missed
