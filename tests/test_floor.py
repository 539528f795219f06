"""No verdict on next to nothing: what must be compared before anything is said to conform."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from conformance import Run, run
from conformance.isolation.dispatch import close_all
from conformance.judging import Prepared
from conformance.registration.implementation import Implementation
from conformance.reports import load
from conformance.reports.headline import headline, not_asked, overall
from conformance.reports.html import html
from conformance.reports.markdown import markdown
from conformance.runfile import asked
from conformance.runfile.words import CONFORMS, INCONCLUSIVE, UNSUPPORTED
from conformance.running import judge_cell
from conformance.running.cell import class_of
from tests.defects import kernels, unregistered
from tests.test_reports import Write, cell, implementation, write

__all__ = ["write"]  # a fixture

CHOSEN: dict[str, Any] = {"operators": ["conv"], "dims": [1], "dtypes": ["float32"]}


@pytest.fixture
def judged(tmp_path: Path) -> Any:
    def judge(*implementations: Implementation, **chosen: Any) -> Run:
        close_all()
        return run(implementations, **CHOSEN | chosen, output=tmp_path / "run")

    return judge


def right(**declared: Any) -> Implementation:
    return unregistered("right", {"conv": kernels.conv}, {"dtypes": "float32"} | declared)


def without(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Let a run end before it comes to the cases of one class, which stay planned."""
    judge_each = judge_cell.judge_each

    def leaving_out(implementation: Implementation, prepared: Any) -> Any:
        listed: list[Prepared] = list(prepared)
        return judge_each(implementation, (p for p in listed if class_of(p.case) != name))

    init = judge_cell.CellJudge.__init__

    def sorted_init(self: Any, *arguments: Any) -> None:
        init(self, *arguments)
        self.called.sort(key=lambda pair: class_of(pair[1].case) == name)

    monkeypatch.setattr(judge_cell, "judge_each", leaving_out)
    monkeypatch.setattr(judge_cell.CellJudge, "__init__", sorted_init)


def test_a_correct_implementation_is_asked_of_every_class(judged: Any) -> None:
    found = judged(right())
    (cell,) = found.cells

    assert (CONFORMS, 0, True) == (cell.verdict, found.exit_status, found.conforms)
    assert {asked.HISTORIES, asked.RELATIONS, "invalid calls", "NaN"} < {*cell.counts}
    assert "reversed arrays" in cell.counts
    assert "" == not_asked(load(found.path))


def test_slow_calls_are_made_on_some_cases_of_every_class(judged: Any) -> None:
    found = judged(right(dtypes="float64", call_seconds=0.013), dtypes=["float64"], seconds=2.0)
    (cell,) = found.cells

    assert CONFORMS == cell.verdict
    assert cell.reached < 0.8 * cell.planned


def test_one_dear_case_does_not_end_a_cell_before_enough_was_compared(judged: Any) -> None:
    slow = right(dtypes="float64", work_seconds=3e-7)  # one case takes a quarter of the budget
    found = judged(slow, dtypes=["float64"], seconds=0.66)

    assert CONFORMS == found.cells[0].verdict


