"""A report on a terminal: tables of at most 80 columns, legible without colour and when piped.

`show` prints all of it; `agreement`, `pairwise` and `layers` return rich renderables, and
`print_violations` prints, because case ids and commands must not be wrapped at any width.
"""

from __future__ import annotations

from collections.abc import Iterable

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from conformance.reports.alike import MANY, alike, clans
from conformance.reports.differences import choices
from conformance.reports.headline import INCOMPLETE, baseline, environment, headline
from conformance.reports.large import NOTE, counts
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
from conformance.runfile.tables import Cell, Timing
from conformance.runfile.text import one_line
from conformance.runfile.words import (
    ADAPTER_WRONG,
    CONFORMS,
    CRASHED,
    FAILED,
    INCONCLUSIVE,
    KNOWN_DIFFERENCE,
    TIMED_OUT,
    UNSUPPORTED,
    VIOLATES,
)

_STYLES = {CONFORMS: "green", INCONCLUSIVE: "yellow", KNOWN_DIFFERENCE: "yellow"}
_LONGEST_MESSAGE = 1200
_PAIR_COLUMNS = 7
"""Columns of the pairwise matrix that fit into 80; further ones go into the next block."""


def show(report: Report, console: Console | None = None) -> None:
    """Print the whole report: what failed comes last, where the eye is when the run ends."""
    console = console or Console(highlight=False)
    for title, part in (
        ("Agreement with the reference", agreement(report)),
        ("Agreement with one another", pairwise(report)),
        ("Large cases", large(report)),
        ("Time of one call", layers(report)),
        ("Not computed", gaps(report)),
        ("Known differences", known(report)),
        ("Conventions and accuracy, as probed", followed(report)),
    ):
        if part is not None:
            console.print(Text(title, style="bold"))
            console.print(part)
            console.print()
    print_violations(report, console)
    print_headline(report, console)


def print_headline(report: Report, console: Console) -> None:
    """Print where the run is and, in one sentence, what came of it."""
    facts = dict(environment(report))
    told = [f"{label} {facts[label]}" for label in ("seed", "tier") if label in facts]
    for line in (", ".join(told), f"run file {report.path}"):
        if line:
            console.print(Text(line, style="dim"), soft_wrap=True)
    if not report.complete:
        console.print(Text(INCOMPLETE, style="bold yellow"))
    console.print(Text(headline(report), style="bold"))


