"""Known differences: what an entry covers, what it does not, and when it is stale."""

from __future__ import annotations

import os
import runpy
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conformance import KnownDifference
from conformance.calling import CRASH, HANG
from conformance.case import Case
from conformance.checks.repeat import judge_named_history
from conformance.cli import main
from conformance.errors import ConformanceError, RegistrationError, SpecError
from conformance.isolation.dispatch import close_all
from conformance.judging import VIOLATES, Verdict
from conformance.known import difference
from conformance.known.listed import FromFile
from conformance.known.reading import read_known
from conformance.machine import cpu_features, system
from conformance.registration import registry
from conformance.registration.registry import Registry, implementation
from conformance.runfile.reading import read
from conformance.runfile.tables import Known
from conformance.running.known_in_run import (
    Example,
    kind_of,
    kinds_of,
    known_rows,
    matching_entry,
)
from conformance.running.run import Run, run
from conformance.running.selection import Selection
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

    assert 1 == matching_entry(known, mixed)


@pytest.mark.parametrize(("unsteady", "place"), [(True, 0), (False, None)])
def test_other_bits_from_the_same_call_are_an_unsteady_difference(
    unsteady: bool, place: int | None
) -> None:
    repeated = Verdict("mine", Case.parse(DILATED), VIOLATES, "REPEAT-2", "bits", history="turns")

    assert place == matching_entry([entry(unsteady=unsteady)], repeated)


WRONG_ON_THIRDS = """
import numpy as np
from conformance import implementation
from conformance.implementations.im2col import im2col

mine, calls = implementation("mine", dtypes="float32"), []

@mine
def avg_pool(x, **call):
    calls.append(x)
    thirds = np.allclose(3 * x, np.round(3 * x), atol=1e-4) and (x % 1).any()
    factor = np.float32(FACTOR) if thirds else np.float32(1)
    return im2col.implementation.functions["avg_pool"](x, **call) * factor
"""
"""A pool that is wrong by a factor on averages of whole numbers, which no recipe makes."""


@pytest.mark.parametrize(
    ("factor", "covered"),
    [
        ("1.01", True),
        ("(1.01 if calls[1:] else 1)", False),  # right without the calls before
        ("(1.02 if calls[1:] else 1.01)", False),  # wrong without them, but less so
    ],
)
def test_an_entry_covers_a_call_in_a_composition_that_is_as_wrong_by_itself(
    tmp_path: Path, copied_registry: Registry, factor: str, covered: bool
) -> None:
    file = tmp_path / "mine.py"
    file.write_text(WRONG_ON_THIRDS.replace("FACTOR", factor))
    selection = Selection(plugins=[file])
    (loaded,), _ = selection.load()
    case = Case.parse("avg_pool1d:float32:x=1,1,3:kernel=1:integers@0")
    verdict = judge_named_history(selection.isolated(loaded), case, "compositions")
    close_all()
    of_the_call = entry(requirement="RESULT-1", where={"operator": "avg_pool", "kernel": 3})
    of_the_first_call = entry(requirement="RESULT-1", where={"operator": "avg_pool", "kernel": 1})

    assert verdict is not None
    assert ("RESULT-1", "compositions") == (verdict.requirement, verdict.history)
    expected = 1 if covered else None
    assert expected == matching_entry([of_the_first_call, of_the_call], verdict)


@pytest.mark.parametrize("how", [CRASH, HANG])
def test_an_entry_covers_no_call_that_ends_unless_it_says_so(how: str) -> None:
    case = Case.parse("conv1d:float32:x=1,1,1:w=1,1,1:invalid=stride-zero:integers@0")
    known: dict[str, Any] = {"case": case.id, "where": {"invalid": "stride-zero"}}
    ended = Verdict("mine", case, "crashed", "REJECT-3", outcome=how)
    returned = replace(ended, status=VIOLATES, outcome=None)
    plain, fatal, either = (
        entry(requirement="REJECT-3", **known, **flag)
        for flag in ({}, {"fatal": True}, {"may_end": True})
    )

    assert [None, 0, 0] == [matching_entry([one], ended) for one in (plain, fatal, either)]
    assert 0 == matching_entry([plain], returned)

    ends = replace(ended, requirement="PROCESS-1")
    assert 0 == matching_entry([entry(requirement="PROCESS-1", **known)], ends)


