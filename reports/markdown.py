"""A report as GitHub-flavoured Markdown, fit for the summary of a CI job.

Everything that came from the run file is escaped: in tables and sentences by character
references, which neither Markdown nor HTML interprets; code by fences longer than any run of
backticks inside.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from tabulate import tabulate

from reports.headline import INCOMPLETE, baseline, environment, headline, overall
from reports.large import NOTE, counts, outcome
from reports.model import Finding, Report
from reports.order import ADAPTER_WRONG, FAILED
from reports.text import (
    NONE,
    multiple,
    number,
    one_line,
    percentage,
    plural,
    requirement_title,
    seconds,
    share,
    shorten,
)

_SYMBOLS = {"conforms": "✅", "inconclusive": "⚠️", "known difference": "⚠️"}
_SYMBOLS |= dict.fromkeys((ADAPTER_WRONG, *FAILED), "❌")
_MOST_FINDINGS = 40
_MOST_LARGE = 400
_LONGEST_MESSAGE = 2000
_LONGEST_SCRIPT = 8000
# GitHub refuses a summary of more than 1 MiB: the three limits together stay well below it.

_ACTIVE = re.compile(r"[&<>|`*\[\]~\\#@$!]|(?<![^\W_])_|_(?![^\W_])|:(?=//)|(?<=www)\.")


def markdown(report: Report) -> str:
    """Return the report; the first line is the outcome in one sentence."""
    symbol = _SYMBOLS[overall(report)]
    parts = [f"{symbol} **{_text(headline(report))}**"]
    if not report.complete:
        parts.append(f"> [!WARNING]\n> {INCOMPLETE} What follows was judged until then.")
    parts += _agreement(report)
    parts += _violations(report)
    parts += _known(report)
    parts += _pairwise(report)
    parts += _large(report)
    parts += _timings(report)
    parts += _gaps(report)
    rows = [[_text(label), _text(value)] for label, value in environment(report)]
    parts += _folded("Environment", _table(["", ""], rows))
    return "\n\n".join(parts) + "\n"


def _agreement(report: Report) -> list[str]:
    rows = []
    for s in report.summaries():
        reached = f"{s.reached}/{s.planned}" if s.reached < s.planned else "all"
        gaps = f"{s.unsupported:,}" if s.unsupported else NONE
        numbers = (f"{s.compared:,}", gaps, reached, multiple(s.worst))
        rows.append([_text(s.implementation), _text(s.operator), *numbers, _verdict(s.verdict)])
    for one in report.not_installed:
        note = one_line(shorten(one.note, 300)) or one.verdict
        rows.append([_text(one.name), NONE, "0", NONE, NONE, NONE, _text(note)])
    if not rows:
        return []
    header = ["implementation", "operator", "compared", "gaps", "reached", "worst", "verdict"]
    note = (
        "worst: the largest error as a fraction of the allowed bound; gaps: cases that the "
        "implementation does not support; reached: how far the time budget reached."
    )
    return ["### Agreement with the reference", _table(header, rows, "llrrrrl"), note]


def _violations(report: Report) -> list[str]:
    findings = report.findings()
    if not findings:
        return []
    parts = ["### Violations"]
    for finding in findings[:_MOST_FINDINGS]:
        parts += _finding(finding)
    if len(findings) > _MOST_FINDINGS:
        parts.append(f"{len(findings) - _MOST_FINDINGS} more are in the run file.")
    return parts


def _finding(finding: Finding) -> list[str]:
    smallest = finding.smallest
    title = (
        f"{_verdict(smallest.status)}: <b>{_text(smallest.implementation)}</b>, "
        f"{_text(smallest.operator)}: {_text(requirement_title(smallest.requirement))}"
    )
    reach = f"The smallest of {plural(finding.count, 'case')}"
    if finding.further:
        reach += f", the same in {plural(finding.further, 'further cell')}"
    parts = [
        _fenced(shorten(smallest.message, _LONGEST_MESSAGE), "text"),
        f"{reach}:",
        _fenced(smallest.case, "text"),
        _fenced(smallest.replay, "sh"),
    ]
    if len(smallest.script) > _LONGEST_SCRIPT:
        parts.append("The standalone script is too long for this page; it is in the HTML report.")
    elif smallest.script:
        parts += _folded("Standalone script", _fenced(smallest.script, "python"))
    return _folded(title, *parts)


def _known(report: Report) -> list[str]:
    shown = [entry for entry in report.known if entry.status in ("known difference", "stale")]
    rows = [
        [
            _text(entry.implementation),
            _text(entry.operator),
            _text(entry.requirement),
            f"{entry.count:,}" if entry.status != "stale" else "❌ stale",
            _text(one_line(shorten(f"{entry.covers}: {entry.reason} {entry.link}", 400))),
        ]
        for entry in shown
    ]
    if not rows:
        return []
    header = ["implementation", "operator", "requirement", "cases", "where and why"]
    note = "Expected, with a reason, and not counted as violations; a stale one no longer occurs."
    return ["### Known differences", _table(header, rows, "lllrl"), note]


def _pairwise(report: Report) -> list[str]:
    totals = report.pair_totals()
    names = [one.name for one in report.judged if any(one.name in key for key in totals)]
    if not names:
        return []
    rows = []
    for name in names:
        pairs = [totals.get((name, other)) for other in names]
        cells = [
            f"{share(p.identical, p.elements)}, {multiple(p.largest)}" if p else "" for p in pairs
        ]
        rows.append([_text(name), *cells])
    note = (
        "Share of output elements that are identical bit for bit, and the largest difference as "
        "a multiple of the bound."
    )
    table = _table(["", *map(_text, names)], rows, "l" + "r" * len(names))
    return ["### Agreement with one another", table, note]


def _large(report: Report) -> list[str]:
    rows = [
        [
            *(_text(c.implementation), _text(c.operator), str(c.full), str(c.parts)),
            *(str(c.unsupported), f"❌ {c.failed}" if c.failed else "0"),
        ]
        for c in counts(report)
    ]
    if not rows:
        return []
    header = ["implementation", "operator", "in full", "in part", "gaps", "failed"]
    cases = [
        [_text(row.layer), _text(row.implementation), _text(outcome(row)), seconds(row.seconds)]
        for row in report.large[:_MOST_LARGE]
    ]
    listed = _table(["layer or shape", "implementation", "outcome", "time"], cases, "lllr")
    more = len(report.large) - len(cases)
    notes = [f"{more} more are in the run file."] if more else []
    return [
        "### Large cases",
        _table(header, rows, "llrrrr"),
        NOTE,
        *_folded("Each large case", listed, *notes),
    ]


def _timings(report: Report) -> list[str]:
    rows = [
        [
            _text(layer),
            _text(t.implementation),
            seconds(t.median),
            f"{seconds(t.lower)} to {seconds(t.upper)}",
            number(t.ratio),
            number(t.gflops),
            percentage(t.peak),
            "conforms" if t.is_verified else f"❌ {_text(one_line(shorten(t.verified, 200)))}",
        ]
        for layer, timings in report.layers()
        for t in timings
    ]
    if not rows:
        return []
    header = [
        "layer",
        "implementation",
        "median",
        "quartiles",
        "ratio",
        "GFLOP/s",
        "peak",
        "output",
    ]
    note = (
        f"ratio: median over {_text(baseline(report))}; peak: share of the machine's measured "
        "matrix-product rate; output: whether what the timed calls returned is right."
    )
    return ["### Time of one call", _table(header, rows, "llrrrrrl"), note]


def _gaps(report: Report) -> list[str]:
    rows = [
        [
            _text(gap.implementation),
            _text(gap.operator),
            f"{gap.count:,}",
            _text(one_line(shorten(gap.reason, 300))),
        ]
        for gap in report.unsupported
    ]
    header = ["implementation", "operator", "cases", "reason"]
    return _folded("Not computed", _table(header, rows, "llrl")) if rows else []


def _table(header: Sequence[str], rows: Iterable[Sequence[str]], align: str = "") -> str:
    names = {"l": "left", "r": "right"}
    # tabulate's "pipe" is its "github" with the colons that align the columns.
    table: str = tabulate(
        list(rows),
        headers=list(header),
        tablefmt="pipe",
        disable_numparse=True,
        colalign=[names[letter] for letter in align] or None,
    )
    return table


def _folded(summary: str, *parts: str) -> list[str]:
    """Return a <details> element; the blank lines between the parts make them Markdown again."""
    return [f"<details>\n<summary>{summary}</summary>", *parts, "</details>"]


def _fenced(text: str, language: str) -> str:
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def _text(text: str) -> str:
    """Return text with every character that Markdown or HTML could act on made a reference."""
    return _ACTIVE.sub(lambda match: f"&#{ord(match[0])};", text)


def _verdict(verdict: str) -> str:
    return f"{_SYMBOLS.get(verdict, '')} {_text(verdict)}".strip()
