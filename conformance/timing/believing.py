"""Whether a timing can be believed: clocks of the run's own, processor time, and the machine.

docs/timing.md has the reasons. Each rule leaves room for what a machine that does other things as
well adds to the time of one process: a timing is doubted where that cannot explain it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from conformance.case import Case
from conformance.dtypes import FORMATS
from conformance.operators import OPERATORS
from conformance.timing import processes
from conformance.timing.callers import Batch
from conformance.timing.operations import moved, needed, saving
from conformance.timing.rounds import Contender, Sample

_SHARE = 0.15
"""Of its time, that a call may take beyond what its own process says."""
_LATENCY = 3e-4
"""Seconds by which the ways to and from a worker may differ from those of the control."""
_BINDING = 1e-4
"""Seconds that handing over a call may take beside it, where the suite puts arrays or parameters
into the form of another library."""
_CORES = 1.3
"""Threads that are used for each one granted: some spin for a while before they sleep."""
_RATE = 1.5
"""Of the rate of matrix products: other kernels may be better than NumPy's."""
_BANDWIDTH = 3.0
"""Of the copy bandwidth: vectors may read caches faster than a copy does."""
_LEAST = 3
"""Rounds, without which nothing is said of clocks."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What the machine can do with as many threads as were granted."""

    gflops: float
    """The rate of matrix products, in float32 for half types."""
    bandwidth: float
    """The bytes a second of copying as much as a layer moves."""
    threads: int


def doubt(
    case: Case, c: Contender, overheads: Mapping[int, Sequence[Batch]], machine: Machine
) -> str:
    """Return why the timing of a contender is not believable, "" where nothing says so."""
    if not c.samples:
        return ""
    median = float(np.median([*c.seconds.values()]))
    elsewhere = c.implementation.device != "cpu"
    reasons = (
        _clock(c, overheads) if not elsewhere else "",
        _threads(c, overheads, machine) if not elsewhere else "",
        _rate(case, c, median, machine) if not elsewhere else "",
        _bandwidth(case, median, machine) if not elsewhere else "",
    )
    return "; ".join(filter(None, reasons))


def _clock(c: Contender, overheads: Mapping[int, Sequence[Batch]]) -> str:
    """Compare the clock of the process that makes the calls with the run's own."""
    samples, control = _watched(c, overheads)
    if len(samples) < _LEAST:
        return ""
    beyond = [s.outer - s.inner - s.waited for s in samples if s.outer is not None]
    own = [b.beyond for b in control if b.beyond is not None]
    excess = float(np.median(beyond) - np.median(own))
    inner = float(np.median([s.inner for s in samples]))
    noise = float(np.subtract(*np.percentile(own, (75, 25))))
    if excess <= _SHARE * inner + _LATENCY + _binding(c) + 3 * noise:
        return ""
    calls = samples[0].size
    true = (inner + excess) / calls
    return (
        f"by its own clock a call takes {_words(inner / calls)}, by the clock of the run about "
        f"{_words(true)}"
    )


def cores(c: Contender, overheads: Mapping[int, Sequence[Batch]]) -> list[float]:
    """Return the processor seconds of each round's calls, for as long as these took."""
    samples, control = _watched(c, overheads)
    if len(samples) < _LEAST or not processes.KNOWN:
        return []
    own = float(np.median([b.cpu - b.inner for b in control if b.cpu is not None]))
    return [max(0.0, s.cpu - own) / s.inner for s in samples if s.cpu is not None]


def _threads(c: Contender, overheads: Mapping[int, Sequence[Batch]], machine: Machine) -> str:
    """Compare processor time with the time of the calls."""
    if c.widened:
        return "it took cores of the machine that were not granted"
    used = cores(c, overheads)
    if not used:
        return ""
    inner = float(np.median([s.inner for s in c.samples.values()]))
    number = float(np.median(used))
    if number <= _CORES * machine.threads + (_LATENCY + _binding(c)) / inner:
        return ""
    granted = "1 was" if machine.threads == 1 else f"{machine.threads} were"
    return f"it used the time of {number:.2g} processors, and {granted} granted"


def _binding(c: Contender) -> float:
    """Return the seconds that the suite's own part of a round's calls may take."""
    return 0.0 if c.implementation.takes_plain_calls else _BINDING * c.size


def _watched(
    c: Contender, overheads: Mapping[int, Sequence[Batch]]
) -> tuple[list[Sample], Sequence[Batch]]:
    """Return the samples that the run's own clock has timed, and what the control took for such."""
    control = overheads.get(c.size, ())
    if len(control) < _LEAST:
        return [], control
    return [s for s in c.samples.values() if s.outer is not None], control


def _rate(case: Case, c: Contender, median: float, machine: Machine) -> str:
    """Compare the rate of the operations that its algorithm has to make with matrix products."""
    of_numpy = FORMATS[case.dtype].digits > FORMATS["float16"].digits  # it has no half products
    if not machine.gflops or not of_numpy or not OPERATORS[case.operator].has_weight:
        return ""
    rate = 2e-9 * needed(case) / saving(c.implementation, case) / median
    if rate <= _RATE * machine.gflops:
        return ""
    return (
        f"{rate:,.0f} GFLOP/s is more than the machine's, whose matrix products reach "
        f"{machine.gflops:,.0f}"
    )


def _bandwidth(case: Case, median: float, machine: Machine) -> str:
    """Compare the time with that in which memory as large can be copied."""
    rate = moved(case) / median
    if rate <= _BANDWIDTH * machine.threads * machine.bandwidth:
        return ""
    copied = machine.bandwidth / 1e9
    return f"it would move {rate / 1e9:,.0f} GB/s, and the machine copies {copied:,.0f}"


def _words(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-6:.3g} us"
