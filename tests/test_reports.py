"""The reports: what they add up, how they are laid out, and that no run can break them."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import math
import re
import sqlite3
from collections.abc import Callable, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from markdown_it import MarkdownIt
from rich.console import Console

from conformance.errors import RunFileError
from conformance.reports import Report, explorer, load
from conformance.reports.as_json import as_json
from conformance.reports.chart import axis
from conformance.reports.headline import environment, headline
from conformance.reports.html import html
from conformance.reports.markdown import markdown
from conformance.reports.terminal import show
from conformance.reports.text import multiple, share
from conformance.runfile.file import RunFile
from conformance.runfile.row import Row
from conformance.runfile.tables import Cell, Gap, Implementation, Pair, Timing, Violation
from conformance.runfile.text import clean

CASE = "conv2d:float32:x=2,3,5,7:w=4,3,3,3:bias:stride=2,1:padding=1/0,0/0:normal@17"
HOSTILE = (
    "<script>alert(1)</script>|`a` **b** _c_ [d](javascript:e) \x1b[31mred\x1b[0m \u202e\x00\n"
    "````\n</details>\n# {{ 7 * 7 }} &amp; '\"\\ @all <!-- "
)
MACHINE = {"cpu": "A CPU", "cores": 8, "python": "3.12.3", "packages": {"numpy": "2.3.1"}}


def implementation(name: str, verdict: str = "conforms", **changes: Any) -> Implementation:
    row: dict[str, Any] = {"family": "numpy", "version": "2.3.1", "layout": "NCHW", "note": ""}
    row |= {"accumulate": None, "multiply": None, "error": "componentwise"}
    return Implementation(name=name, verdict=verdict, **row | changes)


def cell(name: str, operator: str = "conv", **changes: Any) -> Cell:
    row: dict[str, Any] = {"dims": 2, "dtype": "float32", "seconds": 1.5, "verdict": "conforms"}
    row |= {"planned": 80, "reached": 80, "compared": 80, "unsupported": 0, "violating": 0}
    row |= {"elements": 9000, "nonzero": 80, "worst": 0.25, "worst_case": CASE}
    return Cell(implementation=name, operator=operator, **row | changes)


def violation(name: str, **changes: Any) -> Violation:
    row: dict[str, Any] = {"operator": "conv", "dims": 2, "dtype": "float32"}
    row |= {"requirement": "RESULT-1", "status": "violates", "case": CASE, "found": CASE}
    row |= {"count": 3, "message": "3 of 6 differ", "script": "print('got')\n"}
    row |= {"replay": f"convformance replay '{CASE}' {name}"}
    return Violation(implementation=name, **row | changes)


def gap(name: str, operator: str = "conv", reason: str = "no") -> Gap:
    return Gap(implementation=name, operator=operator, reason=reason, count=2)


def pair(first: str, second: str, **changes: Any) -> Pair:
    row: dict[str, Any] = {"operator": "conv", "cases": 80, "elements": 9000, "identical": 8999}
    row |= {"largest": 1.25, "largest_case": CASE}
    return Pair(first=first, second=second, **row | changes)


def timing(name: str, **changes: Any) -> Timing:
    row: dict[str, Any] = {"layer": "alexnet/conv1", "case": CASE, "calls": 40}
    row |= {"median": 3e-3, "lower": 2.9e-3, "upper": 3.3e-3, "ratio": 1.0, "macs": 70_000_000}
    row |= {"gflops": 46.7, "peak": 0.39, "threads": 8, "verified": "conforms"}
    return Timing(implementation=name, **row | changes)


Write = Callable[..., Report]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes a run of the given rows and loads it."""

    def write(finished: bool = True, **tables: Sequence[Row]) -> Report:
        (tmp_path / "run.sqlite").unlink(missing_ok=True)
        file = RunFile(tmp_path / "run.sqlite")
        file.record(seed=17, tier="default", started="2025-03-14T09:26:53+00:00", machine=MACHINE)
        for rows in tables.values():
            file.add(rows)
        if finished:
            file.record(finished="2025-03-14T09:28:01+00:00")
        file.close()
        return load(file.path)

    return write