def test_an_entry_that_covers_failures_of_another_kind_than_its_case_shows_is_flagged() -> None:
    returned = Verdict("mine", Case.parse(DILATED), VIOLATES, "CONV-5")
    ended = replace(returned, status="crashed", outcome=CRASH)
    one = unregistered("mine", {"conv": undilated}, {"known": (entry(may_end=True),)})
    key, kinds = ("mine", 0), kinds_of([returned, ended, returned])
    example = Example(judged=True, occurs=True, kind=kind_of(returned))

    (row,) = known_rows([one], {}, {key: 3}, {key: kinds}, {key: example})
    (narrow,) = known_rows([one], {}, {key: 2}, {key: kinds_of([returned] * 2)}, {key: example})

    shown = f"1 with the end of the process where its own case has a result: {DILATED}"
    assert ("", shown) == (narrow.beyond, row.beyond)
    assert f"no dilation; covers more than its case shows, {shown}" == row.why
    assert "no dilation" == narrow.why


def test_a_run_flags_no_entry_that_shows_what_it_covers(judged: Judged) -> None:
    found = judged(undilated, entry())

    assert {0: {"a result"}} == {index: {*kinds} for index, kinds in found.cells[0].kinds.items()}
    assert "" == rows(found)[0].beyond


def test_an_entry_that_no_longer_occurs_is_stale(judged: Judged) -> None:
    found = judged(kernels.conv, entry())

    assert ["stale"] == [row.status for row in rows(found)]
    assert (f"mine: CONV-5: {DILATED}",) == found.stale
    assert {"mine": "conforms"} == found.verdicts
    assert not found.conforms


def test_a_fatal_entry_is_stale_whose_own_case_is_right(judged: Judged) -> None:
    """Its further cases are not called, so that their number says nothing."""
    found = judged(kernels.conv, entry(fatal=True))

    assert [("stale", True)] == [(row.status, row.count > 0) for row in rows(found)]
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


def test_an_entry_for_other_machines_does_not_apply(judged: Judged) -> None:
    found = judged(undilated, entry(machine={"cpu": "no-such-feature"}))

    assert ["other machine"] == [row.status for row in rows(found)]
    assert "on CPUs with no-such-feature" in rows(found)[0].covers
    assert not found.conforms


def test_an_entry_for_other_machines_is_never_stale(judged: Judged) -> None:
    found = judged(kernels.conv, entry(machine={"system": "NoSuchSystem"}))

    assert ["other machine"] == [row.status for row in rows(found)]
    assert found.conforms


def test_an_entry_for_this_machine_applies(judged: Judged) -> None:
    found = judged(undilated, entry(machine={"system": system(), "cpu": "!no-such-feature"}))

    assert {"mine": "known difference"} == found.verdicts


def test_a_run_records_what_the_cpu_can_do(judged: Judged) -> None:
    facts = read(judged(kernels.conv).path).facts

    assert system() == facts["machine"]["system"]
    assert [*cpu_features()] == facts["machine"]["cpu_features"]


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
    assert "The dilated window is longer than the input." == known.covers


def test_named_conditions_hold_besides_the_others() -> None:
    named = entry(where={"operator": "conv"}, condition=["unit_stride", "not unit_dilation"])

    assert named.holds(Case.parse(DILATED))
    assert not named.holds(Case.parse(DILATED.replace("dilation", "stride")))
    assert (
        "operator conv; the stride is 1 on every axis; not: the dilation is 1 on every axis"
        == named.covers
    )


def test_a_named_condition_is_enough() -> None:
    named = KnownDifference("CONV-5", case=DILATED, condition="unit_stride", reason="none")

    assert named.holds(Case.parse(DILATED))
    assert "the stride is 1 on every axis" == named.covers


