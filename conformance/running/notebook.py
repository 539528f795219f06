"""How a run looks in a notebook: a table of verdicts, and its violations, as HTML."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape

from conformance.judging.verdict import shortened
from conformance.runfile import words
from conformance.runfile.tables import Violation
from conformance.running.cell import Cell
from conformance.running.rows import worst
from conformance.signatures import SIGNATURES

_SHOWN = 20
"""The most violations that are shown."""
_LONGEST = 300
"""Characters of a message at most."""
_SYMBOLS = {words.CONFORMS: "✓", words.UNSUPPORTED: "-", words.NOT_INSTALLED: "-"}
_SYMBOLS |= dict.fromkeys((words.INCONCLUSIVE, words.KNOWN_DIFFERENCE), "?")


def sentence(verdicts: Mapping[str, str]) -> str:
    """Return the verdicts in a few words: those of a few implementations by name."""
    if len(verdicts) <= 3:
        return ", ".join(f"{name} {verdict}" for name, verdict in verdicts.items())
    counts = Counter(verdicts.values())
    return ", ".join(f"{count} {verdict}" for verdict, count in counts.most_common())


def html(
    verdicts: Mapping[str, str], cells: Sequence[Cell], violations: Sequence[Violation]
) -> str:
    """Return a table with a line for each implementation, and a list of violations."""
    operators = [name for name in SIGNATURES if any(cell.operator == name for cell in cells)]
    lines = ["<table>", _line("th", ("implementation", "verdict", *operators))]
    for name, verdict in verdicts.items():
        own = [cell for cell in cells if cell.implementation == name]
        shown = (_summary([cell for cell in own if cell.operator == o]) for o in operators)
        lines.append(_line("td", (name, f"{_symbol(verdict)} {verdict}", *shown)))
    return "\n".join((*lines, "</table>", *_violations(violations)))


def _summary(cells: Sequence[Cell]) -> str:
    if not cells:
        return ""
    verdict = worst(cell.verdict for cell in cells)
    return f"{_symbol(verdict)} {sum(cell.compared for cell in cells):,}"


def _symbol(verdict: str) -> str:
    return _SYMBOLS.get(verdict, "✗")


def _line(tag: str, texts: Iterable[str]) -> str:
    parts = "".join(f'<{tag} style="text-align: left">{escape(text)}</{tag}>' for text in texts)
    return f"<tr>{parts}</tr>"


def _violations(violations: Sequence[Violation]) -> Iterator[str]:
    if not violations:
        return
    yield "<ul>"
    for violation in violations[:_SHOWN]:
        head = escape(f"{violation.implementation} {violation.requirement}")
        message = escape(shortened(violation.message, _LONGEST))
        yield (
            f"<li><b>{head}</b>: {message}<br><code>{escape(violation.case)}</code><br>"
            f"<code>{escape(violation.replay)}</code></li>"
        )
    yield "</ul>"
    if len(violations) > _SHOWN:
        yield f"<p>and {len(violations) - _SHOWN} more: <code>run.violations</code> has all</p>"
