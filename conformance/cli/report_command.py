"""``convformance report``: print a run file again, or write its reports."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

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
@click.option(
    "--summary",
    metavar="FILE",
    help="Write Markdown of less than 64 KiB, for the summary of a CI job, to FILE ('-': stdout).",
)
@click.option(
    "--charts",
    metavar="FOLDER",
    help="Write the charts as SVG files into FOLDER; Markdown written by the same call shows them.",
)
@click.option("--junit", metavar="FILE", help="Write JUnit XML to FILE ('-': stdout).")
@click.option("--badge", metavar="FILE", help="Write the JSON of a badge to FILE ('-': stdout).")
@options.verbose
@options.as_json
def command(
    run_file: str,
    markdown: str | None,
    html: str | None,
    differences: str | None,
    summary: str | None,
    charts: str | None,
    junit: str | None,
    badge: str | None,
    verbose: bool,
    as_json: bool,
) -> int:
    """Print the outcome of RUN_FILE (default: convformance-run/run.sqlite)."""
    from conformance.reports import load
    from conformance.reports.badge import badge as to_badge
    from conformance.reports.html import html as to_html
    from conformance.reports.junit import junit as to_junit
    from conformance.reports.markdown import markdown as to_markdown
    from conformance.reports.summary import summary as to_summary

    report = load(run_file)
    if charts is not None:
        _write_charts(report, Path(charts))
    forms: tuple[tuple[str | None, Callable[[Report], str]], ...] = (
        (markdown, lambda report: to_markdown(report) + _shown(report, charts, markdown)),
        (html, to_html),
        (summary, lambda report: to_summary(report) + _shown(report, charts, summary)),
        (junit, to_junit),
        (badge, lambda report: f"{json.dumps(to_badge(report), indent=2)}\n"),
    )
    for target, render in forms:
        if target == "-":
            click.echo(render(report), nl=False)
        elif target is not None:
            options.write(Path(target), render(report))
    if differences is not None:
        _write_differences(report, differences)
    if as_json or not any((markdown, html, differences, summary, charts, junit, badge)):
        options.print_report(report, as_json=as_json, verbose=verbose)
    return 0


def _write_charts(report: Report, folder: Path) -> None:
    from conformance.reports.charts import charts

    options.make_folder(folder)
    for name, (_, svg) in charts(report).items():
        options.write(folder / name, svg)


def _shown(report: Report, folder: str | None, beside: str | None) -> str:
    """Return Markdown that shows the charts in a folder, from the place where it is written."""
    from conformance.reports.charts import charts

    if folder is None:
        return ""
    place = Path("." if beside in (None, "-") else str(beside)).resolve()
    start = place if beside in (None, "-") else place.parent
    path = Path(os.path.relpath(Path(folder).resolve(), start)).as_posix()
    lines = [f"![{title}]({quote(path)}/{name})" for name, (title, _) in charts(report).items()]
    return "".join(f"\n{line}\n" for line in lines)


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
