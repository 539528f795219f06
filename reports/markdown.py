"""A report as GitHub-flavoured Markdown, fit for the summary of a CI job.

All text of the run file is escaped. In tables and sentences character references do this, which
neither Markdown nor HTML interprets; code is in fences longer than any run of backticks inside.
"""

from __future__ import annotations

import re
from dataclasses import replace

from tabulate import tabulate

from conformance.reports import calls, tables
from conformance.reports.alike import MANY, identical_groups
from conformance.reports.findings import advice, mistake, reach, title, where
from conformance.reports.gaps import ranged
from conformance.reports.growth import growth
from conformance.reports.headline import (
    INCOMPLETE,
    baseline,
    environment,
    headline,
    not_asked,
    overall,
)
from conformance.reports.large import NOTE, outcome
from conformance.reports.model import Finding, Report
from conformance.reports.sources import sentences
from conformance.reports.spaces import spaces, summary
from conformance.reports.tables import Table
from conformance.reports.text import (
    NONE,
    mebibytes,
    multiple,
    number,
    percentage,
    seconds,
    sentence,
    share,
    shorten,
)
from conformance.runfile import words
from conformance.runfile.tables import Timing
from conformance.runfile.text import one_line

_BAD = "❌"
_SYMBOLS = dict.fromkeys((words.INCONCLUSIVE, words.KNOWN_DIFFERENCE), "⚠️")
_SYMBOLS |= {words.CONFORMS: "✅"} | dict.fromkeys((words.ADAPTER_WRONG, *words.FAILED), _BAD)
_MOST_FINDINGS = 40
_MOST_LARGE = 400
_MOST_SPACES = 400
_LONGEST_MESSAGE = 2000
_LONGEST_SCRIPT = 8000
# GitHub refuses a summary of more than 1 MiB: these limits together stay well below it.

_ACTIVE = re.compile(r"[&<>|`*\[\]~\\#@$!]|(?<![^\W_])_|_(?![^\W_])|:(?=//)|(?<=www)\.")


def markdown(report: Report) -> str:
    """Return the report; the first line is the outcome in one sentence."""
    parts = [f"{symbol(overall(report))} **{escaped(headline(report))}**"]
    if sentence := not_asked(report):
        parts.append(escaped(sentence))
    if not report.complete:
        parts.append(f"> [!WARNING]\n> {INCOMPLETE} What follows was judged until then.")
    parts += _agreement(report)
    parts += _cells(report)
    parts += _violations(report)
    parts += _known(report)
    parts += _conventions(report)
    parts += _pairwise(report)
    parts += _of_models(report)
    parts += _large(report)
    parts += _spaces(report)
    parts += _timings(report)
    parts += _gaps(report)
    parts += _sources(report)
    parts += _settings(report)
    parts += folded("Environment", table(Table(("", ""), "ll", environment(report))))
    return "\n\n".join(parts) + "\n"


def _settings(report: Report) -> list[str]:
    rows = [
        (i.name, i.version, i.environment, _short(i.settings))
        for i in report.implementations
        if i.version or i.environment or i.settings
    ]
    header = ("implementation", "version", "with", "set to")
    lines = table(Table(header, "llll", rows))
    return folded("Versions and settings of the implementations", lines) if rows else []


def _agreement(report: Report) -> list[str]:
    agreement = tables.agreement(report)
    absent = [
        (i.name, NONE, "0", NONE, NONE, NONE, _short(i.note) or i.verdict)
        for i in report.not_installed
    ]
    rows = [*agreement.rows, *absent]
    if not rows:
        return []
    note = (
        "worst: the largest error as a fraction of the allowed bound; gaps: cases that the "
        "implementation does not support; reached: how far the time budget reached."
    )
    ended = [f"{escaped(i.name)}: {escaped(one_line(i.note))}." for i in report.ended]
    lines = table(replace(agreement, rows=rows))
    return ["### Agreement with the reference", lines, note, *ended]


def _violations(report: Report) -> list[str]:
    findings = report.findings()
    if not findings:
        return []
    parts = ["### Violations"]
    for finding in findings[:_MOST_FINDINGS]:
        parts += _finding(report, finding)
    if len(findings) > _MOST_FINDINGS:
        parts.append(f"{len(findings) - _MOST_FINDINGS} more are in the run file.")
    return parts


def _calls(head: str, calls: str) -> list[str]:
    return [head, fenced(calls, "text")] if calls else []


