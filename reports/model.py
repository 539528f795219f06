"""A run as its reports see it: the rows of the run file, and what they add up to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from conformance.reports.order import by_cell, by_operator, largest, natural, worst_verdict
from conformance.reports.rows import (
    Cell,
    Convention,
    Gap,
    Implementation,
    Known,
    Large,
    Pair,
    Timing,
    Violation,
    Witness,
    read_rows,
)
from conformance.reports.text import clean
from conformance.running.runfile import read

NOT_INSTALLED = "not installed"


@dataclass(frozen=True, slots=True)
class Summary:
    """The cells of one implementation and operator, added up."""

    implementation: str
    operator: str
    cells: tuple[Cell, ...]
    planned: int
    reached: int
    compared: int
    unsupported: int
    worst: float | None
    verdict: str

    @property
    def inconclusive(self) -> tuple[Cell, ...]:
        """The cells whose comparisons are too few to say anything."""
        return tuple(cell for cell in self.cells if cell.verdict == "inconclusive")


@dataclass(frozen=True, slots=True)
class Finding:
    """One requirement that an implementation violates in one operator, smallest case first."""

    violations: tuple[Violation, ...]

    @property
    def smallest(self) -> Violation:
        return self.violations[0]

    @property
    def further(self) -> int:
        """In how many further cells (dims and dtype) the same requirement is violated."""
        return len({(v.dims, v.dtype) for v in self.violations}) - 1

    @property
    def count(self) -> int:
        """How many cases violate the requirement, in all cells."""
        return sum(violation.count for violation in self.violations)


@dataclass(frozen=True, slots=True)
class Report:
    """What a run file says, sorted: by family and name, operator, dims and dtype."""

    path: str
    facts: dict[str, Any]
    implementations: tuple[Implementation, ...]
    cells: tuple[Cell, ...]
    violations: tuple[Violation, ...]
    unsupported: tuple[Gap, ...]
    large: tuple[Large, ...]
    pairs: tuple[Pair, ...]
    timings: tuple[Timing, ...]
    known: tuple[Known, ...] = ()
    witnesses: tuple[Witness, ...] = ()
    conventions: tuple[Convention, ...] = ()

    @property
    def stale(self) -> tuple[Known, ...]:
        """The known differences that no longer occur: to be taken off their lists."""
        return tuple(entry for entry in self.known if entry.status == "stale")

    @property
    def complete(self) -> bool:
        """Whether the run wrote its closing record."""
        return "finished" in self.facts

    @property
    def judged(self) -> tuple[Implementation, ...]:
        """The implementations that could be called."""
        return tuple(i for i in self.implementations if i.verdict != NOT_INSTALLED)

    @property
    def not_installed(self) -> tuple[Implementation, ...]:
        return tuple(i for i in self.implementations if i.verdict == NOT_INSTALLED)

    @property
    def ended(self) -> tuple[Implementation, ...]:
        """Those that were no longer called at some point, or in some cells: the note says why."""
        return tuple(i for i in self.implementations if i.note and i.verdict != NOT_INSTALLED)

    @property
    def compared(self) -> int:
        """How many cases were compared with the reference, all implementations together."""
        return sum(cell.compared for cell in self.cells)

    @property
    def operators(self) -> tuple[str, ...]:
        """The operators that have cells, in the order of the signatures."""
        return tuple(sorted({cell.operator for cell in self.cells}, key=by_operator))

    def verdicts(self) -> Counter[str]:
        """How many implementations have each verdict."""
        return Counter(implementation.verdict for implementation in self.implementations)

    def summaries(self) -> tuple[Summary, ...]:
        """The cells added up to one summary for each implementation and operator."""
        of: dict[str, list[Cell]] = {i.name: [] for i in self.implementations}
        for cell in self.cells:
            of[cell.implementation].append(cell)
        return tuple(
            _summary(name, operator, tuple(group))
            for name, cells in of.items()
            for operator, group in groupby(cells, key=lambda cell: cell.operator)
        )

    def findings(self) -> tuple[Finding, ...]:
        """The violations, one entry for each implementation, operator and requirement."""
        groups: dict[tuple[str, str, str], list[Violation]] = {}
        for v in self.violations:
            groups.setdefault((v.implementation, v.operator, v.requirement), []).append(v)
        places = {i.name: place for place, i in enumerate(self.implementations)}
        order = sorted(groups, key=lambda key: (places[key[0]], by_operator(key[1]), key[2]))
        return tuple(
            Finding(tuple(sorted(groups[key], key=lambda v: (v.dims, len(v.case), v.case))))
            for key in order
        )

    def pair_totals(self, operator: str | None = None) -> dict[tuple[str, str], Pair]:
        """Each pair's numbers for one operator, or over all operators, keyed both ways."""
        totals: dict[tuple[str, str], Pair] = {}
        for pair in self.pairs:
            if operator not in (None, pair.operator):
                continue
            key = (pair.first, pair.second)
            totals[key] = _add(totals[key], pair) if key in totals else pair
        mirrored = {(second, first): pair for (first, second), pair in totals.items()}
        return mirrored | totals

    def layers(self) -> Iterator[tuple[str, tuple[Timing, ...]]]:
        """The timed layers in natural order, each with its timings, the fastest first."""
        for layer in sorted({timing.layer for timing in self.timings}, key=natural):
            rows = [timing for timing in self.timings if timing.layer == layer]
            rows.sort(key=lambda t: (t.median is None, t.median or 0.0, t.implementation))
            yield layer, tuple(rows)


