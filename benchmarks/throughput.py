"""Judgments a second of one core, next to plain property tests that do the same work.

A judgment is the comparison of one implementation's result on one case with the exact result. The
plain property test is the one that a user writes without convformance. For one implementation after
the other, Hypothesis draws cases from the same strategy, a loop adds the sizes that a run judges as
well, and ``numpy.testing.assert_allclose`` compares the results with PyTorch's. Its tolerances are
so wide that it hardly ever fails, since a failure would cost it time.

Every round has its own cases, the same number for each way. ``cached`` reads the cases, their
inputs and their references from the cache, which an untimed run has filled; ``no cache`` makes
them. A run is timed as a whole, including the comparison of pairs and the writing of the run file.
Both only compare results: the property test does not test memory layouts, repeated calls or
rejection. Seconds are CPU time
of one core.
"""

from __future__ import annotations

import os
import tempfile
from functools import cache, partial
from pathlib import Path
from time import process_time

import numpy as np
from hypothesis import given, seed
from numpy.testing import assert_allclose

import conformance
from benchmarks.measure import (
    Work,
    drawing,
    interleaved,
    print_table,
    ratios,
    summary,
    use_one_core,
)
from conformance import Unsupported
from conformance.calling import from_layout, to_layout
from conformance.case import Case
from conformance.cases.data import make_inputs
from conformance.cases.derived import derived
from conformance.cases.ranges import Ranges
from conformance.cases.strategies import cases
from conformance.operators import FORWARD
from conformance.registration.registry import get
from conformance.signatures import SIGNATURES

ROUNDS = 3
DTYPES = ("float32", "float64")
ALL = ("im2col", "kernel-matrix", "stride-trick", "shifted-matmul", "torch")
"""The implementations of the main job without two: naive, whose loops take the same time in both
ways, and TensorFlow, whose violations a run shrinks and a property test does not."""
CHOSEN = {"im2col": (("im2col",), 60), "five": (ALL, 12)}
"""Title: the implementations, and how many cases are generated an operator and dimension."""
BATCH = (1, 2, 3)
"""There is no empty batch, on which TensorFlow fails: shrinking is not to be timed."""


def plain(names: tuple[str, ...], examples: int, number: int) -> float:
    """Return the comparisons a second of the plain property tests of all ``names``."""
    compared = 0
    started = process_time()
    for name in names:
        for operator in FORWARD:
            compared += _property_test(name, operator, examples, number)
    return compared / (process_time() - started)


def _property_test(name: str, operator: str, examples: int, number: int) -> int:
    """Compare an implementation with PyTorch on drawn cases; return the number of comparisons."""
    function, expected_of = get(name).functions[operator], get("torch").functions[operator]
    layout = get(name).layout
    signature = SIGNATURES[operator]
    compared = 0
    rejected: list[Case] = []

    def compare(case: Case) -> None:
        nonlocal compared
        inputs = make_inputs(case)
        try:
            expected = expected_of(*inputs, **case.parameters)
            got = function(*to_layout(inputs, layout, signature.roles), **case.parameters)
        except Unsupported:
            return
        except Exception:  # any exception is a finding
            rejected.append(case)
            return
        compared += 1
        try:
            scale = float(np.max(np.abs(expected), initial=0.0))
            got = from_layout(got, layout, signature.result)
            assert_allclose(got, expected, rtol=1e-3, atol=1e-3 * scale)
        except AssertionError:
            rejected.append(case)

    ranges = Ranges(batch=BATCH)
    for dims in ranges.dims:
        for case in _sizes(operator, dims, examples):
            compare(case)
        seed(number)(drawing(examples)(given(cases(operator, ranges, dims=dims))(compare)))()
    if rejected:
        print(f"the plain property test of {name} fails on {rejected[0].id}")
    return compared


@cache
def _sizes(operator: str, dims: int, examples: int) -> tuple[Case, ...]:
    """Return the cases that a run judges beside the generated ones: sizes of blocks and indices."""
    further = derived(operator, dims, Ranges(), (), [], examples)
    return tuple(case for case in further if case.check == "result")


def judged(names: tuple[str, ...], examples: int, cache: bool, folder: Path, number: int) -> float:
    """Return the judgments a second of a run."""
    started = process_time()
    run = conformance.run(
        names,
        operators=FORWARD,
        dtypes=DTYPES,
        checks=("result",),
        suites=(),
        tier="smoke",
        spec=folder / "spec.toml",
        examples=examples,
        seconds=600,
        seed=number,
        cache=cache,
        output=folder,
        isolate=False,  # the CPU time of this process is measured
    )
    return sum(cell.compared for cell in run.cells) / (process_time() - started)


def main() -> None:
    """Measure and print."""
    use_one_core()
    baselines: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
        (folder / "spec.toml").write_text(f"[ranges]\nbatch = {list(BATCH)}\n")
        works: dict[str, Work] = {}
        for title, (names, examples) in CHOSEN.items():
            installed = tuple(name for name in names if get(name).installed)
            plainly = f"{title}: plain property tests"
            works[plainly] = partial(plain, installed, examples)
            works[f"{title}: no cache"] = partial(judged, installed, examples, False, folder)
            works[f"{title}: cached"] = partial(judged, installed, examples, True, folder)
            baselines |= dict.fromkeys(list(works)[-3:], plainly)
            for number in range(ROUNDS):
                judged(
                    installed, examples, True, folder, number
                )  # this imports engines, and fills the cache
        results = interleaved(works, ROUNDS)
    rows = [
        (name, summary(values, 0), summary(ratios(values, results[baselines[name]]), 1))
        for name, values in results.items()
    ]
    title = f"Judgments a CPU second, {ROUNDS} rounds of cases of their own"
    print_table(title, ("", "median", "times the plain tests"), rows)


if __name__ == "__main__":
    main()
