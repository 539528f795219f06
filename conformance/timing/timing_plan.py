"""The selection of a timed run, which its caller makes, and the plan that it is resolved to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, replace
from pathlib import Path

from conformance.arrays import interpreters
from conformance.dtypes import FLOATS, meant_dtype, numpy_dtype
from conformance.errors import ConformanceError, did_you_mean
from conformance.isolation import AVAILABLE
from conformance.isolation.dispatch import isolated
from conformance.isolation.remote_plugins import load_for, load_forms
from conformance.registration.implementation import Implementation
from conformance.registration.options import split
from conformance.registration.place import Limits
from conformance.registration.registry import find, in_use
from conformance.running.selection import (
    OneOrMore,
    Progress,
    check_seconds,
    check_whole,
    choose_implementations,
    several,
)
from conformance.spec import Spec, load
from conformance.spec.layers import Layer, choose
from conformance.timing import LIMITS
from conformance.timing.threads import ALL, available_cores
from conformance.timing.variants import Sweep, varied


@dataclass(frozen=True, slots=True)
class TimingSelection:
    """The choice of what is timed, and for how long."""

    implementations: OneOrMore[object] | None = None
    """Names, registered functions, modules or `Implementation` objects. None means those of the
    plugins, or else all that are installed."""
    layers: OneOrMore[str] | None = None
    """Names of network layers, globs of them, or case ids. None means a few small layers."""
    _: KW_ONLY
    baseline: object | None = None
    """The implementation that ratios are to. None means the fastest that conforms on a layer."""
    rounds: int | None = None
    """None means as many as the precision needs, 10 at least."""
    precision: float = 0.02
    """Half of the width of ratios' 95 % confidence intervals, as a share of them."""
    warmup: int = 2
    """The number of calls of a layer before it is timed."""
    seconds: float = 1.0
    """Time budget of an implementation and layer."""
    threads: OneOrMore[int | str] = 1
    """How many threads each library may use, or several numbers; ``"all"`` is all cores."""
    batch: OneOrMore[int] = ()
    """Batch sizes, in the place of the layers' own."""
    sweep: str | None = None
    """A dimension and its values, such as ``"channels=16..512"``: batch, channels, size, kernel."""
    seed: int = 0
    dtype: OneOrMore[str] = "float32"
    """The dtype of layers that are chosen by name, or several."""
    spec: Spec | str | Path | None = None
    """A spec, or a file that overrides parts of the packaged one."""
    plugins: OneOrMore[str | Path] = ()
    """Files that register implementations; they are loaded first."""
    programs: OneOrMore[str] = ()
    """Commands that start programs; what is timed has their pipes in it."""
    libraries: OneOrMore[str | Path] = ()
    """Shared libraries; what is timed has the pipe of their worker in it."""
    imports: OneOrMore[str] = ()
    """Modules that workers import before any call."""
    around: OneOrMore[str] = ()
    """Context managers, as ``"module:name"``, that workers enter before any call. Where any is,
    all that is timed has the pipe of a worker in it."""
    modules: OneOrMore[str] = ()
    """Files with ``Model`` and ``ModelNew``, timed likewise."""
    interpret: bool = False
    """Whether kernels of Triton, Pallas and Numba's CUDA, where those are not yet imported, run in
    the interpreters that these have, without a GPU."""
    output: str | Path = "convformance-time"
    """The folder that run.sqlite is written into."""
    progress: Progress | None = None
    """Called as the timing goes on."""
    command: str | None = None
    """The command line, which the reports show."""


@dataclass(frozen=True, slots=True)
class TimingPlan:
    """A selection, with the objects that its names stand for."""

    selection: TimingSelection
    spec: Spec
    implementations: tuple[Implementation, ...]
    layers: tuple[Layer, ...]
    baseline: Implementation | None
    threads: tuple[int, ...]


