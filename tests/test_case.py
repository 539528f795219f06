"""Cases: the case id, and what a valid case is."""

from __future__ import annotations

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance.case import MEMORY_LAYOUTS, RECIPES, SPECIAL_RECIPES, Case
from conformance.cases.ranges import Ranges
from conformance.cases.strategies import cases
from conformance.cases.validity import parse_valid, validate
from conformance.dtypes import FLOATS
from conformance.errors import CaseError
from conformance.operators import OPERATORS
from conformance.spec import load

CONV = Case(operator="conv", x=(2, 4, 5, 7), w=(6, 2, 3, 2), groups=2)
POOL = Case(operator="avg_pool", x=(1, 2, 9), kernel=(3,))
ID = "conv2d:float32:x=2,4,5,7:w=6,2,3,2:groups=2:integers@0"
ANY = Ranges(dtypes=FLOATS, data=RECIPES)

any_case = st.sampled_from(sorted(OPERATORS)).flatmap(lambda name: cases(name, ANY))
drawn = settings(max_examples=150, deadline=None)


def problem(text: str) -> str:
    """Return what is said of ``text``, which is no valid case id."""
    with pytest.raises(CaseError) as caught:
        parse_valid(text)
    return str(caught.value)


# --- the case id --------------------------------------------------------------------------------


@drawn
@given(any_case)
def test_an_id_reads_back_as_the_case(case: Case) -> None:
    assert Case.parse(case.id) == case


@drawn
@given(any_case)
def test_an_id_is_safe_in_a_shell(case: Case) -> None:
    """It needs no quotes, and stays on one line."""
    safe = set(string.ascii_letters + string.digits + "_:=,/@")

    assert set(case.id) <= safe


@pytest.mark.parametrize("suite", load().suites)
def test_ids_of_curated_cases_read_back(suite: str) -> None:
    curated = [entry.case for entry in load().suite(suite).cases]

    assert [Case.parse(case.id) for case in curated] == curated


def test_defaults_are_left_out_of_an_id() -> None:
    assert CONV.id == ID


def test_an_id_names_every_field_that_is_no_default() -> None:
    case = CONV.replace(
        dtype="float16",
        bias=True,
        stride=(2, 1),
        padding=((1, 0), (0, 2)),
        dilation=(1, 2),
        memory="reversed-w",
        data="normal",
        seed=17,
    )
    expected = (
        "conv2d:float16:x=2,4,5,7:w=6,2,3,2:bias:stride=2,1:padding=1/0,0/2:dilation=1,2:groups=2"
        ":memory=reversed-w:normal@17"
    )

    assert expected == case.id
    assert Case.parse(expected) == case


def test_a_pool_id_names_its_flags() -> None:
    case = POOL.replace(ceil_mode=True, count_include_pad=False)

    assert case.id == "avg_pool1d:float32:x=1,2,9:kernel=3:ceil_mode:exclude_pad:integers@0"


def test_a_transposed_id_names_output_padding() -> None:
    text = "conv_transpose1d:float64:x=1,1,2:w=1,1,2:stride=2:output_padding=1:integers@3"

    assert Case.parse(text).output_padding == (1,)
    assert Case.parse(text).id == text


def test_space_around_an_id_is_ignored() -> None:
    assert Case.parse(f"  {ID}\n") == CONV


@pytest.mark.parametrize("data", SPECIAL_RECIPES)
def test_special_data_reads_back(data: str) -> None:
    assert Case.parse(CONV.replace(data=data).id).data == data


@pytest.mark.parametrize("memory", MEMORY_LAYOUTS)
def test_memory_layouts_read_back(memory: str) -> None:
    assert Case.parse(CONV.replace(memory=memory).id).memory == memory


# --- ids that are none --------------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=80))
def test_any_other_text_is_refused_in_one_line(text: str) -> None:
    message = problem(text)

    assert message.isprintable()


@settings(max_examples=300, deadline=None)
@given(any_case, st.data())
def test_a_mangled_id_is_refused_in_one_line_or_is_another_valid_case(
    case: Case, data: st.DataObject
) -> None:
    """Never any exception but CaseError, whatever was lost, added or doubled."""
    text = case.id
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 8)))
    pieces = st.sampled_from(
        ["", "0", "-1", "9" * 30, ",", ":", "=", "/", "x=1", "bias", "٣", "\n"]
    )
    mangled = text[:start] + data.draw(pieces | st.text(max_size=3)) + text[end:]

    refusal = ""
    try:
        found = parse_valid(mangled)
    except CaseError as error:
        found, refusal = case, str(error)

    validate(found)
    assert Case.parse(found.id) == found
    assert refusal.isprintable()


@pytest.mark.parametrize("digits", ["9" * 5000, "-" + "9" * 5000])
@pytest.mark.parametrize("field", ["x=1,1,{}", "x=1,1,2:groups={}", "x=1,1,2:padding={}/0"])
def test_a_number_too_long_to_read_is_refused(field: str, digits: str) -> None:
    message = problem(f"conv1d:float32:{field.format(digits)}:w=1,1,1:integers@0")

    assert message.isprintable()


