"""Engines that compile for each shape: few shapes, with every class of cases and many features.

What is chosen must follow from the declarations, so that two runs judge the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from conformance import Run, Unsupported, run
from conformance.case import Case
from conformance.cases.ranges import Ranges
from conformance.isolation.dispatch import close_all
from conformance.judging import Prepared
from conformance.registration.implementation import Implementation
from conformance.registration.options import Offer, Option, Variant
from conformance.reports import load
from conformance.reports.headline import not_asked
from conformance.runfile import asked
from conformance.runfile.words import CONFORMS
from conformance.running import affordable
from conformance.running.budget import Budget, shape_of
from conformance.running.cell import class_of
from tests.defects import kernels, unregistered

KERNELS = {"conv": kernels.conv, "max_pool": kernels.max_pool}


def compiling(seconds: float, **declared: Any) -> Implementation:
    own = {"dtypes": "float32", "shape_seconds": seconds} | declared
    return unregistered("compiling", {"conv": kernels.conv}, own)


def prepared(*texts: str) -> list[Prepared]:
    return [Prepared.of(Case.parse(text)) for text in texts]


def of_widths(*widths: int, more: str = "integers@1") -> list[Prepared]:
    return prepared(*(f"conv1d:float32:x=1,1,{n}:w=1,1,2:{more}" for n in widths))


def shapes(cases: Sequence[Prepared] | Sequence[Case]) -> set[Any]:
    return {shape_of(one.case if isinstance(one, Prepared) else one) for one in cases}


@pytest.fixture
def judged(tmp_path: Path) -> Any:
    def judge(*implementations: Implementation, **chosen: Any) -> Run:
        close_all()
        few: dict[str, Any] = {"operators": ["conv"], "dims": [1], "dtypes": ["float32"]}
        few["examples"] = 100
        return run(implementations, **few | chosen, output=tmp_path / "run")

    return judge


def test_a_cell_has_every_class_in_the_shapes_that_are_chosen(judged: Any) -> None:
    found = judged(compiling(0.2))
    (cell,) = found.cells

    assert (CONFORMS, False) == (cell.verdict, cell.stopped)
    assert {"reversed arrays", "crops along every axis", "NaN", "invalid calls"} < {*cell.asked}
    assert all(cell.asked[name] for name, (due, _) in cell.paid_for.items() if due)
    assert cell.reached < cell.planned / 2


def test_two_runs_judge_the_same_cases(judged: Any) -> None:
    first, second = (judged(compiling(0.2)).cells[0] for _ in range(2))

    assert (first.asked, first.reached) == (second.asked, second.reached)


def test_an_engine_that_declines_many_shapes_is_judged_on_others(judged: Any) -> None:
    def conv(x: Any, w: Any, bias: Any, **parameters: Any) -> Any:
        if max(parameters["stride"]) > 1 or parameters["groups"] > 1:
            raise Unsupported("no stride and no groups")
        return kernels.conv(x, w, bias, **parameters)

    declared = {"dtypes": "float32", "shape_seconds": 0.5}
    (cell,) = judged(unregistered("compiling", {"conv": conv}, declared)).cells

    assert CONFORMS == cell.verdict
    assert affordable.LEAST_SHAPES <= cell.asked["ordinary calls"]


def test_a_report_says_how_few_cases_that_were_and_which_spaces_were_not_judged(
    judged: Any,
) -> None:
    report = load(judged(compiling(0.5)).path)

    assert report.implementations[0].note.startswith("compiles for each shape, about 0.5 s: judged")
    assert asked.GEOMETRIES in not_asked(report)


def test_all_cases_are_judged_where_the_budget_pays_for_all_shapes() -> None:
    cases = of_widths(*range(2, 30))

    assert affordable.of_cell(compiling(0.1), cases, 6.0, Ranges()) is None
    assert affordable.of_cell(compiling(0.0), cases, 0.0, Ranges()) is None
    assert affordable.of_cell(compiling(0.1), cases, 4.0, Ranges()) is not None


def test_features_that_few_cases_have_are_chosen_first() -> None:
    plain = of_widths(*range(5, 40))
    strided = prepared("conv1d:float32:x=1,1,9:w=1,1,2:stride=2:integers@1")
    padded = prepared("conv1d:float32:x=1,2,9:w=2,1,2:padding=1/0:groups=2:integers@1")
    choice = affordable.of_cell(compiling(1.0), [*plain, *strided, *padded], 0.1, Ranges())

    assert choice is not None
    assert shapes(strided) | shapes(padded) < shapes([*choice.chosen])


def test_a_further_class_is_met_in_a_shape_that_is_chosen() -> None:
    odd = "conv1d:float32:x=1,3,5:w=2,3,2:memory=reversed-x:integers@3"
    cases = [*of_widths(*range(5, 40)), *prepared(odd)]
    choice = affordable.of_cell(compiling(1.0), cases, 0.1, Ranges())

    assert choice is not None
    met = [case for case in (*choice.chosen, *choice.further) if class_of(case) != "ordinary calls"]
    assert ["reversed arrays"] == [class_of(case) for case in met]
    assert shapes(choice.further) <= shapes([*choice.chosen])


def test_invalid_calls_cost_what_a_call_does() -> None:
    invalid = of_widths(*range(40, 60), more="invalid=stride-zero:integers@0")
    one = compiling(1.0, call_seconds=0.5)
    budget = Budget(one, 10.1, 1e6)

    assert affordable.cost(one, [p.case for p in invalid]) == pytest.approx(10.0, abs=0.1)
    assert all(budget.affords_case(p.case) for p in invalid)


def test_invalid_calls_cost_no_shape() -> None:
    invalid = of_widths(*range(40, 60), more="invalid=stride-zero:integers@0")
    choice = affordable.of_cell(compiling(1.0), [*of_widths(*range(5, 40)), *invalid], 0, Ranges())

    assert choice is not None
    assert {p.case for p in invalid} < choice.chosen


@pytest.mark.parametrize(
    ("seconds", "judged_of_all"), [(0.0, 20), (0.1, 9), (0.4, affordable.LEAST_OF_SPACE), (0.8, 0)]
)
def test_of_a_space_the_first_cases_are_judged_or_none(seconds: float, judged_of_all: int) -> None:
    cases = of_widths(*range(5, 25))

    assert judged_of_all == affordable.of_space(compiling(seconds), cases, 1.0, 3.0)


def test_a_variant_has_the_operators_alone_that_its_options_change() -> None:
    def register(implementation: Implementation) -> None:
        for operator, function in KERNELS.items():
            implementation.register(operator, function)

    base = unregistered("engine", KERNELS, {"dtypes": "float32"})
    option = Option("fast", "Whether it is.", ("on", "off"), "off", "on")
    offer = Offer(base, (option,), lambda chosen: Variant(register, changes=("conv",)), __name__)

    assert ["conv"] == [*offer.variant("engine[fast]", {"fast": "on"}).functions]


@pytest.mark.parametrize(
    ("variant", "left_out"),
    [
        ("openvino[bfloat16]", {"max_pool", "avg_pool"}),
        ("torch[mkldnn=off]", {"max_pool", "avg_pool", "max_pool_grad", "avg_pool_grad"}),
        ("jax[jit]", {"max_pool"}),
    ],
)
def test_the_variants_of_engines_leave_out_what_is_the_same_code(
    variant: str, left_out: set[str]
) -> None:
    from conformance.registration.registry import get

    base = get(variant.partition("[")[0])

    assert left_out == {*base.functions} - {*get(variant).functions}
