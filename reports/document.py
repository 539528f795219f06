"""A short report in sections, such as a comparison of two runs: terminal, Markdown and HTML.

Every form escapes what it shows; case ids and commands are never wrapped or cut.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

from conformance.reports.html import environment_of_templates
from conformance.reports.markdown import escaped, fenced, folded, symbol, table
from conformance.reports.printing import console, put, put_table, wrapped
from conformance.reports.tables import Table
from conformance.reports.terminal import printed
from conformance.reports.text import shorten
from conformance.runfile.words import CONFORMS, VIOLATES

_LONGEST = 2000
_SHORT = 400


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that is said, with what shows it."""

    head: str
    text: str = ""
    code: Sequence[str] = ()
    """A case id, a command: each to be copied whole."""


@dataclass(frozen=True, slots=True)
class Section:
    """A part with a title: items, then a table, then a note."""

    title: str
    items: Sequence[Item] = ()
    table: Table | None = None
    note: str = ""
    verdict: str = ""
    """The verdict whose colour the title has, or nothing."""


@dataclass(frozen=True, slots=True)
class Document:
    """The whole: its outcome in a sentence, and sections."""

    name: str
    """What it is, in a few words."""
    headline: str
    good: bool
    notes: Sequence[str]
    """What the reader must know of it, such as that a run is incomplete."""
    sections: Sequence[Section]


def show_document(document: Document, target: Console | None = None) -> None:
    """Print the document; the headline comes last, where a reader of a terminal looks first."""
    target = target or console()
    for section in document.sections:
        put(target, _lines(section, target.width))
        if section.table is not None:
            put_table(target, printed(section.table, wraps=True))
        put(target, [*wrapped(section.note, target.width, style="dim"), Text()])
    for note in document.notes:
        put(target, wrapped(note, target.width, style="yellow"))
    put(target, wrapped(document.headline, target.width, style="bold"))


def _lines(section: Section, width: int) -> Iterator[Text]:
    colour = {VIOLATES: "bold red", CONFORMS: "bold green"}.get(section.verdict, "bold")
    yield Text(section.title, style=colour)
    for item in section.items:
        yield from wrapped(item.head, width, "  ")
        yield from wrapped(f"  {shorten(item.text, _SHORT)}" if item.text else "", width, "  ")
        for line in item.code:
            yield Text(line, style="cyan")


def document_markdown(document: Document) -> str:
    """Return the document as GitHub-flavoured Markdown; the first line is the outcome."""
    outcome = CONFORMS if document.good else VIOLATES
    parts = [f"{symbol(outcome)} **{escaped(document.headline)}**"]
    parts += [f"> [!WARNING]\n> {escaped(note)}" for note in document.notes]
    for section in document.sections:
        parts.append(f"### {symbol(section.verdict)} {escaped(section.title)}".replace("  ", " "))
        for item in section.items:
            text = [escaped(shorten(item.text, _LONGEST))] if item.text else []
            code = [fenced("\n".join(item.code), "text")] if item.code else []
            head = escaped(item.head)
            parts += folded(head, *text, *code) if text or code else [head]
        if section.table is not None:
            parts.append(table(section.table))
        if section.note:
            parts.append(escaped(section.note))
    return "\n\n".join(parts) + "\n"


def document_html(document: Document) -> str:
    """Return the document as one page that needs nothing else."""
    template = environment_of_templates().get_template("document.html.j2")
    return template.render(document=document, verdict=CONFORMS if document.good else VIOLATES)
