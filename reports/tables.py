"""The tables that both the terminal and Markdown print: columns, and cells of plain text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from conformance.reports.alike import alike
from conformance.reports.differences import choices
from conformance.reports.large import counts
from conformance.reports.model import Report
from conformance.reports.text import NONE, multiple, share


@dataclass(frozen=True, slots=True)
class Table:
    """The titles of the columns, a letter for the alignment of each, and the rows."""

    header: Sequence[str]
    align: str
    """``l`` for a column of text, ``r`` for one of numbers."""
    rows: Sequence[Sequence[str]]


def agreement(report: Report) -> Table:
    """Return how each implementation and operator agrees with the reference."""
    header = ("implementation", "operator", "compared", "gaps", "reached", "worst", "verdict")
    rows = [
        (
            report.label(s.implementation),
            s.operator,
            f"{s.compared:,}",
            f"{s.unsupported:,}" if s.unsupported else NONE,
            f"{s.reached:,}/{s.planned:,}" if s.reached < s.planned else "all",
            multiple(s.worst),
            s.verdict,
        )
        for s in report.summaries()
    ]
    return Table(header, "llrrrrl", rows)


def most_and_least_alike(report: Report) -> Table:
    """Return which implementations each one is most and least like."""
    rows = [
        (
            report.label(row.implementation),
            report.label(row.nearest),
            share(row.same.identical, row.same.elements),
            report.label(row.farthest),
            multiple(row.apart.largest),
            row.apart.largest_case or "",
        )
        for row in alike(report)
    ]
    return Table(("", "most like", "identical", "least like", "apart", "at"), "llrlrl", rows)


def large(report: Report, zero: str = "0") -> Table:
    """Return the numbers of large cases of each implementation; ``zero`` is shown for none."""
    header = ("implementation", "operator", "in full", "in part", "gaps", "failed")
    rows = [
        (
            report.label(c.implementation),
            c.operator,
            *(str(count or zero) for count in (c.full, c.parts, c.unsupported, c.failed)),
        )
        for c in counts(report)
    ]
    return Table(header, "llrrrr", rows)


def conventions(report: Report, declares: str) -> Table:
    """Return who follows which alternative of each convention, and attains which accuracy.

    ``declares`` is the format of what is added to the name of an implementation of which something
    else is expected, such as ``" [{}]"``.
    """
    rows = []
    for choice in choices(report):
        for word, followers in choice.by_alternative:
            names = [
                report.label(f.implementation) + ("" if f.agrees else declares.format(f.declared))
                for f in followers
            ]
            rows.append((choice.name, choice.requirement, word, ", ".join(names)))
    return Table(("convention", "requirement", "follows", "who"), "llll", rows)
