"""Two runs compared: what is new, what is gone, and what cannot be said since it was not asked."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import conformance
from conformance.cli import main
from conformance.registration.registry import Registry
from conformance.reports import load
from conformance.reports.cell_pair import Change
from conformance.reports.comparing import comparison_json, document
from conformance.reports.comparison import Comparison, compare
from conformance.reports.document import document_html, document_markdown
from conformance.reports.history import history, sparkline
from conformance.reports.ranks import chance
from conformance.runfile.file import RunFile
from conformance.runfile.judged import (
    Judged,
    as_list,
    fingerprint,
    read_cell,
    read_lists,
    write_cell,
    write_list,
)
from conformance.runfile.row import Row
from conformance.runfile.tables import Cases, Cell, Implementation, Known, Timing, Violation
from conformance.running.block import Block
from conformance.running.cell import Cell as Running
from conformance.running.stored import packed, unpacked

FACTS = {"seed": 0, "tier": "default", "checks": ["result", "repeat"], "threads": 1}
MACHINE = {"cpu": "A CPU", "cores": 2, "packages": {"numpy": "2.3.1"}}
HOSTILE = "<script>alert(1)</script>|`a`\x1b[31m"

Write = Callable[..., Path]


def case(number: int) -> str:
    return f"conv1d:float32:x=1,1,3:w=1,1,2:integers@{number}"


def implementation(name: str = "mine", verdict: str = "conforms", **changes: Any) -> Implementation:
    row = {"family": "mine", "version": "1", "layout": "NCHW", "error": "componentwise", "note": ""}
    return Implementation(
        name=name, verdict=verdict, accumulate=None, multiply=None, **row | changes
    )


def cell(
    judged: Sequence[int] | None = (), wrong: Sequence[int] = (), **changes: Any
) -> tuple[Cases, Cell]:
    """Return a cell that compared the cases of these numbers, and the row with its list."""
    compared = as_list(fingerprint(case(number)) for number in judged or ())
    violating = as_list(fingerprint(case(number)) for number in wrong)
    digest, text = write_list(compared)
    row: dict[str, Any] = {"implementation": "mine", "operator": "conv", "dims": 1, "elements": 9}
    row |= {"dtype": "float32", "planned": 9, "reached": 9, "unsupported": 0, "nonzero": 9}
    row |= {"compared": len(compared), "violating": len(wrong), "worst": 0.5, "worst_case": None}
    row |= {"seconds": 1.0, "verdict": "violates" if wrong else "conforms"}
    row["cases"] = write_cell(digest, compared, Judged(compared, violating))
    if judged is None:
        row |= {"cases": "", "compared": 5}
    return Cases(digest=digest, fingerprints=text), Cell(**row | changes)


def violation(found: str, requirement: str = "CONV-5", **changes: Any) -> Violation:
    row: dict[str, Any] = {"implementation": "mine", "operator": "conv", "dims": 1, "script": ""}
    row |= {"dtype": "float32", "status": "violates", "severity": "values", "case": case(0)}
    row |= {"count": 1, "message": "1 of 1 elements differ", "replay": "convformance replay"}
    return Violation(found=found, requirement=requirement, **row | changes)


def timing(samples: Sequence[float], name: str = "mine", **changes: Any) -> Timing:
    row: dict[str, Any] = {"layer": "alexnet/conv1", "case": case(0), "calls": len(samples)}
    row |= {"lower": None, "upper": None, "ratio": None, "macs": 1, "gflops": None, "peak": None}
    row |= {"threads": 1, "verified": "conforms", "samples": json.dumps([*samples])}
    return Timing(implementation=name, median=float(np.median(samples)), **row | changes)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes a run of the given rows, and returns its file."""

    def write(name: str, *rows: Row | tuple[Row, ...], finished: bool = True, **facts: Any) -> Path:
        file = RunFile(tmp_path / name / "run.sqlite")
        file.record(**FACTS | {"machine": MACHINE} | facts)
        for row in (implementation(), *rows):
            file.add(row if isinstance(row, tuple) else (row,))
        if finished:
            file.record(finished="2026-01-01T00:00:00+00:00")
        file.close()
        return file.path

    return write


