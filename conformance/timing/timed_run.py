"""Timing implementations on layers of real networks, and verifying what was timed.

Each layer is warmed up, then timed in interleaved rounds (`conformance.timing.rounds`). The outputs
of timed calls are verified afterwards, every element of them (`conformance.large.projection`), on
data that changed from call to call: a kernel that drifts, caches, or does less work when it is
timed is found out.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np

from conformance.dtypes import FLOATS, numpy_dtype
from conformance.errors import ConformanceError
from conformance.large.projection import verifier
from conformance.registration.plugins import load_plugin
from conformance.registration.registry import Implementation, find
from conformance.registration.registry import implementations as registered
from conformance.runfile.file import RunFile
from conformance.runfile.tables import Gap, Timing
from conformance.runfile.words import CONFORMS, UNSUPPORTED, VIOLATES
from conformance.running.machine import machine
from conformance.running.rows import of_implementation
from conformance.spec import Spec, load
from conformance.spec.layers import Layer, choose
from conformance.timing import threads as thread_pools
from conformance.timing.figures import Skipped, figures, with_peak
from conformance.timing.rounds import Bench, Contender, admit, measure
from conformance.timing.verifying import verify

FASTEST = "the fastest of each layer"
"""The baseline where none is named."""

Progress = Callable[[int, int, str], None]
"""Called with (steps done, steps planned, what is being done)."""

_STEPS = 1000
"""Steps of progress a layer."""


@dataclass(frozen=True, slots=True)
class Timings:
    """What `time` measured, and where its run file is."""

    path: Path
    timings: tuple[Timing, ...]
    skipped: tuple[Skipped, ...]
    matmul_gflops: dict[str, float]
    """What a NumPy matrix product attains with as many threads, by dtype."""

    @property
    def conforms(self) -> bool:
        """Whether every output that was verified is right."""
        return all(timing.is_verified for timing in self.timings)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is timed, resolved from the options of `time`."""

    implementations: tuple[Implementation, ...]
    layers: tuple[Layer, ...]
    baseline: Implementation | None
    rounds: int
    warmup: int
    seconds: float
    threads: int
    seed: int
    spec: Spec


def time(
    implementations: Iterable[object] | None = None,
    layers: Iterable[str] | None = None,
    *,
    baseline: object | None = None,
    rounds: int = 20,
    warmup: int = 2,
    seconds: float = 1.0,
    threads: int = 1,
    seed: int = 0,
    dtype: str = "float32",
    spec: Spec | str | Path | None = None,
    plugins: Iterable[str | Path] = (),
    output: str | Path = "convformance-time",
    progress: Progress | None = None,
    command: str | None = None,
) -> Timings:
    """Time implementations on layers, write ``output``/run.sqlite, and return the timings.

    ``layers`` are names from the suite of network layers, globs of them, or case ids; by default
    a handful of small ones. ``implementations`` default to those of ``plugins``, else to all that
    are installed; ratios are to ``baseline``, else to the fastest that conforms, layer by layer.

    Each implementation makes ``warmup`` calls of a layer, then one a round, in random order, until
    ``rounds`` are done or its time budget, ``seconds``, is used up; one whose single call would
    exceed it is skipped. ``threads`` is set for every BLAS and OpenMP runtime, and for engines that
    are imported from now on; for one that was imported earlier and has threads of its own, start a
    new process. Layout conversion, garbage collection and verification are not timed.

    Raises `ConformanceError` for a selection that names nothing.
    """
    loaded = [found for plugin in plugins for found in load_plugin(plugin)]
    for name, value, least in (
        ("rounds", rounds, 1),
        ("warmup", warmup, 0),
        ("threads", threads, 1),
    ):
        if value < least:
            raise ConformanceError(f"{name}={value}; a whole number, {least} or more")
    if not seconds > 0:
        raise ConformanceError(f"seconds={seconds}; a positive number")
    if dtype not in FLOATS:
        raise ConformanceError(f"dtype '{dtype}' cannot be timed; choose {', '.join(FLOATS)}")
    numpy_dtype(dtype)  # raises where its package is missing
    spec = spec if isinstance(spec, Spec) else load(spec)
    chosen = _choose(implementations, loaded)
    plan = Plan(
        implementations=chosen,
        layers=choose(layers, spec, dtype=dtype, seed=seed),
        baseline=_baseline(baseline, chosen),
        rounds=rounds,
        warmup=warmup,
        seconds=seconds,
        threads=threads,
        seed=seed,
        spec=spec,
    )
    file = RunFile(Path(output) / "run.sqlite")
    try:
        with thread_pools.environment(threads):
            return _execute(plan, file, progress or (lambda *_: None), command)
    finally:
        file.close()


def _choose(
    chosen: Iterable[object] | None, loaded: Sequence[Implementation]
) -> tuple[Implementation, ...]:
    if chosen is None:
        selected = list(loaded) or [
            one for one in registered().values() if one.installed or one.package
        ]
    else:
        selected = [find(one) for one in chosen]
        for one in selected:
            if not one.installed:
                raise ConformanceError(f"implementation '{one.name}' is {one.hint}")
    if not selected:
        raise ConformanceError("no implementation is registered; see `convformance list`")
    return tuple(dict.fromkeys(selected))