@pytest.mark.parametrize(
    ("machine", "expected"),
    [
        ({}, True),
        ({"cpu": "avx2"}, True),
        ({"cpu": ["avx2", "!avx512f"]}, True),
        ({"cpu": ["avx2", "avx512f"]}, False),
        ({"cpu": "!avx2"}, False),
        ({"system": "Linux"}, True),
        ({"system": ["Darwin", "Windows"]}, False),
        ({"cpu": "avx2", "system": "Darwin"}, False),
    ],
)
def test_an_entry_may_be_of_some_machines(
    machine: dict[str, Any], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(difference, "cpu_features", lambda: ("avx", "avx2"))
    monkeypatch.setattr(difference, "system", lambda: "Linux")

    assert expected is entry(machine=machine).applies_here()


def test_a_condition_on_the_machine_is_told() -> None:
    machine = {"cpu": ["avx512_bf16", "!amx_bf16"], "system": ["Linux", "Windows"]}

    told = entry(machine=machine).covers

    assert (
        "operator conv, dilation >1; on CPUs with avx512_bf16, on CPUs without amx_bf16, "
        "on Linux or Windows" == told
    )


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
        (
            {"where": {"dilations": 2}},
            "where has no 'dilations'; did you mean dilation? known are oper",
        ),
        ({"where": {"dilation": ">x"}}, "where dilation='>x'; a value, several, or a comparison"),
        ({"where": {"dilation": 1.5}}, "where dilation=1.5; a value, several, or a comparison"),
        ({"versions": "2.14"}, "versions='2.14'; write comparisons"),
        ({"link": None}, "link=None; a text"),
        ({"fatal": "yes"}, "fatal='yes'; True or False"),
        ({"unsteady": 1}, "unsteady=1; True or False"),
        (
            {"condition": "window_of_pading_alone"},
            "condition 'window_of_pading_alone' is unknown; did you mean window_of_padding_alone? "
            "known are valid, one_channel",
        ),
        ({"condition": "no depthwise"}, "condition 'no depthwise' is unknown; did you mean depth"),
        ({"condition": 1}, "condition=1; a name, or several"),
        ({"machine": "x86"}, "machine='x86'; say which, such as"),
        ({"machine": {"cpus": "avx2"}}, "machine has no 'cpus'; did you mean cpu? known are cpu, "),
        ({"machine": {"cpu": "AVX2"}}, "machine cpu='AVX2'; a feature in small letters"),
        ({"machine": {"cpu": []}}, "machine cpu=[]; a feature in small letters"),
        ({"machine": {"system": 1}}, "machine system=1; an operating system, such as Linux"),
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


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "known.toml"
    path.write_text(text)
    return path


def test_what_a_file_says_at_its_top_is_for_all_its_entries(tmp_path: Path) -> None:
    one = LISTED.replace('implementation = "mine"\n', "")
    other = LISTED.replace('"mine"', '"yours"') + 'versions = "<3"\n'
    top = 'implementations = ["mine", "mine[fast]"]\nversions = "==2.1"\n'

    known = read_known(written(tmp_path, top + one + other))

    assert {"mine": ["==2.1"], "mine[fast]": ["==2.1"], "yours": ["<3"]} == {
        name: [entry.versions for entry in entries] for name, entries in known.items()
    }
    assert known["mine"][0] is known["mine[fast]"][0]


def test_a_file_has_conditions_and_machines(tmp_path: Path) -> None:
    more = 'condition = ["unit_stride", "not valid"]\nmachine = {cpu = "!avx2", system = ["Linux"]}'

    (found,) = read_known(written(tmp_path, f"{LISTED}\n{more}"))["mine"]

    assert ("unit_stride", "not valid") == found.condition
    assert {"cpu": "!avx2", "system": ["Linux"]} == found.machine


INVALID = """
[[known]]
implementation = "mine"
requirement = "REJECT-3"
case = "max_pool1d:float32:x=1,1,1:kernel=1:invalid=stride-zero:integers@0"
mistakes = "stride-zero"
reason = "not checked"
"""


@pytest.mark.parametrize(
    ("mistakes", "expected"),
    [
        ('["stride-zero", "dtype-bool"]', ("stride-zero", "dtype-bool")),
        ('"stride-zero*"', ("stride-zero", "stride-zero-last", "stride-zero-all")),
        (
            '"padding-negative*"',
            ("padding-negative", "padding-negative-last", "padding-negative-both"),
        ),
    ],
)
def test_a_star_stands_for_a_mistake_in_any_axis(
    mistakes: str, expected: tuple[str, ...], tmp_path: Path
) -> None:
    text = INVALID.replace('"stride-zero"\n', f"{mistakes}\n")

    (found,) = read_known(written(tmp_path, text))["mine"]

    assert {"operator": "max_pool", "invalid": expected} == found.where


def test_mistakes_of_other_operators_are_said_where(tmp_path: Path) -> None:
    text = INVALID + 'where = {operator = ["max_pool", "avg_pool"], dims = 1}'

    (found,) = read_known(written(tmp_path, text))["mine"]

    assert {"operator": ["max_pool", "avg_pool"], "invalid": ("stride-zero",), "dims": 1} == (
        found.where
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", '"known" has no entry; write tables [[known]]'),
        ("[[knwon]]", 'field "knwon" is unknown; did you mean known? allowed: known'),
        (LISTED.replace("reason", "why"), 'field "why" is unknown; allowed: implementation'),
        (LISTED.replace('reason = "no dilation"', ""), "[[known]] 1: reason is missing"),
        (LISTED.replace("CONV-5", "CONV-50"), "[[known]] 1: known difference 'CONV-50': no such"),
        (LISTED.replace('implementation = "mine"', ""), "[[known]] 1: implementation is missing"),
        (f'{LISTED}implementations = ["yours"]', "implementation and implementations are both th"),
        (f'versions = "2"\n{LISTED}', "versions='2'; write comparisons"),
        (LISTED.replace("where =", "mistakes ="), 'mistakes = {"operator": "conv", "dilation"'),
        (LISTED.replace("where =", "link = 'x' #"), "[[known]] 1: where is missing; say which"),
        (f'{LISTED}condition = "unit_strid"', "'unit_strid' is unknown; did you mean unit_stride?"),
        (f'{LISTED}machine = "Linux"', 'machine = "Linux"; allowed: a table, such as {cpu = '),
        (f"{LISTED}machine = {{cpu = 1}}", "[[known]] 1: known difference 'CONV-5': machine cpu=1"),
        (f'{LISTED}fatal = "yes"', 'fatal = "yes"; allowed: true or false'),
        (INVALID.replace("max_pool1d:", ""), "[[known]] 1: case id 'float32:x=1,1,1"),
        (INVALID.replace('"stride-zero"', '"stride*zero"'), 'mistakes = "stride*zero"; allowed: '),
        (INVALID.replace('"stride-zero"', '"*"'), 'a star at the end is for any axis: "stride-z'),
        (f'{INVALID}where = {{invalid = "x"}}', "mistakes and invalid in where are both there"),
    ],
)
def test_mistakes_in_a_file_are_one_line(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "known.toml"
    path.write_text(text)

    with pytest.raises(SpecError) as caught:
        read_known(path)

    assert expected in str(caught.value)
    assert 1 == str(caught.value).count("known.toml")


# --- the file of a list -------------------------------------------------------------------------


def test_an_implementation_may_name_the_file_of_its_list(
    empty_registry: None, tmp_path: Path
) -> None:
    path = written(tmp_path, LISTED)

    mine = implementation("mine", known=path)

    assert ["CONV-5"] == [entry.requirement for entry in mine.known]
    assert 1 == len(mine.known)


def test_a_file_is_named_relative_to_the_one_that_registers(
    empty_registry: None, tmp_path: Path
) -> None:
    written(tmp_path, LISTED)
    plugin = tmp_path / "plugin.py"
    plugin.write_text(
        "from conformance import implementation\n"
        'mine = implementation("mine", known="known.toml")\n'
    )

    runpy.run_path(str(plugin))

    assert ["CONV-5"] == [entry.requirement for entry in registry.get("mine").known]


def test_a_list_is_read_when_it_is_asked_for(empty_registry: None, tmp_path: Path) -> None:
    mine = implementation("mine", known=tmp_path / "none.toml")

    with pytest.raises(SpecError, match=r"none\.toml: no such file"):
        list(mine.known)


def test_a_file_that_has_changed_is_read_again(empty_registry: None, tmp_path: Path) -> None:
    path = written(tmp_path, LISTED)
    before = [entry.reason for entry in FromFile(path, "mine")]
    path.write_text(LISTED.replace("no dilation", "none at all"))
    os.utime(path, ns=(1, 1))

    assert ["no dilation"] == before
    assert ["none at all"] == [entry.reason for entry in FromFile(path, "mine")]


def test_a_file_without_entries_for_the_implementation_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        list(FromFile(written(tmp_path, LISTED), "mines"))

    told = 'no entry is of implementation "mines"; did you mean mine? some are of mine'
    assert told in str(caught.value)


def test_a_file_that_is_not_there_is_one_line_and_status_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = str(tmp_path / "none.toml")

    assert 2 == main(["run", "--known", missing, "--output", str(tmp_path)])

    told = capsys.readouterr().err
    assert "none.toml: no such file" in told
    assert 1 == len(told.splitlines())
