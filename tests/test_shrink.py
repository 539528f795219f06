"""Shrinking: what is left of a failing case is what its failure needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance.case import Case
from conformance.cases.strategies import cases
from conformance.cases.validity import is_valid, validate
from conformance.operators import OPERATORS
from conformance.running import shrink as shrinking
from conformance.running.shrink import shrink

Predicate = Callable[[Case], bool]

LARGE = (
    "conv2d:float32:x=3,12,30,41:w=12,6,5,4:bias:stride=2,3:padding=3/1,2/0:dilation=3,4:groups=2"
    ":memory=reversed:normal@97",
    "conv2d:float64:x=5,8,33,29:w=16,2,3,5:bias:stride=3,2:padding=0/2,1/4:dilation=2,3:groups=4"
    ":memory=reversed:wide@12",
)


# --- planted failures and the one smallest case of each -------------------------------------------

PLANTED: dict[str, tuple[Predicate, str]] = {
    "any case": (lambda c: True, "x=1,1,1,1:w=1,1,1,1"),
    "dilation on the last axis": (
        lambda c: c.dilation[1] > 1,
        "x=1,1,1,1:w=1,1,1,1:dilation=1,2",
    ),
    "dilation that reaches another element": (
        lambda c: c.dilation[1] > 1 and c.window[1] > 1,
        "x=1,1,1,3:w=1,1,1,2:dilation=1,2",
    ),
    "asymmetric padding": (
        lambda c: c.padding[0][0] > c.padding[0][1],
        "x=1,1,1,1:w=1,1,1,1:padding=1/0,0/0",
    ),
    "groups of two channels in": (
        lambda c: c.groups >= 2 and c.w is not None and c.w[1] >= 2,
        "x=1,4,1,1:w=2,2,1,1:groups=2",
    ),
    "groups of two channels in and out": (
        lambda c: c.groups >= 2 and c.w is not None and c.w[1] >= 2 and c.w[0] // c.groups >= 2,
        "x=1,4,1,1:w=4,2,1,1:groups=2",
    ),
    "two channels in and out": (
        lambda c: c.x[1] >= 2 and c.w is not None and c.w[0] >= 2,
        "x=1,2,1,1:w=2,2,1,1",
    ),
    "batch": (lambda c: c.x[0] >= 2, "x=2,1,1,1:w=1,1,1,1"),
    "kernel taller than wide": (
        lambda c: c.window[0] > c.window[1],
        "x=1,1,2,1:w=1,1,2,1",
    ),
    "kernel of three rows": (lambda c: c.window[0] >= 3, "x=1,1,3,1:w=1,1,3,1"),
    "bias and stride together": (
        lambda c: c.bias and c.stride != (1, 1),
        "x=1,1,1,1:w=1,1,1,1:bias:stride=1,2",
    ),
    "memory layout": (
        lambda c: c.memory == "reversed",
        "x=1,1,1,1:w=1,1,1,1:memory=reversed",
    ),
    "two rows of output": (
        lambda c: OPERATORS["conv"].output_shape(c)[2] >= 2,
        "x=1,1,2,1:w=1,1,1,1",
    ),
    "nine channels out": (
        lambda c: c.w is not None and c.w[0] >= 9,
        "x=1,1,1,1:w=9,1,1,1",
    ),
}


@pytest.mark.parametrize("start", LARGE)
@pytest.mark.parametrize("planted", PLANTED)
def test_a_planted_failure_shrinks_to_its_smallest_case(planted: str, start: str) -> None:
    fails, smallest = PLANTED[planted]
    case = Case.parse(start)
    case = case if fails(case) else Case.parse(LARGE[0])

    found = shrink(case, fails, seconds=60)

    assert f"conv2d:{case.dtype}:{smallest}:integers@0" == found.id


def test_an_invalid_case_keeps_its_mistake() -> None:
    case = Case.parse(LARGE[0]).replace(memory="contiguous", invalid="stride-zero")

    found = shrink(case, lambda c: c.invalid == "stride-zero", seconds=60)

    assert "conv2d:float32:x=1,1,1,1:w=1,1,1,1:invalid=stride-zero:integers@0" == found.id


def test_the_data_becomes_the_most_readable() -> None:
    case = Case.parse("conv1d:float32:x=1,1,3:w=1,1,1:wide@5")

    assert "impulse" == shrink(case, lambda c: c.data != "integers").data


def test_special_data_stays_where_it_is_needed() -> None:
    case = Case.parse("conv1d:float32:x=2,3,9:w=2,3,3:nan@5")

    assert "conv1d:float32:x=1,1,1:w=1,1,1:nan@0" == shrink(case, lambda c: c.data == "nan").id


def test_another_seed_is_tried_where_the_old_one_hides_the_failure() -> None:
    case = Case.parse("conv1d:float32:x=1,1,64:w=1,1,1:integers@40")

    found = shrink(case, lambda c: c.seed == (2 if c.x[2] < 64 else 40))

    assert "conv1d:float32:x=1,1,1:w=1,1,1:integers@2" == found.id


def test_a_pool_keeps_what_its_failure_needs() -> None:
    case = Case.parse(
        "max_pool2d:float32:x=3,9,20,17:kernel=5,4:stride=2,3:padding=2/1,1/2:dilation=2,1"
        ":ceil_mode:normal@7"
    )

    found = shrink(case, lambda c: c.ceil_mode and c.padding[0][0] > 0, seconds=60)

    assert (
        "max_pool2d:float32:x=1,1,1,1:kernel=2,1:padding=1/0,0/0:ceil_mode:integers@0" == found.id
    )


def test_only_valid_cases_are_asked_about() -> None:
    def fails(case: Case) -> bool:
        validate(case)
        return case.window[0] >= 2

    shrink(Case.parse(LARGE[0]), fails, seconds=60)


def test_no_case_is_asked_about_twice() -> None:
    asked: list[Case] = []

    def fails(case: Case) -> bool:
        asked.append(case)
        return case.bias

    shrink(Case.parse(LARGE[0]), fails, seconds=60)

    assert len(set(asked)) == len(asked)


# --- time -----------------------------------------------------------------------------------------


class Clock:
    """A clock that goes one second forward whenever it is read."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        self.now += 1.0
        return self.now


