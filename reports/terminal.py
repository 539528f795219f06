"""A report on a terminal: tables of at most 80 columns, legible without colour and when piped.

`show` prints all of it. `agreement`, `pairwise` and `layers` return rich renderables. But
`print_violations` prints, because case ids and commands must not be wrapped at any width.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Literal

from rich import box
from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from conformance.reports import calls, tables, timing_terminal
from conformance.reports.alike import MANY, identical_groups
from conformance.reports.gaps import ranged
from conformance.reports.headline import (
    INCOMPLETE,
    SETTINGS,
    environment,
    headline,
    not_asked,
)
from conformance.reports.large import NOTE
from conformance.reports.model import Report
from conformance.reports.order import grouped
from conformance.reports.printing import ALL, finding_lines, put, put_table, verdict_text
from conformance.reports.printing import console as stdout
from conformance.reports.sources import sentences as of_source
from conformance.reports.spaces import spaces
from conformance.reports.text import (
    NONE,
    multiple,
    plural,
    requirement_title,
    share,
    shorten,
)
from conformance.runfile import words
from conformance.runfile.tables import Cell
from conformance.runfile.text import one_line

_PAIR_COLUMNS = 7
"""The columns of the pairwise matrix that fit into 80 characters; further ones need a block."""


def show(report: Report, console: Console | None = None) -> None:
    """Print the whole report. Failures come last, where the reader looks when the run ends."""
    console = console or stdout()
    if report.timings and not report.cells:
        timing_terminal.show(report, console)
        return
    for title, part in (
        ("Agreement with the reference", agreement(report)),
        ("Agreement with one another", pairwise(report)),
        ("Calls of a model", calls_of_models(report)),
        ("Large cases", large(report)),
        ("Spaces judged whole", whole_spaces(report)),
        ("Time of one call", layers(report)),
        ("Not computed", gaps(report)),
        ("Sources", sources(report)),
        ("Known differences", known(report)),
        ("Conventions and accuracy, as probed", followed(report)),
    ):
        if part is not None:
            console.print(Text(title, style="bold"))
            put_table(console, part)
            console.print()
    print_violations(report, console)
    print_headline(report, console)


def print_headline(report: Report, console: Console) -> None:
    """Print where the run file is and, in one sentence, the outcome."""
    facts = dict(environment(report))
    settings = [f"{label} {facts[label]}" for label in SETTINGS if label in facts]
    for line in (", ".join(settings), f"run file {report.path}"):
        if line:
            console.print(Text(line, style="dim"), soft_wrap=True)
    if not report.complete:
        console.print(Text(INCOMPLETE, style="bold yellow"))
    console.print(Text(headline(report), style="bold"))
    if sentence := not_asked(report):
        console.print(Text(sentence, style="yellow"))


def agreement(report: Report) -> RenderableType | None:
    """Return the table implementation x operator: compared, worst error, verdict.

    The columns "gaps" (cases that it does not support) and "reached" (how far the time budget
    reached) are there only if some row needs them.
    """
    if len(report.judged) > MANY:
        return _overview(report)
    summaries, content = report.summaries(), tables.agreement(report)
    partly = any(s.reached < s.planned for s in summaries)
    with_gaps = any(s.unsupported for s in summaries)
    hidden = {"gaps": not with_gaps, "reached": not partly}
    table = printed(
        content,
        hidden=[title for title, is_hidden in hidden.items() if is_hidden],
        gap=1 if partly and with_gaps else 2,
    )
    legend = ["worst: the largest error as a fraction of the allowed bound"]
    legend += ["gaps: cases that the implementation does not support"] if with_gaps else []
    legend += ["reached: cases that the time budget reached, of those planned"] if partly else []
    notes = legend if summaries else []
    for s in summaries:
        if s.inconclusive:
            cells = ", ".join(map(_too_little, s.inconclusive))
            notes.append(f"inconclusive: {s.implementation}, {s.operator}: {cells}")
    notes += [f"{i.name}: {i.note or i.verdict}" for i in report.not_installed]
    notes += [f"{i.name}: {i.note}" for i in report.ended]
    lines: list[RenderableType] = [table] if summaries else []
    lines += [Text(shorten(note, 400), style="dim") for note in notes]
    return Group(*lines) if lines else None


def whole_spaces(report: Report) -> RenderableType | None:
    """Return a sentence for each space of calls that is listed completely, None without any."""
    groups = grouped(spaces(report), lambda space: space.implementation)
    lines: list[RenderableType] = []
    for name, own in groups.items():
        lines += [Text(name)] if len(groups) > 1 else []
        lines += [Text(space.sentence, style="" if space.whole else "dim") for space in own]
    return Group(*lines) if lines else None


_WORDS = {words.CONFORMS: "ok", words.VIOLATES: "WRONG", words.KNOWN_DIFFERENCE: "known"}
_WORDS |= {words.UNSUPPORTED: NONE, words.INCONCLUSIVE: "few", words.TIMED_OUT: "SLOW"}
_WORDS |= {words.CRASHED: "CRASH", words.ADAPTER_WRONG: "ADAPT"}
_LONGEST_WORD = 5


def _overview(report: Report) -> RenderableType:
    """Return a matrix of words: a row for each implementation, a column for each operator."""
    table = _table("", width=max(cell_len(i.name) for i in report.judged), gap=1)
    for index in range(len(report.operators)):
        table.add_column(str(index + 1), no_wrap=True, width=_LONGEST_WORD)
    summaries = {(s.implementation, s.operator): s for s in report.summaries()}
    for implementation in report.judged:
        row = [Text(report.label(implementation.name))]
        for operator in report.operators:
            s = summaries.get((implementation.name, operator))
            word = verdict_text(s.verdict) if s else Text("")
            short = _WORDS.get(word.plain, word.plain[:_LONGEST_WORD])
            row.append(Text(short, style=word.style))
        table.add_row(*row)
    columns = (f"{index} {operator}" for index, operator in enumerate(report.operators, 1))
    notes = [
        ", ".join(columns),
        "ok: conforms; WRONG: violates; CRASH, SLOW: ends the process, times out; known: expected "
        f"differences alone; few: too few cases compared; {NONE}: gaps alone; blank: has it not",
        "numbers by dimensions and dtype: the reports, and --json",
    ]
    notes += [f"{i.name}: {i.note or i.verdict}" for i in report.not_installed]
    return Group(table, *(Text(shorten(note, 400), style="dim") for note in notes))


def pairwise(report: Report) -> RenderableType | None:
    """Return the matrix of pairs, or None if there are none.

    Below the diagonal is the share of output elements that are identical bit for bit, above it the
    largest difference as a multiple of the bound.
    """
    totals = report.pair_totals()
    names = [i.name for i in report.judged if any(i.name in key for key in totals)]
    if len(names) > MANY:
        return _most_and_least_alike(report)
    blocks: list[RenderableType] = []
    for start in range(0, len(names), _PAIR_COLUMNS):
        columns = range(start, min(start + _PAIR_COLUMNS, len(names)))
        table = _table("", width=3 + max(map(cell_len, names)))
        for column in columns:
            table.add_column(str(column + 1), justify="right", no_wrap=True, min_width=6)
        for line, name in enumerate(names):
            row = [Text(f"{line + 1:>2} {report.label(name)}")]
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
    table = printed(tables.most_and_least_alike(report), hidden=["at"], wraps=True)
    notes = [
        "most like: of another family where there is one, by the share of identical elements",
        "apart: the largest difference as a multiple of the bound; two that conform stay below 2",
        *(f"identical in every bit: {', '.join(group)}" for group in identical_groups(report)),
    ]
    return Group(table, *(Text(note, style="dim") for note in notes))


def layers(report: Report) -> RenderableType | None:
    """Return the matrix of timings, None where nothing was timed."""
    return timing_terminal.matrix(report, stdout().width) if report.timings else None


def calls_of_models(report: Report) -> RenderableType | None:
    """Return what came of each call of a model."""
    return printed(calls.table(report)) if report.calls else None


def large(report: Report) -> RenderableType | None:
    """Return the numbers of large cases on which each implementation was judged and failed."""
    if not report.large:
        return None
    return Group(printed(tables.large(report, zero=NONE)), Text(NOTE, style="dim"))


def gaps(report: Report) -> RenderableType | None:
    """Return the reasons why cases were not computed, with counts and ranges of their numbers."""
    lines = [
        Text(
            f"{gap.implementation}, {gap.operator}: {one_line(gap.reason)[:200]}: "
            f"{plural(gap.count, 'case')}"
        )
        for gap in ranged(report.unsupported)
    ]
    return Group(*lines) if lines else None


def sources(report: Report) -> RenderableType | None:
    """Return how much of each implementation's own source calls have executed, and what not."""
    lines = [Text(f"{one.implementation}: {of_source(one)}") for one in report.sources]
    return Group(*lines) if lines else None


