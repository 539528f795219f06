"""How times grow along a sweep: the exponent of the dimension, fitted by least squares."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from conformance.reports.model import Report
from conformance.reports.order import grouped
from conformance.runfile.tables import Timing


@dataclass(frozen=True, slots=True)
class Growth:
    """The exponent of one implementation on one layer: time ~ dimension ** exponent."""

    implementation: str
    layer: str
    threads: int
    dimension: str
    values: tuple[int, ...]
    exponent: float
    work: float
    """That of the multiply-accumulates."""


def growth(report: Report) -> Iterator[Growth]:
    """Yield the exponents of all sweeps that have two values at least."""
    swept = [t for t in report.timings if t.swept and t.median and t.is_believed]
    for key, rows in grouped(swept, lambda t: (t.base, t.threads, t.implementation)).items():
        values = tuple(sorted({t.value for t in rows}))
        if len(values) > 1:
            layer, threads, name = key
            times = exponent(rows, [t.median or 0.0 for t in rows])
            work = exponent(rows, [float(t.macs) for t in rows])
            yield Growth(name, layer, threads, rows[0].swept, values, times, work)


def exponent(rows: Sequence[Timing], amounts: Sequence[float]) -> float:
    """Return the slope of log(amount) over log(value)."""
    x = [math.log(t.value) for t in rows]
    y = [math.log(amount) for amount in amounts]
    middle = sum(x) / len(x)
    return sum((a - middle) * b for a, b in zip(x, y, strict=True)) / sum(
        (a - middle) ** 2 for a in x
    )