def compared(old: Path, new: Path, **options: Any) -> Comparison:
    return compare(load(old), load(new), **{"factor": 1.5} | options)


def numbers(changes: Sequence[Change]) -> list[tuple[str, int]]:
    return [(change.requirement, change.cases) for change in changes]


def test_what_a_case_of_both_runs_shows_is_newly_violated(write: Write) -> None:
    old = write("old", cell(range(8)))
    new = write("new", cell(range(2, 12), wrong=[4, 5, 11]), violation(case(4)))

    found = compared(old, new)

    assert [("CONV-5", 2)] == numbers(found.newly_violates)
    assert found.is_regression
    assert (6, 2, 4, 1) == (found.cases, found.only_old, found.only_new, found.cells)


def test_what_only_a_case_shows_that_the_old_run_did_not_judge_is_no_regression(
    write: Write,
) -> None:
    old = write("old", cell(range(8)), seed=1)
    new = write("new", cell(range(4, 12), wrong=[11]), violation(case(11)))

    found = compared(old, new)

    assert not found.is_regression
    assert ["old"] == [missing.side for missing in found.missing]
    assert "CONV-5: its cases were not judged" in found.missing[0].reason


def test_what_no_case_of_the_new_run_could_show_is_not_called_mended(write: Write) -> None:
    old = write("old", cell(range(8), wrong=[1]), violation(case(1)))

    assert [("CONV-5", 1)] == numbers(compared(old, write("new", cell(range(8)))).newly_conforms)
    fewer = compared(old, write("fewer", cell(range(4, 8))))
    assert () == fewer.newly_conforms
    assert ["new"] == [missing.side for missing in fewer.missing]


def test_more_wrong_cases_of_a_requirement_that_was_violated_are_a_regression(
    write: Write,
) -> None:
    old = write("old", cell(range(8), wrong=[1]), violation(case(1)))
    new = write("new", cell(range(8), wrong=[1, 2, 3]), violation(case(1)))

    assert [("CONV-5", 2)] == numbers(compared(old, new).newly_violates)
    assert [("CONV-5", 0)] == numbers(compared(old, old).still_violates)
    assert not compared(old, old).is_regression


def test_a_history_of_calls_is_compared_where_both_were_asked_for_some(write: Write) -> None:
    asked = {"classes": json.dumps({"histories of calls": [5, 5]})}
    shown = violation("a history", "REPEAT-1")
    new = write("new", cell(range(8), **asked), shown)
    unasked = write("unasked", cell(range(8)))
    left_out = write("left out", cell(range(8), **asked), checks=["result"])

    assert compared(write("asked", cell(range(8), **asked)), new).is_regression
    assert not compared(unasked, new).is_regression
    assert not compared(left_out, new).is_regression


def test_a_wrong_adapter_is_a_regression_without_a_case(write: Write) -> None:
    old = write("old", cell(range(8)))
    new = write("new", cell((), verdict="adapter wrong"))

    assert ["conforms, now adapter wrong"] == [
        change.message for change in compared(old, new).newly_violates
    ]


def test_what_one_run_alone_has_is_listed_with_the_side_that_lacks_it(write: Write) -> None:
    old = write("old", cell(range(8)), cell(range(8), operator="max_pool"))
    declined = cell((), verdict="unsupported", compared=0)
    new = write("new", declined, cell(range(8), operator="avg_pool"), implementation("other"))

    assert {
        ("new", "conv", "unsupported"),
        ("new", "max_pool", "not in the run"),
        ("old", "avg_pool", "not in the run"),
        ("old", "", "not in the run"),
    } == {(m.side, m.operator, m.reason) for m in compared(old, new).missing}


def test_versions_machine_and_what_was_asked_for_are_told_where_they_differ(write: Write) -> None:
    old = write("old", cell(range(8)))
    packages = {"packages": {"numpy": "2.4.0"}}
    new = write(
        "new", implementation(version="2"), cell(range(8)), seed=1, machine=MACHINE | packages
    )

    assert [
        ("version", "mine", "1", "2"),
        ("version", "numpy", "2.3.1", "2.4.0"),
        ("asked for", "seed", "0", "1"),
    ] == [(s.kind, s.name, s.old, s.new) for s in compared(old, new).settings]


