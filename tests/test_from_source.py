"""Cases that an implementation's own source asks for, and what a run says of its lines."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.hunting import default_plan, glance
from conformance.case import Case
from conformance.cases.numbered import BASES, numbered, quantities
from conformance.cases.validity import is_valid
from conformance.cli import main
from conformance.errors import ConformanceError
from conformance.operators import OPERATORS
from conformance.reports import load
from conformance.reports.html import html
from conformance.reports.markdown import markdown
from conformance.runfile import asked
from conformance.runfile.reading import read
from conformance.runfile.tables import Cell, Source
from conformance.running.from_source import FromSource, beyond
from conformance.running.run import Run, run
from conformance.sources import own
from conformance.sources.numbers import Demand
from conformance.sources.statements import Statement
from tests.defects import defects

PLUGIN = """\
from conformance import implementation
from tests.defects import kernels

my = implementation("mine", dtypes=("float32",))

@my
def conv(x, w, bias, *, stride, padding, dilation, groups):
    y = kernels.conv(x, w, bias, stride=stride, padding=padding, dilation=dilation, groups=groups)
    if groups == 41:
        if w.shape[-1] == 19:
            return y + SHIFT
    if len(x) == 1000003:
        y = y + 1
        y = y + 2
    if y.size >= 0:
        y = 1 * y
    return y

def unused(x):
    return x
