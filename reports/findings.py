"""A finding in words: its title, where it shows, and what to declare of calls that nobody makes."""

from __future__ import annotations

from conformance.reports.model import Finding, Report
from conformance.reports.text import plural, requirement_title
from conformance.requirements import SEVERITIES

_MANY = 1 / 5
"""An implementation that accepts a larger share of invalid calls hardly checks its arguments: the
others fail by themselves, such as a division by a stride of 0 or a product of unequal shapes."""


def title(finding: Finding) -> str:
    """Return the requirement with its title, or how many requirements on invalid calls."""
    if finding.rejections:
        return f"{len(finding.requirements)} requirements on invalid calls"
    return requirement_title(finding.smallest.requirement)


def where(finding: Finding, most: int = 2) -> str:
    """Return the operators in which it shows: ``conv, max_pool and 3 more``."""
    names = finding.operators
    more = len(names) - most
    if not most:
        return plural(len(names), "operator")
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def reach(finding: Finding) -> str:
    """Return how many cases violate it, and in how many cells: ``smallest of 9 cases``."""
    text = f"smallest of {plural(finding.count, 'case')}"
    if finding.further:
        text += f"; the same in {plural(finding.further, 'further cell')}"
    return text


def mistake(finding: Finding) -> str:
    """Return the mistake of the smallest case, such as ``stride-zero``; empty for a valid call."""
    parts = (part.partition("=") for part in finding.smallest.case.split(":"))
    return next((value for name, _, value in parts if name == "invalid"), "")


def checks_little(report: Report, finding: Finding) -> bool:
    """Whether so many invalid calls were not rejected that a line for each kind says little."""
    accepted, made = report.invalid_calls(finding.smallest.implementation)
    return bool(finding.rejections) and accepted > _MANY * made


def advice(report: Report, finding: Finding) -> str:
    """Return what to declare if invalid calls need not be rejected; empty for another finding."""
    if finding.smallest.severity != SEVERITIES[-1]:
        return ""
    accepted, made = report.invalid_calls(finding.smallest.implementation)
    counted = f"{accepted:,} of {made:,} invalid calls were not rejected; " if made else ""
    return f'{counted}if its callers check the arguments, declare arguments="unchecked"'
