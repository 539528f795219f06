"""Layers of networks and other large shapes in a run: judged by projection, as cases of their own.

Their inputs and projections are made once a layer and used for all implementations. A layer that
would take an implementation longer than its budget is judged on fewer output positions, with all
of its channels; how large a share that was is written down.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache, partial
from typing import Any

import numpy as np

from conformance.case import Case
from conformance.cases.ranges import Ranges
from conformance.judging import UNSUPPORTED, Verdict
from conformance.large.judge import Large, is_large, judge_large
from conformance.large.projection import VERIFIED
from conformance.operators import OPERATORS, work
from conformance.registration.implementation import Implementation
from conformance.running import cache
from conformance.running.budget import CLOCK_FACTOR, of_call
from conformance.running.plan import Plan
from conformance.spec.layers import SUITE, Layer, smaller

DTYPE = "float32"
"""The dtype of layers."""
PROBE = 1 / 64
"""The share of a layer that an implementation is tried on first."""
_PART = 1 / 8
"""The share that it is tried on next, if that took long."""

SHAPES = Ranges(
    dtypes=(DTYPE,),
    data=("integers",),
    batch=(1, 2, 3),
    channels=(3, 16, 24, 33, 64, 100),
    kernel=(1, 2, 3, 5),
    output=(7, 16, 28, 57, 112),
    boundary_channels=(127, 128, 129, 255, 256, 257),
    boundary_widths=(255, 256, 257, 511, 512, 513),
    boundary_share=0.5,
    work=20_000_000,
)
"""What large shapes are generated from."""


@dataclass(frozen=True, slots=True)
class LayerVerdict:
    """What came of one implementation on one layer."""

    layer: str
    verdict: Verdict
    """Its case is the one that was judged: the layer, or a smaller one like it."""
    share: float
    """How many of the layer's output elements were judged."""
    seconds: float
    """What the call and its checking took."""


def chosen(plan: Plan, operator: str, dims: int) -> list[Layer]:
    """Return the layers of an operator and dimension that a run judges, the cheapest first.

    They are the large cases of its suites, the layers of networks whose names it has patterns of,
    and generated ones, which are named by their case ids; all are on whole numbers.
    """
    entries = (entry for suite in plan.suites for entry in plan.spec.suite(suite).cases)
    named = [entry for entry in entries if is_large(entry.case)]
    named += [
        entry
        for entry in (plan.spec.suite(SUITE).cases if plan.layers else ())
        if any(fnmatchcase(entry.name, pattern) for pattern in plan.layers)
    ]
    layers = {
        entry.name: Layer(entry.name, entry.case.replace(seed=plan.seed))
        for entry in named
        if (entry.case.operator, entry.case.dims) == (operator, dims)
    }
    if plan.shapes and operator in VERIFIED:
        facts: dict[str, Any]
        facts = {"operator": operator, "dims": dims, "count": plan.shapes, "seed": plan.seed}
        name = cache.key(large=SHAPES, **facts)
        largest = cache.cached_cases(partial(_generated, **facts), name, cached=plan.cache)
        layers |= {case.id: Layer(case.id, case) for case in largest}
    return sorted(layers.values(), key=lambda layer: work(layer.case))


def _generated(operator: str, dims: int, count: int, seed: int) -> list[Case]:
    # Hypothesis, which draws them, is slow to import, and cases from the cache need none of it.
    from conformance.cases.strategies import generate

    drawn = generate(operator, SHAPES, dims=dims, count=4 * count, seed_value=seed)
    return sorted((case for case in drawn if case.x[0]), key=work)[-count:]


def judge_layers(
    judges: Sequence[Implementation], layers: Iterable[Layer], seconds: float, clock: float
) -> Iterator[LayerVerdict]:
    """Yield what came of each implementation on each layer.

    Each has a budget of ``seconds``, as `running.budget` reckons; what would, at the pace of a
    small part, take `CLOCK_FACTOR` times the ``clock`` is not called.
    """
    left = {one.name: seconds for one in judges}
    for layer in layers:
        part = lru_cache(maxsize=None)(partial(_part, layer.case))
        for one in judges:
            if left[one.name] > 0:
                found, spent = _judge_as_far(one, layer, part, left[one.name], CLOCK_FACTOR * clock)
                left[one.name] -= spent
                yield found


def _judge_as_far(
    one: Implementation, layer: Layer, part: Callable[[float], Large], left: float, most: float
) -> tuple[LayerVerdict, float]:
    """Judge the smallest part, then as much as what is ``left`` affords; return what that spent."""
    macs = work(layer.case)
    spent = of_call(one, PROBE * macs)
    share = min(1.0, (left - spent) / of_call(one, macs))
    if share > 2 * PROBE:  # even where the clock forbids it: the next layer is to have the same
        spent += of_call(one, share * macs)
    found = _judge(one, layer, part(PROBE))
    steps = [share]
    if found.seconds * share / found.share > most:  # it may be the call that takes long, not more
        steps.insert(0, _PART)
    for step in steps:
        enough = step <= max(2 * PROBE, found.share) or found.seconds * step / found.share > most
        if enough or found.verdict.failed or found.verdict.status == UNSUPPORTED:
            break
        found = _judge(one, layer, part(step))
    return found, spent


def _part(case: Case, share: float) -> Large:
    return Large.of(case if share == 1 else smaller(case, share))


def _judge(one: Implementation, layer: Layer, large: Large) -> LayerVerdict:
    begun = time.perf_counter()
    with np.errstate(all="ignore"):
        verdict, _ = judge_large(one, large)
    seconds = time.perf_counter() - begun
    operator = OPERATORS[layer.case.operator]
    judged, full = (math.prod(operator.output_shape(c)) for c in (large.case, layer.case))
    return LayerVerdict(layer.name, verdict, judged / full, seconds)
