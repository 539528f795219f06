"""``convformance spec``: what generation draws from, and how well it covers it."""

from __future__ import annotations

import json
import textwrap
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from conformance.cases.ranges import MOST_EXAMPLES
from conformance.cli import options

if TYPE_CHECKING:
    from conformance.cases.coverage import Coverage
    from conformance.cases.layout_coverage import LayoutCoverage
    from conformance.cases.tail_coverage import Met, TailCoverage
    from conformance.spec import Spec


_IN = " " * 21


@click.command("spec")
@options.spec_file
@click.option("--toml", is_flag=True, help="Print the packaged spec, for a file to start from.")
@click.option("--coverage", is_flag=True, help="Measure which combinations N cases reach.")
@click.option(
    "-n",
    "count",
    type=options.whole(1, MOST_EXAMPLES),
    default=500,
    show_default=True,
    metavar="N",
    help=f"Cases an operator, for --coverage, at most {MOST_EXAMPLES}.",
)
@options.seed
@options.as_json
def command(
    spec: str | None, toml: bool, coverage: bool, count: int, seed: int, as_json: bool
) -> None:
    """Show ranges, tiers and suites; with --coverage, the pairs and triples of classes reached.

    The pairs of a class and a memory layout, of each array, are reported as well.

    'convformance spec --toml > my_spec.toml' makes a file to change, which --spec reads. A class is
    what a parameter is like: stride one, the same on every axis, different, and so on. Shares are
    of the combinations that some valid case has. Of the fast paths of libraries it says which
    signatures meet which tails of blocks, in which layouts and dtypes, and which two tails at once.
    """
    from conformance.spec import load, packaged_text

    if toml:
        if spec is not None or coverage or as_json:
            raise click.UsageError("--toml prints the packaged spec; give it alone")
        click.echo(packaged_text(), nl=False)
        return
    loaded = load(spec)
    if coverage:
        from conformance.cases.coverage import draw, measure
        from conformance.cases.layout_coverage import measure_derived_layouts
        from conformance.cases.tail_coverage import measure_tails

        drawn = draw(loaded.ranges, count=count, seed_value=seed)
        measured = tuple(measure(name, cases, loaded.ranges) for name, cases in drawn.items())
        laid_out = measure_derived_layouts(drawn, loaded.ranges)
        fast_paths = tuple(measure_tails(loaded.ranges.dims))
        _print_coverage(measured, laid_out, fast_paths, count, seed, as_json)
    else:
        _print_spec(loaded, as_json)


def _print_spec(spec: Spec, as_json: bool) -> None:
    suites = {name: len(spec.suite(name).cases) for name in spec.suites}
    if as_json:
        value = {
            "source": spec.source,
            "digest": spec.digest,
            "ranges": asdict(spec.ranges),
            "tiers": {name: asdict(tier) for name, tier in spec.tiers.items()},
            "suites": suites,
        }
        click.echo(json.dumps(value, indent=2))
        return
    click.echo(f"spec {spec.source} ({spec.digest})\n\nranges")
    for name, values in asdict(spec.ranges).items():
        text = ", ".join(map(str, values)) if isinstance(values, tuple) else str(values)
        click.echo(f"  {name:18} {text}")
    click.echo("\ntiers")
    for name, tier in spec.tiers.items():
        click.echo(f"  {name:18} {tier.examples} examples, {tier.seconds:g} s a cell")
        click.echo(textwrap.fill(tier.summary, 78, initial_indent=_IN, subsequent_indent=_IN))
    click.echo("\nsuites")
    for name, cases in suites.items():
        click.echo(f"  {name:18} {cases} cases")


def _print_coverage(
    measured: tuple[Coverage, ...],
    laid_out: tuple[LayoutCoverage, ...],
    fast_paths: tuple[TailCoverage, ...],
    count: int,
    seed: int,
    as_json: bool,
) -> None:
    if as_json:
        rows: list[dict[str, Any]] = [asdict(row) for row in measured]
        layouts = [asdict(row) for row in laid_out]
        value = {"count": count, "seed": seed, "operators": rows, "layouts": layouts}
        value["fast_paths"] = [asdict(row) for row in fast_paths]
        click.echo(json.dumps(value, indent=2))
        return
    click.echo(f"combinations of classes that {count} cases an operator reach, seed {seed}")
    click.echo(f"{'operator':16} {'pairs':>18} {'triples':>22}")
    for coverage in measured:
        pairs = f"{coverage.pairs_reached} of {coverage.pairs_valid}"
        triples = f"{coverage.triples_reached} of {coverage.triples_valid}"
        share = f"{100 * coverage.triples_reached / max(1, coverage.triples_valid):.1f} %"
        click.echo(f"{coverage.operator:16} {pairs:>18} {triples:>15} {share}")
        for missing in (*coverage.missing_pairs, *coverage.missing_triples[:5]):
            click.echo(f"  not reached: {missing}")
    click.echo("\nmemory layouts, each of each array, with classes: in cases derived from those")
    click.echo(f"{'operator':16} {'cases':>6} {'pairs':>14}")
    for layouts_met in laid_out:
        pairs = f"{layouts_met.reached} of {layouts_met.valid}"
        click.echo(f"{layouts_met.operator:16} {layouts_met.cases:>6} {pairs:>14}")
        for missing in layouts_met.missing[:5]:
            click.echo(f"  not reached: {missing}")
    click.echo("\nfast paths: signatures of kernels with tails of blocks, where a tier has 'tails'")
    click.echo(f"{'operator':18} {'signatures':>10} {'cases':>6} {'tails':>7}", nl=False)
    click.echo(f" {'x layout':>9} {'x dtype':>8} {'x tail':>8}")
    for own in fast_paths:
        name = f"{own.operator} {own.dims}-D"
        click.echo(f"{name:18} {own.signatures:10} {own.cases:6} {_share(own.tails):>7}", nl=False)
        shares = _share(own.layouts), _share(own.dtypes), _share(own.pairs)
        click.echo(f" {shares[0]:>9} {shares[1]:>8} {shares[2]:>8}")


def _share(met: Met) -> str:
    reached, there = met
    return f"{100 * reached / max(1, there):.3g} %"
