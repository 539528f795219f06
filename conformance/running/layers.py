"""Layers of networks and other large shapes in a run: judged by projection, as cases of their own.

Their inputs and projections are made once a layer and used for all implementations. A layer that
would take an implementation longer than its budget is judged on fewer output positions, with all
of its channels; how large a share that was is written down.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np

from conformance.case import Case
from conformance.cases import bank
from conformance.judging import UNSUPPORTED, Verdict
from conformance.large.judging import Large, is_large, judge_large
from conformance.large.layers import SUITE, smaller
from conformance.operators import FORWARD, OPERATORS
from conformance.registry import Implementation
from conformance.spec import Spec
from conformance.spec.ranges import Ranges

DTYPE = "float32"
"""The dtype of layers."""
PROBE = 1 / 64
"""The share of a layer that an implementation is tried on first."""
_OVERHEAD = 1e-3
"""Seconds of judging a case that do not grow with it."""

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
class Layer:
    """A large case by its name, its case id where it has no other."""

    name: str
    case: Case


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


def chosen(
    spec: Spec,
    suites: Iterable[str],
    patterns: Sequence[str],
    shapes: int,
    operator: str,
    dims: int,
    seed: int,
    *,
    cached: bool = False,
) -> list[Layer]:
    """Return the layers of an operator and dimension that a run judges, the cheapest first.

    They are the large cases of ``suites``, the layers of networks whose names ``patterns`` match,
    and ``shapes`` generated ones (``cached``: kept from run to run); all are on whole numbers.
    """
    named = [
        (entry.name, entry.case)
        for suite in suites
        for entry in spec.suite(suite).cases
        if is_large(entry.case)
    ]
    named += [
        (entry.name, entry.case)
        for entry in (spec.suite(SUITE).cases if patterns else ())
        if any(fnmatchcase(entry.name, pattern) for pattern in patterns)
    ]
    found = {
        name: Layer(name, case.replace(seed=seed))
        for name, case in named
        if case.operator == operator and case.dims == dims
    }
    if shapes and operator in FORWARD:
        name = bank.key(large=SHAPES, operator=operator, dims=dims, count=shapes, seed=seed)
        largest = bank.listed(lambda: _generated(operator, dims, shapes, seed), name, cached=cached)
        found |= {case.id: Layer(case.id, case) for case in largest}
    return sorted(found.values(), key=lambda layer: _work(layer.case))


def _generated(operator: str, dims: int, count: int, seed: int) -> list[Case]:
    from conformance.cases.strategies import generate

    drawn = generate(operator, SHAPES, dims=dims, count=4 * count, seed_value=seed)
    return sorted((case for case in drawn if case.x[0]), key=_work)[-count:]


def _work(case: Case) -> int:
    return OPERATORS[case.operator].work(case)


def judge_layers(
    judges: Sequence[Implementation], layers: Iterable[Layer], seconds: float
) -> Iterator[LayerVerdict]:
    """Yield what came of each implementation on each layer; ``seconds`` is the budget of each."""
    left = {one.name: seconds for one in judges}
    for layer in layers:
        whole: Large | None = None
        probe = Large.of(smaller(layer.case, PROBE))
        for one in judges:
            if left[one.name] <= 0:
                continue
            found = _judge(one, layer, probe)
            left[one.name] -= found.seconds
            estimate = max(0.0, found.seconds - _OVERHEAD) / found.share
            if found.verdict.failed or found.verdict.status == UNSUPPORTED or found.share == 1:
                yield found
                continue
            if estimate <= left[one.name]:
                whole = whole or Large.of(layer.case)
                found = _judge(one, layer, whole)
            elif left[one.name] > 2 * PROBE * estimate:
                share = left[one.name] / estimate
                found = _judge(one, layer, Large.of(smaller(layer.case, share)))
            left[one.name] -= found.seconds
            yield found


def _judge(one: Implementation, layer: Layer, large: Large) -> LayerVerdict:
    begun = time.perf_counter()
    with np.errstate(all="ignore"):
        verdict, _ = judge_large(one, large)
    seconds = time.perf_counter() - begun
    operator = OPERATORS[layer.case.operator]
    judged, full = (math.prod(operator.output_shape(c)) for c in (large.case, layer.case))
    return LayerVerdict(layer.name, verdict, judged / full, seconds)
