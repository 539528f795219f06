"""Timings on a terminal: a matrix of layers and implementations, what was measured, and doubts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from conformance.reports.gaps import ranged
from conformance.reports.growth import growth
from conformance.reports.headline import baseline, headline
from conformance.reports.model import Report
from conformance.reports.order import grouped, natural
from conformance.reports.printing import console as stdout
from conformance.reports.printing import put, put_table
from conformance.reports.text import NONE, mebibytes, number, percentage, plural, seconds, shorten
from conformance.runfile.tables import Timing
from conformance.runfile.text import one_line

_CELL = 11
"""Columns of an implementation, at least."""
_SHAPES = 30
"""Columns of a layer's name and its shapes, at most: what is longer goes on below."""
_NOISY = 0.05
"""The share of time without a processor, from which on it is told."""


def show(report: Report, console: Console | None = None) -> None:
    """Print what was timed, and nothing else."""
    console = console or stdout()
    console.print(Text("Time of one call", style="bold"))
    put_table(console, matrix(report, console.width))
    put(console, _notes(report))
    put(console, [Text(line) for line in _growth(report)])
    put(console, [Text(line, style="dim") for line in conditions(report)])
    console.print(Text(headline(report), style="bold"))


def matrix(report: Report, width: int) -> RenderableType:
    """Return a table of layers and implementations: time, ratio and rate of each.

    As many implementations as fit stand beside each other; those that do not, in tables below.
    """
    names = sorted({t.implementation for t in report.timings}, key=lambda n: _order(report, n))
    at = {(t.layer, t.implementation): t for t in report.timings}
    cases = {t.layer: t.case for t in report.timings}
    blocks: list[RenderableType] = []
    for chosen in _fitting(names, report, width - _SHAPES):
        table = Table(box=None, padding=(0, 1, 0, 0), header_style="bold")
        table.add_column("", width=_SHAPES, overflow="fold")
        for name in chosen:
            label = report.label(name)
            least = max(_CELL, cell_len(label))
            table.add_column(Text(label), justify="right", no_wrap=True, min_width=least)
        for layer in sorted(cases, key=natural):
            table.add_row(_layer(layer, cases[layer]), *(_cell(at.get((layer, n))) for n in chosen))
        blocks.append(table)
    return Group(*blocks)


def _fitting(names: Sequence[str], report: Report, width: int) -> Iterator[list[str]]:
    """Yield the names of each table, as many as fit into ``width``, one at least."""
    chosen: list[str] = []
    taken = 0
    for name in names:
        needed = 1 + max(_CELL, cell_len(report.label(name)))
        if chosen and taken + needed > width:
            yield chosen
            chosen, taken = [], 0
        chosen.append(name)
        taken += needed
    yield chosen


