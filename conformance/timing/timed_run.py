"""Timing implementations on layers of real networks, and verifying what was timed.

Each layer is warmed up, and then timed in interleaved rounds (`conformance.timing.rounds`). Every
element of the output of every timed call is verified (`conformance.large.projection`), and whether
the times can be believed is looked at from outside (`conformance.timing.believing`).
"""

from __future__ import annotations

import contextlib
import secrets
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from conformance.arrays import interpreters
from conformance.isolation.process import Ended, StartError
from conformance.registration.implementation import Implementation
from conformance.registration.place import Limits, Place
from conformance.runfile.file import RunFile
from conformance.runfile.tables import Gap, Timing
from conformance.runfile.words import CONFORMS, UNSUPPORTED, VIOLATES
from conformance.running.rows import machine, now, of_implementation
from conformance.running.selection import options_of
from conformance.spec.layers import Layer
from conformance.timing import processes
from conformance.timing import threads as thread_pools
from conformance.timing.believing import Machine
from conformance.timing.callers import Caller, InWorker, caller_of
from conformance.timing.figures import Skipped, figures
from conformance.timing.operations import moved
from conformance.timing.rates import copy_bandwidth, matmul_gflops
from conformance.timing.rounds import Contender, Measurement, admit
from conformance.timing.timing_plan import TimingPlan, TimingSelection, resolve, thread_counts

FASTEST = "the fastest of each layer"
"""The name of the baseline if none is chosen."""

_CONTROL = "conformance.timing.control"
"""The module whose calls do nothing; only its worker loads it."""
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
    def believed(self) -> bool:
        """Whether every time can be believed, and every output is correct."""
        return all(timing.is_believed for timing in self.timings)

    @property
    def exit_status(self) -> int:
        """The exit status of the command: 1 if an output is wrong or a time not believable.

        It is 3 if no call was timed.
        """
        if not self.believed:
            return 1
        return 0 if any(timing.calls for timing in self.timings) else 3


@options_of(TimingSelection)
def time(selection: TimingSelection) -> Timings:
    """Time implementations on layers, write ``output``/run.sqlite, and return the timings.

    The arguments are the fields of `TimingSelection`, implementations and layers first. Each
    implementation makes ``warmup`` calls of a layer, then some a round, in random order, until
    ``rounds`` are done, or else ``precision`` is reached, or its ``seconds`` are used up; one whose
    single call would exceed these is skipped. The calls are made in workers, but for functions that
    this process alone knows. Layout conversion and verification are not timed. Raises
    `ConformanceError` for a selection that names nothing.
    """
    return time_selection(selection)


def time_selection(selection: TimingSelection) -> Timings:
    """Do what `time` does, for a given selection."""
    with thread_pools.environment(thread_counts(selection.threads)[0]):  # before a worker starts
        plan = resolve(selection)
        with contextlib.closing(RunFile(Path(selection.output) / "run.sqlite")) as file:
            return _execute(plan, file)


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
        threads=plan.threads[0] if len(plan.threads) == 1 else list(plan.threads),
        load=processes.load(),
        spec={"source": plan.spec.source, "digest": plan.spec.digest},
        command=selection.command,
        **({"kernels": "in their interpreters"} if interpreters.is_on() else {}),
        started=now(),
    )
    total = _STEPS * len(plan.layers) * len(plan.threads)
    rates: dict[str, float] = {}
    timings: list[Timing] = []
    skipped: list[Skipped] = []
    for number, threads in enumerate(plan.threads):

        def tick(done: float, activity: str, number: int = number) -> None:
            progress(int(_STEPS * (number * len(plan.layers) + done)), total, activity)

        found, gaps, measured = _on_threads(plan, threads, file, tick)
        timings += found
        skipped += gaps
        several = len(plan.threads) > 1
        rates |= {f"{d}, {threads} threads" if several else d: r for d, r in measured.items()}
    with thread_pools.limited(plan.threads[0]):
        file.record(machine=machine(plan.implementations))
    file.add(
        of_implementation(implementation, _verdict(implementation, timings))
        for implementation in plan.implementations
    )
    file.record(matmul_gflops=rates, finished=now())
    progress(total, total, "done")
    return Timings(file.path, tuple(timings), tuple(skipped), rates)