def _finding(report: Report, finding: Finding) -> list[str]:
    smallest = finding.smallest
    summary = (
        f"{verdict_of(smallest.status)}: <b>{escaped(smallest.implementation)}</b>, "
        f"{escaped(where(finding))}: {escaped(title(finding))}"
    )
    rows = [
        (title(one), ", ".join(one.operators), one.smallest.status, f"{one.count:,}", mistake(one))
        for one in finding.rejections
    ]
    header = ("requirement", "operators", "does", "cases", "mistake")
    shown = fenced(shorten(smallest.message, _LONGEST_MESSAGE), "text")
    advised = escaped(advice(report, finding))
    parts = [
        table(Table(header, "lllrl", rows)) if rows else shown,
        *filter(None, [sentence(advised)]),
        f"{reach(finding).capitalize()}:",
        fenced(smallest.case, "text"),
        *_calls("It fails only after:", smallest.after),
        *_calls("Called before it:", smallest.before),
        *([] if smallest.fails_alone else ["By itself, it may conform:"]),
        fenced(smallest.replay, "sh"),
    ]
    if len(smallest.script) > _LONGEST_SCRIPT:
        parts.append("The standalone script is too long for this page; it is in the HTML report.")
    elif smallest.script:
        parts += folded("Standalone script", fenced_script(smallest.script))
    return folded(summary, *parts)


def _known(report: Report) -> list[str]:
    rows = [
        (
            entry.implementation,
            entry.operator,
            entry.requirement,
            f"{_BAD} stale" if entry.status == words.STALE else f"{entry.count:,}",
            _short(f"{entry.covers}: {entry.why} {entry.link}", 400),
        )
        for entry in report.known
        if entry.status in (words.KNOWN_DIFFERENCE, words.STALE)
    ]
    if not rows:
        return []
    header = ("implementation", "operator", "requirement", "cases", "where and why")
    note = "Expected, with a reason, and not counted as violations; a stale one no longer occurs."
    return ["### Known differences", table(Table(header, "lllrl", rows)), note]


def _conventions(report: Report) -> list[str]:
    content = tables.conventions(report, declares=f" {_BAD} {{}}")
    return folded("Conventions and accuracy, as probed", table(content)) if content.rows else []


def _pairwise(report: Report) -> list[str]:
    totals = report.pair_totals()
    names = [i.name for i in report.judged if any(i.name in key for key in totals)]
    if not names:
        return []
    if len(names) > MANY:
        return _most_and_least_alike(report)
    rows = []
    for name in names:
        pairs = [totals.get((name, other)) for other in names]
        cells = [
            f"{share(p.identical, p.elements)}, {multiple(p.largest)}" if p else "" for p in pairs
        ]
        rows.append((report.label(name), *cells))
    note = (
        "Share of output elements that are identical bit for bit, and the largest difference as "
        "a multiple of the bound."
    )
    labels = [report.label(name) for name in names]
    lines = table(Table(("", *labels), "l" + "r" * len(names), rows))
    return ["### Agreement with one another", lines, note]


def _most_and_least_alike(report: Report) -> list[str]:
    note = (
        "Most like: of another family where there is one, by the share of output elements that are "
        "identical bit for bit. Apart: the largest difference as a multiple of the bound."
    )
    same = [
        f"Identical in every bit: {escaped(', '.join(group))}."
        for group in identical_groups(report)
    ]
    lines = table(tables.most_and_least_alike(report))
    return ["### Agreement with one another", lines, note, *same]


def _of_models(report: Report) -> list[str]:
    if not report.calls:
        return []
    said = "\n".join(f"- {escaped(sentence)}" for sentence in calls.sentences(report))
    return ["### Calls of a model", said, table(calls.table(report))]


def _large(report: Report) -> list[str]:
    if not report.large:
        return []
    rows = [
        (row.layer, report.label(row.implementation), outcome(row), seconds(row.seconds))
        for row in report.large[:_MOST_LARGE]
    ]
    listed = table(Table(("layer or shape", "implementation", "outcome", "time"), "lllr", rows))
    more = len(report.large) - len(rows)
    notes = [f"{more} more are in the run file."] if more else []
    counted = table(tables.large(report))
    return ["### Large cases", counted, NOTE, *folded("Each large case", listed, *notes)]


def _spaces(report: Report) -> list[str]:
    listed = spaces(report)
    if not listed:
        return []
    named = len({space.implementation for space in listed}) > 1
    lines = [
        f"- {escaped(f'{space.implementation}: ' if named else '')}{escaped(space.sentence)}"
        for space in listed[:_MOST_SPACES]
    ]
    if len(listed) > _MOST_SPACES:
        lines.append(f"- {len(listed) - _MOST_SPACES} more are in the run file.")
    said = escaped(summary(report)).capitalize()
    return ["### Spaces judged whole", f"{said}.", *folded("Each space", "\n".join(lines))]


def _cells(report: Report) -> list[str]:
    rows = [
        (
            *(report.label(c.implementation), c.operator, f"{c.dims}-D", c.dtype),
            f"{c.compared:,}",
            f"{max(0, c.compared - c.violating - c.known):,}",
            f"{c.violating:,}" + (f" + {c.known:,} known" if c.known else ""),
            f"{c.unsupported:,}",
        )
        for c in report.cells
    ]
    header: tuple[str, ...] = ("implementation", "operator", "dims", "dtype")
    header += ("compared", "conforms", "differs", "unsupported")
    lines = table(Table(header, "llllrrrr", rows))
    return folded("Every operator, dimension and dtype", lines) if rows else []


