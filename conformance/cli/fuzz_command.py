"""``convformance fuzz``: judge ever new cases, and keep what is found."""

from __future__ import annotations

import contextlib
import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from conformance.cli import executors, options
from conformance.dtypes import DTYPES
from conformance.operators import OPERATORS
from conformance.requirements import CHECKS
from conformance.toml import plural

if TYPE_CHECKING:
    from conformance.fuzzing.fuzz import Fuzzed, Status

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_SPAN = re.compile(r"(?:\d+(?:\.\d+)?[smhd])+")
_CHECKS = ("result", "layout", "special", "process", "purity", "memory", "integer")
_EVERY = 10.0
"""Seconds between two lines, where stderr is no terminal."""


def _span(ctx: click.Context, option: click.Parameter, text: str | None) -> float | None:
    if text is None:
        return None
    if not _SPAN.fullmatch(text):
        raise click.BadParameter(f"'{text}'; a time such as 90s, 30m, 2h or 1h30m")
    seconds = sum(float(n) * _UNITS[unit] for n, unit in re.findall(r"([\d.]+)([smhd])", text))
    if not seconds:
        raise click.BadParameter(f"'{text}'; more than no time")
    return seconds


@click.command("fuzz")
@options.implementations
@options.plugins
@options.programs
@options.libraries
@options.modules
@options.many("--operator", "-o", "operators", help=f"{', '.join(OPERATORS)}.")
@options.many("--dims", read=options.dims, help="Spatial dimensions: 1, 2, 3.")
@options.many("--dtype", "dtypes", help=f"{', '.join(DTYPES)}.")
@options.many("--check", "checks", help=f"{', '.join(CHECKS)}; default: {', '.join(_CHECKS)}.")
@click.option(
    "--for",
    "seconds",
    metavar="TIME",
    callback=_span,
    help="How long: 90s, 30m, 2h.  [default: until Ctrl-C]",
)
@click.option("--until-found", type=options.whole(1), help="End when so much new is found.")
@options.seed
@options.spec_file
@click.option("--known", metavar="FILE", help="TOML file of known differences, not found again.")
@options.output(
    "convformance-fuzz", "Where fuzz.sqlite is, which every later fuzzing goes on with."
)
@executors.both
@options.isolation
@options.verbose
@options.as_json
def command(
    seconds: float | None,
    until_found: int | None,
    jobs: int,
    dask: str | None,
    verbose: bool,
    as_json: bool,
    **chosen: Any,
) -> int:
    """Judge ever new cases, steered to where something may be wrong, until it is stopped.

    What was found before in that folder is judged first. Ctrl-C keeps everything.

    Exit status: 0, nothing is found; 1, something is; 2, the call itself was wrong; 130, Ctrl-C.
    """
    chosen["checks"] = chosen["checks"] or _CHECKS
    with executors.started(jobs, dask) as executor, options.keep_stdout(), _shown() as show:
        selection = options.selection(
            executor=executor, command=options.typed(), suites=(), **chosen
        )
        from conformance.fuzzing.fuzz import fuzz

        jobs = getattr(executor, "jobs", jobs)
        fuzzed = fuzz(selection, seconds=seconds, until_found=until_found, jobs=jobs, show=show)
    if as_json:
        click.echo(json.dumps(_as_data(fuzzed), indent=2))
    else:
        for line in _lines(fuzzed, verbose=verbose):
            click.echo(line)
    if fuzzed.interrupted:
        print(f"convformance: interrupted; what was found is in {fuzzed.path}", file=sys.stderr)
        return 130
    return fuzzed.exit_status


def _as_data(fuzzed: Fuzzed) -> dict[str, Any]:
    names = ("seed", "blocks", "judgments", "seconds", "new", "lost")
    return {
        "file": str(fuzzed.path),
        **{name: getattr(fuzzed, name) for name in names},
        "findings": [asdict(finding) for finding in fuzzed.findings],
        "tried": [asdict(row) for row in fuzzed.tried],
        "worst": [asdict(row) for row in fuzzed.worst],
    }


def _lines(fuzzed: Fuzzed, *, verbose: bool) -> Iterator[str]:
    from conformance.fuzzing.fuzz import statuses
    from conformance.judging.verdict import shortened

    states = [finding.state for finding in fuzzed.findings]
    yield (
        f"{fuzzed.judgments:,} judgments in {plural(fuzzed.blocks, 'block')} and "
        f"{fuzzed.seconds:.0f} s (seed {fuzzed.seed}): {plural(fuzzed.new, 'new finding')}, "
        f"{states.count('found again')} of earlier ones, {states.count('gone')} gone"
    )
    tried = statuses(fuzzed.tried)
    for finding in sorted(fuzzed.findings, key=lambda f: (f.state, f.implementation, f.operator)):
        yield ""
        needs = f" (needs {finding.needs})" if finding.needs else ""
        yield (
            f"{finding.state}: {finding.implementation} {finding.operator} {finding.requirement}"
            f"{needs}, {plural(finding.count, 'case')}"
        )
        message = finding.message if verbose else shortened(finding.message)
        yield from (f"  {line}" for line in message.splitlines())
        yield f"  {finding.case}"
        yield f"  {finding.replay}"
        for status, names in sorted(tried.get(finding.case, {}).items()):
            yield f"  {status}: {', '.join(sorted(names))}"
    if fuzzed.worst:
        yield ""
        yield "Worst found, as a share of the bound:"
    for worst in sorted(fuzzed.worst, key=lambda row: (row.implementation, row.operator)):
        yield f"  {worst.share:.3f}  {worst.implementation} {worst.operator}  {worst.case}"
    for lost in fuzzed.lost:
        yield f"{lost} is not judged: the processes that judged it were lost each time"


@contextlib.contextmanager
def _shown() -> Iterator[Callable[[Status], None]]:
    """Show on stderr how far it is: on one line of a terminal, else a line now and then."""

    def text(status: Status) -> str:
        rate = status.judgments / max(status.seconds, 1e-9)
        return (
            f"{status.seconds:.0f} s  {status.judgments:,} judgments ({rate:.0f} a second)  "
            f"{status.found} new  {status.activity}"
        )

    if not sys.stderr.isatty():
        last = time.monotonic()

        def line(status: Status) -> None:
            nonlocal last
            if time.monotonic() - last >= _EVERY:
                last = time.monotonic()
                print(text(status), file=sys.stderr, flush=True)

        yield line
        return
    from rich.console import Console

    with Console(stderr=True).status("starting") as live:
        yield lambda status: live.update(text(status))
