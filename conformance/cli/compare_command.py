"""``convformance compare``: what changed between two runs, or two implementations of one run."""

from __future__ import annotations

import json

import click

from conformance.cli import options
from conformance.cli.documents import named, outputs, run_file, write_forms


@click.command("compare")
@click.argument("run_files", nargs=-1, metavar="OLD NEW")
@click.option(
    "--between",
    nargs=2,
    metavar="OLD NEW",
    help="Compare two implementations of one run: torch@old torch.",
)
@options.many("--implementation", "-i", "implementations", help="Which ones; default: all in both.")
@click.option(
    "--factor",
    type=click.FloatRange(1, min_open=True),
    metavar="NUMBER",
    help="What a time must change by, at least, to count as slower or faster.  [default: 1.5]",
)
@outputs
@options.as_json
def command(
    run_files: tuple[str, ...],
    between: tuple[str, str] | None,
    implementations: tuple[str, ...] | None,
    factor: float | None,
    markdown: str | None,
    html: str | None,
    as_json: bool,
) -> int:
    """Say what changed from the run file OLD to NEW, on the cases that both have.

    Newly violating, newly conforming, what was not compared, changes in speed, versions and
    machine. Exit status: 0; 1, something newly violates or is slower; 2, the call itself was wrong.
    """
    from conformance.reports import load
    from conformance.reports.comparing import comparison_json, document
    from conformance.reports.comparison import compare
    from conformance.reports.speed import FACTOR

    wanted = 1 if between else 2
    if len(run_files) != wanted:
        raise click.UsageError(_expected(run_files, between is not None))
    if between and implementations:
        raise click.UsageError("--between names the implementations; leave --implementation out")
    reports = [load(run_file(name)) for name in run_files]
    old, new = reports[0], reports[-1]
    names: list[tuple[str, str]] = []
    if between:
        names = [(named(old, between[0]), named(new, between[1]))]
    elif implementations:
        names = [(named(old, name), named(new, name)) for name in implementations]
    comparison = compare(old, new, names, factor=factor or FACTOR)
    write_forms(document(comparison), markdown, html, silent=as_json)
    if as_json:
        click.echo(json.dumps(comparison_json(comparison), indent=2, allow_nan=False))
    return int(comparison.is_regression)


def _expected(given: tuple[str, ...], between: bool) -> str:
    if between:
        return f"--between compares two implementations of one run file, and {len(given)} are given"
    if len(given) > 2:
        return f"{len(given)} run files are given; for more than two there is convformance history"
    return f"compare takes two run files, OLD and NEW, and {len(given)} is given"
