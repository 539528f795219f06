"""``convformance run``: judge implementations, print the tables, write the run file and reports."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import sys
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor

import click

from conformance.cli import options, progress
from conformance.timing import threads


@click.command("run")
@options.many("--implementation", "-i", "implementations", help="Which ones; default: all.")
@options.plugins
@options.many(
    "--operator",
    "-o",
    "operators",
    help="conv, conv_transpose, max_pool, avg_pool, conv_input_grad, conv_weight_grad, "
    "conv_bias_grad, max_pool_grad, avg_pool_grad.",
)
@options.many("--dims", help="Spatial dimensions: 1, 2, 3.")
@options.many(
    "--dtype",
    "dtypes",
    help="float32, float64, float16, bfloat16, int8, int16, int32, int64, uint8.",
)
@options.many(
    "--check",
    "checks",
    help="result, purity, repeat, layout, special, reject, declare, integer, relations, process.",
)
@options.many("--suite", "suites", help="Curated suites to judge on; 'none' for no suite.")
@click.option("--examples", "-n", type=options.whole(0), help="Cases an operator and dimension.")
@click.option("--seconds", type=options.seconds(), help="Time budget of a cell.")
@click.option("--seed", type=options.whole(0), default=0, show_default=True)
@click.option("--tier", default="default", show_default=True, help="smoke, default or full.")
@options.spec_file
@click.option(
    "--known", metavar="FILE", help="TOML file of known differences, which are reported apart."
)
@click.option(
    "--output",
    default="convformance-run",
    show_default=True,
    metavar="FOLDER",
    help="Where run.sqlite, report.md and report.html are written.",
)
@click.option(
    "--jobs",
    "-j",
    type=options.whole(1),
    default=1,
    show_default=True,
    help="Processes to judge in; each gives the engines an equal share of the cores.",
)
@options.isolation
@click.option("--no-cache", is_flag=True, help="Neither read nor write the cache of cases.")
@options.as_json
def command(
    implementations: tuple[str, ...],
    plugins: tuple[str, ...],
    operators: tuple[str, ...],
    dims: tuple[str, ...],
    dtypes: tuple[str, ...],
    checks: tuple[str, ...],
    suites: tuple[str, ...],
    examples: int | None,
    seconds: float | None,
    seed: int,
    tier: str,
    spec: str | None,
    known: str | None,
    output: str,
    jobs: int,
    isolate: bool | None,
    call_seconds: float | None,
    call_memory: int | None,
    pythons: tuple[str, ...],
    environments: str | None,
    no_cache: bool,
    as_json: bool,
) -> int:
    """Judge implementations on generated and curated cases; exit with 1 if one violates."""
    from conformance.running.run import run

    folder = options.folder(output)
    try:
        with progress.shown() as tell, _executor(jobs) as executor, options.keep_stdout():
            result = run(
                implementations or None,
                operators=operators or None,
                dims=[_dim(text) for text in dims] or None,
                dtypes=dtypes or None,
                checks=checks or None,
                suites=_suites(suites),
                examples=examples,
                seconds=seconds,
                seed=seed,
                tier=tier,
                spec=spec,
                known=known,
                plugins=plugins,
                environments=options.environments(pythons, environments),
                isolate=isolate,
                limits=options.limits(call_seconds, call_memory),
                output=folder,
                cache=not no_cache,
                progress=tell,
                executor=executor,
                command=options.typed(),
            )
    except KeyboardInterrupt:
        where = f"; what was judged so far is in {folder / 'run.sqlite'}" if folder.exists() else ""
        print(f"convformance: interrupted{where}", file=sys.stderr)
        return 130
    from conformance.reports import load
    from conformance.reports.html import html
    from conformance.reports.markdown import markdown

    report = load(result.path)
    options.write(folder / "report.md", markdown(report))
    options.write(folder / "report.html", html(report))
    if as_json:
        from conformance.reports.as_json import as_json as to_json

        click.echo(json.dumps(to_json(report), indent=2, allow_nan=False))
    else:
        from conformance.reports.terminal import show

        show(report)
        click.echo(f"written: {result.path}, {folder / 'report.md'}, {folder / 'report.html'}")
    return 0 if result.conforms else 1


def _dim(text: str) -> int:
    if text not in ("1", "2", "3"):
        raise click.BadParameter(f"'{text}'; allowed: 1, 2, 3", param_hint="--dims")
    return int(text)


def _suites(names: tuple[str, ...]) -> tuple[str, ...] | None:
    if "none" not in names:
        return names or None
    if set(names) != {"none"}:
        raise click.BadParameter("'none' goes with no other suite", param_hint="--suite")
    return ()


@contextlib.contextmanager
def _executor(jobs: int) -> Iterator[Executor | None]:
    """Start ``jobs`` processes, whose engines share the cores instead of each taking all."""
    if jobs == 1:
        yield None
        return
    share = max(1, (os.cpu_count() or 1) // jobs)
    spawn = multiprocessing.get_context("spawn")
    from conformance.running.interruption import end_pool, start_pool_process

    with (
        threads.environment(share),
        ProcessPoolExecutor(jobs, spawn, initializer=start_pool_process) as pool,
    ):
        try:
            yield pool
        except BaseException:
            end_pool()
            raise
