"""The cost of isolation: calls in a worker process against the same calls in this process.

Both judge the same prepared cases with the same implementation in every round. The difference in
each round is the overhead of a judgment. A worker computes while the run judges, so on two free
cores isolation can be the faster of the two; ``one core`` confines both processes to a single core.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from functools import partial
from time import perf_counter

from benchmarks.measure import interleaved, print_table, summary
from conformance.case import Case
from conformance.cases.ranges import Ranges
from conformance.cases.strategies import generate
from conformance.isolation.dispatch import caller_of, close_all, isolated
from conformance.judging import Prepared, judge_each
from conformance.operators import FORWARD
from conformance.registration.implementation import Implementation
from conformance.registration.place import Limits
from conformance.registration.registry import get

EXAMPLES = 100
"""Cases an operator and dimension."""
ROUNDS = 9
NAME = "im2col"
BAR = 100.0
"""The microseconds by which a judgment in a worker may be slower."""


def judged(implementation: Implementation, prepared: Sequence[Prepared], number: int) -> float:
    """Return the microseconds of a judgment."""
    begun = perf_counter()
    count = sum(1 for _ in judge_each(implementation, prepared))
    return 1e6 * (perf_counter() - begun) / count


@contextlib.contextmanager
def one_core() -> Iterator[None]:
    """Confine this process, and the workers that it starts, to one core."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def main() -> None:
    """Measure and print."""
    cases: list[Case] = [
        case
        for operator in FORWARD
        for dims in Ranges().dims
        for case in generate(operator, Ranges(), dims=dims, count=EXAMPLES, seed_value=0)
    ]
    prepared = [Prepared.of(case) for case in cases]
    here = get(NAME)
    there = isolated(here, True, Limits())
    rows = []
    for where in ("one core", "all cores"):
        with one_core() if where == "one core" else contextlib.nullcontext():
            works = {
                "in process": partial(judged, here, prepared),
                "in a worker": partial(judged, there, prepared),
            }
            for work in works.values():
                work(0)  # this makes the bounds, and starts the worker
            results = interleaved(works, ROUNDS)
            started = caller_of(there).startup
            close_all()
        pairs = zip(results["in a worker"], results["in process"], strict=True)
        overhead = [slower - faster for slower, faster in pairs]
        rows.append(
            (
                where,
                *(summary(values, 0) for values in results.values()),
                summary(overhead, 0),
                f"{started:.2f}",
            )
        )
    title = f"{NAME}, {len(cases)} cases, {ROUNDS} interleaved rounds: microseconds of a judgment"
    header = ("", "in process", "in a worker", f"overhead (bar: {BAR:.0f})", "start of a worker, s")
    print_table(title, header, rows)


if __name__ == "__main__":
    main()
