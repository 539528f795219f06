"""The positions of the marks in a timing chart: each layer has a linear or logarithmic axis."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from conformance.reports.text import seconds

_WIDEST_LINEAR = 20.0
"""Up to this ratio of the slowest to the fastest, a linear axis from zero still shows both."""


@dataclass(frozen=True, slots=True)
class Axis:
    """A time axis from ``low`` to ``high`` seconds, drawn from 0 to 100 percent of the width."""

    low: float
    high: float
    logarithmic: bool

    def position(self, value: float | None) -> float:
        """Return the position of ``value`` seconds in percent of the width, from 0 to 100."""
        if value is None or not math.isfinite(value) or self.high <= self.low:
            return 0.0
        if self.logarithmic:
            value = max(value, self.low)
            part = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            part = (value - self.low) / (self.high - self.low)
        return round(100 * min(max(part, 0.0), 1.0), 2)

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """Position and label of the grid lines: decades, or round steps on a linear axis."""
        if self.high <= self.low:
            return []
        if self.logarithmic:
            first, last = round(math.log10(self.low)), round(math.log10(self.high))
            step = 1 + (last - first) // 6
            values = [10.0**exponent for exponent in range(first, last + 1, step)]
        else:
            rough = self.high / 4
            size = 10.0 ** math.floor(math.log10(rough))
            step_size = next(m * size for m in (1, 2, 5, 10) if m * size >= rough)
            values = [step_size * i for i in range(math.floor(self.high / step_size) + 1)]
        return [(self.position(value), _label(value)) for value in values]


def axis(values: Iterable[float | None]) -> Axis:
    """Return an axis on which all of ``values`` (seconds) can be distinguished."""
    times = [v for v in values if v is not None and math.isfinite(v) and v > 0]
    if not times:
        return Axis(0.0, 0.0, logarithmic=False)
    low, high = min(times), max(times)
    if high <= _WIDEST_LINEAR * low:
        return Axis(0.0, high, logarithmic=False)
    # Begin a decade below the fastest: a bar of length zero would mean no time at all.
    floor = math.floor(math.log10(low * 0.7))
    return Axis(10.0**floor, 10.0 ** math.ceil(math.log10(high)), logarithmic=True)


def _label(value: float) -> str:
    if value == 0:
        return "0"
    text = seconds(value)
    number, unit = text.split()
    return f"{number.rstrip('0').rstrip('.') if '.' in number else number} {unit}"
