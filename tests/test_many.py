"""Reports of many implementations stay readable: words in a matrix, partners in a row each."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from conformance.reports import Report, load
from conformance.reports.alike import MANY, alike, identical_groups
from conformance.reports.html import html
from conformance.reports.markdown import markdown
from conformance.reports.terminal import show
from conformance.runfile.file import RunFile
from tests.test_reports import cell, implementation, pair

NAMES = [f"engine-{letter}[a-long-variant]" for letter in "abcdefghijklmnopqrstuvwxy"]
OPERATORS = ("conv", "conv_transpose", "max_pool", "avg_pool", "conv_input_grad")
OPERATORS += ("conv_weight_grad", "conv_bias_grad", "max_pool_grad", "avg_pool_grad")


@pytest.fixture
def many(tmp_path: Path) -> Callable[..., Report]:
    """Return a function that writes a run of many implementations, and loads its report."""

    def write(count: int = len(NAMES), verdict: str = "conforms") -> Report:
        file = RunFile(tmp_path / "run.sqlite")
        names = NAMES[:count]
        file.add([implementation(name, family=name[:9]) for name in names])
        cells = itertools.product(names, OPERATORS)
        file.add([cell(name, operator, verdict=verdict) for name, operator in cells])
        pairs = itertools.combinations(names, 2)
        file.add([pair(a, b, identical=9000 - abs(ord(a[7]) - ord(b[7]))) for a, b in pairs])
        file.record(finished="2026-01-01T00:00:00+00:00")
        file.close()
        return load(file.path)

    return write


def printed(report: Report) -> list[str]:
    console = Console(file=io.StringIO(), width=80, highlight=False)
    show(report, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_the_terminal_keeps_within_80_columns(many: Callable[..., Report]) -> None:
    lines = printed(many())

    assert 80 >= max(len(line) for line in lines if not line.startswith("run file"))
    assert 120 > len(lines)


def test_every_operator_has_a_column_and_a_word(many: Callable[..., Report]) -> None:
    lines = printed(many(verdict="violates"))

    words = [line for line in lines if "WRONG" in line and "violates" not in line]
    assert len(NAMES) == len(words)
    assert {len(OPERATORS)} == {line.split().count("WRONG") for line in words}


def test_a_verdict_that_is_not_known_is_shown_all_the_same(many: Callable[..., Report]) -> None:
    report = many(verdict="vanished")

    assert any("vanis" in line for line in printed(report))
    assert "vanished" in html(report)
    assert "vanished" in markdown(report)


def test_few_implementations_keep_the_tables_with_numbers(many: Callable[..., Report]) -> None:
    lines = printed(many(MANY))

    assert any("compared" in line and "worst" in line for line in lines)


def test_who_is_most_alike_is_of_another_family(many: Callable[..., Report]) -> None:
    rows = alike(many())

    assert len(NAMES) == len(rows)
    assert NAMES[1] == rows[0].nearest
    assert 8999 == rows[0].same.identical


def test_members_of_one_family_are_witnesses_only_to_each_other(tmp_path: Path) -> None:
    file = RunFile(tmp_path / "run.sqlite")
    families = {"a": "one", "b": "one", "c": "two"}
    file.add([implementation(n, family=f) for n, f in families.items()])
    identical = {("a", "b"): 9000, ("a", "c"): 100, ("b", "c"): 100}
    file.add([pair(*names, identical=count) for names, count in identical.items()])
    file.close()
    report = load(file.path)

    assert ["c", "c"] == [row.nearest for row in alike(report)][:2]
    assert (("a", "b"),) == identical_groups(report)


def test_markdown_has_a_line_for_every_dimension_and_dtype(many: Callable[..., Report]) -> None:
    text = markdown(many())

    assert "Every operator, dimension and dtype" in text
    assert len(NAMES) * len(OPERATORS) == text.count("| 2-D ")


def test_html_draws_a_compact_square(many: Callable[..., Report]) -> None:
    assert 'class="heat many"' in html(many())
    assert 'class="heat"' in html(many(MANY))
