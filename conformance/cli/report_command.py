"""``convformance report``: print a run file again, or write its reports."""

from __future__ import annotations

import json
from pathlib import Path

import click

from conformance.cli import options


@click.command("report")
@click.argument("run_file", default="convformance-run/run.sqlite")
@click.option("--markdown", metavar="FILE", help="Write the Markdown report to FILE ('-': stdout).")
@click.option("--html", metavar="FILE", help="Write the HTML report to FILE ('-': stdout).")
@options.as_json
def command(run_file: str, markdown: str | None, html: str | None, as_json: bool) -> int:
    """Print the tables of RUN_FILE (default: convformance-run/run.sqlite)."""
    from reports import load
    from reports.html import html as to_html
    from reports.markdown import markdown as to_markdown

    report = load(run_file)
    for target, render in ((markdown, to_markdown), (html, to_html)):
        if target is None:
            continue
        if target == "-":
            click.echo(render(report), nl=False)
            continue
        options.write(Path(target), render(report))
    if as_json:
        from reports.as_json import as_json as to_json

        click.echo(json.dumps(to_json(report), indent=2, allow_nan=False))
    elif markdown is None and html is None:
        from reports.terminal import show

        show(report)
    return 0