def known(report: Report) -> RenderableType | None:
    """Return the known differences that occurred, each with its reason and number of cases.

    Those that no longer occur are printed with the violations.
    """
    lines: list[RenderableType] = []
    for entry in report.known:
        if entry.status != words.KNOWN_DIFFERENCE:
            continue
        reach = f"{plural(entry.count, 'case')} where {entry.covers}"
        text = f"{entry.implementation}, {entry.operator}: {entry.requirement}: {reach}: "
        lines.append(Text(text) + Text(one_line(f"{entry.why} {entry.link}"), style="dim"))
    return Group(*lines) if lines else None


def followed(report: Report) -> RenderableType | None:
    """Return who follows which alternative of each convention, and attains which accuracy.

    An implementation of which something else is expected is marked with that: what it declares, or
    the default.
    """
    content = tables.conventions(report, declares=" [{}]")
    return printed(content, hidden=["requirement"], wraps=True) if content.rows else None


def print_violations(report: Report, console: Console) -> None:
    """Print each finding, the worst first, with its smallest case and the command to replay it."""
    for finding in report.findings():
        put(console, [*finding_lines(report, finding, console.width, ALL), Text()])
    for entry in report.stale:
        text = f"stale  {entry.implementation}, {entry.operator}: "
        console.print(Text(text + requirement_title(entry.requirement), style="bold red"))
        console.print(Text(f"  no longer occurs where {entry.covers}; take it off the list:"))
        console.print(Text(entry.case), soft_wrap=True)
        console.print()


