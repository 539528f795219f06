"""The collections of wrong and of correct implementations, and what the suite says of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from benchmarks.hunting import default_plan, glance, hunt
from conformance.case import Case
from conformance.cases.invalid import cases as invalid_cases
from conformance.judging import judge
from conformance.operators import OPERATORS
from conformance.registration import registry
from conformance.requirements import CHECKS
from conformance.signatures import SIGNATURES
from tests.compiled import COMPILER
from tests.correct import Correct, correct
from tests.defects import Defect, catches, defects, unregistered
from tests.defects.witness import CORRECT, witness

STEP = 48
"""Of what a correct implementation is judged on in the default tier, one case in so many."""

ALWAYS_WRONG = ("always", "an invalid call")

WRONG_BY_DECLARATION = ("nan-ignored-declared-and-propagated",)
"""Defects that compute what the correct kernel computes, and declare something else."""

NOT_YET: dict[str, str] = {}
"""Defects that the suite does not catch by the check that they name, and why."""

ACCUSED: dict[str, str] = {}
"""Correct implementations that the suite accuses, and why."""


def every_defect() -> list[pytest.ParameterSet]:
    return [pytest.param(one, id=one.name) for one in defects()]


def expected_to_fail(one: Defect | Correct, known: dict[str, str]) -> pytest.ParameterSet:
    marks = [pytest.mark.xfail(reason=known[one.name], strict=True)] if one.name in known else []
    return pytest.param(one, id=one.name, marks=marks)


def test_there_are_at_least_120_defects_and_20_correct_implementations() -> None:
    assert len(defects()) >= 120
    assert len(correct()) >= 20


def test_names_are_unique_among_both_collections() -> None:
    names = Counter([one.name for one in defects()] + [one.name for one in correct()])

    assert [] == [name for name, count in names.items() if count > 1]


def test_every_check_and_every_operator_has_a_defect() -> None:
    elsewhere = {"process"}  # what ends a process is shown in one: tests/hostile

    elsewhere |= set() if COMPILER else {"memory"}

    assert set(CHECKS) == {defect.check for defect in defects()} | elsewhere
    assert set(SIGNATURES) == {name for defect in defects() for name in defect.functions}


def test_a_defect_registers_nothing() -> None:
    before = registry.implementations()
    made = defects()[0].implementation()

    assert before == registry.implementations()
    assert made.name not in registry.implementations()


def test_implementations_of_one_defect_share_no_state() -> None:
    stateful = next(defect for defect in defects() if defect.name == "first-call-wrong")
    first, second = stateful.implementation(), stateful.implementation()
    case = "avg_pool1d:float32:x=1,1,2:kernel=1:integers@0"

    assert ["violates", "conforms"] == [judge(first, case).status for _ in range(2)]
    assert "violates" == judge(second, case).status


@pytest.mark.parametrize("operator", OPERATORS)
def test_the_correct_kernels_conform(operator: str) -> None:
    kernel = unregistered("kernel", {operator: CORRECT[operator]}, {})

    assert None is hunt(kernel, None, default_plan(), step=STEP).caught


@pytest.mark.parametrize("operator", OPERATORS)
def test_the_correct_kernels_reject_every_mistake(operator: str) -> None:
    kernel = unregistered("kernel", {operator: CORRECT[operator]}, {})
    mistakes = [case for dims in (1, 2, 3) for case in invalid_cases(operator, dims, ("float32",))]

    assert [] == [case.id for case in mistakes if judge(kernel, case).failed]


@pytest.mark.parametrize("defect", [p for p in every_defect() if not p.values[0].isolated])
def test_a_defect_differs_from_the_correct_kernel_and_not_everywhere(defect: Defect) -> None:
    wrong, right = witness(defect)

    assert wrong or defect.name in WRONG_BY_DECLARATION
    only = len(defect.declarations.get("dtypes", ())) == 1
    assert right or only or defect.when in ALWAYS_WRONG


@pytest.mark.parametrize("defect", [expected_to_fail(one, NOT_YET) for one in defects()])
def test_a_defect_is_caught_by_the_check_that_it_names(defect: Defect) -> None:
    plan = default_plan()
    known = (Case.parse(case).dims for case in defect.at)
    plan = replace(plan, dims=tuple(dict.fromkeys((*known, *plan.dims))))  # it is found sooner

    assert glance(defect.implementation(), defect.check, plan) is not None


@pytest.mark.parametrize("kind", sorted({defect.kind for defect in defects()}))
def test_a_violation_cites_a_requirement_of_that_check(kind: str) -> None:
    """Shrinking and attributing takes time, so that one of each kind stands for the others."""
    defect = next(one for one in defects() if one.kind == kind and one.name not in NOT_YET)
    outcome = hunt(defect.implementation(), defect.check, default_plan())

    assert outcome.caught is not None
    assert catches(defect.check, outcome.caught.requirement)


@pytest.mark.parametrize("one", [expected_to_fail(one, ACCUSED) for one in correct()])
def test_a_correct_implementation_is_not_accused(one: Correct) -> None:
    step = 1 if one.name in ACCUSED else STEP
    outcome = hunt(one.implementation(), None, default_plan(), step=step)

    assert ("", None) == (outcome.error, outcome.caught)
    assert outcome.judged > 100