def terminal(report: Report, width: int = 80, **options: Any) -> str:
    output = io.StringIO()
    show(report, Console(file=output, width=width, highlight=False, **options))
    return output.getvalue()


FORMS: dict[str, Callable[[Report], str]] = {
    "terminal": terminal,
    "markdown": markdown,
    "html": html,
    "json": lambda report: json.dumps(as_json(report), allow_nan=False),
}

RUNS: dict[str, dict[str, Any]] = {
    "empty": {},
    "interrupted": {"finished": False, "cell": [cell("naive")], "violation": [violation("naive")]},
    "nothing installed": {
        "implementation": [implementation("jax", "not installed", note="pip install jax")]
    },
    "infinite": {
        "implementation": [implementation("naive", "violates")],
        "cell": [cell("naive", worst=math.inf, verdict="violates")],
        "pair": [pair("naive", "other", largest=math.inf)],
    },
    "long message": {
        "cell": [cell("naive", verdict="violates")],
        "violation": [violation("naive", message="word " * 50_000, script="x = 1\n" * 50_000)],
    },
    "only timings": {
        "timing": [timing("naive"), timing("torch", median=None, lower=None, upper=None)]
    },
    "hostile": {
        "finished": False,
        "implementation": [
            implementation(HOSTILE, HOSTILE, family=HOSTILE, note=HOSTILE, settings=HOSTILE)
        ],
        "cell": [cell(HOSTILE, HOSTILE, dtype=HOSTILE, verdict=HOSTILE, worst_case=HOSTILE)],
        "violation": [
            violation(
                HOSTILE,
                operator=HOSTILE,
                **dict.fromkeys(("requirement", "status", "case", "message", "script"), HOSTILE),
            )
        ],
        "unsupported": [gap(HOSTILE, HOSTILE, HOSTILE)],
        "pair": [pair(HOSTILE, "naive", operator=HOSTILE)],
        "timing": [timing(HOSTILE, layer=HOSTILE, case=HOSTILE, verified=HOSTILE)],
    },
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("run", RUNS)
def test_every_form_shows_every_run(write: Write, run: str, form: str) -> None:
    """No kind of run breaks a form, and none shows a control character."""
    shown = FORMS[form](write(**RUNS[run]))

    assert shown
    assert re.findall(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", shown) == []


class TestModel:
    """Reading a run file, and what its rows add up to."""

    def test_summaries_add_up_cells_in_the_order_of_the_signatures(self, write: Write) -> None:
        cells = [cell("naive", "avg_pool"), cell("naive"), cell("naive", dims=1, worst=0.5)]

        summaries = write(cell=cells).summaries()

        assert [(s.operator, s.compared, s.worst) for s in summaries] == [
            ("conv", 160, 0.5),
            ("avg_pool", 80, 0.25),
        ]

    @pytest.mark.parametrize(
        ("verdicts", "expected"),
        [
            (["conforms", "violates", "inconclusive"], "violates"),
            (["conforms", "inconclusive"], "inconclusive"),
            (["conforms", "unsupported"], "conforms"),
            (["unsupported", "unsupported"], "unsupported"),
        ],
    )
    def test_one_bad_cell_is_not_averaged_away(
        self, write: Write, verdicts: list[str], expected: str
    ) -> None:
        cells = [cell("naive", dims=1 + i, verdict=v) for i, v in enumerate(verdicts)]

        assert [s.verdict for s in write(cell=cells).summaries()] == [expected]

    def test_a_finding_shows_the_fewest_dimensions_then_the_shortest_case(
        self, write: Write
    ) -> None:
        rows = [
            violation("naive", dims=2, case="b"),
            violation("naive", dims=1, case="longer", dtype="float64"),
            violation("naive", dims=1, case="long"),
            violation("naive", requirement="CONV-3"),
        ]

        by_padding, by_value = write(violation=rows).findings()

        assert by_padding.further == 0
        assert (by_value.smallest.case, by_value.further, by_value.count) == ("long", 2, 9)

    def test_a_violation_whose_cell_was_not_written_is_kept(self, write: Write) -> None:
        report = write(finished=False, violation=[violation("naive")])

        assert [s.verdict for s in report.summaries()] == ["violates"]
        assert [one.verdict for one in report.implementations] == ["violates"]

    def test_nothing_compared_has_no_worst_error(self, write: Write) -> None:
        report = write(cell=[cell("naive", compared=0, unsupported=80, worst=0.0)])

        assert [s.worst for s in report.summaries()] == [None]

    def test_pairs_add_up_over_operators(self, write: Write) -> None:
        pairs = [pair("a", "b"), pair("a", "b", operator="max_pool", identical=0, largest=2.5)]

        total = write(pair=pairs).pair_totals()["b", "a"]

        assert (total.identical, total.elements, total.largest) == (8999, 18000, 2.5)

    def test_gaps_with_one_reason_add_up(self, write: Write) -> None:
        report = write(unsupported=[gap("naive"), gap("naive")])

        assert [row.count for row in report.unsupported] == [4]

    def test_layers_are_in_natural_order_and_the_fastest_first(self, write: Write) -> None:
        rows = [
            timing("naive", layer="conv10"),
            timing("naive", layer="conv2", median=2.0),
            timing("failed", layer="conv2", median=None),
            timing("torch", layer="conv2", median=1.0),
        ]

        layers = [(n, [t.implementation for t in ts]) for n, ts in write(timing=rows).layers()]

        assert layers == [("conv2", ["torch", "naive", "failed"]), ("conv10", ["naive"])]


class TestErrors:
    """A file that is no run file gives one line that says what is wrong."""

    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(RunFileError, match=r"\A.*no such file.*\Z"):
            load(tmp_path / "none.sqlite")

    def test_corrupt(self, tmp_path: Path) -> None:
        path = tmp_path / "run.sqlite"
        path.write_bytes(b"no database\n" * 100)

        with pytest.raises(RunFileError, match=r"\A.*not a run file.*\Z"):
            load(path)

    def test_other_format(self, write: Write, tmp_path: Path) -> None:
        write()
        with sqlite3.connect(tmp_path / "run.sqlite") as database:
            database.execute("UPDATE run SET value = '99' WHERE key = 'format'")
        database.close()

        with pytest.raises(RunFileError, match=r"\A.*format is 99.*\Z"):
            load(tmp_path / "run.sqlite")

    def test_value_of_another_type_names_table_and_column(self, write: Write) -> None:
        with pytest.raises(RunFileError, match=r"\A.*table cell, column compared: 'many'.*\Z"):
            write(cell=[cell("naive", compared="many")])


class TestHeadline:
    """The outcome in one sentence."""

    @pytest.mark.parametrize(
        ("verdicts", "expected"),
        [
            (["conforms"], "a conforms, worst error 0.250 of the bound; 80 cases compared."),
            (["violates"], "a violates RESULT-1; 80 cases compared."),
            (["inconclusive"], "a is inconclusive; 80 cases compared."),
            (["conforms"] * 2, "All 2 implementations conform; 160 cases compared."),
            (
                ["conforms", "inconclusive"],
                "1 of 2 implementations conforms, 1 inconclusive; 160 cases compared.",
            ),
            (
                ["conforms", "violates", "not installed"],
                "1 of 2 implementations violates the requirements, 1 conforms; "
                "160 cases compared, 1 is not installed.",
            ),
        ],
    )
    def test_counts(self, write: Write, verdicts: list[str], expected: str) -> None:
        named = list(zip("abc", verdicts, strict=False))
        report = write(
            implementation=[implementation(name, verdict) for name, verdict in named],
            cell=[cell(name, verdict=verdict) for name, verdict in named if verdict[0] != "n"],
            violation=[violation(name) for name, verdict in named if verdict == "violates"],
        )

        assert headline(report) == expected

    @pytest.mark.parametrize("form", ["terminal", "markdown", "html"])
    def test_an_incomplete_run_says_so(self, write: Write, form: str) -> None:
        assert "The run is incomplete" in FORMS[form](write(False, cell=[cell("naive")]))
        assert "The run is incomplete" not in FORMS[form](write(cell=[cell("naive")]))


def test_every_report_says_how_an_engine_was_set(write: Write) -> None:
    text = "one thread, float32 in full"
    report = write(
        implementation=[implementation("jax", settings=text), implementation("im2col")],
        cell=[cell("jax"), cell("im2col")],
    )

    assert text in markdown(report)
    assert text in html(report)
    assert [text, ""] == [one["settings"] for one in as_json(report)["implementations"]][::-1]


def test_the_environment_lists_every_fact_known_ones_first(write: Write) -> None:
    facts = dict(environment(write()))

    assert list(facts) == [
        *("started", "finished", "seed", "tier", "cpu", "cores", "python", "packages", "run file")
    ]
    assert facts["packages"] == "numpy 2.3.1"


class TestNumbers:
    """Numbers are printed so that rounding never says more than was measured."""

    @pytest.mark.parametrize(
        ("part", "whole", "expected"),
        [
            (0, 0, "-"),
            (0, 9, "0%"),
            (9, 9, "100%"),
            (99_999, 100_000, "99.9%"),
            (1, 10**6, "<0.1%"),
        ],
    )
    def test_share(self, part: int, whole: int, expected: str) -> None:
        assert share(part, whole) == expected

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            *((None, "-"), (math.nan, "-"), (math.inf, "inf"), (0.0, "0"), (1e-5, "<0.001")),
            *((0.99999, "<1"), (1.0, "1.00"), (1.00001, ">1"), (37.24, "37.2"), (1e6, "1.0e6")),
        ],
    )
    def test_multiple_of_the_bound(self, value: float | None, expected: str) -> None:
        assert multiple(value) == expected

    def test_a_close_race_has_an_axis_from_zero(self) -> None:
        assert [axis([1e-3, 2e-3]).position(v) for v in (1e-3, 2e-3)] == [50.0, 100.0]

    def test_a_wide_range_has_a_decade_below_the_fastest(self) -> None:
        wide = axis([1e-3, 1.0])

        assert wide.ticks[0] == (0.0, "100 us")
        assert [wide.position(v) for v in (1e-3, 1.0)] == [25.0, 100.0]


