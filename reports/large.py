"""Large cases in a report: layers of networks and generated shapes, counted and listed."""

from __future__ import annotations

from dataclasses import dataclass

from conformance.reports.model import Report
from conformance.reports.order import by_operator, grouped
from conformance.reports.text import percentage
from conformance.runfile.tables import Layer
from conformance.runfile.words import FAILED, UNSUPPORTED

NOTE = (
    "Layers of networks and large generated shapes, whose elements are all checked by a random "
    "projection instead of their exact values; corners, edges and some others are compared with "
    "those. In part: with all channels at fewer positions, as many as the time budget allowed."
)


@dataclass(frozen=True, slots=True)
class Count:
    """The numbers of large cases of an operator on which an implementation was judged."""

    implementation: str
    operator: str
    full: int
    parts: int
    unsupported: int
    failed: int


def counts(report: Report) -> tuple[Count, ...]:
    """Count the large cases of each implementation and operator."""
    groups = grouped(report.large, lambda row: (row.implementation, row.operator))
    positions = {i.name: position for position, i in enumerate(report.implementations)}
    order = sorted(groups, key=lambda key: (positions.get(key[0], 0), by_operator(key[1])))
    return tuple(_count(*key, groups[key]) for key in order)


def _count(implementation: str, operator: str, rows: list[Layer]) -> Count:
    judged = [row for row in rows if row.status != UNSUPPORTED]
    return Count(
        implementation,
        operator,
        full=sum(row.share == 1 for row in judged),
        parts=sum(row.share != 1 for row in judged),
        unsupported=len(rows) - len(judged),
        failed=sum(row.status in FAILED for row in judged),
    )


def outcome(row: Layer) -> str:
    """Return the status of one case, and the share of it that was judged if it is not all."""
    if row.share == 1 or row.status == UNSUPPORTED:
        return row.status
    return f"{row.status}, {percentage(row.share)} of it"