def test_a_known_difference_that_is_gone_newly_conforms(write: Write) -> None:
    row = {"implementation": "mine", "requirement": "CONV-5", "operator": "conv", "case": case(1)}
    row |= dict.fromkeys(("covers", "reason", "link", "versions", "message"), "")
    row |= dict.fromkeys(("script", "engine_script", "replay"), "")
    old = write("old", cell(range(8)), Known(status="known difference", count=1, **row))
    new = write("new", cell(range(8)), Known(status="stale", count=0, **row))

    assert [("CONV-5", 0)] == numbers(compared(old, new).newly_conforms)


def test_files_that_do_not_say_which_cases_they_judged_are_compared_by_their_settings(
    write: Write,
) -> None:
    classes = json.dumps({"ordinary calls": [6, 5]})
    old = write("old", cell(None, classes=classes))
    new = write("new", cell(None, classes=classes, verdict="violates"), violation(case(1)))
    other = write("other", cell(None, classes=classes), seed=1)

    assert (5, False, True) == (
        compared(old, new).cases,
        compared(old, new).exact,
        compared(old, new).is_regression,
    )
    assert not compared(other, new).is_regression


class TestSpeed:
    """Speed: a factor and a rank test must both say that it changed."""

    def seconds(self, typical: float, calls: int = 20) -> list[float]:
        noise = random.Random(typical)
        return [typical * noise.uniform(1, 1.1) for _ in range(calls)]

    def test_what_takes_twice_as_long_is_slower_and_the_other_way_round_faster(
        self, write: Write
    ) -> None:
        old = write("old", timing(self.seconds(1e-3)))
        new = write("new", timing(self.seconds(2e-3)))

        slower = compared(old, new)
        assert [1.9 < s.factor < 2.1 for s in slower.speeds.slower] == [True]
        assert slower.is_regression
        assert [1.9 < 1 / s.factor for s in compared(new, old).speeds.faster] == [True]
        assert not compared(new, old).is_regression

    @pytest.mark.parametrize("calls", [3, 20])
    def test_neither_a_small_factor_nor_few_calls_are_a_change(
        self, write: Write, calls: int
    ) -> None:
        old = write("old", timing(self.seconds(1e-3, calls)))
        new = write("new", timing(self.seconds(2e-3 if calls == 3 else 1.3e-3, calls)))

        assert not compared(old, new).is_regression

    def test_a_large_factor_that_chance_explains_is_no_change(self, write: Write) -> None:
        old = write("old", timing([1e-3, 1e-3, 1e-3, 9e-3, 9e-3]))
        new = write("new", timing([1e-3, 9e-3, 9e-3, 9e-3, 1e-3]))

        assert not compared(old, new).is_regression

    def test_no_speed_is_compared_across_machines(self, write: Write) -> None:
        old = write("old", timing(self.seconds(1e-3)))
        new = write("new", timing(self.seconds(5e-3)), machine=MACHINE | {"cpu": "Another"})

        assert not compared(old, new).is_regression
        assert "the machine's cpu differs" in compared(old, new).speeds.note

    def test_outputs_of_timed_calls_that_are_wrong_now_are_a_regression(self, write: Write) -> None:
        old = write("old", timing(self.seconds(1e-3)))
        for change in ({"verified": "call 3: differs"}, {"doubt": "faster than memory"}):
            new = write("new", timing(self.seconds(1e-3), **change))

            assert compared(old, new).is_regression
            assert 0 == compared(old, new).speeds.compared

    def test_the_rank_test_agrees_with_the_one_of_scipy(self) -> None:
        from scipy.stats import mannwhitneyu

        numbers = random.Random(0)
        for size, other, ties in ((5, 7, False), (20, 20, False), (30, 25, True), (12, 40, True)):
            first = [round(numbers.random(), 1 if ties else 9) for _ in range(size)]
            second = [round(numbers.random() + 0.2, 1 if ties else 9) for _ in range(other)]
            method = "asymptotic" if ties or size * other > 400 else "exact"
            expected = mannwhitneyu(first, second, method=method).pvalue

            assert chance(first, second) == pytest.approx(expected, rel=1e-9)
        assert chance([1.0] * 5, [1.0] * 5) == 1


