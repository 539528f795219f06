"""A comparison as a document of sections, and as plain data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from conformance.reports.as_json import plain, violation_data
from conformance.reports.cell_pair import Change
from conformance.reports.comparison import Comparison
from conformance.reports.document import Document, Item, Section
from conformance.reports.model import Report
from conformance.reports.speed import Speed
from conformance.reports.tables import Table
from conformance.reports.text import plural, requirement_title, seconds
from conformance.runfile.words import CONFORMS, VIOLATES

_MOST = 40
"""The most changes that are told one by one."""


def document(comparison: Comparison) -> Document:
    """Return the comparison in sections: the worst first, then what was not compared."""
    c = comparison
    name = "two implementations of one run" if c.between else "two runs compared"
    return Document(
        name=name,
        headline=c.headline,
        good=not c.is_regression,
        notes=list(_notes(c)),
        sections=[section for section in _sections(c) if section.items or section.table],
    )


def _notes(c: Comparison) -> Iterator[str]:
    for report in dict.fromkeys((c.old.path, c.new.path)):
        one = c.old if report == c.old.path else c.new
        if not one.complete:
            yield f"{report} is incomplete: it ended before its closing record."
    if not c.cases and not c.speeds.compared:
        yield "The runs have no case in common, so that nothing can be said of what changed."
    elif c.only_old or c.only_new:
        yield (
            f"Not compared: {plural(c.only_old, 'case')} of the old side alone, "
            f"{c.only_new:,} of the new one."
        )
    if not c.exact and c.cells:
        yield (
            "A file does not say which cases were judged, as older versions wrote it: they are "
            "taken to be the same where seed, tier, suites and spec are."
        )


def _sections(c: Comparison) -> Iterator[Section]:
    yield _changes("Newly violates", c.newly_violates, VIOLATES)
    yield _changes("Newly conforms", c.newly_conforms, CONFORMS)
    yield _speeds("Slower", c.speeds.slower, c.speeds.rule, VIOLATES)
    yield _speeds("Faster", c.speeds.faster, c.speeds.rule, CONFORMS)
    yield _changes("Still violates", c.still_violates, "", brief=True)
    yield _not_compared(c)
    yield _settings(c)


def _changes(title: str, changes: Sequence[Change], verdict: str, brief: bool = False) -> Section:
    items = [_item(change, brief) for change in changes[:_MOST]]
    more = f"{len(changes) - _MOST} more: --json has all." if len(changes) > _MOST else ""
    return Section(title, items, note=more, verdict=verdict)


def _item(change: Change, brief: bool) -> Item:
    title = requirement_title(change.requirement) if change.requirement else change.message
    head = f"{change.implementation}, {change.operator}: {title}"
    if brief or not change.requirement:
        return Item(head)
    text = f"{change.message}, in {plural(change.cells, 'cell')}"
    if change.cases:
        text += f" and {plural(change.cases, 'case')} that both have"
    shown = change.violation
    if shown is None:
        return Item(head, text)
    return Item(head, f"{text}: {shown.message}", (shown.case, shown.replay))


def _speeds(title: str, changed: Sequence[Speed], rule: str, verdict: str) -> Section:
    rows = [
        (s.implementation, s.layer, seconds(s.old), seconds(s.new), _times(s.factor))
        for s in changed
    ]
    header = ("implementation", "layer", "old median", "new median", "time")
    return Section(
        title, table=Table(header, "llrrr", rows) if rows else None, note=rule, verdict=verdict
    )


def _times(factor: float) -> str:
    return f"{factor:.3g} times" if factor >= 1 else f"1/{1 / factor:.3g}"


def _not_compared(c: Comparison) -> Section:
    rows = [
        (m.implementation, m.operator or "all", str(m.cells or "all"), m.side, m.reason)
        for m in c.missing
    ]
    header = ("implementation", "operator", "cells", "missing in", "why")
    return Section(
        "Not compared",
        [Item(c.speeds.note)] if c.speeds.note else (),
        table=Table(header, "llrll", rows) if rows else None,
    )


def _settings(c: Comparison) -> Section:
    rows = [(s.kind, s.name, s.old, s.new) for s in c.settings]
    table = Table(("what", "name", "old", "new"), "llll", rows) if rows else None
    return Section("What else differs", table=table)


def comparison_json(c: Comparison) -> dict[str, Any]:
    """Return the comparison as a dict for strict JSON (docs/schema/comparison.schema.json)."""
    return {
        "format": "convformance-comparison-1",
        "old": _run(c.old),
        "new": _run(c.new),
        "headline": c.headline,
        "regression": c.is_regression,
        "implementations": [{"old": old, "new": new} for old, new in c.names],
        "cells": c.cells,
        "cases": c.cases,
        "only_old": c.only_old,
        "only_new": c.only_new,
        "exact": c.exact,
        "newly_violates": [_change(change) for change in c.newly_violates],
        "newly_conforms": [_change(change) for change in c.newly_conforms],
        "still_violates": [_change(change) for change in c.still_violates],
        "not_compared": [
            {
                "implementation": m.implementation,
                "operator": m.operator,
                "side": m.side,
                "cells": m.cells,
                "reason": m.reason,
            }
            for m in c.missing
        ],
        "timings": c.speeds.compared,
        "factor": c.speeds.factor,
        "slower": [_speed(speed) for speed in c.speeds.slower],
        "faster": [_speed(speed) for speed in c.speeds.faster],
        "settings": [
            {"kind": s.kind, "name": s.name, "old": s.old, "new": s.new} for s in c.settings
        ],
    }


def _run(report: Report) -> dict[str, Any]:
    started = report.facts.get("started")
    return {"run": report.path, "started": started, "complete": report.complete}


def _change(change: Change) -> dict[str, Any]:
    violation = change.violation
    shown = violation_data(violation, given=_GIVEN) if violation else None
    return {
        "implementation": change.implementation,
        "operator": change.operator,
        "requirement": change.requirement,
        "cells": change.cells,
        "cases": change.cases,
        "message": change.message,
        "violation": plain(shown),
    }


_GIVEN = ("implementation", "operator", "requirement")


def _speed(speed: Speed) -> dict[str, Any]:
    return {
        "implementation": speed.implementation,
        "layer": speed.layer,
        "old": speed.old,
        "new": speed.new,
        "factor": round(speed.factor, 4),
        "chance": speed.chance,
    }
