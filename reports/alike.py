"""The matrix of pairs as a row each: which one an implementation is most and least like."""

from __future__ import annotations

from dataclasses import dataclass

from conformance.reports.model import Report
from conformance.runfile.tables import Pair

MANY = 10
"""With more implementations than this, a square of all pairs cannot be read at a glance."""


@dataclass(frozen=True, slots=True)
class Alike:
    """The most and the least similar partner of an implementation, by their common outputs."""

    implementation: str
    nearest: str
    same: Pair
    """The pair with the largest share of identical elements; other families come first."""
    farthest: str
    apart: Pair
    """The pair with the largest difference, as a multiple of the bound."""


def alike(report: Report) -> tuple[Alike, ...]:
    """Return a row for each implementation that shares cases with another."""
    totals, families = report.pair_totals(), {i.name: i.family for i in report.implementations}
    rows = []
    for implementation in report.judged:
        pairs = {b: p for (a, b), p in totals.items() if a == implementation.name and p.elements}
        if not pairs:
            continue
        strangers = [name for name in pairs if families.get(name) != implementation.family]
        nearest = max(strangers or pairs, key=lambda b: pairs[b].identical / pairs[b].elements)
        farthest = max(pairs, key=lambda b: pairs[b].largest or 0.0)
        rows.append(Alike(implementation.name, nearest, pairs[nearest], farthest, pairs[farthest]))
    return tuple(rows)


def identical_groups(report: Report) -> tuple[tuple[str, ...], ...]:
    """Return the groups of implementations whose common outputs are all identical bit for bit."""
    totals = report.pair_totals()
    groups: list[list[str]] = []
    for implementation in report.judged:
        for group in groups:
            pairs = [totals.get((implementation.name, other)) for other in group]
            if all(p is not None and p.elements == p.identical > 0 for p in pairs):
                group.append(implementation.name)
                break
        else:
            groups.append([implementation.name])
    return tuple(tuple(group) for group in groups if len(group) > 1)