def test_a_run_writes_which_cases_it_compared_and_which_violate(
    tmp_path: Path, copied_registry: Registry, cache_folder: Path
) -> None:
    """Two implementations of one run: where do they differ?"""
    from conformance.implementations.im2col import conv as right

    @conformance.implementation("mine@old", version="1")
    def conv(x, w, bias, *, stride, padding, dilation, groups):
        return right(x, w, bias, stride=stride, padding=padding, dilation=dilation, groups=groups)

    old = conv

    @conformance.implementation("mine", version="2")
    def conv(x, w, bias, *, stride, padding, dilation, groups):
        y = right(x, w, bias, stride=stride, padding=padding, dilation=dilation, groups=groups)
        return y + (max(dilation) > 1)

    options: dict[str, Any] = {"operators": ("conv",), "dims": (1,), "dtypes": ("float32",)}
    options |= {"checks": ("result",), "examples": 20, "suites": (), "tier": "smoke"}
    run = conformance.run([old, conv], **options, output=tmp_path)
    report = load(run.path)

    found = compare(report, report, [("mine@old", "mine")], factor=1.5)

    (wrong,) = (cell for cell in report.cells if cell.implementation == "mine")
    (change,) = found.newly_violates
    assert (wrong.compared, 0, 0) == (found.cases, found.only_old, found.only_new)
    assert ("CONV-5", wrong.violating) == (change.requirement, change.cases)
    assert [("version", "mine@old, mine")] == [(s.kind, s.name) for s in found.settings]


def test_a_block_that_is_kept_says_which_cases_it_judged() -> None:
    one, other = Running("one", "conv", 1, "float32"), Running("other", "conv", 1, "float32")
    one.judged, other.judged = [3, 1, 2], [2, 9]
    block = Block("conv", 1, [one, other], Counter(), [], Counter())

    block.list_cases()
    again = unpacked(packed(block), Block)

    lists = read_lists(again.cases.items())
    judged = [read_cell(cell.cases, lists) for cell in again.cells]
    assert [[1, 2, 3], [2, 9]] == [[*map(int, cell.compared)] for cell in judged if cell]


def test_every_form_shows_a_comparison_and_nothing_of_it_is_interpreted(write: Write) -> None:
    old = write("old", cell(range(8)), timing([1e-3] * 20), implementation(version=HOSTILE))
    new = write(
        "new",
        cell(range(8), wrong=[1]),
        violation(case(1), HOSTILE, message=HOSTILE),
        timing([9e-3] * 20),
        finished=False,
    )
    found = compared(old, new)

    shown = document(found)

    for text in (document_html(shown), document_markdown(shown)):
        assert "<script>" not in text
        assert "\x1b" not in text
        assert "Newly violates" in text
        assert "incomplete" in text
        assert "1 ms" in text.replace("1.00", "1").replace(".00", "")
    assert json.loads(json.dumps(comparison_json(found), allow_nan=False))["regression"] is True