def test_clean_removes_escape_sequences_whole() -> None:
    assert clean("\x1b[1;31mred\x1b[0m \x1b]0;title\x07x\r\ny\u2028\ud800\t") == "red x\ny\t"


class TestJson:
    """The data for other programs."""

    def test_strict_parsers_read_it(self, write: Write) -> None:
        def refuse(constant: str) -> None:
            raise AssertionError(constant)

        report = write(**RUNS["infinite"])
        data = json.loads(json.dumps(as_json(report)), parse_constant=refuse)

        (naive,) = (one for one in data["implementations"] if one["name"] == "naive")
        assert naive["cells"][0]["worst"] == "inf"
        assert data["pairs"][0]["largest"] == "inf"

    def test_a_violation_is_in_its_cell(self, write: Write) -> None:
        report = write(cell=[cell("naive"), cell("naive", dims=1)], violation=[violation("naive")])

        data = as_json(report)

        kinds = {"known", "conventions", "layers", "pairs", "timings"}
        assert set(data) == {"run", "seed", "complete", "implementations"} | kinds
        assert [c["violations"] for c in data["implementations"][0]["cells"]] == [
            [],
            [
                {
                    "requirement": "RESULT-1",
                    "status": "violates",
                    "severity": "values",
                    "case": CASE,
                    "found": CASE,
                    "named": "",
                    "count": 3,
                    "message": "3 of 6 differ",
                }
            ],
        ]