def thread_counts(chosen: OneOrMore[int | str]) -> tuple[int, ...]:
    """Return numbers of threads; raise `ConformanceError` where one is out of range."""
    cores = available_cores()
    counts = [cores if each == ALL else each for each in several(chosen)]
    for count in counts:
        check_whole("threads", count, *LIMITS["threads"])
    if not counts:
        raise ConformanceError(f"threads={chosen!r}; one number of threads at least")
    return tuple(dict.fromkeys(int(count) for count in counts))


def resolve(selection: TimingSelection) -> TimingPlan:
    """Load the plugins, and return the plan of what is selected.

    Raises `ConformanceError` for an unknown name, and for a number that is out of its range.
    """
    interpreters.switch(selection.interpret)
    loaded = [
        implementation
        for plugin in several(selection.plugins)
        for implementation in load_for(plugin, None, Limits())
    ]
    loaded += load_forms(
        several(selection.programs),
        several(selection.libraries),
        several(selection.modules),
        Limits(),
    )
    for name, (least, most) in LIMITS.items():
        if name != "threads" and getattr(selection, name) is not None:
            check_whole(name, getattr(selection, name), least, most)
    if not 0 < selection.precision < 1:
        raise ConformanceError(f"precision={selection.precision!r}; a share above 0 and below 1")
    check_whole("seed", selection.seed, 0)
    check_seconds(selection.seconds)
    threads = thread_counts(selection.threads)
    dtypes = tuple(several(selection.dtype))
    for dtype in dtypes:
        if dtype not in FLOATS:
            hint = did_you_mean(dtype, FLOATS, meant_dtype(dtype))
            raise ConformanceError(
                f"dtype '{dtype}' cannot be timed; {hint}choose {', '.join(FLOATS)}"
            )
        numpy_dtype(dtype)  # raises where its package is missing
    batches = tuple(several(selection.batch))
    for size in batches:
        check_whole("batch", size, 1)
    sweep = None if selection.sweep is None else Sweep.parse(selection.sweep)
    spec = selection.spec if isinstance(selection.spec, Spec) else load(selection.spec)
    implementations = _surrounded(
        selection, choose_implementations(selection.implementations, loaded)
    )
    chosen = None if selection.layers is None else several(selection.layers)
    layers = varied(_in_dtypes(chosen, spec, dtypes, selection.seed), batches, sweep)
    timed = [implementation for implementation in implementations if implementation.installed]
    named = None if selection.baseline is None else find(selection.baseline).name
    same = {selection.baseline, named}
    baseline = next((one for one in timed if one.name in same), None)
    if named is not None and baseline is None:
        names = ", ".join(implementation.name for implementation in timed)
        raise ConformanceError(f"baseline '{named}' is not timed; choose one of {names}")
    return TimingPlan(selection, spec, implementations, layers, baseline, threads)


def _in_dtypes(
    chosen: Sequence[str] | None, spec: Spec, dtypes: Sequence[str], seed: int
) -> list[Layer]:
    """Return the layers in each dtype, which their names tell where there are several."""
    layers: dict[str, Layer] = {}
    for dtype in dtypes:
        for layer in choose(chosen, spec, dtype=dtype, seed=seed):
            named = len(dtypes) > 1 and layer.name != layer.case.id
            name = f"{layer.name}, {dtype}" if named else layer.name
            layers[name] = replace(layer, name=name)
    return [*layers.values()]


def _surrounded(
    selection: TimingSelection, implementations: tuple[Implementation, ...]
) -> tuple[Implementation, ...]:
    """Return the implementations, in workers where these can load them."""
    imports, around = several(selection.imports), several(selection.around)
    return tuple(_elsewhere(in_use().surrounded(one, imports, around)) for one in implementations)


def _elsewhere(implementation: Implementation) -> Implementation:
    """Return an implementation whose calls a worker makes, unless this process alone knows it."""
    changes = implementation.setup is not None and implementation.setup.changes_process
    known = in_use().implementations().get(split(implementation.name)[0])
    if not AVAILABLE or (known is None and not changes):
        return implementation
    try:
        return isolated(implementation, True, Limits())
    except ConformanceError:
        if changes:
            raise
        return implementation
