"""``convformance time``: how long implementations take on layers; what they return is verified."""

from __future__ import annotations

import json
import math
from typing import Any

import click

from conformance.cli import options, progress
from conformance.timing import LIMITS
from conformance.timing import threads as thread_pools
from conformance.timing.threads import ALL


def _numbers(ctx: click.Context, option: click.Parameter, value: str) -> tuple[int | str, ...]:
    """Return whole numbers that are given by commas; ``all`` stays as it is."""
    parts = [part.strip() for part in value.split(",")] if value else []
    least, most = LIMITS.get(option.name or "", (1, math.inf))
    for part in parts:
        if part == ALL:
            continue
        if not (part.isascii() and part.isdigit()):
            raise click.BadParameter(f"'{part}' is not a whole number", ctx, option)
        if not least <= int(part) <= most:
            allowed = f"from {least}" + (f" to {most}" if most < math.inf else "")
            raise click.BadParameter(f"{part} is out of range; allowed: {allowed}", ctx, option)
    return tuple(part if part == ALL else int(part) for part in parts)


@click.command("time")
@click.argument("layers", nargs=-1, metavar="[LAYER]...")
@options.implementations
@click.option("--baseline", metavar="NAME", help="What ratios are to; default: the fastest.")
@click.option(
    "--rounds",
    type=options.whole(*LIMITS["rounds"]),
    help="Calls, or batches of short ones; default: as many as the precision needs.",
)
@click.option(
    "--precision",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.02,
    show_default=True,
    help="Half of the width of ratios' 95 % confidence intervals, as a share of them.",
)
@click.option("--warmup", type=options.whole(*LIMITS["warmup"]), default=2, show_default=True)
@click.option(
    "--threads",
    callback=_numbers,
    default="1",
    metavar="N,...",
    show_default=True,
    help="How many each library may use: numbers by commas, or 'all'.",
)
@click.option(
    "--batch", callback=_numbers, default="", metavar="N,...", help="Batch sizes, by commas."
)
@click.option(
    "--sweep",
    metavar="DIM=A..B",
    help="Vary batch, channels, size or kernel, and fit the exponent: channels=16..512.",
)
@click.option(
    "--seconds",
    type=options.seconds(),
    default=1.0,
    show_default=True,
    help="Time budget of an implementation and layer.",
)
@click.option("--dtype", default="float32", show_default=True, help="One or several, by commas.")
@options.seed
@options.plugins
@options.programs
@options.libraries
@options.surroundings
@options.modules
@options.interpret
@options.spec_file
@options.output("convformance-time", "Where run.sqlite is written.")
@options.quiet
@options.as_json
@click.option(
    "--list-layers",
    is_flag=True,
    help="List the layers that have names, those of --spec first, and exit.",
)
def command(
    layers: tuple[str, ...], quiet: bool, as_json: bool, list_layers: bool, **chosen: Any
) -> int:
    """Time implementations on LAYERs: names, globs such as 'resnet50/*', or case ids.

    Without LAYER those of the --spec file are timed, or a handful of small ones if it has none. The
    outputs of timed calls are verified; the exit status is 1 if one is wrong, and 3 if none was
    timed.
    """
    first = next((n for n in chosen["threads"] if n != ALL), thread_pools.available_cores())
    thread_pools.set_environment(first)  # before NumPy and any engine are loaded
    chosen["dtype"] = tuple(chosen["dtype"].split(","))
    if list_layers:
        return _list_layers(layers, chosen["spec"], as_json)
    from conformance.reports import load, timing_terminal
    from conformance.timing.timed_run import time_selection
    from conformance.timing.timing_plan import TimingSelection

    with progress.shown(quiet=quiet) as tell, options.keep_stdout():
        timings = time_selection(
            TimingSelection(layers=layers or None, progress=tell, command=options.typed(), **chosen)
        )
    report = load(timings.path)
    if as_json or quiet:
        options.print_report(report, as_json=as_json, quiet=quiet)
    else:
        timing_terminal.show(report)
        click.echo(f"written: {timings.path}")
    return timings.exit_status


def _list_layers(patterns: tuple[str, ...], spec: str | None, as_json: bool) -> int:
    from conformance.spec import load
    from conformance.spec.layers import choose

    chosen = choose(patterns or ("*",), load(spec), dtype="float32", seed=0)
    if as_json:
        rows = [{"layer": layer.name, "case": layer.case.id} for layer in chosen]
        click.echo(json.dumps({"layers": rows}, indent=2))
        return 0
    width = max(len(layer.name) for layer in chosen)
    for layer in chosen:
        click.echo(f"{layer.name.ljust(width)}  {layer.case.id}")
    return 0