"""
WRONG, RIGHT = "SHIFT = 1\n", "SHIFT = 0\n"
Judge = Callable[..., Run]


def source(*numbers: int, statements: tuple[Statement, ...] = (), **fields: Any) -> own.Source:
    given = {"demands": (), "blocks": ()} | fields
    return own.Source(files=("mine.py",), numbers=numbers, statements=statements, **given)


def generated(found: own.Source, operator: str = "conv", dims: int = 2) -> list[Case]:
    steering = FromSource(found, operator, dims, ("float32",))
    steering.begin("float32", ())
    cases = []
    while new := steering.take():
        cases += new
    return cases


@pytest.fixture
def judge(tmp_path: Path, cache_folder: Path, empty_registry: None) -> Judge:
    """Return a function that judges a plugin on few shared cases."""

    def judged(text: str = RIGHT, **options: Any) -> Run:
        plugin = tmp_path / "mine.py"
        plugin.write_text(PLUGIN + text)
        few: dict[str, Any] = {"dims": [1], "dtypes": ["float32"], "suites": [], "examples": 30}
        few |= {"seconds": 20, "output": tmp_path / "run", "plugins": plugin}
        return run(**few | options)

    return judged


# --- cases at numbers -----------------------------------------------------------------------------


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_every_quantity_of_every_operator_can_be_a_number(operator: str, dims: int) -> None:
    made = {name: numbered(operator, dims, {name: 11}) for name in quantities(operator, dims)}

    assert [] == [name for name, case in made.items() if case is None or not is_valid(case)]


def test_a_number_steers_every_axis_and_product() -> None:
    cases = generated(source(64))
    sizes: dict[str, Callable[[Case], int]] = {
        "batch": lambda case: case.x[0],
        "channels": lambda case: case.x[1],
        "channels a group": lambda case: case.w[1] if case.w else 0,
        "outputs": lambda case: case.w[0] if case.w else 0,
        "groups": lambda case: case.groups,
        "rows": lambda case: case.x[2],
        "columns": lambda case: case.x[3],
        "kernel rows": lambda case: case.window[0],
        "kernel columns": lambda case: case.window[1],
        "products": lambda case: case.w[1] * case.window[0] * case.window[1] if case.w else 0,
        "elements": lambda case: case.x[0] * case.x[1] * case.x[2] * case.x[3],
    }

    for name, size in sizes.items():
        missing = {63, 64, 65, 127, 128, 129} - {*map(size, cases)}
        assert set() == missing, name


def test_output_sizes_and_their_products_are_steered() -> None:
    outputs = [OPERATORS["conv"].output_shape(case) for case in generated(source(23))]

    for wanted in (22, 23, 24, 45, 46, 47):
        assert {wanted} <= {shape[2] for shape in outputs}
        assert {wanted} <= {shape[3] for shape in outputs}
        assert {wanted} <= {shape[2] * shape[3] for shape in outputs}
        assert {wanted} <= {shape[0] * shape[2] * shape[3] for shape in outputs}


def test_what_one_condition_compares_is_set_together() -> None:
    cases = generated(source(demands=(Demand(((41,), (19,))),)))

    assert any(case.groups == 41 and case.window[-1] == 19 for case in cases)


def test_blocks_and_rests_are_combined() -> None:
    cases = generated(source(demands=(Demand(((3,), (6,))),), blocks=(13,)))

    assert 45 in {case.x[-1] for case in cases}


def test_a_large_number_is_reached_by_a_cheap_shape() -> None:
    case = numbered("conv", 1, {"outputs": 65_537}, BASES[0])

    assert case is not None
    assert (1, 65_537) == (case.x[1], case.w[0] if case.w else 0)


def test_a_number_that_no_case_is_cheap_enough_for_is_told() -> None:
    assert {10**9} == beyond((64, 65_536, 10**9), "conv", 1)


@pytest.mark.parametrize("operator", ["conv_input_grad", "conv_transpose"])
def test_windows_of_all_positions_fit_into_memory(operator: str) -> None:
    cases = [numbered(operator, 1, {"kernel0": size}) for size in (1_000, 43_691)]

    assert [True, False] == [case is not None for case in cases]


def test_cases_have_whole_numbers_and_no_case_is_given_twice() -> None:
    cases = generated(source(23), "max_pool", 1)

    assert len(cases) == len({case.replace(data="integers", seed=0) for case in cases})
    assert {"integers", "digits"} == {case.data for case in cases}


def test_dtypes_take_turns() -> None:
    steering = FromSource(source(23), "conv", 1, ("float32", "float64"))
    steering.begin("float32", ())
    first = {case.replace(data="integers", seed=0) for case in steering.take(50)}
    steering.begin("float64", ())
    second = {case.replace(data="integers", seed=0) for case in steering.take(50)}

    assert set() == first & {case.replace(dtype="float32") for case in second}


def test_conditions_around_unreached_lines_come_first() -> None:
    lines = tuple(Statement("mine.py", n, n, ((size,),)) for n, size in ((1, 37), (2, 53)))
    steering = FromSource(source(23, 37, 53, statements=lines), "conv_bias_grad", 1, ("float32",))
    steering.saw([(1, "mine.py", 1, 0)])
    steering.begin("float32", ())

    assert [] == [case.id for case in steering.take(3) if 53 not in case.x]


def test_what_has_reached_something_new_is_tried_further() -> None:
    inner = Statement("mine.py", 2, 2, ((41,), (19,)))
    steering = FromSource(source(41, 19, statements=(inner,)), "conv", 1, ("float32",))
    steering.begin("float32", ())
    cases = steering.take(40)
    place = next(n for n, case in enumerate(cases) if case.groups == 41)
    steering.saw([(8 + place, "mine.py", 1, 0)], cases, before=7)
    further = steering.take(2_000)

    assert any(one.groups == 41 and one.window == (19,) for one in further[:400])


# --- a run ----------------------------------------------------------------------------------------


def test_a_branch_that_two_numbers_guard_is_found(judge: Judge) -> None:
    found = judge(WRONG)

    assert {"mine": "violates"} == found.verdicts
    assert [(41, (19,))] == [
        (case.groups, case.window) for case in (Case.parse(v.case) for v in found.violations)
    ]


def test_without_its_source_it_is_not_found(judge: Judge) -> None:
    assert {"mine": "conforms"} == judge(WRONG, source=False).verdicts


def test_two_runs_judge_the_same_cases(judge: Judge) -> None:
    facts = [[cell.row() for cell in judge().cells] for _ in range(2)]

    assert [replace(row, seconds=0.0) for row in facts[0]] == [
        replace(row, seconds=0.0) for row in facts[1]
    ]


def test_shared_cases_are_the_same_with_and_without(judge: Judge) -> None:
    (with_it,), (without,) = (judge(source=given).cells for given in (None, False))
    own_cases = with_it.due[asked.SOURCE]

    assert own_cases > 100
    assert with_it.planned == without.planned + own_cases
    assert dict(without.due) == {
        name: due for name, due in with_it.due.items() if name != asked.SOURCE
    }


def test_the_report_names_lines_that_were_never_executed(judge: Judge) -> None:
    (row,) = read(judge().path).rows(Source)

    assert ("mine", "mine.py", "13-14") == (row.implementation, row.file, row.never)
    assert ("15", "1,000,003", 10, 8) == (row.always, row.beyond, row.statements, row.executed)


@pytest.mark.parametrize("isolate", [True, False])
def test_lines_are_measured_wherever_calls_are_made(judge: Judge, isolate: bool) -> None:
    (row,) = read(judge(isolate=isolate).path).rows(Source)

    assert "13-14" == row.never


def test_every_report_says_it(
    judge: Judge, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = load(judge().path)
    told, page = markdown(report), html(report)
    shown = []
    for options in ([], ["--verbose"], ["--json"]):
        main(["report", str(tmp_path / "run" / "run.sqlite"), *options])
        shown.append(capsys.readouterr().out)
    screen, whole, data = shown
    sentence = "mine.py 13-14 were never executed"

    assert sentence in screen
    assert sentence in whole
    assert sentence in told
    assert sentence in page
    assert "13-14" == json.loads(data)["sources"][0]["never"]


def test_no_source_is_an_option(judge: Judge, capsys: pytest.CaptureFixture[str]) -> None:
    assert () == read(judge(source=False).path).rows(Source)
    main(["run", "--help"])
    assert "--no-source" in capsys.readouterr().out


def test_the_course_is_not_measured(tmp_path: Path, cache_folder: Path) -> None:
    options: dict[str, Any] = {"operators": "conv", "dims": 1, "examples": 20, "suites": []}
    found = run("im2col", output=tmp_path, source=True, **options)

    assert () == read(found.path).rows(Source)
    assert all(asked.SOURCE not in cell.by_class for cell in read(found.path).rows(Cell))


SOURCED = [defect for defect in defects() if defect.kind == "own_source"]


def test_there_are_ten_defects_at_sizes_that_their_source_tells() -> None:
    assert len(SOURCED) >= 10


@pytest.mark.parametrize("name", ["sums-of-53-channels", "unrolled-for-kernels-83-wide"])
def test_a_defect_that_only_its_source_tells_is_missed_without_it(name: str) -> None:
    (defect,) = (one for one in SOURCED if one.name == name)

    assert None is glance(defect.implementation(), "result", default_plan(source=False))


def test_an_unknown_source_is_refused_in_one_line(tmp_path: Path) -> None:
    plugin = tmp_path / "mine.py"
    plugin.write_text(PLUGIN.replace('"mine",', '"mine", source=5,'))

    with pytest.raises(ConformanceError, match="source=5"):
        run(plugins=plugin, output=tmp_path / "run")
