"""A report as GitHub-flavoured Markdown, fit for the summary of a CI job.

Everything that came from the run file is escaped: in tables and sentences by character
references, which neither Markdown nor HTML interprets; code by fences longer than any run of
backticks inside.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from tabulate import tabulate

from conformance.reports.alike import MANY, alike, clans
from conformance.reports.differences import choices
from conformance.reports.headline import INCOMPLETE, baseline, environment, headline, overall
from conformance.reports.large import NOTE, counts, outcome
from conformance.reports.model import Finding, Report
from conformance.reports.text import (
    NONE,
    multiple,
    number,
    percentage,
    plural,
    requirement_title,
    seconds,
    share,
    shorten,
)
from conformance.runfile.text import one_line
from conformance.runfile.words import (
    ADAPTER_WRONG,
    CONFORMS,
    FAILED,
    INCONCLUSIVE,
    KNOWN_DIFFERENCE,
    STALE,
)

_SYMBOLS = {CONFORMS: "✅", INCONCLUSIVE: "⚠️", KNOWN_DIFFERENCE: "⚠️"}
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
    parts = [f"{symbol} **{escaped(headline(report))}**"]
    if not report.complete:
        parts.append(f"> [!WARNING]\n> {INCOMPLETE} What follows was judged until then.")
    parts += _agreement(report)
    parts += _cells(report)
    parts += _violations(report)
    parts += _known(report)
    parts += _conventions(report)
    parts += _pairwise(report)
    parts += _large(report)
    parts += _timings(report)
    parts += _gaps(report)
    parts += _settings(report)
    rows = [[escaped(label), escaped(value)] for label, value in environment(report)]
    parts += folded("Environment", table(["", ""], rows))
    return "\n\n".join(parts) + "\n"


def _settings(report: Report) -> list[str]:
    rows = [
        [escaped(one.name), escaped(one.version), escaped(one_line(shorten(one.settings, 300)))]
        for one in report.implementations
        if one.settings
    ]
    if not rows:
        return []
    return folded("Settings of the engines", table(["implementation", "version", "set to"], rows))


def _agreement(report: Report) -> list[str]:
    rows = []
    for s in report.summaries():
        reached = f"{s.reached}/{s.planned}" if s.reached < s.planned else "all"
        gaps = f"{s.unsupported:,}" if s.unsupported else NONE
        numbers = (f"{s.compared:,}", gaps, reached, multiple(s.worst))
        rows.append(
            [escaped(s.implementation), escaped(s.operator), *numbers, verdict_of(s.verdict)]
        )
    for one in report.not_installed:
        note = one_line(shorten(one.note, 300)) or one.verdict
        rows.append([escaped(one.name), NONE, "0", NONE, NONE, NONE, escaped(note)])
    if not rows:
        return []
    header = ["implementation", "operator", "compared", "gaps", "reached", "worst", "verdict"]
    note = (
        "worst: the largest error as a fraction of the allowed bound; gaps: cases that the "
        "implementation does not support; reached: how far the time budget reached."
    )
    ended = [f"{escaped(one.name)}: {escaped(one_line(one.note))}." for one in report.ended]
    return ["### Agreement with the reference", table(header, rows, "llrrrrl"), note, *ended]


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
        f"{verdict_of(smallest.status)}: <b>{escaped(smallest.implementation)}</b>, "
        f"{escaped(smallest.operator)}: {escaped(requirement_title(smallest.requirement))}"
    )
    reach = f"The smallest of {plural(finding.count, 'case')}"
    if finding.further:
        reach += f", the same in {plural(finding.further, 'further cell')}"
    parts = [
        fenced(shorten(smallest.message, _LONGEST_MESSAGE), "text"),
        f"{reach}:",
        fenced(smallest.case, "text"),
        fenced(smallest.replay, "sh"),
    ]
    if len(smallest.script) > _LONGEST_SCRIPT:
        parts.append("The standalone script is too long for this page; it is in the HTML report.")
    elif smallest.script:
        parts += folded("Standalone script", fenced(smallest.script, "python"))
    return folded(title, *parts)


def _known(report: Report) -> list[str]:
    shown = [entry for entry in report.known if entry.status in (KNOWN_DIFFERENCE, STALE)]
    rows = [
        [
            escaped(entry.implementation),
            escaped(entry.operator),
            escaped(entry.requirement),
            f"{entry.count:,}" if entry.status != STALE else "❌ stale",
            escaped(one_line(shorten(f"{entry.covers}: {entry.reason} {entry.link}", 400))),
        ]
        for entry in shown
    ]
    if not rows:
        return []
    header = ["implementation", "operator", "requirement", "cases", "where and why"]
    note = "Expected, with a reason, and not counted as violations; a stale one no longer occurs."
    return ["### Known differences", table(header, rows, "lllrl"), note]


def _conventions(report: Report) -> list[str]:
    rows = []
    for choice in choices(report):
        for word, who in choice.camps:
            names = [
                escaped(one.implementation if one.agrees else f"{one.implementation} ❌ declares ")
                + ("" if one.agrees else escaped(one.declared))
                for one in who
            ]
            rows.append([escaped(choice.name), choice.requirement, escaped(word), ", ".join(names)])
    header = ["convention", "requirement", "follows", "who"]
    return folded("Conventions and accuracy, as probed", table(header, rows)) if rows else []


def _pairwise(report: Report) -> list[str]:
    totals = report.pair_totals()
    names = [one.name for one in report.judged if any(one.name in key for key in totals)]
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
        rows.append([escaped(name), *cells])
    note = (
        "Share of output elements that are identical bit for bit, and the largest difference as "
        "a multiple of the bound."
    )
    lines = table(["", *map(escaped, names)], rows, "l" + "r" * len(names))
    return ["### Agreement with one another", lines, note]


def _large(report: Report) -> list[str]:
    rows = [
        [
            *(escaped(c.implementation), escaped(c.operator), str(c.full), str(c.parts)),
            *(str(c.unsupported), f"❌ {c.failed}" if c.failed else "0"),
        ]
        for c in counts(report)
    ]
    if not rows:
        return []
    header = ["implementation", "operator", "in full", "in part", "gaps", "failed"]
    cases = [
        [
            escaped(row.layer),
            escaped(row.implementation),
            escaped(outcome(row)),
            seconds(row.seconds),
        ]
        for row in report.large[:_MOST_LARGE]
    ]
    listed = table(["layer or shape", "implementation", "outcome", "time"], cases, "lllr")
    more = len(report.large) - len(cases)
    notes = [f"{more} more are in the run file."] if more else []
    return [
        "### Large cases",
        table(header, rows, "llrrrr"),
        NOTE,
        *folded("Each large case", listed, *notes),
    ]


def _most_and_least_alike(report: Report) -> list[str]:
    rows = [
        [
            *(escaped(row.implementation), escaped(row.nearest)),
            share(row.same.identical, row.same.elements),
            *(escaped(row.farthest), multiple(row.apart.largest)),
            escaped(row.apart.largest_case or ""),
        ]
        for row in alike(report)
    ]
    header = ["", "most like", "identical", "least like", "apart", "at"]
    note = (
        "Most like: of another family where there is one, by the share of output elements that are "
        "identical bit for bit. Apart: the largest difference as a multiple of the bound."
    )
    same = [f"Identical in every bit: {escaped(', '.join(group))}." for group in clans(report)]
    return ["### Agreement with one another", table(header, rows, "llrlrl"), note, *same]


def _cells(report: Report) -> list[str]:
    rows = [
        [
            *(escaped(c.implementation), escaped(c.operator), f"{c.dims}-D", escaped(c.dtype)),
            f"{c.compared:,}",
            f"{max(0, c.compared - c.violating - c.known):,}",
            f"{c.violating:,}" + (f" + {c.known:,} known" if c.known else ""),
            f"{c.unsupported:,}",
        ]
        for c in report.cells
    ]
    header = ["implementation", "operator", "dims", "dtype", "compared", "conforms", "differs"]
    made = table([*header, "unsupported"], rows, "llllrrrr")
    return folded("Every operator, dimension and dtype", made) if rows else []


def _timings(report: Report) -> list[str]:
    rows = [
        [
            escaped(layer),
            escaped(t.implementation),
            seconds(t.median),
            f"{seconds(t.lower)} to {seconds(t.upper)}",
            number(t.ratio),
            number(t.gflops),
            percentage(t.peak),
            CONFORMS if t.is_verified else f"❌ {escaped(one_line(shorten(t.verified, 200)))}",
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
        f"ratio: median over {escaped(baseline(report))}; peak: share of the machine's measured "
        "matrix-product rate; output: whether what the timed calls returned is right."
    )
    return ["### Time of one call", table(header, rows, "llrrrrrl"), note]


def _gaps(report: Report) -> list[str]:
    rows = [
        [
            escaped(gap.implementation),
            escaped(gap.operator),
            f"{gap.count:,}",
            escaped(one_line(shorten(gap.reason, 300))),
        ]
        for gap in report.unsupported
    ]
    header = ["implementation", "operator", "cases", "reason"]
    return folded("Not computed", table(header, rows, "llrl")) if rows else []


def table(header: Sequence[str], rows: Iterable[Sequence[str]], align: str = "") -> str:
    """Return a Markdown table of cells that are escaped already."""
    names = {"l": "left", "r": "right"}
    # tabulate's "pipe" is its "github" with the colons that align the columns.
    text: str = tabulate(
        list(rows),
        headers=list(header),
        tablefmt="pipe",
        disable_numparse=True,
        colalign=[names[letter] for letter in align] or None,
    )
    return text


def folded(summary: str, *parts: str) -> list[str]:
    """Return a <details> element; the blank lines between the parts make them Markdown again."""
    return [f"<details>\n<summary>{summary}</summary>", *parts, "</details>"]


def fenced(text: str, language: str) -> str:
    """Return code in a fence longer than any run of backticks inside."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def escaped(text: str) -> str:
    """Return text with every character that Markdown or HTML could act on made a reference."""
    return _ACTIVE.sub(lambda match: f"&#{ord(match[0])};", text)


def verdict_of(verdict: str) -> str:
    """Return a verdict with its symbol."""
    return f"{_SYMBOLS.get(verdict, '')} {escaped(verdict)}".strip()