def _baseline(baseline: object | None, chosen: Sequence[Implementation]) -> Implementation | None:
    if baseline is None:
        return None
    found = find(baseline)
    if found not in chosen or not found.installed:
        names = ", ".join(one.name for one in chosen if one.installed)
        raise ConformanceError(f"baseline '{found.name}' is not timed; choose one of {names}")
    return found


def matmul_gflops(dtype: str, size: int = 1024, seconds: float = 0.2) -> float:
    """Return the rate of NumPy's product of two square matrices, in 10**9 operations a second.

    A product counts 2 * size**3 operations; the fastest one within ``seconds`` decides.
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


# --- executing ----------------------------------------------------------------------------------


def _execute(plan: Plan, file: RunFile, progress: Progress, command: str | None) -> Timings:
    file.record(
        seed=plan.seed,
        dtypes=list(dict.fromkeys(layer.case.dtype for layer in plan.layers)),
        layers=[layer.name for layer in plan.layers],
        baseline=plan.baseline.name if plan.baseline else FASTEST,
        rounds=plan.rounds,
        warmup=plan.warmup,
        seconds=plan.seconds,
        threads=plan.threads,
        spec={"source": plan.spec.source, "digest": plan.spec.digest},
        command=command,
        started=_now(),
    )
    total = _STEPS * len(plan.layers)
    rates: dict[str, float] = {}
    timings: list[Timing] = []
    skipped: list[Skipped] = []
    for index, layer in enumerate(plan.layers):

        def tick(done: int, what: str, index: int = index) -> None:
            progress(_STEPS * index + done, total, what)

        with thread_pools.limited(plan.threads):  # before each layer: the best of all counts
            dtype = _matmul_dtype(layer)
            rates[dtype] = max(rates.get(dtype, 0.0), matmul_gflops(dtype))
        rows, gaps = _time_layer(plan, index, layer, tick)
        file.add((*rows, *map(_gap, gaps)))
        timings += rows
        skipped += gaps
    attained = {layer.name: rates[_matmul_dtype(layer)] for layer in plan.layers}
    timings = [with_peak(timing, attained[timing.layer]) for timing in timings]
    file.add(timings)
    with thread_pools.limited(plan.threads):  # now that every engine is loaded
        file.record(machine=machine(plan.implementations))
    file.add(of_implementation(one, _verdict(one, timings)) for one in plan.implementations)
    file.record(matmul_gflops=rates, finished=_now())
    progress(total, total, "done")
    return Timings(file.path, tuple(timings), tuple(skipped), rates)


def _time_layer(
    plan: Plan, index: int, layer: Layer, tick: Callable[[int, str], None]
) -> tuple[list[Timing], list[Skipped]]:
    """Time and verify every implementation on one layer."""
    installed = [one for one in plan.implementations if one.installed]
    contenders = [Contender(one) for one in installed]
    for place, c in enumerate(contenders):
        tick(200 * place // len(contenders), f"{layer.name}: trying {c.implementation.name}")
        admit(c, layer.case, plan.seconds)
    bench = Bench(layer.case, [c.implementation.layout for c in contenders])
    with thread_pools.limited(plan.threads):  # again: an engine may just have been loaded
        measure(
            bench,
            contenders,
            rounds=plan.rounds,
            warmup=plan.warmup,
            seconds=plan.seconds,
            rng=np.random.default_rng((plan.seed, index)),
            tick=lambda done: tick(200 + 600 * done // plan.rounds, f"{layer.name}: timing"),
        )
        tick(800, f"{layer.name}: verifying")
        verifiers = [
            verifier(bench.case, inputs, plan.seed + k) for k, inputs in enumerate(bench.sets)
        ]
        called = [c for c in contenders if c.seconds or c.raised]
        verified = {c.implementation: verify(bench, c, verifiers) for c in called}
    rows = figures(layer, called, verified, plan.baseline, plan.threads)
    gaps = [
        Skipped(c.implementation.name, layer.case.operator, layer.name, c.skipped or "")
        for c in contenders
        if c not in called
    ]
    return rows, gaps


# --- what is written down -----------------------------------------------------------------------


def _gap(skipped: Skipped) -> Gap:
    return Gap.of(skipped, reason=f"{skipped.layer}: {skipped.reason}", count=1)


def _verdict(one: Implementation, timings: Sequence[Timing]) -> str:
    """Return the verdict on what was timed of an implementation."""
    verified = [timing.is_verified for timing in timings if timing.implementation == one.name]
    if not verified:
        return UNSUPPORTED
    return CONFORMS if all(verified) else VIOLATES


def _matmul_dtype(layer: Layer) -> str:
    """Return the dtype of BLAS that is compared with: the half types are summed in float32."""
    return "float64" if layer.case.dtype == "float64" else "float32"


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
