"""``convformance merge``: join run files into one."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from conformance.cli import options


@click.command("merge")
@click.argument("files", nargs=-1, required=True, metavar="[LABEL=]FILE...")
@options.output("convformance-merged", "Where run.sqlite, report.md and report.html are written.")
@options.verbose
@options.as_json
def command(files: tuple[str, ...], output: Path, verbose: bool, as_json: bool) -> int:
    """Join run files (or their folders): the shards of a run, or runs of several machines.

    Files without labels are parts of one run. A label keeps what a machine says apart: the
    implementations of gpu=a.sqlite are called torch@gpu.

    Exit status: that of the run that they are together; 3 where blocks of it are missing.
    """
    from conformance.reports import load
    from conformance.reports.html import html
    from conformance.reports.markdown import markdown
    from conformance.running.merging import merge

    merged = merge(files, output, options.typed())
    report = load(merged.path)
    options.print_report(report, as_json=as_json, verbose=verbose)
    pages = {
        output / "report.md": lambda: markdown(report),
        output / "report.html": lambda: html(report),
    }
    written = [merged.path, *options.write_all(pages)]
    if merged.missing:
        print(
            f"convformance: {len(merged.missing)} blocks are missing, so that the run is not "
            f"complete: {', '.join(merged.missing)}",
            file=sys.stderr,
        )
    if not as_json:
        click.echo(f"written: {', '.join(map(str, written))}")
    return merged.exit_status
