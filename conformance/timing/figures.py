"""The figures of one layer, which are computed from the seconds of each implementation's calls."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from conformance.operators import OPERATORS
from conformance.registration.implementation import Implementation
from conformance.runfile.tables import Timing
from conformance.runfile.words import CONFORMS
from conformance.spec.layers import Layer
from conformance.timing.believing import Machine, cores, doubt
from conformance.timing.callers import Batch
from conformance.timing.operations import moved
from conformance.timing.rounds import Contender
from conformance.timing.statistics import interval


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
    overheads: Mapping[int, Sequence[Batch]],
    baseline: Implementation | None,
    machine: Machine,
) -> list[Timing]:
    """Return the figures of every contender that was called.

    Ratios are to ``baseline``, or else to the fastest implementation that conforms and is believed.
    """
    doubts = {id(c): doubt(layer.case, c, overheads, machine) for c in called}
    believed = [c for c in called if not doubts[id(c)] and verdict(c) == CONFORMS]
    reference = _reference(baseline, called, believed)
    return [
        _figures(layer, c, reference, doubts[id(c)], cores(c, overheads), machine) for c in called
    ]


def verdict(c: Contender) -> str:
    """Return ``conforms``, or the requirement that a contender's calls violate, and how."""
    problem, when = c.problem, ""
    if problem is not None and problem.requirement != "PURE-1":
        when = (
            f"timed call {c.problem_at} of {c.calls}: " if c.problem_at else "before the timing: "
        )
    elif problem is None and c.ended is not None:
        problem = c.ended
    elif problem is None and c.skipped is not None:
        text = f"computed the case, and later declined it: {c.skipped}"
        return f"DECLARE-7: {text}"
    return CONFORMS if problem is None else f"{problem.requirement}: {when}{problem.message}"


def _reference(
    baseline: Implementation | None, called: Sequence[Contender], believed: Sequence[Contender]
) -> Contender | None:
    if baseline is not None:
        named = (c for c in called if c.samples and c.implementation.name == baseline.name)
        return next(named, None)
    timed = [c for c in believed if c.samples]
    return min(timed, key=lambda c: float(np.median([*c.seconds.values()])), default=None)


def _figures(
    layer: Layer,
    c: Contender,
    reference: Contender | None,
    doubted: str,
    used: Sequence[float],
    machine: Machine,
) -> Timing:
    operator, seconds, nbytes = OPERATORS[layer.case.operator], c.seconds, moved(layer.case)
    macs = operator.work(layer.case)
    lower = median = upper = ratio = gflops = bandwidth = roof = None
    around = around_ratio = None
    if seconds:
        quartiles = np.percentile([*seconds.values()], (25, 50, 75))
        lower, median, upper = (float(value) for value in quartiles)
        gflops = 2e-9 * macs / median if operator.has_weight else None
        bandwidth = nbytes / median / machine.bandwidth
        of_products = 2e-9 * macs / machine.gflops if gflops and machine.gflops else 0.0
        roof = max(of_products, nbytes / machine.bandwidth) / median
        around = interval([*seconds.values()])
    if reference is not None:
        own = reference.seconds
        shared = [t / own[number] for number, t in seconds.items() if number in own]
        ratio = float(np.median(shared)) if shared else None
        around_ratio = interval(shared) if c is not reference else None
    low, high = around or (None, None)
    ratio_low, ratio_high = around_ratio or (None, None)
    waited = [s.waited / (s.waited + s.inner) for s in c.samples.values() if s.outer]
    return Timing(
        implementation=c.implementation.name,
        layer=layer.name,
        case=layer.case.id,
        calls=len(c.samples),
        batch=len(c.timed),
        base=layer.base,
        swept=layer.swept,
        value=layer.value,
        median=median,
        lower=lower,
        upper=upper,
        ratio=ratio,
        macs=macs,
        gflops=gflops,
        peak=gflops / machine.gflops if gflops is not None and machine.gflops else None,
        threads=machine.threads,
        verified=verdict(c),
        doubt=doubted,
        wrong_case=c.wrong_case if c.problem is not None else "",
        median_low=low,
        median_high=high,
        ratio_low=ratio_low,
        ratio_high=ratio_high,
        cold=c.cold,
        memory=c.memory,
        moved=nbytes,
        bandwidth=bandwidth,
        roof=roof,
        cpu=float(np.median(used)) if used else None,
        waited=float(np.median(waited)) if waited else None,
        samples=json.dumps([float(f"{s:.4g}") for s in seconds.values()]),
    )
