"""``convformance report``: print a run file again, or write its reports."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from conformance.cli import options

if TYPE_CHECKING:
    from conformance.reports import Report


@click.command("report")
@click.argument("run_file", default="convformance-run/run.sqlite")
@click.option("--markdown", metavar="FILE", help="Write the Markdown report to FILE ('-': stdout).")
@click.option("--html", metavar="FILE", help="Write the HTML report to FILE ('-': stdout).")
@click.option(
    "--differences",
    metavar="FILE|FOLDER",
    help="Write where implementations differ, as .md or .html, or both into a FOLDER.",
)
@options.verbose
@options.as_json
def command(
    run_file: str,
    markdown: str | None,
    html: str | None,
    differences: str | None,
    verbose: bool,
    as_json: bool,
) -> int:
    """Print the outcome of RUN_FILE (default: convformance-run/run.sqlite)."""
    from conformance.reports import load
    from conformance.reports.html import html as to_html
    from conformance.reports.markdown import markdown as to_markdown

    report = load(run_file)
    for target, render in ((markdown, to_markdown), (html, to_html)):
        if target == "-":
            click.echo(render(report), nl=False)
        elif target is not None:
            options.write(Path(target), render(report))
    if differences is not None:
        _write_differences(report, differences)
    if as_json or (markdown, html, differences) == (None, None, None):
        options.print_report(report, as_json=as_json, verbose=verbose)
    return 0


def _write_differences(report: Report, target: str) -> None:
    """Write the differences page in the form of the target's name; into a folder, in both forms."""
    from conformance.reports.differences_html import differences_html
    from conformance.reports.differences_markdown import differences_markdown

    if target == "-":
        click.echo(differences_markdown(report), nl=False)
        return
    path = Path(target)
    if path.suffix == ".html":
        options.write(path, differences_html(report))
    elif path.suffix == ".md":
        options.write(path, differences_markdown(report))
    elif path.suffix and not path.is_dir():
        raise click.BadParameter(
            f"{target} ends in {path.suffix}; name a file that ends in .md or .html, or a folder",
            param_hint="--differences",
        )
    else:
        options.make_folder(path)
        options.write(path / "differences.md", differences_markdown(report))
        options.write(path / "differences.html", differences_html(report))