class TestCommands:
    """The commands as a user types them."""

    @pytest.fixture(autouse=True)
    def width(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("COLUMNS", "100")

    def call(self, capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
        status = main([*map(str, arguments)])
        return status, *capsys.readouterr()

    def test_compare_exits_with_1_on_a_regression_alone(
        self, write: Write, capsys: pytest.CaptureFixture[str]
    ) -> None:
        old = write("old", cell(range(8)))
        new = write("new", cell(range(8), wrong=[1]), violation(case(1)))

        status, out, _ = self.call(capsys, "compare", old.parent, new)
        assert (1, True) == (status, "Newly violates: CONV-5 of mine. Both have 8 cases" in out)
        status, out, _ = self.call(capsys, "compare", new, old, "--json")
        assert (0, "CONV-5") == (status, json.loads(out)["newly_conforms"][0]["requirement"])
        status, out, _ = self.call(capsys, "compare", old, old)
        assert (0, "Nothing changed. Both have 8 cases in 1 cell.\n") == (status, out)

    def test_compare_writes_the_files_that_it_is_asked_for(
        self, write: Write, capsys: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        old = write("old", cell(range(8)))

        pages = "--markdown", tmp_path / "c.md", "--html", tmp_path / "c.html"
        assert 0 == self.call(capsys, "compare", old, old, *pages)[0]

        assert (tmp_path / "c.md").read_text().startswith("✅ **Nothing changed")
        assert (tmp_path / "c.html").read_text().startswith("<!doctype html>")

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (None, "no such file"),
            (b"", "not a run file"),
            (b"SQLite format 3\x00" + b"\x00" * 50, "not a run file"),
            (b"hello", "not a run file"),
        ],
    )
    def test_a_file_that_is_no_run_file_is_one_line(
        self,
        write: Write,
        capsys: pytest.CaptureFixture[str],
        tmp_path: Path,
        content: bytes | None,
        words: str,
    ) -> None:
        other = tmp_path / "other.sqlite"
        if content is not None:
            other.write_bytes(content)

        status, out, err = self.call(capsys, "compare", write("old", cell(range(8))), other)

        assert (2, "", 1) == (status, out, err.count("\n"))
        assert words in err
        assert str(other) in err

    def test_a_truncated_run_file_and_one_of_another_version_are_one_line_each(
        self, write: Write, capsys: pytest.CaptureFixture[str]
    ) -> None:
        old = write("old", cell(range(8)), *(violation(case(n)) for n in range(500)))
        cut, later = write("cut", cell(range(8))), write("later", cell(range(8)), format=99)
        cut.write_bytes(old.read_bytes()[:8192])

        for other, words in ((cut, "cut off"), (later, "99")):
            status, _, err = self.call(capsys, "compare", old, other)
            assert (2, 1) == (status, err.count("\n"))
            assert words in err

    def test_wrong_numbers_of_files_and_unknown_names_are_one_line_each(
        self, write: Write, capsys: pytest.CaptureFixture[str]
    ) -> None:
        old = write("old", cell(range(8)))
        for arguments, words in (
            ((old,), "takes two run files"),
            ((old, old, old), "convformance history"),
            ((old, old, "--between", "mine", "mine"), "one run file"),
            ((old, "--between", "mine", "mime"), "did you mean mine?"),
            ((old, old, "-i", "yours"), "'yours' is unknown"),
        ):
            status, out, err = self.call(capsys, "compare", *arguments)
            assert (2, "", 1) == (status, out, err.count("\n"))
            assert words in err

    def test_history_shows_a_trend_and_fails_for_the_last_step(
        self, write: Write, capsys: pytest.CaptureFixture[str]
    ) -> None:
        wrong = (cell(range(8), wrong=[1]), violation(case(1)))
        files = [
            write("third", *wrong, started="2026-01-03"),
            write("first", *wrong, started="2026-01-01"),
            write("second", cell(range(8)), started="2026-01-02"),
        ]

        status, out, _ = self.call(capsys, "history", *files)
        assert (1, True) == (status, "█▁█" in out)
        status, out, _ = self.call(capsys, "history", *files[1:], "--json")
        assert (0, [1, 0]) == (status, json.loads(out)["implementations"][0]["violated"])
        assert 2 == self.call(capsys, "history", files[0])[0]


def test_a_sparkline_shows_what_is_missing_as_missing() -> None:
    assert "▁·█▅" == sparkline([0, None, 7, 4])
    assert "▁▁" == sparkline([0, 0])


def test_a_history_has_the_time_of_the_layers_that_all_its_runs_timed(write: Write) -> None:
    first = write("1", timing([1e-3] * 9), timing([5.0] * 9, layer="other"), started="1")
    second = write("2", timing([2e-3] * 9), started="2")

    (trend,) = history([load(first), load(second)], factor=1.5).trends

    assert pytest.approx((1e-3, 2e-3)) == trend.time
