"""What the commands share that print a short document of run files: `compare` and `history`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from conformance.cli import options
from conformance.errors import ConformanceError, unknown

if TYPE_CHECKING:
    from conformance.reports import Report
    from conformance.reports.document import Document


def outputs(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that write a document as Markdown and as HTML."""
    for name, form in (("--html", "an HTML page"), ("--markdown", "Markdown")):
        text = f"Write it as {form} to FILE ('-': stdout)."
        command = click.option(name, metavar="FILE", help=text)(command)
    return command


def run_file(name: str) -> Path:
    """Return the run file of that name; of a folder the one that `run` writes into it."""
    path = Path(name)
    return path / "run.sqlite" if path.is_dir() else path


def named(report: Report, name: str) -> str:
    """Return the name of an implementation that the run has; an error names those it has."""
    known = [one.name for one in report.implementations]
    if name not in known:
        raise ConformanceError(f"{report.path}: {unknown('implementation', name, known)}")
    return name


def write_forms(
    document: Document, markdown: str | None, html: str | None, *, silent: bool
) -> None:
    """Write a document in the forms that are asked for; print it if none is, unless ``silent``."""
    from conformance.reports.document import document_html, document_markdown, show_document

    for target, render in ((markdown, document_markdown), (html, document_html)):
        if target == "-":
            click.echo(render(document), nl=False)
        elif target is not None:
            options.write(Path(target), render(document))
    if not silent and "-" not in (markdown, html):
        show_document(document)
