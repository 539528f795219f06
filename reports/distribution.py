"""How errors are distributed, in units of the bound: a small histogram for each dtype."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from conformance.reports.model import Report
from conformance.reports.order import by_dtype, grouped
from conformance.runfile import shares
from conformance.runfile.tables import Implementation

WIDTH, HEIGHT, _BAR = 9 * shares.RANGES, 30, 7


@dataclass(frozen=True, slots=True)
class Histogram:
    """How many cases have a largest error in each range of shares of the bound."""

    counts: tuple[int, ...]

    @property
    def cases(self) -> int:
        return sum(self.counts)

    @property
    def beyond(self) -> int:
        """The number of cases beyond the bound."""
        return self.counts[-1]

    @property
    def words(self) -> str:
        """The counts as text, which is what a picture cannot be read out as."""
        parts = zip(shares.LABELS, self.counts, strict=True)
        return ", ".join(f"{label}: {count:,}" for label, count in parts if count)

    @property
    def bars(self) -> Iterator[tuple[int, float, int, float, bool]]:
        """Yield x, y, width, height of each bar that is not empty, and whether it is wrong.

        Heights grow with the square root of the counts, so that few cases are seen beside many. The
        bar of exact results, which are most of them, is cut where it is higher than all others.
        """
        most = max(self.counts[1:]) or self.counts[0]
        for position, count in enumerate(self.counts):
            if count:
                height = max(2.0, round((HEIGHT - 2) * min(count / most, 1.0) ** 0.5, 1))
                wrong = position == shares.RANGES - 1
                yield 1 + 9 * position, round(HEIGHT - height, 1), _BAR, height, wrong


def distributions(
    report: Report,
) -> tuple[tuple[str, ...], list[tuple[Implementation, list[Histogram | None]]]]:
    """Return the dtypes, and a histogram of each for every implementation that was compared."""
    counts: dict[tuple[str, str], Histogram] = {}
    for key, cells in grouped(report.cells, lambda cell: (cell.implementation, cell.dtype)).items():
        added = tuple(map(sum, zip(*(shares.read(cell.errors) for cell in cells), strict=True)))
        if any(added):
            counts[key] = Histogram(added)
    dtypes = tuple(sorted({dtype for _, dtype in counts}, key=by_dtype))
    rows = [(i, [counts.get((i.name, dtype)) for dtype in dtypes]) for i in report.implementations]
    return dtypes, [(i, row) for i, row in rows if any(row)]