def load(path: str | Path) -> Report:
    """Read a run file; raise `RunFileError`, in one line, if it is missing or not one."""
    facts, tables = read(path)
    violations = read_rows(Violation, "violation", tables["violation"], path)
    written = read_rows(Cell, "cell", tables["cell"], path)
    cells = tuple(c if c.compared else replace(c, worst=None) for c in written)
    cells = _with_missing_cells(cells, violations)
    declared = read_rows(Implementation, "implementation", tables["implementation"], path)
    gaps = _merged(read_rows(Gap, "unsupported", tables["unsupported"], path))
    large = read_rows(Large, "layer", tables["layer"], path)
    pairs = read_rows(Pair, "pair", tables["pair"], path)
    known = read_rows(Known, "known", tables["known"], path)
    timings = read_rows(Timing, "timing", tables["timing"], path)
    named = {cell.implementation for cell in cells} | {row.implementation for row in timings}
    named |= {row.implementation for row in large}
    named |= {name for pair in pairs for name in (pair.first, pair.second)}
    implementations = _with_missing_implementations(declared, named, cells)
    return Report(
        path=clean(str(path)),
        facts=_cleaned(facts),
        implementations=tuple(
            sorted(implementations, key=lambda i: (i.verdict == NOT_INSTALLED, i.family, i.name))
        ),
        cells=tuple(sorted(cells, key=by_cell)),
        violations=violations,
        unsupported=tuple(
            sorted(
                gaps, key=lambda g: (g.implementation, by_operator(g.operator), -g.count, g.reason)
            )
        ),
        large=tuple(sorted(large, key=lambda row: (natural(row.layer), row.implementation))),
        pairs=tuple(sorted(pairs, key=lambda p: (p.first, p.second, by_operator(p.operator)))),
        timings=tuple(sorted(timings, key=lambda t: (natural(t.layer), t.implementation))),
        known=tuple(
            sorted(known, key=lambda k: (k.implementation, by_operator(k.operator), k.requirement))
        ),
        witnesses=read_rows(Witness, "witness", tables["witness"], path),
        conventions=tuple(
            sorted(
                read_rows(Convention, "convention", tables["convention"], path),
                key=lambda c: (c.convention, c.implementation, by_operator(c.operator), c.dims),
            )
        ),
    )


def _summary(implementation: str, operator: str, cells: tuple[Cell, ...]) -> Summary:
    return Summary(
        implementation,
        operator,
        cells,
        planned=sum(cell.planned for cell in cells),
        reached=sum(cell.reached for cell in cells),
        compared=sum(cell.compared for cell in cells),
        unsupported=sum(cell.unsupported for cell in cells),
        worst=largest(cell.worst for cell in cells),
        verdict=worst_verdict(cell.verdict for cell in cells),
    )


def _add(a: Pair, b: Pair) -> Pair:
    """Return the pair over both operators; the case is the one with the larger difference."""
    larger = b if (b.largest or 0.0) > (a.largest or 0.0) else a
    return replace(
        a,
        operator="",
        cases=a.cases + b.cases,
        elements=a.elements + b.elements,
        identical=a.identical + b.identical,
        largest=largest((a.largest, b.largest)),
        largest_case=larger.largest_case,
    )


def _merged(gaps: tuple[Gap, ...]) -> Iterator[Gap]:
    """Add up the gaps with one reason: a run writes them for each number of dimensions."""
    counts: Counter[tuple[str, str, str]] = Counter()
    for gap in gaps:
        counts[gap.implementation, gap.operator, gap.reason] += gap.count
    for key, count in counts.items():
        yield Gap(*key, count)


def _with_missing_cells(
    cells: tuple[Cell, ...], violations: tuple[Violation, ...]
) -> tuple[Cell, ...]:
    """Add the cells that an interrupted run did not come to write, so no violation is lost."""
    known = {(c.implementation, c.operator, c.dims, c.dtype) for c in cells}
    missing: dict[tuple[str, str, int, str], Violation] = {}
    for v in violations:
        missing.setdefault((v.implementation, v.operator, v.dims, v.dtype), v)
    return cells + tuple(
        Cell(*key, 0, 0, 0, 0, 0, 0, 0, None, None, 0.0, v.status)
        for key, v in missing.items()
        if key not in known
    )


def _with_missing_implementations(
    declared: tuple[Implementation, ...], named: set[str], cells: tuple[Cell, ...]
) -> tuple[Implementation, ...]:
    """Add the implementations that an interrupted run did not come to write."""
    return declared + tuple(
        Implementation(
            name,
            family="",
            version="",
            layout="",
            accumulate=None,
            multiply=None,
            error="",
            verdict=worst_verdict(c.verdict for c in cells if c.implementation == name),
            note="",
        )
        for name in sorted(named - {implementation.name for implementation in declared})
    )


def _cleaned(value: Any) -> Any:
    """Return a JSON value with every string in it cleaned, keys included."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {clean(key): _cleaned(item) for key, item in value.items()}
    return [_cleaned(item) for item in value] if isinstance(value, list) else value
