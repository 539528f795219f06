"""Gaps whose reasons differ in numbers alone, as one reason with the range of each number."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from decimal import Decimal

from conformance.reports.order import grouped
from conformance.runfile.tables import Gap

_NUMBER = re.compile(r"(?<![\w.,-])(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?![\w-]|[.,]\d)")
"""A number that stands by itself: not that of float16, 2-D or version 2.13.1."""


def ranged(gaps: Iterable[Gap]) -> Iterator[Gap]:
    """Yield one gap for those of an implementation and operator that differ in numbers alone.

    Its reason names the smallest and the largest of each number: ``1,024 to 9,000,000 elements``.
    """
    groups = grouped(gaps, lambda gap: (gap.implementation, gap.operator, _pattern(gap.reason)))
    for rows in groups.values():
        numbers = zip(*(_NUMBER.findall(gap.reason) for gap in rows), strict=True)
        texts = _NUMBER.split(rows[0].reason)
        spans = [*map(_span, numbers), ""]
        reason = "".join(text + span for text, span in zip(texts, spans, strict=True))
        yield replace(rows[0], reason=reason, count=sum(gap.count for gap in rows))


def _pattern(reason: str) -> str:
    return _NUMBER.sub("0", reason)


def _span(texts: tuple[str, ...]) -> str:
    """Return the one number that all texts are, or the smallest and the largest of them."""
    if len(set(texts)) == 1:
        return texts[0]
    values = sorted(Decimal(text.replace(",", "")) for text in texts)
    return f"{values[0]:,} to {values[-1]:,}"
