"""A run as reports see it: the rows of its run file, and their sums."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from conformance.reports.order import by_cell, by_operator, grouped, largest, natural, worst_verdict
from conformance.requirements import SEVERITIES, by_severity, severity
from conformance.runfile import asked
from conformance.runfile.reading import read
from conformance.runfile.tables import (
    Call,
    Cases,
    Cell,
    Convention,
    Gap,
    Implementation,
    Known,
    Layer,
    Pair,
    Source,
    Timing,
    Violation,
    Witness,
)
from conformance.runfile.text import clean
from conformance.runfile.words import INCONCLUSIVE, NOT_INSTALLED, STALE

T = TypeVar("T")

_NAMED_CELLS = 2
"""So many cells are named where something was not asked; more are counted."""


@dataclass(frozen=True, slots=True)
class Summary:
    """The sums over the cells of one implementation and operator."""

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
        return tuple(cell for cell in self.cells if cell.verdict == INCONCLUSIVE)


@dataclass(frozen=True, slots=True)
class Finding:
    """What an implementation violates: a requirement in one operator, or any of invalid calls.

    All invalid calls that an implementation does not reject are one finding. The violations come
    in the order of `order_of_violations`, the one to show first.
    """

    violations: tuple[Violation, ...]

    @property
    def smallest(self) -> Violation:
        return self.violations[0]

    @property
    def operators(self) -> tuple[str, ...]:
        return tuple(sorted({v.operator for v in self.violations}, key=by_operator))

    @property
    def requirements(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(violation.requirement for violation in self.violations))

    @property
    def rejections(self) -> tuple[Finding, ...]:
        """The same by requirement, where several on invalid calls are violated; else nothing."""
        if len(self.requirements) == 1:
            return ()
        return tuple(map(_finding, grouped(self.violations, lambda v: v.requirement).values()))

    @property
    def further(self) -> int:
        """The number of further cells (operator, dims and dtype) that violate the same."""
        return len({(v.operator, v.dims, v.dtype) for v in self.violations}) - 1

    @property
    def count(self) -> int:
        """The number of cases that violate the requirement, in all cells."""
        return sum(violation.count for violation in self.violations)


@dataclass(frozen=True, slots=True)
class Report:
    """The contents of a run file, sorted by family and name, operator, dims and dtype."""

    path: str
    facts: dict[str, Any]
    implementations: tuple[Implementation, ...]
    cells: tuple[Cell, ...]
    violations: tuple[Violation, ...]
    unsupported: tuple[Gap, ...]
    large: tuple[Layer, ...]
    pairs: tuple[Pair, ...]
    timings: tuple[Timing, ...]
    known: tuple[Known, ...] = ()
    witnesses: tuple[Witness, ...] = ()
    conventions: tuple[Convention, ...] = ()
    sources: tuple[Source, ...] = ()
    calls: tuple[Call, ...] = ()
    cases: tuple[Cases, ...] = ()

    def twins(self, name: str) -> tuple[Implementation, ...]:
        """Return the implementation, and what it is in other interpreters: torch, torch@old."""
        base = name.partition("@")[0]
        return tuple(i for i in self.implementations if i.name.partition("@")[0] == base)

    def label(self, name: str) -> str:
        """Return the name for a table: with what tells it from its twins, such as the version."""
        twins = self.twins(name)
        own = next((i for i in twins if i.name == name), None)
        if own is None or len(twins) < 2:
            return name
        if any(i.version != own.version for i in twins):
            return f"{name} ({own.version})" if own.version else name
        others = [{*i.environment.split(", ")} for i in twins if i is not own]
        parts = (p for p in own.environment.split(", ") if any(p not in other for other in others))
        different = next(parts, "")
        return f"{name} ({different})" if different else name

    @property
    def stale(self) -> tuple[Known, ...]:
        """The known differences that no longer occur, and are to be taken off their lists."""
        return tuple(entry for entry in self.known if entry.status == STALE)

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
        """The implementations with a note, which says why they were not called to the end."""
        return tuple(i for i in self.implementations if i.note and i.verdict != NOT_INSTALLED)

    @property
    def compared(self) -> int:
        """The number of comparisons with the reference, of all implementations together."""
        return sum(cell.compared for cell in self.cells)

    @property
    def operators(self) -> tuple[str, ...]:
        """The operators that have cells, in the order of the signatures."""
        return tuple(sorted({cell.operator for cell in self.cells}, key=by_operator))

    def verdicts(self) -> Counter[str]:
        """Return how many implementations have each verdict."""
        return Counter(implementation.verdict for implementation in self.implementations)

    @property
    def not_asked(self) -> dict[str, tuple[str, ...]]:
        """What too little was asked of each implementation, in plain words, by its name.

        It is a class of cases, with the number of those compared unless that is none and with the
        cells unless that is all of them, or what a check looks at that the run left out.
        """
        checks = self.facts.get("checks")
        listed = checks if isinstance(checks, list) else list(asked.OF_CHECK)
        left_out = [text for check, text in asked.OF_CHECK.items() if check not in listed]
        gaps: dict[str, tuple[str, ...]] = {}
        for implementation in self.judged:
            own = [c for c in self.cells if c.implementation == implementation.name and c.by_class]
            few: dict[str, list[tuple[Cell, int, int]]] = {}
            for cell in own:
                for name, (due, compared) in asked.too_few(cell.by_class).items():
                    few.setdefault(name, []).append((cell, due, compared))
            words = [_too_few(name, cells, len(own)) for name, cells in few.items()]
            if own and (words or left_out):
                gaps[implementation.name] = (*words, *left_out)
        return gaps

    def summaries(self) -> tuple[Summary, ...]:
        """Return a summary of the cells of each implementation and operator."""
        groups = grouped(self.cells, lambda cell: (cell.implementation, cell.operator))
        return tuple(
            _summary(i.name, operator, tuple(groups[i.name, operator]))
            for i in self.implementations
            for operator in self.operators
            if (i.name, operator) in groups
        )

    def findings(self) -> tuple[Finding, ...]:
        """Return the violations of each requirement and cause together, the worst first."""

        def key(v: Violation) -> tuple[str, ...]:
            together = v.severity == SEVERITIES[-1]
            return (
                v.implementation,
                *(() if together else (v.operator, v.requirement, *_cause(v))),
            )

        found = map(_finding, grouped(self.violations, key).values())
        return _sorted(found, lambda finding: order_of_violations(finding.smallest))

    def invalid_calls(self, implementation: str) -> tuple[int, int]:
        """Return how many invalid calls an implementation did not reject, and how many it got."""
        cells = [cell for cell in self.cells if cell.implementation == implementation]
        return sum(cell.accepted for cell in cells), sum(cell.invalid for cell in cells)

    def pair_totals(self, operator: str | None = None) -> dict[tuple[str, str], Pair]:
        """Return the numbers of each pair, in one or all operators, under both orders of names."""
        totals: dict[tuple[str, str], Pair] = {}
        for pair in self.pairs:
            if operator not in (None, pair.operator):
                continue
            key = (pair.first, pair.second)
            totals[key] = totals[key].plus(pair) if key in totals else pair
        mirrored = {(second, first): pair for (first, second), pair in totals.items()}
        return mirrored | totals

    def layers(self) -> Iterator[tuple[str, tuple[Timing, ...]]]:
        """Yield the timed layers in natural order, each with its timings, the fastest first."""
        for layer in sorted({timing.layer for timing in self.timings}, key=natural):
            rows = [timing for timing in self.timings if timing.layer == layer]
            rows.sort(key=lambda t: (t.median is None, t.median or 0.0, t.implementation))
            yield layer, tuple(rows)


def _cause(violation: Violation) -> tuple[str, str]:
    """Return what tells failures of one requirement apart: what was raised where, and for what.

    Wrong results are told apart by the requirement, which names the parameter.
    """
    if not violation.cause:
        return "", ""
    return violation.cause, violation.needs


def load(path: str | Path) -> Report:
    """Read a run file; raise `RunFileError`, in one line, if it is missing or not one."""
    contents = read(path)
    violations = _sorted(map(_with_severity, contents.rows(Violation)), order_of_violations)
    cells = tuple(c if c.compared else replace(c, worst=None) for c in contents.rows(Cell))
    cells = _with_missing_cells(cells, violations)
    large, pairs, timings = contents.rows(Layer), contents.rows(Pair), contents.rows(Timing)
    named = {row.implementation for rows in (cells, timings, large) for row in rows}
    named |= {name for pair in pairs for name in (pair.first, pair.second)}
    implementations = _with_missing_implementations(contents.rows(Implementation), named, cells)
    return Report(
        path=clean(str(path)),
        facts=contents.facts,
        implementations=_sorted(
            implementations, lambda i: (i.verdict == NOT_INSTALLED, i.family, i.name)
        ),
        cells=_sorted(cells, by_cell),
        violations=violations,
        unsupported=_sorted(
            _merged(contents.rows(Gap)),
            lambda g: (g.implementation, by_operator(g.operator), -g.count, g.reason),
        ),
        large=_sorted(large, lambda row: (natural(row.layer), row.implementation)),
        pairs=_sorted(pairs, lambda p: (p.first, p.second, by_operator(p.operator))),
        timings=_sorted(timings, lambda t: (natural(t.layer), t.implementation)),
        known=_sorted(
            contents.rows(Known),
            lambda k: (k.implementation, by_operator(k.operator), k.requirement),
        ),
        witnesses=contents.rows(Witness),
        calls=contents.rows(Call),
        cases=contents.rows(Cases),
        sources=_sorted(contents.rows(Source), lambda s: (s.implementation, s.file)),
        conventions=_sorted(
            contents.rows(Convention),
            lambda c: (c.convention, c.implementation, by_operator(c.operator), c.dims),
        ),
    )


def _finding(violations: Iterable[Violation]) -> Finding:
    return Finding(_sorted(violations, order_of_violations))


def order_of_violations(violation: Violation) -> tuple[Any, ...]:
    """Sort key of violations: by severity and requirement, the smallest case first."""
    v = violation
    key = by_severity(v.severity, v.status, v.requirement, v.dims, v.case)
    return (*key, by_operator(v.operator))


def _with_severity(violation: Violation) -> Violation:
    """Return a violation with its severity, which older run files do not say."""
    if violation.severity in SEVERITIES:
        return violation
    valid = not any(part.startswith("invalid=") for part in violation.case.split(":"))
    level = severity(violation.requirement, violation.status, valid)
    return replace(violation, severity=level)


def _sorted(rows: Iterable[T], key: Callable[[T], Any]) -> tuple[T, ...]:
    return tuple(sorted(rows, key=key))


def _too_few(name: str, cells: Sequence[tuple[Cell, int, int]], of: int) -> str:
    """Return a class of cases that cells lack: ``NaN (3 of 40) in conv 2-D float32``."""
    due, compared = sum(cell[1] for cell in cells), sum(cell[2] for cell in cells)
    text = f"{name} ({compared:,} of {due:,})" if compared else name
    if len(cells) == of:
        return text
    if len(cells) > _NAMED_CELLS:
        return f"{text} in {len(cells)} of {of} cells"
    places = (f"{cell.operator} {cell.dims}-D {cell.dtype}" for cell, *_ in cells)
    return f"{text} in {' and '.join(places)}"


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


def _merged(gaps: tuple[Gap, ...]) -> Iterator[Gap]:
    """Add up the gaps of the same reason: a run writes one for each number of dimensions."""
    counts: Counter[tuple[str, str, str]] = Counter()
    for gap in gaps:
        counts[gap.implementation, gap.operator, gap.reason] += gap.count
    for key, count in counts.items():
        implementation, operator, reason = key
        yield Gap(implementation=implementation, operator=operator, reason=reason, count=count)


def _with_missing_cells(
    cells: tuple[Cell, ...], violations: tuple[Violation, ...]
) -> tuple[Cell, ...]:
    """Add the cells that an interrupted run did not write, so that no violation is lost."""
    present = {(c.implementation, c.operator, c.dims, c.dtype) for c in cells}
    missing: dict[tuple[str, str, int, str], Violation] = {}
    for v in violations:
        missing.setdefault((v.implementation, v.operator, v.dims, v.dtype), v)
    counts = ("planned", "reached", "compared", "unsupported", "violating", "known", "invalid")
    zeros = dict.fromkeys((*counts, "accepted", "elements", "nonzero", "seconds"), 0)
    return cells + tuple(
        Cell.of(
            v,
            **zeros,
            worst=None,
            worst_case=None,
            verdict=v.status,
            classes="{}",
            spaces="{}",
            cases="",
            features="{}",
            errors="[]",
        )
        for key, v in missing.items()
        if key not in present
    )


def _with_missing_implementations(
    declared: tuple[Implementation, ...], named: set[str], cells: tuple[Cell, ...]
) -> tuple[Implementation, ...]:
    """Add the implementations that an interrupted run did not write."""
    unknown = dict.fromkeys(("family", "version", "layout", "error", "note"), "")
    return declared + tuple(
        Implementation(
            name=name,
            accumulate=None,
            multiply=None,
            verdict=worst_verdict(c.verdict for c in cells if c.implementation == name),
            **unknown,
        )
        for name in sorted(named - {implementation.name for implementation in declared})
    )
