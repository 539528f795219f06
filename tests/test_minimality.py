"""The smallest case that is reported: nothing about it can be made simpler or smaller."""

from __future__ import annotations

import pytest

from benchmarks.hunting import default_plan, hunt
from conformance.case import Case
from conformance.judging import judge
from conformance.running import causes
from conformance.running.again import kind_of
from tests.defects import defects
from tests.minimality import left_over, smaller

KINDS = sorted({one.kind for one in defects() if one.state is None} - {"state", "histories"})


def test_smaller_cases_are_those_with_one_thing_less() -> None:
    case = Case.parse("conv1d:float32:x=1,2,3:w=1,2,1:stride=2:integers@4")

    assert {
        "conv1d:float32:x=1,2,3:w=1,2,1:integers@4",
        "conv1d:float32:x=1,2,2:w=1,2,1:stride=2:integers@4",
        "conv1d:float32:x=1,2,1:w=1,2,1:stride=2:integers@4",
        "conv1d:float32:x=1,1,3:w=1,1,1:stride=2:integers@4",
    } == {one.id for one in smaller(case)}


def test_a_case_that_is_not_minimal_is_told() -> None:
    case = Case.parse("conv1d:float32:x=1,1,9:w=1,1,1:integers@0")

    assert "conv1d:float32:x=1,1,3:w=1,1,1:integers@0" == str(
        left_over(case, lambda c: c.x[2] % 3 == 0)
    )


@pytest.mark.parametrize("kind", KINDS)
def test_the_smallest_case_of_a_defect_is_minimal(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One defect of each kind stands for the others, which the detection benchmark looks at."""
    monkeypatch.setattr(causes, "EACH_SECONDS", 60.0)  # on a busy machine, too
    monkeypatch.setattr(causes, "MAX_SECONDS", 60.0)
    for defect in defects():
        if defect.kind != kind or defect.state is not None:
            continue
        one = defect.implementation()
        caught = hunt(one, defect.check, default_plan()).caught
        assert caught is not None
        found = judge(one, caught.case)
        if not found.failed:
            continue  # it takes a history of calls to show it

        def fails(case: Case, wanted: str = kind_of(found), one: object = one) -> bool:
            return kind_of(judge(one, case)) == wanted

        assert None is left_over(caught.case, fails)
        return
    pytest.fail(f"no defect of {kind} shows in one call")