def test_shrinking_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shrinking, "time", Clock())
    asked: list[Case] = []

    shrink(Case.parse(LARGE[0]), lambda c: not asked.append(c), seconds=5)

    assert 5 >= len(asked)


def test_what_was_reached_in_time_still_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shrinking, "time", Clock())

    found = shrink(Case.parse(LARGE[0]), lambda c: c.dilation[1] > 1, seconds=9)

    assert found.dilation[1] > 1
    assert LARGE[0] != found.id


# --- the smallest case, by its definition ---------------------------------------------------------

DEFAULTS: dict[str, Callable[[int], Any]] = {
    "bias": lambda dims: False,
    "stride": lambda dims: (1,) * dims,
    "padding": lambda dims: ((0, 0),) * dims,
    "output_padding": lambda dims: (0,) * dims,
    "dilation": lambda dims: (1,) * dims,
    "ceil_mode": lambda dims: False,
    "count_include_pad": lambda dims: True,
    "memory": lambda dims: "contiguous",
}


def one_less(values: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return (*values[:axis], values[axis] - 1, *values[axis + 1 :])


def resized(case: Case, groups: int, inner: int, outer: int) -> Case:
    """Return ``case`` with other numbers of groups, and of channels of a group."""
    assert case.w is not None
    n, _, *spatial = case.x
    if case.operator == "conv_transpose":
        w = (groups * inner, outer, *case.window)
    else:
        w = (groups * outer, inner, *case.window)
    return case.replace(x=(n, groups * inner, *spatial), w=w, groups=groups)


def one_step_smaller(case: Case) -> Iterator[Case]:
    """Yield the cases with one parameter at its default, or one axis one smaller."""
    for name, default in DEFAULTS.items():
        if getattr(case, name) != default(case.dims):
            yield case.replace(**{name: default(case.dims)})
    if case.x[0] > 1:  # an empty batch is a boundary of its own, no smaller case
        yield case.replace(x=one_less(case.x, 0))
    for axis in range(2, len(case.x)):
        yield case.replace(x=one_less(case.x, axis))
    if case.w is None:
        yield case.replace(x=one_less(case.x, 1))
        for axis in range(len(case.kernel or ())):
            yield case.replace(kernel=one_less(case.window, axis))
        return
    for axis in range(case.dims):
        yield case.replace(w=(*case.w[:2], *one_less(case.window, axis)))
    transposed = case.operator == "conv_transpose"
    inner, outer = case.w[1], case.w[0] // case.groups
    if transposed:
        inner, outer = case.w[0] // case.groups, case.w[1]
    yield resized(case, case.groups, inner - 1, outer)
    yield resized(case, case.groups, inner, outer - 1)
    if case.groups > 1:
        yield resized(case, 1, inner * case.groups, outer * case.groups)
        yield resized(case, case.groups - 1, inner, outer)


FEATURES: dict[str, Predicate] = {
    "bias": lambda c: c.bias,
    "groups": lambda c: c.groups > 1,
    "three groups": lambda c: c.groups > 2,
    "channels in": lambda c: c.x[1] > 1,
    "four channels in": lambda c: c.x[1] >= 4,
    "channels out": lambda c: c.w is not None and max(c.w[:2]) > 1,
    "batch": lambda c: c.x[0] > 1,
    "no batch": lambda c: c.x[0] == 0,
    "stride": lambda c: max(c.stride) > 1,
    "first stride": lambda c: c.stride[0] > 2,
    "dilation": lambda c: max(c.dilation) > 1,
    "padding": lambda c: c.padding != ((0, 0),) * c.dims,
    "asymmetric": lambda c: any(before != after for before, after in c.padding),
    "more after": lambda c: any(before < after for before, after in c.padding),
    "kernel": lambda c: bool(c.window) and max(c.window) > 1,
    "even kernel": lambda c: any(size % 2 == 0 for size in c.window),
    "large kernel": lambda c: any(k > s for k, s in zip(c.window, c.x[2:], strict=False)),
    "odd size": lambda c: c.x[-1] % 2 == 1,
    "long": lambda c: c.x[-1] > 4,
    "output": lambda c: OPERATORS[c.operator].output_shape(c)[-1] > 1,
    "equal outputs": lambda c: len(set(OPERATORS[c.operator].output_shape(c)[2:])) == 1,
    "output padding": lambda c: max(c.output_padding) > 0,
    "ceil mode": lambda c: c.ceil_mode,
    "exclude pad": lambda c: not c.count_include_pad,
    "data": lambda c: c.data in ("normal", "wide"),
    "memory": lambda c: c.memory != "contiguous",
}


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_nothing_of_a_smallest_case_can_be_left_out(data: st.DataObject) -> None:
    operator = data.draw(st.sampled_from([name for name in OPERATORS if name != "conv_bias_grad"]))
    case = data.draw(cases(operator))
    case = case.replace(memory=data.draw(st.sampled_from(("contiguous", "strided"))))
    there = [name for name, holds in FEATURES.items() if holds(case)]
    wanted = data.draw(st.lists(st.sampled_from(there or ["batch"]), max_size=4, unique=True))
    either = data.draw(st.booleans()) and bool(wanted)

    def fails(one: Case) -> bool:
        found = [FEATURES[name](one) for name in wanted]
        return any(found) if either else all(found)

    if not fails(case):
        return
    smallest = shrink(case, fails, seconds=60)

    assert [] == [
        smaller.id for smaller in one_step_smaller(smallest) if is_valid(smaller) and fails(smaller)
    ]
