"""Implementations that support little are judged on as much, and with cases of their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conformance import ConformanceError, Run, Unsupported, only, run
from conformance.case import Case
from conformance.cases.only import Only
from conformance.cases.ranges import Ranges
from conformance.cases.steering import Steering
from conformance.cases.strategies import generate
from conformance.cases.validity import is_valid
from conformance.checks.repeat import judge_short_histories
from conformance.isolation.remote_plugins import Supports
from conformance.judging import Prepared
from conformance.operators import OPERATORS
from conformance.registration.implementation import Implementation
from conformance.registration.registry import get
from conformance.runfile.reading import read
from conformance.runfile.tables import Gap
from conformance.runfile.words import CONFORMS, VIOLATES
from conformance.running.budget import Budget
from conformance.running.supported import Accepting, for_cell
from tests.defects import Function, unregistered
from tests.defects.witness import CORRECT

TUTORIAL = only(dims=2, same_on_every_axis=True, groups=False, padding="symmetric")
POOL_2X2 = only(dims=2, kernel=2, stride="kernel", padding=False, dilation=False, ceil_mode=False)
SQUARE = only(dims=2, groups=False, padding="symmetric")


def one_value(values: Any) -> bool:
    return len({*values}) <= 1


def tutorial(case: Case) -> bool:
    """Support what `TUTORIAL` does, as people write it."""
    return (
        case.dims == 2
        and case.groups == 1
        and one_value(case.stride)
        and one_value(case.dilation)
        and one_value(case.output_padding)
        and one_value(pad for pair in case.padding for pad in pair)
        and one_value(case.kernel or ())
    )


def raising(function: Function) -> Function:
    """Return a kernel that says where it is called what `tutorial` says in advance."""

    def wrapped(*arguments: Any, **call: Any) -> Any:
        padding = [pad for pair in call.get("padding", ()) for pad in np.atleast_1d(pair)]
        values = [call.get(name, ()) for name in ("stride", "dilation", "output_padding", "kernel")]
        several = any(len({*np.atleast_1d(value)}) > 1 for value in (*values, padding))
        if several or call.get("groups", 1) not in (1, None):
            raise Unsupported("one value for every axis, and no groups")
        return function(*arguments, **call)

    return wrapped


def limited(function: Function, operator: str, supports: Any = TUTORIAL) -> Implementation:
    return unregistered(
        "limited", {operator: function}, {"dtypes": "float32", "supports": supports}
    )


Judge = Callable[..., Run]


@pytest.fixture
def judge(tmp_path: Path) -> Judge:
    def judged(implementation: Implementation, **chosen: Any) -> Run:
        options: dict[str, Any] = {"dims": [2], "dtypes": ["float32"], "suites": [], "seconds": 1.0}
        return run([implementation], **options | chosen, output=tmp_path / "run")

    return judged


# --- defects --------------------------------------------------------------------------------------


def wrong(
    operator: str, when: Callable[..., Any], change: Callable[..., Any] = lambda out, *_: out + 1
) -> Function:
    """Return a kernel whose result is changed for some calls."""

    def function(*arguments: Any, **call: Any) -> Any:
        out = CORRECT[operator](*arguments, **call)
        return change(out, *arguments) if out.size and when(arguments, call) else out

    return function


def padding_of_the_first_axis(grad: Any, shape: Any, **call: Any) -> Any:
    """Find the window of each position with the first axis's padding on every axis."""
    first = call["padding"][0]
    size = tuple(s + sum(p) - sum(first) for s, p in zip(shape[2:], call["padding"], strict=True))
    if call["padding"] == (first,) * len(size) or min(size) < 1:
        return CORRECT["avg_pool_grad"](grad, shape, **call)
    moved = CORRECT["avg_pool_grad"](
        grad, (*shape[:2], *size), **call | {"padding": (first,) * len(size)}
    )
    out = np.zeros(shape, grad.dtype)
    common = (..., *(slice(min(a, b)) for a, b in zip(size, shape[2:], strict=True)))
    out[common] = moved[common]
    return out


def unpadded_but_dilated(arguments: Any, call: dict[str, Any]) -> bool:
    return max(call["dilation"]) > 1 and not np.any(call["padding"])


def in_a_window_of_one(arguments: Any, call: dict[str, Any]) -> bool:
    return max(call["kernel"]) == 1


def always(arguments: Any, call: dict[str, Any]) -> bool:
    return True


def without_nan(out: Any, *_: Any) -> Any:
    return np.nan_to_num(out, nan=0.0, posinf=np.inf, neginf=-np.inf)


def lowest_finite(out: Any, *_: Any) -> Any:
    return np.maximum(out, np.finfo(out.dtype).min)


