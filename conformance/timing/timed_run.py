"""Timing implementations on layers of real networks, and verifying what was timed.

Each layer is warmed up, and then timed in interleaved rounds (`conformance.timing.rounds`). Then
every element of the outputs of timed calls is verified (`conformance.large.projection`). The data
changes from call to call: a kernel that drifts, caches, or skips work while it is timed is found.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np

from conformance.arrays import interpreters
from conformance.large.projection import verifier
from conformance.registration.implementation import Implementation
from conformance.runfile.file import RunFile
from conformance.runfile.tables import Gap, Timing
from conformance.runfile.words import CONFORMS, UNSUPPORTED, VIOLATES
from conformance.running.rows import machine, now, of_implementation
from conformance.running.selection import options_of
from conformance.spec.layers import Layer
from conformance.timing import threads as thread_pools
from conformance.timing.figures import Skipped, figures, with_peak
from conformance.timing.rounds import Bench, Contender, admit, measure
from conformance.timing.timing_plan import TimingPlan, TimingSelection, resolve
from conformance.timing.verifying import verify

FASTEST = "the fastest of each layer"
"""The name of the baseline if none is chosen."""

_STEPS = 1000
"""The number of progress steps in a layer."""


@dataclass(frozen=True, slots=True)
class Timings:
    """What `time` measured, and the path of its run file."""

    path: Path
    timings: tuple[Timing, ...]
    skipped: tuple[Skipped, ...]
    matmul_gflops: dict[str, float]
    """The rate of a NumPy matrix product with as many threads, by dtype."""

    @property
    def conforms(self) -> bool:
        """Whether every output that was verified is correct."""
        return all(timing.is_verified for timing in self.timings)

    @property
    def exit_status(self) -> int:
        """The exit status of the command: 1 if an output is wrong, 3 if no call was timed."""
        if not self.conforms:
            return 1
        return 0 if any(timing.calls for timing in self.timings) else 3


@options_of(TimingSelection)
def time(selection: TimingSelection) -> Timings:
    """Time implementations on layers, write ``output``/run.sqlite, and return the timings.

    The arguments are the fields of `TimingSelection`, implementations and layers first. Each
    implementation makes ``warmup`` calls of a layer, then one a round, in random order, until
    ``rounds`` are done or its ``seconds`` are used up; one whose single call would exceed these is
    skipped. Layout conversion, garbage collection and verification are not timed. An engine that
    was imported before and has threads of its own does not heed ``threads``: start a new process.
    Raises `ConformanceError` for a selection that names nothing.
    """
    return time_selection(selection)


def time_selection(selection: TimingSelection) -> Timings:
    """Do what `time` does, for a given selection."""
    plan = resolve(selection)
    with (
        contextlib.closing(RunFile(Path(selection.output) / "run.sqlite")) as file,
        thread_pools.environment(selection.threads),
    ):
        return _execute(plan, file)


def matmul_gflops(dtype: str, size: int = 1024, seconds: float = 0.2) -> float:
    """Return the rate of NumPy's product of two square matrices, in 10**9 operations a second.

    A product has 2 * size**3 operations. The fastest product within ``seconds`` decides.
    """
    a = np.ones((size, size), dtype)
    fastest, until = np.inf, perf_counter() + seconds
    while True:
        started = perf_counter()
        a @ a
        ended = perf_counter()
        fastest = min(fastest, ended - started)
        if ended > until:
            return float(2e-9 * size**3 / fastest)


def _execute(plan: TimingPlan, file: RunFile) -> Timings:
    selection, progress = plan.selection, plan.selection.progress or (lambda *_: None)
    file.record(
        seed=selection.seed,
        dtypes=list(dict.fromkeys(layer.case.dtype for layer in plan.layers)),
        layers=[layer.name for layer in plan.layers],
        baseline=plan.baseline.name if plan.baseline else FASTEST,
        rounds=selection.rounds,
        warmup=selection.warmup,
        seconds=selection.seconds,
        threads=selection.threads,
        spec={"source": plan.spec.source, "digest": plan.spec.digest},
        command=selection.command,
        **({"kernels": "in their interpreters"} if interpreters.is_on() else {}),
        started=now(),
    )
    total = _STEPS * len(plan.layers)
    rates: dict[str, float] = {}
    timings: list[Timing] = []
    skipped: list[Skipped] = []
    for index, layer in enumerate(plan.layers):

        def tick(done: int, activity: str, index: int = index) -> None:
            progress(_STEPS * index + done, total, activity)

        with thread_pools.limited(selection.threads):  # measured before each layer, the best counts
            dtype = _matmul_dtype(layer)
            rates[dtype] = max(rates.get(dtype, 0.0), matmul_gflops(dtype))
        rows, gaps = _time_layer(plan, index, layer, tick)
        reasons = [Gap.of(gap, reason=f"{gap.layer}: {gap.reason}", count=1) for gap in gaps]
        file.add((*rows, *reasons))
        timings += rows
        skipped += gaps
    layer_rates = {layer.name: rates[_matmul_dtype(layer)] for layer in plan.layers}
    timings = [with_peak(timing, layer_rates[timing.layer]) for timing in timings]
    file.add(timings)
    with thread_pools.limited(selection.threads):  # now that every engine is loaded
        file.record(machine=machine(plan.implementations))
    file.add(
        of_implementation(implementation, _verdict(implementation, timings))
        for implementation in plan.implementations
    )
    file.record(matmul_gflops=rates, finished=now())
    progress(total, total, "done")
    return Timings(file.path, tuple(timings), tuple(skipped), rates)


def _time_layer(
    plan: TimingPlan, index: int, layer: Layer, tick: Callable[[int, str], None]
) -> tuple[list[Timing], list[Skipped]]:
    """Time and verify every implementation on one layer."""
    selection = plan.selection
    every = [Contender(implementation) for implementation in plan.implementations]
    contenders = [c for c in every if c.implementation.installed]
    for number, c in enumerate(contenders):
        tick(200 * number // len(contenders), f"{layer.name}: trying {c.implementation.name}")
        admit(c, layer.case, selection.seconds)
    bench = Bench(layer.case, [c.implementation.layout for c in contenders])
    with thread_pools.limited(selection.threads):  # an engine may just have been loaded
        measure(
            bench,
            contenders,
            rounds=selection.rounds,
            warmup=selection.warmup,
            seconds=selection.seconds,
            rng=np.random.default_rng((selection.seed, index)),
            tick=lambda done: tick(200 + 600 * done // selection.rounds, f"{layer.name}: timing"),
        )
        tick(800, f"{layer.name}: verifying")
        verifiers = [
            verifier(bench.case, inputs, selection.seed + k) for k, inputs in enumerate(bench.sets)
        ]
        called = [c for c in contenders if c.seconds or c.raised]
        verified = {c.implementation: verify(bench, c, verifiers) for c in called}
    rows = figures(layer, called, verified, plan.baseline, selection.threads)
    gaps = [
        Skipped(c.implementation.name, layer.case.operator, layer.name, c.skipped or "")
        for c in contenders
        if c not in called
    ]
    return rows, gaps


def _verdict(implementation: Implementation, timings: Sequence[Timing]) -> str:
    """Return the verdict on the timed calls of an implementation."""
    own = [timing for timing in timings if timing.implementation == implementation.name]
    if not own:
        return UNSUPPORTED
    return CONFORMS if all(timing.is_verified for timing in own) else VIOLATES


def _matmul_dtype(layer: Layer) -> str:
    """Return the dtype of the matrix product to compare with; half types are summed in float32."""
    return "float64" if layer.case.dtype == "float64" else "float32"