def test_a_seed_too_long_to_read_is_refused() -> None:
    assert problem(f"conv1d:float32:x=1,1,1:w=1,1,1:integers@{'9' * 5000}").isprintable()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "'' is not an operator with its dimensions"),
        ("conv4d:float32", "'conv4d' is not an operator with its dimensions"),
        ("conv2d", "the second field is the dtype; allowed: float32"),
        ("conv2d:float33:x=1", "the second field is the dtype"),
        (ID.replace("x=2,4,5,7:", ""), "x is missing"),
        (ID.replace(":integers@0", ""), "the data is missing"),
        (ID.replace("conv2d", "conv1d"), "x has 2 spatial axes where conv1d needs 1"),
        (ID.replace("w=6", "w=six"), "'w=six,2,3,2' cannot be read; write it like w=4,3,3,3"),
        (ID.replace("groups=2", "groups"), "'groups' cannot be read; write it like groups=2"),
        (ID.replace("groups=2", "padding=1,1"), "write it like padding=1/0,0/0"),
        (
            ID.replace("groups=2", "group=2"),
            "'group=2' is not a field; did you mean groups? allowed: x, w",
        ),
        (ID.replace("integers", "random"), "'random@0' is not a field"),
        (ID + ":normal@1", "'data' is given twice"),
        (ID + ":groups=2", "'groups' is given twice"),
    ],
)
def test_what_is_wrong_with_an_id_is_said(text: str, expected: str) -> None:
    assert expected in problem(text)


# --- valid cases --------------------------------------------------------------------------------


def test_parameters_left_out_are_filled_in() -> None:
    case = Case(operator="conv", x=(1, 1, 4, 4, 4), w=(1, 1, 1, 1, 1))

    assert (case.stride, case.dilation) == ((1, 1, 1), (1, 1, 1))
    assert case.padding == ((0, 0), (0, 0), (0, 0))
    assert case.output_padding == (0, 0, 0)


def test_parameters_are_those_of_the_operator() -> None:
    assert CONV.parameters == {
        "stride": (1, 1),
        "padding": ((0, 0), (0, 0)),
        "dilation": (1, 1),
        "groups": 2,
    }


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        (CONV.replace(operator="convolve"), "operator='convolve'"),
        (CONV.replace(x=(2, 4)), "x=(2, 4); allowed: (N, C, *S)"),
        (CONV.replace(x=(2, 0, 5, 7)), "only the batch may be 0"),
        (CONV.replace(x=(2, 4, 5, True)), "x=(2, 4, 5, True)"),
        (CONV.replace(x=(2, 4, 2, 7)), "axis 0"),
        (CONV.replace(x=(2, 6, 5, 7)), "matching x=(2, 6, 5, 7) and the groups"),
        (CONV.replace(x=(2, 5, 5, 7)), "groups=2; allowed: a divisor of the 5 input channels"),
        (CONV.replace(w=(5, 2, 3, 2)), "groups=2; allowed: a divisor of the 5 output channels"),
        (CONV.replace(w=None), "w=None"),
        (CONV.replace(kernel=(3, 3)), "kernel=(3, 3); allowed: left out"),
        (CONV.replace(stride=(0, 1)), "stride=(0, 1); allowed: 2 whole numbers, 1 or more"),
        (CONV.replace(stride=(1.0, 1)), "stride=(1.0, 1)"),
        (CONV.replace(dilation=(1,)), "dilation=(1,); allowed: 2 whole numbers"),
        (CONV.replace(groups=0), "groups=0"),
        (CONV.replace(padding=((0, -1), (0, 0))), "pairs (before, after)"),
        (CONV.replace(padding=(1, 1)), "pairs (before, after)"),
        (CONV.replace(bias=1), "bias=1; allowed: true or false"),
        (CONV.replace(output_padding=(1, 0)), "conv has no such parameter"),
        (CONV.replace(ceil_mode=True), "conv has no such parameter"),
        (CONV.replace(dtype="complex64"), "dtype='complex64'; allowed: one of float32"),
        (CONV.replace(data="random"), "data='random'; allowed: one of integers"),
        (CONV.replace(seed=-1), "seed=-1"),
        (CONV.replace(memory="reversed-y"), "memory='reversed-y'"),
        (CONV.replace(memory="shared-x"), "memory='shared-x'"),
        (POOL.replace(kernel=None), "kernel=None"),
        (POOL.replace(kernel=(10,)), "kernel=(10,)"),
        (POOL.replace(padding=((2, 0),)), "padding=((2, 0),); allowed: 0 to 1"),
        (POOL.replace(dilation=(2,)), "avg_pool has no such parameter"),
        (
            Case(operator="conv_transpose", x=(1, 1, 2), w=(1, 1, 2), output_padding=(1,)),
            "output_padding=(1,); allowed: 0 to 0 on axis 0",
        ),
        (
            Case(operator="conv_transpose", x=(1, 1, 2), w=(1, 1, 2), padding=((2, 1),)),
            "padding=((2, 1),); allowed: crops that leave an output on axis 0",
        ),
    ],
)
def test_an_invalid_case_is_refused_with_field_value_and_what_is_allowed(
    case: Case, expected: str
) -> None:
    with pytest.raises(CaseError) as caught:
        validate(case)

    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "case",
    [
        CONV.replace(x=(0, 4, 5, 7)),
        CONV.replace(padding=((9, 8), (7, 9))),
        Case(operator="conv", x=(1, 1, 1), w=(1, 1, 3), padding=((1, 1),)),
        POOL.replace(kernel=(4,), padding=((2, 2),)),
        Case(operator="conv_transpose", x=(1, 1, 2), w=(1, 1, 2), padding=((1, 1),)),
        Case(
            operator="conv_transpose", x=(1, 1, 2), w=(1, 1, 1), dilation=(3,), output_padding=(2,)
        ),
    ],
)
def test_calls_on_the_edge_of_what_is_valid_are_valid(case: Case) -> None:
    validate(case)
