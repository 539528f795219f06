"""Which implementation each one is most and least like: a matrix of pairs in a row each."""

from __future__ import annotations

from dataclasses import dataclass

from conformance.reports.model import Report
from conformance.runfile.tables import Pair

MANY = 10
"""With more implementations than this, a square of all pairs is no longer read at a glance."""


@dataclass(frozen=True, slots=True)
class Alike:
    """One implementation's most and least similar partner, by the outputs that both computed."""

    implementation: str
    nearest: str
    same: Pair
    """With whom the largest share of elements is identical; another family comes first."""
    farthest: str
    apart: Pair
    """With whom the largest difference is, as a multiple of the bound."""


def alike(report: Report) -> tuple[Alike, ...]:
    """Return a row for each implementation that shares cases with another."""
    totals, families = report.pair_totals(), {i.name: i.family for i in report.implementations}
    found = []
    for one in report.judged:
        pairs = {b: p for (a, b), p in totals.items() if a == one.name and p.elements}
        if not pairs:
            continue
        strangers = [name for name in pairs if families.get(name) != one.family]
        nearest = max(strangers or pairs, key=lambda b: pairs[b].identical / pairs[b].elements)
        farthest = max(pairs, key=lambda b: pairs[b].largest or 0.0)
        found.append(Alike(one.name, nearest, pairs[nearest], farthest, pairs[farthest]))
    return tuple(found)


def clans(report: Report) -> tuple[tuple[str, ...], ...]:
    """Return the groups of implementations whose common outputs are all identical bit for bit."""
    totals = report.pair_totals()
    groups: list[list[str]] = []
    for one in report.judged:
        for group in groups:
            pairs = [totals.get((one.name, other)) for other in group]
            if all(p is not None and p.elements == p.identical > 0 for p in pairs):
                group.append(one.name)
                break
        else:
            groups.append([one.name])
    return tuple(tuple(group) for group in groups if len(group) > 1)
