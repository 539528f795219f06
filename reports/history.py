"""Several runs in the order of time: a line for each implementation, with a sparkline."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conformance.reports.comparing import comparison_json
from conformance.reports.comparison import Comparison, compare
from conformance.reports.document import Document, Item, Section
from conformance.reports.model import Report
from conformance.reports.tables import Table
from conformance.reports.text import NONE, plural, seconds

_BARS = "▁▂▃▄▅▆▇█"
_NO_BAR = "·"


@dataclass(frozen=True, slots=True)
class Trend:
    """One implementation in every run: None where a run does not have it."""

    implementation: str
    versions: tuple[str | None, ...]
    verdicts: tuple[str | None, ...]
    violated: tuple[int | None, ...]
    """How many requirements it violates, each operator for itself."""
    compared: tuple[int | None, ...]
    time: tuple[float | None, ...]
    """The geometric mean of its medians, in seconds, over the layers that all its runs timed."""


@dataclass(frozen=True, slots=True)
class History:
    """The runs, the trend of each implementation, and what changed from each run to the next."""

    reports: tuple[Report, ...]
    trends: tuple[Trend, ...]
    steps: tuple[Comparison, ...]

    @property
    def is_regression(self) -> bool:
        """Whether the last run is worse than the one before it: the exit status is 1."""
        return self.steps[-1].is_regression


def history(reports: Sequence[Report], *, factor: float) -> History:
    """Return the trends of runs, in the order in which they were started."""
    ordered = tuple(sorted(reports, key=lambda report: str(report.facts.get("started", ""))))
    names = dict.fromkeys(one.name for report in ordered for one in report.implementations)
    pairs = itertools.pairwise(ordered)
    return History(
        reports=ordered,
        trends=tuple(_trend(name, ordered) for name in names),
        steps=tuple(compare(old, new, factor=factor) for old, new in pairs),
    )


def _trend(name: str, reports: Sequence[Report]) -> Trend:
    rows = [next((i for i in r.implementations if i.name == name), None) for r in reports]
    own = [[c for c in r.cells if c.implementation == name] for r in reports]
    violated = [
        {(v.operator, v.requirement) for v in r.violations if v.implementation == name}
        for r in reports
    ]
    return Trend(
        implementation=name,
        versions=tuple(row.version if row else None for row in rows),
        verdicts=tuple(row.verdict if row else None for row in rows),
        violated=tuple(len(v) if c else None for v, c in zip(violated, own, strict=True)),
        compared=tuple(sum(cell.compared for cell in c) if c else None for c in own),
        time=_times(name, reports),
    )


def _times(name: str, reports: Sequence[Report]) -> tuple[float | None, ...]:
    timed = [
        {t.layer: t.median for t in r.timings if t.implementation == name and t.median}
        for r in reports
    ]
    having = [medians for medians in timed if medians]
    shared = set.intersection(*(set(medians) for medians in having)) if having else set()
    return tuple(
        math.exp(sum(math.log(medians[layer]) for layer in shared) / len(shared))
        if medians and shared
        else None
        for medians in timed
    )


def sparkline(values: Sequence[float | None]) -> str:
    """Return a bar for each value, from zero to the largest; a dot where there is none."""
    largest = max((value for value in values if value is not None), default=0)
    return "".join(
        _NO_BAR
        if value is None
        else _BARS[round((len(_BARS) - 1) * value / largest) if largest else 0]
        for value in values
    )


def document(found: History) -> Document:
    """Return the history in sections."""
    last = found.steps[-1]
    runs = plural(len(found.reports), "run")
    return Document(
        name="runs in the order of time",
        headline=f"{runs}; from the last but one to the last: {_small(last.headline)}",
        good=not found.is_regression,
        notes=[f"{r.path} is incomplete." for r in found.reports if not r.complete],
        sections=[
            Section("Requirements violated", table=_violated(found.trends)),
            *_timed(found.trends),
            Section("Runs", items=list(_runs(found))),
        ],
    )


def _small(text: str) -> str:
    return text[:1].lower() + text[1:]


def _violated(trends: Sequence[Trend]) -> Table:
    rows = [
        (
            t.implementation,
            sparkline(t.violated),
            _from_to(t.violated),
            _from_to(t.versions),
            next((v for v in reversed(t.verdicts) if v), NONE),
        )
        for t in trends
        if any(count is not None for count in t.violated)
    ]
    return Table(("implementation", "trend", "violated", "version", "verdict"), "lllll", rows)


def _timed(trends: Sequence[Trend]) -> Iterator[Section]:
    rows = [
        (t.implementation, sparkline(t.time), _from_to([seconds(v) if v else None for v in t.time]))
        for t in trends
        if any(t.time)
    ]
    if rows:
        note = "Geometric mean of the medians of the layers that all its runs timed."
        table = Table(("implementation", "trend", "time of a call"), "lll", rows)
        yield Section("Time", table=table, note=note)


def _from_to(values: Sequence[object]) -> str:
    """Return the first and the last of the values that are there."""
    there = [str(value) for value in values if value not in (None, "")]
    if not there:
        return NONE
    return there[0] if there[0] == there[-1] else f"{there[0]} → {there[-1]}"


def _runs(found: History) -> Iterator[Item]:
    for number, report in enumerate(found.reports):
        name = str(Path(report.path))
        started = str(report.facts.get("started", ""))
        changed = found.steps[number - 1].headline if number else ""
        yield Item(f"{number + 1} {name} {started}".rstrip(), changed)


def history_json(found: History) -> dict[str, Any]:
    """Return the history as a dict for strict JSON."""
    return {
        "format": "convformance-history-1",
        "runs": [
            {"run": r.path, "started": r.facts.get("started"), "complete": r.complete}
            for r in found.reports
        ],
        "implementations": [
            {
                "implementation": t.implementation,
                "versions": list(t.versions),
                "verdicts": list(t.verdicts),
                "violated": list(t.violated),
                "compared": list(t.compared),
                "time": list(t.time),
                "sparkline": sparkline(t.violated),
            }
            for t in found.trends
        ],
        "steps": [comparison_json(step) for step in found.steps],
        "regression": found.is_regression,
    }