def to_every_maximum(grad: Any, x: Any, **call: Any) -> Any:
    """Give the gradient of a window to each of its maxima, in windows that lie side by side."""
    if call["kernel"] != (2, 2) or call["stride"] != (2, 2):
        raise Unsupported("2x2, stride 2")
    rows, columns = (2 * n for n in grad.shape[2:])
    out, spread = np.zeros_like(x), grad.repeat(2, 2).repeat(2, 3)
    inner = x[:, :, :rows, :columns]
    blocks = inner.reshape(*grad.shape[:3], 2, grad.shape[3], 2)
    largest = blocks.max((3, 5)).repeat(2, 2).repeat(2, 3)
    out[:, :, :rows, :columns] = np.where(inner == largest, spread, 0)
    return np.where(np.isnan(x).any(), CORRECT["max_pool_grad"](grad, x, **call), out)


class ByShape:
    """A convolution that remembers weights by their shape."""

    def __init__(self) -> None:
        self.kept: dict[Any, Any] = {}

    def __call__(self, x: Any, w: Any, bias: Any, **call: Any) -> Any:
        key = (w.shape, str(w.dtype))
        return CORRECT["conv"](x, self.kept.setdefault(key, w.copy()), bias, **call)


class ByData:
    """A convolution that remembers its results by the data alone."""

    def __init__(self) -> None:
        self.kept: dict[Any, Any] = {}

    def __call__(self, x: Any, w: Any, bias: Any, **call: Any) -> Any:
        out = CORRECT["conv"](x, w, bias, **call)
        key = tuple((a.shape, a.tobytes()) for a in (x, w, bias) if a is not None)
        return self.kept.setdefault(key, out).copy()


def negative_padding_accepted(x: Any, w: Any, bias: Any, **call: Any) -> Any:
    try:
        return CORRECT["conv"](x, w, bias, **call)
    except Exception:
        if np.ndim(call["padding"]) == 2 and np.min(call["padding"]) < 0:
            return x
        raise


DEFECTS: dict[str, tuple[str, Function, Any]] = {
    "an input gradient with dilation and no padding": (
        "conv_input_grad",
        wrong("conv_input_grad", unpadded_but_dilated),
        TUTORIAL,
    ),
    "NaN in a 1x1 average": (
        "avg_pool",
        wrong("avg_pool", in_a_window_of_one, without_nan),
        TUTORIAL,
    ),
    "unequal padding on two axes of an average's gradient": (
        "avg_pool_grad",
        padding_of_the_first_axis,
        SQUARE,
    ),
    "the lowest finite number for -inf": (
        "max_pool",
        wrong("max_pool", always, lowest_finite),
        POOL_2X2,
    ),
    "tied maxima of a 2x2 stride 2 pool": ("max_pool_grad", to_every_maximum, POOL_2X2),
    "a weight gradient with stride and dilation": (
        "conv_weight_grad",
        wrong(
            "conv_weight_grad",
            lambda arguments, call: min(*call["stride"], *call["dilation"]) > 1,
        ),
        TUTORIAL,
    ),
    "padding and stride without dilation": (
        "conv",
        wrong(
            "conv",
            lambda arguments, call: (
                np.any(call["padding"]) and min(call["stride"]) > 1 and max(call["dilation"]) == 1
            ),
        ),
        TUTORIAL,
    ),
    "an output padding": (
        "conv_transpose",
        wrong("conv_transpose", lambda arguments, call: np.any(call["output_padding"])),
        TUTORIAL,
    ),
    "reversed arrays": (
        "conv",
        wrong("conv", lambda arguments, call: arguments[1].strides[-1] < 0),
        TUTORIAL,
    ),
    "an average that leaves out padding": (
        "avg_pool",
        wrong(
            "avg_pool",
            lambda arguments, call: np.any(call["padding"]) and not call["count_include_pad"],
        ),
        TUTORIAL,
    ),
    "infinities in a 1x1 maximum": (
        "max_pool",
        wrong("max_pool", in_a_window_of_one, lowest_finite),
        TUTORIAL,
    ),
    "weights remembered by shape": ("conv", ByShape(), TUTORIAL),
    "results remembered by data": ("conv", ByData(), TUTORIAL),
    "negative padding accepted": ("conv", negative_padding_accepted, TUTORIAL),
}


@pytest.mark.parametrize("name", DEFECTS)
def test_a_defect_of_an_implementation_that_supports_little_is_found(
    judge: Judge, name: str
) -> None:
    operator, function, supports = DEFECTS[name]
    found = judge(limited(function, operator, supports), operators=[operator], exitfirst=True)

    assert {"limited": VIOLATES} == found.verdicts


