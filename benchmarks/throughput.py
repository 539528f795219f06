"""Judgments a second of one core, next to plain property tests that do the same work.

A judgment is one implementation's result on one case, compared with what is due. The plain
property test is what one writes without convformance: for one implementation after the other,
Hypothesis draws cases from the same strategy, the sizes that a run judges besides are looped over,
and ``numpy.testing.assert_allclose`` compares the result with PyTorch's. Its tolerances are so wide
that it hardly ever fails, which would cost it time.

Every round has cases of its own, as many for each way. ``cached`` finds them, their inputs and
their references in the cache, which an untimed run has filled; ``no cache`` makes them. A run is
timed as a whole, with comparing pairs and writing the run file. Both only compare results: the
property test does not ask about memory layouts, repeated calls or rejection. Seconds are CPU time
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
"""The implementations of the main job, but for naive, whose loops take as long whoever calls them,
and TensorFlow, whose violations a run shrinks and a property test does not."""
CHOSEN = {"im2col": (("im2col",), 60), "five": (ALL, 12)}
"""Implementations by title, and how many cases an operator and dimension are generated for them."""
BATCH = (1, 2, 3)
"""No empty batch, which TensorFlow fails on: shrinking is no part of what is compared."""


def plain(names: tuple[str, ...], examples: int, number: int) -> float:
    """Return the comparisons a second of plain property tests, one an implementation."""
    compared = 0
    started = process_time()
    for name in names:
        for operator in FORWARD:
            compared += _property_test(name, operator, examples, number)
    return compared / (process_time() - started)


def _property_test(name: str, operator: str, examples: int, number: int) -> int:
    """Compare an implementation with PyTorch on drawn cases; return on how many."""
    one, torch = get(name).functions[operator], get("torch").functions[operator]
    layout = get(name).layout
    signature = SIGNATURES[operator]
    compared = 0
    rejected: list[Case] = []

    def compare(case: Case) -> None:
        nonlocal compared
        inputs = make_inputs(case)
        try:
            expected = torch(*inputs, **case.parameters)
            got = one(*to_layout(inputs, layout, signature.roles), **case.parameters)
        except Unsupported:
            return
        except Exception:  # a finding, whatever it is
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
    further = derived(operator, dims, DTYPES, (), [], examples)
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
        isolate=False,  # CPU time of this process is what is measured
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
                judged(installed, examples, True, folder, number)  # imports; fills the cache
        results = interleaved(works, ROUNDS)
    rows = [
        (name, summary(values, 0), summary(ratios(values, results[baselines[name]]), 1))
        for name, values in results.items()
    ]
    title = f"Judgments a CPU second, {ROUNDS} rounds of cases of their own"
    print_table(title, ("", "median", "times the plain tests"), rows)


if __name__ == "__main__":
    main()
