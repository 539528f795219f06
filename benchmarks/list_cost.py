"""Wall time of ``convformance list``, next to what Python and NumPy need to start."""

from __future__ import annotations

import sys
from functools import partial

from benchmarks.measure import interleaved, print_table, seconds_of, summary

ROUNDS = 15
COMMANDS = {
    "python, doing nothing": ("-c", ""),
    "python, importing NumPy": ("-c", "import numpy"),
    "convformance list": ("-m", "conformance", "list"),
    "convformance list --json": ("-m", "conformance", "list", "--json"),
}


def main() -> None:
    """Measure and print."""

    def work(arguments: tuple[str, ...], number: int) -> float:
        return seconds_of([sys.executable, *arguments])

    works = {name: partial(work, arguments) for name, arguments in COMMANDS.items()}
    interleaved(works, 1)  # the first round reads from the disk
    results = interleaved(works, ROUNDS)
    rows = [(name, summary(values, 3), f"{max(values):.3f}") for name, values in results.items()]
    print_table(f"`convformance list`, seconds, {ROUNDS} rounds", ("", "median", "worst"), rows)


if __name__ == "__main__":
    main()
