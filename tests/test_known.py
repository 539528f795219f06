"""Known differences: what an entry covers, what it does not, and when it is stale."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conformance import KnownDifference
from conformance.case import Case
from conformance.cli import main
from conformance.errors import ConformanceError, RegistrationError, SpecError
from conformance.judging import VIOLATES, Verdict
from conformance.registration.registry import implementation
from conformance.runfile.reading import read
from conformance.runfile.tables import Known
from conformance.running.causes import covering
from conformance.running.run import Run, run
from conformance.spec.known_differences import read_known
from conformance.testing import checks
from tests.defects import kernels, unregistered

pytestmark = pytest.mark.usefixtures("cache_folder")

DILATED = "conv1d:float32:x=1,1,3:w=1,1,2:dilation=2:integers@0"


def entry(**changes: Any) -> KnownDifference:
    declared: dict[str, Any] = {"requirement": "CONV-5", "case": DILATED}
    declared |= {"where": {"operator": "conv", "dilation": ">1"}, "reason": "no dilation"}
    declared |= changes
    return KnownDifference(declared.pop("requirement"), **declared)


def undilated(*arguments: Any, stride: Any, padding: Any, dilation: Any, groups: Any) -> Any:
    """A convolution that spreads the window over the dilated span, but reads its taps together."""
    x, w, bias = arguments
    spread = tuple(d * (k - 1) + 1 for d, k in zip(dilation, w.shape[2:], strict=True))
    wide = np.zeros((*w.shape[:2], *spread), w.dtype)
    wide[(..., *(slice(k) for k in w.shape[2:]))] = w
    ones = (1,) * len(dilation)
    return kernels.conv(x, wide, bias, stride=stride, padding=padding, dilation=ones, groups=groups)


def also_without_bias(x: Any, w: Any, bias: Any, **parameters: Any) -> Any:
    return undilated(x, w, None, **parameters)


@pytest.fixture
def judged(tmp_path: Path) -> Callable[..., Run]:
    """Return a function that judges a convolution with known differences, on a small run."""

    def judge(function: Any, *known: KnownDifference, **options: Any) -> Run:
        declared = {"known": known, "version": options.pop("version", None)}
        one = unregistered("mine", {"conv": function}, declared)
        chosen: dict[str, Any] = {"operators": ["conv"], "dims": [1], "dtypes": ["float32"]}
        chosen |= {"checks": ["result"], "suites": [], "examples": 60, "seconds": 30}
        return run([one], **chosen | options, output=tmp_path)

    return judge


def rows(found: Run) -> tuple[Known, ...]:
    return read(found.path).rows(Known)


Judged = Callable[..., Run]


# --- in a run -------------------------------------------------------------------------------------


def test_failures_that_an_entry_covers_are_no_violations(judged: Judged) -> None:
    found = judged(undilated, entry())

    (cell,) = found.cells
    assert 0 == cell.violating
    assert [] == cell.violations
    assert cell.known > 5
    assert {"mine": "known difference"} == found.verdicts
    assert found.conforms


def test_the_run_file_says_why_and_how_many(judged: Judged) -> None:
    found = judged(undilated, entry(link="https://example.org/1", versions="<3"), version="2.1")

    (row,) = rows(found)
    assert "known difference" == row.status
    assert found.cells[0].known == row.count
    assert "operator conv, dilation >1" == row.covers
    assert ("no dilation", "https://example.org/1") == (row.reason, row.link)
    assert "elements differ" in row.message


def test_of_cases_that_end_the_process_the_smallest_alone_is_called(judged: Judged) -> None:
    called = []

    def ends(*arguments: Any, **call: Any) -> Any:
        if max(call["dilation"]) > 1:
            called.append(arguments[0].shape)
            raise RuntimeError("as good as a crash")
        return kernels.conv(*arguments, **call)

    found = judged(ends, entry(requirement="DECLARE-1", fatal=True), checks=["result", "declare"])

    (cell,) = found.cells
    assert (0, "known difference") == (cell.violating, cell.verdict)
    assert cell.known > 5
    assert {Case.parse(DILATED).x} == {*called}


def test_a_search_for_the_smallest_case_stays_away_from_those(judged: Judged) -> None:
    called = []

    def ends(*arguments: Any, **call: Any) -> Any:
        called.append(call["dilation"] != (1,) and arguments[0].shape != (1, 1, 3))
        return undilated(arguments[0], arguments[1], None, **call)

    found = judged(ends, entry(fatal=True))

    assert ["CONV-7"] == [violation.requirement for violation in found.cells[0].violations]
    assert not any(called)


def test_what_is_not_covered_is_a_violation_still(judged: Judged) -> None:
    found = judged(also_without_bias, entry())

    (cell,) = found.cells
    assert ["CONV-7"] == [violation.requirement for violation in cell.violations]
    assert cell.known > 0
    assert (1,) == cell.violations[0].case.dilation


def test_another_requirement_does_not_cover(judged: Judged) -> None:
    found = judged(undilated, entry(requirement="DECLARE-1"))

    assert 0 == found.cells[0].known
    assert not found.conforms


@pytest.mark.parametrize(
    ("case", "requirement"),
    [
        ("max_pool1d:float32:x=1,1,2:kernel=2:nan@0", "MAXPOOL-5"),
        ("conv1d:float32:x=1,1,1:w=1,1,1:invalid=w-wider:integers@0", "REJECT-20"),
    ],
)
def test_an_entry_covers_what_a_probe_of_its_convention_shows(case: str, requirement: str) -> None:
    where = {"operator": Case.parse(case).operator}
    known = [entry(requirement=cited, case=case, where=where) for cited in ("CONV-3", requirement)]
    mixed = Verdict("mine", Case.parse(case), VIOLATES, "DECLARE-5", "mixed followed")

    assert 1 == covering(known, mixed)


@pytest.mark.parametrize(("unsteady", "place"), [(True, 0), (False, None)])
def test_other_bits_from_the_same_call_are_an_unsteady_difference(
    unsteady: bool, place: int | None
) -> None:
    repeated = Verdict("mine", Case.parse(DILATED), VIOLATES, "REPEAT-2", "bits", history="turns")

    assert place == covering([entry(unsteady=unsteady)], repeated)


def test_an_entry_that_no_longer_occurs_is_stale(judged: Judged) -> None:
    found = judged(kernels.conv, entry())

    assert ["stale"] == [row.status for row in rows(found)]
    assert (f"mine: CONV-5: {DILATED}",) == found.stale
    assert {"mine": "conforms"} == found.verdicts
    assert not found.conforms


def test_an_entry_whose_case_is_not_in_the_run_is_not_stale(judged: Judged) -> None:
    elsewhere = (
        DILATED.replace("conv1d", "conv2d").replace("3:w", "1,3:w").replace("1,1,2", "1,1,1,2")
    )
    known = entry(case=elsewhere.replace("dilation=2", "dilation=1,2"))

    found = judged(kernels.conv, known)

    assert ["not judged"] == [row.status for row in rows(found)]
    assert found.conforms


def test_an_entry_for_other_versions_does_not_apply(judged: Judged) -> None:
    found = judged(undilated, entry(versions="<2.14"), version="2.14.1")

    assert ["other version"] == [row.status for row in rows(found)]
    assert not found.conforms


def test_an_entry_must_cover_its_own_case(judged: Judged) -> None:
    with pytest.raises(RegistrationError, match=r"where \(operator conv, dilation >2\) leaves out"):
        judged(undilated, entry(where={"operator": "conv", "dilation": ">2"}))


def test_an_entry_whose_case_is_none_is_refused(judged: Judged) -> None:
    with pytest.raises(RegistrationError, match="'mine': known difference CONV-5: case id"):
        judged(undilated, entry(case="conv1d:float32"))


def test_in_a_test_suite_a_known_difference_does_not_fail() -> None:
    one = unregistered("mine", {"conv": undilated}, {"known": (entry(),), "dtypes": ("float32",)})
    check = next(check for check in checks(one, examples=30, suites=()) if check.dims == 1)

    failure = _failure_of(check, one)

    assert "CONV-5" not in failure


def _failure_of(check: Any, one: Any) -> str:
    try:
        check(one)
    except AssertionError as problem:
        return str(problem)
    return ""


# --- what an entry says ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("where", "text", "expected"),
    [
        ({"dtype": ("float16", "float32")}, DILATED, True),
        ({"dtype": "float16"}, DILATED, False),
        ({"dilation": ">=2"}, DILATED, True),
        ({"dilation": "<2"}, DILATED, False),
        ({"dims": 1, "kernel": 2, "size": 3}, DILATED, True),
        ({"batch": 0}, "conv1d:float32:x=0,1,3:w=1,1,2:integers@0", True),
        ({"stride": ">1"}, "conv2d:float32:x=1,1,3,3:w=1,1,2,2:stride=1,2:integers@0", True),
        ({"padding": ">1"}, "conv1d:float32:x=1,1,3:w=1,1,2:padding=1/2:integers@0", True),
        ({"bias": True}, "conv1d:float32:x=1,1,3:w=1,1,2:bias:integers@0", True),
        ({"bias": True}, DILATED, False),
        ({"memory": "reversed"}, f"{DILATED[:-11]}:memory=reversed-w:integers@0", True),
        ({"groups": "!=1"}, DILATED, False),
    ],
)
def test_conditions_are_about_a_case(where: Mapping[str, Any], text: str, expected: bool) -> None:
    assert expected is entry(where=where).holds(Case.parse(text))


def test_a_condition_may_be_a_function() -> None:
    def longer_than_the_input(case: Case) -> bool:
        """The dilated window is longer than the input."""
        return case.dilation[0] * (case.window[0] - 1) >= case.x[2]

    known = entry(where=longer_than_the_input)

    assert not known.holds(Case.parse(DILATED))
    assert "The dilated window is longer than the input." == known.condition


@pytest.mark.parametrize(
    ("versions", "version", "expected"),
    [
        ("", "", True),
        ("<2.14", "2.13.0+cpu", True),
        ("<2.14", "2.14", False),
        (">=2.9, <2.14", "2.10.1", True),
        ("==2.0", "2", True),
        ("<2.14", "unknown", False),
    ],
)
def test_versions_are_compared_by_their_numbers(
    versions: str, version: str, expected: bool
) -> None:
    assert expected is entry(versions=versions).applies_to(version)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"requirement": "CONV-99"}, "'CONV-99': no such requirement"),
        ({"reason": " "}, "reason is empty; say why"),
        ({"where": {}}, "where={}; say which cases"),
        ({"where": {"dilations": 2}}, "where has no 'dilations'; known are operator, dims"),
        ({"where": {"dilation": ">x"}}, "where dilation='>x'; a value, several, or a comparison"),
        ({"where": {"dilation": 1.5}}, "where dilation=1.5; a value, several, or a comparison"),
        ({"versions": "2.14"}, "versions='2.14'; write comparisons"),
        ({"link": None}, "link=None; a text"),
        ({"fatal": "yes"}, "fatal='yes'; True or False"),
        ({"unsteady": 1}, "unsteady=1; True or False"),
    ],
)
def test_a_mistake_is_told_where_it_is_made(changes: dict[str, Any], expected: str) -> None:
    with pytest.raises(RegistrationError) as caught:
        entry(**changes)

    assert expected in str(caught.value)


def test_what_is_no_entry_is_refused(empty_registry: None) -> None:
    with pytest.raises(RegistrationError, match="a list of KnownDifference"):
        implementation("mine", known=["CONV-5"])  # type: ignore[list-item]


# --- from a TOML file -----------------------------------------------------------------------------

LISTED = f"""
[[known]]
implementation = "mine"
requirement = "CONV-5"
case = "{DILATED}"
where = {{operator = "conv", dilation = ">1"}}
reason = "no dilation"
"""


def test_a_file_lists_differences_of_an_implementation(judged: Judged, tmp_path: Path) -> None:
    path = tmp_path / "known.toml"
    path.write_text(LISTED)

    found = judged(undilated, known=path)

    assert {"mine": "known difference"} == found.verdicts


def test_a_file_may_not_name_what_is_not_registered(judged: Judged, tmp_path: Path) -> None:
    path = tmp_path / "known.toml"
    path.write_text(LISTED.replace('"mine"', '"yours"'))

    with pytest.raises(ConformanceError, match="implementation 'yours' is unknown"):
        judged(undilated, known=path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", '"known" has no entry; write tables [[known]]'),
        ("[[knwon]]", 'table "knwon" is unknown; did you mean known? allowed: known'),
        (LISTED.replace("reason", "why"), 'field "why" is unknown; allowed: implementation'),
        (LISTED.replace('reason = "no dilation"', ""), "[[known]] 1: reason is missing"),
        (LISTED.replace("CONV-5", "CONV-50"), "[[known]] 1: known difference 'CONV-50': no such"),
    ],
)
def test_mistakes_in_a_file_are_one_line(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "known.toml"
    path.write_text(text)

    with pytest.raises(SpecError) as caught:
        read_known(path)

    assert expected in str(caught.value)
    assert "known.toml" in str(caught.value)


def test_a_file_that_is_not_there_is_one_line_and_status_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = str(tmp_path / "none.toml")

    assert 2 == main(["run", "--known", missing, "--output", str(tmp_path)])

    told = capsys.readouterr().err
    assert "none.toml: no such file" in told
    assert 1 == len(told.splitlines())
