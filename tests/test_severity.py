"""Severity: what is said first, in every form of report, and what fails a run."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from conformance import implementation as register
from conformance.cli import main
from conformance.implementations import im2col
from conformance.known.difference import KnownDifference
from conformance.registration.registry import get
from conformance.reports.as_json import as_json
from conformance.reports.headline import headline
from conformance.reports.html import html
from conformance.reports.markdown import markdown
from conformance.requirements import SEVERITIES, by_severity, requirements, severity
from conformance.runfile.words import CRASHED, TIMED_OUT, VIOLATES
from conformance.running.run import run
from tests.test_reports import Write, cell, implementation, violation, write

__all__ = ["write"]

VALID = [
    ("CONV-3", VIOLATES, "values"),
    ("RESULT-4", VIOLATES, "values"),
    ("GRAD-4", VIOLATES, "values"),
    ("INTEGER-1", VIOLATES, "values"),
    ("RELATE-1", VIOLATES, "values"),
    ("EMPTY-1", VIOLATES, "values"),
    ("DECLARE-1", CRASHED, "values"),
    ("PROCESS-1", CRASHED, "values"),
    ("PROCESS-2", TIMED_OUT, "values"),
    ("LATER-1", VIOLATES, "values"),
    ("PURE-1", VIOLATES, "state"),
    ("PURE-1", CRASHED, "state"),
    ("REPEAT-2", VIOLATES, "state"),
    ("REJECT-2", VIOLATES, "state"),
    ("PROCESS-4", VIOLATES, "state"),
    ("LAYOUT-3", VIOLATES, "layouts"),
    ("LAYOUT-6", CRASHED, "layouts"),
    ("SPECIAL-1", VIOLATES, "layouts"),
    ("MAXPOOL-5", VIOLATES, "layouts"),
    ("DECLARE-5", VIOLATES, "declarations"),
    ("GRAD-14", VIOLATES, "declarations"),
]


@pytest.mark.parametrize(("requirement", "status", "expected"), VALID)
def test_the_requirement_and_how_a_valid_call_ended_say_how_bad_it_is(
    requirement: str, status: str, expected: str
) -> None:
    assert expected == severity(requirement, status, valid=True)


@pytest.mark.parametrize("status", [VIOLATES, CRASHED, TIMED_OUT])
def test_on_an_invalid_call_every_finding_is_one_of_invalid_calls(status: str) -> None:
    """Only what it leaves changed in the process is as bad as it is after a valid call."""
    found = {number: severity(number, status, valid=False) for number in requirements()}

    assert "state" == found.pop("PROCESS-6")
    assert {"invalid"} == {*found.values()}


def test_a_crash_on_an_invalid_call_comes_before_one_that_is_accepted() -> None:
    statuses = (TIMED_OUT, CRASHED, VIOLATES)
    keys = [by_severity("invalid", status, "REJECT-3", 1, "a") for status in statuses]

    assert keys[0] == keys[1] < keys[2] < by_severity("invalid", VIOLATES, "REJECT-10", 1, "a")


CONV = "conv1d:float32:x=1,1,1:w=1,1,1:integers@0"
INVALID = "conv1d:float32:x=1,1,1:w=1,1,1:invalid={}:integers@0"
ORDERED = [
    violation("a", requirement="CONV-3", case=CONV),
    violation("a", requirement="CONV-10", case=CONV),
    violation("a", requirement="PROCESS-1", status=CRASHED, case=CONV),
    violation("a", requirement="PURE-1", case=CONV),
    violation("a", requirement="LAYOUT-1", case=CONV),
    violation("a", requirement="DECLARE-5", case=CONV),
    violation("a", requirement="REJECT-9", status=CRASHED, case=INVALID.format("w-cut")),
    violation("a", requirement="REJECT-3", case=INVALID.format("stride-zero")),
    violation("a", requirement="REJECT-10", case=INVALID.format("bias-row")),
]
"""Violations in the order in which every report has them."""


@pytest.mark.parametrize("shuffled", [ORDERED[::-1], ORDERED[1::2] + ORDERED[::2]])
def test_every_report_has_the_worst_first_and_numbers_in_their_order(
    write: Write, shuffled: list[Any]
) -> None:
    report = write(
        implementation=[implementation("a", "violates")],
        cell=[cell("a", dims=2, verdict="violates")],
        violation=shuffled,
    )
    expected = [one.requirement for one in ORDERED]
    (one,) = as_json(report)["implementations"][0]["cells"]

    def cited(text: str) -> list[str]:
        found = re.findall(r"\b[A-Z]+-\d+\b", text)
        return [number for number in dict.fromkeys(found) if number in expected]

    assert expected == [v["requirement"] for v in one["violations"]]
    assert headline(report).startswith("a violates CONV-3 and 8 more;")
    page = html(report)
    assert expected == cited(page[page.index('id="violations"') :])
    text = markdown(report)
    assert expected == cited(text[text.index("### Violations") :])


def test_every_violation_in_json_has_its_severity(write: Write) -> None:
    data = as_json(write(violation=ORDERED))
    cells = [cell for one in data["implementations"] for cell in one["cells"]]
    found = [v["severity"] for cell in cells for v in cell["violations"]]

    assert [*SEVERITIES] == list(dict.fromkeys(found))


def test_the_smaller_case_comes_first_where_all_else_is_equal(write: Write) -> None:
    rows = [violation(name, requirement="CONV-3", case=CONV + name) for name in ("bb", "a")]

    assert ["a", "bb"] == [f.smallest.implementation for f in write(violation=rows).findings()]


def test_all_rejections_of_one_implementation_are_one_finding(write: Write) -> None:
    operators = ("conv", "max_pool", "avg_pool")
    rows = [
        violation(name, operator=operator, requirement=number, case=INVALID.format(mistake))
        for name, operator in itertools.product(("a", "b"), operators)
        for number, mistake in (("REJECT-10", "bias-row"), ("REJECT-3", "stride-zero"))
    ]
    one, other = write(violation=rows).findings()

    assert {"a", "b"} == {one.smallest.implementation, other.smallest.implementation}
    assert ["REJECT-3", "REJECT-10"] == [f.smallest.requirement for f in one.rejections]
    assert [operators, operators] == [f.operators for f in one.rejections]
    assert (18, 2) == (one.count, one.further)


def test_one_requirement_on_invalid_calls_is_a_finding_like_any_other(write: Write) -> None:
    (one,) = write(violation=[ORDERED[-1]]).findings()

    assert () == one.rejections


# --- what fails a run -----------------------------------------------------------------------------

PLUGIN = """
import numpy as np
from conformance import implementation
from conformance.implementations.im2col import conv as right