class TestTerminal:
    """Tables for 80 columns."""

    def test_seven_implementations_fit_into_80_columns(self, write: Write) -> None:
        names = [f"implementation-{i}" for i in range(7)]
        report = write(
            implementation=[implementation(name) for name in names],
            cell=[cell(name, "conv_transpose", unsupported=9, reached=70) for name in names],
            pair=[pair(a, b) for i, a in enumerate(names) for b in names[i + 1 :]],
            timing=[timing(name) for name in names],
        )

        shown = [line for line in terminal(report).splitlines() if report.path not in line]

        assert max(map(len, shown)) <= 80
        assert [line for line in shown if "…" in line] == []

    def test_more_implementations_than_columns_go_into_further_blocks(self, write: Write) -> None:
        names = [f"i{i}" for i in range(9)]
        report = write(
            implementation=[implementation(name) for name in names],
            pair=[pair(a, b) for i, a in enumerate(names) for b in names[i + 1 :]],
        )

        assert terminal(report).count(" 9 i8") == 2

    @pytest.mark.parametrize("width", [20, 80, 200])
    def test_case_and_replay_command_are_never_broken(self, write: Write, width: int) -> None:
        shown = terminal(write(violation=[violation("naive")]), width).splitlines()

        assert CASE in shown
        assert f"convformance replay '{CASE}' naive" in shown

    def test_a_partly_reached_cell_says_how_far(self, write: Write) -> None:
        assert " 60/80 " in terminal(write(cell=[cell("naive", reached=60, compared=60)]))

    def test_an_inconclusive_cell_says_why(self, write: Write) -> None:
        few = cell("naive", compared=4, nonzero=4, verdict="inconclusive")
        zeros = cell("naive", dims=1, nonzero=3, verdict="inconclusive")

        shown = " ".join(terminal(write(cell=[few, zeros])).split())

        assert "1-D float32 (80 compared, 3 not all zero), 2-D float32 (4 compared)" in shown

    def test_verdicts_are_words_where_there_is_no_colour(self, write: Write) -> None:
        report = write(cell=[cell("naive", verdict="violates"), cell("torch")])

        plain = terminal(report)
        coloured = terminal(report, force_terminal=True, color_system="standard")

        assert re.findall("violates$|conforms$", plain, re.MULTILINE) != []
        assert "\x1b[" not in plain
        assert "\x1b[" in coloured

    def test_no_section_without_rows(self, write: Write) -> None:
        assert "Time of one call" not in terminal(write(cell=[cell("naive")]))