def _on_threads(
    plan: TimingPlan, threads: int, file: RunFile, tick: Callable[[float, str], None]
) -> tuple[list[Timing], list[Skipped], dict[str, float]]:
    """Time all layers on so many threads; return the timings, the gaps, and matrix products."""
    rates: dict[str, float] = {}
    timings: list[Timing] = []
    skipped: list[Skipped] = []
    with (
        thread_pools.environment(threads),
        thread_pools.limited(threads),
        contextlib.ExitStack() as opened,
    ):
        with thread_pools.on_cores(threads):
            callers = _callers(plan, opened)
            control = _control(callers, opened)
        for index, each in enumerate(plan.layers):
            name = f"{each.name}, {threads} threads" if len(plan.threads) > 1 else each.name
            layer = replace(each, name=name)
            dtype = _matmul_dtype(layer)  # measured before each layer, the best counts
            rates[dtype] = max(rates.get(dtype, 0.0), matmul_gflops(dtype))
            copies = copy_bandwidth(moved(layer.case))
            machine_rates = Machine(rates[dtype], copies, threads)

            def ticking(done: float, activity: str, index: int = index) -> None:
                tick(index + done, activity)

            rows, gaps = _time_layer(plan, layer, callers, control, machine_rates, ticking)
            reasons = [Gap.of(gap, reason=f"{gap.layer}: {gap.reason}", count=1) for gap in gaps]
            file.add((*rows, *reasons))
            timings += rows
            skipped += gaps
    return timings, skipped, rates


def _callers(plan: TimingPlan, opened: contextlib.ExitStack) -> dict[str, Caller | str]:
    """Return who makes the calls of each implementation, or why nobody can."""
    callers: dict[str, Caller | str] = {}
    for implementation in plan.implementations:
        if implementation.installed:
            try:
                caller = caller_of(implementation)
            except StartError as problem:
                callers[implementation.name] = f"cannot be loaded: {problem}"
            except Ended as ended:
                callers[implementation.name] = f"loading it ended its worker: {ended.how}"
            else:
                opened.callback(caller.close)
                callers[implementation.name] = caller
    return callers


def _control(callers: Mapping[str, Caller | str], opened: contextlib.ExitStack) -> InWorker | None:
    """Return what the timed calls in workers are compared with, None where there are no workers."""
    if not any(isinstance(caller, InWorker) for caller in callers.values()):
        return None
    place = Place(sys.executable, ("module", _CONTROL), "control", Limits())
    made = InWorker(place, "NCHW")
    opened.callback(made.close)
    return made


def _time_layer(
    plan: TimingPlan,
    layer: Layer,
    callers: Mapping[str, Caller | str],
    control: InWorker | None,
    machine_rates: Machine,
    tick: Callable[[float, str], None],
) -> tuple[list[Timing], list[Skipped]]:
    """Time and verify every implementation on one layer."""
    selection = plan.selection
    contenders = [Contender(i) for i in plan.implementations if i.installed]
    for number, c in enumerate(contenders):
        tick(0.2 * number / len(contenders), f"{layer.name}: trying {c.implementation.name}")
        found = callers[c.implementation.name]
        if isinstance(found, str):
            c.skipped = found
        else:
            c.caller = found
            admit(c, layer.case, selection.seconds)
    measurement = Measurement(
        layer.case,
        contenders,
        control,
        entropy=secrets.randbits(64),
        seconds=selection.seconds,
    )
    with thread_pools.limited(machine_rates.threads):  # an engine may just have been loaded
        measurement.measure(
            rounds=selection.rounds,
            warmup=selection.warmup,
            precision=selection.precision,
            tick=lambda done: tick(0.2 + 0.8 * done, f"{layer.name}: timing"),
        )
    called = [c for c in contenders if c.samples or c.ended]
    rows = figures(layer, called, measurement.overheads, plan.baseline, machine_rates)
    if any(row.doubt for row in rows):  # before anybody is doubted, the machine has a second try
        products = matmul_gflops(_matmul_dtype(layer))
        copies = copy_bandwidth(moved(layer.case), seconds=0.1)
        machine_rates = replace(
            machine_rates,
            gflops=max(products, machine_rates.gflops),
            bandwidth=max(copies, machine_rates.bandwidth),
        )
        rows = figures(layer, called, measurement.overheads, plan.baseline, machine_rates)
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
    return CONFORMS if all(timing.is_believed for timing in own) else VIOLATES


def _matmul_dtype(layer: Layer) -> str:
    """Return the dtype of the matrix product to compare with; half types are summed in float32."""
    return "float64" if layer.case.dtype == "float64" else "float32"