def agreement(report: Report) -> RenderableType | None:
    """Return the table implementation x operator: compared, worst error, verdict.

    The columns "gaps" (cases that it does not support) and "reached" (how far the time budget
    reached) are there only if they say something.
    """
    summaries = report.summaries()
    if len(report.judged) > MANY:
        return _overview(report)
    partly = any(s.reached < s.planned for s in summaries)
    with_gaps = any(s.unsupported for s in summaries)
    table = _table("implementation", gap=1 if partly and with_gaps else 2)
    table.add_column("operator", no_wrap=True)
    for title, wanted in (
        ("compared", True),
        ("gaps", with_gaps),
        ("reached", partly),
        ("worst", True),
    ):
        if wanted:
            table.add_column(title, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    notes: list[str] = []
    previous = None
    for s in summaries:
        row = [Text(s.implementation if s.implementation != previous else ""), Text(s.operator)]
        row.append(Text(f"{s.compared:,}"))
        if with_gaps:
            row.append(Text(f"{s.unsupported:,}" if s.unsupported else NONE))
        if partly:
            row.append(Text(f"{s.reached}/{s.planned}" if s.reached < s.planned else "all"))
        row += [Text(multiple(s.worst)), _verdict(s.verdict)]
        table.add_row(*row)
        previous = s.implementation
        if s.inconclusive:
            cells = ", ".join(map(_too_little, s.inconclusive))
            notes.append(f"inconclusive: {s.implementation}, {s.operator}: {cells}")
    notes += [f"{one.name}: {one.note or one.verdict}" for one in report.not_installed]
    notes += [f"{one.name}: {one.note}" for one in report.ended]
    legend = ["worst: the largest error as a fraction of the allowed bound"]
    legend += ["gaps: cases that the implementation does not support"] if with_gaps else []
    legend += ["reached: cases that the time budget reached, of those planned"] if partly else []
    notes = (legend if table.row_count else []) + notes
    lines: list[RenderableType] = [table] if table.row_count else []
    lines += [Text(shorten(note, 400), style="dim") for note in notes]
    return Group(*lines) if lines else None


_WORDS = {CONFORMS: "ok", VIOLATES: "WRONG", KNOWN_DIFFERENCE: "known", UNSUPPORTED: NONE}
_WORDS |= {INCONCLUSIVE: "few", TIMED_OUT: "SLOW", CRASHED: "CRASH", ADAPTER_WRONG: "ADAPT"}
_LONGEST_WORD = 5


def _overview(report: Report) -> RenderableType:
    """Return a matrix: a row an implementation, a column an operator, a word each."""
    table = _table("", width=20, gap=1)
    for place in range(len(report.operators)):
        table.add_column(str(place + 1), no_wrap=True, width=_LONGEST_WORD)
    found = {(s.implementation, s.operator): s for s in report.summaries()}
    for one in report.judged:
        row = [Text(one.name)]
        for operator in report.operators:
            s = found.get((one.name, operator))
            word = _verdict(s.verdict) if s else Text("")
            short = _WORDS.get(word.plain, word.plain[:_LONGEST_WORD])
            row.append(Text(short, style=word.style))
        table.add_row(*row)
    columns = (f"{place} {operator}" for place, operator in enumerate(report.operators, 1))
    notes = [
        ", ".join(columns),
        "ok: conforms; WRONG: violates; CRASH, SLOW: ends the process, times out; known: expected "
        f"differences alone; few: too few cases compared; {NONE}: gaps alone; blank: has it not",
        "numbers by dimensions and dtype: the reports, and --json",
    ]
    notes += [f"{one.name}: {one.note or one.verdict}" for one in report.not_installed]
    return Group(table, *(Text(shorten(note, 400), style="dim") for note in notes))


def pairwise(report: Report) -> RenderableType | None:
    """Return the matrix of pairs, or None if there are none.

    Below the diagonal is the share of output elements that are identical bit for bit, above it the
    largest difference as a multiple of the bound.
    """
    totals = report.pair_totals()
    names = [one.name for one in report.judged if any(one.name in key for key in totals)]
    if len(names) > MANY:
        return _most_and_least_alike(report)
    blocks: list[RenderableType] = []
    for start in range(0, len(names), _PAIR_COLUMNS):
        columns = range(start, min(start + _PAIR_COLUMNS, len(names)))
        table = _table("")
        for column in columns:
            table.add_column(str(column + 1), justify="right", no_wrap=True, min_width=6)
        for line, name in enumerate(names):
            row = [Text(f"{line + 1:>2} {name}")]
            for column in columns:
                pair = totals.get((name, names[column]))
                if column == line:
                    row.append(Text("\\", style="dim"))
                elif pair is None or not pair.elements:
                    row.append(Text(NONE))
                elif column < line:
                    row.append(Text(share(pair.identical, pair.elements)))
                else:
                    row.append(Text(multiple(pair.largest), style="cyan"))
            table.add_row(*row)
        blocks.append(table)
    note = (
        "below \\: share of output elements that are identical bit for bit\n"
        "above \\: largest difference as a multiple of the bound"
    )
    return Group(*blocks, Text(note, style="dim")) if blocks else None


def _most_and_least_alike(report: Report) -> RenderableType:
    table = _table("")
    for title in ("most like", "identical", "least like", "apart"):
        right = title in ("identical", "apart")
        table.add_column(title, justify="right" if right else "left", no_wrap=right)
    for row in alike(report):
        table.add_row(
            Text(row.implementation),
            Text(row.nearest),
            Text(share(row.same.identical, row.same.elements)),
            Text(row.farthest),
            Text(multiple(row.apart.largest), style="cyan"),
        )
    notes = [
        "most like: of another family where there is one, by the share of identical elements",
        "apart: the largest difference as a multiple of the bound; two that conform stay below 2",
        *(f"identical in every bit: {', '.join(group)}" for group in clans(report)),
    ]
    return Group(table, *(Text(note, style="dim") for note in notes))


def layers(report: Report) -> RenderableType | None:
    """Return the timing table, a block a layer, the fastest implementation first."""
    blocks: list[RenderableType] = []
    widest = max((len(timing.implementation) for timing in report.timings), default=0)
    for layer, timings in report.layers():
        table = _table("", width=max(16, min(widest, 26)))
        table.show_header = not blocks
        for title, width in (
            *(("median", 8), ("quartiles", 18), ("ratio", 6), ("GFLOP/s", 7), ("peak", 5)),
        ):
            table.add_column(title, justify="right", no_wrap=True, min_width=width)
        for timing in timings:
            table.add_row(*_timing(timing))
        heading = f"{layer}, {plural(timings[0].threads, 'thread')}"
        blocks += [Text(heading, style="bold"), table]
        blocks += [
            Text(shorten(f"wrong output: {t.implementation}: {t.verified}", 400), style="red")
            for t in timings
            if not t.is_verified
        ]
    note = f"ratio: median over {baseline(report)}\npeak: share of the measured matrix-product rate"
    return Group(*blocks, Text(note, style="dim")) if blocks else None


def large(report: Report) -> RenderableType | None:
    """Return how many large cases each implementation was judged on, and those that failed."""
    table = _table("implementation")
    table.add_column("operator", no_wrap=True)
    for title in ("in full", "in part", "gaps", "failed"):
        table.add_column(title, justify="right", no_wrap=True)
    previous = None
    for c in counts(report):
        name = Text(c.implementation if c.implementation != previous else "")
        numbers = (str(count or NONE) for count in (c.full, c.parts, c.unsupported))
        failed = Text(str(c.failed), style="bold red") if c.failed else Text(NONE)
        table.add_row(name, Text(c.operator), *map(Text, numbers), failed)
        previous = c.implementation
    return Group(table, Text(NOTE, style="dim")) if table.row_count else None


def gaps(report: Report) -> RenderableType | None:
    """Return the reasons why cases were not computed, with counts."""
    lines = [
        Text(f"{gap.implementation}, {gap.operator}: {gap.count:,} x {one_line(gap.reason)[:200]}")
        for gap in report.unsupported
    ]
    return Group(*lines) if lines else None


def known(report: Report) -> RenderableType | None:
    """Return the known differences that occurred, each with its reason, and how many cases it has.

    Those that no longer occur are printed with the violations.
    """
    lines: list[RenderableType] = []
    for entry in report.known:
        if entry.status != KNOWN_DIFFERENCE:
            continue
        reach = f"{plural(entry.count, 'case')} where {entry.covers}"
        told = f"{entry.implementation}, {entry.operator}: {entry.requirement}: {reach}: "
        lines.append(Text(told) + Text(one_line(f"{entry.reason} {entry.link}"), style="dim"))
    return Group(*lines) if lines else None


def followed(report: Report) -> RenderableType | None:
    """Return who follows which alternative of each convention, and attains which accuracy.

    An implementation that declares something else is marked, with what it declares.
    """
    table = _table("convention")
    table.add_column("follows", overflow="fold")
    table.add_column("who", overflow="fold")
    for choice in choices(report):
        for place, (word, who) in enumerate(choice.camps):
            names = [
                one.implementation if one.agrees else f"{one.implementation} [says {one.declared}]"
                for one in who
            ]
            table.add_row(Text("" if place else choice.name), Text(word), Text(", ".join(names)))
    return table if table.row_count else None


def print_violations(report: Report, console: Console) -> None:
    """Print each violated requirement with its smallest case and the command that replays it."""
    for finding in report.findings():
        _print_finding(finding, console)
    for entry in report.stale:
        told = f"stale  {entry.implementation}, {entry.operator}: "
        console.print(Text(told + requirement_title(entry.requirement), style="bold red"))
        console.print(Text(f"  no longer occurs where {entry.covers}; take it off the list:"))
        console.print(Text(entry.case), soft_wrap=True)
        console.print()


def _print_finding(finding: Finding, console: Console) -> None:
    smallest = finding.smallest
    title = _verdict(smallest.status) + Text(
        f"  {smallest.implementation}, {smallest.operator}: "
        f"{requirement_title(smallest.requirement)}",
        style="bold",
    )
    reach = f"smallest of {plural(finding.count, 'case')}"
    if finding.further:
        reach += f"; the same in {plural(finding.further, 'further cell')}"
    console.print(title)
    for line in Text(shorten(smallest.message, _LONGEST_MESSAGE)).wrap(console, console.width - 2):
        line.rstrip()
        console.print(Text("  ") + line, soft_wrap=True)
    console.print(Text(f"  {reach}:", style="dim"))
    # Never wrapped or cropped, whatever the width: these lines are there to be copied.
    console.print(Text(smallest.case), soft_wrap=True)
    console.print(Text("  replay:", style="dim"))
    command = smallest.replay
    console.print(Text(command, style="cyan"), soft_wrap=True)
    console.print()


def _too_little(cell: Cell) -> str:
    """Say why a cell is inconclusive: too few comparisons, or hardly anything but zeros."""
    told = f"{cell.dims}-D {cell.dtype} ({cell.compared} compared"
    return f"{told}, {cell.nonzero} not all zero)" if cell.nonzero < cell.compared else f"{told})"


def _table(label: str, *, width: int | None = None, gap: int = 2) -> Table:
    """Return a table whose first column holds names, which are folded rather than cut."""
    table = Table(
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, gap - 1, 0, 0),
        header_style="bold",
    )
    table.add_column(Text(label), overflow="fold", min_width=width)
    return table


def _verdict(verdict: str) -> Text:
    bad = verdict in (ADAPTER_WRONG, *FAILED)
    return Text(verdict, style="bold red" if bad else _STYLES.get(verdict, "dim"))


def _timing(timing: Timing) -> Iterable[Text]:
    yield Text(timing.implementation)
    yield Text(seconds(timing.median))
    whiskers = f"{seconds(timing.lower)}..{seconds(timing.upper)}"
    yield Text(NONE if timing.lower is None or timing.upper is None else whiskers)
    yield Text(number(timing.ratio))
    yield Text(number(timing.gflops))
    yield Text(percentage(timing.peak))
