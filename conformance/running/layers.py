"""Layers of networks and other large shapes in a run, which are judged by projection.

The inputs and projections of a layer are made once and used for all implementations. If a layer
would take an implementation longer than its budget, it is judged on fewer output positions, with
all of its channels, and the share of them is recorded.

A convolution of a network is called on long digits, which show factors of less precision at the
sizes for which they are chosen. Its smallest part, which is called before, has small integers,
which show every product.
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

from conformance.calling.pace import SHORT
from conformance.case import Case
from conformance.cases.large_paths import large_paths
from conformance.cases.ranges import Ranges
from conformance.judging import UNSUPPORTED, Verdict
from conformance.large.judge import Large, is_large, judge_large
from conformance.large.projection import VERIFIED, is_projected
from conformance.operators import OPERATORS, work
from conformance.registration.implementation import Implementation
from conformance.running import cache
from conformance.running.budget import CLOCK_FACTOR, of_calls
from conformance.running.plan import Plan
from conformance.running.preparing import ordinary_cases
from conformance.spec.layers import SUITE, Layer, smaller
from conformance.spec.suite import SuiteCase

DTYPE = "float32"
"""The dtype of layers."""
PROBE = 1 / 64
"""The share of a layer that an implementation is called on first."""
_PART = 1 / 8
"""The share of a layer that it is called on next, if the first call took long."""

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
"""The ranges that large shapes are generated from."""


@dataclass(frozen=True, slots=True)
class LayerVerdict:
    """The result of one implementation on one layer."""

    layer: str
    verdict: Verdict
    """The verdict on the case that was judged: the layer, or a smaller case like it."""
    share: float
    """The share of the layer's output elements that were judged."""
    seconds: float
    """The time that the call and its checking took."""


def chosen(plan: Plan, operator: str, dims: int) -> list[Layer]:
    """Return the layers of an operator and dimension that a run judges, the cheapest first.

    They are the large cases of its suites, the layers of networks whose names match its patterns,
    and generated cases, which are named by their ids. All are on whole numbers: those of
    convolutions of networks are long, and those of every second one that is generated.
    """
    entries = (entry for suite in plan.suites for entry in plan.spec.suite(suite).cases)
    named = {
        entry.name: _with_data(entry.case, plan.seed, number)
        if entry.dtype
        else entry.case.replace(seed=plan.seed)
        for number, entry in enumerate(entries)
        if is_large(entry.case)
    }
    networks = plan.spec.suite(SUITE).cases if plan.layers else ()
    named |= {
        entry.name: _with_data(entry.case, plan.seed, number)
        for number, entry in enumerate(networks)
        if any(fnmatchcase(entry.name, pattern) for pattern in plan.layers)
    }
    layers = {
        name: Layer(name, case)
        for name, case in named.items()
        if (case.operator, case.dims) == (operator, dims)
    }
    if plan.shapes and operator in VERIFIED:
        facts: dict[str, Any]
        facts = {"operator": operator, "dims": dims, "count": plan.shapes, "seed": plan.seed}
        name = cache.key(large=SHAPES, **facts)
        largest = cache.cached_cases(partial(_generated, **facts), name, cached=plan.cache)
        largest[1::2] = [_with_data(case, plan.seed, n) for n, case in enumerate(largest[1::2])]
        paths = large_paths(operator, dims)
        largest += [_with_data(case, plan.seed, number) for number, case in enumerate(paths)]
        layers |= {case.id: Layer(case.id, case) for case in largest}
    judged = (layer for layer in layers.values() if layer.case.dtype in plan.dtypes)
    return sorted(judged, key=lambda layer: work(layer.case))


def cases_of(entry: SuiteCase) -> list[Case]:
    """Return what a curated case is judged on: as a layer if it is large, and as other cases."""
    large = [_with_data(entry.case, 0, 0)] if is_large(entry.case) else []
    return large + ordinary_cases(entry, (entry.case.dtype,))


_MOST_ONES = 6
"""The seed of ``digits`` with which an output sums the most products that are not zero."""


def _with_data(case: Case, seed: int, number: int) -> Case:
    """Return a layer with its data; the factors of convolutions take turns at being long."""
    if not OPERATORS[case.operator].has_weight or not is_projected(case.replace(data="digits")):
        return case.replace(seed=seed)
    return case.replace(data="digits", seed=8 * seed + _MOST_ONES + number % 2)


def _generated(operator: str, dims: int, count: int, seed: int) -> list[Case]:
    # Hypothesis draws the cases. It is slow to import, and cases from the cache do not need it.
    from conformance.cases.strategies import generate

    drawn = generate(operator, SHAPES, dims=dims, count=4 * count, seed_value=seed)
    return sorted((case for case in drawn if case.x[0]), key=work)[-count:]


def judge_layers(
    judges: Sequence[Implementation], layers: Iterable[Layer], seconds: float, clock: float
) -> Iterator[LayerVerdict]:
    """Yield the verdict on each implementation for each layer.

    Each implementation has a budget of ``seconds``, as `running.budget` reckons; one that compiles
    is judged if this pays for a shape. A call that would take `CLOCK_FACTOR` times the ``clock``,
    by the time of a smaller part, is not made.
    """
    budgets = {one.name: seconds if one.shape_seconds <= seconds else 0.0 for one in judges}
    for layer in layers:
        part = lru_cache(maxsize=None)(partial(_part, layer.case))
        for implementation in judges:
            budget = budgets[implementation.name]
            if budget > 0:
                verdict, cost = _judge_as_far(
                    implementation, layer, part, budget, CLOCK_FACTOR * clock
                )
                budgets[implementation.name] -= cost
                yield verdict


def _judge_as_far(
    implementation: Implementation,
    layer: Layer,
    part: Callable[[float], Large],
    budget: float,
    limit: float,
) -> tuple[LayerVerdict, float]:
    """Judge the smallest part, and then as large a part as the ``budget`` affords.

    Return the last verdict, and the reckoned seconds. No call is made that would take longer than
    ``limit`` by the clock.
    """
    macs = work(layer.case)
    cost = of_calls(implementation, PROBE * macs)
    share = min(1.0, (budget - cost) / of_calls(implementation, macs))
    if share > 2 * PROBE:  # the cost does not depend on the clock, so neither do later layers
        cost += of_calls(implementation, share * macs)
    judged = _judge(implementation, layer, part(PROBE))
    if judged.seconds > SHORT and judged.seconds * share / judged.share > limit:
        again = _judge(implementation, layer, part(PROBE))  # the first call may have compiled
        judged = again if again.seconds < judged.seconds else judged
    shares = [share]
    if judged.seconds * share / judged.share > limit:  # perhaps any call takes as long as that one
        shares.insert(0, _PART)
    for larger in shares:
        small = larger <= max(2 * PROBE, judged.share)
        too_long = judged.seconds * larger / judged.share > limit
        if small or too_long or judged.verdict.failed or judged.verdict.status == UNSUPPORTED:
            break
        judged = _judge(implementation, layer, part(larger))
    return judged, cost


def _part(case: Case, share: float) -> Large:
    part = case if share == 1 else smaller(case, share)
    return Large.of(part.replace(data="integers") if share == PROBE else part)


def _judge(implementation: Implementation, layer: Layer, large: Large) -> LayerVerdict:
    start = time.perf_counter()
    with np.errstate(all="ignore"):
        verdict, _ = judge_large(implementation, large)
    seconds = time.perf_counter() - start
    operator = OPERATORS[layer.case.operator]
    part, whole = (math.prod(operator.output_shape(case)) for case in (large.case, layer.case))
    return LayerVerdict(layer.name, verdict, part / whole, seconds)
