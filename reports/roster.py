"""What the first screen of a page answers: who conforms, who does not and where, who is fastest."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from conformance.reports.model import Report
from conformance.reports.order import by_operator, worst_verdict
from conformance.reports.text import plural
from conformance.runfile.text import one_line

_NAMED = 3


@dataclass(frozen=True, slots=True)
class Member:
    """An implementation under its verdict, and the operators that it is for."""

    name: str
    version: str
    where: tuple[str, ...]
    """The operators with this verdict, unless all have it; if they are many, how many."""


def roster(report: Report) -> list[tuple[str, list[Member]]]:
    """Return the implementations by verdict, the worst first."""
    groups: dict[str, list[Member]] = {}
    for one in report.implementations:
        cells = [cell for cell in report.cells if cell.implementation == one.name]
        own = {cell.operator for cell in cells if cell.verdict == one.verdict}
        all_of_them = own == {cell.operator for cell in cells}
        where = () if all_of_them else tuple(sorted(own, key=by_operator))
        if len(where) > _NAMED:
            where = (plural(len(where), "operator"),)
        groups.setdefault(one.verdict, []).append(Member(one.name, one.version, where))
    ordered = []
    while groups:
        worst = worst_verdict(groups)
        ordered.append((worst, groups.pop(worst)))
    return ordered


def fastest(report: Report) -> str:
    """Return who is the fastest on how many timed layers, in one line; nothing without timings."""
    layers = [
        next((t.implementation for t in timings if t.is_verified and t.median is not None), None)
        for _, timings in report.layers()
    ]
    wins = Counter(name for name in layers if name is not None)
    if not wins:
        return ""
    parts = [f"{name} on {count}" for name, count in wins.most_common()]
    return f"{', '.join(parts)} of {plural(len(layers), 'timed layer')}"


def what_was_run(report: Report) -> str:
    """Return what was run, on what and when, in one line."""
    facts = report.facts
    machine = facts.get("machine")
    machine = machine if isinstance(machine, dict) else {}
    dtypes = {cell.dtype for cell in report.cells}
    parts: list[Any] = [
        f"tier {facts['tier']}" if "tier" in facts else "",
        plural(len(report.operators), "operator") if report.cells else "",
        plural(len(dtypes), "dtype") if dtypes else "",
        f"seed {facts['seed']}" if "seed" in facts else "",
        machine.get("cpu", ""),
        facts.get("started", ""),
    ]
    return one_line(" · ".join(str(part) for part in parts if part))