class TestMarkdown:
    """The summary of a CI job."""

    def test_first_line_is_the_headline(self, write: Write) -> None:
        first, *_ = markdown(write(cell=[cell("naive")])).splitlines()

        assert first == "✅ **naive conforms, worst error 0.250 of the bound; 80 cases compared.**"

    def test_nothing_hostile_becomes_markup(self, write: Write) -> None:
        parser = MarkdownIt("commonmark").enable("table")

        tokens = parser.parse(markdown(write(**RUNS["hostile"])))
        tags = {tag for t in tokens for tag in re.findall(r"</?\w+", t.content) if "html" in t.type}
        inline = {child.type for token in tokens for child in token.children or ()}

        assert tags <= {
            f"{mark}{tag}" for mark in ("<", "</") for tag in ("details", "summary", "b")
        }
        assert inline <= {"text", "text_special", "strong_open", "strong_close", "softbreak"}

    def test_every_table_row_keeps_its_columns(self, write: Write) -> None:
        parser = MarkdownIt("commonmark").enable("table")

        page = parser.render(markdown(write(**RUNS["hostile"])))

        for table in re.findall(r"<table>.*?</table>", page, re.DOTALL):
            rows = re.findall(r"<tr>.*?</tr>", table, re.DOTALL)
            assert len({len(re.findall(r"<t[hd]\b", row)) for row in rows}) == 1

    def test_folded_sections_are_closed(self, write: Write) -> None:
        parser = MarkdownIt("commonmark").enable("table")

        tokens = parser.parse(markdown(write(**RUNS["hostile"])))
        text = "".join(token.content for token in tokens if token.type == "html_block")

        assert text.count("<details>") == text.count("</details>") > 0

    def test_stays_far_below_the_limit_of_a_summary(self, write: Write) -> None:
        rows = [
            violation("naive", requirement=f"R-{i}", message="`" * 10**5, script="x\n" * 10**5)
            for i in range(500)
        ]

        assert len(markdown(write(violation=rows)).encode()) < 2**20 / 2