def _order(report: Report, name: str) -> tuple[bool, float, str]:
    """Sort those first that are fastest on most layers."""
    ratios = sorted(t.ratio for t in report.timings if t.implementation == name and t.ratio)
    return (not ratios, ratios[len(ratios) // 2] if ratios else 0.0, name)


def _layer(title: str, case: str) -> Text:
    text = Text(title, style="bold")
    for line in shapes(case):
        text.append(f"\n{line}", style="dim not bold")
    return text


def shapes(case: str) -> list[str]:
    """Return what a case id says of shapes and parameters, in two lines at most."""
    parts = case.split(":")
    if len(parts) < 3:
        return [case]
    sizes = [part for part in parts if part.startswith(("x=", "w=", "kernel="))]
    others = [p for p in parts[2:-1] if p not in sizes]
    kind = f"{parts[0]} {parts[1]}"
    return [" ".join(sizes), " ".join((kind, *others))]


def _cell(timing: Timing | None) -> Text:
    """Return the time of one implementation on one layer, its ratio, and its rate."""
    if timing is None:
        return Text(NONE, style="dim")
    if not timing.is_verified:
        return Text(f"{seconds(timing.median)}\nWRONG", style="red")
    if timing.doubt:
        return Text(f"{seconds(timing.median)}\nNOT\nBELIEVABLE", style="red")
    text = Text(seconds(timing.median))
    text.append(f"\n{number(timing.ratio)}{_around(timing)}")
    if timing.gflops is not None:
        text.append(f"\n{number(timing.gflops)} GF {percentage(timing.roof or timing.peak)}", "dim")
    elif timing.median and timing.moved:
        rate = 1e-9 * timing.moved / timing.median
        text.append(f"\n{number(rate)} GB {percentage(timing.bandwidth)}", "dim")
    if timing.memory is not None:
        text.append(f"\n+{mebibytes(timing.memory)}", "dim")
    return text


def _around(timing: Timing) -> str:
    """Return half of the ratio's interval, as a share of it."""
    if timing.ratio_low is None or timing.ratio_high is None or not timing.ratio:
        return ""
    half = (timing.ratio_high - timing.ratio_low) / 2 / timing.ratio
    return f" +-{100 * half:.0f}%" if half >= 0.0095 else f" +-{100 * half:.1f}%"


def _notes(report: Report) -> Iterable[Text]:
    """Yield what is wrong, what is not believed, and what was not timed."""
    yield Text("")
    for t in report.timings:
        where = f"{report.label(t.implementation)}, {t.layer}"
        if not t.is_verified:
            case = f" (case {t.wrong_case})" if t.wrong_case else ""
            yield Text(shorten(f"wrong output: {where}: {t.verified}{case}", 400), style="red")
        if t.doubt:
            yield Text(shorten(f"not believable: {where}: {t.doubt}", 400), style="red")
    for gap in ranged(report.unsupported):
        yield Text(f"not timed: {gap.implementation}, {one_line(gap.reason)[:300]}", style="dim")


def _growth(report: Report) -> Iterator[str]:
    """Yield how the times of each layer grow along a sweep, with the exponent of the work."""
    for (layer, threads), rows in grouped(growth(report), lambda g: (g.layer, g.threads)).items():
        first = rows[0]
        exponents = ", ".join(f"{report.label(g.implementation)} {g.exponent:.2f}" for g in rows)
        several = (
            f", {plural(threads, 'thread')}" if len({t.threads for t in report.timings}) > 1 else ""
        )
        yield (
            f"{layer}{several}: time grows as a power of {first.dimension} "
            f"({first.values[0]} to {first.values[-1]}): {exponents}; the work {first.work:.2f}"
        )


def conditions(report: Report) -> list[str]:
    """Return what the figures mean, and under which conditions they were measured."""
    facts = report.facts
    threads = sorted({t.threads for t in report.timings})
    lines = [
        f"{', '.join(map(str, threads))} {'thread' if threads == [1] else 'threads'}; the second "
        f"line of a cell is the time over {baseline(report)}, the third 10^9 operations or",
        "bytes a second with the share of what the machine's matrix products and copies allow,",
        "and the fourth the memory that the first call took",
    ]
    rates = facts.get("matmul_gflops")
    if isinstance(rates, dict) and rates:
        products = ", ".join(f"{float(rate):,.0f} GFLOP/s in {key}" for key, rate in rates.items())
        lines.append(f"matrix products here: {products}")
    waited = [t.waited for t in report.timings if t.waited is not None]
    if waited and (noise := sorted(waited)[len(waited) // 2]) > _NOISY:
        lines.append(
            f"noisy: other processes had the processor for {percentage(noise)} of the time, which "
            "does not count; caches and clock rates were theirs as well"
        )
    wide = [t for t in report.timings if t.ratio_low and t.ratio_high and t.ratio]
    unsure = [t for t in wide if (t.ratio_high or 0) - (t.ratio_low or 0) > 0.1 * (t.ratio or 1)]
    if unsure:
        lines.append(
            f"{plural(len(unsure), 'ratio')} of {len(wide)} known to no better than 5 %: more "
            f"--seconds"
        )
    return lines