@pytest.mark.parametrize(
    "name", [name for name, (_, _, supports) in DEFECTS.items() if supports is TUTORIAL][:3]
)
def test_a_defect_is_found_whatever_form_the_declaration_has(judge: Judge, name: str) -> None:
    operator, function, _ = DEFECTS[name]
    for form in (limited(function, operator, tutorial), limited(raising(function), operator, None)):
        assert {"limited": VIOLATES} == judge(form, operators=[operator], exitfirst=True).verdicts


def test_a_history_is_shown_again_by_the_case_that_is_reported(judge: Judge) -> None:
    one = limited(ByData(), "conv", tutorial)
    found = judge(one, operators=["conv"])
    (cell,) = found.cells
    histories = [v for v in cell.violations if v.requirement == "REPEAT-2"]

    assert histories
    for violation in histories:
        again = unregistered(
            "again", {"conv": ByData()}, {"dtypes": "float32", "supports": tutorial}
        )
        assert judge_short_histories(again, Prepared.of(violation.case)) is not None


# --- correct implementations ----------------------------------------------------------------------


@pytest.mark.parametrize("operator", OPERATORS)
def test_a_correct_implementation_that_supports_little_is_compared_on_300_cases(
    judge: Judge, operator: str
) -> None:
    (cell,) = judge(limited(CORRECT[operator], operator), operators=[operator]).cells

    assert CONFORMS == cell.verdict
    assert cell.compared >= 300


@pytest.mark.parametrize("operator", ["conv", "max_pool_grad"])
@pytest.mark.parametrize("form", ["asked", "raising"])
def test_what_is_supported_is_found_out_where_it_is_not_data(
    judge: Judge, operator: str, form: str
) -> None:
    kernel = CORRECT[operator]
    one = limited(kernel, operator, tutorial)
    if form == "raising":
        one = limited(raising(kernel), operator, None)
    (cell,) = judge(one, operators=[operator]).cells

    assert CONFORMS == cell.verdict
    assert cell.compared >= 300


def test_a_pool_of_2x2_and_stride_2_gets_its_ties(judge: Judge) -> None:
    one = limited(CORRECT["max_pool_grad"], "max_pool_grad", POOL_2X2)
    (cell,) = judge(one, operators=["max_pool_grad"]).cells
    (tie,) = [probe for probe in cell.conventions if probe.convention == "tie"]

    assert CONFORMS == cell.verdict
    assert ("first", True) == (tie.followed, tie.agrees)
    assert tie.case is not None
    assert (2, 2) == tie.case.kernel == tie.case.stride


def test_no_invalid_groups_are_asked_of_an_implementation_without_groups(
    judge: Judge, tmp_path: Path
) -> None:
    def conv(x: Any, w: Any, bias: Any, *, groups: Any, **call: Any) -> Any:
        return CORRECT["conv"](x, w, bias, groups=1, **call)  # whatever groups is

    found = judge(limited(conv, "conv", lambda case: case.groups == 1), operators=["conv"])
    reasons = [gap.reason for gap in read(found.path).rows(Gap)]

    assert CONFORMS == found.verdicts["limited"]
    assert any("supports no groups" in reason for reason in reasons)
    (cell,) = found.cells
    assert cell.asked["invalid calls"] > 50


def test_an_implementation_that_supports_everything_has_no_cases_of_its_own() -> None:
    cases = drawn("conv")
    free = unregistered("free", {"conv": CORRECT["conv"]}, {"dtypes": "float32"})
    willing = limited(CORRECT["conv"], "conv", lambda case: True)

    assert (free, []) == for_cell(free, cases, cached=False)
    assert [] == for_cell(willing, cases, cached=False)[1]


def test_the_same_cases_are_made_again() -> None:
    cases = drawn("conv")
    first, again = (
        for_cell(limited(CORRECT["conv"], "conv", tutorial), cases, cached=cached)[1]
        for cached in (False, True)
    )

    assert [p.case for p in first] == [p.case for p in again]
    assert not {p.case for p in first} & {*cases}


# --- predicates that are data ---------------------------------------------------------------------


def drawn(operator: str) -> list[Case]:
    ranges = Ranges(dtypes=("float32",))
    return list(generate(operator, ranges, dims=2, count=150, seed_value=0))


EVERY_ONLY = [
    TUTORIAL,
    POOL_2X2,
    SQUARE,
    only(),
    only(square=True, kernel=(1, 3, 5), memory="contiguous", empty_batch=False),
    only(stride=(1, 2), dilation=False, padding="none", bias=False, batch=1),
    only(groups="depthwise", bias=True, output_padding=False, count_include_pad=False),
]


