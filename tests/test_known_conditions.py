"""Named conditions on a case, and the lists of the engines that use them."""

from __future__ import annotations

from pathlib import Path

import pytest

from conformance.case import Case
from conformance.cases.invalid import MISTAKES
from conformance.cases.strategies import generate
from conformance.known import conditions
from conformance.known.listed import FromFile
from conformance.known.reading import read_known
from conformance.operators import OPERATORS
from conformance.registration.registry import implementations
from conformance.spec import load

ENGINES = Path(__file__).parents[1] / "implementations"
FILES = sorted(ENGINES.glob("**/known*.toml"))


@pytest.mark.parametrize(
    ("condition", "window", "expected"),
    [
        ("window_of_padding_alone", "x=1,1,2:kernel=2:padding=1/1:dilation=3", True),
        ("window_of_padding_alone", "x=1,1,3:kernel=2:padding=1/1:dilation=3", False),
        ("window_of_padding_alone", "x=1,1,2:kernel=2:padding=1/1", False),
        ("axis_of_padding_alone", "x=1,1,1:kernel=2:stride=2:padding=1/1:dilation=2", True),
        ("axis_of_padding_alone", "x=1,1,2:kernel=2:stride=2:padding=1/1:dilation=2", False),
        ("axis_of_padding_alone", "x=1,1,1:kernel=2:stride=1:padding=1/1:dilation=2", True),
        ("window_begins_beyond_input", "x=1,1,2:kernel=1:stride=2:ceil_mode", True),
        ("window_begins_beyond_input", "x=1,1,3:kernel=1:stride=2:ceil_mode", False),
        ("window_begins_beyond_input", "x=1,1,2:kernel=1:stride=2", False),
        ("window_ends_beyond_padding", "x=1,1,3:kernel=2:stride=2:ceil_mode", True),
        ("window_ends_beyond_padding", "x=1,1,4:kernel=2:stride=2:ceil_mode", False),
        ("window_ends_beyond_padding", "x=1,1,3:kernel=2:stride=2", False),
        ("padded_or_rounded_up", "x=1,1,3:kernel=2:stride=2:ceil_mode", True),
        ("padded_or_rounded_up", "x=1,1,3:kernel=2:padding=0/1", True),
        ("padded_or_rounded_up", "x=1,1,3:kernel=2", False),
        ("stride_beyond_kernel", "x=1,1,3:kernel=1:stride=2", True),
        ("stride_beyond_kernel", "x=1,1,3:kernel=2:stride=2", False),
        ("unit_kernel", "x=1,1,3:kernel=1:stride=2", True),
        ("not unit_kernel", "x=1,1,3:kernel=1:stride=2", False),
        ("unit_stride", "x=1,1,3:kernel=1:stride=2", False),
        ("unit_dilation", "x=1,1,3:kernel=1:stride=2", True),
        ("valid", "x=1,1,3:kernel=1", True),
        ("valid", "x=1,1,3:kernel=1:invalid=stride-zero", False),
        ("not valid", "x=1,1,3:kernel=1:invalid=stride-zero", True),
    ],
)
def test_conditions_on_windows(condition: str, window: str, expected: bool) -> None:
    case = Case.parse(f"max_pool1d:float32:{window}:integers@0")

    assert expected is conditions.holds(condition, case)


@pytest.mark.parametrize(
    ("condition", "call", "expected"),
    [
        ("one_channel_a_group", "conv1d:float32:x=1,2,3:w=4,1,3:groups=2", True),
        ("one_channel_a_group", "conv_transpose1d:float32:x=1,4,3:w=4,1,3:groups=2", False),
        ("depthwise", "conv1d:float32:x=1,2,3:w=2,1,3:groups=2", True),
        ("depthwise", "conv1d:float32:x=1,2,3:w=4,1,3:groups=2", False),
        ("depthwise", "conv_transpose1d:float32:x=1,2,3:w=2,1,3:groups=2", True),
        ("depthwise", "conv_transpose1d:float32:x=1,2,3:w=2,2,3:groups=2", False),
        ("unequal_last_kernel_sizes", "conv3d:float32:x=1,1,3,3,3:w=1,1,1,2,1", True),
        ("unequal_last_kernel_sizes", "conv3d:float32:x=1,1,3,3,3:w=1,1,1,2,2", False),
        ("unequal_last_kernel_sizes", "conv1d:float32:x=1,1,3:w=1,1,2", False),
        (
            "padding_beyond_dilated_kernel",
            "conv_transpose1d:float32:x=1,1,5:w=1,1,1:padding=2/2",
            True,
        ),
        (
            "padding_beyond_dilated_kernel",
            "conv_transpose1d:float32:x=1,1,5:w=1,1,1:padding=2/1",
            False,
        ),
        (
            "unit_kernel_with_output_beyond_padding",
            "conv_transpose1d:float32:x=1,1,1:w=1,1,1:padding=1/0:output_padding=1:dilation=2",
            True,
        ),
        (
            "unit_kernel_with_output_beyond_padding",
            "conv_transpose1d:float32:x=1,1,2:w=1,1,1:padding=1/1:output_padding=1:dilation=2",
            False,
        ),
    ],
)
def test_conditions_on_convolutions(condition: str, call: str, expected: bool) -> None:
    assert expected is conditions.holds(condition, Case.parse(f"{call}:integers@0"))


@pytest.mark.parametrize("operator", OPERATORS)
def test_any_case_may_be_asked_about(operator: str) -> None:
    cases = generate(operator, load(None).ranges, dims=2, count=20, seed_value=0)

    told = {conditions.holds(name, case) for name in conditions.CONDITIONS for case in cases}

    assert {True, False} >= told


@pytest.mark.parametrize("name", conditions.CONDITIONS)
def test_a_condition_is_part_of_a_sentence(name: str) -> None:
    text = conditions.text(name)

    assert text[:1].islower()
    assert not text.endswith(".")
    assert f"not: {text}" == conditions.text(f"not {name}")


# --- the engines' lists ---------------------------------------------------------------------------


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ENGINES)))
def test_every_entry_of_a_list_covers_its_own_case_and_tells_versions(path: Path) -> None:
    entries = [entry for known in read_known(path).values() for entry in known]

    assert [] == [entry.case for entry in entries if not entry.holds(Case.parse(entry.case))]
    assert [] == [entry.case for entry in entries if not entry.versions]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ENGINES)))
def test_a_list_names_what_there_is(path: Path) -> None:
    known = read_known(path)
    invalid = {
        name
        for entries in known.values()
        for entry in entries
        if isinstance(entry.where, dict)
        for name in (entry.where.get("invalid", ()),)
        for name in ((name,) if isinstance(name, str) else name)
    }

    assert set() == {*known} - {*implementations()}
    assert set() == {name.removesuffix("-all") for name in invalid} - {
        shorter for name in MISTAKES for shorter in (name, name.removesuffix("-all"))
    }


def test_every_list_is_one_that_its_implementations_name() -> None:
    listed = [one.known for one in implementations().values() if one.known]

    files = {known.path.resolve() for known in listed if isinstance(known, FromFile)}
    assert {path.resolve() for path in FILES} == files
    assert {name for path in FILES for name in read_known(path)} == {
        one.name for one in implementations().values() if one.known
    }
