"""The cost of a generated case's exact reference, next to generating the case and its inputs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from time import perf_counter
from typing import TypeAlias

from benchmarks.measure import interleaved, print_table, summary, use_one_core
from conformance.case import Case
from conformance.cases.data import make_inputs
from conformance.cases.ranges import Ranges
from conformance.cases.strategies import generate
from conformance.operators import OPERATORS
from conformance.operators.base import Inputs

CASES = 300
ROUNDS = 5
Block: TypeAlias = list[tuple[Case, Inputs]]


def reference_cost(block: Block, number: int) -> float:
    """Return the mean time of a reference in milliseconds."""
    started = perf_counter()
    for case, inputs in block:
        OPERATORS[case.operator].reference(case, inputs)
    return 1e3 * (perf_counter() - started) / len(block)


def dearest(block: Block) -> float:
    """Return the time of the dearest reference in milliseconds."""
    return max(reference_cost([entry], 0) for entry in block)


def main() -> None:
    """Measure and print."""
    use_one_core()
    blocks: dict[str, Block] = {}
    preparing: dict[str, Sequence[str]] = {}
    for operator in OPERATORS:
        for dims in Ranges().dims:
            name = f"{operator} {dims}-D"
            started = perf_counter()
            cases = generate(operator, Ranges(), dims=dims, count=CASES, seed_value=0)
            generated = perf_counter()
            blocks[name] = [(case, make_inputs(case)) for case in cases]
            filled = perf_counter()
            milliseconds = [
                1e3 * part / len(cases) for part in (generated - started, filled - generated)
            ]
            preparing[name] = [f"{part:.3f}" for part in milliseconds]
    works = {name: partial(reference_cost, block) for name, block in blocks.items()}
    interleaved(works, 1)
    results = interleaved(works, ROUNDS)
    rows = [
        (name, *preparing[name], summary(values, 3), f"{dearest(blocks[name]):.2f}")
        for name, values in results.items()
    ]
    mean = [sum(values) / len(results) for values in zip(*results.values(), strict=True)]
    rows.append(("all", "", "", summary(mean, 3), ""))
    header = ("", "generating", "inputs", "reference", "dearest reference")
    print_table(f"Milliseconds a case, mean of {CASES} cases, {ROUNDS} rounds", header, rows)


if __name__ == "__main__":
    main()
