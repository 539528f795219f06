"""What both the one screen and the full tables print: the console, verdicts, and findings.

Case ids and commands are never wrapped or cut, whatever the width: they are there to be copied.
"""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterable, Iterator

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from conformance.reports.findings import advice, checks_little, mistake, reach, title, where
from conformance.reports.model import Finding, Report
from conformance.reports.text import shorten
from conformance.runfile import words
from conformance.runfile.text import one_line

_STYLES = dict.fromkeys((words.INCONCLUSIVE, words.KNOWN_DIFFERENCE), "yellow")
_STYLES |= {words.CONFORMS: "green"}
_STYLES |= dict.fromkeys((words.ADAPTER_WRONG, *words.FAILED), "bold red")
_LONGEST_MESSAGE = 1200
_FOLDED = 8
"""The least width of a column whose cells may be folded."""
_SHORT_LINES = 3
"""The lines of a message on the one screen."""

LINE, SHORT, FULL, ALL = range(4)
"""How much is printed of a finding: a line; with its replay command; with message and case, on one
screen; without a limit."""


def console() -> Console:
    """Return the console of stdout; COLUMNS is believed only where it is a positive number."""
    return Console(highlight=False, width=shutil.get_terminal_size().columns)


def put(target: Console, lines: Iterable[Text]) -> None:
    """Print lines as they are, at any width."""
    for line in lines:
        target.print(line, soft_wrap=True)


def rows(lines: Iterable[Text], width: int) -> int:
    """Return how many rows the lines take on a terminal, which wraps those that are too long.

    One of less than 80 columns is reckoned as if it had 80, so that it is not told less.
    """
    columns = max(80, width)
    return sum(max(1, -(-cell_len(line.plain) // columns)) for line in lines)


def put_table(target: Console, part: RenderableType) -> None:
    """Print a table, beyond the width of the terminal where names and verdicts need it."""
    width = target.width
    target.width = max(width, _least_width(part))
    target.print(part)
    target.width = width


def _least_width(part: RenderableType) -> int:
    """Return the width that keeps the columns whole that are not to be folded."""
    if isinstance(part, Group):
        return max(map(_least_width, part.renderables), default=0)
    if not isinstance(part, Table):
        return 0
    _, gap, _, _ = part.padding
    return sum((c.min_width or c.width or _FOLDED) + gap + 1 for c in part.columns)


def verdict_text(verdict: str) -> Text:
    """Return a verdict in its colour."""
    return Text(verdict, style=_STYLES.get(verdict, "dim"))


def wrapped(text: str, width: int, indent: str = "", style: str = "", most: int = 0) -> list[Text]:
    """Return prose in lines of at most ``width``, the later ones indented; ``most`` lines if given.

    A word that is too long for a line is kept whole.
    """
    lines = textwrap.wrap(
        text,
        width=max(20, width),
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
        max_lines=most or None,
        placeholder=" ...",
    )
    return [Text(line, style=style) for line in lines]


def finding_lines(report: Report, finding: Finding, width: int, form: int) -> list[Text]:
    """Return what is printed of a finding, in one of four forms."""
    smallest = finding.smallest
    at = f"{smallest.implementation}, {where(finding)}: {title(finding)}"
    head = (
        verdict_text(smallest.status) + Text("  ") + Text(at, style="" if form == LINE else "bold")
    )
    if form == LINE:
        return [head]
    if form == SHORT:
        return [head, Text(smallest.replay, style="cyan")]
    lines = [head]
    if finding.rejections and not (form == FULL and checks_little(report, finding)):
        lines += _rejections(finding, width)
    elif not finding.rejections:
        lines += _message(smallest.message, width, form)
    lines += wrapped(f"  {advice(report, finding)}", width, "  ", "yellow")
    alone = "" if smallest.fails_alone else " (by itself, it may conform)"
    return [
        *lines,
        Text(f"  {reach(finding)}:", style="dim"),
        Text(smallest.case),
        *([Text("  called before it:", style="dim")] if smallest.before else []),
        *(Text(f"  {call}") for call in smallest.before.splitlines()),
        Text(f"  replay{alone}:", style="dim"),
        Text(smallest.replay, style="cyan"),
    ]


def _message(message: str, width: int, form: int) -> Iterator[Text]:
    if form == FULL:
        yield from wrapped(f"  {one_line(message)}", width, "  ", most=_SHORT_LINES)
        return
    for line in shorten(message, _LONGEST_MESSAGE).splitlines():
        yield from wrapped(f"  {line}", width, "  ") or [Text("")]


def _rejections(finding: Finding, width: int) -> Iterator[Text]:
    """Yield a line for each requirement on invalid calls: its mistake, and who accepts it."""
    for one in finding.rejections:
        status = "" if one.smallest.status == words.VIOLATES else f"{one.smallest.status}: "
        said = f"{status}{mistake(one) or one.smallest.case}"
        for most in range(len(one.operators), -1, -1):
            text = f"  {one.smallest.requirement:9} {said}: {where(one, most)}"
            if len(text) <= width:
                break
        yield Text(text)
