"""A report on one screen: who conforms, who violates what, what is known, and where the rest is.

With seven implementations it has at most 40 lines, at 80 columns, one of which is left for the
names of the reports. `conformance.reports.terminal` prints all tables.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from conformance.reports.calls import sentences
from conformance.reports.gaps import ranged
from conformance.reports.headline import INCOMPLETE, SETTINGS, environment, headline, not_asked
from conformance.reports.model import Finding, Report, Summary
from conformance.reports.order import grouped, largest
from conformance.reports.printing import (
    FULL,
    LINE,
    SHORT,
    console,
    finding_lines,
    put,
    rows,
    verdict_text,
    wrapped,
)
from conformance.reports.sources import unreached
from conformance.reports.spaces import summary
from conformance.reports.text import NONE, multiple, plural, share
from conformance.runfile.tables import Cell, Gap
from conformance.runfile.text import one_line
from conformance.runfile.words import KNOWN_DIFFERENCE, UNCHECKED

_ROWS, _OF = 38, 7
"""The rows of a screen with so many implementations; each further one has a row of its own."""
_NOTES = 10
"""The lines of notes between the table and the findings."""
_BLANK = 3
"""The empty lines between the parts."""
_REASONS = 5
"""The reasons for gaps that are named of one implementation alone; of several, one of each."""
_VERBOSE = "--verbose"


def show_screen(report: Report, target: Console | None = None) -> None:
    """Print the outcome of a run on one screen, the headline last."""
    target = target or console()
    put(target, _lines(report, target.width))


def _lines(report: Report, width: int) -> Iterator[Text]:
    table, foot = list(_table(report, width)), list(_foot(report, width))
    room = _ROWS + max(0, len(report.judged) - _OF) - rows([*table, *foot], width)
    findings = report.findings()
    least = [finding_lines(report, one, width, SHORT) for one in _firsts(findings)]
    least += [finding_lines(report, one, width, FULL) for one in findings[:1]]
    spare = room - sum(rows(lines, width) for lines in least) - _BLANK
    notes = list(_limited(_notes(report, width), max(1, min(_NOTES, spare)), width))
    for part in (table, notes):
        yield from part
        if part:
            yield Text()
    yield from _findings(report, findings, width, room - rows(notes, width) - _BLANK)
    yield from foot


def _table(report: Report, width: int) -> Iterator[Text]:
    """Yield a line for each implementation, or each operator where there is one implementation."""
    summaries = report.summaries()
    if not summaries:
        return
    groups: dict[str, list[Summary]]
    if len(report.judged) == 1:
        (one,) = report.judged
        head = f"{one.name} {one.version}".strip()
        groups = {s.operator: [s] for s in summaries}
        versions, verdicts = dict[str, str](), {s.operator: s.verdict for s in summaries}
    else:
        head, versions = "implementation", {i.name: i.version or NONE for i in report.judged}
        groups = grouped(summaries, lambda s: s.implementation)
        verdicts = {i.name: i.verdict for i in report.judged}
    header = (head, "version", "compared", "asked", "gaps", "known", "worst", "verdict")
    content = [
        (report.label(name), *_row(name, versions, verdicts, groups[name]))
        for name in verdicts
        if name in groups
    ]
    shown = [0, *(c for c in range(1, 7) if any(row[c] != _NOTHING[c] for row in content)), 7]
    for dropped in (0, 4, 5, 3, 1, 6, 2):  # what a narrow terminal does without, in this order
        shown = [column for column in shown if column == 0 or column != dropped]
        widths = {c: max(cell_len(row[c]) for row in (header, *content)) for c in shown}
        gap = next(
            (gap for gap in (2, 1) if sum(widths.values()) + gap * (len(shown) - 1) <= width), 0
        )
        if gap:
            break
    for number, row in enumerate((header, *content)):
        *cells, verdict = (_padded(row[c], widths[c], right=c > 1) for c in shown)
        start = (" " * (gap or 1)).join(cells) + " " * (gap or 1)
        if number:
            yield Text(start) + verdict_text(verdict.strip())
        else:
            yield Text(start + verdict.strip(), style="bold")
    legend = {3: "asked: of those planned", 4: "gaps: not supported"}
    legend |= {5: "known: expected failures", 6: "worst: share of the bound"}
    yield from wrapped("; ".join(legend[c] for c in shown if c in legend), width, style="dim")


_NOTHING = ("", NONE, "", "all", NONE, NONE, "", "")
"""What a column has in every line that is left out."""


def _row(
    name: str, versions: dict[str, str], verdicts: dict[str, str], summaries: Sequence[Summary]
) -> tuple[str, ...]:
    planned, reached = (sum(getattr(s, n) for s in summaries) for n in ("planned", "reached"))
    gaps = sum(s.unsupported for s in summaries)
    known = sum(cell.known for s in summaries for cell in s.cells)
    return (
        versions.get(name, NONE),
        f"{sum(s.compared for s in summaries):,}",
        share(reached, planned) if reached < planned else "all",
        f"{gaps:,}" if gaps else NONE,
        f"{known:,}" if known else NONE,
        multiple(largest(s.worst for s in summaries)),
        verdicts[name],
    )


def _padded(text: str, width: int, *, right: bool) -> str:
    space = " " * (width - cell_len(text))
    return space + text if right else text + space


def _notes(report: Report, width: int) -> Iterator[list[Text]]:
    """Yield what a table cannot say: cells with too little, who ended early, gaps."""
    for entry in report.stale:
        text = f"stale: {entry.implementation}, {entry.operator}: {entry.requirement} no longer "
        text += f"occurs; take it off the list: {entry.case}"
        yield wrapped(text, width, "  ", "bold red")
    for name, summaries in grouped(report.summaries(), lambda s: s.implementation).items():
        cells = [cell for s in summaries for cell in s.inconclusive]
        if cells:
            text = f"inconclusive: {name}: {_listed(cells)}"
            yield wrapped(text, width, "  ", "yellow", most=2)
    for one in report.ended:
        yield wrapped(f"{one.name}: {one_line(one.note)}", width, "  ", "yellow", most=3)
    known = Counter(e.implementation for e in report.known if e.status == KNOWN_DIFFERENCE)
    if known:
        text = ", ".join(f"{name} {count}" for name, count in known.items())
        yield wrapped(f"known differences that occur: {text}", width, "  ", "dim", most=2)
    for source in report.sources:
        if text := unreached(source):
            yield wrapped(f"{source.implementation}: {text}", width, "  ", "yellow", most=3)
    if report.not_installed:
        names = ", ".join(one.name for one in report.not_installed)
        yield wrapped(f"not installed: {names}", width, "  ", "dim", most=2)
    for name, gaps in _gaps(report).items():
        unchecked = [gap for gap in gaps if gap.reason == UNCHECKED]
        for gap in unchecked:
            text = f"{name}: {UNCHECKED}: {plural(gap.count, 'invalid call')} not made"
            yield wrapped(text, width, "  ", "dim")
        gaps = [gap for gap in gaps if gap not in unchecked]
        counted = plural(sum(gap.count for gap in gaps), "gap")
        shown = gaps[:_REASONS] if len(report.judged) == 1 else gaps[:1]
        for gap in shown:
            head = f"{name}: {gap.count:,} of {counted}" if len(gaps) > 1 else f"{name}: {counted}"
            yield wrapped(f"{head}: {one_line(gap.reason)}", width, "  ", "dim", most=2)


def _listed(cells: Sequence[Cell]) -> str:
    """Name the first of the cells with too little to say anything, and count the others."""
    first = cells[0]
    text = f"{first.operator} {first.dims}-D {first.dtype} ({first.compared} compared"
    text += f", {first.nonzero} not all zero)" if first.nonzero < first.compared else ")"
    return text + (f" and {plural(len(cells) - 1, 'other cell')}" if len(cells) > 1 else "")


def _gaps(report: Report) -> dict[str, list[Gap]]:
    """Return the gaps of each implementation, in all operators together, the largest first."""
    merged = ranged(replace(gap, operator="") for gap in report.unsupported)
    return grouped(sorted(merged, key=lambda gap: -gap.count), lambda gap: gap.implementation)


def _limited(parts: Iterable[list[Text]], most: int, width: int) -> Iterator[Text]:
    """Yield the lines of as many parts as fit into ``most`` rows, and how many are left out."""
    left = list(parts)
    while left:
        needed, last = rows(left[0], width), len(left) == 1
        if needed > most - (not last):
            yield Text(f"and {plural(len(left), 'further note')}: {_VERBOSE}", style="dim")
            return
        yield from left.pop(0)
        most -= needed


def _firsts(findings: Sequence[Finding]) -> list[Finding]:
    """Return the worst finding of each implementation."""
    firsts: dict[str, Finding] = {}
    for finding in findings:
        firsts.setdefault(finding.smallest.implementation, finding)
    return list(firsts.values())


def _findings(report: Report, findings: Sequence[Finding], width: int, most: int) -> Iterator[Text]:
    """Yield the findings in at most ``most`` rows, the worst of each implementation in any case.

    Those have their replay commands; then the worst of all are shown in full, and the others have
    a line each, as far as there is room.
    """
    firsts = _firsts(findings)
    ordered = [*firsts, *(finding for finding in findings if finding not in firsts)]
    wanted = [(number, SHORT) for number in range(len(firsts))]
    wanted += [(0, FULL)] if ordered else []
    wanted += [(number, LINE) for number in range(len(firsts), len(ordered))]
    wanted += [(number, FULL) for number in range(1, len(ordered))]
    forms: dict[int, list[Text]] = {}
    used = 0
    for number, form in wanted:
        lines = finding_lines(report, ordered[number], width, form)
        lines += [Text()] if form == FULL else []
        needed = rows(lines, width) - rows(forms.get(number, ()), width)
        complete = len({*forms, number}) == len(ordered)
        if form == SHORT or used + needed + (not complete) <= most:
            forms[number] = lines
            used += needed
        elif form == FULL and number:  # the worst ones are shown in full, without a gap
            break
    for number in sorted(forms):
        yield from forms[number]
    more = len(ordered) - len(forms)
    if more:
        yield Text(f"and {plural(more, 'further violation')}: {_VERBOSE}", style="bold")
    if forms and (more or forms[max(forms)][-1].plain):  # a full form ends with an empty line
        yield Text()


def _foot(report: Report, width: int) -> Iterator[Text]:
    """Yield how the run came about, where its file is and, in one sentence, the outcome."""
    facts = dict(environment(report))
    settings = [f"{label} {facts[label]}" for label in SETTINGS if label in facts]
    where = ", ".join([*settings, f"run file {report.path}"])
    yield Text(f"{where}; all tables: {_VERBOSE}", style="dim")
    if not report.complete:
        yield Text(INCOMPLETE, style="bold yellow")
    if text := summary(report):
        yield from wrapped(text, width, style="dim", most=2)
    yield from wrapped(headline(report), width, style="bold")
    for sentence in sentences(report):
        yield from wrapped(sentence, width, style="bold")
    yield from wrapped(not_asked(report), width, style="yellow", most=3)
