"""The cases of a block of fuzzing: rare ones, changed ones, and such as were given.

A block is drawn from its number, and from what is known when it begins: the same block gives the
same cases wherever it is judged.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from conformance.case import RECIPES, SPECIAL_RECIPES, Case
from conformance.cases import layouts
from conformance.cases.ranges import Ranges
from conformance.cases.strategies import generate
from conformance.cases.validity import is_valid
from conformance.dtypes import FLOATS
from conformance.operators import GRADIENTS, OPERATORS
from conformance.running.needs import needs_of
from conformance.running.violation import Cause

CASES = 48
"""The cases that a block draws."""
CHANGES = 3
"""How many changes are made to each case that is worth changing."""
_DRAWN = 2
"""So many times as many are drawn, of which the rarest are judged."""
_WIDER: Mapping[str, Any] = {
    "channels": (1, 2, 3, 4, 5, 8, 13),
    "kernel": (1, 2, 3, 4, 5, 6, 7, 9),
    "stride": (1, 2, 3, 4, 5),
    "dilation": (1, 2, 3, 4),
    "padding": (0, 1, 2, 3, 4, 5),
    "output": (1, 2, 3, 4, 5, 6, 7, 9, 12),
}
_WORK = 200_000
"""What every other block draws from, besides the ranges of the spec."""
_BUCKETS = (1, 2, 4, 8, 16, 32, 64)

Pair = tuple[str, str]
"""Two classes that a case is in."""


@dataclass(frozen=True, slots=True)
class Request:
    """A block that is to be judged."""

    number: int
    operator: str
    dims: int
    dtype: str
    seed: int
    cases: int = CASES
    given: tuple[Case, ...] = ()
    """What is judged first: cases that have shown something."""
    parents: tuple[Case, ...] = ()
    """What is changed: cases with large errors, and such as have reached new lines."""
    met: Mapping[Pair, int] = field(default_factory=dict)
    """How often pairs of classes have been met."""
    causes: Mapping[str, tuple[Cause, ...]] = field(default_factory=dict)
    """What is known of each implementation, so that it is not shrunk again."""
    names: tuple[str, ...] = ()
    """The implementations that are judged; empty for all."""


def classes_of(case: Case) -> tuple[str, ...]:
    """Return the classes that a case is in: of its parameters, its sizes and its data."""
    window = max(case.window, default=1)
    sizes = {"batch": case.x[0], "channels": case.x[1], "size": max(case.x[2:]), "window": window}
    if case.w is not None:
        sizes["outputs"] = case.w[0]
    named = [f"{name} {_bucket(size)}" for name, size in sizes.items()]
    plain = [case.data, case.memory.partition("-")[0]]
    return tuple(sorted((*needs_of(case), *named, *plain)))


def pairs_of(case: Case) -> Iterator[Pair]:
    """Yield each pair of classes that a case is in."""
    yield from itertools.combinations(classes_of(case), 2)


def draw(request: Request, ranges: Ranges) -> list[Case]:
    """Return the cases of a block, the given ones first."""
    rng = random.Random(f"{request.seed} {request.number}")
    changed = [
        case
        for parent in request.parents
        for case in itertools.islice(_changes(parent, rng), CHANGES)
    ]
    drawn = list(_drawn(request, ranges, rng)) if request.cases else []
    cases = [*request.given, *changed, *_rarest(drawn, request, request.cases - len(changed))]
    return [case for case in dict.fromkeys(cases) if is_valid(case)]


def _drawn(request: Request, ranges: Ranges, rng: random.Random) -> Iterator[Case]:
    whole = request.dtype not in FLOATS
    ranges = replace(ranges, dtypes=("float32",) if whole else (request.dtype,))
    if request.number % 2:
        ranges = replace(ranges, work=max(ranges.work, _WORK), **_WIDER)
    operator, dims, count = request.operator, request.dims, _DRAWN * request.cases
    seed = rng.randrange(2**31)
    ordinary = generate(operator, ranges, dims=dims, count=count, seed_value=seed)
    if whole:
        yield from (case.replace(dtype=request.dtype, data="integers") for case in ordinary)
        return
    few = [case for case in ordinary if case.x[0] and OPERATORS[operator].work(case) < 20_000]
    for case in ordinary:
        yield case.replace(data=rng.choice(RECIPES), seed=rng.randrange(2**31))
    yield from layouts.cases(operator, few, ranges, (), count // 2)
    for case in few[: count // 4]:
        yield case.replace(data=rng.choice(SPECIAL_RECIPES), seed=rng.randrange(2**31))


def _rarest(cases: Sequence[Case], request: Request, count: int) -> list[Case]:
    """Return those of the cases whose classes have been met least together, one by one."""
    met = Counter(request.met)
    pairs = [tuple(pairs_of(case)) for case in cases]

    def common(index: int) -> float:
        return -sum(1 / (1 + met[pair]) for pair in pairs[index])

    waiting = [(common(index), index) for index in range(len(cases))]
    heapq.heapify(waiting)
    chosen: list[Case] = []
    while waiting and len(chosen) < count:
        _, index = heapq.heappop(waiting)
        now = common(index)  # what was chosen since may have made it less rare
        if waiting and now > waiting[0][0]:
            heapq.heappush(waiting, (now, index))
            continue
        met.update(pairs[index])
        chosen.append(cases[index])
    return chosen


def _changes(parent: Case, rng: random.Random) -> Iterator[Case]:
    """Yield valid cases that differ from one in one or two respects, most often in the data."""
    most = 4 * max(_WORK, OPERATORS[parent.operator].work(parent))
    for _ in range(20 * CHANGES):
        case = parent.replace(seed=rng.randrange(2**31))
        if rng.random() < 0.6:
            case = _other_size(case, rng)
        if rng.random() < 0.2 and case.dtype in FLOATS and case.check == "result":
            case = case.replace(data=rng.choice(RECIPES))
        if is_valid(case) and OPERATORS[case.operator].work(case) <= most:
            yield case


def _other_size(case: Case, rng: random.Random) -> Case:
    """Return a case with one size or parameter changed, which may be invalid."""
    axis = rng.randrange(case.dims)
    choices: list[dict[str, Any]] = [
        {"x": (max(1, _near(case.x[0], rng)), *case.x[1:])},
        {"x": _put(case.x, axis + 2, max(1, _near(case.x[axis + 2], rng)))},
        {"stride": _put(case.stride, axis, rng.randrange(1, 5))},
        {"padding": _put(case.padding, axis, (rng.randrange(4), rng.randrange(4)))},
        {"dilation": _put(case.dilation, axis, rng.randrange(1, 4))},
    ]
    if case.operator in GRADIENTS or case.w is None:
        choices = choices[:2] + choices[2:4]
    if case.w is None:
        channels = max(1, _near(case.x[1], rng))
        choices.append({"x": (case.x[0], channels, *case.x[2:])})
    elif case.groups == 1:
        channels, transposed = max(1, _near(case.x[1], rng)), case.operator == "conv_transpose"
        w = (channels, *case.w[1:]) if transposed else (case.w[0], channels, *case.w[2:])
        choices.append({"x": (case.x[0], channels, *case.x[2:]), "w": w})
        outputs = max(1, _near(case.w[1] if transposed else case.w[0], rng))
        choices.append({"w": _put(case.w, 1 if transposed else 0, outputs)})
        window = max(1, _near(case.w[axis + 2], rng))
        choices.append({"w": _put(case.w, axis + 2, window)})
    return case.replace(**rng.choice(choices))


def _near(size: int, rng: random.Random) -> int:
    return rng.choice((size - 1, size + 1, size // 2, 2 * size, size + rng.randrange(1, 9)))


def _put(values: tuple[Any, ...], index: int, value: Any) -> tuple[Any, ...]:
    return (*values[:index], value, *values[index + 1 :])


def _bucket(size: int) -> str:
    return next((f"to {most}" for most in _BUCKETS if size <= most), "beyond")
