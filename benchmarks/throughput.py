"""Judgments a second of one core, next to a plain property test.

A judgment is one implementation's result on one case, compared with what is due. The plain
property test is what one writes without convformance: Hypothesis draws a case from the same
strategy, and ``numpy.testing.assert_allclose`` compares im2col with PyTorch. Its tolerances are
so wide that it hardly ever fails, which would cost it time.

Every round has cases of its own. ``cached`` finds them, their inputs and their references in the
cache, which an untimed run has filled; ``no cache`` makes them. A run is timed as a whole, with
comparing pairs, shrinking what violates and writing the run file. Both only compare results: the
property test does not ask about memory layouts, repeated calls or rejection. Seconds are CPU time.
"""

from __future__ import annotations

import os
import tempfile
from functools import partial
from pathlib import Path
from time import process_time

import numpy as np
from hypothesis import HealthCheck, Phase, given, seed, settings
from numpy.testing import assert_allclose

import conformance
from benchmarks.measure import interleaved, print_table, ratios, summary, use_one_core
from conformance import Unsupported
from conformance.case import Case
from conformance.cases.data import make_inputs
from conformance.cases.strategies import cases
from conformance.operators import FORWARD
from conformance.registry import get, implementations
from conformance.spec.ranges import Ranges

EXAMPLES = 100
"""Cases an operator and dimension."""
ROUNDS = 3
PLAIN = "plain property test, im2col against torch"


def plain(number: int) -> float:
    """Return the comparisons a second of the plain property test."""
    im2col, torch = get("im2col").functions, get("torch").functions
    compared = 0
    rejected: list[Case] = []

    def compare(case: Case) -> None:
        nonlocal compared
        inputs = make_inputs(case)
        try:
            expected = torch[case.operator](*inputs, **case.parameters)
        except Unsupported:
            return
        got = im2col[case.operator](*inputs, **case.parameters)
        compared += 1
        try:
            scale = float(np.max(np.abs(expected), initial=0.0))
            assert_allclose(got, expected, rtol=1e-3, atol=1e-3 * scale)
        except AssertionError:
            rejected.append(case)

    everything = settings(
        max_examples=EXAMPLES,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    started = process_time()
    for operator in FORWARD:
        for dims in Ranges().dims:
            seed(number)(everything(given(cases(operator, dims=dims))(compare)))()
    seconds = process_time() - started
    for case in rejected:
        print(f"the plain property test fails on {case.id}")
    return compared / seconds


def judged(names: tuple[str, ...], cache: bool, folder: Path, number: int) -> float:
    """Return the judgments a second of a run."""
    started = process_time()
    run = conformance.run(
        names,
        operators=FORWARD,
        checks=("result", "purity", "declare"),
        suites=(),
        examples=EXAMPLES,
        seconds=600,
        seed=number,
        cache=cache,
        output=folder,
    )
    return sum(cell.compared for cell in run.cells) / (process_time() - started)


def main() -> None:
    """Measure and print."""
    use_one_core()
    every = tuple(name for name, one in implementations().items() if one.installed)
    fast = tuple(name for name in every if name != "naive")  # its loops take most of the time
    chosen = {"im2col": ("im2col",), f"all {len(fast)} but naive": fast, f"all {len(every)}": every}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
        works = {PLAIN: plain}
        for title, names in chosen.items():
            works[f"{title}, no cache"] = partial(judged, names, False, folder / "run")
            works[f"{title}, cached"] = partial(judged, names, True, folder / "run")
        judged(every, False, folder / "run", 0)  # imports the backends
        for number in range(ROUNDS):
            judged(("im2col",), True, folder / "run", number)  # fills the cache
        results = interleaved(works, ROUNDS)
    rows = [
        (name, summary(values, 0), summary(ratios(values, results[PLAIN]), 1))
        for name, values in results.items()
    ]
    cases_a_round = EXAMPLES * len(FORWARD) * len(Ranges().dims)
    title = f"Judgments a CPU second, {cases_a_round} generated cases a round, {ROUNDS} rounds"
    print_table(title, ("", "median", "times the plain test"), rows)


if __name__ == "__main__":
    main()
