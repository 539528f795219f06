"""What machines read of a run: JSON with a schema, JUnit XML, a badge, and a short summary."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

import jsonschema
import pytest

from conformance.cli import main
from conformance.reports import Report
from conformance.reports.as_json import as_json
from conformance.reports.badge import badge
from conformance.reports.charts import charts
from conformance.reports.comparing import comparison_json
from conformance.reports.comparison import compare
from conformance.reports.history import history, history_json
from conformance.reports.junit import junit
from conformance.reports.schema import SCHEMAS
from conformance.reports.summary import MOST_BYTES, summary
from conformance.runfile import shares
from tests.test_reports import (
    HOSTILE,
    RUNS,
    Write,
    cell,
    gap,
    implementation,
    pair,
    timing,
    violation,
    write,
)

__all__ = ["write"]

FOLDER = Path(__file__).parents[1] / "docs" / "schema"
WRONG: dict[str, Any] = {
    "implementation": [implementation("naive"), implementation("torch", "violates")],
    "cell": [
        cell("naive"),
        cell("naive", "max_pool", verdict="unsupported", compared=0),
        cell("torch", verdict="violates", worst=math.inf),
        cell("torch", "max_pool", verdict="crashed"),
    ],
    "violation": [
        violation("torch", cause="ValueError at a.py:3"),
        violation("torch", operator="max_pool", status="crashed"),
    ],
    "unsupported": [gap("naive")],
    "pair": [pair("naive", "torch")],
    "timing": [timing("naive"), timing("torch", verified="call 2: differs")],
}
RIGHT: dict[str, Any] = {"implementation": [implementation("a")], "cell": [cell("a")]}
UNSURE = implementation("a", "inconclusive")
ALL = {**RUNS, "wrong": WRONG}


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_schemas_in_the_documentation_are_those_of_the_code(name: str) -> None:
    kept = json.loads((FOLDER / name).read_text(encoding="utf-8"))

    jsonschema.Draft202012Validator.check_schema(kept)
    assert kept == SCHEMAS[name](), "python -m conformance.reports.schema docs/schema"


@pytest.mark.parametrize("run", ALL)
def test_the_json_of_every_run_meets_its_schema(write: Write, run: str) -> None:
    data = json.loads(json.dumps(as_json(write(**ALL[run])), allow_nan=False))

    jsonschema.validate(data, SCHEMAS["run.schema.json"](), jsonschema.Draft202012Validator)


def test_the_json_of_a_comparison_meets_its_schema(write: Write) -> None:
    right = [cell("naive"), cell("torch"), cell("torch", "max_pool")]
    old = write(implementation=WRONG["implementation"], cell=right)
    found = compare(old, write(**WRONG), factor=1.5)
    data = json.loads(json.dumps(comparison_json(found), allow_nan=False))

    assert data["newly_violates"]
    jsonschema.validate(data, SCHEMAS["comparison.schema.json"]())


def test_the_json_of_a_history_meets_its_schema(write: Write) -> None:
    old = write(implementation=WRONG["implementation"], cell=[cell("naive")])
    found = history([old, write(**WRONG)], factor=1.5)
    data = json.loads(json.dumps(history_json(found), allow_nan=False))

    assert data["steps"][0]["not_compared"]
    jsonschema.validate(data, SCHEMAS["history.schema.json"]())


def test_a_key_that_the_schema_does_not_have_is_refused(write: Write) -> None:
    data = as_json(write(**WRONG)) | {"further": 1}

    with pytest.raises(jsonschema.ValidationError, match="further"):
        jsonschema.validate(data, SCHEMAS["run.schema.json"]())


class TestCharts:
    """The charts as files, which Markdown shows."""

    def test_a_chart_has_the_names_and_times_as_text_and_marks_what_is_wrong(
        self, write: Write
    ) -> None:
        errors = shares.written((3, 0, 0, 4, 0, 0, 0, 0, 1))
        name = "<b>&mine"
        one = implementation(name)
        drawn = charts(
            write(**WRONG | {"implementation": [one], "cell": [cell(name, errors=errors)]})
        )

        for _, svg in drawn.values():
            assert ElementTree.fromstring(svg).tag == "{http://www.w3.org/2000/svg}svg"
        assert ["errors.svg", "times.svg"] == list(drawn)
        assert "&lt;b&gt;&amp;mine" in drawn["errors.svg"][1]
        assert 1 == drawn["errors.svg"][1].count('class="wrong"')
        assert 1 == drawn["times.svg"][1].count('class="wrong"')
        assert "3.00 ms" in drawn["times.svg"][1]

    def test_markdown_shows_the_charts_that_are_written_beside_it(
        self, write: Write, tmp_path: Path
    ) -> None:
        run, page = write(**WRONG).path, tmp_path / "job" / "summary.md"
        page.parent.mkdir()
        status = main(
            [
                "report",
                run,
                "--summary",
                str(page),
                "--charts",
                str(tmp_path / "job" / "the charts"),
            ]
        )
        shown = re.findall(r"!\[.+\]\((.+)\)", page.read_text(encoding="utf-8"))

        assert (0, ["the%20charts/times.svg"]) == (status, shown)
        assert (page.parent / unquote(shown[0])).is_file()

    def test_a_run_without_times_and_errors_has_no_charts(self, write: Write) -> None:
        assert {} == charts(write(implementation=[implementation("a")]))


class TestJUnit:
    """JUnit XML, as CI systems read it."""

    def test_a_cell_is_a_test_case_that_fails_ends_or_is_skipped(self, write: Write) -> None:
        root = ElementTree.fromstring(junit(write(**WRONG)))

        found = {
            (case.get("classname"), case.get("name")): [child.tag for child in case]
            for case in root.iter("testcase")
        }
        assert {
            ("convformance.naive", "conv 2-D float32"): ["system-out"],
            ("convformance.naive", "max_pool 2-D float32"): ["skipped", "system-out"],
            ("convformance.torch", "conv 2-D float32"): ["failure", "system-out"],
            ("convformance.torch", "max_pool 2-D float32"): ["error", "system-out"],
            ("convformance.naive", "time alexnet/conv1"): [],
            ("convformance.torch", "time alexnet/conv1"): ["failure"],
        } == found
        assert ["6", "2", "1", "1"] == [
            root.get(name) for name in ("tests", "failures", "errors", "skipped")
        ]

    def test_a_failure_says_the_requirement_and_how_to_replay_it(self, write: Write) -> None:
        (failure, _) = ElementTree.fromstring(junit(write(**WRONG))).iter("failure")

        assert str(failure.get("message")).startswith("RESULT-1: ")
        assert "convformance replay 'conv2d" in str(failure.text)

    @pytest.mark.parametrize("run", ALL)
    def test_every_run_is_well_formed(self, write: Write, run: str) -> None:
        assert "testsuites" == ElementTree.fromstring(junit(write(**ALL[run]))).tag

    def test_what_is_not_installed_is_skipped_with_its_reason(self, write: Write) -> None:
        root = ElementTree.fromstring(junit(write(**RUNS["nothing installed"])))

        (skipped,) = root.iter("skipped")
        assert "not installed: pip install jax" == skipped.get("message")

    def test_characters_that_xml_cannot_hold_are_left_out(self, write: Write) -> None:
        wrong = violation("torch", message="a\ufffe\uffffb")

        (failure,) = ElementTree.fromstring(junit(write(violation=[wrong]))).iter("failure")

        assert "ab" in str(failure.text)


class TestBadge:
    """The JSON of a badge, as shields.io reads it."""

    @pytest.mark.parametrize(
        ("rows", "message", "colour"),
        [
            (
                RIGHT,
                "conforms, 80 cases",
                "brightgreen",
            ),
            ({"violation": [violation("a")]}, "violates RESULT-1", "red"),
            (WRONG, "1 of 2 implementations conform", "red"),
            ({"finished": False, "cell": [cell("a")]}, "incomplete run", "lightgrey"),
            (
                {"implementation": [UNSURE]},
                "inconclusive",
                "lightgrey",
            ),
        ],
    )
    def test_it_says_the_outcome_in_words_and_colour(
        self, write: Write, rows: dict[str, Any], message: str, colour: str
    ) -> None:
        said = badge(write(**rows))

        assert (1, "convformance") == (said["schemaVersion"], said["label"])
        assert (message, colour) == (said["message"], said["color"])


class TestSummary:
    """The summary of a CI job."""

    def many(self) -> dict[str, Any]:
        names = [f"{HOSTILE}{number}" for number in range(500)]
        changes = {"message": HOSTILE * 500, "script": HOSTILE * 500}
        return {
            "implementation": [implementation(name, "violates") for name in names],
            "cell": [cell(name, verdict="violates") for name in names],
            "violation": [violation(name, **changes) for name in names],
            "timing": [timing(name) for name in names],
        }

    def test_it_is_smaller_than_64_kib_whatever_a_run_holds(self, write: Write) -> None:
        text = summary(write(**self.many()))

        assert len(text.encode()) < MOST_BYTES
        assert "further findings: see the full report" in text
        assert text.startswith("❌ **500 of 500 implementations violate")

    def test_it_says_the_outcome_who_conforms_and_the_worst_findings(self, write: Write) -> None:
        text = summary(write(**WRONG))

        assert "| torch" in text
        assert "convformance replay 'conv2d" in text
        assert "further" not in text
        assert text.rstrip().endswith("</sub>")


def test_report_writes_the_forms_that_it_is_asked_for(
    write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report: Report = write(**WRONG)
    forms = {"--junit": "j.xml", "--badge": "b.json", "--summary": "s.md"}
    options = [part for name, file in forms.items() for part in (name, str(tmp_path / file))]

    assert 0 == main(["report", report.path, *options])

    assert "" == capsys.readouterr().out
    assert (tmp_path / "j.xml").read_text().startswith("<?xml")
    assert "red" == json.loads((tmp_path / "b.json").read_text())["color"]
    assert 0 == main(["report", report.path, "--summary", "-"])
    assert (tmp_path / "s.md").read_text() == capsys.readouterr().out
