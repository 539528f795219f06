"""``convformance run``: judge implementations, print the tables, write the run file and reports."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from conformance.cases.ranges import MOST_EXAMPLES
from conformance.cli import executors, options, progress
from conformance.dtypes import DTYPES
from conformance.operators import OPERATORS
from conformance.requirements import CHECKS, SEVERITIES
from conformance.toml import plural

if TYPE_CHECKING:
    from conformance.running.run import Run
    from conformance.running.selection import Selection


def _suites(names: tuple[str, ...]) -> tuple[str, ...]:
    if "none" not in names:
        return names
    if set(names) != {"none"}:
        raise click.BadParameter("'none' goes with no other suite", param_hint="--suite")
    return ()


@click.command("run")
@options.implementations
@options.plugins
@options.programs
@options.libraries
@options.modules
@options.many("--operator", "-o", "operators", help=f"{', '.join(OPERATORS)}.")
@options.many("--dims", read=options.dims, help="Spatial dimensions: 1, 2, 3.")
@options.many("--dtype", "dtypes", help=f"{', '.join(DTYPES)}.")
@options.many("--check", "checks", help=f"{', '.join(CHECKS)}.")
@options.many(
    "--suite",
    "suites",
    read=_suites,
    help="Curated suites to judge on besides the generated cases, instead of those of the tier; "
    "'none' for no suite. A TOML file, such as that of a model, is all that is judged.",
)
@click.option(
    "--only-suites",
    is_flag=True,
    help="Judge nothing but the cases of the suites, which are those of --suite, or of --spec.",
)
@click.option(
    "--examples",
    "-n",
    type=options.whole(0, MOST_EXAMPLES),
    help=f"Cases an operator and dimension, at most {MOST_EXAMPLES}.",
)
@click.option("--seconds", type=options.seconds(), help="Time budget of a cell.")
@click.option("--total", type=options.seconds(), help="Time budget of all cells together.")
@options.seed
@click.option("--tier", default="default", show_default=True, help="smoke, default or full.")
@options.spec_file
@click.option(
    "--known", metavar="FILE", help="TOML file of known differences, which are reported apart."
)
@click.option(
    "--write-known",
    metavar="FILE",
    callback=options.new_file,
    help="Write the failures as a file for --known; takes a second run.",
)
@click.option(
    "--findings",
    metavar="FOLDER",
    help="The folder of 'convformance fuzz' whose findings are judged first.  "
    "[default: convformance-fuzz, where there is one]",
)
@options.output("convformance-run", "Where run.sqlite, report.md and report.html are written.")
@executors.both
@click.option(
    "-x",
    "--exitfirst",
    is_flag=True,
    help="End at the first violation, as soon as it is shrunk.",
)
@click.option(
    "--resume",
    is_flag=True,
    help="Go on with the run in the output folder where it stopped; begin one if there is none.",
)
@click.option(
    "--shard",
    metavar="I/N",
    help="Judge the I-th of N parts; 'convformance merge' joins them.",
)
@click.option(
    "--dry-run",
    is_flag=True,
    help="Judge nothing: say how many cases there are, and how long and how much memory it takes.",
)
@options.isolation
@click.option(
    "--no-cache",
    "cache",
    is_flag=True,
    callback=lambda ctx, option, given: not given,
    help="Neither read nor write the cache of cases, nor read what fuzzing has found.",
)
@click.option(
    "--no-source",
    "source",
    is_flag=True,
    callback=lambda ctx, option, given: False if given else None,
    help="Judge no case that the source of an implementation asks for, and measure no line of it.",
)
@click.option(
    "--fail-on",
    type=click.Choice(SEVERITIES),
    default=SEVERITIES[-1],
    show_default=True,
    metavar="SEVERITY",
    help=f"Exit with 1 for violations of this severity and worse ones: {', '.join(SEVERITIES)}.",
)
@options.verbose
@options.quiet
@options.as_json
def command(
    jobs: int,
    dask: str | None,
    fail_on: str,
    verbose: bool,
    quiet: bool,
    as_json: bool,
    write_known: Path | None,
    dry_run: bool,
    **chosen: Any,
) -> int:
    """Judge implementations on generated and curated cases.

    Exit status: 0, all conform; 1, one violates; 2, the call itself was wrong; 3, too little was
    compared to say that all conform.
    """
    options.only_one_of(verbose=verbose, quiet=quiet)
    folder: Path = chosen["output"]
    jobs = min(jobs, 3 * len(OPERATORS))  # there are no more blocks to judge
    if dry_run:
        _forecast(jobs, chosen, as_json=as_json)
        return 0
    before = _state(folder / "run.sqlite")
    try:
        with (
            progress.shown(quiet=quiet) as tell,
            executors.started(jobs, dask) as executor,
            options.keep_stdout(),
        ):
            selection = options.selection(
                progress=tell, executor=executor, command=options.typed(), **chosen
            )
            from conformance.running.run import run_selection

            result = run_selection(selection)
    except KeyboardInterrupt:
        kept = _state(folder / "run.sqlite") not in (None, before)
        where = f"; what was judged so far is in {folder / 'run.sqlite'}" if kept else ""
        print(f"convformance: interrupted{where}", file=sys.stderr)
        return 130
    from conformance.reports import load
    from conformance.reports.html import html
    from conformance.reports.markdown import markdown

    report = load(result.path)
    written: list[Path] = [result.path]
    try:
        options.print_report(report, as_json=as_json, verbose=verbose, quiet=quiet)
    finally:  # a closed pipe does not keep the reports from being written
        written += options.write_all(
            {
                folder / "report.md": lambda: markdown(report),
                folder / "report.html": lambda: html(report),
            }
        )
    if not as_json and not quiet:
        click.echo(f"written: {', '.join(map(str, written))}")
    if write_known is not None:
        with (
            progress.shown(quiet=quiet) as tell,
            executors.started(jobs, dask) as executor,
            options.keep_stdout(),
        ):
            again = replace(selection, progress=tell, executor=executor)
            lines = _write_known(write_known, again, result)
        for line in lines:
            click.echo(line, err=as_json)
    return result.status_from(fail_on)


def _forecast(jobs: int, chosen: dict[str, Any], *, as_json: bool) -> None:
    """Print what the run is going to be."""
    with progress.shown() as tell, options.keep_stdout():
        selection = options.selection(command=options.typed(), **chosen)
        from conformance.running.forecast import forecast

        found = forecast(selection, jobs, tell)
    if as_json:
        click.echo(json.dumps(asdict(found), indent=2))
        return
    unit, size = ("min", found.seconds / 60) if found.seconds >= 90 else ("s", found.seconds)
    click.echo(
        f"{plural(found.blocks, 'block')}, {found.cells} cells, {found.cases:,} cases, "
        f"{found.judgments:,} judgments\n"
        f"about {size:.0f} {unit} on {jobs} process{'es' * (jobs > 1)}, "
        f"about {found.memory >> 20:,} MiB of memory\n"
        f"nothing is judged; the cases are prepared, and the run finds them in the cache"
    )


def _state(path: Path) -> tuple[int, int] | None:
    """Return what tells a file from one that has been written since, None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


def _write_known(file: Path, selection: Selection, result: Run) -> list[str]:
    """Write the failures of a run into a file of known differences, and return what to say."""
    from conformance.known.writing import as_toml
    from conformance.running.known_today import known_today

    today = known_today(selection, result)
    left = [f"not covered: {line}" for line in today.uncovered]
    if not today.entries:
        return [*left, f"{file}: not written, there is nothing for it"]
    comment = (
        f"Known differences, begun with the failures of\n{selection.command}\n"
        f"Each entry is to be explained, or taken off once it no longer occurs."
    )
    options.write(file, as_toml(today.entries, comment))
    count = plural(len(today.entries), "known difference")
    return [*left, f"written: {file}, {count} to be explained; judge with --known {file}"]
