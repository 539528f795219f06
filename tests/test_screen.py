"""One screen: what a run prints at its end, at any width, however much there is to say."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console

from conformance.reports import Report
from conformance.reports.gaps import ranged
from conformance.reports.printing import console
from conformance.reports.screen import show_screen
from conformance.reports.terminal import show
from conformance.runfile.tables import Gap, Known
from tests.test_reports import (
    FORMS,
    HOSTILE,
    RUNS,
    Write,
    cell,
    gap,
    implementation,
    violation,
    write,
)

__all__ = ["write"]

SEVEN = [f"implementation-{letter}" for letter in "abcdefg"]
OPERATORS = ("conv", "conv_transpose", "max_pool", "avg_pool", "conv_input_grad", "conv_bias_grad")
CASE = "conv2d:float32:x=2,3,5,7:w=4,3,3,3:bias:stride=2,1:padding=1/0,0/0:normal@{}"
PLUGIN = "--plugin /home/me/{}.py"


def printed(report: Report, width: int = 80) -> list[str]:
    output = io.StringIO()
    show_screen(report, Console(file=output, width=width, highlight=False))
    return output.getvalue().splitlines()


def rows(lines: list[str], width: int = 80) -> int:
    """Return how many rows of a terminal the lines take."""
    return sum(max(1, -(-len(line) // width)) for line in lines)


def wrong(name: str, number: int, **changes: Any) -> Any:
    case = CASE.format(number)
    command = f"convformance replay '{case}' {name} {PLUGIN.format(name)}"
    message = "12 of 64 elements differ; " + "worst at [0, 0, 0]: got -53, exact -41; " * 6
    row = {"requirement": f"CONV-{number}", "case": case, "replay": command, "message": message}
    return violation(name, **row | changes)


def seven(write: Write, *, violating: int, each: int) -> Report:
    """Return a run of seven, the first ``violating`` of which violate ``each`` requirements."""
    verdicts = {name: "violates" if i < violating else "conforms" for i, name in enumerate(SEVEN)}
    return write(
        implementation=[implementation(n, v, note="slow " * 60) for n, v in verdicts.items()],
        cell=[
            cell(name, operator, unsupported=9, reached=70, verdict=verdict)
            for (name, verdict), operator in itertools.product(verdicts.items(), OPERATORS)
        ],
        violation=[wrong(name, n + 1) for name in SEVEN[:violating] for n in range(each)],
        unsupported=[gap(name, reason=f"reason {n}" * 20) for name in SEVEN for n in range(40)],
    )


@pytest.mark.parametrize("violating", [0, 1, 3, 7])
@pytest.mark.parametrize("each", [1, 10])
def test_seven_implementations_take_40_lines_whatever_they_violate(
    write: Write, violating: int, each: int
) -> None:
    lines = printed(seven(write, violating=violating, each=each))

    assert 38 >= rows(lines)  # two are left for the names of the reports
    for name in SEVEN:
        assert any(line.startswith(name) and "2.3.1" in line for line in lines)


def test_who_violates_is_told_with_the_worst_finding_and_its_command(write: Write) -> None:
    lines = printed(seven(write, violating=7, each=10))

    for name in SEVEN:
        (head,) = (line for line in lines if line.startswith(f"violates  {name}, conv: CONV-1:"))
        own = lines[lines.index(head) + 1 :]
        command = next(line for line in own if line.startswith("convformance replay"))
        assert command.endswith(PLUGIN.format(name))
        assert CASE.format(1) in command


def test_a_plugin_with_ten_violations_has_the_worst_in_full_and_a_line_for_each_other(
    write: Write,
) -> None:
    found = [wrong("mine", n + 1) for n in range(9)]
    found.append(wrong("mine", 1, requirement="PROCESS-1", status="crashed"))
    report = write(
        implementation=[implementation("mine", "violates")],
        cell=[cell("mine", operator, verdict="violates") for operator in OPERATORS],
        violation=found[::-1],
    )
    lines = printed(report)
    heads = [line for line in lines if line.startswith(("violates  ", "crashed  "))]

    assert 38 >= rows(lines)
    assert 10 == len(heads)
    assert "CONV-1:" in heads[0]
    assert CASE.format(1) in lines
    assert any(line.startswith("  12 of 64 elements differ") for line in lines)


def test_more_violations_than_lines_are_counted(write: Write) -> None:
    report = write(
        cell=[cell("mine", verdict="violates")],
        violation=[wrong("mine", n + 1) for n in range(60)],
    )
    lines = printed(report)
    heads = sum(line.startswith("violates  ") for line in lines)

    assert 38 >= rows(lines)
    assert f"and {60 - heads} further violations: --verbose" in lines


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_names_and_verdicts_are_whole_at_any_width(write: Write, width: int) -> None:
    lines = printed(seven(write, violating=3, each=1), width)

    for index, name in enumerate(SEVEN):
        verdict = "violates" if index < 3 else "conforms"
        (row,) = (line for line in lines if line.split()[:1] == [name])
        assert row.endswith(verdict)


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_case_ids_and_commands_are_never_broken(write: Write, width: int) -> None:
    one = wrong("mine", 1)
    lines = printed(write(cell=[cell("mine", verdict="violates")], violation=[one]), width)

    assert {one.case, one.replay} <= set(lines)


@pytest.mark.parametrize("columns", ["0", "-3", "wide", ""])
def test_a_senseless_number_of_columns_is_not_believed(
    write: Write, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)

    assert console().width >= 40


@pytest.mark.parametrize("width", [40, 80])
def test_the_full_tables_keep_names_and_verdicts_whole_too(write: Write, width: int) -> None:
    output = io.StringIO()
    show(seven(write, violating=0, each=0), Console(file=output, width=width, highlight=False))
    table, *_ = output.getvalue().split("\n\n")

    for name in SEVEN:
        assert name in table.split()
    assert len(SEVEN) * len(OPERATORS) == table.split().count("conforms")


@pytest.mark.parametrize("run", RUNS)
def test_every_run_has_a_screen(write: Write, run: str) -> None:
    lines = printed(write(**RUNS[run]))

    assert lines
    assert 38 >= rows([line for line in lines if HOSTILE.split("|")[0] not in line])


def test_one_implementation_has_a_line_for_each_operator(write: Write) -> None:
    lines = printed(write(cell=[cell("mine"), cell("mine", "avg_pool", dims=1)]))

    assert ["mine", "conv", "avg_pool"] == [line.split()[0] for line in lines[:3]]


def test_known_differences_are_counted_and_stale_ones_are_named(write: Write) -> None:
    values = {"operator": "conv", "covers": "x", "reason": "y", "link": "", "versions": ""}
    values |= {"message": "", "script": "", "engine_script": "", "replay": "", "case": CASE}
    statuses = [("CONV-3", "known difference"), ("CONV-4", "stale")]
    entries = [
        Known(implementation="mine", requirement=number, status=status, count=5, **values)
        for number, status in statuses
    ]
    text = "\n".join(printed(write(cell=[cell("mine", known=5)], known=entries)))

    assert "known differences that occur: mine 1" in text
    assert "stale: mine, conv: CONV-4 no longer occurs" in text


def test_the_last_line_is_the_outcome(write: Write) -> None:
    assert (
        "mine conforms, worst error 0.250 of the bound; 80 cases compared."
        == (printed(write(cell=[cell("mine")]))[-1])
    )


def test_invalid_calls_have_one_block_with_a_line_each(write: Write) -> None:
    base = "conv1d:float32:x=1,1,1:w=1,1,1:invalid={}:integers@0"
    mistakes = {"REJECT-10": "bias-row", "REJECT-3": "stride-zero"}
    rejections = [
        wrong("mine", 1, operator=operator, requirement=number, case=base.format(mistake))
        for number, mistake in mistakes.items()
        for operator in OPERATORS
    ]
    few = cell("mine", verdict="violates", invalid=100, accepted=12)
    lines = printed(write(cell=[few], violation=rejections))

    (first,) = (n for n, line in enumerate(lines) if "2 requirements on invalid calls" in line)
    assert lines[first + 1].startswith("  REJECT-3  stride-zero: conv, conv_transpose, ")
    assert lines[first + 2].startswith("  REJECT-10 bias-row: conv, conv_transpose, ")
    assert "12 of 100 invalid calls were not rejected" in lines[first + 3]
    assert 1 == sum(line.startswith("convformance replay") for line in lines)


def test_where_most_invalid_calls_are_accepted_one_line_says_what_to_declare(write: Write) -> None:
    base = "conv1d:float32:x=1,1,1:w=1,1,1:invalid=stride-zero:integers@0"
    rejections = [wrong("mine", 1, requirement=f"REJECT-{n}", case=base) for n in range(3, 15)]
    most = cell("mine", verdict="violates", invalid=100, accepted=60)
    lines = printed(write(cell=[most], violation=rejections))
    text = " ".join(" ".join(lines).split())

    assert [] == [line for line in lines if "REJECT-12" in line]
    assert "60 of 100 invalid calls were not rejected" in text
    assert 'if its callers check the arguments, declare arguments="unchecked"' in text


# --- gaps -----------------------------------------------------------------------------------------


def gaps(*reasons: str) -> list[Gap]:
    return [Gap(implementation="a", operator="conv", reason=r, count=2) for r in reasons]


@pytest.mark.parametrize(
    ("reasons", "expected"),
    [
        (
            ("it would have 9000000 elements, more than 64", "it would have 1024 elements, more "
             "than 64"),
            ["it would have 1,024 to 9,000,000 elements, more than 64"],
        ),
        (("no float16", "no float32"), ["no float16", "no float32"]),
        (("no 2-D", "no 3-D"), ["no 2-D", "no 3-D"]),
        (("from 2.13.0 on", "from 2.14.0 on"), ["from 2.13.0 on", "from 2.14.0 on"]),
        (("1,024 of 3", "9 of 3.5"), ["9 to 1,024 of 3 to 3.5"]),
        (("kernel 3 beyond 2",) * 2, ["kernel 3 beyond 2"]),
        ((f"{'9' * 5000} elements", "1 elements"), [None]),
    ],
)  # fmt: skip
def test_gaps_that_differ_in_numbers_alone_are_one_with_a_range(
    reasons: tuple[str, ...], expected: list[str | None]
) -> None:
    found = list(ranged(gaps(*reasons)))

    assert len(expected) == len(found)
    assert [r for r in expected if r] == [g.reason for g in found if expected[0]]
    assert 2 * len(reasons) == sum(g.count for g in found)


@pytest.mark.parametrize("form", ["markdown", "html"])
def test_the_reports_group_gaps_as_well(write: Write, form: str) -> None:
    render: Callable[[Report], str] = FORMS[form]
    text = render(write(cell=[cell("a")], unsupported=gaps("7 long", "3000 long")))

    assert "7 to 3,000 long" in text