def _timings(report: Report) -> list[str]:
    rows = [
        (
            layer,
            report.label(t.implementation),
            seconds(t.median),
            f"{seconds(t.lower)} to {seconds(t.upper)}",
            number(t.ratio),
            _between(t.ratio_low, t.ratio_high),
            number(t.gflops),
            percentage(t.peak),
            percentage(t.roof),
            seconds(t.cold),
            mebibytes(t.memory),
            _output(t),
        )
        for layer, timings in report.layers()
        for t in timings
    ]
    if not rows:
        return []
    header: tuple[str, ...] = ("layer", "implementation", "median", "quartiles")
    header += ("ratio", "95 %", "GFLOP/s", "peak", "roof", "first call", "memory", "output")
    note = (
        f"ratio: median over {escaped(baseline(report))}, and its 95 % confidence interval; peak: "
        "share of the machine's measured matrix-product rate; roof: the least time by that rate "
        "and by copying memory, over the median; memory: what the process held in the first call "
        "beyond what it held before; output: whether what the timed calls returned is right, and "
        "the times believable."
    )
    parts = ["### Time of one call", table(Table(header, "llrrrrrrrrrl", rows)), note]
    grown = [
        (
            g.layer,
            report.label(g.implementation),
            str(g.threads),
            f"{g.dimension} {g.values[0]} to {g.values[-1]}",
            f"{g.exponent:.2f}",
            f"{g.work:.2f}",
        )
        for g in growth(report)
    ]
    columns = ("layer", "implementation", "threads", "sweep", "exponent of the time", "of the work")
    if grown:
        parts += ["#### Growth", table(Table(columns, "llrlrr", grown))]
    return parts


def _between(low: float | None, high: float | None) -> str:
    return NONE if low is None or high is None else f"{number(low)} to {number(high)}"


def _output(timing: Timing) -> str:
    if not timing.is_verified:
        return f"{_BAD} {_short(timing.verified, 200)}"
    return f"{_BAD} not believable: {_short(timing.doubt, 200)}" if timing.doubt else words.CONFORMS


def _gaps(report: Report) -> list[str]:
    rows = [
        (gap.implementation, gap.operator, f"{gap.count:,}", _short(gap.reason))
        for gap in ranged(report.unsupported)
    ]
    lines = table(Table(("implementation", "operator", "cases", "reason"), "llrl", rows))
    return folded("Not computed", lines) if rows else []


def _sources(report: Report) -> list[str]:
    rows = [
        (one.implementation, f"{one.executed:,} of {one.statements:,}", _short(sentences(one)))
        for one in report.sources
    ]
    lines = table(Table(("implementation", "executed", "of its own source"), "lrl", rows))
    return ["### Sources", lines] if rows else []


def table(content: Table) -> str:
    """Return a Markdown table with escaped text; verdicts and failures get their symbols."""
    names = {"l": "left", "r": "right"}
    # tabulate's "pipe" is its "github" with the colons that align the columns.
    text: str = tabulate(
        [
            [_cell(*parts) for parts in zip(content.header, content.align, row, strict=True)]
            for row in content.rows
        ],
        headers=[escaped(title) for title in content.header],
        tablefmt="pipe",
        disable_numparse=True,
        colalign=[names[letter] for letter in content.align],
    )
    return text


def _cell(title: str, align: str, text: str) -> str:
    if title in ("verdict", "does"):
        return verdict_of(text)
    if title == "failed" and text != "0":
        return f"{_BAD} {text}"
    return text if align == "r" or isinstance(text, Marked) else escaped(text)


class Marked(str):
    """A cell of Markdown, which is escaped already."""


def _short(text: str, limit: int = 300) -> str:
    return one_line(shorten(text, limit))


def folded(summary: str, *parts: str) -> list[str]:
    """Return a <details> element; the blank lines between the parts make them Markdown again."""
    return [f"<details>\n<summary>{summary}</summary>", *parts, "</details>"]


def fenced(text: str, language: str) -> str:
    """Return code in a fence longer than any run of backticks inside."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def fenced_script(script: str) -> str:
    """Return a standalone script in a fence that names its language."""
    language = {"#!": "sh", "//": "js"}.get(script[:2], "python")
    return fenced(script, language)


def escaped(text: str) -> str:
    """Return text in which references replace all characters that Markdown or HTML interpret."""
    return _ACTIVE.sub(lambda match: f"&#{ord(match[0])};", text)


def verdict_of(verdict: str) -> str:
    """Return a verdict with its symbol."""
    return f"{symbol(verdict)} {escaped(verdict)}".strip()


def symbol(verdict: str) -> str:
    """Return the symbol of a verdict, or nothing."""
    return _SYMBOLS.get(verdict, "")