@implementation("{name}", dtypes=("float32",))
def conv(x, w, bias, *, stride, padding, dilation, groups):
    {body}
"""
CALL = "right(x, w, bias, stride=stride, padding=padding, dilation=dilation, groups=groups)"
BODIES = {
    "values": f"return {CALL} + (max(dilation) > 1)",
    "state": f"y = {CALL}; x[...] = 0; return y",
    "layouts": f"return {CALL} * (1 if x.flags.c_contiguous else 2)",
    "invalid": (
        f"stride = tuple(max(1, s) if isinstance(s, int) else s for s in stride)\n    return {CALL}"
    ),
}
TINY = ("--tier", "default", "--examples", "6", "--suite", "none", "--dims", "1", "--no-isolate")


@pytest.fixture
def judged(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cache_folder: Path,
    copied_registry: object,
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., tuple[int, list[str]]]:
    """Return a function that runs a kernel; exit status, and the severities of what is found."""
    monkeypatch.chdir(tmp_path)

    def judge(kind: str, *options: str) -> tuple[int, list[str]]:
        Path(f"{kind}.py").write_text(PLUGIN.format(name=kind, body=BODIES[kind]))
        status = main(("run", "--plugin", f"{kind}.py", *TINY, "--json", *options))
        (one,) = json.loads(capsys.readouterr().out)["implementations"]
        return status, [v["severity"] for cell in one["cells"] for v in cell["violations"]]

    return judge


@pytest.mark.parametrize("kind", ["values", "state", "layouts", "invalid"])
def test_fail_on_chooses_from_which_severity_a_run_fails(
    judged: Callable[..., tuple[int, list[str]]], kind: str
) -> None:
    status, found = judged(kind)
    worst = min(map(SEVERITIES.index, found))

    assert (1, kind) == (status, SEVERITIES[worst])
    if worst:
        assert 0 == judged(kind, "--fail-on", SEVERITIES[worst - 1])[0]
    assert 1 == judged(kind, "--fail-on", SEVERITIES[worst])[0]


def test_a_verdict_stays_what_it_is_whatever_fails_the_run(
    judged: object, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("invalid.py").write_text(PLUGIN.format(name="invalid", body=BODIES["invalid"]))
    status = main(("run", "--plugin", "invalid.py", *TINY, "--fail-on", "values"))

    assert 0 == status
    assert "invalid violates REJECT-3" in capsys.readouterr().out


def test_an_unknown_severity_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(("run", "--fail-on", "nothing"))
    out, err = capsys.readouterr()

    assert (2, "", 1) == (status, out, err.count("\n"))
    for name in SEVERITIES:
        assert name in err


def test_a_run_has_its_violations_in_that_order_as_well(
    tmp_path: Path, cache_folder: Path, copied_registry: object
) -> None:
    def conv(x: Any, w: Any, bias: Any, *, stride: Any, dilation: Any, **others: Any) -> Any:
        plain = tuple(max(1, s) if isinstance(s, int) else s for s in stride)
        right = im2col.conv(x, w, bias, stride=plain, dilation=dilation, **others)
        return right + (max(dilation) > 1)

    mine = register("mine", dtypes=("float32",))
    mine.register("conv", conv)
    outcome = run([mine], dims=[1], examples=8, suites=(), output=tmp_path, isolate=False)
    ranks = [SEVERITIES.index(violation.severity) for violation in outcome.violations]

    assert "values" == outcome.severity
    assert ranks == sorted(ranks)
    assert {0, 4} <= {*ranks}


def test_a_stale_known_difference_is_of_the_mildest_severity(
    tmp_path: Path, cache_folder: Path, copied_registry: object
) -> None:
    case = "conv1d:float32:x=1,1,3:w=1,1,2:invalid=stride-zero:integers@0"
    entry = KnownDifference(
        "REJECT-3", case=case, where={"invalid": "stride-zero"}, reason="it was fixed"
    )
    stale = replace(get("im2col"), known=(entry,))
    outcome = run(
        [stale],
        operators=["conv"],
        dims=[1],
        dtypes=["float32"],
        examples=2,
        output=tmp_path,
        isolate=False,
    )

    assert not outcome.conforms
    assert 1 == outcome.status_from("invalid")
    assert 0 == outcome.status_from("declarations")
