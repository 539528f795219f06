"""The figures of one layer, which are computed from the seconds of each implementation's calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from conformance.operators import OPERATORS
from conformance.registration.implementation import Implementation
from conformance.runfile.tables import Timing
from conformance.runfile.words import CONFORMS
from conformance.spec.layers import Layer
from conformance.timing.rounds import Contender


@dataclass(frozen=True, slots=True)
class Skipped:
    """The reason why one implementation was not timed on one layer."""

    implementation: str
    operator: str
    layer: str
    reason: str


def figures(
    layer: Layer,
    called: Sequence[Contender],
    verified: Mapping[Implementation, str],
    baseline: Implementation | None,
    threads: int,
) -> list[Timing]:
    """Return the figures of every contender that was called, without their ``peak``.

    ``verified`` has the verdict on each one's outputs. Ratios are to ``baseline``, or else to the
    fastest implementation that conforms.
    """
    reference = _reference(baseline, called, verified)
    return [_figures(layer, c, reference, verified[c.implementation], threads) for c in called]


def with_peak(timing: Timing, rate: float) -> Timing:
    """Return ``timing`` with its share of a matrix-product rate, in 10**9 operations a second."""
    return timing if timing.gflops is None else replace(timing, peak=timing.gflops / rate)


def _reference(
    baseline: Implementation | None,
    called: Sequence[Contender],
    verified: Mapping[Implementation, str],
) -> Contender | None:
    timed = [c for c in called if c.seconds]
    if baseline is not None:
        return next((c for c in timed if c.implementation is baseline), None)
    conforming = [c for c in timed if verified[c.implementation] == CONFORMS]
    return min(conforming, key=lambda c: float(np.median([*c.seconds.values()])), default=None)


def _figures(
    layer: Layer, c: Contender, reference: Contender | None, verified: str, threads: int
) -> Timing:
    operator = OPERATORS[layer.case.operator]
    macs = operator.work(layer.case)
    lower = median = upper = ratio = gflops = None
    if c.seconds:
        quartiles = np.percentile([*c.seconds.values()], (25, 50, 75))
        lower, median, upper = (float(value) for value in quartiles)
        gflops = 2e-9 * macs / median if operator.has_weight else None
    if reference is not None:
        shared = [t / reference.seconds[n] for n, t in c.seconds.items() if n in reference.seconds]
        ratio = float(np.median(shared)) if shared else None
    return Timing(
        implementation=c.implementation.name,
        layer=layer.name,
        case=layer.case.id,
        calls=len(c.seconds),
        median=median,
        lower=lower,
        upper=upper,
        ratio=ratio,
        macs=macs,
        gflops=gflops,
        peak=None,
        threads=threads,
        verified=verified,
    )
