"""Conditions and entries that the engines' lists of known differences share."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from conformance.case import Case
from conformance.implementations._known import (
    has_axis_of_padding_alone,
    has_window_beyond_the_input,
    has_window_beyond_the_padding,
    has_window_of_padding_alone,
    invalid,
)
from conformance.registration.registry import implementations


@pytest.mark.parametrize(
    ("condition", "window", "expected"),
    [
        (has_window_of_padding_alone, "x=1,1,2:kernel=2:padding=1/1:dilation=3", True),
        (has_window_of_padding_alone, "x=1,1,3:kernel=2:padding=1/1:dilation=3", False),
        (has_window_of_padding_alone, "x=1,1,2:kernel=2:padding=1/1", False),
        (has_axis_of_padding_alone, "x=1,1,1:kernel=2:stride=2:padding=1/1:dilation=2", True),
        (has_axis_of_padding_alone, "x=1,1,2:kernel=2:stride=2:padding=1/1:dilation=2", False),
        (has_axis_of_padding_alone, "x=1,1,1:kernel=2:stride=1:padding=1/1:dilation=2", True),
        (has_window_beyond_the_input, "x=1,1,2:kernel=1:stride=2:ceil_mode", True),
        (has_window_beyond_the_input, "x=1,1,3:kernel=1:stride=2:ceil_mode", False),
        (has_window_beyond_the_input, "x=1,1,2:kernel=1:stride=2", False),
        (has_window_beyond_the_padding, "x=1,1,3:kernel=2:stride=2:ceil_mode", True),
        (has_window_beyond_the_padding, "x=1,1,4:kernel=2:stride=2:ceil_mode", False),
        (has_window_beyond_the_padding, "x=1,1,3:kernel=2:stride=2", False),
    ],
)
def test_conditions_on_windows(
    condition: Callable[[Case], bool], window: str, expected: bool
) -> None:
    assert expected == condition(Case.parse(f"max_pool1d:float32:{window}:integers@0"))


@pytest.mark.parametrize(
    ("mistakes", "expected"),
    [
        ("stride-zero dtype-bool", ("stride-zero", "dtype-bool")),
        ("stride-zero*", ("stride-zero", "stride-zero-last", "stride-zero-all")),
        (
            "padding-negative*",
            ("padding-negative", "padding-negative-last", "padding-negative-both"),
        ),
    ],
)
def test_a_star_stands_for_a_mistake_in_any_axis(mistakes: str, expected: tuple[str, ...]) -> None:
    case = "max_pool1d:float32:x=1,1,1:kernel=1:invalid=stride-zero:integers@0"

    entry = invalid("REJECT-3", case, mistakes, "not checked", versions=">=1")

    assert {"operator": "max_pool", "invalid": expected} == entry.where


@pytest.mark.parametrize("name", ["onnxruntime", "onnx-reference", "opencv", "openvino"])
def test_every_entry_covers_its_own_case_and_tells_versions(name: str) -> None:
    known = implementations()[name].known

    assert [] == [one.case for one in known if not one.holds(Case.parse(one.case))]
    assert [] == [one.case for one in known if not one.versions]
