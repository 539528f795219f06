"""A report for the summary of a CI job: the outcome, who conforms, and the worst findings.

GitHub shows a summary of up to 1 MiB a step, other places less: this one stays below 64 KiB,
whatever a run holds. `conformance.reports.markdown` has everything.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from conformance.reports.findings import reach, title, where
from conformance.reports.headline import INCOMPLETE, environment, headline, not_asked, overall
from conformance.reports.markdown import escaped, fenced, folded, symbol, table, verdict_of
from conformance.reports.model import Finding, Report
from conformance.reports.order import grouped, largest
from conformance.reports.tables import Table
from conformance.reports.text import NONE, multiple, number, plural, seconds, shorten
from conformance.runfile import words
from conformance.runfile.text import one_line

MOST_BYTES = 1 << 16
"""The size of a summary at most, in UTF-8."""
_MOST_ROWS = 100
_LONGEST = 600
_FACTS = ("command", "seed", "tier", "cpu", "cores", "python")


def summary(report: Report) -> str:
    """Return the summary: the outcome first, then who conforms, then the worst findings."""
    findings = [_finding(report, finding) for finding in report.findings()]
    head, room = _fitting(_head(report), MOST_BYTES - 200)
    foot, room = _fitting(_foot(report), room)
    shown, _ = _fitting(findings, room)
    left = len(findings) - len(shown)
    more = [f"{plural(left, 'further finding')}: see the full report."] if left else []
    return "\n\n".join((*head, *shown, *more, *foot)) + "\n"


def _fitting(parts: Sequence[str], room: int) -> tuple[list[str], int]:
    """Return the parts up to the first that is too large, and how many bytes are left."""
    kept = []
    for part in parts:
        needed = len(part.encode()) + 2
        if needed > room:
            break
        kept.append(part)
        room -= needed
    return kept, room


def _head(report: Report) -> list[str]:
    parts = [f"{symbol(overall(report))} **{_short(headline(report), 2000)}**"]
    if sentence := not_asked(report):
        parts.append(_short(sentence, 2000))
    if not report.complete:
        parts.append(f"> [!WARNING]\n> {INCOMPLETE}")
    rows = list(_rows(report))
    if rows:
        header = ("implementation", "version", "verdict", "compared", "known", "worst")
        parts.append(table(Table(header, "lllrrr", rows[:_MOST_ROWS])))
    if len(rows) > _MOST_ROWS:
        parts.append(f"{plural(len(rows) - _MOST_ROWS, 'further implementation')}.")
    return parts


def _rows(report: Report) -> Iterator[tuple[str, ...]]:
    cells = grouped(report.cells, lambda cell: cell.implementation)
    for one in report.implementations:
        own = cells.get(one.name, [])
        known = sum(cell.known for cell in own)
        yield (
            one_line(shorten(one.name, 80)),
            one_line(shorten(one.version or NONE, 40)),
            shorten(one.verdict, 40),
            f"{sum(cell.compared for cell in own):,}",
            f"{known:,}" if known else NONE,
            multiple(largest(cell.worst for cell in own)),
        )


def _finding(report: Report, finding: Finding) -> str:
    smallest = finding.smallest
    verdict, name = verdict_of(shorten(smallest.status, 40)), _short(smallest.implementation, 80)
    at, what = _short(where(finding), 200), _short(title(finding), 200)
    head = f"{verdict}: <b>{name}</b>, {at}: {what}"
    code = f"{shorten(smallest.case, 1500)}\n{shorten(smallest.replay, 3000)}"
    said = fenced(shorten(smallest.message, _LONGEST), "text")
    lines = folded(head, said, f"{reach(finding).capitalize()}:", fenced(code, "text"))
    return "\n\n".join(lines)


def _foot(report: Report) -> list[str]:
    """Return the timings, and how the run came about."""
    parts = []
    timed = [(layer, t) for layer, timings in report.layers() for t in timings]
    if timed:
        rows = [
            (
                one_line(shorten(layer, 80)),
                one_line(shorten(t.implementation, 80)),
                seconds(t.median),
                number(t.ratio),
                words.CONFORMS if t.is_believed else words.VIOLATES,
            )
            for layer, t in timed[:_MOST_ROWS]
        ]
        header = ("layer", "implementation", "median", "ratio", "verdict")
        parts.append(table(Table(header, "llrrl", rows)))
    facts = dict(environment(report))
    text = ", ".join(f"{name} {facts[name]}" for name in _FACTS if name in facts)
    return [*parts, f"<sub>{_short(text, 1000)}</sub>"] if text else parts


def _short(text: str, limit: int) -> str:
    return escaped(one_line(shorten(text, limit)))
