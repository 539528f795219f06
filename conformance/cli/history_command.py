"""``convformance history``: several runs in the order of time, a line for each implementation."""

from __future__ import annotations

import json

import click

from conformance.cli import options
from conformance.cli.documents import outputs, run_file, write_forms


@click.command("history")
@click.argument("run_files", nargs=-1, metavar="RUN_FILE...")
@outputs
@options.as_json
def command(
    run_files: tuple[str, ...], markdown: str | None, html: str | None, as_json: bool
) -> int:
    """Show how each implementation did in run files, in the order in which they were made.

    Exit status: 0; 1, something violates in the last run that did not in the one before it, or is
    slower; 2, the call itself was wrong.
    """
    from conformance.reports import load
    from conformance.reports.history import document, history, history_json
    from conformance.reports.speed import FACTOR

    if len(run_files) < 2:
        raise click.UsageError(f"history takes two run files or more, not {len(run_files)}")
    found = history([load(run_file(name)) for name in run_files], factor=FACTOR)
    write_forms(document(found), markdown, html, silent=as_json)
    if as_json:
        click.echo(json.dumps(history_json(found), indent=2, allow_nan=False))
    return int(found.is_regression)