@pytest.mark.parametrize("name", ["reversed arrays", "NaN", "invalid calls"])
def test_a_class_that_was_not_asked_is_named_and_nothing_conforms(
    judged: Any, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    without(monkeypatch, name)
    found = judged(right())
    report = load(found.path)

    assert (INCONCLUSIVE, 3, False) == (found.verdicts["right"], found.exit_status, found.conforms)
    assert INCONCLUSIVE == overall(report)
    assert {"right": (name,)} == report.not_asked
    assert f"Not asked: {name}." == not_asked(report)
    for page in (markdown(report), html(report)):
        assert f"Not asked: {name}." in page


def test_what_an_implementation_declines_is_not_due(judged: Any) -> None:
    found = judged(right(supports=lambda case: not case.memory.startswith("reversed")))
    (cell,) = found.cells

    assert CONFORMS == cell.verdict
    assert "reversed arrays" not in cell.counts


def test_a_run_of_an_implementation_that_supports_nothing_proves_nothing(judged: Any) -> None:
    found = judged(right(supports=lambda case: "never"))

    assert (UNSUPPORTED, 3, False) == (
        found.verdicts["right"],
        found.exit_status,
        found.conforms,
    )


def test_one_inconclusive_implementation_makes_the_run_inconclusive(judged: Any) -> None:
    slow = {"dtypes": "float32", "work_seconds": 1e-4}
    found = judged(right(), unregistered("few", {"conv": kernels.conv}, slow))

    assert {"right": CONFORMS, "few": INCONCLUSIVE} == found.verdicts
    assert 3 == found.exit_status
    assert INCONCLUSIVE == overall(load(found.path))
    assert "1 of 2 implementations conforms, 1 inconclusive" in headline(load(found.path))


def test_a_check_that_is_left_out_is_named(judged: Any) -> None:
    report = load(judged(right(), tier="smoke").path)

    assert not_asked(report).startswith("Not asked: memory layouts, special values, invalid calls")


def test_of_many_kinds_that_were_not_asked_the_first_are_named() -> None:
    report: Any = SimpleNamespace(not_asked={"right": tuple("abcdefg")}, judged=["right"])

    assert "Not asked: a, b, c, d and 3 other kinds of cases." == not_asked(report)


def test_the_sentence_says_in_which_cells_a_class_was_not_asked(write: Write) -> None:
    enough = asked.written({"ordinary calls": (400, 400), "NaN": (40, 40)})
    few = asked.written({"ordinary calls": (400, 400), "NaN": (2_000, 3)})
    dtypes = ("float16", "float32", "float64", "bfloat16")

    def said(count: int) -> str:
        cells = [
            cell("a", dtype=d, classes=few if i < count else enough) for i, d in enumerate(dtypes)
        ]
        return not_asked(write(implementation=[implementation("a")], cell=cells))

    assert "Not asked: NaN (3 of 2,000) in conv 2-D float16." == said(1)
    assert "Not asked: NaN (6 of 4,000) in conv 2-D float16 and conv 2-D float32." == said(2)
    assert "Not asked: NaN (9 of 6,000) in 3 of 4 cells." == said(3)
    assert "Not asked: NaN (12 of 8,000)." == said(4)


def test_a_long_list_of_what_was_not_asked_is_opened_by_a_click(write: Write) -> None:
    names = [f"engine-{number}" for number in range(19)]
    few = {n: asked.written({"ordinary calls": (400, 400), f"kind {n}": (90, 0)}) for n in names}
    cells = [cell(name, classes=classes) for name, classes in few.items()]
    page = html(write(implementation=[implementation(n) for n in names], cell=cells))
    _, _, rest = page.partition('<details class="note"><summary>')
    listed, _, _ = rest.partition("</details>")

    assert listed.startswith("Some kinds of cases were not asked of 19 implementations</summary>")
    assert all(f"kind {name}" in listed for name in names)


def test_half_of_the_cases_are_needed_and_a_tenth_of_each_class() -> None:
    assert asked.enough({"ordinary calls": (400, 200), "NaN": (20, 10)})
    assert not asked.enough({"ordinary calls": (400, 199), "NaN": (20, 10)})
    assert not asked.enough({"ordinary calls": (400, 400), "NaN": (20, 1)})
    assert not asked.enough({"ordinary calls": (400, 400), asked.HISTORIES: (20, 0)})
    assert asked.enough({"ordinary calls": (400, 400), asked.LARGE: (20, 0)})
    assert asked.enough({"ordinary calls": (50, 10)})


def test_counts_are_read_as_they_were_written() -> None:
    counts = {"NaN": (20, 1)}

    assert counts == asked.read(asked.written(counts))
    assert {} == asked.read("[]") == asked.read("{") == asked.read('{"NaN": "no"}')
