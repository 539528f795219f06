"""`convformance explain`: the arrays that implementations really make of a small case."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from conformance.case import Case
from conformance.cli import main
from conformance.cli.explain_command import CHAPTERS
from conformance.explaining import explain
from conformance.judging import Prepared
from conformance.registration.registry import get
from conformance.reports.steps import Method, Step
from tests.test_reports import Page

CASE = "conv1d:float32:x=1,1,5:w=1,1,3:integers@0"


def steps(name: str, case: str = CASE) -> Method:
    return explain(get(name), Case.parse(case))


def numbers(step: Step) -> np.ndarray:
    return np.array([float(value) for value in step.values]).reshape(step.shape)


def test_im2col_makes_a_row_of_each_window() -> None:
    (x, *_) = Prepared.of(Case.parse(CASE)).inputs
    rows = next(step for step in steps("im2col").steps if step.name == "rows")

    assert numbers(rows)[0, 0].tolist() == [x[0, 0, i : i + 3].tolist() for i in range(3)]
    assert rows.source.startswith("rows = window_rows(x, call)")
    assert re.fullmatch(r"im2col\.py:\d+", rows.place)


def test_what_is_framed_depends_on_the_framed_element() -> None:
    method = steps("im2col")
    rows = next(step for step in method.steps if step.name == "rows")

    assert {2} == method.steps[0].changed
    assert {2, 4, 6} == rows.changed  # the third element of x is in all three windows
    assert {0, 1, 2} == method.steps[-1].changed


@pytest.mark.parametrize("name", CHAPTERS)
@pytest.mark.parametrize(
    "case",
    [
        CASE,
        "conv2d:float64:x=1,2,3,3:w=2,1,2,2:bias:groups=2:padding=1/0,0/0:integers@3",
        "conv_transpose2d:float32:x=1,1,2,2:w=1,1,2,2:stride=2,2:integers@0",
        "max_pool1d:float32:x=1,2,6:kernel=2:stride=2:integers@0",
        "avg_pool_grad1d:float32:x=1,1,4:kernel=2:stride=1:integers@0",
    ],
)
def test_the_last_array_is_the_result_but_for_the_bias(name: str, case: str) -> None:
    method, prepared = steps(name, case), Prepared.of(Case.parse(case))
    last, exact = numbers(method.steps[-1]), prepared.reference.exact
    if last.shape != exact.shape:  # channels last
        last = np.moveaxis(last, -1, 1)

    assert method.verdict == f"{name}: conforms"
    if prepared.case.bias:
        exact = exact - prepared.inputs[2].reshape(1, -1, 1, 1)
    assert last.tolist() == exact.tolist()
    assert method.steps[-1].changed


def test_a_loop_shows_its_first_arrays_and_its_last_one() -> None:
    method = steps("shifted-matmul", "conv1d:float32:x=1,1,9:w=1,1,8:integers@0")
    added = [step for step in method.steps if step.source.startswith("y += ")]

    assert [0, 0, 0, 4] == [step.left_out for step in added]


class TestCommand:
    """The command and its three forms."""

    def test_the_course_is_explained_line_by_line(self, capsys: pytest.CaptureFixture[str]) -> None:
        status = main(["explain", CASE])
        out = capsys.readouterr().out

        assert status == 0
        assert [line.split(":")[0] for line in out.splitlines() if ": conforms" in line] == [
            f"  {name}" for name in CHAPTERS
        ]
        assert "[-1]" in out

    def test_a_picture_and_a_page_need_nothing(self, tmp_path: Path) -> None:
        svg, page = tmp_path / "steps.svg", tmp_path / "steps.html"
        status = main(["explain", CASE, "im2col", "--svg", str(svg), "--html", str(page)])
        written = Page(page.read_text("utf-8"))

        assert status == 0
        assert svg.read_text("utf-8").startswith('<svg xmlns="http://www.w3.org/2000/svg"')
        assert Page(svg.read_text("utf-8")).open == written.open == []
        assert {"script", "link", "img"}.isdisjoint(written.tags)
        assert written.tags.count("svg") == len(steps("im2col").steps)

    @pytest.mark.parametrize(
        ("arguments", "expected"),
        [
            (["conv1d:float32:x=1,1,101:w=1,1,3:integers@0"], "too large to be drawn"),
            (
                ["conv1d:float32:x=1,1,5:w=1,1,3:invalid=stride-zero:integers@0"],
                "leave out invalid=",
            ),
            ([CASE, "im2cot"], "im2col"),
            (["conv_bias_grad1d:float32:x=1,1,5:integers@0", "scipy"], "implementation 'scipy'"),
        ],
    )
    def test_what_cannot_be_explained_is_refused_in_one_line(
        self, arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        status = main(["explain", *arguments])
        captured = capsys.readouterr()

        assert (status, captured.out) == (2, "")
        assert expected in captured.err
        assert captured.err.count("\n") == 1