def _too_little(cell: Cell) -> str:
    """Say why a cell is inconclusive: too few comparisons, or nearly all results are zero."""
    text = f"{cell.dims}-D {cell.dtype} ({cell.compared} compared"
    return f"{text}, {cell.nonzero} not all zero)" if cell.nonzero < cell.compared else f"{text})"


def _table(label: str, *, width: int | None = None, gap: int = 2) -> Table:
    """Return a table whose first column holds names, which stay whole."""
    table = Table(
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, gap - 1, 0, 0),
        header_style="bold",
    )
    table.add_column(Text(label), no_wrap=True, min_width=width)
    return table


def printed(
    content: tables.Table, *, hidden: Container[str] = (), gap: int = 2, wraps: bool = False
) -> Table:
    """Return a table without the ``hidden`` columns; a name is not repeated in the next row.

    Text beyond the first column is folded if ``wraps`` is true; numbers are never folded.
    """
    table = _table(content.header[0], width=_width(content, 0), gap=gap)
    shown = [
        column for column, title in enumerate(content.header) if column and title not in hidden
    ]
    for column in shown:
        right = content.align[column] == "r"
        justify: Literal["left", "right"] = "right" if right else "left"
        kept = right or not wraps
        table.add_column(
            content.header[column],
            justify=justify,
            no_wrap=kept,
            min_width=_width(content, column) if kept else None,
            overflow="fold",
        )
    previous = None
    for row in content.rows:
        cells = (_cell(content.header[column], row[column]) for column in shown)
        table.add_row(Text(row[0] if row[0] != previous else ""), *cells)
        previous = row[0]
    return table


def _width(content: tables.Table, column: int) -> int:
    """Return the width that a column needs to keep its cells whole."""
    return max(cell_len(row[column]) for row in (content.header, *content.rows))


def _cell(title: str, text: str) -> Text:
    if title == "verdict":
        return verdict_text(text)
    failed = title == "failed" and text != NONE
    return Text(text, style="cyan" if title == "apart" else "bold red" if failed else "")
