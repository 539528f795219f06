"""The ladder of docs/course.md: what each implementation of the course gains, from measured times.

python -m benchmarks.ladder ladder/run.sqlite            the table of a run of `convformance time`
python -m benchmarks.ladder ladder/run.sqlite --write    and write it into docs/course.md
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

from tabulate import tabulate

from conformance.reports import Report, load
from conformance.reports.text import mebibytes, number, percentage, seconds

PAGE = Path(__file__).parents[1] / "docs" / "course.md"
_MARKED = re.compile(r"(<!-- ladder -->\n).*?(<!-- /ladder -->)", re.DOTALL)
HEADER = ("implementation", "time of a call", "GFLOP/s", "share of peak", "memory")


def ladder(report: Report) -> Iterator[str]:
    """Yield a table for each layer, the slowest implementation first; what is wrong is left out."""
    machine = report.facts["machine"]
    yield f"Measured on {machine['cpu']}, one thread, in float32."
    for layer, timings in report.layers():
        believed = [t for t in timings if t.is_believed and t.median]
        rows = [
            (
                t.implementation,
                seconds(t.median),
                number(t.gflops),
                percentage(t.peak),
                mebibytes(t.memory),
            )
            for t in sorted(believed, key=lambda t: -(t.median or 0.0))
        ]
        align = ("left", *["right"] * (len(HEADER) - 1))
        table = tabulate(rows, HEADER, "pipe", colalign=align, disable_numparse=True)
        yield f"`{layer}`, {timings[0].macs:,} multiply-accumulates:"
        yield table


def main() -> None:
    """Print the tables, or write them into the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    text = "\n\n".join(ladder(load(options.run))) + "\n"
    print(text)
    if options.write:
        page = PAGE.read_text(encoding="utf-8")
        PAGE.write_text(_MARKED.sub(rf"\g<1>{text}\g<2>", page), encoding="utf-8")


if __name__ == "__main__":
    main()
