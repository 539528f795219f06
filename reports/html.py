"""A report as one HTML page that needs nothing else: no network, no other file.

All of it can be read without its script, which adds search, filters, copying and other runs' files.
A content security policy of the page forbids everything but its own style and that very script, and
that the script writes markup. Jinja2 escapes every value (autoescape is on), and an undefined name
is an error.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from conformance.reports import chart, text
from conformance.reports.alike import MANY
from conformance.reports.calls import sentences as sentences_of_models
from conformance.reports.calls import table
from conformance.reports.differences import choices
from conformance.reports.distribution import HEIGHT, WIDTH, distributions
from conformance.reports.explorer import card, embedded, place
from conformance.reports.features_table import feature_matrix
from conformance.reports.findings import advice, reach, title, where
from conformance.reports.gaps import ranged
from conformance.reports.headline import (
    INCOMPLETE,
    baseline,
    environment,
    headline,
    not_asked,
    overall,
    several,
)
from conformance.reports.large import NOTE, counts, outcome
from conformance.reports.model import Report, Summary
from conformance.reports.order import by_dtype
from conformance.reports.picture import drawn, in_words
from conformance.reports.roster import fastest, roster, what_was_run
from conformance.reports.sources import sentences
from conformance.reports.spaces import spaces, summary
from conformance.runfile import shares, words
from conformance.runfile.tables import Cell, Implementation, Pair, Timing

_LONGEST_MESSAGE = 20_000
_SCRIPTS = ("query.js", "explorer.js", "page.js")
_CLASSES = {words.CONFORMS: "good", words.INCONCLUSIVE: "unsure", words.KNOWN_DIFFERENCE: "unsure"}
_CLASSES["partly"] = "good"
_CLASSES |= dict.fromkeys((words.ADAPTER_WRONG, *words.FAILED, words.STALE), "bad")
_SYMBOLS = {"good": "✓", "bad": "✗", "unsure": "?", "none": "-"}


def html(report: Report) -> str:
    """Return the page."""
    dtypes, histograms = distributions(report)
    return (
        environment_of_templates()
        .get_template("report.html.j2")
        .render(
            report=report,
            policy=policy(_script()),
            rows=embedded(report) if report.cells or report.violations or report.known else None,
            script=Markup(_script()),
            headline=headline(report),
            not_asked=not_asked(report),
            overall=overall(report),
            incomplete=None if report.complete else INCOMPLETE,
            tiles=list(_tiles(report)),
            roster=roster(report),
            fastest=fastest(report),
            what_was_run=what_was_run(report),
            matrix=[] if _only_timed(report) else list(_matrix(report)),
            findings=report.findings(),
            advice=advice,
            gaps=list(ranged(report.unsupported)),
            sources=[(one, sentences(one)) for one in report.sources],
            choices=choices(report),
            features=feature_matrix(report),
            dtypes=dtypes,
            distributions=histograms,
            ranges=shares.LABELS,
            chart_width=WIDTH,
            chart_height=HEIGHT,
            many=MANY,
            heat_maps=list(_heat_maps(report)),
            calls=table(report),
            sentences=sentences_of_models(report),
            large=counts(report),
            large_note=NOTE,
            spaces=spaces(report),
            spaces_summary=summary(report),
            layers=list(_layers(report)),
            baseline=baseline(report),
            environment=environment(report),
            settings=[i for i in report.implementations if i.settings],
        )
    )


@cache
def _script() -> str:
    folder = resources.files("conformance.reports") / "templates"
    parts = ((folder / name).read_text("utf-8") for name in _SCRIPTS)
    return '"use strict";\n{\n' + "".join(parts) + "}\n"


def policy(script: str) -> str:
    """Return a content security policy that allows inline styles and this script, nothing else."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
        f"script-src 'sha256-{digest}'; require-trusted-types-for 'script'; trusted-types 'none'"
    )


@dataclass(frozen=True, slots=True)
class Tile:
    """One number at the top of the page."""

    value: int
    label: str
    kind: str


@dataclass(frozen=True, slots=True)
class Breakdown:
    """The cells of a summary as a table, with a line for each dtype and a column for each dims."""

    summary: Summary
    dims: tuple[int, ...]
    lines: tuple[tuple[str, tuple[Cell | None, ...]], ...]