class Page(HTMLParser):
    """Collects the tags and attributes of a page, and checks that every tag is closed."""

    VOID = ("meta", "br", "wbr", "hr", "img", "link", "input")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


class TestHtml:
    """The self-contained page."""

    @pytest.mark.parametrize("run", RUNS)
    def test_needs_nothing_from_outside(self, write: Write, run: str) -> None:
        page = Page(html(write(**RUNS[run])))

        assert not {"link", "img", "iframe", "object"} & set(page.tags)
        assert {name for name, _ in page.attributes} & {"src", "onload", "onclick"} == set()
        assert [
            v for n, v in page.attributes if n == "href" and not (v or "").startswith("#")
        ] == []
        assert page.open == []

    @pytest.mark.parametrize("run", RUNS)
    def test_runs_its_own_script_alone(self, write: Write, run: str) -> None:
        text = html(write(**RUNS[run]))
        page = Page(text)
        (policy,) = (v for n, v in page.attributes if v and v.startswith("default-src 'none'; "))
        scripts = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
        digests = [base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in scripts]

        assert len(digests) <= 1
        assert all(f"script-src 'sha256-{digest}';" in policy for digest in digests)
        assert "require-trusted-types-for 'script'" in policy
        assert policy.count("unsafe") == policy.count("style-src 'unsafe-inline'") == 1

    @pytest.mark.parametrize("run", RUNS)
    def test_its_rows_are_those_of_the_run(self, write: Write, run: str) -> None:
        report = write(**RUNS[run])
        found = re.findall(r'id="rows">(.*?)</script>', html(report), re.DOTALL)

        expected = [[*explorer.COLUMNS], *explorer.rows(report)]
        assert found == [] if len(expected) == 1 else json.loads(found[0]) == expected

    def test_each_cell_and_violation_has_an_address_of_its_own(self, write: Write) -> None:
        cells = [cell("a b"), cell("a b", dims=1), cell("a b", "max_pool"), cell("c[d]")]
        found = [violation("a b"), violation("a b", requirement="CONV-5")]
        page = Page(html(write(cell=cells, violation=found)))
        places = [v for n, v in page.attributes if n == "id" and "/" in (v or "")]
        links = [unquote(v[1:]) for n, v in page.attributes if n == "href" and v and "/" in v]

        assert len(places) == len(set(places)) == 6
        assert "a_b/conv1d/float32" in places
        assert set(links) == set(places)

    def test_every_section_is_there_if_it_has_rows(self, write: Write) -> None:
        full = write(
            cell=[cell("naive", unsupported=2)],
            violation=[violation("naive")],
            unsupported=[gap("naive")],
            pair=[pair("naive", "torch")],
            timing=[timing("naive")],
        )
        sections = {"verdicts", "violations", "pairs", "gaps", "timing", "environment"}
        sections |= {"explore", "features"}

        def shown(report: Report) -> set[str]:
            return set(re.findall(r'<section id="(\w+)"', html(report)))

        assert shown(full) == sections
        assert shown(write()) == {"environment"}

    def test_a_run_that_only_timed_has_no_verdict_matrix(self, write: Write) -> None:
        page = Page(html(write(**RUNS["only timings"])))

        assert {v for n, v in page.attributes if n == "id"} == {"timing", "environment"}

    def test_a_violation_has_its_reproducers(self, write: Write) -> None:
        page = html(write(violation=[violation("naive")]))

        assert f"convformance replay &#39;{CASE}&#39; naive" in page
        assert "print(&#39;got&#39;)" in page

    def test_an_implementation_that_is_not_installed_says_what_to_do(self, write: Write) -> None:
        assert "pip install jax" in html(write(**RUNS["nothing installed"]))

    def test_wrong_timed_outputs_are_marked(self, write: Write) -> None:
        page = html(write(timing=[timing("naive", verified="element 3 is off")]))

        assert "wrong output" in page
        assert "element 3 is off" in page