@pytest.mark.parametrize("supports", EVERY_ONLY, ids=range(len(EVERY_ONLY)))
@pytest.mark.parametrize("operator", OPERATORS)
def test_only_turns_every_case_into_one_that_it_supports(operator: str, supports: Only) -> None:
    for case in drawn(operator):
        changed = supports.steer(case)

        assert changed is not None
        assert is_valid(changed)
        assert supports(changed) is True
        if supports(case) is True:
            assert case == changed


def test_only_says_why_it_declines() -> None:
    case = Case.parse("conv2d:float32:x=1,4,9,9:w=4,2,3,3:stride=2,1:groups=2:integers@0")

    assert "only one stride for every axis" == TUTORIAL(case)
    assert "no groups" == TUTORIAL(case.replace(stride=(2, 2)))
    assert "only 1 or 3 spatial dimensions" == only(dims=(1, 3))(case)
    assert None is only(dims=1).steer(case)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"dims": 0}, "only(dims=0); whole numbers, 1 or more"),
        ({"stride": "two"}, "only(stride='two'); whole numbers, 1 or more"),
        ({"padding": "same"}, "only(padding='same'); allowed: 'any', 'symmetric', 'none'"),
        ({"groups": 2}, "only(groups=2); allowed: True, False, 'depthwise'"),
        ({"memory": "sideways"}, "only(memory='sideways'); allowed: 'contiguous', "),
    ],
)
def test_a_wrong_argument_of_only_is_named(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ConformanceError) as raised:
        only(**wrong)

    assert str(raised.value).startswith(message)


def test_only_stays_data_where_a_worker_loads_the_plugin(
    tmp_path: Path, empty_registry: None
) -> None:
    plugin = tmp_path / "plugin.py"
    plugin.write_text(
        "from conformance import implementation, only\n"
        "from tests.defects import kernels\n"
        "@implementation('in-a-worker', dtypes='float32', supports=only(dims=2, groups=False))\n"
        "def conv(x, w, bias, **call):\n"
        "    return kernels.conv(x, w, bias, **call)\n"
    )
    (cell,) = run(
        plugins=[plugin], operators=["conv"], dims=[2], dtypes=["float32"], output=tmp_path / "run"
    ).cells

    assert only(dims=2, groups=False) == get("in-a-worker").supports
    assert not isinstance(get("in-a-worker").supports, Supports)
    assert CONFORMS == cell.verdict
    assert cell.compared >= 300


def test_steering_keeps_what_a_condition_between_parameters_allows() -> None:
    def dilated_without_stride(case: Case) -> bool:
        return case.groups == 1 and (max(case.dilation) == 1 or max(case.stride) == 1)

    cases = drawn("conv")
    steering = Steering(dilated_without_stride, cases)
    steered = [changed for case in cases if (changed := steering(case)) is not None]

    assert len(cases) == len(steered)
    assert all(map(dilated_without_stride, steered))
    assert any(max(case.dilation) > 1 for case in steered)
    assert any(max(case.stride) > 1 for case in steered)


def test_nothing_is_steered_where_nothing_is_supported() -> None:
    cases = drawn("conv")

    assert None is Steering(lambda case: False, cases)(cases[0])
    assert [] == [Prepared.of(c) for c in cases if Steering(lambda case: False, [])(c) is not None]


def test_a_large_case_is_not_called_only_to_ask() -> None:
    called: list[tuple[int, ...]] = []

    def conv(x: Any, w: Any, bias: Any, **parameters: Any) -> Any:
        called.append(x.shape)
        raise Unsupported("nothing")

    implementation = unregistered("declines", {"conv": conv}, {})
    budget = Budget(implementation, 60.0, 60.0)
    accepting = Accepting(implementation, {}, budget)
    small = Case.parse("conv1d:float32:x=1,1,8:w=1,1,3:integers@0")
    large = Case.parse("conv3d:float32:x=1,2,256,256,256:w=2,2,2,2,2:integers@0")

    assert not accepting(small)
    assert accepting(large)
    assert {small.x} == {*called}


def test_its_own_cases_are_those_of_the_checks_that_are_made(judge: Judge) -> None:
    """A NaN that is lost violates nothing that is asked, and is no error of what conforms."""

    def max_pool(x: Any, **call: Any) -> Any:
        if any(map(any, call["padding"])) or max(call["dilation"]) > 1 or call["ceil_mode"]:
            raise Unsupported("no such call")
        return CORRECT["max_pool"](np.nan_to_num(x), **call)

    one = unregistered("nanless", {"max_pool": max_pool}, {"dtypes": "float32"})
    (cell,) = judge(one, operators=["max_pool"], checks=["result"]).cells

    assert (CONFORMS, 0.0) == (cell.verdict, cell.worst)
    assert {"NaN", "infinities"}.isdisjoint(cell.asked)