@dataclass(frozen=True, slots=True)
class HeatMap:
    """The pairs of one operator, or of all, as a square table."""

    title: str
    names: tuple[str, ...]
    lines: tuple[tuple[Implementation, tuple[tuple[Pair | None, bool], ...]], ...]
    """The pairs of each implementation, and for each pair whether both share a family."""


@dataclass(frozen=True, slots=True)
class Layer:
    """The timings of one layer and the axis on which they are drawn."""

    name: str
    case: str
    axis: chart.Axis
    timings: tuple[Timing, ...]


def _only_timed(report: Report) -> bool:
    return bool(report.timings) and not report.cells


def _tiles(report: Report) -> Iterator[Tile]:
    counts = report.verdicts()
    failed = sum(counts[verdict] for verdict in words.FAILED)
    conform = counts[words.CONFORMS]
    if report.implementations:
        yield Tile(conform, "conforms" if conform == 1 else "conform", "good")
        yield Tile(failed, "violates" if failed == 1 else "violate", "bad" if failed else "none")
    for verdict, count in sorted(counts.items()):
        if verdict not in (*words.FAILED, words.CONFORMS):
            yield Tile(count, several(verdict), _kind(verdict))
    if not _only_timed(report):
        yield Tile(report.compared, "cases compared", "plain")
    gaps = sum(cell.unsupported for cell in report.cells)
    if gaps:
        yield Tile(gaps, "cases not supported", "plain")


def _matrix(
    report: Report,
) -> Iterator[tuple[Implementation, list[Breakdown | None]]]:
    summaries = {(s.implementation, s.operator): s for s in report.summaries()}
    for implementation in report.implementations:
        row = [summaries.get((implementation.name, operator)) for operator in report.operators]
        yield implementation, [_breakdown(summary) if summary else None for summary in row]


def _breakdown(summary: Summary) -> Breakdown:
    cells = {(cell.dims, cell.dtype): cell for cell in summary.cells}
    dims = tuple(sorted({cell.dims for cell in summary.cells}))
    dtypes = sorted({cell.dtype for cell in summary.cells}, key=by_dtype)
    lines = tuple((dtype, tuple(cells.get((d, dtype)) for d in dims)) for dtype in dtypes)
    return Breakdown(summary, dims, lines)


def _heat_maps(report: Report) -> Iterator[HeatMap]:
    operators = [o for o in report.operators if any(p.operator == o for p in report.pairs)]
    choices: Iterable[str | None] = (None, *operators) if len(operators) > 1 else operators
    for operator in choices:
        totals = report.pair_totals(operator)
        members = [i for i in report.implementations if any(i.name in key for key in totals)]
        lines = tuple(
            (
                a,
                tuple(
                    (totals.get((a.name, b.name)), a.family == b.family and bool(a.family))
                    for b in members
                ),
            )
            for a in members
        )
        yield HeatMap(operator or "all operators", tuple(i.name for i in members), lines)


def _layers(report: Report) -> Iterator[Layer]:
    for name, timings in report.layers():
        times = [t for timing in timings for t in (timing.median, timing.lower, timing.upper)]
        yield Layer(name, timings[0].case, chart.axis(times), timings)


def _kind(verdict: str) -> str:
    """Return the class of a verdict's colour: good, bad, unsure or none."""
    return _CLASSES.get(verdict, "none")


def _heat(pair: Pair) -> int:
    """Return the share of identical elements in percent, rounded down: the depth of the colour."""
    return 100 * pair.identical // pair.elements if pair.elements else 0


@cache
def environment_of_templates() -> Environment:
    """Return the templates, with the filters that they use."""
    templates = Environment(
        loader=PackageLoader("conformance.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Any] = {
        "kind": _kind,
        "symbol": lambda verdict: _SYMBOLS[_kind(verdict)],
        "heat": _heat,
        "count": lambda value: f"{value:,}",
        "multiple": text.multiple,
        "seconds": text.seconds,
        "mebibytes": text.mebibytes,
        "outcome": outcome,
        "number": text.number,
        "percentage": text.percentage,
        "plural": text.plural,
        "title": title,
        "place": place,
        "drawn": drawn,
        "in_words": in_words,
        "card": card,
        "where": where,
        "reach": reach,
        "sentence": text.sentence,
        "breakable": lambda name: Markup("<wbr>[").join(map(escape, str(name).split("["))),
        "message": lambda value: text.shorten(value, _LONGEST_MESSAGE),
    }
    templates.filters.update(filters)
    templates.globals.update(share=text.share, words=words)
    return templates
